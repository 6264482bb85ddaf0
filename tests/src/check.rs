//! One backend test: build the model, run it on each data set, compare.

use crate::{Data, Test, load};
use mlc::engine::Engine;
use mlc::model::{Passes, optimize, reference, with_known_inputs};
use mlc::targets::{GPU, find};
use mlc_frontend::Options;
use mlc_ir::{Graph, Tensor};
use mlc_tensorio::{Tolerance, compare};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What runs a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The program as the operators state it, interpreted.
    Interpreter,
    /// The fused program, compiled into memory.
    Compiled,
    /// The same for a GPU, whose kernels are interpreted behind the driver's functions.
    Gpu,
}

impl Way {
    /// Those that everything must pass.
    pub const ALL: [Way; 2] = [Way::Interpreter, Way::Compiled];

    /// As the command line and the lists of results call it.
    pub fn name(self) -> &'static str {
        match self {
            Way::Interpreter => "interpreter",
            Way::Compiled => "compiled",
            Way::Gpu => "gpu",
        }
    }

    /// What runs a graph in this way.
    ///
    /// # Errors
    /// If the graph is not supported.
    pub fn engine(self, graph: Graph) -> mlc::Result<Engine> {
        match self {
            Way::Interpreter => Ok(Engine::interpreter(reference(&graph, &[])?)),
            Way::Compiled => Engine::compiled(optimize(graph, &Passes::default())?.0, 1),
            Way::Gpu => {
                mlc_fake_cuda::install().map_err(|why| mlc_ir::Error::internal(format!("fake driver: {why}")))?;
                Engine::compiled_for(optimize(graph, &Passes::default())?.0, find(GPU, Some("sm_75"))?, 1)
            }
        }
    }
}

/// Runs a test. A panic counts as a failure.
///
/// # Errors
/// The reason for people.
pub fn check(test: &Test, way: Way) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| run_test(test, way))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("PANIC {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default()))
    })
}

fn run_test(test: &Test, way: Way) -> Result<(), String> {
    let tolerance = test.tolerance().map_err(|e| e.to_string())?;
    for set in &test.sets {
        let data = load(set).map_err(|e| e.to_string())?;
        agree(&run(test, &data, way).map_err(|e| e.message)?, &data, tolerance)?;
    }
    Ok(())
}

fn agree(outputs: &[Tensor], data: &Data, tolerance: Tolerance) -> Result<(), String> {
    if outputs.len() != data.outputs.len() {
        return Err(format!("{} outputs, expected {}", outputs.len(), data.outputs.len()));
    }
    for (place, (got, expected)) in outputs.iter().zip(&data.outputs).enumerate() {
        let report = compare(got, &expected.tensor, tolerance).map_err(|e| format!("output {place}: {e}"))?;
        if !report.passed() {
            return Err(format!("output {place}: {report}"));
        }
    }
    Ok(())
}

fn run(test: &Test, data: &Data, way: Way) -> mlc::Result<Vec<Tensor>> {
    let named = data.inputs.iter().filter_map(|input| Some((input.name.clone()?, input.tensor.clone())));
    let inputs: Vec<Tensor> = data.inputs.iter().map(|input| input.tensor.clone()).collect();
    let attempt = |options: &Options| {
        let graph = mlc_frontend::import(&test.model, options)?;
        way.engine(graph)?.run(&inputs)
    };
    with_known_inputs(&Options::default(), &named.collect::<Vec<_>>(), attempt).map(|(outputs, _)| outputs)
}
