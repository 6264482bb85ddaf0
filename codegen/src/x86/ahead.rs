//! What is read in the order of memory is fetched ahead: the processor's own prefetcher stops at the end of a page, and
//! begins anew for every panel of weights.

use super::code::{Arg, Effect, Mem};
use super::select::Selector;
use iced_x86::Code;
use mlc_ir::Index;
use mlc_ir::tile::{Access, Param};

/// How far ahead, in bytes: of 1, 2, 4, 8 and 16 KB, the farther the faster products with few rows to a panel of weights
/// became. One that has its weights near takes no longer.
const AHEAD: i32 = 16 << 10;

/// Bytes that are fetched at once.
const LINE: i32 = 64;

impl Selector<'_> {
    /// Before a load from `place`: fetches the line that lies so much further, if this body does not do so already.
    pub fn fetch_ahead(&mut self, from: &Access, place: Mem) {
        let Access::Linear { buffer, .. } = from else { return };
        let streams = self.tile.params.get(*buffer as usize).is_some_and(|param| param.stream && is_long(param));
        let line = (place.base, place.offset.div_euclid(LINE));
        if streams && self.fetched.last_mut().is_some_and(|lines| lines.insert(line)) {
            let Some(offset) = place.offset.checked_add(AHEAD) else { return };
            let ahead = Arg::Mem(Mem { offset, ..place });
            self.code.inst(Code::Prefetcht0_m8, Effect::Read, &[ahead]);
        }
    }
}

/// Whether there is something so far ahead.
fn is_long(param: &Param) -> bool {
    let bytes = Index::product(&param.dims) * (param.dtype.bytes() as i64);
    bytes.as_const().is_none_or(|bytes| bytes > i64::from(AHEAD))
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, emit};
    use super::AHEAD;
    use crate::linear::linearize;
    use iced_x86::{Decoder, DecoderOptions, Mnemonic};
    use mlc_ir::Facts;
    use mlc_ir::tile::parse;

    /// Displacements of what a tile fetches that reads three vectors in each of two steps.
    fn fetched(rows: u32, how: &str) -> Vec<i64> {
        let text = format!(
            "tile k indexed (@0 w: i8[{rows}, 64] {how}, @1 y: i32[{rows}, 16] output) tasks %t: 1 {{
               loop serial %i in 0..{rows} {{
                 %a = load i8x16 @0[%i, 0]
                 %b = load i8x16 @0[%i, 16]
                 %c = load i8x16 @0[%i, 48]
                 %x = convert i32x16 i8x16 %a
                 %y = convert i32x16 i8x16 %b
                 %z = convert i32x16 i8x16 %c
                 %u = add i32x16 %x, %y
                 %v = add i32x16 %u, %z
                 store i32x16 @1[%i, 0], %v
               }}
             }}"
        );
        let linear = linearize(&parse(&text).unwrap(), &Facts::default()).unwrap();
        let code = emit(&linear, Isa::Avx512).unwrap();
        let all = Decoder::new(64, &code, DecoderOptions::NONE).into_iter();
        let all = all.take_while(|inst| inst.mnemonic() != Mnemonic::Ret);
        all.filter(|inst| inst.mnemonic() == Mnemonic::Prefetcht0).map(|i| i.memory_displacement64() as i64).collect()
    }

    #[test]
    fn each_line_of_a_stream_is_fetched_once() {
        assert_eq!(fetched(300, "input stream"), [i64::from(AHEAD)]);
        let nothing: Vec<i64> = vec![];
        assert_eq!(fetched(300, "input"), nothing);
        assert_eq!(fetched(256, "input stream"), nothing);
    }
}
