//! The `.npy` format: `\x93NUMPY`, a version, a header that is a Python dictionary, the elements.
//!
//! All three versions are read, with either byte order, in row-major and in Fortran order; version 1 is written, little-endian
//! and row-major. numpy has no bfloat16: packages that add it save it as `V2` (two raw bytes), and so does this module.

use crate::checked;
use mlc_ir::{DType, Error, Result, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The element types by numpy's letter and size; bfloat16 is a void of two bytes.
const TYPES: &[(&str, DType)] = &[
    ("f8", DType::F64),
    ("f4", DType::F32),
    ("f2", DType::F16),
    ("V2", DType::BF16),
    ("i8", DType::I64),
    ("i4", DType::I32),
    ("i2", DType::I16),
    ("i1", DType::I8),
    ("u8", DType::U64),
    ("u4", DType::U32),
    ("u2", DType::U16),
    ("u1", DType::U8),
    ("b1", DType::Bool),
];

/// Reads a tensor.
pub fn decode(bytes: &[u8]) -> Result<Tensor> {
    let (header, data) = split(bytes)?;
    let header = Header::parse(header)?;
    let (big_endian, dtype) = dtype_of(&header.descr)?;
    let count = header.shape.iter().try_fold(dtype.bytes(), |n, extent| n.checked_mul(*extent));
    if count != Some(data.len()) {
        let shape = header.shape;
        return Err(Error::invalid(format!(
            "{} bytes follow the header, which does not fit {dtype}{shape:?}",
            data.len()
        )));
    }
    let mut data = data.to_vec();
    if big_endian {
        data.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    if header.fortran_order {
        data = to_row_major(&data, &header.shape, dtype.bytes());
    }
    checked(dtype, header.shape, data)
}

/// Writes a tensor.
pub fn encode(tensor: &Tensor) -> Vec<u8> {
    let (letter, _) = TYPES.iter().find(|row| row.1 == tensor.dtype()).expect("every type has a row");
    let order = if tensor.dtype().bytes() == 1 { '|' } else { '<' };
    let extents: String = tensor.shape().iter().map(|extent| format!("{extent}, ")).collect();
    let extents = if tensor.shape().len() == 1 { extents.trim_end() } else { extents.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{order}{letter}', 'fortran_order': False, 'shape': ({extents}), }}");
    // numpy aligns the elements to 64 bytes: magic, version and length take ten of them, the line's end one.
    let length = (header.len() + 11).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let (version, length) = match u16::try_from(length) {
        Ok(length) => ([1, 0], length.to_le_bytes().to_vec()),
        Err(_) => ([2, 0], (length as u32).to_le_bytes().to_vec()),
    };
    [MAGIC, &version, &length, header.as_bytes(), tensor.bytes()].concat()
}

/// Splits a file into the text of its header and its elements.
fn split(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| Error::invalid("is no .npy file: it has another beginning"))?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut_short)?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(length, rest)| (u16::from_le_bytes(*length).into(), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length), rest)),
        other => return Err(Error::unsupported(format!("version {other} of .npy is not supported"))),
    }
    .ok_or_else(cut_short)?;
    let (header, data) = rest.split_at_checked(length as usize).ok_or_else(cut_short)?;
    let header = std::str::from_utf8(header).map_err(|_| Error::invalid("the .npy header is no text"))?;
    Ok((header, data))
}

fn cut_short() -> Error {
    Error::invalid("is cut short in the .npy header")
}

/// The byte order (true: big-endian) and type of a `descr` such as `<f4`.
fn dtype_of(descr: &str) -> Result<(bool, DType)> {
    let found = descr.strip_prefix(['<', '>', '|', '=']).and_then(|name| TYPES.iter().find(|row| row.0 == name));
    match found {
        Some((_, dtype)) => Ok((descr.starts_with('>'), *dtype)),
        None => Err(Error::unsupported(format!("elements of numpy type '{descr}' are not supported"))),
    }
}

/// Puts elements whose first axis is innermost into row-major order.
fn to_row_major(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut strides = vec![size; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1].saturating_mul(shape[axis - 1]);
    }
    let mut result = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    while result.len() < data.len() {
        result.extend_from_slice(&data[place..place + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    result
}

/// The dictionary in front of the elements.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Result<Header> {
        let bad = |what: &str| Error::invalid(format!("the .npy header {what}: {}", text.trim_end()));
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = skip(text, "{").ok_or_else(|| bad("is no dictionary"))?;
        while skip(rest, "}").is_none() {
            let (key, after) = quoted(rest).ok_or_else(|| bad("has no quoted key"))?;
            let after = skip(after, ":").ok_or_else(|| bad("has a key without a value"))?;
            rest = match key {
                "descr" => {
                    if skip(after, "[").is_some() {
                        return Err(Error::unsupported("an array of records is not supported"));
                    }
                    let (value, after) = quoted(after).ok_or_else(|| bad("has a descr that is no text"))?;
                    descr = Some(value.to_string());
                    after
                }
                "fortran_order" => {
                    let (value, after) = truth(after).ok_or_else(|| bad("has an order that is no truth value"))?;
                    fortran_order = Some(value);
                    after
                }
                "shape" => {
                    let (value, after) = extents(after).ok_or_else(|| bad("has a shape that is no tuple of sizes"))?;
                    shape = Some(value);
                    after
                }
                _ => return Err(bad("has an unknown key")),
            };
            rest = skip(rest, ",").unwrap_or(rest);
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
            _ => Err(bad("lacks descr, fortran_order or shape")),
        }
    }
}

/// What follows a mark, if the text begins with it after blanks.
fn skip<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.trim_start().strip_prefix(mark)
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn truth(text: &str) -> Option<(bool, &str)> {
    let text = text.trim_start();
    let yes = text.strip_prefix("True").map(|rest| (true, rest));
    yes.or_else(|| text.strip_prefix("False").map(|rest| (false, rest)))
}

fn extents(text: &str) -> Option<(Vec<usize>, &str)> {
    let (inside, rest) = skip(text, "(")?.split_once(')')?;
    let inside = inside.trim();
    if inside.is_empty() {
        return Some((Vec::new(), rest));
    }
    let numbers = inside.strip_suffix(',').unwrap_or(inside).split(',');
    Some((numbers.map(|number| number.trim().parse().ok()).collect::<Option<Vec<usize>>>()?, rest))
}
