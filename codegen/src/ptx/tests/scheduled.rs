//! Products as the schedules for a GPU make them: what they compute, and what memory has to do for it.

use super::{assembled, floats, launched, numbers};
use crate::kernels::lower_program;
use crate::linear::linearize;
use crate::ptx::{Capability, Entry, emit, module};
use half::f16;
use mlc_ir::DType;
use mlc_ir::program::Program;
use mlc_ir::tile::interp::Buffer;

const ROWS: usize = 128;
const COLUMNS: usize = 128;
const DEPTH: usize = 96;

/// A product of two matrices, the second perhaps turned, and a bias that is added.
struct Case {
    dtype: DType,
    turned: bool,
}

impl Case {
    fn program(&self) -> Program {
        let (ty, wide) = (self.dtype, if self.dtype == DType::F32 { "" } else { "f32" });
        let (dims, at) = match self.turned {
            true => (format!("{COLUMNS}, {DEPTH}"), "%j, %k"),
            false => (format!("{DEPTH}, {COLUMNS}"), "%k, %j"),
        };
        let text = format!(
            "program p {{
  buffer @0 a: {ty}[{ROWS}, {DEPTH}]
  buffer @1 b: {ty}[{dims}]
  buffer @2 bias: {ty}[{COLUMNS}]
  buffer @3 y: {ty}[{ROWS}, {COLUMNS}]
  inputs @0, @1, @2
  outputs @3
  kernel y [%i: {ROWS}, %j: {COLUMNS}, %k: {DEPTH}] {{
    %0 [%i, %j] = sum[%k] {wide}(@0[%i, %k]) * {wide}(@1[{at}])
    %1 [%i, %j] = {back}(%0 + {wide}(@2[%j])) -> @3[%i, %j]
  }}
}}",
            back = if wide.is_empty() { String::new() } else { ty.to_string() },
        );
        Program::parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn buffer(&self, numbers: &[f32]) -> Buffer {
        match self.dtype {
            DType::F16 => Buffer::of(&numbers.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>()),
            _ => Buffer::of(numbers),
        }
    }

    fn read(&self, bytes: &[u8]) -> Vec<f32> {
        match self.dtype {
            DType::F16 => bytes.chunks_exact(2).map(|it| f16::from_le_bytes([it[0], it[1]]).to_f32()).collect(),
            _ => floats(bytes),
        }
    }
}

#[test]
fn a_scheduled_product_waits_for_no_bank_and_wastes_no_sector() {
    for (dtype, turned) in [(DType::F16, false), (DType::F16, true), (DType::F32, false), (DType::F32, true)] {
        let case = Case { dtype, turned };
        let capability = Capability::from_name("sm_80").unwrap();
        let mut program = case.program();
        let (lowered, _) = lower_program(&mut program, &capability.target()).unwrap();
        let [kernel] = &lowered[..] else { panic!("one kernel") };
        assert_eq!(kernel.buffers, [0, 1, 2, 3]);
        let tile = linearize(&kernel.tile, &program.facts).unwrap();
        let Entry { text, crew, far } = emit(&tile, "k", capability).unwrap();
        assert!(far.is(0), "{text}");
        let ptx = module(capability, &[&text]);
        let [a, b, bias] = [(ROWS * DEPTH, 1), (DEPTH * COLUMNS, 2), (COLUMNS, 3)].map(|(n, salt)| {
            let buffer = case.buffer(&numbers(n, salt));
            let rounded = case.read(buffer.bytes());
            (buffer, rounded)
        });
        let y = case.buffer(&vec![0.0; ROWS * COLUMNS]);
        let buffers = [a.0, b.0, bias.0, y];
        let tasks = tile.tasks.1.as_const().unwrap() as u32;
        let (left, counts) = launched(&ptx, crew.unwrap(), &buffers, tasks).unwrap_or_else(|e| panic!("{e}\n{ptx}"));
        for (at, found) in case.read(&left[3]).into_iter().enumerate() {
            let (row, column) = (at / COLUMNS, at % COLUMNS);
            let b = |k: usize| b.1[if turned { column * DEPTH + k } else { k * COLUMNS + column }];
            let products = (0..DEPTH).map(|k| f64::from(a.1[row * DEPTH + k]) * f64::from(b(k)));
            let (sum, size) = products.fold((0.0, 1.0), |(sum, size), x| (sum + x, size + x.abs()));
            let wanted = sum + f64::from(bias.1[column]);
            // What all sums may lose, and what the result's type does.
            let least = if dtype == DType::F32 { f32::EPSILON.into() } else { f64::from(f16::EPSILON) };
            let near = (f64::from(found) - wanted).abs() <= 1e-7 * size + least * wanted.abs();
            assert!(near, "{dtype} {at}: {found}, not {wanted}");
        }
        // Products of floats are three each.
        let each = if dtype == DType::F32 { 3 * DEPTH / 8 } else { DEPTH / 16 };
        assert_eq!(counts.products, (ROWS / 16 * (COLUMNS / 8) * each) as u64);
        assert!(counts.matrices.requests > 0 && counts.matrices.ratio() == 1.0, "{dtype} {turned}: {counts:?}");
        assert_eq!(counts.loads.ratio(), 1.0, "{dtype} {turned}: {counts:?}");
        assert_eq!(counts.global.efficiency(), 1.0, "{dtype} {turned}: {counts:?}");
        assembled(&ptx, "sm_80");
    }
}
