//! GPUs of NVIDIA: what a model with kernels for one asks of its host.
//!
//! In: the calls of `mlc_abi::Device`.  Out: calls of the driver's library, which is looked for when the first such model
//! runs; nothing of CUDA is needed before.
//!
//! | module | what it holds |
//! |---|---|
//! | `driver` | the functions of the driver's library; errors as texts |
//! | `program` | code and weights of a model on a GPU, shared by its sessions |
//! | `device` | what one session has, and the callbacks |
//! | `memory` | memory of a session, which grows |
//!
//! Invariant: the driver is used by models with kernels for a GPU alone.

mod device;
mod driver;
mod memory;
mod program;

pub(crate) use device::Gpu;
pub(crate) use program::Shared;
