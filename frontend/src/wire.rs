//! Takes the weights out of a serialized model, so that parsing the rest neither copies nor reads them.
//!
//! In: the bytes of a `ModelProto`.  Out: a message without weights and without what import does not need, and where
//! in the bytes each weight lies.
//! Invariants: only known fields are kept, so the parser behind never sees a group, an unknown field, or nesting
//! deeper than `MAX_DEPTH`; a tensor's weights are named by [`RAW`] and [`PACKED`] fields that only this module writes.

use std::ops::Range;

/// A field of a rewritten tensor: the number of the range that holds its `raw_data`.
pub const RAW: u32 = (1 << 29) - 1;

/// Likewise of a packed `float_data` or `double_data`, whose wire format is that of `raw_data`; may repeat.
pub const PACKED: u32 = (1 << 29) - 2;

/// How deep messages may nest; three levels are one nested graph. The parser's own limit is 100.
const MAX_DEPTH: usize = 64;

/// Bytes of a length that is written before it is known: a varint padded to 35 bits.
const LENGTH: usize = 5;

/// The messages of `onnx.proto` that matter.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Function,
    /// A message without messages in it.
    Leaf,
    /// A message of which only the presence matters.
    Empty,
}

enum Rule {
    Drop,
    Keep,
    Into(Kind),
    Raw,
    Packed,
}

/// What becomes of a field.
fn rule(kind: Kind, field: u64) -> Rule {
    match (kind, field) {
        (Kind::Model, 1) | (Kind::Graph, 2) | (Kind::Node, 1..=4 | 7 | 8) => Rule::Keep,
        (Kind::Attribute, 1..=4 | 7..=9 | 20 | 21) | (Kind::Tensor, 1 | 2 | 5 | 7 | 8 | 11 | 14) => Rule::Keep,
        (Kind::Sparse, 3) | (Kind::ValueInfo, 1) | (Kind::TensorType, 1) | (Kind::Leaf, _) => Rule::Keep,
        (Kind::Function, 1 | 4..=6 | 10 | 13) => Rule::Keep,
        (Kind::Model, 7) | (Kind::Attribute, 6) => Rule::Into(Kind::Graph),
        (Kind::Model, 25) => Rule::Into(Kind::Function),
        (Kind::Graph, 1) | (Kind::Function, 7) => Rule::Into(Kind::Node),
        (Kind::Node, 5) | (Kind::Function, 11) => Rule::Into(Kind::Attribute),
        (Kind::Graph, 5) | (Kind::Attribute, 5) | (Kind::Sparse, 1 | 2) => Rule::Into(Kind::Tensor),
        (Kind::Graph, 15) | (Kind::Attribute, 22) => Rule::Into(Kind::Sparse),
        (Kind::Graph, 11..=13) | (Kind::Function, 12) => Rule::Into(Kind::ValueInfo),
        (Kind::ValueInfo, 2) => Rule::Into(Kind::Type),
        (Kind::Type, 1) => Rule::Into(Kind::TensorType),
        (Kind::TensorType, 2) => Rule::Into(Kind::Shape),
        (Kind::Type, 4 | 5 | 8 | 9) => Rule::Into(Kind::Empty),
        (Kind::Model, 8) | (Kind::Function, 9) | (Kind::Shape, 1) | (Kind::Tensor, 3 | 13) => Rule::Into(Kind::Leaf),
        (Kind::Tensor, 9) => Rule::Raw,
        (Kind::Tensor, 4 | 10) => Rule::Packed,
        _ => Rule::Drop,
    }
}

/// A model without its weights.
pub struct Stripped {
    /// To be parsed.
    pub message: Vec<u8>,
    /// Where weights lie, by the numbers in [`RAW`] and [`PACKED`] fields.
    pub ranges: Vec<Range<usize>>,
}

/// Takes the weights out.
///
/// # Errors
/// Says why the bytes are no model.
pub fn strip(bytes: &[u8]) -> Result<Stripped, String> {
    let mut scan = Scan { bytes, message: Vec::new(), ranges: Vec::new() };
    scan.message(Kind::Model, 0..bytes.len(), 0)?;
    Ok(Stripped { message: scan.message, ranges: scan.ranges })
}

struct Scan<'a> {
    bytes: &'a [u8],
    message: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Scan<'_> {
    fn message(&mut self, kind: Kind, range: Range<usize>, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("its messages nest deeper than {MAX_DEPTH}"));
        }
        let mut at = range.start;
        while at < range.end {
            let start = at;
            let key = self.varint(&mut at, range.end)?;
            let (field, wire) = (key >> 3, key & 7);
            let body = self.skip(wire, &mut at, range.end)?;
            match rule(kind, field) {
                Rule::Drop => {}
                Rule::Packed if wire == 2 => self.mark(PACKED, body),
                Rule::Keep | Rule::Packed => self.message.extend_from_slice(&self.bytes[start..at]),
                Rule::Raw if wire == 2 => self.mark(RAW, body),
                Rule::Into(kind) if wire == 2 => self.nested(field, kind, body, depth)?,
                Rule::Raw | Rule::Into(_) => return Err(format!("field {field} at byte {start} has wire type {wire}")),
            }
        }
        Ok(())
    }

    /// Rewrites a message inside the message; its length is filled in afterwards.
    fn nested(&mut self, field: u64, kind: Kind, body: Range<usize>, depth: usize) -> Result<(), String> {
        write_varint(&mut self.message, field << 3 | 2);
        let place = self.message.len();
        self.message.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0]);
        self.message(kind, body, depth + 1)?;
        let length = self.message.len() - place - LENGTH;
        if length > i32::MAX as usize {
            return Err("a message without its weights is larger than 2 GB".into());
        }
        for (i, byte) in self.message[place..place + LENGTH].iter_mut().enumerate() {
            *byte |= (length >> (7 * i)) as u8 & 0x7f;
        }
        Ok(())
    }

    fn mark(&mut self, field: u32, body: Range<usize>) {
        write_varint(&mut self.message, u64::from(field) << 3);
        write_varint(&mut self.message, self.ranges.len() as u64);
        self.ranges.push(body);
    }

    /// Passes over a field's value; returns where its bytes lie.
    fn skip(&self, wire: u64, at: &mut usize, end: usize) -> Result<Range<usize>, String> {
        let start = *at;
        let length = match wire {
            0 => {
                self.varint(at, end)?;
                return Ok(start..*at);
            }
            1 => 8,
            2 => self.varint(at, end)?,
            5 => 4,
            _ => return Err(format!("a field at byte {start} has the unknown wire type {wire}")),
        };
        let left = (end - *at) as u64;
        if length > left {
            let message = format!("it is cut short or damaged: {length} bytes should follow byte {at}, not {left}");
            return Err(message);
        }
        let body = *at..*at + length as usize;
        *at = body.end;
        Ok(body)
    }

    fn varint(&self, at: &mut usize, end: usize) -> Result<u64, String> {
        let start = *at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(byte) = self.bytes[..end].get(*at) else {
                return Err(format!("it is cut short or damaged in the number at byte {start}"));
            };
            *at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("the number at byte {start} does not end"))
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
