//! Gives virtual registers real ones: linear scan over intervals.
//!
//! A register lives from its first item to its last, and, if it was there before a loop in which it is used, to that
//! loop's end. What an item reads last and what it writes may be the same register.
//!
//! In: a function.  Out: a place for each register.
//! Invariant: only general registers lie on the stack, the least used first.

use super::code::{Class, Program};
use super::{Result, refuse};

/// Where a virtual register lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Nowhere,
    /// Number of the register, in the order of its encoding.
    Register(u8),
    /// On the stack.
    Slot(u32),
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

struct Interval {
    register: usize,
    start: usize,
    end: usize,
    /// Uses, those in loops counted more.
    weight: f64,
}

pub fn allocate(code: &Program) -> Result<Places> {
    let mut places = Places { of: vec![Place::Nowhere; code.classes.len()], slots: 0 };
    let intervals = intervals(code);
    let vector: Vec<u8> = (0..32).collect();
    for (class, registers) in [(Class::General, &GENERAL[..]), (Class::Vector, &vector[..]), (Class::Mask, &MASKS[..])]
    {
        let own = intervals.iter().filter(|interval| code.classes[interval.register] == class);
        scan(own, class, registers, &mut places)?;
    }
    Ok(places)
}

fn scan<'a>(
    intervals: impl Iterator<Item = &'a Interval>,
    class: Class,
    registers: &[u8],
    places: &mut Places,
) -> Result<()> {
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
        if class != Class::General {
            return refuse(format!("more than {} {class:?} registers", registers.len()).to_lowercase());
        }
        // The least used of all that live now goes to the stack.
        let light = active.iter().enumerate().min_by(|a, b| a.1.weight.total_cmp(&b.1.weight));
        let slot = Place::Slot(places.slots);
        places.slots += 1;
        match light.filter(|(_, other)| other.weight < interval.weight).map(|(at, _)| at) {
            Some(at) => {
                let other = active.swap_remove(at);
                places.of[interval.register] = std::mem::replace(&mut places.of[other.register], slot);
                active.push(interval);
            }
            None => places.of[interval.register] = slot,
        }
    }
    Ok(())
}

fn intervals(code: &Program) -> Vec<Interval> {
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
        for v in item.registers() {
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
