//! `mlc verify`

use super::engine_of;
use crate::data::{self, Case};
use crate::engine::{Choice, Engine};
use crate::failure::{Exit, Failure, Result};
use crate::inputs::InputArgs;
use crate::interface::Interface;
use crate::model::{self, with_known_inputs};
use crate::outcome::Outcome;
use crate::progress::{Stages, Ui};
use crate::random;
use crate::source::{Kind, ModelArgs, kind};
use crate::text::Side::{Left, Right};
use crate::text::table;
use mlc_codegen::tuning::Tuning;
use mlc_ir::Tensor;
use mlc_tensorio::{Named, Tolerance, compare, relative_to_scale};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Compare what a model computes with reference data, or with the reference interpreter.
///
/// Reference data are folders with input_0.pb, input_1.pb, ... and output_0.pb, ... as ONNX tests have them
/// (test_data_set_0 and so on), or folders of such folders. The exit code is 1 if an output differs.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mlc verify model.onnx test_data_set_0
  mlc verify model.onnx tests/ --scale 1e-4
  mlc verify model.onnx --against reference --dim batch=2")]
pub struct Args {
    /// The ONNX model, or a compiled artifact if there are reference data.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Folders of reference data.
    #[arg(value_name = "DATA_DIR", required_unless_present = "against")]
    pub data: Vec<PathBuf>,
    /// Compare with this instead of reference outputs; without DATA_DIR on random inputs.
    #[arg(long, value_enum)]
    pub against: Option<Against>,
    #[command(flatten)]
    /// What to run on, for --against.
    pub inputs: InputArgs,
    #[command(flatten)]
    /// Dimensions and constant inputs.
    pub source: ModelArgs,
    /// Error that is accepted, relative to the expected value.
    #[arg(long, value_name = "X", default_value_t = Tolerance::ONNX.rtol)]
    pub rtol: f64,
    /// Error that is accepted in any case.
    #[arg(long, value_name = "X", default_value_t = Tolerance::ONNX.atol)]
    pub atol: f64,
    /// Accept errors up to X times the largest value of the output, instead of --rtol and --atol.
    ///
    /// 1e-4 if --against is given and no tolerance is.
    #[arg(long, value_name = "X", conflicts_with_all = ["rtol", "atol"])]
    pub scale: Option<f64>,
    /// Number of threads; 0: as many as the machine has.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// What is checked.
    #[arg(long, value_enum, default_value = "compiled")]
    pub engine: Choice,
}

/// What results can be compared with.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against {
    /// The reference interpreter: slow, and right by definition
    Reference,
}

/// One output of one case.
struct Row {
    case: String,
    output: String,
    passed: bool,
    max_abs: f64,
    max_rel: f64,
    scale: f64,
    message: String,
}

/// Compares.
///
/// # Errors
/// If the model does not compile, or data cannot be read or do not fit.
pub fn execute(args: &Args, ui: Ui) -> Result<Outcome> {
    let cases = data::find(&args.data)?;
    let mut stages = Stages::new(ui);
    let mut checker = Checker { args, ui, engine: None };
    let mut rows = Vec::new();
    if args.data.is_empty() {
        rows.extend(checker.random(&mut stages)?);
    }
    for case in &cases {
        let case = case.load()?;
        rows.extend(checker.case(&case, &mut stages).map_err(|failure| failure.in_front(&case.name))?);
    }
    let failed = rows.iter().filter(|row| !row.passed).count();
    let exit = if failed == 0 { Exit::Fine } else { Exit::Differs };
    Ok(Outcome { exit, text: text(&rows, failed, cases.len()), json: json(args, &rows, failed) })
}

struct Checker<'a> {
    args: &'a Args,
    ui: Ui,
    /// Compiled without constants; good for every case.
    engine: Option<Engine>,
}

