//! What the driver keeps between calls.

use mlc_ptx_interp::{Device, Entry, Module};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

/// A value, or the driver's number of an error.
pub(crate) type Result<T> = std::result::Result<T, c_int>;

pub(crate) const INVALID_VALUE: c_int = 1;
const OUT_OF_MEMORY: c_int = 2;
const NOT_INITIALIZED: c_int = 3;
pub(crate) const INVALID_DEVICE: c_int = 101;
const INVALID_CONTEXT: c_int = 201;
const NO_BINARY: c_int = 209;
const INVALID_PTX: c_int = 218;
const UNSUPPORTED_VERSION: c_int = 222;
pub(crate) const INVALID_HANDLE: c_int = 400;
pub(crate) const NOT_FOUND: c_int = 500;
pub(crate) const LAUNCH_FAILED: c_int = 719;

/// The handle of the only context.
pub(crate) const CONTEXT: usize = 0xc0de;
/// Handles of functions follow that of their module.
const MOST_ENTRIES: usize = 1 << 20;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

static FAKE: Mutex<Option<Fake>> = Mutex::new(None);

/// The driver and its GPU.
pub(crate) struct Fake {
    pub memory: Device,
    pub modules: BTreeMap<usize, Module>,
    /// Compute capability, ten times the major version and the minor one.
    pub capability: c_int,
    /// 1000 times the major version and 10 times the minor one.
    pub version: c_int,
    /// What the compiler says to all code.
    log: Option<String>,
    /// Sizes of allocations.
    sizes: BTreeMap<u64, usize>,
    most: usize,
    next: usize,
    /// What went wrong in a kernel; every later call fails too.
    pub wrong: String,
}

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

pub(crate) fn initialize() -> c_int {
    let mut fake = FAKE.lock().unwrap_or_else(PoisonError::into_inner);
    fake.get_or_insert_with(|| Fake {
        memory: Device::new(),
        modules: BTreeMap::new(),
        capability: number("FAKE_CUDA_CAPABILITY", 90) as c_int,
        version: number("FAKE_CUDA_VERSION", 12_080) as c_int,
        log: std::env::var("FAKE_CUDA_LOG").ok(),
        sizes: BTreeMap::new(),
        most: number("FAKE_CUDA_BYTES", 4 << 30),
        next: MOST_ENTRIES,
        wrong: String::new(),
    });
    0
}

/// Runs a call.
pub(crate) fn with(call: impl FnOnce(&mut Fake) -> Result<()>) -> c_int {
    let mut fake = FAKE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(fake) = fake.as_mut() else { return NOT_INITIALIZED };
    call(fake).err().unwrap_or(0)
}

/// Runs a call that needs a context.
pub(crate) fn with_context(call: impl FnOnce(&mut Fake) -> Result<()>) -> c_int {
    with(|fake| if CURRENT.get() == CONTEXT { call(fake) } else { Err(INVALID_CONTEXT) })
}

pub(crate) fn enter(context: usize) -> Result<()> {
    if context != CONTEXT {
        return Err(INVALID_CONTEXT);
    }
    CURRENT.set(context);
    Ok(())
}

/// What an error is.
pub(crate) fn text(error: c_int) -> String {
    let fake = FAKE.lock().unwrap_or_else(PoisonError::into_inner);
    match error {
        OUT_OF_MEMORY => "out of memory".into(),
        NOT_INITIALIZED => "initialization error".into(),
        INVALID_CONTEXT => "invalid device context".into(),
        NO_BINARY => "no kernel image is available for execution on the device".into(),
        UNSUPPORTED_VERSION => "the provided PTX was compiled with an unsupported toolchain.".into(),
        INVALID_PTX => "a PTX JIT compilation failed".into(),
        LAUNCH_FAILED => fake.as_ref().map_or_else(String::new, |fake| fake.wrong.clone()),
        _ => "error".into(),
    }
}

/// The first version of the driver that knows a version of PTX, by the list of its releases.
fn needed(version: &str) -> Option<c_int> {
    let (major, minor) = version.split_once('.')?;
    let (major, minor): (c_int, c_int) = (major.parse().ok()?, minor.parse().ok()?);
    Some(match (major, minor) {
        (6, 3..=5) => 10_000 + 10 * (minor - 3),
        (7, 0..=8) => 11_000 + 10 * minor,
        (8, 0..=5) => 12_000 + 10 * minor,
        (8, 6) => 12_070,
        (8, 7) => 12_080,
        _ => return None,
    })
}

impl Fake {
    /// Loads a module; of an error, its number and the log.
    pub fn load(&mut self, text: &str) -> std::result::Result<usize, (c_int, String)> {
        if let Some(log) = &self.log {
            return Err((INVALID_PTX, log.clone()));
        }
        let module = Module::parse(text).map_err(|why| (INVALID_PTX, why))?;
        if needed(&module.version).is_none_or(|needed| needed > self.version) {
            return Err((UNSUPPORTED_VERSION, format!("the version is {}", module.version)));
        }
        let wanted: Option<c_int> = module.target.strip_prefix("sm_").and_then(|digits| digits.parse().ok());
        if wanted.is_none_or(|wanted| wanted > self.capability) {
            return Err((NO_BINARY, format!("the target is {}", module.target)));
        }
        let handle = self.next;
        self.next += MOST_ENTRIES;
        self.modules.insert(handle, module);
        Ok(handle)
    }

    /// The entry that a function's handle stands for, and its module's handle.
    pub fn entry(&self, function: usize) -> Result<(usize, &Entry)> {
        let (handle, module) = self.modules.range(..=function).next_back().ok_or(INVALID_HANDLE)?;
        Ok((*handle, module.entries.get(function - handle).ok_or(INVALID_HANDLE)?))
    }

    pub fn allocate(&mut self, bytes: usize) -> Result<u64> {
        if bytes == 0 {
            return Err(INVALID_VALUE);
        }
        if self.sizes.values().sum::<usize>() + bytes > self.most {
            return Err(OUT_OF_MEMORY);
        }
        let address = self.memory.allocate(bytes);
        self.sizes.insert(address, bytes);
        Ok(address)
    }

    pub fn free(&mut self, address: u64) -> Result<()> {
        self.sizes.remove(&address).ok_or(INVALID_VALUE)?;
        self.memory.free(address).map_err(|_| INVALID_VALUE)
    }

    pub fn launch(&mut self, function: usize, grid: [u32; 3], threads: u32, params: &[u8]) -> Result<()> {
        let (handle, _) = self.entry(function)?;
        let entry = &self.modules[&handle].entries[function - handle];
        entry.launch(grid, threads, params, &mut self.memory).map(|_| ()).map_err(|why| {
            self.wrong = why;
            LAUNCH_FAILED
        })
    }
}
