//! A model small enough to write by hand: `y[n,4] = x[n,4] * w[4]`, with everything an artifact has.

use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32X4, I32, I64};
use cranelift_codegen::ir::{AbiParam, BlockArg, InstBuilder, MemFlagsData, Signature, Value};
use cranelift_codegen::isa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use mlc_abi::{ARENA_ALIGN, Host, Tensor as Raw, code};
use mlc_codegen::artifact::{Arena, Description, Dim, Placement, Symbol, Tensor, architecture, descriptor};
use mlc_ir::DType;

/// Bytes of the weights: `w`, then as much padding as a test asks for.
pub fn weights(bytes: usize) -> Vec<u8> {
    let mut all: Vec<u8> = [2f32, 3.0, 4.0, 5.0].iter().flat_map(|it| it.to_le_bytes()).collect();
    all.extend((16..bytes).map(|place| (place * 7) as u8));
    all.truncate(bytes);
    all
}

/// The facts.
pub fn description(name: &str, weights: u64, placement: Placement) -> Description {
    let tensor = |name: &str| Tensor {
        name: name.to_string(),
        dtype: DType::F32,
        dims: vec![Dim::Symbol(0), Dim::Fixed(4)],
        state: None,
    };
    Description {
        name: name.to_string(),
        target: "test".into(),
        features: 0,
        symbols: vec![Symbol { name: "n".into(), low: 1, high: 1024 }],
        inputs: vec![tensor("x")],
        outputs: vec![tensor("y/*out*/")],
        kernels: vec!["scale".into()],
        work: vec![],
        arena: Arena {
            bytes: None,
            text: "64 * workers".into(),
            scratch: Some(64),
            scratch_text: "64".into(),
            stack: 256,
        },
        weights_bytes: weights,
        placement,
    }
}

/// One function under construction.
struct Body<'a> {
    b: FunctionBuilder<'a>,
    params: Vec<Value>,
}

impl Body<'_> {
    fn load(&mut self, ty: cranelift_codegen::ir::Type, at: Value, offset: i32) -> Value {
        self.b.ins().load(ty, MemFlagsData::trusted(), at, offset)
    }

    fn store(&mut self, value: Value, at: Value, offset: i32) {
        self.b.ins().store(MemFlagsData::trusted(), value, at, offset);
    }

    /// Returns `code` unless the condition holds.
    fn check(&mut self, condition: Value, code: i32) {
        let (good, bad) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, good, &[], bad, &[]);
        self.b.switch_to_block(bad);
        self.give(code);
        self.b.switch_to_block(good);
    }

    fn give(&mut self, code: i32) {
        let code = self.b.ins().iconst(I32, i64::from(code));
        self.b.ins().return_(&[code]);
    }

    fn compare(&mut self, condition: IntCC, value: Value, with: i64) -> Value {
        self.b.ins().icmp_imm_s(condition, value, with)
    }

    fn check_not_null(&mut self, pointers: &[Value]) {
        for &pointer in pointers {
            let condition = self.compare(IntCC::NotEqual, pointer, 0);
            self.check(condition, code::NULL_POINTER);
        }
    }

    /// The checks that plan and run share; writes the output's shape and gives `n`.
    fn shapes(&mut self, inputs: Value, outputs: Value) -> Value {
        let dtype = self.load(I32, inputs, Raw::DTYPE);
        let condition = self.compare(IntCC::Equal, dtype, 1);
        self.check(condition, 100);
        let rank = self.load(I32, inputs, Raw::RANK);
        let condition = self.compare(IntCC::Equal, rank, 2);
        self.check(condition, 101);
        let shape = self.load(I64, inputs, Raw::SHAPE);
        self.check_not_null(&[shape]);
        let n = self.load(I64, shape, 0);
        let less = self.b.ins().iadd_imm_s(n, -1);
        let condition = self.compare(IntCC::UnsignedLessThan, less, 1024);
        self.check(condition, 102);
        let four = self.load(I64, shape, 8);
        let condition = self.compare(IntCC::Equal, four, 4);
        self.check(condition, 103);
        let rank = self.load(I32, outputs, Raw::RANK);
        let condition = self.compare(IntCC::UnsignedGreaterThanOrEqual, rank, 2);
        self.check(condition, code::OUTPUT_RANK);
        let to = self.load(I64, outputs, Raw::SHAPE);
        self.check_not_null(&[to]);
        self.store(n, to, 0);
        self.store(four, to, 8);
        let two = self.b.ins().iconst(I32, 2);
        self.store(two, outputs, Raw::RANK);
        let one = self.b.ins().iconst(I32, 1);
        self.store(one, outputs, Raw::DTYPE);
        n
    }
}

