//! Gives virtual registers real ones: linear scan over intervals.
//!
//! A register lives from its first item to its last, and, if it was there before a loop in which it is used, to that
//! loop's end. What an item reads last and what it writes may be the same register.
//!
//! Where vector registers run out, a value that was loaded from memory that does not change is read there by each
//! instruction that uses it; if there is none, one that is needed late waits on the stack ([`spill`]). General registers
//! may lie on the stack, the least used first.
//!
//! In: a function.  Out: a place for each register, and in the function what waiting takes.
//! Invariant: what lies on the stack or is read again is so for all its life.

use super::code::{Arg, Base, Class, Effect, Inst, Item, Mem, Program, V};
use super::spill::spill;
use super::{Isa, Result, refuse, table};
use std::collections::HashMap;

/// Where a virtual register lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Nowhere,
    /// Number of the register, in the order of its encoding.
    Register(u8),
    /// On the stack.
    Slot(u32),
    /// In memory, where the instruction that would have loaded it says.
    Memory(Mem),
}

/// What was chosen.
pub struct Places {
    pub of: Vec<Place>,
    /// Words on the stack.
    pub slots: u32,
}

/// All but rsp, and rax and rdx, which reach the stack and divide.
const GENERAL: [u8; 13] = [1, 6, 7, 8, 9, 10, 11, 3, 5, 12, 13, 14, 15];
/// All but the first, which as a mask of an instruction means none.
const MASKS: [u8; 7] = [1, 2, 3, 4, 5, 6, 7];

/// From its first item to its last, or to the end of a loop that needs it again.
pub struct Interval {
    register: usize,
    pub start: usize,
    pub end: usize,
    /// Uses, those in loops counted more.
    weight: f64,
}

impl Interval {
    pub fn v(&self) -> V {
        V(self.register as u32)
    }
}

/// How often a value may wait on the stack: with more, fewer rows at once are faster.
const SPILLS: usize = 256;

pub fn allocate(code: &mut Program, isa: Isa) -> Result<Places> {
    let mut spills = 0;
    loop {
        match place(code, isa) {
            Ok(places) => return Ok(places),
            Err(full) if full.class == Class::Vector && spills < SPILLS && spill(code, &full, isa) => spills += 1,
            Err(full) => return refuse(format!("too few {:?} registers", full.class).to_lowercase()),
        }
    }
}

/// Where registers of a class ran out.
pub struct Full {
    class: Class,
    /// The item that found none.
    pub at: usize,
    /// When registers of the class live.
    pub intervals: Vec<Interval>,
}

/// A place for each register, as the program is.
fn place(code: &Program, isa: Isa) -> Result<Places, Full> {
    let mut places = Places { of: vec![Place::Nowhere; code.classes.len()], slots: 0 };
    let vector: Vec<u8> = (0..isa.vector_registers()).collect();
    // Vectors first: what is read again keeps the registers of its address alive.
    for (class, registers) in [(Class::Vector, &vector[..]), (Class::General, &GENERAL[..]), (Class::Mask, &MASKS[..])]
    {
        let mut own = intervals(code, &places);
        own.retain(|interval| code.classes[interval.register] == class);
        let again = if class == Class::Vector { loaded(code, &own) } else { HashMap::new() };
        if let Err(at) = scan(own.iter(), class, registers, &again, &mut places) {
            return Err(Full { class, at, intervals: own });
        }
    }
    Ok(places)
}

/// Where each value can be read again that instructions may as well read from memory.
fn loaded(code: &Program, intervals: &[Interval]) -> HashMap<usize, Mem> {
    let mut from: HashMap<usize, Mem> = HashMap::new();
    let mut written: HashMap<V, Vec<usize>> = HashMap::new();
    for (at, item) in code.items.iter().enumerate() {
        let Item::Inst(inst) = item else {
            item.written().into_iter().for_each(|v| written.entry(v).or_default().push(at));
            continue;
        };
        let foldable = inst.operand_from_memory();
        for (n, arg) in inst.args.iter().enumerate() {
            let Arg::Reg(v, _) = arg else { continue };
            let defines = n == 0 && inst.effect == Effect::Write;
            match (defines, inst.loads()) {
                (true, Some(mem)) if code.stable.contains(v) => {
                    from.insert(v.0 as usize, mem);
                }
                (false, _) if foldable == Some(n) && inst.args.iter().filter(|a| *a == arg).count() == 1 => {}
                _ => {
                    from.remove(&(v.0 as usize));
                }
            }
        }
        item.written().into_iter().for_each(|v| written.entry(v).or_default().push(at));
    }
    // The address must be the same as long as the value is used.
    from.retain(|register, mem| {
        let Base::Reg(base) = mem.base else { return true };
        let interval = intervals.iter().find(|interval| interval.register == *register);
        let changes = written.get(&base);
        interval.is_some_and(|i| changes.is_none_or(|at| at.iter().all(|at| *at < i.start || *at > i.end)))
    });
    from
}

