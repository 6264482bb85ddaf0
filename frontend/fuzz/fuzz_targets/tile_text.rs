//! Any text reads as a tile, or gives an error; what is printed reads back as the same tile.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlc_ir::tile::parse;

fuzz_target!(|text: &str| {
    if let Ok(tile) = parse(text) {
        let printed = tile.to_string();
        let again = parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(again.to_string(), printed);
    }
});
