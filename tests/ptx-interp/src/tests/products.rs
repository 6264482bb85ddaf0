//! Whole products of matrices: one written by hand, one by another compiler; and what happens if something is left out.

use crate::{Counts, Device, Module};
use half::f16;

const SWIZZLED: &str = include_str!("../../fixtures/swizzled.ptx");
const INDEPENDENT: &str = include_str!("../../fixtures/independent.ptx");

/// Rows, columns and depth: four blocks, three steps.
const SIZES: [usize; 3] = [128, 128, 96];

/// Runs a kernel on numbers whose sums are exact, and compares.
fn run(text: &str) -> Result<Counts, String> {
    let [rows, columns, depth] = SIZES;
    let number = |at: usize, salt: usize| ((at * 7919 + salt) % 17) as f32 / 4.0 - 2.0;
    let a: Vec<f32> = (0..rows * depth).map(|at| number(at, 3)).collect();
    let b: Vec<f32> = (0..depth * columns).map(|at| number(at, 11)).collect();
    let mut device = Device::new();
    let mut params = Vec::new();
    for matrix in [&a, &b] {
        let bytes: Vec<u8> = matrix.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        let address = device.allocate(bytes.len());
        device.write(address, &bytes)?;
        params.extend(address.to_le_bytes());
    }
    let address = device.allocate(rows * columns * 4);
    params.extend(address.to_le_bytes());
    params.extend([columns as u32, depth as u32].iter().flat_map(|size| size.to_le_bytes()));

    let module = Module::parse(text)?;
    let grid = [columns as u32 / 64, rows as u32 / 64, 1];
    let counts = module.entries[0].launch(grid, 128, &params, &mut device)?;
    let mut bytes = vec![0; rows * columns * 4];
    device.read(address, &mut bytes)?;
    for (at, word) in bytes.chunks_exact(4).enumerate() {
        let (row, column) = (at / columns, at % columns);
        let expected: f32 = (0..depth).map(|k| a[row * depth + k] * b[k * columns + column]).sum();
        let found = f32::from_le_bytes(word.try_into().unwrap());
        if found != expected {
            return Err(format!("wrong at {row}, {column}: {found}, not {expected}"));
        }
    }
    Ok(counts)
}

/// A text without one of the places where something stands.
fn without(text: &str, what: &str, number: usize) -> String {
    let (at, _) = text.match_indices(what).nth(number).unwrap_or_else(|| panic!("{number} of {what}"));
    [&text[..at], &text[at + what.len()..]].concat()
}

#[test]
fn a_swizzled_product_waits_for_no_bank() {
    let counts = run(SWIZZLED).unwrap();
    assert_eq!(counts.matrices.ratio(), 1.0, "{counts:?}");
    assert_eq!(counts.stores.ratio(), 1.0, "{counts:?}");
    assert_eq!(counts.global.efficiency(), 1.0, "{counts:?}");
    // Four blocks of four warps, with three steps of two times eight instructions.
    assert_eq!(counts.products, 4 * 4 * 3 * 16);
}

#[test]
fn another_compilers_product_is_right() {
    let counts = run(INDEPENDENT).unwrap();
    assert_eq!(counts.matrices.ratio(), 1.0, "{counts:?}");
    assert_eq!(counts.products, 4 * 4 * 3 * 16);
}

#[test]
fn a_product_without_its_swizzle_is_right_and_waits() {
    let mut plain =
        SWIZZLED.replace("xor.b32 r12,r12,r11", "mov.u32 r12,r11").replace("xor.b32 r22,r22,r21", "mov.u32 r22,r21");
    plain = plain.replace("xor.b32 r50,r50,r34;", "").replace("xor.b32 r51,r51,r41;", "");
    let counts = run(&plain).unwrap();
    assert!(counts.matrices.ratio() > 5.0, "{counts:?}");
    // On one side alone, it is wrong.
    let why = run(&SWIZZLED.replace("xor.b32 r51,r51,r41;", "")).unwrap_err();
    assert!(why.contains("wrong at"), "{why}");
}

#[test]
fn what_is_left_out_is_missed() {
    let cases = [
        // A step begins before all copies are there, or overwrites what others still read.
        (SWIZZLED, "bar.sync 0;", 0, "a race"),
        (SWIZZLED, "bar.sync 0;", 1, "a race"),
        (SWIZZLED, "cp.async.wait_group 1;", 0, "is under way"),
        (SWIZZLED, "NOPF: cp.async.commit_group;", 0, "no label"),
        (SWIZZLED, "cp.async.commit_group;", 1, "is under way"),
        (SWIZZLED, "mov.f32 c5,0f00000000;", 0, "not written"),
        (INDEPENDENT, "cp.async.wait_group \t0;", 0, "is under way"),
        (INDEPENDENT, "bar.sync \t0;", 0, "a race"),
    ];
    for (text, what, number, expected) in cases {
        let why = run(&without(text, what, number)).expect_err(what);
        assert!(why.contains(expected), "{what}: {why}");
    }
    let why = run(&SWIZZLED.replace("wait_group 1;", "wait_group 2;")).unwrap_err();
    assert!(why.contains("is under way"), "{why}");
    let why = run(&SWIZZLED.replace(".b8 sB[8192]", ".b8 sB[4096]")).unwrap_err();
    assert!(why.contains("outside the block's shared memory"), "{why}");
}

#[test]
fn a_barrier_of_the_other_compiler_is_missed_where_it_is_needed() {
    let barriers = INDEPENDENT.matches("bar.sync \t0;").count();
    let missed = (0..barriers).filter(|number| run(&without(INDEPENDENT, "bar.sync \t0;", *number)).is_err());
    // Number 1 has nothing but reads before it, back to another barrier, and after it: the compiler was careful.
    assert!(missed.eq((0..barriers).filter(|number| *number != 1)));
}
