//! The GPU's part of a run: where buffers lie there, launches, and copies.
//!
//! In: which kernels run on the GPU.  Out: code that begins a run there, starts kernels and copies between them and those
//! of the processor.
//! Invariant: a buffer that a kernel on the GPU touches is right there at all times between kernels; the processor's copy,
//! at its place in the arena or with the caller, is made when a step needs it. Inputs and constants are right in both places.

use super::body::Body;
use super::entry::{Entries, signature};
use super::memory::{self, Arena, bounded};
use super::run::{Runner, tell};
use crate::kernels::Scheduled;
use crate::layout::Layout;
use crate::lower::Lowered;
use crate::ptx::{self, Capability};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, SigRef, Value};
use cranelift_module::{DataDescription, DataId, Linkage, Module};
use mlc_abi::{Device, DeviceNeeds, Host, code};
use mlc_ir::program::Program;
use mlc_ir::tile::Space;
use mlc_ir::{Error, Index, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What of a program runs on a GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    capability: Capability,
    /// By number of their kernel.
    entries: BTreeMap<u32, ptx::Entry>,
    /// Offsets in the GPU's memory of all buffers that kernels there touch and that are no constants.
    offsets: BTreeMap<u32, Index>,
    /// Bytes of that memory.
    bytes: Index,
    /// Bytes of these buffers, without what rounds them up.
    sizes: BTreeMap<u32, Index>,
}

impl Gpu {
    /// Puts inputs and outputs behind the arena's buffers, and the entries into one module.
    pub fn new(
        program: &Program,
        layouts: &[Layout],
        arena: &Arena,
        kernels: &[Scheduled],
        capability: Capability,
    ) -> Gpu {
        let touched: BTreeSet<u32> =
            kernels.iter().filter(|it| it.code.on_gpu()).flat_map(|it| it.lowered.buffers.clone()).collect();
        let kept = arena.places.iter().filter(|(buffer, _)| touched.contains(*buffer));
        let mut offsets: BTreeMap<u32, Index> = kept.map(|(buffer, place)| (*buffer, place.offset.clone())).collect();
        let mut bytes = arena.size.clone();
        for buffer in program.inputs.iter().chain(&program.outputs).filter(|buffer| touched.contains(*buffer)) {
            offsets.insert(*buffer, bytes.clone());
            bytes = bytes + memory::size(program, layouts, *buffer);
        }
        let size = |buffer: &u32| {
            let definition = program.buffer(*buffer);
            let elements = Index::product(&layouts[*buffer as usize].dims(&definition.shape));
            let bytes = bounded(&(elements * definition.dtype.bytes() as i64), &program.facts, program);
            // As in `memory::size`: only a branch that is not taken has less than nothing.
            let bytes = if program.facts.nonneg(&bytes) { bytes } else { program.facts.max(&bytes, &Index::zero()) };
            (*buffer, bytes)
        };
        let sizes = offsets.keys().map(size).collect();
        let own = (0u32..).zip(kernels).filter(|(number, kernel)| kernel.like == *number as usize);
        let entry = |(number, kernel): (u32, &Scheduled)| kernel.code.entry().map(|entry| (number, entry.clone()));
        Gpu { capability, entries: own.filter_map(entry).collect(), offsets, bytes, sizes }
    }

    /// The module's text as data.
    pub(super) fn define_code(&self, module: &mut dyn Module, name: &str) -> Result<DataId> {
        let bug = |e: cranelift_module::ModuleError| Error::internal(format!("text of the kernels: {e:?}"));
        let id = module.declare_data(&format!("{name}.ptx"), Linkage::Local, false, false).map_err(bug)?;
        let mut data = DataDescription::new();
        let entries: Vec<&str> = self.entries.values().map(|entry| entry.text.as_str()).collect();
        data.define(ptx::module(self.capability, &entries).into_bytes().into_iter().chain([0]).collect());
        module.define_data(id, &data).map_err(bug)?;
        Ok(id)
    }
}

/// The GPU in a run.
pub(super) struct Remote {
    table: Value,
    context: Value,
    weights: Value,
    arena: Value,
    launch: SigRef,
    copy: SigRef,
}

impl Remote {
    /// Begins a run on the host's device; returns from it if there is none.
    pub fn begin(
        f: &mut Body,
        module: &mut dyn Module,
        entries: &Entries,
        host: Value,
        weights: Value,
        data: DataId,
    ) -> Result<Remote> {
        let gpu = entries.gpu.ok_or_else(|| Error::internal("a run without a GPU"))?;
        let there = f.compare(IntCC::NotEqual, host, 0);
        f.check(there, code::DEVICE_MISSING);
        let table = f.load(I64, host, Host::DEVICE);
        let there = f.compare(IntCC::NotEqual, table, 0);
        f.check(there, code::DEVICE_MISSING);
        let needs = f.slot(DeviceNeeds::SIZE as u32);
        let symbol = module.declare_data_in_func(data, f.b.func);
        let text = f.b.ins().symbol_value(I64, symbol);
        let bytes = f.number(entries.description.weights_bytes as i64);
        let size = f.index(&gpu.bytes)?;
        let fields = [
            (text, DeviceNeeds::CODE),
            (weights, DeviceNeeds::WEIGHTS),
            (bytes, DeviceNeeds::WEIGHTS_BYTES),
            (size, DeviceNeeds::ARENA_BYTES),
        ];
        fields.into_iter().for_each(|(value, offset)| f.store(value, needs, offset));
        let begin = signature(module, &[I64, I64], Some(I32));
        let launch = signature(module, &[I64, I32, I64, I32, I64, I32, I64], Some(I32));
        let copy = signature(module, &[I64, I64, I64, I64, I32], Some(I32));
        let (begin, launch, copy) =
            (f.b.import_signature(begin), f.b.import_signature(launch), f.b.import_signature(copy));
        let context = f.load(I64, table, Device::CTX);
        call(f, begin, (table, Device::BEGIN), &[context, needs]);
        let (weights, arena) =
            (f.load(I64, needs, DeviceNeeds::DEVICE_WEIGHTS), f.load(I64, needs, DeviceNeeds::DEVICE_ARENA));
        Ok(Remote { table, context, weights, arena, launch, copy })
    }
}

