//! Functions as tile instructions: written once, the same bits with every emitter whose `fma` rounds once.
//!
//! In: a [`Math`] function and operands of `F32` or `F64`, any lanes.  Out: instructions without `math`.

mod builder;

pub use builder::{Arg, Builder};

use mlc_ir::tile::{Inst, Math, Op, Operand, Ref, Type};
use mlc_ir::{Error, Name, Result};

/// Appends instructions that define `dst` as a function of `args`, all of type `ty`.
pub fn expand(
    function_: Math,
    ty: Type,
    args: &[Operand],
    dst: Name,
    fresh: &mut dyn FnMut() -> Name,
    out: &mut Vec<Inst>,
) -> Result<()> {
    let mut builder = Builder::new(ty, fresh, out);
    let result = function(&mut builder, function_, args)?;
    match (&result, out.last_mut()) {
        (Operand::Ref(value), Some(Inst::Let { dst: last, .. })) if last == value => last.name = dst,
        _ => {
            let zero = Operand::Int(0);
            let op = Op::Select(zero, result.clone(), result);
            out.push(Inst::Let { dst: Ref { name: dst, at: vec![] }, ty, op });
        }
    }
    Ok(())
}

/// The value of a function, by a builder of the operands' type.
pub(crate) fn function(_b: &mut Builder, function: Math, _args: &[Operand]) -> Result<Operand> {
    Err(Error::unsupported(format!("{} is not there yet", function.name())))
}
