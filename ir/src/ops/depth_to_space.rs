use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{Error, Index, Result};

/// Moves blocks of channels into the plane (ONNX `DepthToSpace`) or back (`SpaceToDepth`), for `[N, C, H, W]`.
///
/// In `mode` DCR the place in the block is the outer part of the channel, in CRD the inner part.
#[derive(Debug)]
pub struct DepthToSpace {
    block: i64,
    outer: bool,
    back: bool,
}

impl DepthToSpace {
    pub(super) fn parse(node: &OnnxNode) -> Result<DepthToSpace> {
        let block = node.int("blocksize", 0)?;
        let outer = match node.string("mode", "DCR")?.as_str() {
            "DCR" => true,
            "CRD" => false,
            other => return Err(Error::invalid(format!("{} has no mode `{other}`", node.op_type))),
        };
        if !(1..=1 << 15).contains(&block) {
            return Err(Error::invalid(format!("the block size {block} is out of range")));
        }
        Ok(DepthToSpace { block, outer, back: node.op_type == "SpaceToDepth" })
    }
}

impl OpDef for DepthToSpace {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let [n, channels, h, w] = x.shape.as_slice() else {
            return Err(Error::invalid(format!("a rank-4 tensor is needed, not rank {}", x.rank())));
        };
        let (block, area) = (Index::from(self.block), Index::from(self.block * self.block));
        let divided =
            if self.back { vec![(h, self.block), (w, self.block)] } else { vec![(channels, self.block * self.block)] };
        if divided.iter().any(|(dim, by)| dim.as_const().is_some_and(|dim| dim % by != 0)) {
            return Err(Error::invalid(format!("the block size {block} does not divide the shape")));
        }
        let facts = c.facts().clone();
        let y = if self.back {
            let shape = [n.clone(), channels * &area, facts.div(h, &block), facts.div(w, &block)];
            c.gather(&x, &shape, |_, i| {
                let by = if self.outer { channels } else { &area };
                let (major, minor) = (i[1].div(by), i[1].rem(by));
                let (place, channel) = if self.outer { (major, minor) } else { (minor, major) };
                let (row, column) = (place.div(&block), place.rem(&block));
                vec![i[0].clone(), channel, &i[2] * &block + row, &i[3] * &block + column]
            })
        } else {
            let depth = facts.div(channels, &area);
            let shape = [n.clone(), depth.clone(), h * &block, w * &block];
            c.gather(&x, &shape, |_, i| {
                let place = i[2].rem(&block) * block.clone() + i[3].rem(&block);
                let channel = if self.outer { place * depth + i[1].clone() } else { &i[1] * &area + place };
                vec![i[0].clone(), channel, i[2].div(&block), i[3].div(&block)]
            })
        };
        c.output(0, y);
        Ok(())
    }
}
