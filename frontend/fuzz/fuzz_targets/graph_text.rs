//! Any text reads as a graph, or gives an error; what is printed reads back as the same text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlc_ir::Graph;

fuzz_target!(|text: &str| {
    if let Ok(graph) = Graph::parse(text) {
        let printed = graph.to_string();
        let again = Graph::parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(again.to_string(), printed);
    }
});
