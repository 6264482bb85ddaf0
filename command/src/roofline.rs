//! What this machine could do at best, measured: its roofline.
//!
//! In: a number of threads.  Out: a [`Roofline`].
//! Invariant: both numbers were reached by real code in this process, so they are lower bounds of what the machine can do;
//! each is the best of several rounds, because what disturbs a round only makes it slower.

use crate::engine;
use crate::failure::Result;
use crate::model::{self, Passes};
use mlc_codegen::tuning::Tuning;
use mlc_ir::onnx::OnnxNode;
use mlc_ir::{DType, Error, Graph, Index, Tensor};
use mlc_runtime::TensorView;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Instant;

/// Rows, columns and steps of the product: its operands fit the caches near a core.
const EXTENT: usize = 256;
/// Bytes of what is copied: more than the caches of most machines hold.
const COPIED: usize = 128 << 20;
/// Seconds of a round.
const ROUND: f64 = 0.02;
const ROUNDS: usize = 10;

/// What so many threads of this machine were seen to do in a second.
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// Arithmetic on floats of 32 bits, a multiply-add being two: of matrix products that mlc compiled.
    pub operations: f64,
    /// Bytes read and written, by a large copy.
    pub bytes: f64,
    /// All at once.
    pub threads: usize,
}

/// One thread's work.
type Job<'a> = Box<dyn FnMut() + Send + 'a>;

impl Roofline {
    /// Measures so many threads at once, each with work of its own.
    ///
    /// # Errors
    /// If no product can be compiled for this machine.
    pub fn measure(threads: usize) -> Result<Roofline> {
        Ok(Roofline { operations: products(threads)?, bytes: copies(threads), threads })
    }

    /// The part of what is possible that so much work in so many seconds is; above 1 where caches are faster than memory.
    pub fn fraction(&self, operations: f64, bytes: f64, seconds: f64) -> f64 {
        (operations / self.operations).max(bytes / self.bytes) / seconds
    }

    /// For people.
    pub fn text(&self) -> String {
        let (operations, bytes) = (self.operations / 1e9, self.bytes / 1e9);
        let threads = crate::text::count(self.threads, "thread");
        let product = format!("{EXTENT}x{EXTENT}x{EXTENT}");
        format!(
            "roofline of {threads}: {operations:.1} GF/s (the best of mlc's own {product} products, a lower bound), \
             {bytes:.1} GB/s (a large copy)"
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "gflops": self.operations / 1e9, "gbps": self.bytes / 1e9, "threads": self.threads })
    }
}

fn products(threads: usize) -> Result<f64> {
    let program = model::optimize(product()?, &Passes::default())?.0;
    let model = engine::compile(program, 1, Tuning::NONE)?.session;
    let input = vec![0.5f32; EXTENT * EXTENT];
    let shape = [EXTENT as i64; 2];
    let view = TensorView::of(&input, &shape)?;
    let job = || -> Result<Job> {
        let (mut session, mut outputs) = (model.model().session(1)?, Vec::new());
        session.run_into(&[view], &mut outputs)?;
        // What ran once does so again.
        Ok(Box::new(move || drop(session.run_into(&[view], &mut outputs))))
    };
    let jobs = (0..threads).map(|_| job()).collect::<Result<Vec<_>>>()?;
    Ok(best(jobs) * 2.0 * (EXTENT as f64).powi(3))
}

/// A product with a constant, as models have it.
fn product() -> Result<Graph> {
    let numbers: Vec<f32> = (0..EXTENT * EXTENT).map(|n| (n % 7) as f32 - 3.0).collect();
    let mut graph = Graph::new("roofline");
    let a = graph.add_input("a", DType::F32, vec![Index::from(EXTENT as i64); 2]);
    let b = graph.add_constant("b", Tensor::from_f32s(vec![EXTENT; 2], &numbers)?);
    let outputs = graph.add("product", OnnxNode::new("MatMul"), &[Some(a), Some(b)])?;
    let y = outputs.first().ok_or_else(|| Error::internal("a product has no output"))?;
    graph.add_output("y", *y);
    Ok(graph)
}

fn copies(threads: usize) -> f64 {
    let each = COPIED / threads;
    let job = |_| -> Job {
        let (from, mut to) = (vec![1u8; each], vec![0u8; each]);
        Box::new(move || {
            to.copy_from_slice(&from);
            black_box(&mut to);
        })
    };
    best((0..threads).map(job).collect()) * 2.0 * each as f64
}

/// How often a second jobs get done, all together.
fn best(mut jobs: Vec<Job>) -> f64 {
    // A first call touches memory that it has never touched.
    jobs.iter_mut().for_each(|job| job());
    let Some(first) = jobs.first_mut() else { return 0.0 };
    let begun = Instant::now();
    first();
    let calls = (ROUND / begun.elapsed().as_secs_f64().max(1e-9)).ceil() as usize;
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for job in &mut jobs {
                scope.spawn(|| (0..calls).for_each(|_| job()));
            }
        });
        best = best.max((calls * jobs.len()) as f64 / begun.elapsed().as_secs_f64());
    }
    best
}
