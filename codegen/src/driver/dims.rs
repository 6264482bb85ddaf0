//! Dims of the inputs: symbols get their values, and what is left must agree.
//!
//! In: the dims a caller gave.  Out: code that binds every symbol, and ends with a dim's own code where it does not fit.
//! Invariant: a symbol is bound by one dim, that of the symbol alone or a sum whose other symbols are bound.

use super::body::Body;
use super::describe::MOST;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use mlc_ir::program::Program;
use mlc_ir::{Error, Index, Name, Result};

/// A dim of an input: what the program says, what is there, and the code if they do not fit.
pub(super) struct Dim<'a> {
    pub want: &'a Index,
    pub have: Value,
    pub code: i32,
}

/// Binds each symbol by the first dim that decides it, and checks all other dims. One may need the symbols of a later one.
pub(super) fn bind_dims(f: &mut Body, program: &Program, mut dims: Vec<Dim>) -> Result<()> {
    while !dims.is_empty() {
        let mut left = Vec::new();
        let before = dims.len();
        for dim in dims {
            let bound = |name: &Name| f.symbols.contains_key(name);
            if let Some((name, rest)) = dim.want.solve(&bound) {
                let rest = f.index(&rest)?;
                let value = f.b.ins().isub(dim.have, rest);
                let (low, high) = program.facts.symbol_range(&name);
                let high = high.unwrap_or(MOST).min(MOST);
                let above = f.b.ins().iadd_imm_s(value, -low);
                let inside = f.compare(IntCC::UnsignedLessThanOrEqual, above, high - low);
                f.check(inside, dim.code);
                f.bind(&name, value);
            } else if dim.want.syms().iter().all(bound) {
                let want = f.index(dim.want)?;
                let same = f.b.ins().icmp(IntCC::Equal, dim.have, want);
                f.check(same, dim.code);
            } else {
                left.push(dim);
            }
        }
        if let Some(dim) = left.first().filter(|_| left.len() == before) {
            return Err(Error::internal(format!("the input dim {} has several unknowns", dim.want)));
        }
        dims = left;
    }
    Ok(())
}
