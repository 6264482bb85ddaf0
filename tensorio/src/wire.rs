//! The protobuf wire format, as much of it as a tensor needs.

use mlc_ir::{Error, Result};

/// The value of one field.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// A whole number.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Text, raw bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

/// The fields of a message, in the order of the file.
pub struct Fields<'a> {
    rest: &'a [u8],
}

fn cut_short() -> Error {
    Error::invalid("is no protobuf message, or is cut short")
}

impl<'a> Fields<'a> {
    /// The fields of a message's bytes.
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// The number and value of the next field; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(self.chunk()?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).map_err(|_| cut_short())?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(cut_short)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(self.chunk()?),
            _ => return Err(cut_short()),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(*chunk)
    }
}

/// Takes a number of one to ten bytes, seven bits in each.
pub fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or_else(cut_short)?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(cut_short())
}

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field that is a number.
pub fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

/// Appends a field that is text, bytes or a message.
pub fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(varint(&mut bytes.as_slice()).unwrap(), number);
        }
        assert!(varint(&mut [0xff; 11].as_slice()).is_err());
    }

    #[test]
    fn lengths_stay_inside_the_message() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 9 << 3 | 2);
        put_varint(&mut bytes, u64::MAX);
        assert!(Fields::new(&bytes).next().is_err());
    }
}
