//! Attentions of lengths known at run time only, on a GPU: what a task keeps lies in memory of the device, whose size follows
//! from the lengths of a run. One artifact for all lengths, against the program interpreter.

use mlc::engine::Engine;
use mlc::targets::{GPU, find};
use mlc_codegen::kernels::{Scheduled, Schedules, schedule_program};
use mlc_codegen::ptx::{self, Capability};
use mlc_codegen::tuning::Tuning;
use mlc_ir::index::Leaf;
use mlc_ir::program::{Program, interp};
use mlc_ir::{DType, Graph, Index, Scalar, Tensor};
use mlc_passes::{Options, optimize};
use mlc_ptx_interp::{Device, Module};
use mlc_tensorio::relative_to_scale;
use std::collections::BTreeMap;

const GENERATION: &str = "sm_75";

/// Largest difference that is accepted, relative to the largest value: sums of thousands are taken in another order.
const TOLERANCE: f64 = 1e-4;

const ATTENTION: &str = "graph @a(%q: f32[1, 2, m, 20], %k: f32[1, 2, n, 20], %v: f32[1, 2, n, 36]) opset 23 {
  %y = Attention(%q, %k, %v) : f32[1, 2, m, 36] return %y }";

/// Queries and keys: fewer tasks than blocks can run at the same time, and more; shorter rows than a crew; at last rows of which
/// a block could not share what it keeps.
const LENGTHS: [(usize, usize); 7] = [(1, 1), (7, 7), (16, 16), (130, 130), (1, 130), (130, 7), (2, 7000)];

fn program() -> Program {
    optimize(Graph::parse(ATTENTION).unwrap(), Options::default()).unwrap().0
}

fn numbers(shape: &[usize], step: usize) -> Tensor {
    let scalar = |n: usize| Scalar::Float(((n * step) % 23) as f64 / 7.0 - 1.5);
    let scalars: Vec<Scalar> = (0..shape.iter().product()).map(scalar).collect();
    Tensor::from_scalars(DType::F32, shape.to_vec(), &scalars).unwrap()
}

fn scheduled(program: &mut Program) -> Schedules {
    let machine = find(GPU, Some(GENERATION)).unwrap().machine();
    schedule_program(program, &machine, Capability::from_name(GENERATION), &Tuning::NONE).unwrap()
}

#[test]
fn an_attention_of_any_length_runs_on_a_gpu() {
    let Schedules { kernels, .. } = scheduled(&mut program());
    let entries = kernels.iter().map(|kernel| kernel.code.entry().unwrap_or_else(|| panic!("{:?}", kernel.code)));
    let far: Vec<_> = entries.filter(|entry| !entry.far.is(0)).map(|entry| entry.far.to_string()).collect();
    assert!(far.len() == 1 && far[0].contains('n'), "what one kernel keeps has the length of the keys: {far:?}");
}

#[test]
fn one_artifact_computes_attentions_of_all_lengths() {
    mlc_fake_cuda::install().unwrap_or_else(|why| panic!("{why}"));
    let reference = Graph::parse(ATTENTION).unwrap().to_program().unwrap();
    let mut engine = Engine::compiled_for(program(), find(GPU, Some(GENERATION)).unwrap(), 1).unwrap();
    for (queries, keys) in LENGTHS {
        let (k, v) = (numbers(&[1, 2, keys, 20], 7), numbers(&[1, 2, keys, 36], 9));
        let inputs = [numbers(&[1, 2, queries, 20], 5), k, v];
        let found = engine.run(&inputs).unwrap_or_else(|why| panic!("{queries} queries, {keys} keys: {why}"));
        let expected = interp::run(&reference, &inputs).unwrap();
        let error = relative_to_scale(&found[0], &expected[0]).unwrap();
        assert!(error <= TOLERANCE, "{queries} queries, {keys} keys: differs by {error:.1e}");
    }
}

/// Runs all kernels for 5 queries and 70 keys, but for a barrier that the last one is without; of that, how many it has.
fn launched(without: Option<usize>) -> Result<usize, String> {
    let mut program = program();
    let Schedules { kernels, layouts, .. } = scheduled(&mut program);
    let value = |leaf: &Leaf| match leaf {
        Leaf::Sym(name) => Some(if name.to_string() == "m" { 5 } else { 70 }),
        _ => None,
    };
    let number = |index: &Index| index.eval(&mut |leaf| value(leaf)).unwrap() as u64;
    let mut device = Device::new();
    let mut addresses: BTreeMap<u32, u64> = BTreeMap::new();
    let mut barriers = 0;
    for (place, Scheduled { lowered, code, .. }) in kernels.iter().enumerate() {
        let Some(ptx::Entry { text, crew, far }) = code.entry() else { panic!("{code:?}") };
        let mut args: Vec<u64> = Vec::new();
        for buffer in &lowered.buffers {
            args.push(*addresses.entry(*buffer).or_insert_with(|| {
                let dims = layouts[*buffer as usize].dims(&program.buffer(*buffer).shape);
                let bytes = 4 * number(&Index::product(&dims)) as usize;
                let address = device.allocate(bytes);
                let is_input = program.inputs.contains(buffer);
                is_input.then(|| device.write(address, &0.5f32.to_le_bytes().repeat(bytes / 4)).unwrap());
                address
            }));
        }
        args.extend(lowered.tile.symbols.iter().map(|name| number(&Index::sym(name.clone()))));
        let (tasks, far) = (number(&lowered.tile.tasks.1), number(far));
        // Half as many blocks as tasks, where they take these in turn.
        let (threads, blocks) = match crew {
            Some(crew) => (*crew, if far > 0 { tasks / 2 } else { tasks }),
            None => (32, tasks.div_ceil(32)),
        };
        args.extend([tasks, device.allocate((far * blocks) as usize)]);
        let last = place + 1 == kernels.len();
        let found: Vec<usize> = text.match_indices(BARRIER).map(|found| found.0).collect();
        let text = match without.filter(|_| last) {
            Some(number) => format!("{}{}", &text[..found[number]], &text[found[number] + BARRIER.len()..]),
            None => text.clone(),
        };
        barriers = found.len();
        let module = Module::parse(&ptx::module(Capability::ALL[0].1, &[&text]))?;
        let params: Vec<u8> = args.iter().flat_map(|n| n.to_le_bytes()).collect();
        module.entries[0].launch([blocks as u32, 1, 1], threads, &params, &mut device)?;
    }
    Ok(barriers)
}

const BARRIER: &str = "\tbar.sync 0;\n";

/// All but two: at one of them each thread goes on with what it wrote itself, behind the last one nothing is read any more.
#[test]
fn an_attention_without_a_barrier_is_found_out() {
    let barriers = launched(None).unwrap();
    let found: Vec<String> = (0..barriers).filter_map(|number| launched(Some(number)).err()).collect();
    assert!(found.len() + 2 >= barriers && barriers > 4, "{} of {barriers}: {found:#?}", found.len());
    let far = |why: &String| why.contains("ld.global") && why.contains("a race");
    assert!(found.iter().any(far), "none is of the device's memory: {found:#?}");
}