impl Inst {
    /// Where a plain load, or one that fills all lanes, reads.
    fn loads(&self) -> Option<Mem> {
        let (Some(Arg::Mem(mem)), None) = (self.args.get(1), self.mask) else { return None };
        let broadcast = table::BROADCAST.evex.contains(&self.code);
        (broadcast || table::LOAD.contains(self.code)).then_some(Mem { broadcast, ..*mem })
    }

    /// The operand that may be in memory instead of a register.
    fn operand_from_memory(&self) -> Option<usize> {
        // A fourth register, that of bools, may not.
        let last = self.args.iter().take(3).rposition(|arg| matches!(arg, Arg::Reg(..)))?;
        let none_yet = !self.args.iter().any(|arg| matches!(arg, Arg::Mem(_)));
        (none_yet && last > 0 && table::takes_memory(self.code)).then_some(last)
    }
}

fn scan<'a>(
    intervals: impl Iterator<Item = &'a Interval>,
    class: Class,
    registers: &[u8],
    again: &HashMap<usize, Mem>,
    places: &mut Places,
) -> Result<(), usize> {
    let mut free: Vec<u8> = registers.iter().rev().copied().collect();
    let mut active: Vec<&Interval> = Vec::new();
    for interval in intervals {
        active.retain(|other| {
            let over = other.end <= interval.start;
            if let (true, Place::Register(n)) = (over, places.of[other.register]) {
                free.push(n);
            }
            !over
        });
        if let Some(register) = free.pop() {
            places.of[interval.register] = Place::Register(register);
            active.push(interval);
            continue;
        }
        // The least used of all that live now, this one too, has to go: to the stack, or back to memory.
        let may_go = |interval: &Interval| class == Class::General || again.contains_key(&interval.register);
        let others = active.iter().copied().enumerate().filter(|(_, other)| may_go(other));
        let lightest = others.min_by(|a, b| a.1.weight.total_cmp(&b.1.weight));
        let own = may_go(interval);
        let goes = match lightest {
            Some((at, other)) if !own || other.weight < interval.weight => Some(at),
            _ if own => None,
            _ => return Err(interval.start),
        };
        let leaving = goes.map_or(interval, |at| active[at]).register;
        let place = match again.get(&leaving) {
            Some(mem) => Place::Memory(*mem),
            None => {
                places.slots += 1;
                Place::Slot(places.slots - 1)
            }
        };
        let freed = std::mem::replace(&mut places.of[leaving], place);
        if let Some(at) = goes {
            active.swap_remove(at);
            places.of[interval.register] = freed;
            active.push(interval);
        }
    }
    Ok(())
}

/// When each register lives, by their beginnings; those that are read from memory as far as their addresses.
fn intervals(code: &Program, places: &Places) -> Vec<Interval> {
    let mut intervals: Vec<Option<Interval>> = code.classes.iter().map(|_| None).collect();
    // The loops around an item, outermost first.
    let mut loops = code.loops.clone();
    loops.sort_unstable();
    let (mut open, mut next): (Vec<(usize, usize)>, usize) = (Vec::new(), 0);
    for (at, item) in code.items.iter().enumerate() {
        while loops.get(next).is_some_and(|l| l.0 <= at) {
            open.push(loops[next]);
            next += 1;
        }
        open.retain(|l| at <= l.1);
        let address = |v: &V| match places.of[v.0 as usize] {
            Place::Memory(Mem { base: Base::Reg(base), .. }) => Some(base),
            _ => None,
        };
        let registers = item.registers();
        for v in registers.iter().filter_map(address).chain(registers.iter().copied()) {
            let register = v.0 as usize;
            let interval = intervals[register].get_or_insert(Interval { register, start: at, end: at, weight: 0.0 });
            interval.weight += 10f64.powi(code.depths[at].min(12) as i32);
            let around = open.iter().filter(|l| l.0 > interval.start).map(|l| l.1);
            interval.end = around.max().unwrap_or(at).max(interval.end).max(at);
        }
    }
    let mut intervals: Vec<Interval> = intervals.into_iter().flatten().collect();
    intervals.iter_mut().for_each(|i| i.weight /= (i.end - i.start + 1) as f64);
    intervals.sort_by_key(|interval| (interval.start, interval.register));
    intervals
}
