//! A whole product of matrices of half floats, with a bias and nothing below 0: panels come three steps ahead, four warps share a
//! block's 64 rows and columns, sums wait in registers.

use super::{assembled, compiled, expected, floats, launched, numbers, without};
use crate::ptx::Capability;
use half::f16;
use mlc_ir::tile::interp::Buffer;
use mlc_ptx_interp::Counts;

const ROWS: usize = 128;
const COLUMNS: usize = 128;
const DEPTH: usize = 160;
const TASKS: usize = 4;

/// The copies of a panel of each factor, as number `panel` in slot `slot`, by threads with variable `i`.
fn copies(i: &str, panel: &str, slot: &str) -> String {
    format!(
        "loop abreast %{i} in 0..128 {{ loop unroll %u in 0..2 {{
           copy f16x8 @4[{slot}, floordiv(%{i}, 4) + 32*%u, 8*mod(%{i}, 4)],
             @0[64*floordiv(%t, 2) + floordiv(%{i}, 4) + 32*%u, 32*({panel}) + 8*mod(%{i}, 4)]
           copy f16x8 @5[{slot}, floordiv(%{i}, 8) + 16*%u, 8*mod(%{i}, 8)],
             @1[32*({panel}) + floordiv(%{i}, 8) + 16*%u, 64*mod(%t, 2) + 8*mod(%{i}, 8)]
         }} }}"
    )
}

fn text() -> String {
    let (first, later) = (copies("i", "%p", "%p"), copies("j", "%k + 2", "mod(%k + 2, 3)"));
    let panels = DEPTH / 32;
    format!(
        "tile product indexed (@0 a: f16[{ROWS}, {DEPTH}] input, @1 b: f16[{DEPTH}, {COLUMNS}] input, @2 bias: f32[{COLUMNS}] input,
           @3 y: f16[{ROWS}, {COLUMNS}] output, @4 left: f16[3, 64, 40] scratch, @5 right: f16[3, 32, 72] scratch,
           @6 sums: f32[4, 8, 16, 8] scratch, @7 done: f16[64, 72] scratch) tasks %t: {TASKS} {{
           loop abreast %z in 0..4 {{ loop unroll %f in 0..8 {{
             storefragment f32x128 mma.f16 c @6[%z, %f, 0, 0] along 2, 0.0 }} }}
           loop serial %p in 0..2 {{ {first} commit }}
           loop serial %k in 0..{panels} {{
             wait 1
             if 0 <= %k < {last} {{ {later} }}
             commit
             loop abreast %w in 0..4 {{
               cell %s: f32x128[2, 4] = 0.0
               loop unroll %m in 0..2 {{ loop unroll %n in 0..4 {{
                 %c[%m, %n] = fragment f32x128 mma.f16 c @6[%w, 4*%m + %n, 0, 0] along 2
                 set %s[%m, %n] = %c[%m, %n] }} }}
               loop unroll %d in 0..2 {{
                 loop unroll %m in 0..2 {{
                   %a[%d, %m] = fragment f16x256 mma.f16 a @4[mod(%k, 3), 32*floordiv(%w, 2) + 16*%m, 16*%d] along 1 }}
                 loop unroll %n in 0..4 {{
                   %b[%d, %n] = fragment f16x128 mma.f16 b @5[mod(%k, 3), 16*%d, 32*mod(%w, 2) + 8*%n] along 1 }}
                 loop unroll %m in 0..2 {{ loop unroll %n in 0..4 {{ dot mma.f16 %s[%m, %n], %a[%d, %m], %b[%d, %n] }} }}
               }}
               loop unroll %m in 0..2 {{ loop unroll %n in 0..4 {{
                 storefragment f32x128 mma.f16 c @6[%w, 4*%m + %n, 0, 0] along 2, %s[%m, %n] }} }}
             }}
           }}
           loop abreast %v in 0..4 {{ loop unroll %m in 0..2 {{ loop unroll %n in 0..4 {{
             %sum[%m, %n] = fragment f32x128 mma.f16 c @6[%v, 4*%m + %n, 0, 0] along 2
             %bias[%m, %n] = fragment f32x128 mma.f16 c @2[64*mod(%t, 2) + 32*mod(%v, 2) + 8*%n] same
             %plus[%m, %n] = add f32x128 %sum[%m, %n], %bias[%m, %n]
             %above[%m, %n] = max f32x128 %plus[%m, %n], 0.0
             %half[%m, %n] = convert f16x128 f32x128 %above[%m, %n]
             storefragment f16x128 mma.f16 c @7[32*floordiv(%v, 2) + 16*%m, 32*mod(%v, 2) + 8*%n] along 0, %half[%m, %n]
           }} }} }}
           loop abreast %o in 0..128 {{ loop unroll %u in 0..4 {{
             %row[%u] = load f16x8 @7[floordiv(%o, 8) + 16*%u, 8*mod(%o, 8)]
             store f16x8 @3[64*floordiv(%t, 2) + floordiv(%o, 8) + 16*%u, 64*mod(%t, 2) + 8*mod(%o, 8)], %row[%u]
           }} }}
         }}",
        last = panels - 2,
    )
}

