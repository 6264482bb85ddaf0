//! The functions of the driver's library that are used here.
#![allow(unsafe_code)] // calls functions of a library.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

/// An error of this module, for people.
pub(super) type Result<T> = std::result::Result<T, String>;

/// The first version that has all these functions: that of CUDA 10.
const OLDEST: c_int = 10_000;

macro_rules! functions {
    ($($field:ident = $symbol:literal ($($arg:ty),*);)+) => {
        /// The library.
        pub(super) struct Driver {
            $(pub $field: unsafe extern "C" fn($($arg),*) -> c_int,)+
            _library: Library,
        }

        impl Driver {
            fn of(library: Library) -> Result<Driver> {
                Ok(Driver {
                    // SAFETY: these are the types of the driver's functions, and the library stays with them.
                    $($field: *unsafe { library.get(concat!($symbol, "\0").as_bytes()) }
                        .map_err(|_| concat!("the NVIDIA driver is too old: it has no ", $symbol))?,)+
                    _library: library,
                })
            }
        }
    };
}

functions! {
    init = "cuInit" (c_uint);
    version = "cuDriverGetVersion" (*mut c_int);
    count = "cuDeviceGetCount" (*mut c_int);
    device = "cuDeviceGet" (*mut c_int, c_int);
    attribute = "cuDeviceGetAttribute" (*mut c_int, c_int, c_int);
    retain = "cuDevicePrimaryCtxRetain" (*mut usize, c_int);
    set_current = "cuCtxSetCurrent" (usize);
    synchronize = "cuCtxSynchronize" ();
    load = "cuModuleLoadDataEx" (*mut usize, *const c_char, c_uint, *const c_int, *const *mut c_void);
    unload = "cuModuleUnload" (usize);
    function = "cuModuleGetFunction" (*mut usize, usize, *const c_char);
    allocate = "cuMemAlloc_v2" (*mut u64, usize);
    free = "cuMemFree_v2" (u64);
    up = "cuMemcpyHtoD_v2" (u64, *const c_void, usize);
    down = "cuMemcpyDtoH_v2" (*mut c_void, u64, usize);
    launch = "cuLaunchKernel" (usize, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, usize,
        *const *const c_void, *const *mut c_void);
    error_text = "cuGetErrorString" (c_int, *mut *const c_char);
}

const LIBRARY: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

impl Driver {
    /// The driver of this machine.
    pub fn get() -> Result<&'static Driver> {
        static DRIVER: OnceLock<Result<Driver>> = OnceLock::new();
        DRIVER.get_or_init(Driver::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Driver> {
        // SAFETY: the driver's library is made to be loaded by any program.
        let library = unsafe { Library::new(LIBRARY) };
        let library = library.map_err(|error| format!("no NVIDIA driver: {LIBRARY} cannot be loaded ({error})"))?;
        let driver = Driver::of(library)?;
        // SAFETY: the first call, as the driver asks; then one that writes a number.
        unsafe {
            driver.check((driver.init)(0), "starting the driver")?;
            let mut version = 0;
            driver.check((driver.version)(&mut version), "asking for the driver's version")?;
            if version < OLDEST {
                return Err(format!("the NVIDIA driver is too old: it is for CUDA {}, 10 is needed", version / 1000));
            }
        }
        Ok(driver)
    }

    /// An error for a result other than 0.
    pub fn check(&self, result: c_int, doing: &str) -> Result<()> {
        if result == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        // SAFETY: writes a pointer to a text that ends in 0 and stays, or none.
        let text = unsafe {
            match (self.error_text)(result, &mut text) {
                0 if !text.is_null() => CStr::from_ptr(text).to_string_lossy().into_owned(),
                _ => "unknown".into(),
            }
        };
        Err(format!("{doing}: {text} (CUDA error {result})"))
    }

    /// A number that describes a GPU.
    pub fn number(&self, device: c_int, attribute: Attribute) -> Result<i64> {
        let mut value = 0;
        // SAFETY: writes a number.
        self.check(unsafe { (self.attribute)(&mut value, attribute as c_int, device) }, "asking about the GPU")?;
        Ok(value.into())
    }
}

/// What can be asked of a GPU, by the driver's numbers.
#[derive(Clone, Copy)]
pub(super) enum Attribute {
    Multiprocessors = 16,
    ThreadsOfMultiprocessor = 39,
    Major = 75,
    Minor = 76,
}
