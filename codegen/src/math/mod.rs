//! Functions as tile instructions: written once, the same bits with every emitter whose `fma` rounds once.
//!
//! In: a [`Math`] function and operands of `F32` or `F64`, any lanes.  Out: instructions without `math`.
//!
//! Infinities, NaN, signed zeros and denormals are as in C. The `F32` functions that networks use are computed in
//! `F32`; sin and cos are reduced in `F64`; the others are the `F64` function, rounded.

mod builder;
mod error;
mod exponential;
mod logarithm;
mod tables;
#[cfg(test)]
mod tests;
mod trigonometric;

pub use builder::{Arg, Builder};

use mlc_ir::tile::{Inst, Math, Op, Operand, Type};
use mlc_ir::{DType, Error, Name, Result};

/// Appends instructions that define `dst` as a function of `args`, all of type `ty`.
pub fn expand(
    math: Math,
    ty: Type,
    args: &[Operand],
    dst: Name,
    fresh: &mut dyn FnMut() -> Name,
    out: &mut Vec<Inst>,
) -> Result<()> {
    if !matches!(ty.dtype, DType::F32 | DType::F64) {
        return Err(Error::internal(format!("{} of {ty}", math.name())));
    }
    // Operands get a name, so that constants have a type wherever they are used.
    let mut builder = Builder::new(ty, fresh, out);
    let args: Vec<Operand> = args.iter().map(|arg| named(&mut builder, arg)).collect();
    let result = function(&mut builder, math, &args)?;
    match (&result, out.last_mut()) {
        (Operand::Ref(value), Some(Inst::Let { dst: last, .. })) if last == value => last.name = dst,
        _ => return Err(Error::internal(format!("{} ends in no value", math.name()))),
    }
    Ok(())
}

fn named(b: &mut Builder, arg: &Operand) -> Operand {
    match arg {
        Operand::Ref(_) => arg.clone(),
        _ => {
            let ty = b.float();
            b.define(ty, Op::Splat(arg.clone()))
        }
    }
}

/// The value of a function of the builder's type.
fn function(b: &mut Builder, math: Math, args: &[Operand]) -> Result<Operand> {
    let (x, y) = match args {
        [x] => (x, x),
        [x, y] => (x, y),
        _ => return Err(Error::internal(format!("{} of {} operands", math.name(), args.len()))),
    };
    Ok(match math {
        Math::Exp => exponential::exp(b, x),
        Math::Expm1 => exponential::expm1(b, x),
        Math::Log => logarithm::log(b, x),
        Math::Log1p => logarithm::log1p(b, x),
        Math::Sin => trigonometric::sin_or_cos(b, x, 0),
        Math::Cos => trigonometric::sin_or_cos(b, x, 1),
        Math::Tanh => exponential::tanh(b, x),
        Math::Erf => error::erf(b, x),
        _ if b.is_double() => double(b, math, x, y),
        _ => {
            let (x, y) = (b.widen(x), if args.len() == 2 { b.widen(y) } else { x.clone() });
            let wide = single(&mut b.with(DType::F64), math, &x, &y);
            b.narrow(wide)
        }
    })
}

/// The functions that are computed in `F64`, accurate enough for results in `F32`.
fn single(b: &mut Builder, math: Math, x: &Operand, y: &Operand) -> Operand {
    match math {
        Math::Pow => logarithm::pow(b, x, y, false),
        // The largest quotient has 277 bits.
        Math::Fmod => logarithm::fmod(b, x, y, 11, 25),
        _ => double(b, math, x, y),
    }
}

/// The functions that are computed in `F64` only.
fn double(b: &mut Builder, math: Math, x: &Operand, y: &Operand) -> Operand {
    match math {
        Math::Tan => trigonometric::tan(b, x),
        Math::Asin => trigonometric::asin(b, x),
        Math::Acos => trigonometric::acos(b, x),
        Math::Atan => trigonometric::atan(b, x),
        Math::Sinh => exponential::sinh(b, x),
        Math::Cosh => exponential::cosh(b, x),
        Math::Asinh => logarithm::asinh(b, x),
        Math::Acosh => logarithm::acosh(b, x),
        Math::Atanh => logarithm::atanh(b, x),
        Math::Fmod => logarithm::fmod(b, x, y, 84, 25),
        Math::Pow => logarithm::pow(b, x, y, true),
        Math::Exp | Math::Expm1 | Math::Log | Math::Log1p | Math::Sin | Math::Cos | Math::Tanh | Math::Erf => x.clone(),
    }
}