fn signature(module: &ObjectModule, params: &[cranelift_codegen::ir::Type], result: bool) -> Signature {
    let mut signature = module.make_signature();
    signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
    signature.returns.extend(result.then(|| AbiParam::new(I32)));
    signature
}

fn define(
    module: &mut ObjectModule,
    name: &str,
    linkage: Linkage,
    signature: Signature,
    write: impl FnOnce(&mut Body, &mut ObjectModule),
) -> FuncId {
    let id = module.declare_function(name, linkage, &signature).expect("declare");
    let mut context = Context::new();
    context.func.signature = signature;
    let mut builder = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut context.func, &mut builder);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let params = b.block_params(entry).to_vec();
    let mut body = Body { b, params };
    write(&mut body, module);
    body.b.seal_all_blocks();
    let config = module.isa().frontend_config();
    body.b.finalize(config);
    module.define_function(id, &mut context).expect("define");
    id
}

/// The kernel: rows `begin..end`; arguments are x, y, w.
fn kernel(module: &mut ObjectModule) -> FuncId {
    let signature = signature(module, &[I64, I64, I64, I64], false);
    define(module, "scale", Linkage::Local, signature, |f, _| {
        let (args, begin, end, scratch) = (f.params[0], f.params[1], f.params[2], f.params[3]);
        let (x, y, w) = (f.load(I64, args, 0), f.load(I64, args, 8), f.load(I64, args, 16));
        let factor = f.load(F32X4, w, 0);
        f.store(begin, scratch, 0);
        let (head, exit) = (f.b.create_block(), f.b.create_block());
        f.b.append_block_param(head, I64);
        f.b.ins().jump(head, &[BlockArg::from(begin)]);
        f.b.switch_to_block(head);
        let row = f.b.block_params(head)[0];
        let offset = f.b.ins().imul_imm_s(row, 16);
        let (from, to) = (f.b.ins().iadd(x, offset), f.b.ins().iadd(y, offset));
        let flags = MemFlagsData::new().with_notrap();
        let value = f.b.ins().load(F32X4, flags, from, 0);
        let value = f.b.ins().fmul(value, factor);
        f.b.ins().store(flags, value, to, 0);
        let next = f.b.ins().iadd_imm_s(row, 1);
        let more = f.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        f.b.ins().brif(more, head, &[BlockArg::from(next)], exit, &[]);
        f.b.switch_to_block(exit);
        f.b.ins().return_(&[]);
    })
}

fn plan(module: &mut ObjectModule, name: &str) {
    let signature = signature(module, &[I64, I64, I64, I32], true);
    define(module, &format!("{name}_plan"), Linkage::Export, signature, |f, _| {
        let (inputs, outputs, arena, workers) = (f.params[0], f.params[1], f.params[2], f.params[3]);
        f.check_not_null(&[inputs, outputs, arena]);
        let some = f.compare(IntCC::NotEqual, workers, 0);
        f.check(some, code::WORKERS);
        f.shapes(inputs, outputs);
        let workers = f.b.ins().uextend(I64, workers);
        let bytes = f.b.ins().imul_imm_s(workers, 64);
        f.store(bytes, arena, 0);
        f.give(code::OK);
    });
}

