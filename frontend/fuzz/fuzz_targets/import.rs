//! Any bytes import, or give an error; what imports is a sound graph.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = mlc_frontend::import_bytes(bytes.to_vec(), None, &Default::default()) {
        graph.verify().expect("an imported graph is sound");
    }
});
