//! Lets a vector wait on the stack while registers are short, as the accumulators of a block do in its epilogue.
//!
//! In: a program, and where it ran out of registers.  Out: the program with one value stored before that item, and read
//! again before its next use.
//! Invariant: no label or jump is between the two, and the value is not needed after a loop goes round: so the loop that
//! folds is never slowed down.

use super::allocate::{Full, Interval};
use super::code::{Arg, Base, Class, Effect, Inst, Item, Mem, Program, Size, V};
use super::encode::ARGUMENTS;
use super::{Isa, table};

/// Bytes of a place on the stack.
const PLACE: i32 = 64;

/// Lets the value wait whose next use is the last one; false if none may.
pub fn spill(code: &mut Program, full: &Full, isa: Isa) -> bool {
    let at = full.at;
    let jumps = |item: &Item| matches!(item, Item::Label(_) | Item::Jump(..));
    let straight = code.items[at..].iter().position(jumps).map_or(code.items.len(), |n| at + n);
    let next_use = |interval: &Interval| {
        let waits = interval.start < at && interval.end > at && interval.end < straight;
        let rest = waits.then(|| &code.items[at..=interval.end])?;
        let used = rest.iter().position(|item| item.registers().contains(&interval.v()))?;
        // One that changes is left where it is.
        let changes = rest.iter().any(|item| item.written() == Some(interval.v()));
        (used > 0 && !changes).then_some(at + used)
    };
    let uses = full.intervals.iter().filter_map(|interval| Some((next_use(interval)?, interval)));
    let Some((next, interval)) = uses.max_by_key(|(next, _)| *next) else { return false };
    let (v, last) = (interval.v(), interval.end);
    let sizes = code.items[interval.start..=last].iter().filter_map(|item| size_of(item, v));
    let size = sizes.max_by_key(|size| *size as u8).unwrap_or(Size::Ymm);
    // A value that came back may still be read from its place.
    let lives = |v: &V| full.intervals.iter().any(|other| other.v() == *v && other.start <= at && other.end >= at);
    let busy = |offset: i32| {
        code.items[at..straight].iter().any(|item| touches(item, offset))
            || code.waited.iter().any(|(v, place)| *place == offset && lives(v))
    };
    let offset = (0..).map(|n| ARGUMENTS as i32 + PLACE * n).find(|offset| !busy(*offset)).unwrap_or_default();
    code.stack = code.stack.max((offset + PLACE) as u32 - ARGUMENTS as u32);
    let place = Arg::Mem(Mem { base: Base::Stack, offset, broadcast: false });
    let again = code.new_register(Class::Vector);
    code.items[next..=last].iter_mut().for_each(|item| rename(item, v, again));
    let inst = |codes: &table::Codes, effect, args: [Arg; 2]| {
        Item::Inst(Inst { code: codes.at(isa, size), effect, args: args.to_vec(), mask: None })
    };
    // The later one first: the other moves it.
    code.insert(next, inst(&table::LOAD, Effect::Write, [Arg::Reg(again, size), place]));
    code.insert(at, inst(&table::STORE, Effect::Read, [place, Arg::Reg(v, size)]));
    code.stable.insert(again);
    code.waited.push((again, offset));
    true
}

fn size_of(item: &Item, v: V) -> Option<Size> {
    let Item::Inst(inst) = item else { return None };
    inst.args.iter().find_map(|arg| match arg {
        Arg::Reg(register, size) if *register == v => Some(*size),
        _ => None,
    })
}

fn touches(item: &Item, place: i32) -> bool {
    let Item::Inst(inst) = item else { return false };
    inst.args.iter().any(|arg| matches!(arg, Arg::Mem(Mem { base: Base::Stack, offset, .. }) if *offset == place))
}

fn rename(item: &mut Item, from: V, to: V) {
    let Item::Inst(inst) = item else { return };
    for arg in &mut inst.args {
        if let Arg::Reg(v, _) = arg
            && *v == from
        {
            *v = to;
        }
    }
}
