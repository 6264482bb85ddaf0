//! Measured schedules, and how they reach a build.
//!
//! In: records, from a file ([`file`]) or made to be measured.  Out: steps for the kernels they are for, and why a record
//! was not used.
//!
//! A record is found by the [`key`] of its kernel, twice: before its weights have a layout, because their panels are as
//! wide as its blocks of columns; and when it is scheduled. Every fold has a weight for itself by then, so no two readers
//! have to agree; others (a row of an embedding) take what is there.
//!
//! Invariant: a record can only make code slower, never wrong. Its steps pass [`schedule::check`], its tile the verifier; one
//! that does not is left out, and the program is scheduled again without it, so that nothing is left of it.

mod file;
mod record;

pub use file::{Book, read};
pub use record::{Record, target_name};

use crate::layout::Layout;
use crate::schedule::{self, Step};
use crate::signature::key;
use mlc_ir::program::{Kernel, Program};
use mlc_ir::target::Target;
use std::collections::{BTreeMap, BTreeSet};

/// Steps by the key of the kernel they are for, and what to call the record.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    records: BTreeMap<u64, (String, Vec<Step>)>,
    /// Whether the compiler itself made the steps: then tiles are not proved, which may take long.
    own: bool,
}

/// A record that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Of its kernel.
    pub key: u64,
    /// What the record is called: its line in a file.
    pub record: String,
    /// Name of the kernel it was for.
    pub kernel: String,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} is ignored: kernel `{}`: {}", self.record, self.kernel, self.why)
    }
}

impl Tuning {
    /// No records.
    pub const NONE: Tuning = Tuning { records: BTreeMap::new(), own: false };

    /// No records yet; those to come are [`candidates`](crate::kernels::candidates).
    pub const OWN: Tuning = Tuning { records: BTreeMap::new(), own: true };

    /// Adds a record; one that was there for the same kernel goes.
    pub fn add(&mut self, key: u64, record: String, steps: Vec<Step>) {
        self.records.insert(key, (record, steps));
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn remove(&mut self, key: u64) {
        self.records.remove(&key);
    }

    fn find(&self, key: u64) -> Option<&(String, Vec<Step>)> {
        self.records.get(&key)
    }
}

/// Answers for the kernels of one program: the steps of records, as long as these are legal.
pub(crate) struct Desk<'a> {
    tuning: &'a Tuning,
    target: &'a Target,
    /// Keys of the records that made a kernel.
    pub used: BTreeSet<u64>,
    /// Each record once.
    pub ignored: Vec<Ignored>,
}

impl<'a> Desk<'a> {
    pub fn new(tuning: &'a Tuning, target: &'a Target) -> Desk<'a> {
        Desk { tuning, target, used: BTreeSet::new(), ignored: Vec::new() }
    }

    /// The key of a kernel and the steps of its record, if it has one that is legal.
    pub fn steps(&mut self, kernel: &Kernel, program: &Program, layouts: &[Layout]) -> Option<(u64, &'a [Step])> {
        if self.tuning.is_empty() {
            return None;
        }
        let key = key(kernel, program, layouts);
        let (_, steps) = self.tuning.find(key)?;
        match schedule::check(steps, kernel, program, layouts, self.target) {
            Ok(_) => Some((key, steps)),
            Err(why) => {
                self.ignore(key, kernel, why);
                None
            }
        }
    }

    /// Whether tiles have to be proved.
    pub fn is_careful(&self) -> bool {
        !self.tuning.own
    }

    /// Leaves a record out from now on.
    pub fn ignore(&mut self, key: u64, kernel: &Kernel, why: String) {
        let Some((record, _)) = self.tuning.find(key) else { return };
        if self.ignored.iter().all(|it| it.key != key) {
            let (record, kernel) = (record.clone(), kernel.name.to_string());
            self.ignored.push(Ignored { key, record, kernel, why });
        }
    }
}
