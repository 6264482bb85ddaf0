//! Runs a [`Program`].

use super::code::{Code, Dst, Expr, Factor, Place, Program, Run, Src};
use super::copies::Copies;
use super::{Buffer, Cause, Trap, scalar};
use crate::DType;
use crate::tile::verify::summary;
use crate::tile::{Inst, Space, Tile};
use std::ops::Range;

pub(super) struct Machine<'a> {
    pub(super) program: &'a Program<'a>,
    memory: Vec<&'a mut Buffer>,
    regs: Vec<u64>,
    /// Lanes whose value came from slack.
    undefined: Vec<bool>,
    vars: Vec<i64>,
    cursors: Vec<i64>,
    task: i64,
    pub(super) copies: Copies,
}

pub(super) type Step<T = ()> = Result<T, Cause>;
/// The instruction is absent where the cause lies in none.
type Ran<'a> = Result<(), (Cause, &'a Inst)>;

pub(super) fn run(tile: &Tile, program: &Program, memory: Vec<&mut Buffer>, tasks: Range<i64>) -> Result<(), Trap> {
    let mut machine = Machine {
        program,
        memory,
        regs: program.regs.clone(),
        undefined: vec![false; program.regs.len()],
        vars: vec![0; program.vars],
        cursors: vec![0; program.cursors],
        task: 0,
        copies: Copies::default(),
    };
    for task in tasks {
        machine.task = task;
        machine.vars[0] = task;
        machine.forget_scratch();
        let trap = |cause, inst| Trap { cause, tile: tile.name.clone(), inst, task: Some(task) };
        machine.body(&program.body).map_err(|(cause, inst)| trap(cause, summary(inst)))?;
        machine.copies.end().map_err(|cause| trap(cause, String::new()))?;
    }
    Ok(())
}

impl<'a> Machine<'a> {
    fn forget_scratch(&mut self) {
        for (buffer, param) in self.memory.iter_mut().zip(&self.program.params) {
            if param.space == Space::Scratch {
                buffer.ready.fill(false);
            }
        }
    }

