//! The program while it is fused: blocks of slots that keep their place, and who reads and writes each buffer.
//!
//! Invariant: `uses` says what the slots say; only [`Work::set`] changes a slot.

use super::cost::factors;
use super::rewrite::{each_index, loads};
use mlc_ir::program::{Buffer, Expr, ExprKind, Kernel, Program, Stage, Step, StoreMode, lookups};
use mlc_ir::{Facts, Index, Name};
use std::collections::{BTreeSet, HashSet};

/// A slot of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which block: 0 is the program's body, others are bodies of control flow.
    pub block: usize,
    /// Where in it; runs in this order.
    pub slot: usize,
}

/// What a slot holds.
pub enum Item {
    /// Nothing, any more.
    Empty,
    /// A kernel.
    Kernel(Kernel),
    /// Condition and two blocks.
    If(u32, usize, usize),
    /// All but the body, and the body's block.
    Loop(Step, usize),
    /// A symbol's value.
    Bind(Name, Index),
}

#[derive(Default)]
struct Block {
    items: Vec<Item>,
    parent: Option<Place>,
}

/// Who touches a buffer.
#[derive(Clone, Default)]
struct Uses {
    readers: BTreeSet<Place>,
    writers: BTreeSet<Place>,
}

/// See the module's documentation.
pub struct Work {
    /// Of the symbols.
    pub facts: Facts,
    /// Of the program.
    pub buffers: Vec<Buffer>,
    /// Buffers the caller fills, outputs that are such an input's memory among them.
    pub inputs: HashSet<u32>,
    /// Buffers the caller gets.
    pub outputs: HashSet<u32>,
    blocks: Vec<Block>,
    uses: Vec<Uses>,
}

impl Work {
    /// Takes a program's body and buffers.
    pub fn new(program: &mut Program) -> Work {
        let mut work = Work {
            facts: program.facts.clone(),
            buffers: std::mem::take(&mut program.buffers),
            inputs: program.inputs.iter().copied().chain(program.states.iter().map(|state| state.1)).collect(),
            outputs: program.outputs.iter().copied().collect(),
            blocks: vec![],
            uses: vec![],
        };
        work.uses.resize(work.buffers.len(), Uses::default());
        work.add_block(std::mem::take(&mut program.body), None);
        work
    }

    /// Gives everything back.
    pub fn finish(mut self, program: &mut Program) {
        program.body = self.steps(0);
        program.buffers = self.buffers;
    }

    fn steps(&mut self, block: usize) -> Vec<Step> {
        let items = std::mem::take(&mut self.blocks[block].items);
        let step = |item| match item {
            Item::Empty => None,
            Item::Kernel(kernel) => Some(Step::Kernel(kernel)),
            Item::If(condition, then, otherwise) => {
                Some(Step::If { condition, then: self.steps(then), otherwise: self.steps(otherwise) })
            }
            Item::Loop(Step::Loop { counter, trips, condition, ran, .. }, body) => {
                Some(Step::Loop { counter, trips, condition, ran, body: self.steps(body) })
            }
            Item::Loop(..) => None,
            Item::Bind(name, index) => Some(Step::Bind(name, index)),
        };
        items.into_iter().filter_map(step).collect()
    }

    fn add_block(&mut self, steps: Vec<Step>, parent: Option<Place>) -> usize {
        let block = self.blocks.len();
        self.blocks.push(Block { items: vec![], parent });
        for (slot, step) in steps.into_iter().enumerate() {
            let place = Place { block, slot };
            let item = match step {
                Step::Kernel(kernel) => Item::Kernel(kernel),
                Step::If { condition, then, otherwise } => {
                    let then = self.add_block(then, Some(place));
                    Item::If(condition, then, self.add_block(otherwise, Some(place)))
                }
                Step::Loop { counter, trips, condition, ran, body } => {
                    let body = self.add_block(body, Some(place));
                    Item::Loop(Step::Loop { counter, trips, condition, ran, body: vec![] }, body)
                }
                Step::Bind(name, index) => Item::Bind(name, index),
            };
            self.blocks[block].items.push(Item::Empty);
            self.set(place, item);
        }
        block
    }

    /// Replaces what a slot holds.
    pub fn set(&mut self, place: Place, item: Item) {
        self.take(place);
        let (reads, writes) = touched(&item);
        for buffer in reads {
            self.uses[buffer as usize].readers.insert(place);
        }
        for buffer in writes {
            self.uses[buffer as usize].writers.insert(place);
        }
        self.blocks[place.block].items[place.slot] = item;
    }

    /// Empties a slot.
    fn take(&mut self, place: Place) -> Item {
        let old = std::mem::replace(&mut self.blocks[place.block].items[place.slot], Item::Empty);
        let (reads, writes) = touched(&old);
        for buffer in reads {
            self.uses[buffer as usize].readers.remove(&place);
        }
        for buffer in writes {
            self.uses[buffer as usize].writers.remove(&place);
        }
        old
    }

    /// Adds a buffer.
    pub fn add_buffer(&mut self, buffer: Buffer) -> u32 {
        self.buffers.push(buffer);
        self.uses.push(Uses::default());
        (self.buffers.len() - 1) as u32
    }

    /// Puts a kernel before a slot; places of the block after it move by one.
    pub fn insert(&mut self, place: Place, kernel: Kernel) {
        let end = Place { block: place.block, slot: self.blocks[place.block].items.len() };
        self.blocks[place.block].items.push(Item::Empty);
        for slot in (place.slot..end.slot).rev() {
            let item = self.take(Place { block: place.block, slot });
            let to = Place { block: place.block, slot: slot + 1 };
            let children: Vec<usize> = match &item {
                Item::If(_, a, b) => vec![*a, *b],
                Item::Loop(_, body) => vec![*body],
                _ => vec![],
            };
            children.into_iter().for_each(|child| self.blocks[child].parent = Some(to));
            self.set(to, item);
        }
        self.set(place, Item::Kernel(kernel));
    }

