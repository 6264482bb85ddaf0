//! The C and C++ header of a model: everything a program needs to call it.

use std::fmt::Write;

use mlc_abi::{Architecture, C_TYPES, WEIGHTS_ALIGN, WEIGHTS_SLACK, code, feature};

use super::{Description, Dim, Kind, Placement, Tensor};

/// The text of `NAME.h`.
pub(super) fn text(d: &Description, arch: Architecture) -> String {
    let upper = d.name.to_uppercase();
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_all(&mut out, d, arch, &upper);
    out
}

fn write_all(out: &mut String, d: &Description, arch: Architecture, upper: &str) -> std::fmt::Result {
    let name = &d.name;
    writeln!(out, "/* {name}: a compiled model for {}. Written by mlc; do not edit.", comment(&d.target))?;
    writeln!(out, " *\n * Inputs:")?;
    describe(out, d, &d.inputs)?;
    writeln!(out, " * Outputs:")?;
    describe(out, d, &d.outputs)?;
    if !d.symbols.is_empty() {
        writeln!(out, " * Symbols:")?;
    }
    for symbol in &d.symbols {
        let high = if symbol.high == i64::MAX { String::new() } else { symbol.high.to_string() };
        writeln!(out, " *   {} in {}..{high}", comment(&symbol.name), symbol.low)?;
    }
    memory(out, d)?;
    let features: Vec<&str> = feature::named(arch, d.features).map(|it| it.name).collect();
    if !features.is_empty() {
        writeln!(out, " * Processor: needs {}", features.join(", "))?;
    }
    writeln!(out, " */\n#ifndef MLC_MODEL_{upper}_H\n#define MLC_MODEL_{upper}_H\n\n{C_TYPES}")?;
    writeln!(out, "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n")?;
    constants(out, d, upper)?;
    functions(out, d)?;
    writeln!(out, "#ifdef __cplusplus\n}}\n#endif\n\n#endif /* MLC_MODEL_{upper}_H */")
}

