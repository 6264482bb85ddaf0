//! The C interface; `include/mlc.h` is its documentation.
#![allow(unsafe_code)] // takes pointers from C.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

use mlc_abi::descriptor::{Dim, TensorRow};
use mlc_abi::{Tensor, code};

use crate::error::{Error, Reason};
use crate::model::{Model, Options};
use crate::session::{Session, Threads};

/// The code of every failure that is not a code of the model.
const FAILED: i32 = -1;

/// `mlc_open` flag: read all weights and compare their hash.
const VERIFY: u32 = 1;

/// `mlc_open` flag: tie each thread but the caller's to a processor.
const PIN: u32 = 2;

thread_local! {
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// `mlc_info`
#[repr(C)]
pub struct Info {
    name: *const c_char,
    dims: *const i64,
    rank: u32,
    dtype: u32,
}

/// What an [`Info`] points to.
struct Facts {
    name: CString,
    dims: Vec<i64>,
    dtype: u32,
}

/// `mlc_model`
pub struct Handle {
    session: Session,
    inputs: Vec<Facts>,
    outputs: Vec<Facts>,
    states: Vec<Option<u32>>,
    kernels: Vec<CString>,
}

/// A text for C; what is behind a 0 is lost.
fn c_text(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or("")).unwrap_or_default()
}

fn facts(row: TensorRow) -> Facts {
    let dims = row.dims().map(|dim| if let Dim::Fixed(n) = dim { n } else { -1 }).collect();
    Facts { name: c_text(row.name), dims, dtype: row.dtype }
}

/// Keeps an error for `mlc_last_error`; gives its code.
fn report(result: Result<(), Error>) -> i32 {
    let Err(error) = result else { return code::OK };
    let text = c_text(&error.to_string());
    // While a thread ends there is nobody left to ask for the text.
    let _ = LAST.try_with(|last| *last.borrow_mut() = Some(text));
    match error.reason {
        Reason::Model { code, .. } => code,
        _ => FAILED,
    }
}

fn null(what: &str) -> Error {
    Reason::Input(format!("{what} is null")).into()
}

/// The text of this thread's last error.
#[unsafe(no_mangle)]
pub extern "C" fn mlc_last_error() -> *const c_char {
    let text = LAST.try_with(|last| last.borrow().as_ref().map(|text| text.as_ptr()));
    text.ok().flatten().unwrap_or(c"".as_ptr())
}

/// The version of the binary interface.
#[unsafe(no_mangle)]
pub extern "C" fn mlc_abi_version() -> u32 {
    mlc_abi::ABI
}

/// Opens a model.
///
/// # Safety
///
/// `path` is null or a text that ends in 0; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_open(path: *const c_char, threads: u32, flags: u32, out: *mut *mut Handle) -> i32 {
    if path.is_null() || out.is_null() {
        return report(Err(null("mlc_open: path or out")));
    }
    // SAFETY: not null, so as the caller promised.
    let path = unsafe {
        *out = std::ptr::null_mut();
        CStr::from_ptr(path)
    };
    match open(path, threads, flags) {
        Ok(handle) => {
            // SAFETY: as above.
            unsafe { *out = Box::into_raw(Box::new(handle)) };
            code::OK
        }
        Err(error) => report(Err(error)),
    }
}

fn open(path: &CStr, threads: u32, flags: u32) -> Result<Handle, Error> {
    let path = path.to_str().map_err(|_| Reason::Input("mlc_open: path is not UTF-8".into()))?;
    let options = Options { verify: flags & VERIFY != 0, weights: None };
    let model = Model::open_with(path, &options)?;
    let session = model.session(Threads { count: threads as usize, pin: flags & PIN != 0 })?;
    let descriptor = model.descriptor();
    Ok(Handle {
        inputs: descriptor.inputs().map(facts).collect(),
        outputs: descriptor.outputs().map(facts).collect(),
        states: descriptor.outputs().map(|it| it.state).collect(),
        kernels: descriptor.kernels().map(c_text).collect(),
        session,
    })
}

