//! Trials: a build with other schedules beside the usual one, run in turns on the same inputs.
//!
//! In: a program, inputs, records to try.  Out: for both builds, what every kernel took in every run.
//! Invariants: the two take turns, so that what disturbs the machine disturbs both; each runs a few times before the other
//! does, and the first of these does not count, because it finds the other's data in the caches.

use crate::engine::{self, Inputs};
use crate::failure::Result;
use crate::targets::Target;
use mlc_codegen::compile::Tuned;
use mlc_codegen::tuning::Tuning;
use mlc_ir::Program;
use mlc_runtime::{Session, TensorBuf, TensorView};
use std::collections::HashMap;
use std::time::Instant;

/// Runs that count before the other build's turn.
const TURN: usize = 2;
/// A gain below this part is not worth a record.
const LEAST_GAIN: f64 = 0.03;

/// The usual build and its inputs.
pub struct Trials {
    program: Program,
    target: Target,
    inputs: Inputs,
    usual: Session,
}

/// What both builds took.
pub struct Pair {
    /// The usual one.
    pub usual: Samples,
    /// The one with records.
    pub other: Samples,
    /// What became of the records.
    pub tuned: Tuned,
}

/// Times of the runs of one build.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Nanoseconds of each run.
    pub runs: Vec<u64>,
    /// Nanoseconds in a kernel, run by run, and the calls of it in each.
    kernels: HashMap<String, (Vec<u64>, u64)>,
}

/// Times of one kernel, or of several that are alike, in the runs of one build.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Times {
    /// Nanoseconds of a run: the lower quartile, the median, the upper quartile.
    pub quartiles: [u64; 3],
    /// Calls in a run.
    pub calls: u64,
}

impl Trials {
    /// Compiles the usual build.
    ///
    /// # Errors
    /// If the program is not supported.
    pub fn new(program: Program, target: Target, inputs: Inputs, threads: usize) -> Result<Trials> {
        let usual = engine::compile_for(program.clone(), target.clone(), threads, Tuning::NONE)?.session;
        Ok(Trials { program, target, inputs, usual })
    }

    /// Times of the usual build alone.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    pub fn usual(&mut self, turns: usize) -> Result<Samples> {
        let (views, mut samples, mut outputs) = (self.inputs.views()?, Samples::default(), Vec::new());
        for _ in 0..turns {
            samples.turn(&mut self.usual, &views, &mut outputs)?;
        }
        Ok(samples)
    }

    /// Compiles a build with records and measures it and the usual one in so many turns.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    pub fn compare(&mut self, tuning: Tuning, turns: usize) -> Result<Pair> {
        let threads = self.usual.threads();
        let made = engine::compile_for(self.program.clone(), self.target.clone(), threads, tuning)?;
        let (views, mut session) = (self.inputs.views()?, made.session);
        let mut outputs = (Vec::new(), Vec::new());
        let mut pair = Pair { usual: Samples::default(), other: Samples::default(), tuned: made.tuned };
        for _ in 0..turns {
            pair.usual.turn(&mut self.usual, &views, &mut outputs.0)?;
            pair.other.turn(&mut session, &views, &mut outputs.1)?;
        }
        Ok(pair)
    }
}

impl Samples {
    fn turn(&mut self, session: &mut Session, views: &[TensorView], outputs: &mut Vec<TensorBuf>) -> Result<()> {
        session.run_into(views, outputs)?;
        for _ in 0..TURN {
            session.profile(true);
            let begun = Instant::now();
            session.run_into(views, outputs)?;
            self.runs.push(begun.elapsed().as_nanos() as u64);
            for timing in session.timings() {
                let kernel = self.kernels.entry(timing.kernel).or_default();
                kernel.0.push(timing.nanoseconds);
                kernel.1 = timing.calls;
            }
        }
        session.profile(false);
        Ok(())
    }

    /// The times of some kernels together.
    pub fn of(&self, kernels: &[String]) -> Times {
        let known: Vec<&(Vec<u64>, u64)> = kernels.iter().filter_map(|name| self.kernels.get(name)).collect();
        let run = |place: usize| known.iter().filter_map(|it| it.0.get(place)).sum();
        let runs = (0..self.runs.len()).map(run).collect();
        Times { quartiles: quartiles(runs), calls: known.iter().map(|it| it.1).sum() }
    }

    /// The times of whole runs.
    pub fn whole(&self) -> Times {
        Times { quartiles: quartiles(self.runs.clone()), calls: 1 }
    }
}

impl Times {
    /// The median of a run.
    pub fn median(&self) -> u64 {
        self.quartiles[1]
    }

    /// The median of a call.
    pub fn call(&self) -> u64 {
        self.median() / self.calls.max(1)
    }

    /// Whether this is faster than `usual` by more than noise: the median by three percent or more, and three of four runs
    /// faster than three of four runs of the usual build.
    pub fn beats(&self, usual: &Times) -> bool {
        let least = usual.median() as f64 * (1.0 - LEAST_GAIN);
        self.median() as f64 <= least && self.quartiles[2] < usual.quartiles[0]
    }
}

fn quartiles(mut runs: Vec<u64>) -> [u64; 3] {
    runs.sort_unstable();
    let at = |part: usize| runs.get((runs.len().saturating_sub(1) * part + 2) / 4).copied().unwrap_or(0);
    [at(1), at(2), at(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_is_more_than_noise() {
        let times = |runs: &[u64]| Times { quartiles: quartiles(runs.to_vec()), calls: 1 };
        let usual = times(&[100, 101, 99, 100, 130]);
        assert_eq!(usual.quartiles, [100, 100, 101]);
        assert!(times(&[95, 96, 94, 95, 200]).beats(&usual));
        assert!(!times(&[98, 98, 98, 98, 98]).beats(&usual), "too small");
        assert!(!times(&[80, 90, 90, 100, 120]).beats(&usual), "too uneven");
        assert!(!usual.beats(&usual));
        assert_eq!(times(&[]).quartiles, [0; 3]);
    }
}
