//! Loads and runs compiled models.
//!
//! An artifact needs no runtime: three C functions are all there is to it. This crate does what every careful host
//! would do: it checks a file before any of its code can run, maps the weights, owns memory and threads, and measures.
//!
//! ```no_run
//! use mlc_runtime::{Model, TensorView};
//!
//! # fn main() -> Result<(), mlc_runtime::Error> {
//! let model = Model::open("digits.so")?;
//! let mut session = model.session(2)?;
//! let image = [0f32; 28 * 28];
//! let outputs = session.run(&[TensorView::of(&image, &[1, 1, 28, 28])?])?;
//! println!("{:?}", outputs[0].as_slice::<f32>()?);
//! # Ok(())
//! # }
//! ```
//!
//! In: `NAME.so` and, where weights are large, `NAME.weights` beside it; or the raw parts of code made in memory. C
//! programs find the same in `include/mlc.h`.
//!
//! Invariants: a file that was cut short or changed is an error before it is loaded; no path through this crate panics
//! on what a file or a caller says. `unsafe` is in [`model`], [`session`], [`tensor`], `pool`, `host`, `cpu`, `cuda`,
//! `weights` and `c`, with its reasons.

mod arena;
mod c;
mod cpu;
mod cuda;
mod error;
mod file;
mod host;
pub mod model;
mod pool;
pub mod session;
pub mod tensor;
mod weights;

pub use cpu::features;
pub use error::{Error, Reason};
pub use host::{Call, Timing};
pub use mlc_abi as abi;
pub use model::{Model, Options, RawParts};
pub use session::{Session, Threads};
pub use tensor::{Element, TensorBuf, TensorView};