/// Closes a model.
///
/// # Safety
///
/// `model` is null or from `mlc_open`, and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_close(model: *mut Handle) {
    if !model.is_null() {
        // SAFETY: made by `Box::into_raw` in `mlc_open`.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// The number of inputs.
///
/// # Safety
///
/// `model` is null or from `mlc_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_input_count(model: *const Handle) -> u32 {
    // SAFETY: the caller's.
    unsafe { model.as_ref() }.map_or(0, |it| it.inputs.len() as u32)
}

/// The number of outputs.
///
/// # Safety
///
/// `model` is null or from `mlc_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_output_count(model: *const Handle) -> u32 {
    // SAFETY: the caller's.
    unsafe { model.as_ref() }.map_or(0, |it| it.outputs.len() as u32)
}

/// Describes an input.
///
/// # Safety
///
/// `model` is null or from `mlc_open`; `info` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_input_info(model: *const Handle, index: u32, info: *mut Info) -> i32 {
    // SAFETY: the caller's.
    unsafe { describe(model.as_ref().map(|it| &it.inputs), index, info) }
}

/// Describes an output.
///
/// # Safety
///
/// `model` is null or from `mlc_open`; `info` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_output_info(model: *const Handle, index: u32, info: *mut Info) -> i32 {
    // SAFETY: the caller's.
    unsafe { describe(model.as_ref().map(|it| &it.outputs), index, info) }
}

/// The input that an output continues in the same memory; -1 if none.
///
/// # Safety
///
/// `model` is null or from `mlc_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_output_state(model: *const Handle, index: u32) -> i32 {
    // SAFETY: the caller's.
    let state = unsafe { model.as_ref() }.and_then(|it| *it.states.get(index as usize)?);
    state.map_or(-1, u32::cast_signed)
}

/// # Safety
///
/// `info` is null or valid for a write.
unsafe fn describe(rows: Option<&Vec<Facts>>, index: u32, info: *mut Info) -> i32 {
    let Some(facts) = rows.and_then(|rows| rows.get(index as usize)).filter(|_| !info.is_null()) else {
        return report(Err(Reason::Input(format!("no tensor {index}, or a null pointer")).into()));
    };
    let Facts { name, dims, dtype } = facts;
    // SAFETY: not null, so as the caller promised.
    unsafe { *info = Info { name: name.as_ptr(), dims: dims.as_ptr(), rank: dims.len() as u32, dtype: *dtype } };
    code::OK
}

/// Checks inputs and writes the shapes of outputs.
///
/// # Safety
///
/// `model` is null or from `mlc_open` and used by no other thread; the arrays have as many tensors as said, each as
/// `include/mlc.h` describes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_plan(
    model: *mut Handle,
    inputs: *const Tensor,
    input_count: u32,
    outputs: *mut Tensor,
    output_count: u32,
) -> i32 {
    // SAFETY: the caller's.
    let found = unsafe { tensors(model, inputs, input_count, outputs, output_count) };
    // SAFETY: the caller's.
    report(found.and_then(|(it, inputs, outputs)| unsafe { it.session.plan_raw(inputs, outputs) }.map(drop)))
}

/// Runs a model.
///
/// # Safety
///
/// As for [`mlc_plan`]; the data of outputs is disjoint from everything else but the input that one continues.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_run(
    model: *mut Handle,
    inputs: *const Tensor,
    input_count: u32,
    outputs: *mut Tensor,
    output_count: u32,
) -> i32 {
    // SAFETY: the caller's.
    let found = unsafe { tensors(model, inputs, input_count, outputs, output_count) };
    // SAFETY: the caller's.
    report(found.and_then(|(it, inputs, outputs)| unsafe { it.session.run_raw(inputs, outputs) }))
}

