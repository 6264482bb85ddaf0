//! Every row of matrices, with factors that lie either way, near and far, and accumulators of either.

use super::{assembled, compiled, expected, floats, launched, numbers};
use crate::ptx::Capability;
use half::{bf16, f16};
use mlc_ir::DType;
use mlc_ir::tile::interp::Buffer;
use mlc_ir::tile::{Row, Shape};

/// How the matrices of a product lie.
#[derive(Clone, Copy, Debug)]
struct Lie {
    a: bool,
    b: bool,
    c: bool,
    /// Whether the factors are in shared memory.
    near: bool,
}

fn lies() -> impl Iterator<Item = Lie> {
    (0..16).map(|n| Lie { a: n & 1 > 0, b: n & 2 > 0, c: n & 4 > 0, near: n & 8 > 0 })
}

/// Lines in memory, and their elements: as many pieces of 16 bytes as are an odd number, so that no two are in one bank.
fn dims((rows, columns): (u16, u16), transposed: bool, piece: usize) -> [usize; 2] {
    let (lines, length) = if transposed { (columns, rows) } else { (rows, columns) };
    let pieces = usize::from(length).div_ceil(piece);
    [lines.into(), (pieces | 1) * piece]
}

struct Case {
    text: String,
    buffers: Vec<Buffer>,
}

/// Two warps, each of which adds a product to its accumulators twice.
fn case(name: &str, lie: Lie) -> Case {
    let row = Row::from_name(name).unwrap();
    let Shape { m, n, k, .. } = row.shape().unwrap();
    let pad = |dtype: DType| 16 / dtype.bytes();
    let a = dims((m, k), lie.a, pad(row.a.dtype));
    let b = dims((k, n), lie.b, pad(row.b.dtype));
    let c: [usize; 2] = if lie.c { [n.into(), m.into()] } else { [m.into(), n.into()] };
    let word = |transposed: bool| if transposed { "transposed " } else { "" };
    let (at_a, at_b) = if lie.near { (4, 5) } else { (0, 1) };
    let moved = |from: usize, to: usize, dtype: DType, dims: [usize; 2]| {
        let lanes = pad(dtype);
        format!(
            "loop abreast %i{to} in 0..{} {{ loop serial %j in 0..{} {{
               %v = load {dtype}x{lanes} @{from}[%i{to}, {lanes}*%j] store {dtype}x{lanes} @{to}[%i{to}, {lanes}*%j], %v }} }}",
            dims[0], dims[1] / lanes
        )
    };
    let near = if lie.near { moved(0, 4, row.a.dtype, a) + &moved(1, 5, row.b.dtype, b) } else { String::new() };
    let text = format!(
        "tile k indexed (@0 a: {da}[{a0}, {a1}] input, @1 b: {db}[{b0}, {b1}] input, @2 c: {dc}[2, {c0}, {c1}] input,
           @3 y: {dc}[2, {c0}, {c1}] output, @4 na: {da}[{a0}, {a1}] scratch, @5 nb: {db}[{b0}, {b1}] scratch) tasks %t: 1 {{
           {near}
           loop abreast %w in 0..2 {{
             %a = fragment {ta} {name} a {wa}@{at_a}[0, 0] along 0
             %b = fragment {tb} {name} b {wb}@{at_b}[0, 0] along 0
             %c = fragment {tc} {name} c {wc}@2[%w, 0, 0] along 1
             cell %s: {tc} = %c
             dot {name} %s, %a, %b
             dot {name} %s, %a, %b
             storefragment {tc} {name} c {wc}@3[%w, 0, 0] along 1, %s
           }} }}",
        da = row.a.dtype, db = row.b.dtype, dc = row.cell.dtype, ta = row.a, tb = row.b, tc = row.cell,
        a0 = a[0], a1 = a[1], b0 = b[0], b1 = b[1], c0 = c[0], c1 = c[1],
        wa = word(lie.a), wb = word(lie.b), wc = word(lie.c),
    );
    let buffers = vec![
        buffer(row.a.dtype, a[0] * a[1], 1),
        buffer(row.b.dtype, b[0] * b[1], 2),
        buffer(row.cell.dtype, 2 * c[0] * c[1], 3),
        Buffer::filled(vec![0; 2 * c[0] * c[1] * 4]),
    ];
    Case { text, buffers }
}

fn buffer(dtype: DType, count: usize, salt: usize) -> Buffer {
    let numbers = numbers(count, salt);
    match dtype {
        DType::F16 => Buffer::of(&numbers.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>()),
        DType::BF16 => Buffer::of(&numbers.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>()),
        DType::F32 => Buffer::of(&numbers),
        DType::I8 => Buffer::of(&numbers.iter().map(|x| (x * 60.0) as i8).collect::<Vec<_>>()),
        DType::U8 => Buffer::of(&numbers.iter().map(|x| (x * 60.0 + 125.0) as u8).collect::<Vec<_>>()),
        _ => Buffer::of(&numbers.iter().map(|x| (x * 1000.0) as i32).collect::<Vec<_>>()),
    }
}

