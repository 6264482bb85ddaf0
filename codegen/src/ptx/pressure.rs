//! How many registers an entry's code keeps live, and what `ptxas` is told because of it.
//!
//! In: the statements of an entry, as they will be in the text, so that whatever writes an instruction is counted.
//! Out: the greatest number of 32-bit registers whose values are needed later, at any place; predicates are apart.
//!
//! `ptxas` moves loads ahead of what waits for them and aligns pairs, and so takes up to half as many more, and a few.
//! Left to itself it takes fewer where that makes room for another block of threads, and rather stores some registers in memory;
//! so it is told how many it may take. It also unrolls loops before it knows their registers, which makes loads wait together; but
//! a body that keeps many live has been written out by the schedule, and is left as it is.

use super::register::{Class, Reg};
use std::collections::{HashMap, HashSet};

/// Registers of a multiprocessor, and how many a thread can have.
const REGISTERS: u32 = 65536;
const MOST: u32 = 255;

/// Code that keeps no more than these live is left to `ptxas`: it finds room for all.
const FEW: u32 = 40;

/// Code that keeps no more than these may have its loops unrolled, with twice the registers: what it loads then waits together.
const LOOSE: u32 = 80;

/// The directives of an entry of blocks of so many threads that keeps so many registers live; or how many it may, if it keeps
/// more. All of this was found by assembling the kernels of models for every generation.
pub(super) fn directives(live: u32, threads: u32) -> Result<String, u32> {
    let most = MOST.min(REGISTERS / threads);
    let limit = most * 5 / 6;
    if live > limit {
        return Err(limit);
    }
    if live <= FEW {
        return Ok(String::new());
    }
    if live <= LOOSE {
        return Ok(format!(".maxnreg {}\n", (2 * live + 32).next_multiple_of(8).min(most)));
    }
    let registers = (live + live / 2 + 16).next_multiple_of(8).min(most);
    Ok(format!(".maxnreg {registers}\n.pragma \"nounroll\";\n"))
}

/// The most registers that are live at once in some code. Labels and statements are on lines of their own.
pub(super) fn pressure(code: &str) -> u32 {
    let lines: Vec<Line> = code.lines().map(Line::of).collect();
    let mut at: HashMap<&str, HashSet<Reg>> = HashMap::new();
    // What is live at a label is needed before it is known where a jump goes back: a round for each depth of loops.
    loop {
        let (mut live, mut now, mut most, mut again) = (HashSet::new(), 0, 0, false);
        for line in lines.iter().rev() {
            match line {
                Line::Label(label) => {
                    again |= at.get(label) != Some(&live);
                    at.insert(label, live.clone());
                }
                Line::Jump(label, only) => {
                    let there = at.get(label).cloned().unwrap_or_default();
                    if only.is_none() {
                        live.clear();
                    }
                    live.extend(there.into_iter().chain(*only));
                    now = live.iter().map(|reg: &Reg| reg.class.words()).sum();
                }
                Line::Other { writes, reads } => {
                    now -= writes.iter().filter(|reg| live.remove(reg)).map(|reg| reg.class.words()).sum::<u32>();
                    now += reads.iter().filter(|reg| live.insert(**reg)).map(|reg| reg.class.words()).sum::<u32>();
                }
            }
            most = most.max(now);
        }
        if !again {
            return most;
        }
    }
}

/// A line of code, as far as registers go.
enum Line<'a> {
    Label(&'a str),
    /// Where to, and what decides.
    Jump(&'a str, Option<Reg>),
    Other {
        writes: Vec<Reg>,
        reads: Vec<Reg>,
    },
}

impl Line<'_> {
    fn of(line: &str) -> Line<'_> {
        let line = line.trim().trim_end_matches(';');
        if let Some(label) = line.strip_suffix(':') {
            return Line::Label(label);
        }
        let (only, line) = match line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
            Some((only, line)) => (registers(only).pop(), line),
            None => (None, line),
        };
        let (op, operands) = line.split_once(' ').unwrap_or((line, ""));
        if op == "bra" {
            return Line::Jump(operands, only);
        }
        // The first operand is the result: one register, or some in braces; unless it is an address.
        let end = if operands.starts_with('{') { operands.find('}') } else { operands.find(',') };
        let (first, rest) = operands.split_at(end.unwrap_or(operands.len()));
        let (writes, mut reads) =
            if first.starts_with('[') { (vec![], registers(operands)) } else { (registers(first), registers(rest)) };
        // What is not written stays.
        if let Some(only) = only {
            reads.push(only);
            reads.extend(&writes);
        }
        Line::Other { writes, reads }
    }
}

/// The registers that are named in a piece of text.
fn registers(text: &str) -> Vec<Reg> {
    let reg = |name: &str| {
        let class = Class::ALL.into_iter().find(|class| name.starts_with(class.names().0))?;
        let digits = name[1..].split(|c: char| !c.is_ascii_alphanumeric()).next()?;
        Some(Reg { class, number: digits.parse().ok()? })
    };
    text.split('%').skip(1).filter_map(reg).collect()
}

#[cfg(test)]
mod tests {
    use super::{directives, pressure};

    #[test]
    fn a_value_is_live_until_it_was_read_for_the_last_time() {
        let code =
            "\tmov.f32 %f0, 0f00000000;\n\tmov.b64 %d0, 8;\n\tadd.s64 %d1, %d0, 1;\n\tst.global.f32 [%d1], %f0;\n";
        assert_eq!(pressure(code), 3);
        let vector =
            "\tld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%d0+16];\n\tst.global.v4.f32 [%d0], {%f0, %f1, %f2, %f3};\n";
        assert_eq!(pressure(vector), 6);
        let special = "\tmov.u32 %r0, %ctaid.x;\n\tsetp.eq.u32 %p0, %r0, 0;\n\t@%p0 bra $END;\n$END:\n\tret;\n";
        assert_eq!(pressure(special), 1);
    }

    #[test]
    fn what_a_loop_reads_is_live_in_all_of_it() {
        let code = "\tmov.f32 %f0, 0f00000000;\n\tmov.f32 %f9, 0f00000000;\n$L1:\n\tadd.rn.f32 %f1, %f0, %f9;\n\tmov.f32 %f2, %f1;\n\
                    \tsetp.lt.f32 %p0, %f1, %f2;\n\t@%p0 bra $L1;\n";
        assert_eq!(pressure(code), 4);
    }

    #[test]
    fn a_guarded_instruction_may_leave_the_old_value() {
        let code = "\tmov.f32 %f0, 0f00000000;\n\tmov.b64 %d0, 8;\n\t@%p0 ld.global.f32 %f0, [%d0];\n\tst.local.f32 [scratch], %f0;\n";
        assert_eq!(pressure(code), 3);
    }

    #[test]
    fn registers_are_bounded_where_there_are_many() {
        assert_eq!(directives(40, 256).as_deref(), Ok(""));
        assert_eq!(directives(80, 256).as_deref(), Ok(".maxnreg 192\n"));
        assert_eq!(directives(100, 256).as_deref(), Ok(".maxnreg 168\n.pragma \"nounroll\";\n"));
        assert_eq!(directives(212, 256).as_deref(), Ok(".maxnreg 255\n.pragma \"nounroll\";\n"));
        assert_eq!(directives(213, 256), Err(212));
        assert_eq!(directives(107, 512), Err(106));
    }
}
