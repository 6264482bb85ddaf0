//! The exported functions.

use super::body::Body;
use super::describe::input_symbols;
use super::dims::{Dim, bind_dims};
use super::gpu::{Gpu, Remote};
use super::memory::{Arena, bounded};
use super::run::Runner;
use super::sizes::check_sizes;
use crate::artifact::{Description, Subject};
use crate::lower::Lowered;
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{AbiParam, BlockArg, InstBuilder, Signature, Type, Value};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use mlc_abi::{Tensor as Raw, code};
use mlc_ir::program::Program;
use mlc_ir::{Error, Index, Result};
use std::collections::BTreeMap;

/// What the exported functions are made from.
pub struct Entries<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its arena.
    pub arena: &'a Arena,
    /// Offsets of the constants in the weights.
    pub weights: &'a BTreeMap<u32, u64>,
    /// Its kernels, in the order in which steps mention them, with their functions.
    pub kernels: &'a [(Lowered, Place)],
    /// The facts.
    pub description: &'a Description,
    /// The embedded weights, if they are.
    pub embedded: Option<DataId>,
    /// What runs on a GPU, if the program is for one.
    pub gpu: Option<&'a Gpu>,
}

/// Where a kernel runs.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A function of the module.
    Processor(FuncId),
    /// The entry with this number.
    Gpu(u32),
}

/// The functions' numbers in the module.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// `NAME_plan`
    pub plan: FuncId,
    /// `NAME_run`
    pub run: FuncId,
    /// `NAME_message`
    pub message: FuncId,
}

/// Defines `NAME_plan`, `NAME_run` and `NAME_message`.
///
/// # Errors
/// If the program needs something a driver cannot do; or Cranelift fails, which is a bug.
pub fn define_entries(module: &mut dyn Module, entries: &Entries) -> Result<Functions> {
    Ok(Functions { plan: plan(module, entries)?, run: run(module, entries)?, message: message(module, entries)? })
}

pub(super) fn signature(module: &dyn Module, params: &[Type], result: Option<Type>) -> Signature {
    let mut signature = module.make_signature();
    signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
    signature.returns.extend(result.map(AbiParam::new));
    signature
}

pub(super) fn define(
    module: &mut dyn Module,
    name: &str,
    linkage: Linkage,
    signature: Signature,
    write: impl FnOnce(&mut Body, &mut dyn Module) -> Result<()>,
) -> Result<FuncId> {
    let bug = |e: cranelift_module::ModuleError| Error::internal(format!("function `{name}`: {e:?}"));
    let id = module.declare_function(name, linkage, &signature).map_err(bug)?;
    let mut context = Context::new();
    context.func.signature = signature;
    let mut builder = FunctionBuilderContext::new();
    let mut body = Body::new(FunctionBuilder::new(&mut context.func, &mut builder));
    write(&mut body, module)?;
    body.b.seal_all_blocks();
    let config = module.isa().frontend_config();
    body.b.finalize(config);
    module.define_function(id, &mut context).map_err(bug)?;
    Ok(id)
}

fn plan(module: &mut dyn Module, entries: &Entries) -> Result<FuncId> {
    let signature = signature(module, &[I64, I64, I64, I32], Some(I32));
    let name = format!("{}_plan", entries.description.name);
    define(module, &name, Linkage::Export, signature, |f, _| {
        let (inputs, outputs, arena, workers) = (f.params[0], f.params[1], f.params[2], f.params[3]);
        f.check_not_null(&[arena]);
        let some = f.compare(IntCC::NotEqual, workers, 0);
        f.check(some, code::WORKERS);
        shapes(f, entries, inputs, outputs)?;
        let size = arena_bytes(f, entries, workers)?;
        f.store(size, arena, 0);
        f.give(code::OK);
        Ok(())
    })
}

