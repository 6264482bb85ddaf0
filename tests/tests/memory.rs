//! The memory plan, checked by other means than it was made: programs are written out as a list of what happens, loops
//! twice, and no two buffers that are needed at the same time may share a byte.

use mlc_codegen::driver::memory::{self, Arena};
use mlc_codegen::layout::{Layout, assign};
use mlc_ir::index::Leaf;
use mlc_ir::program::{Program, Step, lookups};
use mlc_ir::target::Target;
use mlc_ir::{Graph, Index};
use mlc_passes::{Options, optimize};
use std::collections::{BTreeMap, BTreeSet};

/// What each step touches, in the order in which they run.
fn trace(steps: &[Step], happened: &mut Vec<BTreeSet<u32>>) {
    for step in steps {
        let mut touched = Vec::new();
        match step {
            Step::Kernel(kernel) => touched = [kernel.reads(), kernel.writes()].concat(),
            Step::If { condition, .. } => touched.push(*condition),
            Step::Loop { trips, condition, .. } => {
                lookups(trips, &mut touched);
                touched.extend(condition);
            }
            Step::Bind(_, index) => lookups(index, &mut touched),
        }
        happened.push(touched.iter().copied().collect());
        match step {
            Step::If { then, otherwise, .. } => {
                trace(then, happened);
                trace(otherwise, happened);
            }
            Step::Loop { body, .. } => {
                trace(body, happened);
                happened.push(touched.into_iter().collect());
                trace(body, happened);
            }
            Step::Kernel(_) | Step::Bind(..) => {}
        }
    }
}

/// First and last place in the trace at which each buffer of the arena is touched.
fn needed(program: &Program) -> BTreeMap<u32, (usize, usize)> {
    let mut happened = Vec::new();
    trace(&program.body, &mut happened);
    let mut needed: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (now, touched) in happened.into_iter().enumerate() {
        for buffer in touched {
            let outside = program.inputs.contains(&buffer) || program.outputs.contains(&buffer);
            if !outside && program.buffer(buffer).constant.is_none() {
                needed.entry(buffer).or_insert((now, now)).1 = now;
            }
        }
    }
    needed
}

/// The value of a size where every symbol of the inputs is `n`, as far as its range allows, and others are what they are at
/// most.
fn value(index: &Index, program: &Program, n: i64) -> i64 {
    let inputs: BTreeSet<_> =
        program.inputs.iter().flat_map(|&b| &program.buffer(b).shape).flat_map(Index::syms).collect();
    let value = index.eval(&mut |leaf| match leaf {
        Leaf::Sym(name) => {
            let (low, high) = program.facts.symbol_range(name);
            let high = high.unwrap_or(i64::from(i32::MAX));
            Some(if inputs.contains(*name) { n.clamp(low, high) } else { high })
        }
        _ => None,
    });
    value.unwrap_or_else(|| panic!("{index} has no value"))
}

/// What is wrong with a plan.
fn wrong(program: &Program, layouts: &[Layout], arena: &Arena, n: i64) -> Result<usize, String> {
    let needed = needed(program);
    let mut ranges: Vec<(u32, (usize, usize), (i64, i64))> = Vec::new();
    let size = value(&arena.size, program, n);
    for (buffer, life) in needed {
        let definition = program.buffer(buffer);
        let place = arena.places.get(&buffer).ok_or(format!("`{}` has no place", definition.name))?;
        let dims = layouts[buffer as usize].dims(&definition.shape);
        let elements: i64 = dims.iter().map(|dim| value(dim, program, n).max(0)).product();
        let from = value(&place.offset, program, n);
        let to = from + elements * definition.dtype.bytes() as i64;
        if from % 64 != 0 || from < 0 || to > size {
            return Err(format!("`{}` is at {from} to {to} of {size} bytes", definition.name));
        }
        for (other, at, bytes) in &ranges {
            let name = &program.buffer(*other).name;
            if life.0 <= at.1 && at.0 <= life.1 && from < bytes.1 && bytes.0 < to {
                return Err(format!("`{}` at {from} to {to} meets `{name}` at {bytes:?}", definition.name));
            }
        }
        ranges.push((buffer, life, (from, to)));
    }
    Ok(ranges.len())
}

/// Checks the plan of a graph; gives the number of buffers in it.
fn check(graph: Graph) -> Result<usize, String> {
    let (mut program, _) = optimize(graph, Options::default()).map_err(|e| e.to_string())?;
    let mut count = 0;
    for target in [Target::x86_64(), Target::avx512()] {
        let layouts = assign(&mut program, &target);
        let arena = memory::plan(&program, &layouts, []);
        for n in [0, 1, 2, 3, 7, 16, 100, 513] {
            count = wrong(&program, &layouts, &arena, n).map_err(|e| format!("where dims are {n}: {e}"))?;
        }
    }
    Ok(count)
}

#[test]
fn plans_of_cases_hold() {
    let folder = mlc_tests::root().join("tests").join("cases");
    let mut buffers = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "graph") {
            continue;
        }
        let graph = Graph::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        buffers += check(graph).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    assert!(buffers > 10, "{buffers}");
}

#[test]
fn plans_of_models_hold() {
    for test in mlc_tests::model_tests().expect("the models are there: tests/setup.sh fetches them") {
        let graph = mlc_frontend::import(&test.model, &Default::default()).unwrap();
        let buffers = check(graph).unwrap_or_else(|e| panic!("{}: {e}", test.name));
        println!("{}: {buffers} buffers", test.name);
    }
    // With numbers for all dims the plan is made another way.
    let fixed = mlc_tests::root().join(".models/efficientnet-lite0/model.onnx");
    let dims = vec![("batch".into(), mlc_frontend::DimRange::fixed(3))];
    let options = mlc_frontend::Options { dims, ..Default::default() };
    check(mlc_frontend::import(&fixed, &options).unwrap()).unwrap();
}

/// The check finds what it is for.
#[test]
fn a_plan_that_is_wrong_is_found() {
    let text = "graph @g(%x: f32[64, 64]) opset 17 {
  %w = const f32[] [2.0]
  %a = MatMul(%x, %x)
  %b = MatMul(%a, %x)
  %c = MatMul(%b, %a)
  %y = Mul(%c, %w)
  return %y
}";
    let (mut program, _) = optimize(Graph::parse(text).unwrap(), Options::default()).unwrap();
    let layouts = assign(&mut program, &Target::x86_64());
    let mut arena = memory::plan(&program, &layouts, []);
    assert_eq!(wrong(&program, &layouts, &arena, 1), Ok(2));
    arena.places.values_mut().for_each(|place| place.offset = Index::zero());
    assert!(wrong(&program, &layouts, &arena, 1).unwrap_err().contains("meets"));
}