/// Calls a function of a table; returns from the run if it fails.
fn call(f: &mut Body, signature: SigRef, (table, offset): (Value, i32), args: &[Value]) {
    let function = f.load(I64, table, offset);
    let call = f.b.ins().call_indirect(signature, function, args);
    let code = f.b.inst_results(call)[0];
    f.check_code(code);
}

impl Runner<'_> {
    /// Where a buffer lies on the GPU.
    fn remote_address(&self, f: &mut Body, remote: &Remote, buffer: u32) -> Result<Value> {
        if let Some(&offset) = self.entries.weights.get(&buffer) {
            return Ok(f.b.ins().iadd_imm_s(remote.weights, offset as i64));
        }
        let offset = self.entries.gpu.and_then(|gpu| gpu.offsets.get(&buffer));
        let offset = offset.ok_or_else(|| Error::internal(format!("buffer @{buffer} has no place on the GPU")))?;
        let offset = f.index(offset)?;
        Ok(f.b.ins().iadd(remote.arena, offset))
    }

    /// Starts a kernel.
    pub(super) fn launch(
        &self,
        f: &mut Body,
        module: &dyn Module,
        lowered: &Lowered,
        entry: u32,
        number: usize,
    ) -> Result<()> {
        let there = self.remote.as_ref().zip(self.entries.gpu.and_then(|gpu| gpu.entries.get(&entry)));
        let (remote, ptx::Entry { crew, far, .. }) =
            there.ok_or_else(|| Error::internal("a kernel without its GPU"))?;
        let addresses = lowered.buffers.iter().map(|buffer| self.remote_address(f, remote, *buffer));
        let addresses = addresses.collect::<Result<Vec<_>>>()?;
        let block = self.arguments(f, lowered, addresses)?;
        let tasks = self.index(f, &lowered.tile.tasks.1)?;
        let count = f.b.ins().iconst(I32, (lowered.buffers.len() + lowered.tile.symbols.len()) as i64);
        let crew = f.b.ins().iconst(I32, i64::from(crew.unwrap_or(0)));
        let scratch = self.index(f, far)?;
        let (entry, number) = (f.b.ins().iconst(I32, i64::from(entry)), f.b.ins().iconst(I32, number as i64));
        tell(f, module, self.host, number, 0);
        let args = [remote.context, entry, block, count, tasks, crew, scratch];
        call(f, remote.launch, (remote.table, Device::LAUNCH), &args);
        tell(f, module, self.host, number, 1);
        Ok(())
    }

    /// Copies a buffer, if it is one of the GPU's.
    fn copy(&self, f: &mut Body, buffer: u32, up: bool) -> Result<()> {
        let (Some(remote), Some(gpu)) = (&self.remote, self.entries.gpu) else { return Ok(()) };
        let Some(size) = gpu.sizes.get(&buffer) else { return Ok(()) };
        let (there, here) = (self.remote_address(f, remote, buffer)?, self.address(f, buffer)?);
        let bytes = f.index(size)?;
        let up = f.b.ins().iconst(I32, i64::from(up));
        call(f, remote.copy, (remote.table, Device::COPY), &[remote.context, there, here, bytes, up]);
        Ok(())
    }

    /// Makes the processor's copy of a buffer right.
    pub(super) fn fetch(&self, f: &mut Body, buffer: u32) -> Result<()> {
        if self.entries.program.inputs.contains(&buffer) { Ok(()) } else { self.copy(f, buffer, false) }
    }

    /// Gives the GPU its inputs.
    pub(super) fn send_inputs(&self, f: &mut Body) -> Result<()> {
        self.entries.program.inputs.iter().try_for_each(|buffer| self.copy(f, *buffer, true))
    }

    /// Gives the caller the GPU's outputs.
    pub(super) fn fetch_outputs(&self, f: &mut Body) -> Result<()> {
        self.entries.program.outputs.iter().try_for_each(|buffer| self.fetch(f, *buffer))
    }

    /// Fetches what a kernel of the processor touches: it may write a part of a buffer only.
    pub(super) fn fetch_operands(&self, f: &mut Body, lowered: &Lowered) -> Result<()> {
        lowered.buffers.iter().try_for_each(|buffer| self.fetch(f, *buffer))
    }

    /// Sends what a kernel of the processor has written.
    pub(super) fn send_results(&self, f: &mut Body, lowered: &Lowered) -> Result<()> {
        let params = lowered.buffers.iter().zip(&lowered.tile.params);
        params.filter(|it| it.1.space == Space::Output).try_for_each(|(buffer, _)| self.copy(f, *buffer, true))
    }
}