fn run(module: &mut dyn Module, entries: &Entries) -> Result<FuncId> {
    let dispatch = super::run::dispatch(module, &entries.description.name)?;
    let signature = signature(module, &[I64; 6], Some(I32));
    let name = format!("{}_run", entries.description.name);
    define(module, &name, Linkage::Export, signature, |f, module| {
        let p = f.params.clone();
        let (inputs, outputs, arena, bytes, host) = (p[1], p[2], p[3], p[4], p[5]);
        shapes(f, entries, inputs, outputs)?;
        let workers = check_host(f, host);
        check_arena(f, entries, arena, bytes, workers)?;
        check_data(f, entries, inputs, outputs)?;
        let weights = weights(f, module, entries, p[0]);
        let scratch = scratch(f, entries, arena)?;
        let code = entries.gpu.map(|gpu| gpu.define_code(module, &entries.description.name)).transpose()?;
        let remote = code.map(|code| Remote::begin(f, module, entries, host, weights, code)).transpose()?;
        let mut runner = Runner { entries, inputs, outputs, arena, scratch, host, weights, dispatch, remote, next: 0 };
        runner.send_inputs(f)?;
        runner.steps(f, module, &entries.program.body)?;
        runner.fetch_outputs(f)?;
        runner.output_shapes(f)?;
        f.give(code::OK);
        Ok(())
    })
}

/// Checks ranks, types and dims of the inputs, binds the symbols, writes the outputs' shapes.
fn shapes(f: &mut Body, entries: &Entries, inputs: Value, outputs: Value) -> Result<()> {
    let program = entries.program;
    for (count, array) in [(program.inputs.len(), inputs), (program.outputs.len(), outputs)] {
        if count > 0 {
            f.check_not_null(&[array]);
        }
    }
    let mut dims: Vec<Dim> = Vec::new();
    for check in entries.description.checks() {
        let tensor = f.b.ins().iadd_imm_s(inputs, check.input as i64 * i64::from(Raw::SIZE));
        let buffer = program.buffer(program.inputs[check.input]);
        match check.subject {
            Subject::Dtype => {
                let have = f.load(I32, tensor, Raw::DTYPE);
                let same = f.compare(IntCC::Equal, have, buffer.dtype.onnx().into());
                f.check(same, check.code);
            }
            Subject::Rank => {
                let have = f.load(I32, tensor, Raw::RANK);
                let same = f.compare(IntCC::Equal, have, buffer.shape.len() as i64);
                f.check(same, check.code);
                if !buffer.shape.is_empty() {
                    let shape = f.load(I64, tensor, Raw::SHAPE);
                    f.check_not_null(&[shape]);
                }
            }
            Subject::Dim(place) => {
                let shape = f.load(I64, tensor, Raw::SHAPE);
                let have = f.load(I64, shape, place as i32 * 8);
                dims.push(Dim { want: &buffer.shape[place], have, code: check.code });
            }
            Subject::Bytes => {}
        }
    }
    bind_dims(f, program, dims)?;
    let symbols = input_symbols(program);
    for (a, b, _) in &program.asserts {
        let known = |index: &Index| index.syms().iter().all(|name| symbols.contains(name));
        let mut lookups = Vec::new();
        [a, b].into_iter().for_each(|index| mlc_ir::program::lookups(index, &mut lookups));
        if known(a) && known(b) && lookups.is_empty() {
            let (a, b) = (f.index(a)?, f.index(b)?);
            let same = f.b.ins().icmp(IntCC::Equal, a, b);
            f.check(same, code::DIMS_DIFFER);
        }
    }
    for (a, b, _) in &program.limits {
        let (a, b) = (f.index(a)?, f.index(b)?);
        let fits = f.b.ins().icmp(IntCC::SignedLessThanOrEqual, a, b);
        f.check(fits, code::STATE_FULL);
    }
    check_sizes(f, program, &program.body)?;
    write_shapes(f, entries, outputs, &|index| bounded(index, &program.facts, program))
}

