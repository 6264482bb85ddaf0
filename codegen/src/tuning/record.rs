//! One measured schedule.

use crate::schedule::Step;
use mlc_ir::target::Target;
use serde::{Deserialize, Serialize};
use target_lexicon::Triple;

/// That a schedule of a kernel is faster than the one that is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Of its kernel, see [`crate::signature::key`].
    pub key: u64,
    /// The kernel's name in the model where it was measured: for people.
    pub name: String,
    /// The schedule.
    pub steps: Vec<Step>,
    /// What a call took with the chosen schedule.
    pub before_ns: u64,
    /// What a call took with this one.
    pub ns: u64,
}

/// As a line of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kernel: String,
    name: String,
    steps: Vec<String>,
    before_ns: u64,
    ns: u64,
}

impl Record {
    /// One line of JSON.
    pub fn line(&self) -> String {
        let steps = self.steps.iter().map(Step::to_string).collect();
        let (name, before_ns, ns) = (self.name.clone(), self.before_ns, self.ns);
        let line = Line { kernel: format!("{:016x}", self.key), name, steps, before_ns, ns };
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(line: &str) -> Result<Record, String> {
        let Line { kernel, name, steps, before_ns, ns } = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let hex = kernel.len() == 16 && kernel.bytes().all(|byte| byte.is_ascii_hexdigit());
        let key = u64::from_str_radix(&kernel, 16).ok().filter(|_| hex);
        let key = key.ok_or_else(|| format!("`{kernel}` is no hash of a kernel"))?;
        let steps = steps.iter().map(|step| step.parse::<Step>().map_err(|e| e.message)).collect::<Result<_, _>>()?;
        Ok(Record { key, name, steps, before_ns, ns })
    }
}

/// What records are good for: processors whose schedules are made alike.
pub fn target_name(triple: &Triple, machine: &Target) -> String {
    let Target { vector_bytes, vector_regs, .. } = machine;
    format!("{}, {vector_regs} registers of {vector_bytes} bytes", triple.architecture)
}
