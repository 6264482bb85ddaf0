//! One case: a graph, and what its head says.
//!
//! ```text
//! ; What the case shows.
//! ; stages: graph, fused        kept as snapshots
//! ; run: batch=1, length=7      sizes of symbols; one line for every run
//! ; range: %tokens 0..8         smallest and largest value of an input; floats are from -2 to 2 without it
//! ```

use crate::stages::STAGES;
use mlc::interface::Sizes;
use mlc_ir::Graph;
use std::collections::HashMap;
use std::path::Path;

/// A case.
pub struct Case {
    /// The file's stem.
    pub name: String,
    /// As the file has it.
    pub graph: Graph,
    /// What is kept.
    pub stages: Vec<&'static str>,
    /// Sizes of symbols, a run each.
    pub runs: Vec<Sizes>,
    /// Smallest and largest values of inputs.
    pub ranges: HashMap<String, (i64, i64)>,
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// Names file and line.
    pub fn read(path: &Path) -> Result<Case, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let graph = Graph::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut case = Case { name, graph, stages: vec![], runs: vec![], ranges: HashMap::new() };
        for (number, line) in text.lines().take_while(|line| line.starts_with(';')).enumerate() {
            let wrong = || format!("{}: line {}: `{line}` cannot be read", path.display(), number + 1);
            case.take(line.trim_start_matches(';').trim()).ok_or_else(wrong)?;
        }
        if case.runs.is_empty() { Err(format!("{}: no `; run:`", path.display())) } else { Ok(case) }
    }

    /// All cases, in the order of their names.
    ///
    /// # Errors
    /// As [`Case::read`].
    pub fn all() -> Result<Vec<Case>, String> {
        let folder = mlc_tests::root().join("tests").join("cases");
        let files = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|it| it == "graph"));
        paths.sort();
        paths.iter().map(|path| Case::read(path)).collect()
    }

    fn take(&mut self, line: &str) -> Option<()> {
        if let Some(list) = line.strip_prefix("stages:") {
            let known = |word: &str| STAGES.into_iter().find(|stage| *stage == word.trim());
            self.stages = list.split(',').map(known).collect::<Option<_>>()?;
        } else if let Some(list) = line.strip_prefix("run:") {
            let size = |part: &str| part.split_once('=').and_then(|(a, b)| Some((a.trim().into(), b.parse().ok()?)));
            let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
            self.runs.push(parts.map(size).collect::<Option<_>>()?);
        } else if let Some(range) = line.strip_prefix("range:") {
            let (name, range) = range.trim().strip_prefix('%')?.split_once(' ')?;
            let (low, high) = range.split_once("..")?;
            self.ranges.insert(name.into(), (low.parse().ok()?, high.parse().ok()?));
        }
        Some(())
    }
}
