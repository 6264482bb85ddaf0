use super::OpDef;
use super::body::{inline, overwrite};
use crate::compute::{Compute, T};
use crate::graph::Graph;
use crate::onnx::OnnxNode;
use crate::program::{Known, Step};
use crate::{DType, Error, Index, Result};

/// One of two bodies (ONNX `If`). A condition that is known while building leaves only one.
///
/// The results of both must have equal types and ranks; extents may differ. The body that a known condition does not choose
/// may be absent.
#[derive(Debug)]
pub struct If {
    then: Option<Graph>,
    otherwise: Option<Graph>,
}

impl If {
    pub(super) fn parse(node: &OnnxNode) -> Result<If> {
        let branch = |name| if node.has(name) { node.graph(name).cloned().map(Some) } else { Ok(None) };
        Ok(If { then: branch("then_branch")?, otherwise: branch("else_branch")? })
    }

    fn branch(&self, c: &mut Compute, condition: bool, inputs: &[Option<T>]) -> Result<Vec<T>> {
        let body = if condition { &self.then } else { &self.otherwise };
        inline(c, body.as_ref().ok_or_else(|| Error::invalid("a branch of If is missing"))?, inputs)
    }
}

impl OpDef for If {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let condition = c.input(0)?;
        if condition.dtype != DType::Bool || condition.size().as_const().is_some_and(|n| n != 1) {
            return Err(Error::invalid("the condition of If must be one Bool"));
        }
        let inputs: Vec<Option<T>> = (1..c.input_count()).map(|place| c.optional(place)).collect();
        if let Some([Known::Index(known)]) = condition.known.as_deref()
            && let Some(known) = known.as_const()
        {
            let results = self.branch(c, known != 0, &inputs)?;
            results.into_iter().enumerate().for_each(|(place, t)| c.output(place, t));
            return Ok(());
        }
        let (mut then, a) = c.nested(|c| self.branch(c, true, &inputs))?;
        let (mut otherwise, b) = c.nested(|c| self.branch(c, false, &inputs))?;
        if a.len() != b.len() {
            return Err(Error::invalid("the branches of If have different numbers of results"));
        }
        for (place, (a, b)) in a.iter().zip(&b).enumerate() {
            if a.dtype != b.dtype {
                return Err(Error::invalid(format!("result {place} of If is {} or {}", a.dtype, b.dtype)));
            }
            if a.rank() != b.rank() {
                return Err(Error::unsupported(format!("result {place} of If has rank {} or {}", a.rank(), b.rank())));
            }
            let shape: Vec<Index> = a.shape.iter().zip(&b.shape).map(|(a, b)| join(c, a, b)).collect();
            let y = c.buffer(a.dtype, &shape);
            for (steps, t) in [(&mut then, a), (&mut otherwise, b)] {
                let binds = shape.iter().zip(&t.shape).filter(|(joined, dim)| joined != dim);
                steps.extend(binds.filter_map(|(joined, dim)| match joined.as_atom() {
                    Some(crate::index::Atom::Sym(name)) => Some(Step::Bind(name.clone(), dim.clone())),
                    _ => None,
                }));
                steps.extend(
                    c.nested(|c| {
                        overwrite(c, &y, t);
                        Ok(())
                    })?
                    .0,
                );
            }
            c.output(place, y);
        }
        c.step(Step::If { condition: condition.buffer, then, otherwise });
        Ok(())
    }
}

/// The extent that is one of two, depending on the branch: a symbol if they differ.
fn join(c: &mut Compute, a: &Index, b: &Index) -> Index {
    if a == b {
        return a.clone();
    }
    let name = c.fresh("extent");
    let high = c.facts().high_number(a).zip(c.facts().high_number(b)).map(|(a, b)| a.max(b));
    c.program().facts.symbol(name.clone(), 0, high);
    Index::sym(name)
}