/// Writes rank, type and dims of all outputs.
pub(super) fn write_shapes(
    f: &mut Body,
    entries: &Entries,
    outputs: Value,
    dim: &dyn Fn(&Index) -> Index,
) -> Result<()> {
    for (number, &buffer) in entries.program.outputs.iter().enumerate() {
        let buffer = entries.program.buffer(buffer);
        let tensor = f.b.ins().iadd_imm_s(outputs, number as i64 * i64::from(Raw::SIZE));
        let room = f.load(I32, tensor, Raw::RANK);
        let rank = buffer.shape.len() as i64;
        let enough = f.compare(IntCC::UnsignedGreaterThanOrEqual, room, rank);
        f.check(enough, code::OUTPUT_RANK);
        if rank > 0 {
            let shape = f.load(I64, tensor, Raw::SHAPE);
            f.check_not_null(&[shape]);
            for (place, index) in buffer.shape.iter().enumerate() {
                let value = f.index(&dim(index))?;
                f.store(value, shape, place as i32 * 8);
            }
        }
        let (rank, dtype) = (f.b.ins().iconst(I32, rank), f.b.ins().iconst(I32, i64::from(buffer.dtype.onnx())));
        f.store(rank, tensor, Raw::RANK);
        f.store(dtype, tensor, Raw::DTYPE);
    }
    Ok(())
}

/// The size of the arena for so many workers.
fn arena_bytes(f: &mut Body, entries: &Entries, workers: Value) -> Result<Value> {
    let size = f.index(&entries.arena.size)?;
    if entries.arena.scratch.is(0) {
        return Ok(size);
    }
    let (workers, each) = (f.b.ins().uextend(I64, workers), f.index(&entries.arena.scratch)?);
    let scratch = f.b.ins().imul(workers, each);
    Ok(f.b.ins().iadd(size, scratch))
}

/// Where the first worker's scratch memory begins, and the bytes of each worker's.
fn scratch(f: &mut Body, entries: &Entries, arena: Value) -> Result<(Value, Value)> {
    if entries.arena.scratch.is(0) {
        let none = f.number(0);
        return Ok((none, none));
    }
    let size = f.index(&entries.arena.size)?;
    Ok((f.b.ins().iadd(arena, size), f.index(&entries.arena.scratch)?))
}

fn check_arena(f: &mut Body, entries: &Entries, arena: Value, bytes: Value, workers: Value) -> Result<()> {
    if entries.arena.total(&Index::from(1)).is(0) {
        return Ok(());
    }
    let low = f.b.ins().band_imm_s(arena, mlc_abi::ARENA_ALIGN as i64 - 1);
    let aligned = f.compare(IntCC::Equal, low, 0);
    f.check(aligned, code::ARENA_ALIGNMENT);
    let size = arena_bytes(f, entries, workers)?;
    let enough = f.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, bytes, size);
    f.check(enough, code::ARENA_TOO_SMALL);
    let none = f.compare(IntCC::Equal, size, 0);
    let there = f.compare(IntCC::NotEqual, arena, 0);
    let either = f.b.ins().bor(none, there);
    f.check(either, code::NULL_POINTER);
    Ok(())
}

/// Checks that inputs and outputs have data for their shapes.
fn check_data(f: &mut Body, entries: &Entries, inputs: Value, outputs: Value) -> Result<()> {
    let program = entries.program;
    let checks = entries.description.checks();
    let checked = checks.iter().filter(|check| check.subject == Subject::Bytes);
    let given = checked.map(|check| (program.inputs[check.input], check.input, inputs, check.code));
    let made = program.outputs.iter().enumerate().map(|(n, &b)| (b, n, outputs, code::OUTPUT_TOO_SMALL));
    for (buffer, number, array, code) in given.chain(made) {
        let buffer = program.buffer(buffer);
        let tensor = f.b.ins().iadd_imm_s(array, number as i64 * i64::from(Raw::SIZE));
        let need = Index::product(&buffer.shape) * buffer.dtype.bytes() as i64;
        let need = f.index(&bounded(&need, &program.facts, program))?;
        let have = f.load(I64, tensor, Raw::BYTES);
        let enough = f.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, have, need);
        f.check(enough, code);
        let data = f.load(I64, tensor, Raw::DATA);
        let (there, none) = (f.compare(IntCC::NotEqual, data, 0), f.compare(IntCC::Equal, need, 0));
        let either = f.b.ins().bor(there, none);
        f.check(either, code);
    }
    for (input, output) in &program.states {
        let place = |list: &[u32], buffer| list.iter().position(|b| b == buffer).unwrap_or(0) as i32;
        let (from, to) = (place(&program.inputs, input), place(&program.outputs, output));
        let from = f.load(I64, inputs, from * Raw::SIZE + Raw::DATA);
        let to = f.load(I64, outputs, to * Raw::SIZE + Raw::DATA);
        let same = f.b.ins().icmp(IntCC::Equal, from, to);
        f.check(same, code::STATE_MEMORY);
    }
    Ok(())
}

