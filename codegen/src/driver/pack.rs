//! Packing: the program's constants in the layouts kernels read, as one stream of bytes.
//!
//! In: the constants of a program.  Out: an offset for each, and the bytes, which are made while they are written.
//! Invariant: every constant is aligned to a cache line; equal constants with equal layouts are stored once.

use crate::artifact::Weights;
use crate::layout::Layout;
use mlc_ir::program::Program;
use mlc_ir::{Index, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

const ALIGN: u64 = 64;

/// Constants in the order in which they lie.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Offset in bytes, by buffer.
    pub offsets: BTreeMap<u32, u64>,
    parts: Vec<Part>,
    len: u64,
}

#[derive(Clone, Debug)]
struct Part {
    offset: u64,
    tensor: Tensor,
    layout: Layout,
}

impl Packed {
    /// Places the constants that kernels use.
    pub fn new(program: &Program, layouts: &[Layout], used: impl IntoIterator<Item = u32>) -> Packed {
        let mut packed = Packed::default();
        let mut seen: HashMap<(usize, usize, String), u64> = HashMap::new();
        for buffer in used {
            let Some(tensor) = &program.buffer(buffer).constant else { continue };
            let layout = &layouts[buffer as usize];
            let bytes = tensor.bytes();
            let key = (bytes.as_ptr() as usize, bytes.len(), format!("{layout:?}{:?}", tensor.shape()));
            let offset = *seen.entry(key).or_insert_with(|| packed.add(tensor, layout));
            packed.offsets.insert(buffer, offset);
        }
        packed
    }

    fn add(&mut self, tensor: &Tensor, layout: &Layout) -> u64 {
        let offset = self.len.next_multiple_of(ALIGN);
        let elements = Index::product(&layout.dims(&shape(tensor))).as_const().unwrap_or(0) as u64;
        self.len = offset + elements * tensor.dtype().bytes() as u64;
        self.parts.push(Part { offset, tensor: tensor.clone(), layout: layout.clone() });
        offset
    }
}

impl Weights for Packed {
    fn len(&self) -> u64 {
        self.len
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut at = 0;
        for part in &self.parts {
            out.write_all(&vec![0; (part.offset - at) as usize])?;
            at = part.offset + part.write(out)?;
        }
        Ok(())
    }
}

fn shape(tensor: &Tensor) -> Vec<Index> {
    tensor.shape().iter().map(|&n| Index::from(n as i64)).collect()
}

impl Part {
    fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        let bytes = self.tensor.bytes();
        if self.layout.is_row_major(&shape(&self.tensor)) {
            out.write_all(bytes)?;
            return Ok(bytes.len() as u64);
        }
        let dims = self.dims();
        let mut copy = Copy { bytes, size: self.tensor.dtype().bytes(), dims: &dims, row: Vec::new(), written: 0 };
        copy.outer(0, Some(0), None, out)?;
        Ok(copy.written)
    }

    /// Memory dims: extent, stride in elements of the source, and for a cut dim the real extent and piece.
    fn dims(&self) -> Vec<Dim> {
        let shape = self.tensor.shape();
        let stride = |d: usize| shape[d + 1..].iter().product::<usize>();
        let mut dims: Vec<Dim> = self
            .layout
            .order
            .iter()
            .map(|&d| match self.layout.tile {
                Some((axis, n)) if axis == d => {
                    let n = n as usize;
                    Dim { extent: shape[d].div_ceil(n), stride: stride(d) * n, cut: Some(n), within: None }
                }
                _ => Dim { extent: shape[d], stride: stride(d), cut: None, within: None },
            })
            .collect();
        if let Some((axis, n)) = self.layout.tile {
            dims.push(Dim { extent: n as usize, stride: stride(axis), cut: None, within: Some(shape[axis]) });
        }
        dims
    }
}

struct Dim {
    extent: usize,
    stride: usize,
    /// This dim counts pieces of so many elements.
    cut: Option<usize>,
    /// This dim is within a piece of a dim with so many elements.
    within: Option<usize>,
}

struct Copy<'a> {
    bytes: &'a [u8],
    size: usize,
    dims: &'a [Dim],
    row: Vec<u8>,
    written: u64,
}

impl Copy<'_> {
    /// Writes everything below a memory dim; `source` is the element to begin with, `piece` the first element of the cut
    /// dim.
    fn outer(
        &mut self,
        depth: usize,
        source: Option<usize>,
        piece: Option<usize>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Some(dim) = self.dims.get(depth) else { return Ok(()) };
        if depth + 1 == self.dims.len() {
            return self.inner(dim, source.unwrap_or(0), piece.unwrap_or(0), out);
        }
        for i in 0..dim.extent {
            let piece = dim.cut.map_or(piece, |n| Some(i * n));
            self.outer(depth + 1, source.map(|s| s + i * dim.stride), piece, out)?;
        }
        Ok(())
    }

    fn inner(&mut self, dim: &Dim, source: usize, piece: usize, out: &mut dyn Write) -> io::Result<()> {
        self.row.clear();
        for i in 0..dim.extent {
            let inside = dim.within.is_none_or(|extent| piece + i < extent);
            let at = (source + i * dim.stride) * self.size;
            match self.bytes.get(at..at + self.size).filter(|_| inside) {
                Some(element) => self.row.extend_from_slice(element),
                None => self.row.resize(self.row.len() + self.size, 0),
            }
        }
        self.written += self.row.len() as u64;
        out.write_all(&self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_panels_and_are_filled_up() {
        let values: Vec<f32> = (0..6).map(|n| n as f32).collect();
        let tensor = Tensor::from_f32s(vec![2, 3], &values).expect("tensor");
        let mut packed = Packed::default();
        packed.add(&tensor, &Layout { order: vec![1, 0], tile: Some((1, 2)) });
        let mut bytes = Vec::new();
        packed.write_to(&mut bytes).expect("write");
        let read: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect();
        assert_eq!(read, [0.0, 1.0, 3.0, 4.0, 2.0, 0.0, 5.0, 0.0]);
        assert_eq!(packed.len(), bytes.len() as u64);
    }
}