fn buffers() -> Vec<Buffer> {
    let halves = |count, salt| numbers(count, salt).into_iter().map(f16::from_f32).collect::<Vec<_>>();
    vec![
        Buffer::of(&halves(ROWS * DEPTH, 1)),
        Buffer::of(&halves(DEPTH * COLUMNS, 2)),
        Buffer::of(&numbers(COLUMNS, 3)),
        Buffer::filled(vec![0; 2 * ROWS * COLUMNS]),
    ]
}

/// Runs a module and compares what it computes.
fn run(ptx: &str, expected: &[f32]) -> Result<Counts, String> {
    let (left, counts) = launched(ptx, 128, &buffers(), TASKS as u32)?;
    let found = halves(&left[3]);
    match found.iter().zip(expected).position(|(a, b)| (a - b).abs() > 1e-3 * (1.0 + b.abs())) {
        None => Ok(counts),
        Some(at) => Err(format!("wrong at {at}: {}, not {}", found[at], expected[at])),
    }
}

fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()).collect()
}

#[test]
fn a_product_waits_for_no_bank_and_reads_whole_sectors() {
    let text = text();
    let expected = halves(expected(&text, &buffers(), TASKS as i64)[3].bytes());
    // Both agree with the definition.
    let (a, b) = (halves(buffers()[0].bytes()), halves(buffers()[1].bytes()));
    let bias = floats(buffers()[2].bytes());
    for at in (0..ROWS * COLUMNS).step_by(997) {
        let (row, column) = (at / COLUMNS, at % COLUMNS);
        let sum: f32 = (0..DEPTH).map(|k| a[row * DEPTH + k] * b[k * COLUMNS + column]).sum();
        let wanted = (sum + bias[column]).max(0.0);
        assert!((expected[at] - wanted).abs() <= 1e-3 * (1.0 + wanted), "{at}: {}, not {wanted}", expected[at]);
    }
    for generation in ["sm_75", "sm_80"] {
        let ptx = compiled(&text, generation).unwrap();
        let counts = run(&ptx, &expected).unwrap_or_else(|why| panic!("{generation}: {why}\n{ptx}"));
        assert_eq!(counts.matrices.ratio(), 1.0, "{counts:?}");
        assert_eq!(counts.loads.ratio(), 1.0, "{counts:?}");
        assert_eq!(counts.global.efficiency(), 1.0, "{counts:?}");
        // Four blocks of four warps, with five steps of two times eight products.
        let each = if generation == "sm_75" { 2 } else { 1 };
        assert_eq!(counts.products, 4 * 4 * 5 * 16 * each);
    }
}

#[test]
fn what_is_left_out_of_a_product_is_missed() {
    let text = text();
    let expected = halves(expected(&text, &buffers(), TASKS as i64)[3].bytes());
    for generation in ["sm_75", "sm_80"] {
        let ptx = compiled(&text, generation).unwrap();
        // One before a panel is used and the oldest slot filled again, one before results take the panels' memory, one before
        // they are stored.
        for (line, count) in
            [("\tbar.sync 0;\n", 3), ("\tcp.async.wait_group 1;\n", usize::from(generation == "sm_80"))]
        {
            assert_eq!(ptx.matches(line).count(), count, "{line}\n{ptx}");
            for number in 0..count {
                let why = run(&without(&ptx, line, number), &expected).expect_err(line);
                assert!(["a race", "under way", "never written"].iter().any(|it| why.contains(it)), "{why}");
            }
        }
    }
}

#[test]
fn a_product_is_assembled_and_spills_nothing() {
    for (_, capability, _) in Capability::ALL {
        let generation = capability.to_string();
        assembled(&compiled(&text(), &generation).unwrap(), &generation);
    }
}
