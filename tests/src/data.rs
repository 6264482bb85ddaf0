//! One set of inputs and the outputs they should give.

use mlc_ir::Result;
use mlc_tensorio::{Named, read};
use std::path::Path;

/// What a model is run on and what should come out, in the order of the graph.
///
/// Names may be missing or differ from the graph's in a few backend tests: go by position.
#[derive(Clone, PartialEq, Debug)]
pub struct Data {
    /// `input_0.pb`, `input_1.pb` and so on.
    pub inputs: Vec<Named>,
    /// `output_0.pb`, `output_1.pb` and so on.
    pub outputs: Vec<Named>,
}

/// Reads a folder of data. A sequence, an optional or a string among it is an error of the kind `Unsupported`.
pub fn load(set: &Path) -> Result<Data> {
    Ok(Data { inputs: numbered(set, "input")?, outputs: numbered(set, "output")? })
}

fn numbered(set: &Path, prefix: &str) -> Result<Vec<Named>> {
    let paths = (0..).map(|number| set.join(format!("{prefix}_{number}.pb")));
    let lists: Result<Vec<Vec<Named>>> = paths.take_while(|path| path.exists()).map(|path| read(&path)).collect();
    Ok(lists?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::Tensor;
    use mlc_tensorio::write;

    #[test]
    fn files_come_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..12 {
            let named = Named { name: None, tensor: Tensor::from_i64s(&[number]) };
            write(&folder.path().join(format!("input_{number}.pb")), &[named]).unwrap();
        }
        let data = load(folder.path()).unwrap();
        let numbers: Vec<i64> = data.inputs.iter().flat_map(|named| named.tensor.to_i64s().unwrap()).collect();
        assert_eq!((numbers, data.outputs.len()), ((0..12).collect(), 0));
    }
}