#[test]
fn every_row_computes_what_it_says() {
    for (name, lie) in Row::matrices().flat_map(|name| lies().map(move |lie| (name, lie))) {
        let Case { text, buffers } = case(name, lie);
        let expected = expected(&text, &buffers, 1);
        for generation in ["sm_75", "sm_80"] {
            let ptx = match compiled(&text, generation) {
                Ok(ptx) => ptx,
                Err(why) => {
                    let newer = ["mma.bf16", "mma.tf32", "mma.f32"].contains(&name) && generation == "sm_75";
                    assert!(newer, "{name}: {why}");
                    assert!(why.to_string().contains("on sm_75"), "{why}");
                    continue;
                }
            };
            let (left, counts) =
                launched(&ptx, 64, &buffers, 1).unwrap_or_else(|why| panic!("{name} {lie:?}: {why}\n{ptx}"));
            let is_int = Row::from_name(name).unwrap().cell.dtype == DType::I32;
            if is_int {
                assert_eq!(left[3], expected[3].bytes(), "{name} {lie:?} {generation}");
            } else {
                // Sums are rounded in another order.
                for (found, wanted) in floats(&left[3]).iter().zip(floats(expected[3].bytes())) {
                    assert!((found - wanted).abs() < 1e-4, "{name} {lie:?} {generation}: {found}, not {wanted}");
                }
            }
            if counts.matrices.requests > 0 {
                assert_eq!(counts.matrices.ratio(), 1.0, "{name} {lie:?}: {counts:?}");
            }
            let size = Row::from_name(name).unwrap().a.dtype.bytes();
            let whole = lie.near && (size == 2 || !lie.a && lie.b);
            assert_eq!(ptx.matches("ldmatrix").count() == 2, whole, "{name} {lie:?}\n{ptx}");
        }
    }
}

#[test]
fn every_row_is_assembled() {
    for name in Row::matrices() {
        for (_, capability, _) in Capability::ALL {
            let generation = capability.to_string();
            for lie in [Lie { a: false, b: true, c: false, near: true }, Lie { a: true, b: false, c: true, near: true }]
            {
                if let Ok(ptx) = compiled(&case(name, lie).text, &generation) {
                    assembled(&ptx, &generation);
                }
            }
        }
    }
}

#[test]
fn neighbours_are_loaded_together() {
    for (transposed, second) in [("", "@2[0, 8]"), ("transposed ", "@2[8, 0]")] {
        let text = format!(
            "tile k indexed (@0 x: f16[16, 24] input, @1 y: f32[2, 16, 8] output, @2 near: f16[16, 24] scratch) tasks %t: 1 {{
               loop abreast %i in 0..16 {{ loop unroll %j in 0..3 {{
                 %v = load f16x8 @0[%i, 8*%j] store f16x8 @2[%i, 8*%j], %v }} }}
               loop abreast %w in 0..1 {{
                 %a = fragment f16x256 mma.f16 a @2[0, 0] along 0
                 %b[0] = fragment f16x128 mma.f16 b {transposed}@2[0, 0] along 0
                 %b[1] = fragment f16x128 mma.f16 b {transposed}{second} along 0
                 cell %s: f32x128[2] = 1.0
                 loop unroll %n in 0..2 {{
                   dot mma.f16 %s[%n], %a, %b[%n]
                   storefragment f32x128 mma.f16 c @1[%n, 0, 0] along 1, %s[%n]
                 }} }} }}"
        );
        let buffers = [buffer(DType::F16, 16 * 24, 1), Buffer::of(&[0.0f32; 256])];
        let wanted = floats(expected(&text, &buffers, 1)[1].bytes());
        let ptx = compiled(&text, "sm_75").unwrap();
        assert_eq!(ptx.matches("ldmatrix.sync.aligned.m8n8.x4").count(), 2, "{ptx}");
        let (left, counts) = launched(&ptx, 32, &buffers, 1).unwrap();
        assert!(floats(&left[1]).iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4));
        assert_eq!(counts.matrices.ratio(), 1.0);
    }
}

#[test]
fn what_is_no_accumulator_is_not_computed_with() {
    let refused = |body: &str, why: &str| {
        let text = format!(
            "tile k indexed (@0 x: f32[16, 128] input, @1 y: f32[16, 128] output) tasks %t: 1 {{ loop abreast %w in 0..1 {{
               %a = fragment f32x128 mma.tf32 a @0[0, 0] along 0
               %c = fragment f32x128 mma.tf32 c @0[0, 0] along 0
               %v = load f32x128 @0[0, 0] {body} }} }}"
        );
        let found = compiled(&text, "sm_80").expect_err(body).to_string();
        assert!(found.contains(why), "`{body}` gives `{found}`");
    };
    refused("%z = add f32x128 %c, %v", "a fragment and a vector");
    refused("%z = add f32x128 %a, %c", "a factor");
    refused("store f32x128 @1[0, 0], %c", "stored as a vector");
    refused("storefragment f32x128 mma.tf32 c @1[0, 0] along 0, %v", "no accumulator");
    refused("%z = lane f32 %c, 3", "lanes of a fragment");
    refused("cell %s: f32x128 = 0.0 set %s = %v", "a fragment and a vector");
    refused(
        "%b = fragment f32x64 mma.tf32 b @0[0, 0] along 0 cell %s: f32x128 = 0.0 dot mma.tf32 %s, %c, %b",
        "no fragments",
    );
}
