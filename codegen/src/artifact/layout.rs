//! Where every section of a shared object lies, in the file and in memory.
//!
//! ```text
//!   R    headers, note, dynamic symbols, constants        RW   .dynamic, constants with addresses (read-only after load)
//!   RX   code                                             RW   variables
//!   -    names of local symbols, section headers          R    weights
//! ```
//!
//! Invariants: segments begin at multiples of 4096 in the file and never share a page in memory; offset and address
//! are equal modulo the target's largest page; weights and their slack are the end of the file.

use object::elf::*;

use super::elf::{EHDR, PHDR, SHDR, Section, Segment};

/// The alignment of segments in the file.
const FILE_PAGE: u64 = 4096;

/// Sections and segments with their places.
pub(super) struct Layout {
    pub sections: Vec<Section>,
    pub segments: Vec<Segment>,
    /// Offset of the section headers.
    pub table: u64,
    /// Where the part that is not weights ends.
    pub end: u64,
}

/// The group a section is loaded with, in the order of memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Read,
    Code,
    Fixed,
    Write,
    None,
    Weights,
}

const ORDER: [Group; 6] = [Group::Read, Group::Code, Group::Fixed, Group::Write, Group::None, Group::Weights];

fn group(section: &Section) -> Group {
    let flag = |flag: u32| section.flags & u64::from(flag) != 0;
    match section.name {
        ".weights" => Group::Weights,
        ".dynamic" | ".data.rel.ro" => Group::Fixed,
        _ if !flag(SHF_ALLOC) => Group::None,
        _ if flag(SHF_EXECINSTR) => Group::Code,
        _ if flag(SHF_WRITE) => Group::Write,
        _ => Group::Read,
    }
}

/// The cursor in file and memory.
struct Cursor {
    offset: u64,
    address: u64,
    page: u64,
}

impl Cursor {
    fn next_segment(&mut self) {
        self.offset = self.offset.next_multiple_of(FILE_PAGE);
        self.address = self.address.next_multiple_of(self.page) + self.offset % self.page;
    }

    fn place(&mut self, section: &mut Section) {
        let align = section.align.max(1);
        self.offset = self.offset.next_multiple_of(align);
        section.offset = self.offset;
        if section.flags & u64::from(SHF_ALLOC) != 0 {
            self.address = self.address.next_multiple_of(align);
            section.address = self.address;
            self.address += section.size;
        }
        if section.kind != SHT_NOBITS {
            self.offset += section.size;
        }
    }
}

impl Layout {
    /// Gives every section its place; `page` is the largest page of the target.
    ///
    /// Sections come in the order of their groups, which is that of memory.
    pub fn new(mut sections: Vec<Section>, page: u64) -> Layout {
        let used = |kind: Group| sections.iter().any(|it| group(it) == kind);
        let loads = ORDER.iter().filter(|&&it| it != Group::None && used(it)).count() as u64;
        // Besides loads: note, dynamic, read-only after load, stack.
        let head = EHDR + (loads + 4) * PHDR;
        let mut cursor = Cursor { offset: 0, address: 0, page };
        let mut segments = Vec::new();
        let (mut table, mut end) = (0, 0);
        for kind in ORDER {
            if kind == Group::None {
                sections.iter_mut().filter(|it| group(it) == kind).for_each(|it| cursor.place(it));
                table = cursor.offset.next_multiple_of(8);
                end = table + SHDR * (sections.len() as u64 + 1);
                cursor.offset = end;
            } else if sections.iter().any(|it| group(it) == kind) {
                cursor.next_segment();
                let (offset, address) = (cursor.offset, cursor.address);
                if kind == Group::Read {
                    (cursor.offset, cursor.address) = (head, head);
                }
                sections.iter_mut().filter(|it| group(it) == kind).for_each(|it| cursor.place(it));
                segments.push(load(kind, offset, address, &mut cursor));
            }
        }
        let weights = sections.iter().find(|it| group(it) == Group::Weights);
        end = weights.map_or(end, |it| it.offset);
        segments.extend(others(&sections, &segments));
        Layout { sections, segments, table, end }
    }
}

/// The segment of a group whose sections have just been placed.
fn load(kind: Group, offset: u64, address: u64, cursor: &mut Cursor) -> Segment {
    if kind == Group::Fixed {
        // Whole pages, so that all of it can become read-only.
        cursor.address = cursor.address.next_multiple_of(cursor.page);
    }
    let flags = match kind {
        Group::Code => PF_R | PF_X,
        Group::Fixed | Group::Write => PF_R | PF_W,
        _ => PF_R,
    };
    Segment {
        kind: PT_LOAD,
        flags,
        offset,
        address,
        file_size: cursor.offset - offset,
        size: cursor.address - address,
        align: cursor.page,
    }
}

/// The segments that say what some part of the loaded ones is.
fn others(sections: &[Section], loads: &[Segment]) -> Vec<Segment> {
    let part = |name: &str, kind: u32, flags: u32| {
        sections.iter().find(|it| it.name == name).map(|it| Segment {
            kind,
            flags,
            offset: it.offset,
            address: it.address,
            file_size: it.size,
            size: it.size,
            align: it.align,
        })
    };
    let dynamic = part(".dynamic", PT_DYNAMIC, PF_R | PF_W);
    let fixed = dynamic.and_then(|it| loads.iter().find(|load| load.offset == it.offset));
    let fixed = fixed.map(|load| Segment { kind: PT_GNU_RELRO, flags: PF_R, align: 1, ..*load });
    let stack = Segment { kind: PT_GNU_STACK, flags: PF_R | PF_W, align: 16, ..Segment::default() };
    [part(".note.mlc", PT_NOTE, PF_R), dynamic, fixed, Some(stack)].into_iter().flatten().collect()
}
