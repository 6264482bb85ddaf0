//! Statements of asynchronous copies and of tensor cores.

use crate::Result;
use crate::code::{Code, Space};
use crate::copies::CopyAsync;
use crate::matrix::LoadMatrix;
use crate::mma::Mma;
use crate::operand::{exactly, number};
use crate::statement::Names;

impl Names {
    /// The instruction with a name, whose parts follow, if it is one of these.
    pub(crate) fn special(&self, name: &str, parts: &[&str], operands: &[&str]) -> Option<Result<Code>> {
        Some(match (name, parts, operands) {
            ("cp", ["async", cache @ ("ca" | "cg"), "shared", "global"], [to, from, rest @ ..]) => {
                self.copy(cache, to, from, rest)
            }
            ("cp", ["async", "commit_group"], []) => Ok(Code::Commit),
            ("cp", ["async", "wait_all"], []) => Ok(Code::Wait(None)),
            ("cp", ["async", "wait_group"], [most]) => match number(most) {
                Some(most) => Ok(Code::Wait(Some(most as usize))),
                None => Err(format!("`{most}` is no number")),
            },
            ("ldmatrix", ["sync", "aligned", "m8n8", count, rest @ ..], [to, from]) => {
                self.load_matrix(count, rest, to, from)
            }
            ("mma", ["sync", "aligned", shape, "row", "col", types @ ..], [to, a, b, c]) => {
                self.mma(shape, types, [to, a, b, c])
            }
            _ => return None,
        })
    }

    fn copy(&self, cache: &str, to: &str, from: &str, rest: &[&str]) -> Result<Code> {
        let (bytes, read) = match rest {
            [bytes] => (bytes, None),
            [bytes, read] => (bytes, Some(self.word(read)?)),
            _ => return Err("unknown operands".into()),
        };
        let bytes = match (number(bytes), cache) {
            (Some(16), _) | (Some(4 | 8), "ca") => number(bytes).unwrap_or_default() as usize,
            _ => return Err(format!("`{cache}` copies no {bytes} bytes")),
        };
        let (to, from) = (self.address(Space::Shared, to)?, self.address(Space::Global, from)?);
        Ok(Code::Copy(CopyAsync { to, from, bytes, read }))
    }

    fn load_matrix(&self, count: &str, rest: &[&str], to: &str, from: &str) -> Result<Code> {
        let transposed = match rest {
            ["shared", "b16"] => false,
            ["trans", "shared", "b16"] => true,
            _ => return Err(format!("unknown modifiers {rest:?}")),
        };
        let count = match count {
            "x1" => 1,
            "x2" => 2,
            "x4" => 4,
            _ => return Err(format!("unknown count `{count}`")),
        };
        let to = self.registers(&exactly(count, to)?)?;
        Ok(Code::LoadMatrix(LoadMatrix { to, rows: self.address(Space::Shared, from)?, transposed }))
    }

    fn mma(&self, shape: &str, types: &[&str], [to, a, b, c]: [&str; 4]) -> Result<Code> {
        let (saturates, types) = match types {
            ["satfinite", types @ ..] => (true, types),
            types => (false, types),
        };
        let mma = Mma::named(shape, types, saturates).ok_or_else(|| format!("unknown product {shape} of {types:?}"))?;
        let [of_a, of_b, of_c] = mma.registers();
        let registers = |count: usize, text: &str| self.registers(&exactly(count, text)?);
        let (to, c) = (registers(of_c, to)?, registers(of_c, c)?);
        Ok(Code::Multiply(Mma { to, c, a: registers(of_a, a)?, b: registers(of_b, b)?, ..mma }))
    }
}