fn run(module: &mut ObjectModule, name: &str, kernel: FuncId, weights: Option<DataId>) {
    let signature_of_run = signature(module, &[I64; 6], true);
    define(module, &format!("{name}_run"), Linkage::Export, signature_of_run, |f, module| {
        let p = f.params.clone();
        let (inputs, outputs, arena, arena_bytes, host) = (p[1], p[2], p[3], p[4], p[5]);
        f.check_not_null(&[inputs, outputs, arena]);
        let n = f.shapes(inputs, outputs);
        let low = f.b.ins().band_imm_s(arena, ARENA_ALIGN as i64 - 1);
        let aligned = f.compare(IntCC::Equal, low, 0);
        f.check(aligned, code::ARENA_ALIGNMENT);
        let enough = f.compare(IntCC::UnsignedGreaterThanOrEqual, arena_bytes, 64);
        f.check(enough, code::ARENA_TOO_SMALL);
        let bytes = f.b.ins().imul_imm_s(n, 16);
        for (tensor, wrong) in [(inputs, 104), (outputs, code::OUTPUT_TOO_SMALL)] {
            let have = f.load(I64, tensor, Raw::BYTES);
            let enough = f.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, have, bytes);
            f.check(enough, wrong);
            let data = f.load(I64, tensor, Raw::DATA);
            f.check_not_null(&[data]);
        }
        let mut w = p[0];
        match weights {
            Some(weights) => {
                let symbol = module.declare_data_in_func(weights, f.b.func);
                let address = f.b.ins().symbol_value(I64, symbol);
                let given = f.compare(IntCC::NotEqual, w, 0);
                w = f.b.ins().select(given, w, address);
            }
            None => {
                let given = f.compare(IntCC::NotEqual, w, 0);
                f.check(given, code::WEIGHTS_MISSING);
            }
        }
        let slot = f.b.create_sized_stack_slot(cranelift_codegen::ir::StackSlotData::new(
            cranelift_codegen::ir::StackSlotKind::ExplicitSlot,
            24,
            3,
        ));
        let args = f.b.ins().stack_addr(I64, slot, 0);
        let (x, y) = (f.load(I64, inputs, Raw::DATA), f.load(I64, outputs, Raw::DATA));
        [x, y, w].into_iter().enumerate().for_each(|(place, value)| f.store(value, args, place as i32 * 8));
        launch(f, module, kernel, host, args, n, arena);
        f.give(code::OK);
    });
}

/// Calls the kernel for rows `0..n`: through the host's threads and between its profile hooks, where it has them.
fn launch(f: &mut Body, module: &mut ObjectModule, kernel: FuncId, host: Value, args: Value, n: Value, arena: Value) {
    let (call, profile) = (signature(module, &[I64; 6], false), signature(module, &[I64, I32, I32], false));
    let kernel = module.declare_func_in_func(kernel, f.b.func);
    let (alone, hosted, done) = (f.b.create_block(), f.b.create_block(), f.b.create_block());
    f.b.ins().brif(host, hosted, &[], alone, &[]);
    f.b.switch_to_block(hosted);
    let abi = f.load(I32, host, Host::ABI);
    let same = f.compare(IntCC::Equal, abi, i64::from(mlc_abi::ABI));
    f.check(same, code::HOST_ABI);
    let (ctx, parallel) = (f.load(I64, host, Host::CTX), f.load(I64, host, Host::PARALLEL_FOR));
    let hook = f.load(I64, host, Host::PROFILE);
    let (call, profile) = (f.b.import_signature(call), f.b.import_signature(profile));
    tell(f, profile, hook, ctx, 0);
    let (together, single, after) = (f.b.create_block(), f.b.create_block(), f.b.create_block());
    f.b.ins().brif(parallel, together, &[], single, &[]);
    f.b.switch_to_block(together);
    let address = f.b.ins().func_addr(I64, kernel);
    let scratch_bytes = f.b.ins().iconst(I64, 64);
    f.b.ins().call_indirect(call, parallel, &[ctx, address, args, n, arena, scratch_bytes]);
    f.b.ins().jump(after, &[]);
    let zero = |f: &mut Body| f.b.ins().iconst(I64, 0);
    f.b.switch_to_block(single);
    let begin = zero(f);
    f.b.ins().call(kernel, &[args, begin, n, arena]);
    f.b.ins().jump(after, &[]);
    f.b.switch_to_block(after);
    tell(f, profile, hook, ctx, 1);
    f.b.ins().jump(done, &[]);
    f.b.switch_to_block(alone);
    let begin = zero(f);
    f.b.ins().call(kernel, &[args, begin, n, arena]);
    f.b.ins().jump(done, &[]);
    f.b.switch_to_block(done);
}

