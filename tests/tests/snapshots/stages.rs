//! What becomes of a graph, as texts.

use crate::case::Case;
use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_frontend::FunctionBuilderContext;
use mlc_codegen::clif;
use mlc_codegen::kernels::lower_program;
use mlc_codegen::linear::linearize;
use mlc_ir::program::fingerprint;
use mlc_ir::target::Target;
use mlc_ir::text::SyntaxError;
use mlc_ir::tile::{self, Tile};
use mlc_ir::{Error, Graph, Program, Result, Tensor};
use mlc_passes::{Options, Snapshot, optimize};
use std::fmt::Display;

/// The stages: the graph after its passes, the program as operators state it and after fusion, its kernels as tiles for
/// x86-64, and those as Cranelift gets them.
pub const STAGES: [&str; 6] = ["graph", "program", "fused", "indexed", "linear", "clif"];

/// The texts of all stages, and the constants of the programs among them.
pub struct Made {
    /// Stage and text.
    pub texts: Vec<(&'static str, String)>,
    constants: Vec<Tensor>,
}

/// What becomes of a case.
///
/// # Errors
/// If a pass fails or something is not sound after it.
pub fn of(case: &Case) -> Result<Made> {
    let (mut graph, mut program, mut constants) = (case.graph.to_string(), None, vec![]);
    let mut dump = |_: &str, state: Snapshot| match state {
        Snapshot::Graph(now) => graph = now.to_string(),
        Snapshot::Program(now) => {
            program.get_or_insert_with(|| now.to_string());
            constants.extend(now.buffers.iter().filter_map(|buffer| buffer.constant.clone()));
        }
    };
    let options = Options { verify: true, dump: Some(&mut dump), ..Options::default() };
    let (mut fused, _) = optimize(case.graph.clone(), options)?;
    let mut texts = vec![("graph", graph), ("program", program.unwrap_or_default()), ("fused", fused.to_string())];
    let indexed: Vec<Tile> = lower_program(&mut fused, &Target::x86_64())?.0.into_iter().map(|it| it.tile).collect();
    let linear: Vec<Tile> = indexed.iter().map(|tile| linearize(tile, &fused.facts)).collect::<Result<_>>()?;
    for tile in indexed.iter().chain(&linear) {
        tile::verify(tile, &fused.facts).map_err(|e| Error::internal(e.to_string()))?;
    }
    texts.push(("indexed", join(&indexed)));
    texts.push(("linear", join(&linear)));
    texts.push(("clif", clif_of(&linear)?));
    Ok(Made { texts, constants })
}

fn join(list: &[impl Display]) -> String {
    list.iter().map(|it| it.to_string()).collect::<Vec<_>>().join("\n")
}

fn clif_of(tiles: &[Tile]) -> Result<String> {
    let bug = |e: &dyn Display| Error::internal(e.to_string());
    let triple = "x86_64-unknown-linux-gnu".parse().map_err(|e| bug(&e))?;
    let features = ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_avx", "has_avx2", "has_fma"];
    let isa = clif::isa(&triple, &features, "none")?;
    let mut builder = FunctionBuilderContext::new();
    let mut texts = Vec::new();
    for tile in tiles {
        let mut function = Function::with_name_signature(UserFuncName::default(), clif::signature(&*isa));
        clif::emit(tile, &*isa, &mut function, &mut builder).map_err(|e| bug(&e))?;
        texts.push(format!("; {}\n{}", tile.name, function.display()));
    }
    Ok(texts.join("\n"))
}

impl Made {
    /// Reads the text of a stage and writes it again. Cranelift's is its own.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_back(&self, stage: &str, text: &str) -> Result<String> {
        match stage {
            "graph" => Ok(Graph::parse(text)?.to_string()),
            "program" | "fused" => Ok(program(text, &self.constants)?.to_string()),
            "indexed" | "linear" => {
                let tiles = text.split_inclusive("\n}\n").map(|text| tile::parse(text).map_err(syntax));
                Ok(join(&tiles.collect::<Result<Vec<Tile>>>()?))
            }
            _ => Ok(text.into()),
        }
    }
}

/// Reads a program; constants that are not in the text are found by their fingerprints.
///
/// # Errors
/// If it cannot be read.
pub fn program(text: &str, constants: &[Tensor]) -> Result<Program> {
    let find = |hash: u64| constants.iter().find(|tensor| fingerprint(tensor) == hash).cloned();
    Program::parse(text, &find).map_err(syntax)
}

fn syntax(error: SyntaxError) -> Error {
    Error::internal(error.to_string())
}
