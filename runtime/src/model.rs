//! A loaded model: code, descriptor and weights, ready for sessions.
#![allow(unsafe_code)] // loads code and holds its function pointers.

use std::any::Any;
use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::Library;
use mlc_abi::descriptor::{Descriptor, TensorRow};
use mlc_abi::{MessageFn, PlanFn, RunFn};

use crate::cuda::Shared;
use crate::error::{Error, Reason};
use crate::file;
use crate::session::{Session, Threads};
use crate::weights::Weights;

/// How to open a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Read all weights and compare their hash. Without it only their size is checked, which keeps opening fast.
    pub verify: bool,
    /// The file with the weights, if it is not `NAME.weights` beside the artifact.
    pub weights: Option<PathBuf>,
}

/// Code made in memory, as an artifact would hold it.
pub struct RawParts {
    /// `NAME_plan`
    pub plan: PlanFn,
    /// `NAME_run`
    pub run: RunFn,
    /// `NAME_message`
    pub message: MessageFn,
    /// The descriptor blob.
    pub descriptor: Vec<u8>,
    /// The packed weights with their slack, aligned; null if the code has them.
    pub weights: *const c_void,
    /// Dropped after the last use of the pointers, on any thread.
    pub keep: Box<dyn Any>,
}

/// A loaded model. Clones share it.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    plan: PlanFn,
    run: RunFn,
    message: MessageFn,
    /// Checked when the model was made.
    descriptor: Vec<u8>,
    weights: Weights,
    file: Option<PathBuf>,
    /// Code and weights on a GPU, if a run has asked for them.
    gpu: Shared,
    /// Holds the code the pointers point to.
    _keep: Box<dyn Any>,
}

// SAFETY: the functions keep no state and the weights are only read, so any threads may use them at once; `_keep` is
// never touched until it is dropped, and `RawParts::keep` says that this may happen on any thread (a `Library` may).
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Model {
    /// Opens `NAME.so`, with `NAME.weights` beside it where there is one.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
        Model::open_with(path, &Options::default())
    }

    /// Opens with options.
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Model, Error> {
        let path = path.as_ref();
        let checked = file::check(path, options.verify)?;
        let descriptor = file::parse(&checked.descriptor).map_err(|reason| reason.of(path))?;
        let name = descriptor.name().to_string();
        let weights = if descriptor.embedded() || descriptor.weights_bytes() == 0 {
            Weights::Embedded
        } else {
            let beside = || path.with_file_name(format!("{name}.weights"));
            Weights::map(&options.weights.clone().unwrap_or_else(beside), &descriptor, options.verify)?
        };
        let absolute = std::path::absolute(path).map_err(|error| Reason::Unreadable(error.to_string()).of(path))?;
        // SAFETY: the file is as the compiler wrote it, which puts no initialization code into it.
        let library = unsafe { Library::new(&absolute) }.map_err(|error| Reason::Load(error.to_string()).of(path))?;
        // SAFETY: a checked artifact of this ABI version has these symbols with these types; the pointers are used only
        // while `_keep` holds the library.
        let (plan, run, message) = unsafe {
            (
                symbol::<PlanFn>(&library, &name, "plan", path)?,
                symbol::<RunFn>(&library, &name, "run", path)?,
                symbol::<MessageFn>(&library, &name, "message", path)?,
            )
        };
        let (descriptor, file) = (checked.descriptor, Some(path.to_path_buf()));
        Ok(Model {
            inner: Arc::new(Inner {
                plan,
                run,
                message,
                descriptor,
                weights,
                file,
                gpu: Shared::default(),
                _keep: Box::new(library),
            }),
        })
    }

    /// A model from code in memory.
    ///
    /// # Safety
    ///
    /// The functions are those the compiler made together with the descriptor, for this machine. They and the weights
    /// stay valid until `keep` is dropped, which may happen on any thread.
    pub unsafe fn from_raw(parts: RawParts) -> Result<Model, Error> {
        let descriptor = file::parse(&parts.descriptor)?;
        let weights = match parts.weights.is_null() {
            true if !descriptor.embedded() && descriptor.weights_bytes() > 0 => {
                return Err(Reason::Input("no weights were given and the code has none".into()).into());
            }
            true => Weights::Embedded,
            false => Weights::Raw(parts.weights),
        };
        let RawParts { plan, run, message, descriptor, keep, .. } = parts;
        Ok(Model {
            inner: Arc::new(Inner {
                plan,
                run,
                message,
                descriptor,
                weights,
                file: None,
                gpu: Shared::default(),
                _keep: keep,
            }),
        })
    }

    /// What the model is.
    pub fn descriptor(&self) -> Descriptor<'_> {
        Descriptor::parse(&self.inner.descriptor).expect("checked when the model was made")
    }

    /// Inputs, in the order of [`Session::run`].
    pub fn inputs(&self) -> Vec<TensorRow<'_>> {
        self.descriptor().inputs().collect()
    }

    /// Outputs, in the order of [`Session::run`].
    pub fn outputs(&self) -> Vec<TensorRow<'_>> {
        self.descriptor().outputs().collect()
    }

    /// The file the model was opened from.
    pub fn file(&self) -> Option<&Path> {
        self.inner.file.as_deref()
    }

    /// Memory and threads to run the model with: so many, or as many as the machine has if 0; or [`Threads`].
    pub fn session(&self, threads: impl Into<Threads>) -> Result<Session, Error> {
        Session::new(self, threads.into())
    }

    pub(crate) fn plan_fn(&self) -> PlanFn {
        self.inner.plan
    }

    pub(crate) fn run_fn(&self) -> RunFn {
        self.inner.run
    }

    pub(crate) fn weights(&self) -> *const c_void {
        self.inner.weights.pointer()
    }

    pub(crate) fn gpu(&self) -> Shared {
        self.inner.gpu.clone()
    }

    /// The error for a code other than 0.
    pub(crate) fn error(&self, code: i32) -> Error {
        // SAFETY: the function takes any number and gives a text that ends in 0 and lives as long as the code.
        let message = unsafe {
            let text = (self.inner.message)(code);
            if text.is_null() { "unknown code".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Error { file: self.inner.file.clone(), reason: Reason::Model { code, message } }
    }
}

/// Looks up `NAME_suffix`.
///
/// # Safety
///
/// The symbol has the type `T`, a function pointer, and is not used after the library is closed.
unsafe fn symbol<T: Copy>(library: &Library, name: &str, suffix: &str, path: &Path) -> Result<T, Error> {
    let full = format!("{name}_{suffix}\0");
    // SAFETY: the caller's.
    let found = unsafe { library.get::<T>(full.as_bytes()) };
    found.map(|it| *it).map_err(|_| Reason::MissingSymbol(format!("{name}_{suffix}")).of(path))
}
