//! The manifest `NAME.json`: the facts of the header for programs, under a versioned schema.

use mlc_abi::{Architecture, feature};
use serde::Serialize;

use crate::work::Work;

use super::{Check, Description, Dim, Error, Kind, Placement, Tensor};

/// The version of the schema; a field may be added without a new one, none is removed or changes its meaning.
const SCHEMA: &str = "mlc-manifest/1";

#[derive(Serialize)]
struct Manifest<'a> {
    schema: &'static str,
    name: &'a str,
    abi: u32,
    compiler: &'static str,
    architecture: &'static str,
    target: &'a str,
    features: Vec<&'static str>,
    files: Vec<String>,
    symbols: Vec<SymbolRow<'a>>,
    inputs: Vec<TensorRow<'a>>,
    outputs: Vec<TensorRow<'a>>,
    arena: ArenaRow<'a>,
    weights: WeightsRow,
    kernels: &'a [String],
    work: &'a [Work],
    codes: Vec<CodeRow>,
    content_hash: String,
}

#[derive(Serialize)]
struct SymbolRow<'a> {
    name: &'a str,
    low: i64,
    /// Absent: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<i64>,
}

#[derive(Serialize)]
struct TensorRow<'a> {
    name: &'a str,
    dtype: &'static str,
    dims: Vec<DimRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares_input: Option<u32>,
}

/// A number, or a text for what is not fixed.
#[derive(Serialize)]
#[serde(untagged)]
enum DimRow<'a> {
    Fixed(i64),
    Symbol { symbol: &'a str },
    Expression { expression: &'a str },
    AtMost { at_most: &'a str },
}

#[derive(Serialize)]
struct ArenaRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    formula: &'a str,
    align: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scratch_per_worker: Option<u64>,
    scratch_formula: &'a str,
    stack: u64,
}

#[derive(Serialize)]
struct WeightsRow {
    bytes: u64,
    placement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    xxh3_64: String,
}

#[derive(Serialize)]
struct CodeRow {
    code: i32,
    text: String,
}

/// The text of `NAME.json`.
pub(super) fn text(
    d: &Description,
    arch: Architecture,
    files: &[Kind],
    content_hash: u64,
    weights_hash: u64,
) -> Result<String, Error> {
    let sidecar = d.placement == Placement::Sidecar && d.weights_bytes > 0;
    let exists = |kind: Kind| kind != Kind::Weights || sidecar;
    let manifest = Manifest {
        schema: SCHEMA,
        name: &d.name,
        abi: mlc_abi::ABI,
        compiler: concat!("mlc ", env!("CARGO_PKG_VERSION")),
        architecture: arch.name(),
        target: &d.target,
        features: feature::named(arch, d.features).map(|it| it.name).collect(),
        files: files.iter().filter(|kind| exists(**kind)).map(|kind| kind.file_name(&d.name)).collect(),
        symbols: d
            .symbols
            .iter()
            .map(|it| SymbolRow { name: &it.name, low: it.low, high: (it.high != i64::MAX).then_some(it.high) })
            .collect(),
        inputs: d.inputs.iter().map(|it| tensor(d, it)).collect(),
        outputs: d.outputs.iter().map(|it| tensor(d, it)).collect(),
        arena: ArenaRow {
            bytes: d.arena.bytes,
            formula: &d.arena.text,
            align: mlc_abi::ARENA_ALIGN,
            scratch_per_worker: d.arena.scratch,
            scratch_formula: &d.arena.scratch_text,
            stack: d.arena.stack,
        },
        weights: WeightsRow {
            bytes: d.weights_bytes,
            placement: match d.placement {
                _ if d.weights_bytes == 0 => "none",
                Placement::Embedded => "embedded",
                Placement::Sidecar => "sidecar",
            },
            file: sidecar.then(|| Kind::Weights.file_name(&d.name)),
            xxh3_64: format!("{weights_hash:016x}"),
        },
        kernels: &d.kernels,
        work: &d.work,
        codes: d.checks().into_iter().map(|Check { code, text, .. }| CodeRow { code, text }).collect(),
        content_hash: format!("{content_hash:016x}"),
    };
    let text = serde_json::to_string_pretty(&manifest);
    text.map(|it| it + "\n").map_err(|error| Error::Description(error.to_string()))
}

fn tensor<'a>(d: &'a Description, tensor: &'a Tensor) -> TensorRow<'a> {
    let dims = tensor.dims.iter().map(|dim| match dim {
        Dim::Fixed(n) => DimRow::Fixed(*n),
        Dim::Symbol(number) => DimRow::Symbol { symbol: d.symbols.get(*number as usize).map_or("", |it| &it.name) },
        Dim::Expression(text) => DimRow::Expression { expression: text },
        Dim::AtMost(text) => DimRow::AtMost { at_most: text },
    });
    TensorRow { name: &tensor.name, dtype: tensor.dtype.name(), dims: dims.collect(), shares_input: tensor.state }
}
