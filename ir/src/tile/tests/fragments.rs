//! Fragments, products of matrices, and copies that arrive late: what the verifier asks, and what they compute.

use super::{run_once, tile};
use crate::tile::interp::{Buffer, Cause};
use crate::tile::verify;
use crate::{DType, Facts};
use half::f16;

/// A tile with matrices around a body.
fn around(body: &str) -> String {
    format!(
        "tile k indexed (@0 a: f16[40, 24] input, @1 c: f32[3, 16, 8] input, @2 bias: f32[8] input, @3 y: f32[16, 8] output,
           @4 near: f16[16, 16] scratch, @5 far: f16[2, 16, 16] output) tasks %t: 1 {{ {body} }}"
    )
}

fn assert_wrong(body: &str, message: &str) {
    let found = verify(&tile(&around(body)), &Facts::default()).map_or_else(|e| e.to_string(), |_| String::new());
    assert!(found.contains(message), "`{body}` gives `{found}`, not `{message}`");
}

fn assert_right(body: &str) {
    if let Err(e) = verify(&tile(&around(body)), &Facts::default()) {
        panic!("{e}");
    }
}

#[test]
fn fragments_have_the_types_of_their_roles() {
    assert_right("%f = fragment f16x256 mma.f16 a @0[24, 8] along 0");
    assert_right("%f = fragment f16x128 mma.f16 b transposed @0[32, 8] along 0");
    assert_right("%f = fragment f16x128 mma.f16 c @0[24, 16] along 0 %g = convert f32x128 f16x128 %f");
    assert_wrong("%f = fragment f16x128 mma.f16 a @0[0, 0] along 0", "a matrix a of `mma.f16` is no f16x128");
    assert_wrong("%f = fragment f32x256 mma.f16 c @1[0, 0, 0] along 1", "a matrix c of `mma.f16` is no f32x256");
    assert_wrong("%f = fragment f16x256 f32x4 a @0[0, 0] along 0", "`f32x4` is no row of matrices");
    assert_wrong("%f = fragment f16x256 mma.bf16 a @0[0, 0] along 0", "is no f16x256");
    let (a, b) =
        ("%a = fragment f16x256 mma.f16 a @0[0, 0] along 0", "%b = fragment f16x128 mma.f16 b @0[0, 0] along 0");
    let cell = "cell %s: f32x128 = 0.0";
    assert_right(&format!("{a} {b} {cell} dot mma.f16 %s, %a, %b"));
    assert_wrong(&format!("{a} {b} {cell} dot mma.f16 %s, %b, %a"), "expected type f16x256, found f16x128");
    assert_wrong(&format!("{a} {b} cell %s: i32x128 = 0 dot mma.f16 %s, %a, %b"), "expected type f32x128");
}

#[test]
fn all_lines_of_a_fragment_are_in_bounds() {
    assert_wrong("%f = fragment f16x256 mma.f16 a @0[25, 8] along 0", "cannot prove 25 + 16 <= 40");
    assert_wrong("%f = fragment f16x256 mma.f16 a @0[24, 9] along 0", "cannot prove 9 + 16 <= 24");
    assert_wrong("%f = fragment f16x128 mma.f16 b transposed @0[33, 8] along 0", "cannot prove 33 + 8 <= 40");
    assert_wrong("%f = fragment f32x128 mma.f16 c @1[1, 0, 0] along 0", "cannot prove 1 + 16 <= 3");
    assert_wrong("%f = fragment f16x256 mma.f16 a @0[0, 0] along 1", "lines along dimension 1, which is no outer one");
    assert_wrong("%f = fragment f16x256 mma.f16 a @0[0, 0] apart 48", "a distance in the indexed phase");
    assert_wrong("storefragment f32x128 mma.f16 c @3[1, 0] along 0, 0.0", "cannot prove 1 + 16 <= 16");
    assert_wrong("storefragment f32x128 mma.f16 c @3[0, 0] same, 0.0", "lines of a stored fragment are apart");
    assert_wrong("storefragment f32x128 mma.f16 c @1[0, 0, 0] along 1, 0.0", "input `c` is not for writing");
    let two = "tile k indexed (@0 y: f32[24, 8] output) tasks %t: 2 { storefragment f32x128 mma.f16 c @0[8*%t, 0] along 0, 0.0 }";
    assert_eq!(verify(&tile(two), &Facts::default()).unwrap().len(), 1, "tasks overlap");
    let apart = two.replace("f32[24", "f32[32").replace("8*%t", "16*%t");
    assert_eq!(verify(&tile(&apart), &Facts::default()).unwrap(), []);
}

