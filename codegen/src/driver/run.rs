//! The steps of a program as code.

use super::body::Body;
use super::entry::{Entries, Place, define, signature, write_shapes};
use super::gpu::Remote;
use super::sizes::check_sizes;
use crate::lower::Lowered;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};
use cranelift_module::{FuncId, Linkage, Module};
use mlc_abi::{Host, Tensor as Raw};
use mlc_ir::program::Step;
use mlc_ir::{DType, Error, Index, Result};

/// Emits steps into `NAME_run`.
pub(super) struct Runner<'a> {
    pub entries: &'a Entries<'a>,
    pub inputs: Value,
    pub outputs: Value,
    pub arena: Value,
    /// The first worker's scratch memory, and the bytes of each worker's.
    pub scratch: (Value, Value),
    pub host: Value,
    pub weights: Value,
    pub dispatch: FuncId,
    /// The GPU of this run, if the program is for one.
    pub remote: Option<Remote>,
    /// The next kernel.
    pub next: usize,
}

impl Runner<'_> {
    pub fn steps(&mut self, f: &mut Body, module: &mut dyn Module, steps: &[Step]) -> Result<()> {
        for step in steps {
            match step {
                Step::Kernel(kernel) => self.kernel(f, module).map_err(|e| e.at(&kernel.name))?,
                Step::If { condition, then, otherwise } => self.branch(f, module, *condition, then, otherwise)?,
                Step::Loop { counter, trips, condition, ran, body } => {
                    let trips = self.index(f, trips)?;
                    let zero = f.number(0);
                    f.bind(counter, zero);
                    let (head, inside, done) = (f.b.create_block(), f.b.create_block(), f.b.create_block());
                    f.b.ins().jump(head, &[]);
                    f.b.switch_to_block(head);
                    let count = f.index(&Index::sym(counter.clone()))?;
                    let mut more = f.b.ins().icmp(IntCC::SignedLessThan, count, trips);
                    if let Some(condition) = condition {
                        let truth = self.truth(f, *condition)?;
                        let truth = f.compare(IntCC::NotEqual, truth, 0);
                        more = f.b.ins().band(more, truth);
                    }
                    f.b.ins().brif(more, inside, &[], done, &[]);
                    f.b.switch_to_block(inside);
                    check_sizes(f, self.entries.program, body)?;
                    self.steps(f, module, body)?;
                    let count = f.index(&(Index::sym(counter.clone()) + 1))?;
                    f.bind(counter, count);
                    f.b.ins().jump(head, &[]);
                    f.b.switch_to_block(done);
                    if let Some(ran) = ran {
                        let count = f.index(&Index::sym(counter.clone()))?;
                        f.bind(ran, count);
                    }
                }
                Step::Bind(name, index) => {
                    let value = self.index(f, index)?;
                    f.bind(name, value);
                }
            }
        }
        Ok(())
    }

    fn branch(
        &mut self,
        f: &mut Body,
        module: &mut dyn Module,
        condition: u32,
        then: &[Step],
        otherwise: &[Step],
    ) -> Result<()> {
        let truth = self.truth(f, condition)?;
        let (yes, no, done) = (f.b.create_block(), f.b.create_block(), f.b.create_block());
        f.b.ins().brif(truth, yes, &[], no, &[]);
        for (block, steps) in [(yes, then), (no, otherwise)] {
            f.b.switch_to_block(block);
            check_sizes(f, self.entries.program, steps)?;
            self.steps(f, module, steps)?;
            f.b.ins().jump(done, &[]);
        }
        f.b.switch_to_block(done);
        Ok(())
    }

    /// Writes the outputs' shapes as they turned out.
    pub fn output_shapes(&self, f: &mut Body) -> Result<()> {
        write_shapes(f, self.entries, self.outputs, &Index::clone)
    }

    fn truth(&self, f: &mut Body, buffer: u32) -> Result<Value> {
        self.fetch(f, buffer)?;
        let address = self.address(f, buffer)?;
        Ok(f.b.ins().load(I8, MemFlagsData::new().with_notrap(), address, 0))
    }

    pub(super) fn index(&self, f: &mut Body, index: &Index) -> Result<Value> {
        f.index_with(index, &|f, buffer| self.lookup(f, buffer))
    }

    fn lookup(&self, f: &mut Body, buffer: u32) -> Result<(Value, DType, Vec<Index>)> {
        let definition = self.entries.program.buffer(buffer);
        self.fetch(f, buffer)?;
        Ok((self.address(f, buffer)?, definition.dtype, definition.shape.clone()))
    }

    pub(super) fn address(&self, f: &mut Body, buffer: u32) -> Result<Value> {
        let program = self.entries.program;
        let places = [(&program.inputs, self.inputs), (&program.outputs, self.outputs)];
        for (numbers, array) in places {
            if let Some(place) = numbers.iter().position(|&b| b == buffer) {
                return Ok(f.load(I64, array, place as i32 * Raw::SIZE + Raw::DATA));
            }
        }
        if let Some(&offset) = self.entries.weights.get(&buffer) {
            return Ok(f.b.ins().iadd_imm_s(self.weights, offset as i64));
        }
        let offset = self.entries.arena.places.get(&buffer).map(|place| &place.offset);
        let offset = offset.ok_or_else(|| Error::internal(format!("buffer @{buffer} has no place")))?;
        let offset = f.index(offset)?;
        Ok(f.b.ins().iadd(self.arena, offset))
    }

    /// Fills the arguments and calls the next kernel.
    fn kernel(&mut self, f: &mut Body, module: &mut dyn Module) -> Result<()> {
        let number = self.next;
        self.next += 1;
        let (lowered, place) = &self.entries.kernels[number];
        let function = match place {
            Place::Processor(function) => *function,
            Place::Gpu(entry) => return self.launch(f, module, lowered, *entry, number),
        };
        self.fetch_operands(f, lowered)?;
        let args = lowered.buffers.iter().map(|buffer| self.address(f, *buffer)).collect::<Result<Vec<_>>>()?;
        let block = self.arguments(f, lowered, args)?;
        let tasks = self.index(f, &lowered.tile.tasks.1)?;
        let kernel = module.declare_func_in_func(function, f.b.func);
        let address = f.b.ins().func_addr(I64, kernel);
        let dispatch = module.declare_func_in_func(self.dispatch, f.b.func);
        let number = f.b.ins().iconst(I32, number as i64);
        let (scratch, each) = self.scratch;
        f.b.ins().call(dispatch, &[self.host, address, block, tasks, scratch, each, number]);
        self.send_results(f, lowered)
    }

    /// The argument block of a kernel: addresses, then symbols.
    pub(super) fn arguments(&self, f: &mut Body, lowered: &Lowered, mut args: Vec<Value>) -> Result<Value> {
        for symbol in &lowered.tile.symbols {
            args.push(f.index(&Index::sym(symbol.clone()))?);
        }
        let block = f.slot(args.len().max(1) as u32 * 8);
        args.into_iter().enumerate().for_each(|(place, value)| f.store(value, block, place as i32 * 8));
        Ok(block)
    }
}