/// # Safety
///
/// Pointers are null or as the callers say.
unsafe fn tensors<'a>(
    model: *mut Handle,
    inputs: *const Tensor,
    input_count: u32,
    outputs: *mut Tensor,
    output_count: u32,
) -> Result<(&'a mut Handle, &'a [Tensor], &'a mut [Tensor]), Error> {
    let missing = |pointer: bool, count: u32| pointer && count > 0;
    if missing(inputs.is_null(), input_count) || missing(outputs.is_null(), output_count) {
        return Err(null("inputs or outputs"));
    }
    // SAFETY: null only with a count of 0, which then is an empty slice; else as the caller promised.
    unsafe {
        let inputs = if inputs.is_null() { &[] } else { std::slice::from_raw_parts(inputs, input_count as usize) };
        let outputs = match outputs.is_null() {
            true => &mut [],
            false => std::slice::from_raw_parts_mut(outputs, output_count as usize),
        };
        Ok((model.as_mut().ok_or_else(|| null("model"))?, inputs, outputs))
    }
}

/// Switches the profile on or off.
///
/// # Safety
///
/// `model` is null or from `mlc_open` and used by no other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_profile(model: *mut Handle, on: i32) {
    // SAFETY: the caller's.
    if let Some(handle) = unsafe { model.as_mut() } {
        handle.session.profile(on != 0);
    }
}

/// The number of kernels.
///
/// # Safety
///
/// `model` is null or from `mlc_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_kernel_count(model: *const Handle) -> u32 {
    // SAFETY: the caller's.
    unsafe { model.as_ref() }.map_or(0, |it| it.kernels.len() as u32)
}

/// Name, calls and nanoseconds of a kernel; the name is null if there is none.
///
/// # Safety
///
/// `model` is null or from `mlc_open`; the other pointers are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlc_kernel_time(
    model: *const Handle,
    index: u32,
    calls: *mut u64,
    nanoseconds: *mut u64,
) -> *const c_char {
    // SAFETY: the caller's.
    let handle = unsafe { model.as_ref() };
    let Some((handle, name)) = handle.and_then(|it| it.kernels.get(index as usize).map(|name| (it, name))) else {
        return std::ptr::null();
    };
    let sums = handle.session.timings();
    let sum = sums.get(index as usize).map_or((0, 0), |it| (it.calls, it.nanoseconds));
    // SAFETY: the caller's.
    unsafe {
        if !calls.is_null() {
            *calls = sum.0;
        }
        if !nanoseconds.is_null() {
            *nanoseconds = sum.1;
        }
    }
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header with the runtime's functions carries the shared types word for word.
    #[test]
    fn the_header_has_the_types_of_the_abi() {
        assert!(include_str!("../include/mlc.h").contains(mlc_abi::C_TYPES));
    }

    #[test]
    fn null_pointers_are_errors() {
        // SAFETY: null is allowed everywhere.
        unsafe {
            let none = std::ptr::null_mut();
            assert_eq!(mlc_open(std::ptr::null(), 1, 0, std::ptr::null_mut()), FAILED);
            assert_eq!(mlc_run(none, std::ptr::null(), 0, std::ptr::null_mut(), 0), FAILED);
            assert_eq!(CStr::from_ptr(mlc_last_error()).to_str(), Ok("model is null"));
            assert_eq!(mlc_run(none, std::ptr::null(), 1, std::ptr::null_mut(), 0), FAILED);
            assert_eq!((mlc_input_count(none), mlc_output_state(none, 0)), (0, -1));
            assert_eq!(mlc_input_info(none, 0, std::ptr::null_mut()), FAILED);
            assert!(mlc_kernel_time(none, 0, std::ptr::null_mut(), std::ptr::null_mut()).is_null());
            mlc_profile(none, 1);
            mlc_close(none);
            let mut out = none;
            assert_eq!(mlc_open(c"/nonexistent".as_ptr(), 1, 0, &mut out), FAILED);
            assert!(out.is_null());
        }
    }
}