/// A text that cannot end a comment or begin a new line.
fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace("/*", "/ *").chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn describe(out: &mut String, d: &Description, tensors: &[Tensor]) -> std::fmt::Result {
    for (place, tensor) in tensors.iter().enumerate() {
        let shape = comment(&d.shape(tensor));
        write!(out, " *   {place}: {} {}{shape}", comment(&tensor.name), tensor.dtype)?;
        if let Some(input) = tensor.state {
            write!(out, ", continues input {input}: the same data pointer, updated in place")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn memory(out: &mut String, d: &Description) -> std::fmt::Result {
    writeln!(out, " * Arena: {} bytes, aligned to {}", comment(&d.arena.text), mlc_abi::ARENA_ALIGN)?;
    writeln!(out, " * Scratch per worker, part of the arena: {} bytes", comment(&d.arena.scratch_text))?;
    writeln!(out, " * Stack of a run: at most {} bytes", d.arena.stack)?;
    let place = match d.placement {
        _ if d.weights_bytes == 0 => "none".into(),
        Placement::Embedded => format!("{} bytes, embedded", d.weights_bytes),
        Placement::Sidecar => {
            format!("{} bytes, in the file {}", d.weights_bytes, Kind::Weights.file_name(&d.name))
        }
    };
    writeln!(out, " * Weights: {place}")
}

/// A C identifier in capitals for any text.
fn constant(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn constants(out: &mut String, d: &Description, upper: &str) -> std::fmt::Result {
    writeln!(out, "#define {upper}_INPUTS {}\n#define {upper}_OUTPUTS {}", d.inputs.len(), d.outputs.len())?;
    for (kind, tensors) in [("INPUT", &d.inputs), ("OUTPUT", &d.outputs)] {
        let names: Vec<String> = tensors.iter().map(|it| constant(&it.name)).collect();
        for (place, (tensor, name)) in tensors.iter().zip(&names).enumerate() {
            // Two names may become the same constant: then both have their number instead.
            let unique = names.iter().filter(|other| *other == name).count() == 1;
            let name = if unique { name.clone() } else { place.to_string() };
            writeln!(out, "#define {upper}_{kind}_{name} {place}")?;
            writeln!(out, "#define {upper}_{kind}_{name}_RANK {}", tensor.dims.len())?;
            let fixed = tensor.dims.iter().map(|it| if let Dim::Fixed(n) = it { Some(*n) } else { None });
            if let Some(count) = fixed.into_iter().try_fold(1i64, |count, n| count.checked_mul(n?)) {
                writeln!(out, "#define {upper}_{kind}_{name}_ELEMENTS {count}")?;
            }
        }
    }
    if let Some(bytes) = d.arena.bytes {
        writeln!(out, "/* With one worker; each further one takes another {upper}_SCRATCH_BYTES. */")?;
        writeln!(out, "#define {upper}_ARENA_BYTES {bytes}u")?;
    }
    writeln!(out, "#define {upper}_ARENA_ALIGN {}", mlc_abi::ARENA_ALIGN)?;
    if let Some(bytes) = d.arena.scratch {
        writeln!(out, "#define {upper}_SCRATCH_BYTES {bytes}u")?;
    }
    writeln!(out, "#define {upper}_WEIGHTS_BYTES {}u\n", d.weights_bytes)?;
    writeln!(out, "/* What {0}_plan and {0}_run return; {0}_message has the texts. */\nenum {{", d.name)?;
    for code in code::CODES {
        writeln!(out, "    {upper}_{} = {}, /* {} */", code.name, code.number, code.text)?;
    }
    let checks = d.checks();
    for check in &checks {
        writeln!(out, "    /* {}: {} */", check.code, comment(&check.text))?;
    }
    let last = code::FIRST_CHECK + checks.len() as i32;
    writeln!(out, "    {upper}_FIRST_CHECK = {}, {upper}_LAST_CHECK = {}\n}};\n", code::FIRST_CHECK, last - 1)
}

fn functions(out: &mut String, d: &Description) -> std::fmt::Result {
    let name = &d.name;
    writeln!(
        out,
        "/* Checks rank, dtype and dims of the inputs (their data is not read); writes rank, dtype and shape of the\n   \
         outputs (upper bounds where they depend on data) and the arena size for so many workers. Returns a code. */\n\
         int32_t {name}_plan(const mlc_tensor *inputs, mlc_tensor *outputs, uint64_t *arena_bytes, uint32_t workers);\n"
    )?;
    let weights = if d.weights_bytes == 0 || d.placement == Placement::Embedded {
        "`weights` may be null: they are embedded.".to_string()
    } else {
        let file = Kind::Weights.file_name(name);
        format!(
            "`weights` is the mapped file {file}, aligned to {WEIGHTS_ALIGN},\n   with {WEIGHTS_SLACK} readable bytes \
             behind it (the file has them)."
        )
    };
    writeln!(
        out,
        "/* Runs the model: checks the inputs again, writes data and shapes of the outputs. {weights}\n   \
         `host` may be null: one thread. Returns a code; never aborts, allocates or keeps a pointer. */\n\
         int32_t {name}_run(const void *weights, const mlc_tensor *inputs, mlc_tensor *outputs, void *arena,\n    \
         uint64_t arena_bytes, const mlc_host *host);\n"
    )?;
    writeln!(out, "/* The text of a code; never null. */\nconst char *{name}_message(int32_t code);\n")?;
    writeln!(out, "/* What the model is, for programs that load any model. */")?;
    writeln!(out, "extern const uint8_t {name}_descriptor[];\n")?;
    if d.weights_bytes > 0 && d.placement == Placement::Embedded {
        writeln!(out, "/* The packed weights. */\nextern const uint8_t {name}_weights[];\n")?;
    }
    Ok(())
}
