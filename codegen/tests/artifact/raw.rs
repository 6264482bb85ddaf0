//! Models from code in memory, which here is Rust: what a host does with what a model answers.
#![allow(unsafe_code)] // plays the part of compiled code.

use std::ffi::{c_char, c_void};
use std::slice;

use mlc_abi::{Host, Tensor, code};
use mlc_codegen::artifact::{Dim, Placement, architecture, descriptor};
use mlc_runtime::{Model, RawParts, Reason, TensorView};

use crate::{host, tiny};

/// As many rows as fit: the output's first dim depends on data.
unsafe extern "C" fn plan(inputs: *const Tensor, outputs: *mut Tensor, arena: *mut u64, workers: u32) -> i32 {
    // SAFETY: the runtime passes one input and one output of rank 2.
    unsafe {
        slice::from_raw_parts_mut((*outputs).shape, 2).copy_from_slice(slice::from_raw_parts((*inputs).shape, 2));
        *arena = u64::from(workers) * 64;
    }
    code::OK
}

/// Keeps the rows whose first element is positive; adds the weights' first number to each element.
unsafe extern "C" fn run(
    weights: *const c_void,
    inputs: *const Tensor,
    outputs: *mut Tensor,
    arena: *mut c_void,
    bytes: u64,
    host: *const Host,
) -> i32 {
    // SAFETY: as planned; the arena is as large as asked for.
    unsafe {
        let (input, output) = (&*inputs, &mut *outputs);
        if bytes < 64 || !arena.addr().is_multiple_of(64) || (*host).abi != mlc_abi::ABI {
            return code::ARENA_TOO_SMALL;
        }
        arena.cast::<u8>().write_bytes(1, bytes as usize);
        let add = *weights.cast::<f32>();
        let x = slice::from_raw_parts(input.data.cast::<f32>(), input.bytes as usize / 4);
        let y = slice::from_raw_parts_mut(output.data.cast::<f32>(), output.bytes as usize / 4);
        let mut rows = 0;
        for row in x.chunks(4).filter(|row| row[0] > 0.0) {
            y[rows * 4..][..4].iter_mut().zip(row).for_each(|(y, x)| *y = x + add);
            rows += 1;
        }
        // A first element of 99 plays a faulty model, which claims more rows than were planned.
        *output.shape = if x[0] == 99.0 { 1 << 40 } else { rows as i64 };
    }
    code::OK
}

unsafe extern "C" fn message(_: i32) -> *const c_char {
    c"said by the model".as_ptr()
}

#[test]
fn code_in_memory_runs_like_a_file() {
    let Some(triple) = host() else { return };
    let arch = architecture(&triple.parse().expect("triple")).expect("arch");
    let mut description = tiny::description("tiny", 16, Placement::Sidecar);
    description.outputs[0].dims[0] = Dim::AtMost("n".into());
    let weights = tiny::weights(16);
    let parts = |weights: *const c_void| RawParts {
        plan,
        run,
        message,
        descriptor: descriptor::build(&description, arch),
        weights,
        keep: Box::new(()),
    };
    // SAFETY: the functions above and the weights live as long as the test.
    let (model, none) =
        unsafe { (Model::from_raw(parts(weights.as_ptr().cast())), Model::from_raw(parts(std::ptr::null()))) };
    assert!(matches!(none.map(drop).expect_err("weights").reason, Reason::Input(_)));
    let model = model.expect("model");
    let mut session = model.session(2).expect("session");
    let mut outputs = Vec::new();
    for (first, rows) in [(-1.0, 1), (1.0, 2)] {
        let x = [first, 0f32, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0];
        session.run_into(&[TensorView::of(&x, &[2, 4]).expect("view")], &mut outputs).expect("run");
        assert_eq!(outputs[0].shape(), [rows, 4]);
        let y = outputs[0].as_slice::<f32>().expect("f32");
        assert_eq!((y.len() as i64, y[y.len() - 1]), (rows * 4, 10.0));
    }
    let x = [99f32; 4];
    let error = session.run(&[TensorView::of(&x, &[1, 4]).expect("view")]).expect_err("too large");
    assert!(error.to_string().contains("larger than planned"), "{error}");
}

#[test]
fn a_missing_feature_is_named() {
    let Some(triple) = host() else { return };
    let arch = architecture(&triple.parse().expect("triple")).expect("arch");
    let known = mlc_abi::feature::named(arch, u64::MAX).fold(0, |word, it| word | 1u64 << it.bit);
    let mut description = tiny::description("tiny", 0, Placement::Embedded);
    let mut open = |features| {
        description.features = features;
        let descriptor = descriptor::build(&description, arch);
        // SAFETY: nothing is called.
        let model = unsafe {
            Model::from_raw(RawParts { plan, run, message, descriptor, weights: std::ptr::null(), keep: Box::new(()) })
        };
        model.map(drop).map_err(|error| error.reason)
    };
    assert_eq!(open(mlc_runtime::features()), Ok(()));
    if let Some(lacking) = mlc_abi::feature::named(arch, known & !mlc_runtime::features()).next() {
        assert_eq!(open(1 << lacking.bit), Err(Reason::MissingFeature(lacking.name)));
    }
    assert!(matches!(open(1 << 63), Err(Reason::MissingFeature(_))));
}
