//! What became of a model: what was fused and what was not, and which memory is in use when.

pub mod fusion;
pub mod memory;

/// A name that is not too long: the end of it, where names of nodes differ.
pub fn end_of(name: &str, width: usize) -> String {
    let count = name.chars().count();
    if count <= width { name.into() } else { format!("..{}", name.chars().skip(count - width + 2).collect::<String>()) }
}
