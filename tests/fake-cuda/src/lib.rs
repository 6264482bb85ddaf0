//! `libcuda.so.1` without a GPU: the functions of the driver that the runtime calls, whose kernels run in the PTX
//! interpreter. For tests.
//!
//! In: calls with the types of the real driver.  Out: its results; what the interpreter finds wrong is error 719, whose text
//! tells it. The GPU is an sm_90, or what `FAKE_CUDA_CAPABILITY` says, with memory for `FAKE_CUDA_BYTES`; the driver is of CUDA
//! 12.8, or `FAKE_CUDA_VERSION`, and refuses all code with the log `FAKE_CUDA_LOG`, if there is one.
//!
//! Invariants: a call before `cuInit`, or on a thread without a context, is an error, as is a handle that was not given
//! out, a launch that exceeds a limit, a copy out of bounds.
#![allow(unsafe_code)] // has the driver's C interface.
#![allow(clippy::missing_safety_doc, reason = "the driver's documentation is theirs")]

mod install;
mod state;

pub use install::install;

use state::{Fake, INVALID_VALUE, NOT_FOUND, Result, with, with_context};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

/// As the driver has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: c_uint) -> c_int {
    if flags == 0 { state::initialize() } else { INVALID_VALUE }
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    with(|fake| unsafe { write(version, fake.version) })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    with(|_| unsafe { write(count, 1) })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    // SAFETY: the caller's.
    with(|_| if ordinal == 0 { unsafe { write(device, 0) } } else { Err(state::INVALID_DEVICE) })
}

/// As the driver has it, for the attributes that the runtime asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) -> c_int {
    with(|fake| {
        let found = match attribute {
            16 => 2,
            39 => 1024,
            75 => fake.capability / 10,
            76 => fake.capability % 10,
            _ => return Err(INVALID_VALUE),
        };
        // SAFETY: the caller's.
        unsafe { write(value, found) }
    })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut usize, _device: c_int) -> c_int {
    // SAFETY: the caller's.
    with(|_| unsafe { write(context, state::CONTEXT) })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: usize) -> c_int {
    with(|_| state::enter(context))
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> c_int {
    with_context(|_| Ok(()))
}

/// As the driver has it, with the options for a log of errors alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadDataEx(
    module: *mut usize,
    code: *const c_char,
    count: c_uint,
    options: *const c_int,
    values: *const *mut c_void,
) -> c_int {
    with_context(|fake| {
        // SAFETY: the caller's.
        let (text, options, values) = unsafe {
            let (count, text) = (count as usize, CStr::from_ptr(code));
            (text, std::slice::from_raw_parts(options, count), std::slice::from_raw_parts(values, count))
        };
        match fake.load(&text.to_string_lossy()) {
            // SAFETY: the caller's.
            Ok(handle) => unsafe { write(module, handle) },
            Err((code, log)) => {
                if let (&[5, 6], &[buffer, size]) = (options, values) {
                    // SAFETY: the caller's log has the size that it says.
                    unsafe { write_text(buffer.cast(), size.addr(), &log) };
                }
                Err(code)
            }
        }
    })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(module: usize) -> c_int {
    with_context(|fake| fake.modules.remove(&module).map(drop).ok_or(state::INVALID_HANDLE))
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) -> c_int {
    with_context(|fake| {
        // SAFETY: the caller's.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let code = fake.modules.get(&module).ok_or(state::INVALID_HANDLE)?;
        let place = code.entries.iter().position(|entry| entry.name == name).ok_or(NOT_FOUND)?;
        // SAFETY: the caller's.
        unsafe { write(function, module + place) }
    })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    with_context(|fake| {
        let found = fake.allocate(bytes)?;
        // SAFETY: the caller's.
        unsafe { write(address, found) }
    })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    with_context(|fake| fake.free(address))
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> c_int {
    with_context(|fake| {
        // SAFETY: the caller's.
        let bytes = unsafe { std::slice::from_raw_parts(from.cast(), bytes) };
        fake.memory.write(to, bytes).map_err(|why| fake.fail(why))
    })
}

/// As the driver has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> c_int {
    with_context(|fake| {
        // SAFETY: the caller's.
        let bytes = unsafe { std::slice::from_raw_parts_mut(to.cast(), bytes) };
        fake.memory.read(from, bytes).map_err(|why| fake.fail(why))
    })
}

/// As the driver has it, for blocks of one dimension and no shared memory of the caller's choice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    _stream: usize,
    params: *const *const c_void,
    _extra: *const *mut c_void,
) -> c_int {
    with_context(|fake| {
        let most = [i32::MAX as c_uint, 65535, 65535];
        let grid = [grid_x, grid_y, grid_z];
        let fits = grid.iter().zip(most).all(|(blocks, most)| *blocks <= most) && block_x <= 1024;
        if !fits || [block_y, block_z, shared] != [1, 1, 0] {
            return Err(INVALID_VALUE);
        }
        let (_, entry) = fake.entry(function)?;
        let mut bytes = Vec::new();
        for (place, (offset, size)) in entry.params.iter().enumerate() {
            bytes.resize(*offset, 0);
            // SAFETY: the caller gives a pointer for each parameter, to as many bytes as it has.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts((*params.add(place)).cast::<u8>(), *size) });
        }
        fake.launch(function, grid, block_x, &bytes)
    })
}

/// As the driver has it; of an error of a kernel, what it did wrong.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(error: c_int, text: *mut *const c_char) -> c_int {
    let found = state::text(error);
    // The text stays for ever, as a real driver's.
    let found = CString::new(found).unwrap_or_default().into_raw();
    // SAFETY: the caller's.
    unsafe { *text = found };
    0
}

/// # Safety
///
/// `to` is valid for writes.
unsafe fn write<T>(to: *mut T, value: T) -> Result<()> {
    // SAFETY: the caller's.
    unsafe { to.write(value) };
    Ok(())
}

/// # Safety
///
/// `to` has room for so many bytes.
unsafe fn write_text(to: *mut u8, room: usize, text: &str) {
    let count = text.len().min(room.saturating_sub(1));
    // SAFETY: the caller's.
    unsafe {
        to.copy_from_nonoverlapping(text.as_ptr(), count);
        *to.add(count) = 0;
    }
}

impl Fake {
    fn fail(&mut self, why: String) -> c_int {
        self.wrong = why;
        state::LAUNCH_FAILED
    }
}
