//! Folding of large constants without the interpreter, which takes its time: what keeps the elements, conversions, and
//! arithmetic of two operands. The numbers are the interpreter's: computed in F64, rounded to the type.

use super::is;
use mlc_ir::onnx::OnnxNode;
use mlc_ir::{DType, Scalar, Tensor};

/// What is known of a large result.
pub(super) enum Direct {
    /// It is this.
    Is(Tensor),
    /// It is better computed where it is used: an index map.
    Leave,
    /// Nothing.
    Unknown,
}

/// The result of a node on constants, given its type and shape.
pub(super) fn direct(onnx: &OnnxNode, inputs: &[Option<&Tensor>], dtype: DType, shape: &[usize]) -> Direct {
    let named = |names: &[&str]| names.iter().any(|name| is(onnx, name));
    let first = inputs.first().copied().flatten();
    let made = match (first, inputs) {
        (Some(x), _) if named(&["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"]) => {
            x.reshaped(shape.to_vec()).ok()
        }
        (Some(_), _) if named(&["Transpose", "Expand"]) => return Direct::Leave,
        (Some(x), _) if named(&["Cast"]) && converts(x.dtype(), dtype) => {
            let scalars: Vec<Scalar> = x.scalars().map(|scalar| scalar.cast(dtype)).collect();
            Tensor::from_scalars(dtype, shape.to_vec(), &scalars).ok()
        }
        (_, [Some(a), Some(b)]) if a.dtype() == dtype && b.dtype() == dtype && wide(dtype) => {
            let f: fn(f64, f64) -> f64 = match onnx.op_type.as_str() {
                _ if !named(&["Add", "Sub", "Mul", "Div"]) || onnx.opset < 7 => return Direct::Unknown,
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                _ => |a, b| a / b,
            };
            let (ia, ib) = (places(a.shape(), shape), places(b.shape(), shape));
            let scalar = |place: usize| Scalar::Float(f(a.get(at(&ia, place)).float(), b.get(at(&ib, place)).float()));
            let scalars: Vec<Scalar> = (0..shape.iter().product()).map(scalar).collect();
            Tensor::from_scalars(dtype, shape.to_vec(), &scalars).ok()
        }
        _ => None,
    };
    made.map_or(Direct::Unknown, Direct::Is)
}

fn wide(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

fn converts(from: DType, to: DType) -> bool {
    wide(to) && from != DType::U64 && (from.is_int() || from.is_float())
}

/// Divisor, extent and stride of each dim of the result that moves in an operand.
fn places(own: &[usize], shape: &[usize]) -> Vec<(usize, usize, usize)> {
    let skip = shape.len() - own.len().min(shape.len());
    let mut dims = Vec::new();
    for (d, &extent) in own.iter().enumerate().filter(|(_, extent)| **extent != 1) {
        let divisor = shape[skip + d + 1..].iter().product();
        dims.push((divisor, extent, own[d + 1..].iter().product()));
    }
    dims
}

fn at(dims: &[(usize, usize, usize)], place: usize) -> usize {
    dims.iter().map(|(divisor, extent, stride)| place / divisor % extent * stride).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_broadcast() {
        let a = Tensor::from_f32s(vec![2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let b = Tensor::from_f32s(vec![2, 1], &[10.0, 100.0]).unwrap();
        let result = direct(&OnnxNode::new("Mul"), &[Some(&a), Some(&b)], DType::F32, &[2, 3]);
        let Direct::Is(result) = result else { panic!("it is known") };
        let numbers: Vec<f64> = result.scalars().map(Scalar::float).collect();
        assert_eq!(numbers, [10.0, 20.0, 30.0, 400.0, 500.0, 600.0]);
    }
}
