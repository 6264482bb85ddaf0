//! Compiles the model for the target of the program and links it.

use std::path::PathBuf;
use std::process::Command;
use std::{env, process};

fn main() {
    let model = PathBuf::from("../digits.onnx");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let mlc = env::var("MLC").unwrap_or_else(|_| "mlc".into());
    // The host's own processor when the program is for this machine, else what every processor of the target has.
    let target = if env::var("HOST").is_ok_and(|host| host == target) { "host".into() } else { target };
    println!("cargo::rerun-if-changed={}", model.display());
    println!("cargo::rerun-if-env-changed=MLC");
    let status =
        Command::new(&mlc).arg("build").arg(&model).args(["--target", &target, "--emit", "lib", "-o", &out]).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            println!("cargo::error=`{mlc} build {}` failed: {status}", model.display());
            process::exit(1);
        }
        Err(error) => {
            println!("cargo::error=`{mlc}` cannot be run: {error}; set MLC to the path of mlc");
            process::exit(1);
        }
    }
    println!("cargo::rustc-link-search=native={out}");
    println!("cargo::rustc-link-lib=static=digits");
}
