//! Files that are cut short or changed: always an error that says so, never a crash.

use std::fs;

use mlc_abi::descriptor::Descriptor;
use mlc_abi::{Architecture, descriptor::Fault};
use mlc_codegen::artifact::{Kind, Placement, descriptor};
use mlc_runtime::{Model, Options, Reason};

use crate::{build, host, path, tiny};

const VERIFY: Options = Options { verify: true, weights: None };

#[test]
fn a_file_cut_short_is_an_error() {
    let Some(triple) = host() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let so = path(&build(triple, "tiny", 5000, Placement::Embedded, folder.path()), Kind::Shared);
    let bytes = fs::read(&so).expect("file");
    for length in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        fs::write(&so, &bytes[..length]).expect("file");
        let reason = Model::open(&so).map(drop).expect_err("cut").reason;
        let named = matches!(reason, Reason::Truncated { .. } | Reason::NotArtifact(_));
        assert!(named, "{length} of {}: {reason}", bytes.len());
        assert!(length < 2048 || matches!(reason, Reason::Truncated { .. }), "{length}: {reason}");
    }
    fs::write(&so, [&bytes[..], b"more"].concat()).expect("file");
    assert_eq!(Model::open(&so).map(drop).expect_err("long").reason, Reason::Damaged);
}

#[test]
fn every_changed_byte_is_found() {
    let Some(triple) = host() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let so = path(&build(triple, "tiny", 300, Placement::Embedded, folder.path()), Kind::Shared);
    let bytes = fs::read(&so).expect("file");
    for place in (0..bytes.len()).filter(|place| place % 11 == 0 || *place < 1024) {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(&so, &changed).expect("file");
        let slack = place >= bytes.len() - 64;
        let result = Model::open_with(&so, &VERIFY).map(drop);
        assert!(result.is_err() || slack, "a change at {place} of {} was not found", bytes.len());
    }
}

#[test]
fn a_wrong_sidecar_is_an_error() {
    let Some(triple) = host() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let files = build(triple, "tiny", 5000, Placement::Sidecar, folder.path());
    let (so, weights) = (path(&files, Kind::Shared), path(&files, Kind::Weights));
    let bytes = fs::read(&weights).expect("file");
    let mut changed = bytes.clone();
    changed[4000] ^= 1;
    fs::write(&weights, &changed).expect("file");
    assert!(Model::open(&so).is_ok());
    let error = Model::open_with(&so, &VERIFY).map(drop).expect_err("changed");
    assert_eq!((error.file.as_ref(), error.reason), (Some(&weights), Reason::WeightsHash));
    fs::write(&weights, &bytes[..4000]).expect("file");
    let reason = Model::open(&so).map(drop).expect_err("short").reason;
    assert_eq!(reason, Reason::WeightsSize { expected: 5064, found: 4000 });
    fs::remove_file(&weights).expect("file");
    let error = Model::open(&so).map(drop).expect_err("missing");
    assert!(error.to_string().contains("tiny.weights: is missing"), "{error}");
}

#[test]
fn other_files_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("other");
    fs::write(&file, b"{}").expect("file");
    assert!(matches!(Model::open(&file).map(drop).expect_err("text").reason, Reason::NotArtifact(_)));
    assert!(matches!(Model::open(folder.path()).map(drop).expect_err("folder").reason, Reason::NotArtifact(_)));
    let own = std::env::current_exe().expect("path");
    assert!(matches!(Model::open(own).map(drop).expect_err("program").reason, Reason::NotArtifact(_)));
    let missing = Model::open(folder.path().join("none")).map(drop).expect_err("none");
    assert!(matches!(missing.reason, Reason::Unreadable(_)));
    let foreign = match host() {
        Some("x86_64-unknown-linux-gnu") => "aarch64-unknown-linux-gnu",
        _ => "x86_64-unknown-linux-gnu",
    };
    let so = path(&build(foreign, "tiny", 16, Placement::Embedded, folder.path()), Kind::Shared);
    assert!(matches!(Model::open(so).map(drop).expect_err("foreign").reason, Reason::Architecture { .. }));
}

/// Looks at everything a descriptor says.
fn walk(it: &Descriptor) -> usize {
    let tensors = it.inputs().chain(it.outputs());
    let dims: usize =
        tensors.map(|row| row.name.len() + row.dims().map(|dim| format!("{dim:?}").len()).sum::<usize>()).sum();
    let names: usize = it.symbols().map(|it| it.name).chain(it.kernels()).map(str::len).sum();
    dims + names + it.name().len() + it.target().len() + it.arena_text().len()
}

#[test]
fn no_descriptor_makes_the_reader_panic() {
    let blob = descriptor::build(&tiny::description("tiny", 16, Placement::Sidecar), Architecture::X86_64);
    let good = Descriptor::parse(&blob).expect("good");
    assert_eq!((good.name(), good.inputs().len(), good.kernels().next()), ("tiny", 1, Some("scale")));
    assert!(walk(&good) > 0);
    for length in 0..blob.len() {
        assert!(Descriptor::parse(&blob[..length]).is_err());
    }
    for place in 0..blob.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, blob[place] ^ 1, blob[place].wrapping_add(1)] {
            let mut changed = blob.clone();
            changed[place] = value;
            if let Ok(it) = Descriptor::parse(&changed) {
                walk(&it);
            }
        }
    }
    let mut other = blob.clone();
    other[8] = 200;
    assert_eq!(Descriptor::parse(&other).map(drop), Err(Fault::Abi(200)));
}