/// Calls the profile hook, if there is one, for kernel 0.
fn tell(f: &mut Body, signature: cranelift_codegen::ir::SigRef, hook: Value, ctx: Value, phase: i64) {
    let (call, next) = (f.b.create_block(), f.b.create_block());
    f.b.ins().brif(hook, call, &[], next, &[]);
    f.b.switch_to_block(call);
    let (kernel, phase) = (f.b.ins().iconst(I32, 0), f.b.ins().iconst(I32, phase));
    f.b.ins().call_indirect(signature, hook, &[ctx, kernel, phase]);
    f.b.ins().jump(next, &[]);
    f.b.switch_to_block(next);
}

/// `NAME_message`: a table of addresses, so that the artifact has relocations for the loader.
fn message(module: &mut ObjectModule, name: &str, description: &Description) {
    let texts = description.messages();
    let last = texts.last().map_or(0, |it| it.0) as usize;
    let mut table = DataDescription::new();
    let text_of = |code: usize| texts.iter().find(|it| it.0 as usize == code).map_or(code::UNKNOWN, |it| &it.1);
    table.define(vec![0; (last + 2) * 8].into_boxed_slice());
    table.set_align(8);
    for place in 0..last + 2 {
        let id = module.declare_data(&format!("text{place}"), Linkage::Local, false, false).expect("declare");
        let mut text = DataDescription::new();
        text.define(format!("{}\0", text_of(place)).into_bytes().into_boxed_slice());
        module.define_data(id, &text).expect("define");
        let value = module.declare_data_in_data(id, &mut table);
        table.write_data_addr(place as u32 * 8, value, 0);
    }
    let id = module.declare_data("texts", Linkage::Local, false, false).expect("declare");
    module.define_data(id, &table).expect("define");
    let mut signature = signature(module, &[I32], false);
    signature.returns.push(AbiParam::new(I64));
    define(module, &format!("{name}_message"), Linkage::Export, signature, |f, module| {
        let symbol = module.declare_data_in_func(id, f.b.func);
        let address = f.b.ins().symbol_value(I64, symbol);
        let limit = f.b.ins().iconst(I32, last as i64 + 1);
        let code = f.b.ins().umin(f.params[0], limit);
        let code = f.b.ins().uextend(I64, code);
        let offset = f.b.ins().imul_imm_s(code, 8);
        let at = f.b.ins().iadd(address, offset);
        let text = f.load(I64, at, 0);
        f.b.ins().return_(&[text]);
    });
}

/// The object for a target, with `extra` called before it is finished.
pub fn object(triple: &str, description: &Description, extra: impl FnOnce(&mut ObjectModule)) -> Vec<u8> {
    let mut flags = settings::builder();
    flags.set("is_pic", "true").expect("flag");
    let triple: target_lexicon::Triple = triple.parse().expect("triple");
    let arch = architecture(&triple).expect("architecture");
    let isa = isa::lookup(triple).expect("isa").finish(settings::Flags::new(flags)).expect("isa");
    let builder = ObjectBuilder::new(isa, description.name.as_str(), default_libcall_names()).expect("builder");
    let mut module = ObjectModule::new(builder);
    let name = &description.name;
    let kernel = kernel(&mut module);
    let embedded = description.placement == Placement::Embedded;
    let weights = embedded
        .then(|| module.declare_data(&format!("{name}_weights"), Linkage::Import, false, false).expect("declare"));
    plan(&mut module, name);
    run(&mut module, name, kernel, weights);
    message(&mut module, name, description);
    let id = module.declare_data(&format!("{name}_descriptor"), Linkage::Export, false, false).expect("declare");
    let mut data = DataDescription::new();
    data.define(descriptor::build(description, arch).into_boxed_slice());
    data.set_align(8);
    module.define_data(id, &data).expect("define");
    extra(&mut module);
    module.finish().emit().expect("emit")
}
