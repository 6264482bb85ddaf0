//! Programs in C that link or load an artifact, here and, through an emulator, on aarch64.

use std::fs;
use std::path::Path;

use mlc_codegen::artifact::{Kind, Placement};

use crate::{build, host, path, tool};

const PROGRAM: &str = r#"
#include "tiny.h"
#include "tiny.h"
#include <stdio.h>
int main(void) {
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {0};
    int64_t in_shape[2] = {2, 4}, out_shape[2];
    static _Alignas(64) unsigned char arena[4096];
    mlc_tensor in = {x, in_shape, 2, MLC_F32, sizeof x}, out = {y, out_shape, 2, MLC_F32, sizeof y};
    uint64_t bytes;
    int32_t code = tiny_plan(&in, &out, &bytes, 1);
    if (code || bytes > sizeof arena) return 1;
    code = tiny_run(0, &in, &out, arena, bytes, 0);
    if (code) { puts(tiny_message(code)); return 2; }
    for (int i = 0; i < 8; i++) printf("%g ", y[i]);
    in_shape[1] = 5;
    puts(tiny_message(tiny_plan(&in, &out, &bytes, 1)));
    return tiny_descriptor[0] != 0x7f || tiny_weights[3] != 0x40;
}
"#;

const ANSWER: &str = "2 6 12 20 10 18 28 40 input `x`: expected dim 1 to be 4\n";

const STRICT: &[&str] = &["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// Compiles the program against every way to link the model; gives the programs.
fn programs(compiler: &str, triple: &str, folder: &Path) -> Option<Vec<String>> {
    let files = build(triple, "tiny", 5000, Placement::Embedded, folder);
    let source = folder.join("main.c");
    fs::write(&source, PROGRAM).expect("source");
    let text = |path: &Path| path.to_str().expect("path").to_string();
    let rpath = format!("-Wl,-rpath,{}", text(folder));
    let mut programs = Vec::new();
    for (kind, flags) in [
        (Kind::Object, vec!["-Wl,--fatal-warnings"]),
        (Kind::Object, vec!["-Wl,--fatal-warnings", "-static"]),
        (Kind::Object, vec!["-Wl,--fatal-warnings", "-no-pie", "-fno-pie"]),
        (Kind::Archive, vec!["-Wl,--fatal-warnings"]),
        (Kind::Shared, vec![rpath.as_str()]),
    ] {
        let program = text(&folder.join(format!("program{}", programs.len())));
        let (source, model) = (text(&source), text(&path(&files, kind)));
        let mut args = STRICT.to_vec();
        args.extend([source.as_str(), model.as_str(), "-o", program.as_str()]);
        args.extend(flags);
        tool(compiler, &args)?;
        programs.push(program);
    }
    Some(programs)
}

#[test]
fn c_programs_link_it() {
    let Some(triple) = host() else { return };
    let folder = tempfile::tempdir().expect("folder");
    for program in programs("cc", triple, folder.path()).unwrap_or_default() {
        assert_eq!(tool(&program, &[]).as_deref(), Some(ANSWER));
    }
    let source = folder.path().join("main.cc");
    fs::write(&source, "#include \"tiny.h\"\nint main() { return tiny_message(0) == nullptr; }\n").expect("source");
    let (source, out) = (source.to_str().expect("path"), folder.path().join("cc.o"));
    tool("c++", &["-std=c++11", "-Wall", "-Werror", "-pedantic", "-c", source, "-o", out.to_str().expect("path")]);
}

#[test]
fn aarch64_programs_run_in_an_emulator() {
    let folder = tempfile::tempdir().expect("folder");
    let triple = "aarch64-unknown-linux-gnu";
    for program in programs("aarch64-linux-gnu-gcc", triple, folder.path()).unwrap_or_default() {
        let Some(answer) = tool("qemu-aarch64", &["-L", "/usr/aarch64-linux-gnu", &program]) else { return };
        assert_eq!(answer, ANSWER);
    }
}

#[test]
fn the_runtime_header_stands_beside_those_of_models() {
    let folder = tempfile::tempdir().expect("folder");
    build("x86_64-unknown-linux-gnu", "tiny", 16, Placement::Embedded, folder.path());
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/../runtime/include");
    for order in ["#include <mlc.h>\n#include \"tiny.h\"\n", "#include \"tiny.h\"\n#include <mlc.h>\n"] {
        for (compiler, file, standard) in [("cc", "both.c", "-std=c99"), ("c++", "both.cc", "-std=c++11")] {
            let source = folder.path().join(file);
            fs::write(&source, format!("{order}int main(void) {{ return 0; }}\n")).expect("source");
            let source = source.to_str().expect("path");
            tool(compiler, &[standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", include, source]);
        }
    }
}
