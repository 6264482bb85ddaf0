//! Instructions with virtual registers.

use iced_x86::Code;
use std::collections::{HashMap, HashSet};

/// A virtual register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct V(pub u32);

/// What kind of register it needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    General,
    Vector,
    Mask,
}

/// How an operand looks at its register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    R16,
    R32,
    R64,
    Xmm,
    Ymm,
    Zmm,
    Mask,
}

/// What an address begins with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Base {
    Reg(V),
    /// The stack: offset 0 is the first of the four arguments.
    Stack,
    /// The constants.
    Pool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mem {
    pub base: Base,
    pub offset: i32,
    /// One element in all lanes.
    pub broadcast: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    Reg(V, Size),
    Mem(Mem),
    Imm8(u8),
    /// Extended to the size of the other operand.
    Signed8(i8),
    Imm32(i32),
    Imm64(u64),
}

/// What an instruction does to its first operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Read,
    Write,
    Modify,
}

#[derive(Clone, Debug)]
pub struct Inst {
    pub code: Code,
    pub effect: Effect,
    pub args: Vec<Arg>,
    /// A mask, and whether lanes outside it become 0 (else they are chosen from another operand).
    pub mask: Option<(V, bool)>,
}

#[derive(Clone, Debug)]
pub enum Item {
    Inst(Inst),
    Label(u32),
    Jump(Code, u32),
    /// `dst = a / by`, unsigned, 64 bits.
    Divide {
        dst: V,
        a: V,
        by: V,
    },
    /// `dst = a * factor >> 64`, unsigned.
    HighMultiply {
        dst: V,
        a: V,
        factor: u64,
    },
}

impl Item {
    /// The virtual register it writes.
    pub fn written(&self) -> Option<V> {
        match self {
            Item::Divide { dst, .. } | Item::HighMultiply { dst, .. } => Some(*dst),
            Item::Inst(Inst { effect: Effect::Write | Effect::Modify, args, .. }) => match args.first() {
                Some(Arg::Reg(v, _)) => Some(*v),
                _ => None,
            },
            _ => None,
        }
    }

    /// Every virtual register it reads or writes.
    pub fn registers(&self) -> Vec<V> {
        match self {
            Item::Label(_) | Item::Jump(..) => vec![],
            Item::Divide { dst, a, by } => vec![*dst, *a, *by],
            Item::HighMultiply { dst, a, .. } => vec![*dst, *a],
            Item::Inst(inst) => {
                let of = |arg: &Arg| match arg {
                    Arg::Reg(v, _) | Arg::Mem(Mem { base: Base::Reg(v), .. }) => Some(*v),
                    _ => None,
                };
                inst.args.iter().filter_map(of).chain(inst.mask.map(|mask| mask.0)).collect()
            }
        }
    }
}

/// A function being written.
#[derive(Default)]
pub struct Program {
    pub items: Vec<Item>,
    /// Loops around each item.
    pub depths: Vec<u32>,
    /// Kind of each virtual register.
    pub classes: Vec<Class>,
    /// First and last item of each loop.
    pub loops: Vec<(usize, usize)>,
    /// Constants.
    pub pool: Vec<u8>,
    /// Values loaded from memory that this function does not write.
    pub stable: HashSet<V>,
    /// Bytes on the stack for vectors.
    pub stack: u32,
    /// Vectors that waited there, and where.
    pub waited: Vec<(V, i32)>,
    known: HashMap<Vec<u8>, i32>,
    labels: u32,
    depth: u32,
}

impl Program {
    pub fn new_register(&mut self, class: Class) -> V {
        self.classes.push(class);
        V(self.classes.len() as u32 - 1)
    }

    pub fn label(&mut self) -> u32 {
        self.labels += 1;
        self.labels - 1
    }

    pub fn push(&mut self, item: Item) {
        self.items.push(item);
        self.depths.push(self.depth);
    }

    pub fn inst(&mut self, code: Code, effect: Effect, args: &[Arg]) {
        self.push(Item::Inst(Inst { code, effect, args: args.to_vec(), mask: None }));
    }

    /// An instruction under a mask.
    pub fn masked(&mut self, code: Code, effect: Effect, args: &[Arg], mask: V, zero: bool) {
        self.push(Item::Inst(Inst { code, effect, args: args.to_vec(), mask: Some((mask, zero)) }));
    }

    /// Puts an item before another that is not the first of a loop.
    pub fn insert(&mut self, at: usize, item: Item) {
        self.items.insert(at, item);
        self.depths.insert(at, self.depths[at]);
        for (first, last) in &mut self.loops {
            *first += usize::from(*first >= at);
            *last += usize::from(*last >= at);
        }
    }

    /// The next item is the first of a loop.
    pub fn open_loop(&mut self) -> usize {
        self.depth += 1;
        self.items.len()
    }

    /// The last item was the last of a loop.
    pub fn close_loop(&mut self, first: usize) {
        self.depth -= 1;
        self.loops.push((first, self.items.len() - 1));
    }

    /// Where constant bytes lie, aligned to their size.
    pub fn constant(&mut self, bytes: &[u8], broadcast: bool) -> Arg {
        let offset = *self.known.entry(bytes.to_vec()).or_insert_with(|| {
            let at = self.pool.len().next_multiple_of(bytes.len());
            self.pool.resize(at, 0);
            self.pool.extend_from_slice(bytes);
            at as i32
        });
        Arg::Mem(Mem { base: Base::Pool, offset, broadcast })
    }
}