#[test]
fn copies_go_from_inputs_to_scratch() {
    assert_right("copy f16x8 @4[0, 8], @0[0, 16] commit wait 0");
    assert_right("loop abreast %i in 0..2 { copy f16x8 @4[%i, 0], @0[%i, 23], first 1 }");
    assert_wrong("copy f16x8 @4[0, 0], @0[0, 17]", "cannot prove 17 + 8 <= 24");
    assert_wrong("copy f16x8 @4[0, 9], @0[0, 0], first 1", "cannot prove 9 + 8 <= 16");
    assert_wrong("copy f16x16 @4[0, 0], @0[0, 0]", "of 4, 8 or 16 bytes, and f16x16 is not");
    assert_wrong("copy f16 @4[0, 0], @0[0, 0]", "of 4, 8 or 16 bytes, and f16 is not");
    assert_wrong("copy f16x8 @5[0, 0, 0], @0[0, 0]", "from an input to scratch memory");
    assert_wrong("copy f32x4 @4[0, 0], @1[0, 0, 0]", "`near` holds f16, not f32");
    assert_wrong("loop abreast %i in 0..2 { commit }", "waited for outside of loops abreast");
    assert_wrong("loop abreast %i in 0..2 { if 0 <= %i < 1 { wait 0 } }", "waited for outside of loops abreast");
}

fn buffers() -> Vec<Buffer> {
    let numbers = |count: usize| (0..count).map(|n| (n % 13) as f32 - 6.0);
    vec![
        Buffer::of(&numbers(40 * 24).map(f16::from_f32).collect::<Vec<_>>()),
        Buffer::of(&numbers(3 * 16 * 8).collect::<Vec<_>>()),
        Buffer::of(&numbers(8).collect::<Vec<_>>()),
        Buffer::filled(vec![0; 16 * 8 * DType::F32.bytes()]),
        Buffer::filled(vec![0; 2 * 16 * 16 * DType::F16.bytes()]),
    ]
}

#[test]
fn a_product_is_the_sum_of_products() {
    let mut memory = buffers();
    let body =
        "%a = fragment f16x256 mma.f16 a @0[3, 5] along 0 %b = fragment f16x128 mma.f16 b transposed @0[20, 2] along 0
                %c = fragment f32x128 mma.f16 c @2[0] same cell %s: f32x128 = %c dot mma.f16 %s, %a, %b
                storefragment f32x128 mma.f16 c @3[0, 0] along 0, %s";
    run_once(&around(body), &mut memory).unwrap();
    let a: Vec<f32> = memory[0].elements::<f16>().unwrap().into_iter().map(f32::from).collect();
    let bias: Vec<f32> = memory[2].elements().unwrap();
    for (at, found) in memory[3].elements::<f32>().unwrap().into_iter().enumerate() {
        let (row, column) = (at / 8, at % 8);
        let sum: f32 = (0..16).map(|k| a[(3 + row) * 24 + 5 + k] * a[(20 + column) * 24 + 2 + k]).sum();
        assert_eq!(found, bias[column] + sum, "{row}, {column}");
    }
}

#[test]
fn short_floats_are_rounded_before_they_are_multiplied() {
    let text = "tile k indexed (@0 x: f32[16, 8] input, @1 y: f32[16, 8] output) tasks %t: 1 {
                  %a = fragment f32x128 mma.tf32 a @0[0, 0] along 0 %b = fragment f32x64 mma.tf32 b @0[0, 0] along 0
                  cell %s: f32x128 = 0.0 dot mma.tf32 %s, %a, %b storefragment f32x128 mma.tf32 c @1[0, 0] along 0, %s }";
    let mut x = [0.0f32; 128];
    (x[0], x[9]) = (1.0 + 1.0 / 2048.0, 3.0);
    let mut memory = [Buffer::of(&x), Buffer::filled(vec![0; 512])];
    run_once(text, &mut memory).unwrap();
    let y = memory[1].elements::<f32>().unwrap();
    let rounded = 1.0 + 1.0 / 1024.0;
    assert_eq!((y[0], y[9]), (rounded * rounded, 9.0));
}

#[test]
fn copies_are_there_when_they_were_waited_for() {
    let read = "%v = load f16x8 @4[0, 0] store f16x8 @5[0, 0, 0], %v";
    let cause = |body: &str| run_once(&around(body), &mut buffers()).err().map(|trap| trap.cause);
    let copy = "copy f16x8 @4[0, 0], @0[1, 0], first 3";
    let mut memory = buffers();
    run_once(&around(&format!("{copy} commit copy f16x8 @4[1, 0], @0[0, 0] commit wait 1 {read} wait 0")), &mut memory)
        .unwrap();
    let y: Vec<f32> = memory[4].elements::<f16>().unwrap()[..8].iter().map(|x| f32::from(*x)).collect();
    assert_eq!(y, [5.0, 6.0, -6.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let coming = |byte| Some(Cause::Coming("near".into(), byte));
    assert_eq!(cause(&format!("{copy} commit {read} wait 0")), coming(0));
    assert_eq!(cause(&format!("{copy} commit wait 1 {read} wait 0")), coming(0));
    assert_eq!(cause(&format!("{copy} {copy} commit wait 0")), coming(0));
    assert_eq!(cause(&format!("{copy} store f16 @4[0, 2], 1.0 commit wait 0")), coming(4));
    assert_eq!(cause(&format!("{copy} wait 0")), Some(Cause::Unwaited));
    assert_eq!(cause(&format!("{copy} commit")), Some(Cause::Unwaited));
}
