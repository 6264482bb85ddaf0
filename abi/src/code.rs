//! What `NAME_plan` and `NAME_run` return: 0, a general code of this table, or the code of one check of one input.
//!
//! The codes of input checks begin at [`FIRST_CHECK`] and are numbered by the compiler, so that each message can name
//! the input and say what was expected.

/// All went well.
pub const OK: i32 = 0;
/// A pointer that must not be null is.
pub const NULL_POINTER: i32 = 1;
/// `arena_bytes` is less than `NAME_plan` asked for.
pub const ARENA_TOO_SMALL: i32 = 2;
/// The arena is not aligned to [`ARENA_ALIGN`](crate::ARENA_ALIGN).
pub const ARENA_ALIGNMENT: i32 = 3;
/// The `bytes` of an output are fewer than its shape needs.
pub const OUTPUT_TOO_SMALL: i32 = 4;
/// An output has room for fewer dimensions than it needs.
pub const OUTPUT_RANK: i32 = 5;
/// No weights were passed and none are embedded.
pub const WEIGHTS_MISSING: i32 = 6;
/// The weights are not aligned to [`WEIGHTS_ALIGN`](crate::WEIGHTS_ALIGN).
pub const WEIGHTS_ALIGNMENT: i32 = 7;
/// The processor lacks a feature the code needs.
pub const UNSUPPORTED_CPU: i32 = 8;
/// The host table is of another version.
pub const HOST_ABI: i32 = 9;
/// A size that depends on data exceeds its bound.
pub const LIMIT_EXCEEDED: i32 = 10;
/// An index in a tensor is outside the tensor it points into.
pub const INDEX_OUT_OF_RANGE: i32 = 11;
/// A size does not fit 63 bits.
pub const OVERFLOW: i32 = 12;
/// The number of workers is 0.
pub const WORKERS: i32 = 13;
/// Two dims of the inputs that must be equal are not.
pub const DIMS_DIFFER: i32 = 14;
/// The dims of the inputs are so small that a tensor between them and the outputs would have fewer than no elements.
pub const DIMS_TOO_SMALL: i32 = 15;
/// The model has kernels for a GPU, and the host table offers none.
pub const DEVICE_MISSING: i32 = 16;
/// Something failed on the GPU.
pub const DEVICE_FAILED: i32 = 17;
/// What a run adds to a state does not fit into the memory that it is in.
pub const STATE_FULL: i32 = 18;
/// An output that continues an input is not the input's memory.
pub const STATE_MEMORY: i32 = 19;
/// The first code that belongs to a check of an input.
pub const FIRST_CHECK: i32 = 100;

/// One general code.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The number.
    pub number: i32,
    /// The name without a prefix, as the C header spells it.
    pub name: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
}

/// All general codes, by number.
pub const CODES: &[Code] = &[
    Code { number: OK, name: "OK", text: "ok" },
    Code { number: NULL_POINTER, name: "NULL_POINTER", text: "a required pointer is null" },
    Code {
        number: ARENA_TOO_SMALL,
        name: "ARENA_TOO_SMALL",
        text: "the arena is smaller than the plan function asked for",
    },
    Code { number: ARENA_ALIGNMENT, name: "ARENA_ALIGNMENT", text: "the arena must be aligned to 64 bytes" },
    Code {
        number: OUTPUT_TOO_SMALL,
        name: "OUTPUT_TOO_SMALL",
        text: "the data of an output is too small for its shape",
    },
    Code { number: OUTPUT_RANK, name: "OUTPUT_RANK", text: "the shape of an output has room for too few dimensions" },
    Code { number: WEIGHTS_MISSING, name: "WEIGHTS_MISSING", text: "no weights: pass the mapped .weights file" },
    Code { number: WEIGHTS_ALIGNMENT, name: "WEIGHTS_ALIGNMENT", text: "the weights must be aligned to 4096 bytes" },
    Code {
        number: UNSUPPORTED_CPU,
        name: "UNSUPPORTED_CPU",
        text: "the processor lacks a feature this model was built for",
    },
    Code {
        number: HOST_ABI,
        name: "HOST_ABI",
        text: "the host table has another ABI version: rebuild the program or the model",
    },
    Code { number: LIMIT_EXCEEDED, name: "LIMIT_EXCEEDED", text: "a size that depends on data exceeds its bound" },
    Code { number: INDEX_OUT_OF_RANGE, name: "INDEX_OUT_OF_RANGE", text: "an index in a tensor is out of range" },
    Code { number: OVERFLOW, name: "OVERFLOW", text: "the input dims make a tensor too large" },
    Code { number: WORKERS, name: "WORKERS", text: "the number of workers must be at least 1" },
    Code { number: DIMS_DIFFER, name: "DIMS_DIFFER", text: "dims of the inputs that must be equal differ" },
    Code {
        number: DIMS_TOO_SMALL,
        name: "DIMS_TOO_SMALL",
        text: "the inputs are too small: a tensor inside the model would have a negative size",
    },
    Code {
        number: DEVICE_MISSING,
        name: "DEVICE_MISSING",
        text: "the model has kernels for a GPU and the host table offers none",
    },
    Code { number: DEVICE_FAILED, name: "DEVICE_FAILED", text: "the GPU failed: the host knows why" },
    Code {
        number: STATE_FULL,
        name: "STATE_FULL",
        text: "a state is full: what is there and what is added exceed the capacity that the shape of the input says",
    },
    Code {
        number: STATE_MEMORY,
        name: "STATE_MEMORY",
        text: "an output that continues an input must have the data pointer of that input",
    },
];

/// The text for a code that is in no table.
pub const UNKNOWN: &str = "unknown code";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_in_order() {
        for (place, code) in CODES.iter().enumerate() {
            assert_eq!(code.number as usize, place);
            assert!(code.number < FIRST_CHECK);
        }
    }
}
