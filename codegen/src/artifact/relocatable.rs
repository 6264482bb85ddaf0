//! The relocatable object as users link it: with the weights inside, if they are embedded.
//!
//! In: an object whose descriptor is complete. Out: the same bytes, then the weights, then a new table of sections that
//! has one more row. Nothing is moved, so the weights are a stream and the rest is as the compiler made it.

use std::io::{self, Write};

use mlc_abi::{Architecture, WEIGHTS_ALIGN, WEIGHTS_SLACK};
use object::elf::*;
use object::{Object, ObjectSection, ObjectSymbol};

use super::elf::{SHDR, SYM, Section};
use super::image::Image;
use super::weights::{Weights, write_padded};
use super::{Description, Error};

/// The name of the added section, with the 0 that ends it.
const SECTION: &[u8] = b".rodata.weights\0";

/// A relocatable object, all but its weights.
pub(super) struct Relocatable {
    head: Vec<u8>,
    /// Behind the weights; `None`: there are none.
    tail: Option<Vec<u8>>,
    bytes: u64,
    /// Global symbols that are defined, in the order of the object.
    pub exports: Vec<String>,
}

impl Relocatable {
    /// Checks an object and makes room for its weights.
    pub fn new(object: &[u8], arch: Architecture, description: &Description) -> Result<Relocatable, Error> {
        let image = Image::read(object, arch, description)?;
        let defined = image.symbols.iter().enumerate();
        let defined =
            defined.filter(|(number, it)| it.global && it.section.is_some() || Some(*number) == image.weights);
        let exports = defined.map(|(_, it)| it.name.clone()).collect();
        let mut it = Relocatable { head: object.to_vec(), tail: None, bytes: object.len() as u64, exports };
        if let Some(weights) = image.weights {
            it.embed(object, &image.symbols[weights].name, description.weights_bytes)?;
        }
        Ok(it)
    }

    /// Size of the file.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Writes the file.
    pub fn write_to(&self, weights: &dyn Weights, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        if let Some(tail) = &self.tail {
            write_padded(weights, out)?;
            out.write_all(tail)?;
        }
        Ok(())
    }

    fn embed(&mut self, object: &[u8], name: &str, weights: u64) -> Result<(), Error> {
        let damaged = || Error::object("has a damaged section table");
        let table = usize::try_from(read(object, 40, 8).ok_or_else(damaged)?).map_err(Error::object)?;
        let count = read(object, 60, 2).ok_or_else(damaged)? as usize;
        let names = read(object, 62, 2).ok_or_else(damaged)? as usize;
        let size = count * SHDR as usize;
        let mut headers = object.get(table..).and_then(|it| it.get(..size)).ok_or_else(damaged)?.to_vec();

        let start = (object.len() as u64).next_multiple_of(WEIGHTS_ALIGN);
        let stored = weights + WEIGHTS_SLACK;
        // The section names, with one more.
        let row = names * SHDR as usize;
        let old = read(&headers, row + 24, 8).zip(read(&headers, row + 32, 8)).ok_or_else(damaged)?;
        let mut tail =
            object.get(old.0 as usize..).and_then(|it| it.get(..old.1 as usize)).ok_or_else(damaged)?.to_vec();
        let place = tail.len() as u32;
        tail.extend(SECTION);
        headers[row + 24..row + 32].copy_from_slice(&(start + stored).to_le_bytes());
        headers[row + 32..row + 40].copy_from_slice(&(tail.len() as u64).to_le_bytes());
        let added = Section {
            kind: SHT_PROGBITS,
            flags: u64::from(SHF_ALLOC),
            offset: start,
            size: stored,
            align: WEIGHTS_ALIGN,
            ..Section::default()
        };
        added.write(place, &mut headers);
        let pad = (start + stored + tail.len() as u64).next_multiple_of(8) - (start + stored);
        tail.resize(pad as usize, 0);

        let symbol = symbol_offset(object, name)?;
        self.head.resize(start as usize, 0);
        let mut put = |at: usize, bytes: &[u8]| self.head[at..at + bytes.len()].copy_from_slice(bytes);
        put(40, &(start + stored + tail.len() as u64).to_le_bytes());
        put(60, &(count as u16 + 1).to_le_bytes());
        put(symbol + 4, &[STB_GLOBAL << 4 | STT_OBJECT, STV_DEFAULT]);
        put(symbol + 6, &(count as u16).to_le_bytes());
        put(symbol + 8, &0u64.to_le_bytes());
        put(symbol + 16, &weights.to_le_bytes());
        tail.extend(headers);
        self.bytes = start + stored + tail.len() as u64;
        self.tail = Some(tail);
        Ok(())
    }
}

/// The file offset of the record of an undefined symbol.
fn symbol_offset(object: &[u8], name: &str) -> Result<usize, Error> {
    let missing = || Error::object(format_args!("has no record of `{name}`"));
    let file = object::File::parse(object).map_err(Error::object)?;
    let symbol = file.symbols().find(|it| it.is_undefined() && it.name() == Ok(name)).ok_or_else(missing)?;
    let table = file.sections().find(|it| it.name() == Ok(".symtab")).and_then(|it| it.file_range());
    let at = table.ok_or_else(missing)?.0 as usize + symbol.index().0 * SYM as usize;
    object.get(at..at + SYM as usize).map(|_| at).ok_or_else(missing)
}

fn read(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}