    fn body(&mut self, codes: &'a [Code<'a>]) -> Ran<'a> {
        for code in codes {
            let inst = code.inst;
            match &code.run {
                Run::Loop { var, low, high, step, body, advance } => {
                    let bounds = self.eval(low).and_then(|low| Ok((low, self.eval(high)?)));
                    let (mut value, high) = bounds.map_err(|cause| (cause, inst))?;
                    while value < high {
                        self.vars[*var] = value;
                        self.body(body)?;
                        self.advance(advance).map_err(|cause| (cause, inst))?;
                        value = value.saturating_add(*step);
                    }
                }
                Run::Backwards { var, low, high, body } => {
                    let bounds = self.eval(low).and_then(|low| Ok(low..self.eval(high)?));
                    for value in bounds.map_err(|cause| (cause, inst))?.rev() {
                        self.vars[*var] = value;
                        self.body(body)?;
                    }
                }
                Run::If { all, then, otherwise } => {
                    let holds = self.tests(all).map_err(|cause| (cause, inst))?;
                    self.body(if holds { then } else { otherwise })?;
                }
                run => self.step(run).map_err(|cause| (cause, inst))?,
            }
        }
        Ok(())
    }

    fn advance(&mut self, cursors: &[(usize, Expr)]) -> Step {
        for (cursor, by) in cursors {
            self.cursors[*cursor] = self.cursors[*cursor].saturating_add(self.eval(by)?);
        }
        Ok(())
    }

    fn tests(&mut self, all: &[[Expr; 3]]) -> Step<bool> {
        for [low, index, high] in all {
            let index = self.eval(index)?;
            if self.eval(low)? > index || index >= self.eval(high)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn step(&mut self, run: &Run) -> Step {
        match run {
            Run::Loop { .. } | Run::Backwards { .. } | Run::If { .. } => {}
            Run::Copy(to, a) => self.lanes(*to, [*a], |[a]| a),
            Run::One(to, f, a) => self.lanes(*to, [*a], |[a]| f(a)),
            Run::Two(to, f, a, b) => self.lanes(*to, [*a, *b], |[a, b]| f(a, b)),
            Run::Shift(to, f, a, b, width) => {
                for lane in 0..to.lanes {
                    let (by, undefined) = self.lane(*b, lane);
                    if by >= *width && !undefined {
                        return Err(Cause::Shift(by));
                    }
                }
                self.lanes(*to, [*a, *b], |[a, b]| f(a, b));
            }
            Run::Three(to, f, a, b, c) => self.lanes(*to, [*a, *b, *c], |[a, b, c]| f(a, b, c)),
            Run::Convert(to, from, dtype, a) => self.lanes(*to, [*a], |[a]| scalar::convert(*from, *dtype, a)),
            Run::Bitcast(to, size, a, from_size, from_lanes) => self.bitcast(*to, *size, *a, *from_size, *from_lanes),
            Run::Select(to, mask, a, b) => {
                for lane in 0..to.lanes {
                    let (mask, unknown) = self.lane(*mask, lane);
                    let (bits, undefined) = self.lane(if mask == 1 { *a } else { *b }, lane);
                    self.put(to.base + lane, bits, undefined | unknown);
                }
            }
            Run::Reduce(to, f, a, lanes) => self.reduce(*to, *f, *a, *lanes),
            Run::Pack(to, lanes) => {
                for (lane, a) in lanes.iter().enumerate() {
                    let (bits, undefined) = self.lane(*a, 0);
                    self.put(to.base + lane, bits, undefined);
                }
            }
            Run::Iota(to) => (0..to.lanes).for_each(|lane| self.put(to.base + lane, lane as u64, false)),
            Run::Index(to, e, mask) => {
                let bits = self.eval(e)? as u64 & mask;
                (0..to.lanes).for_each(|lane| self.put(to.base + lane, bits, false));
            }
            Run::Load(to, from, first) => self.load(*to, from, first)?,
            Run::Broadcast(to, from) => {
                self.load(Dst { base: to.base, lanes: 1 }, from, &None)?;
                self.lanes(*to, [Src { base: to.base, step: 0 }], |[a]| a);
            }
            Run::Store(to, value, lanes, first) => self.store(to, *value, *lanes, first)?,
            Run::LoadFragment(to, piece) => self.load_fragment(*to, piece)?,
            Run::StoreFragment(piece, value) => self.store_fragment(piece, *value)?,
            Run::Multiply(to, product) => self.multiply(*to, product),
            Run::BeginCopy(to, from, lanes, first) => self.begin_copy(to, from, *lanes, first)?,
            Run::Commit => self.commit(),
            Run::Wait(most) => self.wait(*most)?,
            Run::Cursor(slot, offset) => self.cursors[*slot] = self.eval(offset)?,
        }
        Ok(())
    }

    pub(super) fn lane(&self, a: Src, lane: usize) -> (u64, bool) {
        let place = a.base + a.step * lane;
        (self.regs[place], self.undefined[place])
    }

    pub(super) fn put(&mut self, place: usize, bits: u64, undefined: bool) {
        self.regs[place] = bits;
        self.undefined[place] = undefined;
    }

    fn lanes<const N: usize>(&mut self, to: Dst, from: [Src; N], f: impl Fn([u64; N]) -> u64) {
        for lane in 0..to.lanes {
            let operands = from.map(|a| self.regs[a.base + a.step * lane]);
            let undefined = from.iter().any(|a| self.undefined[a.base + a.step * lane]);
            self.put(to.base + lane, f(operands), undefined);
        }
    }

    fn reduce(&mut self, to: usize, f: fn(u64, u64) -> u64, a: Src, lanes: usize) {
        let mut values: Vec<_> = (0..lanes).map(|lane| self.lane(a, lane)).collect();
        while values.len() > 1 {
            let upper = values.split_off(values.len() / 2);
            for (a, b) in values.iter_mut().zip(upper) {
                *a = (f(a.0, b.0), a.1 | b.1);
            }
        }
        let (bits, undefined) = values[0];
        self.put(to, bits, undefined);
    }

    fn bitcast(&mut self, to: Dst, size: usize, a: Src, from_size: usize, from_lanes: usize) {
        let mut bytes = Vec::new();
        for lane in 0..from_lanes {
            let (bits, undefined) = self.lane(a, lane);
            bytes.extend(bits.to_le_bytes()[..from_size].iter().map(|byte| (*byte, undefined)));
        }
        for (lane, part) in bytes.chunks(size).enumerate() {
            let bits = part.iter().rev().fold(0, |bits, (byte, _)| bits << 8 | u64::from(*byte));
            self.put(to.base + lane, bits, part.iter().any(|part| part.1));
        }
    }

    /// How many lanes an access touches.
    pub(super) fn active(&mut self, lanes: usize, first: &Option<Expr>) -> Step<usize> {
        match first {
            Some(first) => Ok(self.eval(first)?.clamp(0, lanes as i64) as usize),
            None => Ok(lanes),
        }
    }

    /// The byte a place is at, and the number of elements from there to the end of what may be touched: of the row,
    /// or of the buffer; of a line of a fragment, where places are indexed.
    pub(super) fn locate(&mut self, place: &Place, line: usize) -> Step<(i64, i64)> {
        let param = &self.program.params[place.buffer()];
        let size = param.dtype.bytes() as i64;
        match place {
            Place::Linear(_, cursor, offset) => {
                let byte = self.cursors[*cursor].saturating_add(*offset);
                Ok((byte, if byte < 0 { 0 } else { (param.bytes - byte).div_euclid(size) }))
            }
            Place::Indexed(buffer, index, along) => {
                let (element, room) = self.element(*buffer, index, along.map(|axis| (axis, line as i64)))?;
                Ok((element * size, room))
            }
        }
    }

    /// The number of an element, or of one that is ahead of it along a dimension, and how many there are from it to the end of its row. Along the last dimension an
    /// index may go beyond the end, where there is no room.
    fn element(&mut self, buffer: usize, index: &[Expr], ahead: Option<(usize, i64)>) -> Step<(i64, i64)> {
        let program = self.program;
        let param = &program.params[buffer];
        let (mut element, mut room) = (0i64, 1);
        for (axis, (e, dim)) in index.iter().zip(&param.dims).enumerate() {
            let i = self.eval(e)?.saturating_add(ahead.filter(|ahead| ahead.0 == axis).map_or(0, |ahead| ahead.1));
            let last = axis + 1 == index.len();
            if i < 0 || (i >= *dim && !last) || i > *dim + param.slack {
                let text = format!("index {i} of dimension {axis} of `{}`, which has {dim}", param.name);
                return Err(Cause::OutOfBounds(text));
            }
            element = element * dim + i;
            room = dim - i;
        }
        Ok((element, room))
    }

    fn load(&mut self, to: Dst, from: &Place, first: &Option<Expr>) -> Step {
        let active = self.active(to.lanes, first)?;
        (active..to.lanes).for_each(|lane| self.put(to.base + lane, 0, false));
        if active == 0 {
            return Ok(());
        }
        let (byte, room) = self.locate(from, 0)?;
        let param = &self.program.params[from.buffer()];
        let size = param.dtype.bytes() as i64;
        if byte < 0 || active as i64 > room + param.slack / size {
            return Err(beyond(param, active, room));
        }
        let room = room.clamp(0, active as i64) as usize;
        (room..active).for_each(|lane| self.put(to.base + lane, 0, true));
        for lane in 0..room {
            let bits = self.read(from.buffer(), byte + lane as i64 * size)?;
            self.put(to.base + lane, bits, false);
        }
        Ok(())
    }

    /// One element, whose bytes are in bounds.
    pub(super) fn read(&mut self, buffer: usize, byte: i64) -> Step<u64> {
        let param = &self.program.params[buffer];
        let range = byte as usize..byte as usize + param.dtype.bytes();
        self.copies.check(buffer, byte, &param.name)?;
        let memory = &mut self.memory[buffer];
        if !memory.ready[range.clone()].iter().all(|ready| *ready) {
            return Err(Cause::Uninitialised(param.name.clone(), byte));
        }
        for seen in memory.seen.get_mut(range.clone()).into_iter().flatten() {
            if let Some(writer) = seen.writer.filter(|writer| *writer != self.task) {
                return Err(Cause::Race(param.name.clone(), byte, writer));
            }
            seen.shared |= seen.reader.is_some_and(|reader| reader != self.task);
            seen.reader = Some(self.task);
        }
        let bits = memory.bytes[range].iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        match param.dtype {
            DType::Bool if bits > 1 => Err(Cause::NotBool(bits as u8)),
            _ => Ok(bits),
        }
    }

    fn store(&mut self, to: &Place, value: Src, lanes: usize, first: &Option<Expr>) -> Step {
        let active = self.active(lanes, first)?;
        if active == 0 {
            return Ok(());
        }
        let (byte, room) = self.locate(to, 0)?;
        let param = &self.program.params[to.buffer()];
        if byte < 0 || active as i64 > room {
            return Err(beyond(param, active, room));
        }
        for lane in 0..active {
            let (bits, undefined) = self.lane(value, lane);
            if undefined {
                return Err(Cause::Undefined);
            }
            self.write(to.buffer(), byte + (lane * param.dtype.bytes()) as i64, bits)?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, buffer: usize, byte: i64, bits: u64) -> Step {
        let param = &self.program.params[buffer];
        let range = byte as usize..byte as usize + param.dtype.bytes();
        self.copies.check(buffer, byte, &param.name)?;
        let memory = &mut self.memory[buffer];
        for seen in memory.seen.get_mut(range.clone()).into_iter().flatten() {
            let reader = seen.reader.filter(|reader| *reader != self.task || seen.shared);
            let other = seen.writer.filter(|writer| *writer != self.task).or(reader);
            if let Some(other) = other {
                return Err(Cause::Race(param.name.clone(), byte, other));
            }
            seen.writer = Some(self.task);
        }
        memory.ready[range.clone()].fill(true);
        let size = range.len();
        memory.bytes[range].copy_from_slice(&bits.to_le_bytes()[..size]);
        Ok(())
    }

    pub(super) fn eval(&mut self, e: &Expr) -> Step<i64> {
        let overflow = || Cause::Index("an index expression overflows".into());
        let mut sum = e.constant;
        for (coefficient, factors) in &e.terms {
            let mut product = *coefficient;
            for factor in factors {
                product = product.checked_mul(self.factor(factor)?).ok_or_else(overflow)?;
            }
            sum = sum.checked_add(product).ok_or_else(overflow)?;
        }
        Ok(sum)
    }

    fn factor(&mut self, factor: &Factor) -> Step<i64> {
        let divisor = |n: i64| if n > 0 { Ok(n) } else { Err(Cause::Index(format!("the divisor is {n}"))) };
        Ok(match factor {
            Factor::Var(slot) => self.vars[*slot],
            Factor::Div(pair) => self.eval(&pair.0)?.div_euclid(divisor(self.eval(&pair.1)?)?),
            Factor::Mod(pair) => self.eval(&pair.0)?.rem_euclid(divisor(self.eval(&pair.1)?)?),
            Factor::Min(pair) => self.eval(&pair.0)?.min(self.eval(&pair.1)?),
            Factor::Max(pair) => self.eval(&pair.0)?.max(self.eval(&pair.1)?),
            Factor::At(buffer, index) => {
                let (element, room) = self.element(*buffer, index, None)?;
                let param = &self.program.params[*buffer];
                if room < 1 {
                    return Err(beyond(param, 1, room));
                }
                let bits = self.read(*buffer, element * param.dtype.bytes() as i64)?;
                scalar::convert(param.dtype, DType::I64, bits) as i64
            }
        })
    }
}

pub(super) fn beyond(param: &super::code::Extent, lanes: usize, room: i64) -> Cause {
    Cause::OutOfBounds(format!("{lanes} elements of `{}` where {} are left", param.name, room.max(0)))
}