    /// Every slot with a kernel, blocks inside control flow after the block around them.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (block, content) in self.blocks.iter().enumerate() {
            let kernel =
                |(slot, item): (usize, &Item)| matches!(item, Item::Kernel(_)).then_some(Place { block, slot });
            places.extend(content.items.iter().enumerate().filter_map(kernel));
        }
        places
    }

    /// The kernel in a slot.
    pub fn kernel(&self, place: Place) -> Option<&Kernel> {
        match &self.blocks[place.block].items[place.slot] {
            Item::Kernel(kernel) => Some(kernel),
            _ => None,
        }
    }

    /// Everything that reads a buffer.
    pub fn readers(&self, buffer: u32) -> &BTreeSet<Place> {
        &self.uses[buffer as usize].readers
    }

    /// Everything that writes a buffer.
    pub fn writers(&self, buffer: u32) -> &BTreeSet<Place> {
        &self.uses[buffer as usize].writers
    }

    /// Whether all that an expression loads are constants.
    pub fn is_constant(&self, expr: &Expr) -> bool {
        loads(expr).iter().all(|load| self.buffers[load.0 as usize].constant.is_some())
    }

    /// What a contraction multiplies with weights, and these; `None` if it has none, or nothing else.
    pub fn with_weights(&self, stage: &Stage) -> Option<(Expr, Expr)> {
        let (a, b) = factors(stage)?;
        match (self.is_constant(&a), self.is_constant(&b)) {
            (false, true) => Some((a, b)),
            (true, false) => Some((b, a)),
            _ => None,
        }
    }

    /// The kernel that alone writes a buffer, all of it, before anything reads it in the same block or inside of it.
    pub fn whole_writer(&self, buffer: u32) -> Option<Place> {
        let uses = &self.uses[buffer as usize];
        let &writer = uses.writers.iter().next().filter(|_| uses.writers.len() == 1)?;
        if self.inputs.contains(&buffer) || self.buffers[buffer as usize].constant.is_some() {
            return None;
        }
        let stores = self.kernel(writer)?.stages.iter().flat_map(|stage| &stage.store);
        let mut stores = stores.filter(|store| store.buffer == buffer);
        let store = stores.next()?;
        if stores.next().is_some() || store.mode != StoreMode::Set || !store.only.is_empty() {
            return None;
        }
        let after = |reader: &Place| self.lift(*reader, writer.block).is_some_and(|reader| reader.slot > writer.slot);
        uses.readers.iter().all(after).then_some(writer)
    }

    /// The slot of a block that holds a place, perhaps inside control flow.
    fn lift(&self, mut place: Place, block: usize) -> Option<Place> {
        while place.block != block {
            place = self.blocks[place.block].parent?;
        }
        Some(place)
    }

    /// Whether a place of `all` lies between two slots of a block, both excluded.
    fn between(&self, all: &BTreeSet<Place>, from: Place, to: Place) -> bool {
        all.iter().any(|place| {
            self.lift(*place, from.block).is_some_and(|place| place.slot > from.slot && place.slot < to.slot)
        })
    }

    /// Why a kernel's computation cannot move to a later slot of its block, which keeps or replaces what is there.
    pub fn cannot_move(&self, from: Place, to: Place) -> Option<&'static str> {
        let (Some(producer), Some(consumer)) = (self.kernel(from), self.kernel(to)) else {
            return Some("it is no kernel");
        };
        let written = writes(consumer);
        for buffer in reads(producer) {
            if written.contains(&buffer) || self.between(self.writers(buffer), from, to) {
                return Some("what the producer reads is overwritten before the consumer runs");
            }
        }
        None
    }

    /// Why a kernel's stores cannot move to a later slot of its block.
    pub fn cannot_move_stores(&self, from: Place, to: Place) -> Option<&'static str> {
        for buffer in writes(self.kernel(from)?) {
            if self.between(self.readers(buffer), from, to) {
                return Some("another kernel in between reads what the producer writes");
            }
            if self.between(self.writers(buffer), from, to) || writes(self.kernel(to)?).contains(&buffer) {
                return Some("both write one buffer");
            }
        }
        None
    }
}

/// Buffers a kernel reads, lookups included.
pub fn reads(kernel: &Kernel) -> Vec<u32> {
    let mut found = Vec::new();
    for axis in &kernel.axes {
        lookups(&axis.extent, &mut found);
    }
    for stage in &kernel.stages {
        super::rewrite::each(&stage.value, &mut |node| {
            if let ExprKind::Load { buffer, .. } = node.kind() {
                found.push(*buffer);
            }
        });
        each_index(stage, &mut |index| lookups(index, &mut found));
        let combined = stage.store.iter().filter(|store| matches!(store.mode, StoreMode::Combine(_)));
        found.extend(combined.map(|store| store.buffer));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Buffers a kernel writes.
pub fn writes(kernel: &Kernel) -> Vec<u32> {
    kernel.writes()
}

fn touched(item: &Item) -> (Vec<u32>, Vec<u32>) {
    let mut read = Vec::new();
    match item {
        Item::Empty => {}
        Item::Kernel(kernel) => return (reads(kernel), writes(kernel)),
        Item::If(condition, ..) => read.push(*condition),
        Item::Loop(Step::Loop { trips, condition, .. }, _) => {
            lookups(trips, &mut read);
            read.extend(condition);
        }
        Item::Loop(..) => {}
        Item::Bind(_, index) => lookups(index, &mut read),
    }
    (read, vec![])
}
