//! When two kernels are the same.
//!
//! In: a kernel and its program.  Out: texts that are equal for kernels that differ in nothing but names and in which
//! buffers they work on.

use crate::layout::Layout;
use mlc_ir::program::{Kernel, Program};
use std::fmt::Write;
use xxhash_rust::xxh3::xxh3_64;

/// What decides a kernel's tile: its text with its buffers numbered as they come, and how these lie; and the buffers.
pub fn signature(kernel: &Kernel, program: &Program, layouts: &[Layout]) -> (String, Vec<u32>) {
    text(kernel, program, &|buffer| Some(&layouts[buffer as usize]))
}

/// What a measured schedule is kept under: the same, but for how constants lie, because that follows from the schedule.
pub fn key(kernel: &Kernel, program: &Program, layouts: &[Layout]) -> u64 {
    let free = |buffer: u32| program.buffer(buffer).constant.is_some();
    let (text, _) = text(kernel, program, &|buffer| (!free(buffer)).then(|| &layouts[buffer as usize]));
    xxh3_64(text.as_bytes())
}

fn text<'a>(kernel: &Kernel, program: &Program, layout: &dyn Fn(u32) -> Option<&'a Layout>) -> (String, Vec<u32>) {
    let text = Kernel { name: "".into(), ..kernel.clone() }.to_string();
    let (mut key, mut buffers): (String, Vec<u32>) = (String::new(), Vec::new());
    let mut parts = text.split('@');
    key.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let Ok(buffer) = number.parse::<u32>() else {
            let _ = write!(key, "@{part}");
            continue;
        };
        let place = buffers.iter().position(|&b| b == buffer).unwrap_or_else(|| {
            buffers.push(buffer);
            buffers.len() - 1
        });
        let _ = write!(key, "@{place}{rest}");
    }
    for &buffer in &buffers {
        let definition = program.buffer(buffer);
        let (dtype, shape, constant) = (definition.dtype, &definition.shape, definition.constant.is_some());
        let _ = write!(key, "\n{dtype} {shape:?} {constant}");
        let _ = layout(buffer).map_or(Ok(()), |layout| write!(key, " {layout:?}"));
    }
    (key, buffers)
}
