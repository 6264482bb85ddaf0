//! Which lane holds which element, by the formulas of the PTX ISA ("Matrix Fragments for mma", "ldmatrix"), written down
//! here as they stand there, without what the interpreter knows.

use crate::{Device, Module};
use half::{bf16, f16};

/// Row and column of an element with a number, in a lane with a number in its group of four, and the group's number.
type At = fn(i: usize, thread: usize, group: usize) -> (usize, usize);

/// An instruction.
struct Shape {
    name: &'static str,
    rows: usize,
    depth: usize,
    /// Elements in a register.
    parts: usize,
    /// The bits of a small number.
    encode: fn(i32) -> u32,
    a: At,
    b: At,
}

/// The accumulators of all shapes.
const C: At = |i, thread, group| (if i < 2 { group } else { group + 8 }, thread * 2 + (i & 1));

const SHAPES: [Shape; 9] = [
    Shape { name: "m16n8k16.row.col.f32.f16.f16.f32", rows: 16, depth: 16, parts: 2, encode: half, a: A16, b: B16 },
    Shape { name: "m16n8k16.row.col.f32.bf16.bf16.f32", rows: 16, depth: 16, parts: 2, encode: brain, a: A16, b: B16 },
    Shape {
        name: "m16n8k8.row.col.f32.f16.f16.f32",
        rows: 16,
        depth: 8,
        parts: 2,
        encode: half,
        a: |i, thread, group| (if i < 2 { group } else { group + 8 }, thread * 2 + (i & 1)),
        b: |i, thread, group| (thread * 2 + i, group),
    },
    Shape {
        name: "m16n8k8.row.col.f32.tf32.tf32.f32",
        rows: 16,
        depth: 8,
        parts: 1,
        encode: |n| (n as f32).to_bits(),
        a: |i, thread, group| {
            let row = if i == 0 || i == 2 { group } else { group + 8 };
            (row, if i < 2 { thread } else { thread + 4 })
        },
        b: |i, thread, group| (if i == 0 { thread } else { thread + 4 }, group),
    },
    Shape {
        name: "m16n8k4.row.col.f32.tf32.tf32.f32",
        rows: 16,
        depth: 4,
        parts: 1,
        encode: |n| (n as f32).to_bits(),
        a: |i, thread, group| (if i == 0 { group } else { group + 8 }, thread),
        b: |_, thread, group| (thread, group),
    },
    Shape { name: "m16n8k32.row.col.s32.s8.s8.s32", rows: 16, depth: 32, parts: 4, encode: byte, a: A32, b: B32 },
    Shape {
        name: "m16n8k32.row.col.satfinite.s32.s8.s8.s32",
        rows: 16,
        depth: 32,
        parts: 4,
        encode: byte,
        a: A32,
        b: B32,
    },
    Shape {
        name: "m16n8k16.row.col.s32.s8.s8.s32",
        rows: 16,
        depth: 16,
        parts: 4,
        encode: byte,
        a: |i, thread, group| (if i < 4 { group } else { group + 8 }, thread * 4 + (i & 3)),
        b: |i, thread, group| (thread * 4 + i, group),
    },
    Shape {
        name: "m8n8k16.row.col.s32.s8.s8.s32",
        rows: 8,
        depth: 16,
        parts: 4,
        encode: byte,
        a: |i, thread, group| (group, thread * 4 + i),
        b: |i, thread, group| (thread * 4 + i, group),
    },
];

const A16: At = |i, thread, group| {
    let row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
    (row, if i < 4 { thread * 2 + (i & 1) } else { thread * 2 + (i & 1) + 8 })
};
const B16: At = |i, thread, group| (if i < 2 { thread * 2 + (i & 1) } else { thread * 2 + (i & 1) + 8 }, group);
const A32: At = |i, thread, group| {
    let row = if i < 4 || (8..12).contains(&i) { group } else { group + 8 };
    (row, if i < 8 { thread * 4 + (i & 3) } else { thread * 4 + (i & 3) + 16 })
};
const B32: At = |i, thread, group| (if i < 4 { thread * 4 + (i & 3) } else { thread * 4 + (i & 3) + 16 }, group);

fn half(n: i32) -> u32 {
    f16::from_f32(n as f32).to_bits().into()
}

fn brain(n: i32) -> u32 {
    bf16::from_f32(n as f32).to_bits().into()
}

fn byte(n: i32) -> u32 {
    u32::from(n as i8 as u8)
}

/// Words of a lane in memory: four of `a`, two of `b`, four of `c`, four of the result.
const WORDS: usize = 16;