/// Calls the host's profiler, if it has one, before (0) or after (1) a kernel.
pub(super) fn tell(f: &mut Body, module: &dyn Module, host: Value, number: Value, phase: i64) {
    let profile_type = signature(module, &[I64, I32, I32], None);
    let profile_type = f.b.import_signature(profile_type);
    let context = f.load(I64, host, Host::CTX);
    let hook = f.load(I64, host, Host::PROFILE);
    let (call, next) = (f.b.create_block(), f.b.create_block());
    f.b.ins().brif(hook, call, &[], next, &[]);
    f.b.switch_to_block(call);
    let phase = f.b.ins().iconst(I32, phase);
    f.b.ins().call_indirect(profile_type, hook, &[context, number, phase]);
    f.b.ins().jump(next, &[]);
    f.b.switch_to_block(next);
}

/// `NAME.dispatch(host, kernel, args, tasks, scratch, scratch_bytes, number)`: runs a kernel's tasks, on the host's threads
/// if it has some, and tells its profiler.
pub(super) fn dispatch(module: &mut dyn Module, name: &str) -> Result<FuncId> {
    let own = signature(module, &[I64, I64, I64, I64, I64, I64, I32], None);
    let kernel_type = signature(module, &[I64, I64, I64, I64], None);
    let parallel_type = signature(module, &[I64; 6], None);
    define(module, &format!("{name}.dispatch"), Linkage::Local, own, |f, module| {
        let p = f.params.clone();
        let (host, kernel, args, tasks) = (p[0], p[1], p[2], p[3]);
        let (scratch, each, number) = (p[4], p[5], p[6]);
        let kernel_type = f.b.import_signature(kernel_type);
        let parallel_type = f.b.import_signature(parallel_type);
        let zero = f.number(0);
        let (hosted, alone) = (f.b.create_block(), f.b.create_block());
        f.b.ins().brif(host, hosted, &[], alone, &[]);
        f.b.switch_to_block(alone);
        f.b.ins().call_indirect(kernel_type, kernel, &[args, zero, tasks, scratch]);
        f.b.ins().return_(&[]);
        f.b.switch_to_block(hosted);
        tell(f, module, host, number, 0);
        let context = f.load(I64, host, Host::CTX);
        let parallel = f.load(I64, host, Host::PARALLEL_FOR);
        let several = f.compare(IntCC::SignedGreaterThan, tasks, 1);
        let there = f.compare(IntCC::NotEqual, parallel, 0);
        let together = f.b.ins().band(several, there);
        let (many, one, after) = (f.b.create_block(), f.b.create_block(), f.b.create_block());
        f.b.ins().brif(together, many, &[], one, &[]);
        f.b.switch_to_block(many);
        f.b.ins().call_indirect(parallel_type, parallel, &[context, kernel, args, tasks, scratch, each]);
        f.b.ins().jump(after, &[]);
        f.b.switch_to_block(one);
        f.b.ins().call_indirect(kernel_type, kernel, &[args, zero, tasks, scratch]);
        f.b.ins().jump(after, &[]);
        f.b.switch_to_block(after);
        tell(f, module, host, number, 1);
        f.b.ins().return_(&[]);
        Ok(())
    })
}
