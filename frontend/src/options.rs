//! What the caller decides about a model: ranges of symbolic dims, and inputs that are constants.

use mlc_ir::{Error, Result, Tensor};
use std::collections::HashMap;
use std::str::FromStr;

/// How to read a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ranges of symbols, by name; the last one given for a name holds. A dim the model leaves unnamed is
    /// `INPUT.POSITION`.
    pub dims: Vec<(String, DimRange)>,
    /// Inputs that always have these values: they stay in the signature, and what uses them sees a constant. Symbols
    /// in their shapes are fixed accordingly.
    pub values: HashMap<String, Tensor>,
}

/// The inclusive range of a symbolic dim; written `N`, `LO..HI` or `LO..`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DimRange {
    /// The smallest it can be.
    pub low: i64,
    /// The largest it can be, if there is a limit.
    pub high: Option<i64>,
}

impl DimRange {
    /// Any number from 0.
    pub const ANY: DimRange = DimRange { low: 0, high: None };

    /// One number.
    pub fn fixed(n: i64) -> DimRange {
        DimRange { low: n, high: Some(n) }
    }

    /// The number, if the range is one.
    pub fn as_fixed(self) -> Option<i64> {
        self.high.filter(|high| *high == self.low)
    }

    /// Whether a number lies in it.
    pub fn contains(self, n: i64) -> bool {
        n >= self.low && self.high.is_none_or(|high| n <= high)
    }

    /// Whether it is a range of extents.
    pub(crate) fn is_sensible(self) -> bool {
        self.low >= 0 && self.high.is_none_or(|high| high >= self.low)
    }
}

impl FromStr for DimRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<DimRange> {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let range = match text.split_once("..") {
            None => number(text).map(DimRange::fixed),
            Some((low, high)) if high.trim().is_empty() => number(low).map(|low| DimRange { low, high: None }),
            Some((low, high)) => number(low).zip(number(high)).map(|(low, high)| DimRange { low, high: Some(high) }),
        };
        range.filter(|range| range.is_sensible()).ok_or_else(|| {
            Error::invalid(format!("`{text}` is no range of a dim: write a number N, LO..HI or LO.. (both ends count)"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_parse() {
        assert_eq!("7".parse(), Ok(DimRange::fixed(7)));
        assert_eq!("1..512".parse(), Ok(DimRange { low: 1, high: Some(512) }));
        assert_eq!("2..".parse(), Ok(DimRange { low: 2, high: None }));
        for wrong in ["", "-1", "3..2", "a", "..4", "1...2"] {
            assert!(wrong.parse::<DimRange>().is_err(), "{wrong}");
        }
    }
}