/// Checks the host, if there is one, and gives the number of its workers.
fn check_host(f: &mut Body, host: Value) -> Value {
    let (given, next) = (f.b.create_block(), f.b.create_block());
    let workers = f.b.append_block_param(next, I32);
    let one = f.b.ins().iconst(I32, 1);
    f.b.ins().brif(host, given, &[], next, &[BlockArg::Value(one)]);
    f.b.switch_to_block(given);
    let abi = f.load(I32, host, mlc_abi::Host::ABI);
    let same = f.compare(IntCC::Equal, abi, i64::from(mlc_abi::ABI));
    f.check(same, code::HOST_ABI);
    let several = f.load(I32, host, mlc_abi::Host::WORKERS);
    let several = f.b.ins().umax(several, one);
    f.b.ins().jump(next, &[BlockArg::Value(several)]);
    f.b.switch_to_block(next);
    workers
}

/// The address of the weights: what the caller gives, or the embedded ones.
fn weights(f: &mut Body, module: &mut dyn Module, entries: &Entries, given: Value) -> Value {
    // Constants may all be empty.
    if entries.description.weights_bytes == 0 {
        return given;
    }
    match entries.embedded {
        Some(data) => {
            let symbol = module.declare_data_in_func(data, f.b.func);
            let address = f.b.ins().symbol_value(I64, symbol);
            let there = f.compare(IntCC::NotEqual, given, 0);
            f.b.ins().select(there, given, address)
        }
        None => {
            let there = f.compare(IntCC::NotEqual, given, 0);
            f.check(there, code::WEIGHTS_MISSING);
            given
        }
    }
}

/// `NAME_message`: texts one after another, and a table of their distances from its own address.
fn message(module: &mut dyn Module, entries: &Entries) -> Result<FuncId> {
    let name = &entries.description.name;
    let texts = entries.description.messages();
    let last = texts.last().map_or(0, |text| text.0) as usize;
    let text_of = |code: usize| texts.iter().find(|t| t.0 as usize == code).map_or(code::UNKNOWN, |t| t.1.as_str());
    let table = (last + 2) * 4;
    let mut bytes = vec![0; table];
    let mut offsets = std::collections::HashMap::new();
    for code in 0..last + 2 {
        let text = text_of(code);
        let at = *offsets.entry(text).or_insert_with(|| {
            let at = bytes.len() as u32;
            bytes.extend(text.bytes().filter(|b| *b != 0).chain([0]));
            at
        });
        bytes[code * 4..code * 4 + 4].copy_from_slice(&at.to_le_bytes());
    }
    let bug = |e: cranelift_module::ModuleError| Error::internal(format!("message texts: {e:?}"));
    let id = module.declare_data(&format!("{name}.texts"), Linkage::Local, false, false).map_err(bug)?;
    let mut data = DataDescription::new();
    data.define(bytes.into_boxed_slice());
    data.set_align(4);
    module.define_data(id, &data).map_err(bug)?;
    let signature = signature(module, &[I32], Some(I64));
    define(module, &format!("{name}_message"), Linkage::Export, signature, |f, module| {
        let symbol = module.declare_data_in_func(id, f.b.func);
        let address = f.b.ins().symbol_value(I64, symbol);
        let limit = f.b.ins().iconst(I32, last as i64 + 1);
        let code = f.b.ins().umin(f.params[0], limit);
        let code = f.b.ins().uextend(I64, code);
        let place = f.b.ins().imul_imm_s(code, 4);
        let at = f.b.ins().iadd(address, place);
        let offset = f.load(I32, at, 0);
        let offset = f.b.ins().uextend(I64, offset);
        let text = f.b.ins().iadd(address, offset);
        f.b.ins().return_(&[text]);
        Ok(())
    })
}
