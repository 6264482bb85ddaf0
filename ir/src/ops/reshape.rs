use super::OpDef;
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// The same elements in row-major order with another shape (ONNX `Reshape`): 0 copies a dim, -1 infers one.
#[derive(Debug)]
pub struct Reshape {
    shape: Option<Vec<i64>>,
    allow_zero: bool,
}

impl Reshape {
    pub(super) fn parse(node: &OnnxNode) -> Result<Reshape> {
        Ok(Reshape { shape: node.ints("shape")?, allow_zero: node.flag("allowzero", false)? })
    }

    fn target(&self, c: &Compute, x: &T) -> Result<Vec<Index>> {
        let mut shape = match &self.shape {
            Some(shape) => shape.iter().map(|&n| Index::from(n)).collect(),
            None => c.dims(&c.input(1)?, "the shape given to Reshape")?,
        };
        let mut inferred = None;
        for (place, dim) in shape.iter_mut().enumerate() {
            match dim.as_const() {
                Some(0) if !self.allow_zero => {
                    *dim = x
                        .shape
                        .get(place)
                        .ok_or_else(|| Error::invalid("a 0 in the shape has no dim to copy"))?
                        .clone();
                }
                Some(-1) if inferred.is_some() => return Err(Error::invalid("the shape has more than one -1")),
                Some(-1) => {
                    inferred = Some(place);
                    *dim = Index::from(1);
                }
                Some(n) if n < -1 => return Err(Error::invalid(format!("the shape has a negative dim {n}"))),
                _ => {}
            }
        }
        if let Some(place) = inferred {
            shape[place] = infer_dim(c, x, &shape);
        }
        Ok(shape)
    }
}

/// The dim that makes `shape` as large as `x`; common dims cancel first, so that symbols divide exactly.
fn infer_dim(c: &Compute, x: &T, shape: &[Index]) -> Index {
    let mut left = x.shape.clone();
    let mut others = Vec::new();
    for dim in shape {
        match left.iter().position(|l| l == dim) {
            Some(at) => drop(left.remove(at)),
            None => others.push(dim.clone()),
        }
    }
    c.facts().div(&Index::product(&left), &Index::product(&others))
}

impl OpDef for Reshape {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let shape = self.target(c, &x)?;
        let (have, want) = (x.size(), Index::product(&shape));
        if let (Some(have), Some(want)) = (have.as_const(), want.as_const())
            && have != want
        {
            return Err(Error::invalid(format!("cannot reshape {have} elements to {want}")));
        }
        let y = c.reshape(&x, &shape);
        c.output(0, y);
        Ok(())
    }
}
