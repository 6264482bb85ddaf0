//! Runs a model that `build.rs` compiled and linked into this program.

use std::ffi::{CStr, c_char, c_void};

use mlc_abi::{Host, Tensor, dtype};

unsafe extern "C" {
    fn digits_plan(inputs: *const Tensor, outputs: *mut Tensor, arena_bytes: *mut u64, workers: u32) -> i32;
    fn digits_run(
        weights: *const c_void,
        inputs: *const Tensor,
        outputs: *mut Tensor,
        arena: *mut c_void,
        arena_bytes: u64,
        host: *const Host,
    ) -> i32;
    fn digits_message(code: i32) -> *const c_char;
}

/// One unit of the arena, aligned as a model asks.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; mlc_abi::ARENA_ALIGN as usize]);

fn check(code: i32) -> Result<(), String> {
    if code == mlc_abi::code::OK {
        return Ok(());
    }
    // SAFETY: the text of every code ends in 0 and lives as long as the program.
    Err(unsafe { CStr::from_ptr(digits_message(code)) }.to_string_lossy().into_owned())
}

/// The scores of one image of 28 by 28 pixels.
fn scores(image: &mut [f32; 28 * 28]) -> Result<[f32; 10], String> {
    let f32s = dtype::DTYPES.iter().find(|it| it.name == "f32").map_or(1, |it| it.number);
    let mut scores = [0f32; 10];
    let (mut image_shape, mut scores_shape) = ([1i64, 1, 28, 28], [0i64; 2]);
    let tensor = |data: &mut [f32], shape: &mut [i64]| Tensor {
        data: data.as_mut_ptr().cast(),
        shape: shape.as_mut_ptr(),
        rank: shape.len() as u32,
        dtype: f32s,
        bytes: size_of_val(data) as u64,
    };
    let input = tensor(image, &mut image_shape);
    let mut output = tensor(&mut scores, &mut scores_shape);
    let mut bytes = 0;
    // SAFETY: both tensors describe memory that lives and is not otherwise used until the end of this function.
    check(unsafe { digits_plan(&input, &mut output, &mut bytes, 1) })?;
    let mut arena = vec![Line([0; 64]); (bytes as usize).div_ceil(64).max(1)];
    // SAFETY: as above; the arena is aligned and as large as was planned.
    check(unsafe {
        digits_run(std::ptr::null(), &input, &mut output, arena.as_mut_ptr().cast(), bytes, std::ptr::null())
    })?;
    Ok(scores)
}

fn main() -> Result<(), String> {
    // A vertical stroke, four pixels wide.
    let mut image = [0f32; 28 * 28];
    for y in 4..24 {
        image[y * 28 + 12..y * 28 + 16].fill(1.0);
    }
    let scores = scores(&mut image)?;
    let mut best = 0;
    for (digit, score) in scores.iter().enumerate() {
        println!("{digit} {score:9.3}");
        best = if *score > scores[best] { digit } else { best };
    }
    println!("digit {best}");
    Ok(())
}