/// Runs some statements in one warp, whose lanes have so many words at `%d2`, and gives all of them back.
fn run(statements: &str, words: &[u32]) -> Vec<u32> {
    let text = format!(
        ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p) {{\n.reg .b64 %d<4>;\n.reg .b32 %r<20>;\n\
         .shared .align 16 .b8 rows[512];\nld.param.u64 %d0, [p];\nmov.u32 %r0, %laneid;\nmul.wide.u32 %d1, %r0, {};\n\
         add.s64 %d2, %d0, %d1;\n{statements}\nret;\n}}\n",
        4 * WORDS
    );
    let mut device = Device::new();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let address = device.allocate(bytes.len());
    device.write(address, &bytes).unwrap();
    let module = Module::parse(&text).unwrap_or_else(|why| panic!("{why}"));
    module.entries[0].launch([1; 3], 32, &address.to_le_bytes(), &mut device).unwrap_or_else(|why| panic!("{why}"));
    let mut bytes = vec![0; bytes.len()];
    device.read(address, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn products_have_the_published_fragments() {
    for Shape { name, rows, depth, parts, encode, a, b } in SHAPES {
        let is_int = name.contains("s32");
        let left = |row: usize, k: usize| ((row * 5 + k * 3) % 13) as i32 - 6;
        let right = |k: usize, column: usize| ((k * 7 + column * 2) % 11) as i32 - 5;
        let before = |row: usize, column: usize| (row * 8 + column) as i32;
        let number = |n: i32| if is_int { n as u32 } else { (n as f32).to_bits() };
        let (of_a, of_b, of_c) = (rows * depth / 32 / parts, 8 * depth / 32 / parts, rows / 4);
        let mut words = vec![0u32; 32 * WORDS];
        for lane in 0..32 {
            let (thread, group) = (lane % 4, lane / 4);
            let words = &mut words[lane * WORDS..][..WORDS];
            for i in 0..of_a * parts {
                let (row, k) = a(i, thread, group);
                words[i / parts] |= encode(left(row, k)) << (32 / parts * (i % parts));
            }
            for i in 0..of_b * parts {
                let (k, column) = b(i, thread, group);
                words[4 + i / parts] |= encode(right(k, column)) << (32 / parts * (i % parts));
            }
            for i in 0..of_c {
                let (row, column) = C(i, thread, group);
                words[6 + i] = number(before(row, column));
            }
        }
        let list = |first: usize, count: usize| {
            let names: Vec<String> = (first..first + count).map(|n| format!("%r{n}")).collect();
            format!("{{{}}}", names.join(", "))
        };
        let load = |n: usize| format!("ld.global.b32 %r{}, [%d2+{}];\n", n + 1, 4 * n);
        let loads: String = (0..10).map(load).collect();
        let (a, b, c) = (list(1, of_a), list(5, of_b), list(7, of_c));
        let product = format!("mma.sync.aligned.{name} {c}, {a}, {b}, {c};\n");
        let stores: String = (0..of_c).map(|n| format!("st.global.b32 [%d2+{}], %r{};\n", 40 + 4 * n, 7 + n)).collect();
        let found = run(&[loads, product, stores].concat(), &words);
        for lane in 0..32 {
            for i in 0..of_c {
                let (row, column) = C(i, lane % 4, lane / 4);
                let sum: i32 = (0..depth).map(|k| left(row, k) * right(k, column)).sum();
                let expected = number(before(row, column) + sum);
                assert_eq!(found[lane * WORDS + 10 + i], expected, "{name}: {row}, {column}");
            }
        }
    }
}

#[test]
fn matrices_are_loaded_as_published() {
    // Lane `n` writes row `n % 8` of matrix `n / 8`, whose elements have numbers of their own.
    let element = |matrix: usize, row: usize, column: usize| (matrix * 64 + row * 8 + column) as u32;
    let mut words = vec![0u32; 32 * WORDS];
    for lane in 0..32 {
        for word in 0..4 {
            let of = |column: usize| element(lane / 8, lane % 8, column);
            words[lane * WORDS + word] = of(2 * word) | of(2 * word + 1) << 16;
        }
    }
    for (count, registers) in [(1, "{%r5}"), (2, "{%r5, %r6}"), (4, "{%r5, %r6, %r7, %r8}")] {
        for transposed in [false, true] {
            let way = if transposed { ".trans" } else { "" };
            let mut statements = format!(
                "ld.global.v4.b32 {{%r1, %r2, %r3, %r4}}, [%d2];\nmov.u32 %r9, rows;\nmad.lo.u32 %r9, %r0, 16, %r9;\n\
                 st.shared.v4.b32 [%r9], {{%r1, %r2, %r3, %r4}};\nbar.warp.sync -1;\n\
                 ldmatrix.sync.aligned.m8n8.x{count}{way}.shared.b16 {registers}, [%r9];\n"
            );
            for n in 0..count {
                statements += &format!("st.global.b32 [%d2+{}], %r{};\n", 16 + 4 * n, 5 + n);
            }
            let found = run(&statements, &words);
            for (lane, n) in (0..32).flat_map(|lane| (0..count).map(move |n| (lane, n))) {
                // A lane has two elements that follow each other in a row, or in a column.
                let of = |i: usize| match transposed {
                    false => element(n, lane / 4, lane % 4 * 2 + i),
                    true => element(n, lane % 4 * 2 + i, lane / 4),
                };
                assert_eq!(found[lane * WORDS + 4 + n], of(0) | of(1) << 16, "x{count}{way}: lane {lane}, matrix {n}");
            }
        }
    }
}
