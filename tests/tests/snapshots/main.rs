//! The cases in `tests/cases`: each is a graph in its textual form, whose head says what to keep of what becomes of it.
//!
//! In: `tests/cases/NAME.graph`.  Out: `tests/cases/snapshots/NAME.STAGE.snap`, one for each stage that is asked for.
//! Invariants: every stage's text, kept or not, reads back as the same text; the fused program and the compiled code
//! give what the graph says.

mod case;
mod records;
mod results;
mod stages;

use case::Case;
use std::collections::BTreeSet;

/// Where the kept texts are.
fn kept() -> std::path::PathBuf {
    mlc_tests::root().join("tests").join("cases").join("snapshots")
}

#[test]
fn stages_are_as_they_were() {
    insta::glob!("../../cases", "*.graph", |path| {
        let case = Case::read(path).unwrap_or_else(|e| panic!("{e}"));
        let made = stages::of(&case).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(kept());
        settings.set_prepend_module_to_snapshot(false);
        settings.remove_snapshot_suffix();
        settings.set_omit_expression(true);
        for stage in &case.stages {
            let text = &made.texts.iter().find(|(name, _)| name == stage).expect("the head names stages that exist").1;
            settings.bind(|| insta::assert_snapshot!(format!("{}.{stage}", case.name), text));
        }
    });
}

#[test]
fn no_snapshot_is_left_over() {
    let cases = Case::all().unwrap();
    let named = cases.iter().flat_map(|case| case.stages.iter().map(|stage| format!("{}.{stage}.snap", case.name)));
    let named: BTreeSet<String> = named.collect();
    assert!(!named.is_empty());
    let files = std::fs::read_dir(kept()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let nobodys: Vec<String> = files.filter(|file| !file.ends_with(".new") && !named.contains(file)).collect();
    assert!(nobodys.is_empty(), "no case asks for {nobodys:?}: remove them");
}

#[test]
fn texts_read_back() {
    for case in Case::all().unwrap() {
        let made = stages::of(&case).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for (stage, text) in &made.texts {
            let again = made.read_back(stage, text);
            let again = again.unwrap_or_else(|e| panic!("{}.{stage}: {e}\n{text}", case.name));
            assert!(again == *text, "{}.{stage} reads back as\n{again}instead of\n{text}", case.name);
        }
    }
}

/// Records of a tuning file, however wrong.
#[test]
fn records_change_no_result() {
    let mut counts = records::Counts::default();
    let cases = Case::all().unwrap();
    let checked = cases.iter().enumerate().map(|(number, case)| records::check(case, number as u64, &mut counts));
    let wrong: Vec<String> = checked.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts.used > 50 && counts.ignored > 50, "{} used, {} ignored", counts.used, counts.ignored);
}

#[test]
fn results_agree() {
    let wrong: Vec<String> = Case::all().unwrap().iter().filter_map(|case| results::check(case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
