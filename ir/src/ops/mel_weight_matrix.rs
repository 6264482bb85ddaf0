use super::OpDef;
use crate::compute::Compute;
use crate::onnx::OnnxNode;
use crate::{DType, Error, Result, Scalar, Tensor};

/// Triangles that gather the bins of a spectrum into mel bands, `[bins, bands]` (ONNX `MelWeightMatrix`).
///
/// The inputs (bands, DFT length, sample rate, lowest and highest frequency) must be known while building. The distance of
/// centers divides the mel range by `bands + 2`; a triangle without a rising side is 1 at its center.
#[derive(Debug)]
pub struct MelWeightMatrix {
    dtype: DType,
}

impl MelWeightMatrix {
    pub(super) fn parse(node: &OnnxNode) -> Result<MelWeightMatrix> {
        Ok(MelWeightMatrix { dtype: node.dtype("output_datatype", Some(DType::F32))? })
    }
}

impl OpDef for MelWeightMatrix {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let number = |place: usize| {
            let list = c.floats(&c.input(place)?, "an input of MelWeightMatrix")?;
            list.first().copied().ok_or_else(|| Error::invalid("an input of MelWeightMatrix is empty"))
        };
        let (bands, length, rate) = (number(0)?, number(1)?, number(2)?);
        let range = [number(3)?, number(4)?];
        let sized = bands >= 1.0 && length >= 1.0 && bands * length <= 1e8;
        if !sized || rate <= 0.0 {
            return Err(Error::invalid("the inputs of MelWeightMatrix are out of range"));
        }
        let (bands, bins) = (bands as usize, length as usize / 2 + 1);
        let edges = edges(bands, length, rate, range);
        let weights: Vec<Scalar> = (0..bins)
            .flat_map(|bin| edges.windows(3).map(move |edges| Scalar::Float(weight(edges, bin as f64))))
            .collect();
        let y = c.constant(Tensor::from_scalars(self.dtype, vec![bins, bands], &weights)?);
        c.output(0, y);
        Ok(())
    }
}

/// The bins where triangles begin, peak and end.
fn edges(bands: usize, length: f64, rate: f64, range: [f64; 2]) -> Vec<f64> {
    let [low, high] = range.map(|hertz| 2595.0 * (1.0 + hertz / 700.0).log10());
    let step = (high - low) / (bands + 2) as f64;
    let hertz = (0..bands + 2).map(|i| 700.0 * (10f64.powf((low + step * i as f64) / 2595.0) - 1.0));
    hertz.map(|hertz| ((length + 1.0) * hertz / rate).floor()).collect()
}

fn weight(edges: &[f64], bin: f64) -> f64 {
    let (left, center, right) = (edges[0], edges[1], edges[2]);
    if bin == center {
        1.0
    } else if left <= bin && bin < center {
        (bin - left) / (center - left)
    } else if center < bin && bin < right {
        (right - bin) / (right - center)
    } else {
        0.0
    }
}