impl Checker<'_> {
    fn case(&mut self, case: &Case, stages: &mut Stages) -> Result<Vec<Row>> {
        let tensors: Vec<Tensor> = case.inputs.iter().map(|named| named.tensor.clone()).collect();
        let (mut engine, constant) = match self.engine.take() {
            Some(engine) => (engine, vec![]),
            None => self.open(&case.inputs, stages)?,
        };
        let outputs = run(&mut engine, &tensors, stages)?;
        let names = engine_outputs(&engine);
        if constant.is_empty() {
            self.engine = Some(engine);
        }
        self.compare(case, &tensors, &outputs, &names, stages)
    }

    /// The engine, and the names of inputs it takes for constants.
    fn open(&self, inputs: &[Named], stages: &mut Stages) -> Result<(Engine, Vec<String>)> {
        let args = self.args;
        if kind(&args.model)? == Kind::Artifact {
            let engine = super::open_artifact(&args.model, &args.source, args.engine, args.threads, stages)?;
            return Ok((engine, vec![]));
        }
        let known: Vec<(String, Tensor)> =
            inputs.iter().filter_map(|named| Some((named.name.clone()?, named.tensor.clone()))).collect();
        with_known_inputs(&args.source.options()?, &known, |options| {
            let graph = stages.stage("read", || model::import(&args.model, options))?;
            Ok(engine_of(graph, &args.source, args.engine, args.threads, Tuning::NONE, stages)?.0)
        })
    }

    fn random(&mut self, stages: &mut Stages) -> Result<Vec<Row>> {
        let args = self.args;
        let options = args.source.options()?;
        if kind(&args.model)? == Kind::Artifact {
            return Err(Failure::usage("`--against reference` needs the ONNX model, not an artifact"));
        }
        let graph = stages.stage("read", || model::import(&args.model, &options))?;
        let reference = model::reference(&graph, &args.source.states)?;
        let interface = Interface::of_program(&reference);
        let given = args.inputs.read(&interface, self.ui)?;
        let inputs = random::fill(&interface, &given, &Default::default())?;
        let (mut engine, _) = engine_of(graph, &args.source, args.engine, args.threads, Tuning::NONE, stages)?;
        let outputs = run(&mut engine, &inputs, stages)?;
        let expected = stages.stage("interpret", || Engine::interpreter(reference).run(&inputs))?;
        let names = engine_outputs(&engine);
        Ok(self.rows("random", &names, &outputs, &expected))
    }

    fn compare(
        &self,
        case: &Case,
        inputs: &[Tensor],
        outputs: &[Tensor],
        names: &[String],
        stages: &mut Stages,
    ) -> Result<Vec<Row>> {
        let expected: Vec<Tensor> = match self.args.against {
            None => case.outputs.iter().map(|named| named.tensor.clone()).collect(),
            Some(Against::Reference) => {
                let options = self.args.source.options()?;
                let graph = model::import(&self.args.model, &options)?;
                let reference = model::reference(&graph, &self.args.source.states)?;
                stages.stage("interpret", || Engine::interpreter(reference).run(inputs))?
            }
        };
        if expected.len() != outputs.len() {
            let (want, have) = (expected.len(), outputs.len());
            return Err(Failure::invalid(format!("the data have {want} outputs, the model has {have}")));
        }
        Ok(self.rows(&case.name, names, outputs, &expected))
    }

    fn rows(&self, case: &str, names: &[String], outputs: &[Tensor], expected: &[Tensor]) -> Vec<Row> {
        let rows = names.iter().zip(outputs).zip(expected);
        rows.map(|((name, got), expected)| self.row(case, name, got, expected)).collect()
    }

    fn row(&self, case: &str, output: &str, got: &Tensor, expected: &Tensor) -> Row {
        let args = self.args;
        let tolerance = Tolerance { rtol: args.rtol, atol: args.atol };
        let untouched = tolerance == Tolerance::ONNX && args.against.is_some();
        let limit = args.scale.or(untouched.then_some(1e-4)).filter(|_| got.dtype().is_float());
        let (case, output) = (case.to_string(), output.to_string());
        let compared =
            compare(got, expected, tolerance).and_then(|report| Ok((report, relative_to_scale(got, expected)?)));
        match compared {
            Ok((report, scale)) => {
                let passed = limit.map_or(report.passed(), |limit| scale <= limit);
                let message = if passed { String::new() } else { report.to_string() };
                Row { case, output, passed, max_abs: report.max_abs, max_rel: report.max_rel, scale, message }
            }
            Err(error) => {
                let worst = f64::INFINITY;
                let message = error.to_string();
                Row { case, output, passed: false, max_abs: worst, max_rel: worst, scale: worst, message }
            }
        }
    }
}

fn run(engine: &mut Engine, inputs: &[Tensor], stages: &mut Stages) -> Result<Vec<Tensor>> {
    engine.interface().bind(inputs)?;
    stages.stage("run", || engine.run(inputs))
}

fn engine_outputs(engine: &Engine) -> Vec<String> {
    engine.interface().outputs.into_iter().map(|port| port.name).collect()
}

fn text(rows: &[Row], failed: usize, cases: usize) -> String {
    let cells = rows.iter().map(|row| {
        let verdict = if row.passed { "ok" } else { "DIFFERS" };
        let error = |x: f64| format!("{x:.2e}");
        vec![
            row.case.clone(),
            row.output.clone(),
            verdict.into(),
            error(row.max_abs),
            error(row.max_rel),
            error(row.scale),
        ]
    });
    let head =
        [("case", Left), ("output", Left), ("", Left), ("absolute", Right), ("relative", Right), ("to scale", Right)];
    let mut text = table(&head, &cells.collect::<Vec<_>>());
    for row in rows.iter().filter(|row| !row.passed) {
        text += &format!("{}, {}: {}\n", row.case, row.output, row.message);
    }
    let passed = rows.len() - failed;
    text + &format!("{passed} of {} outputs agree, in {}\n", rows.len(), crate::text::count(cases.max(1), "case"))
}

fn json(args: &Args, rows: &[Row], failed: usize) -> Value {
    // JSON has no infinities: null.
    let row = |row: &Row| {
        json!({
            "case": row.case, "output": row.output, "passed": row.passed, "max_abs": row.max_abs,
            "max_rel": row.max_rel, "relative_to_scale": row.scale, "message": row.message,
        })
    };
    json!({
        "schema": "mlc-verify/1", "model": args.model, "passed": failed == 0, "failed": failed,
        "outputs": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
