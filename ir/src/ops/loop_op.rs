use super::OpDef;
use super::body::{bound, copy, infer, inline, invariant, overwrite};
use crate::compute::{Compute, T};
use crate::graph::Graph;
use crate::onnx::OnnxNode;
use crate::program::{Expr, Known, Step, StoreMode};
use crate::{DType, Error, Index, Name, Result, Scalar, Tensor};
use std::collections::BTreeSet;

/// Repeats a body (ONNX `Loop`) up to a number of times, as long as a condition holds; both are optional.
///
/// The body gets the number of the iteration, the condition and the state; it gives the condition, the next state, and
/// values that are stacked along a new first axis. The extents of the state may change from one iteration to the next.
/// Stacked values need a number of iterations that is known before the loop; of a loop that may end earlier only those
/// written are returned.
#[derive(Debug)]
pub struct Loop {
    body: Graph,
    captures: usize,
}

impl Loop {
    pub(super) fn parse(node: &OnnxNode) -> Result<Loop> {
        Ok(Loop { body: node.graph("body")?.clone(), captures: captures(node)? })
    }
}

/// How many of the inputs of a node are values from around its bodies.
pub(super) fn captures(node: &OnnxNode) -> Result<usize> {
    usize::try_from(node.int("captures", 0)?).map_err(|_| Error::invalid("a negative number of captures"))
}

/// A tensor that lives from one iteration to the next, and the symbols of its extents that change.
struct State {
    t: T,
    changing: Vec<Option<Name>>,
}

/// What is known of a loop before its body is built.
struct Frame {
    counter: Name,
    /// How often it runs at most, if that is known before.
    trips: Option<Index>,
    /// The highest value of the counter.
    last: Option<i64>,
    /// The condition, and whether it is true at first.
    condition: T,
    starts: bool,
    states: Vec<State>,
}

/// A built body.
struct Body {
    steps: Vec<Step>,
    stacks: Vec<T>,
    /// Whether its condition is always true.
    endless: bool,
}

impl OpDef for Loop {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let frame = self.frame(c)?;
        let Body { steps, stacks, endless } = self.iteration(c, &frame)?;
        let mut changing = BTreeSet::from([frame.counter.clone()]);
        bound(&steps, &mut changing);
        let ran = c.fresh("ran");
        c.program().facts.symbol(ran.clone(), 0, frame.last.map(|n| n + 1));
        let whole = endless && frame.starts;
        c.step(Step::Loop {
            counter: frame.counter,
            trips: frame.trips.unwrap_or_else(|| Index::from(i64::MAX)),
            condition: (!whole).then_some(frame.condition.buffer),
            ran: Some(ran.clone()),
            body: steps,
        });
        let carried = frame.states.len();
        frame.states.into_iter().enumerate().for_each(|(place, state)| c.output(place, state.t));
        for (place, stack) in stacks.into_iter().enumerate() {
            invariant(&stack.shape[1..], &changing, "what a Loop stacks")?;
            let y = if whole {
                stack
            } else {
                let shape = [&[Index::sym(ran.clone())], &stack.shape[1..]].concat();
                c.map(stack.dtype, &shape, |i| stack.raw(i.to_vec()))
            };
            c.output(carried + place, y);
        }
        Ok(())
    }
}

impl Loop {
    fn frame(&self, c: &mut Compute) -> Result<Frame> {
        let states = c.input_count().checked_sub(2 + self.captures);
        let states = states.filter(|n| self.body.outputs().len() > *n);
        let states = states.ok_or_else(|| Error::invalid("the inputs of Loop do not fit its body"))?;
        let limit = c.optional(0).map(|t| c.one(&t, "the number of iterations")).transpose()?;
        let limit = limit.map(|limit| limit.cast(DType::I64));
        let trips = limit.map(|limit| c.value("trips", &limit.like(0.0).max(&limit), None));
        // Exporters give the largest integer for no limit.
        let trips = trips.filter(|n| n.as_const().is_none_or(|n| n < i32::MAX.into()));
        let counter = c.fresh("iteration");
        let last = trips.as_ref().and_then(|n| c.facts().high_number(n)).map(|n| (n - 1).max(0));
        c.program().facts.symbol(counter.clone(), 0, last);
        let initial = (2..2 + states).map(|place| c.input(place)).collect::<Result<Vec<_>>>()?;
        let states = self.states(c, &counter, &initial)?;
        let start = c.optional(1).filter(|t| !is_true(t));
        let starts = start.is_none();
        let condition = match start {
            Some(t) => copy(c, &t),
            None => c.map(DType::Bool, &[], |_| Expr::int(DType::Bool, 1)),
        };
        Ok(Frame { counter, trips, last, condition, starts, states })
    }

    fn iteration(&self, c: &mut Compute, frame: &Frame) -> Result<Body> {
        let Frame { counter, trips, condition, starts, states, .. } = frame;
        let mut stacks = vec![];
        let (steps, endless) = c.nested(|c| {
            let given: Vec<T> = states.iter().map(|state| state.t.clone()).collect();
            let inputs = self.inputs(c, counter, &given)?;
            let results = inline(c, &self.body, &inputs)?;
            let (next, stacked) = results[1..].split_at(states.len());
            for t in stacked {
                let unbounded = || Error::unsupported("a Loop stacks values without a known bound");
                stacks.push(stack(c, t, trips.clone().ok_or_else(unbounded)?, counter));
            }
            let endless = is_true(&results[0]);
            if !(endless && *starts) {
                c.store(condition, &condition.shape, StoreMode::Set, |i| {
                    (i.to_vec(), results[0].raw(vec![Index::zero(); results[0].rank()]))
                });
            }
            advance(c, states, next);
            Ok(endless)
        })?;
        Ok(Body { steps, stacks, endless })
    }

    /// Inputs of the body: the iteration, a condition that holds, the state, and what it captures.
    fn inputs(&self, c: &mut Compute, counter: &Name, states: &[T]) -> Result<Vec<Option<T>>> {
        let number = c.map(DType::I64, &[], |_| Expr::index(Index::sym(counter.clone())));
        let holds = c.constant(Tensor::from_scalars(DType::Bool, vec![], &[Scalar::Int(1)])?);
        let captured = (2 + states.len()..c.input_count()).map(|place| c.optional(place));
        let states = states.iter().cloned().map(Some);
        Ok([Some(number), Some(holds)].into_iter().chain(states).chain(captured).collect())
    }

    /// Buffers for the state, filled with the initial one. An extent that an iteration changes becomes a symbol.
    fn states(&self, c: &mut Compute, counter: &Name, initial: &[T]) -> Result<Vec<State>> {
        let mut changing: Vec<Vec<Option<Name>>> = initial.iter().map(|t| vec![None; t.rank()]).collect();
        loop {
            let shaped = |(t, names): (&T, &Vec<Option<Name>>)| {
                let dims = t.shape.iter().zip(names);
                let shape = dims.map(|(dim, name)| name.clone().map_or_else(|| dim.clone(), Index::sym)).collect();
                T { shape, known: None, ..t.clone() }
            };
            let states: Vec<T> = initial.iter().zip(&changing).map(shaped).collect();
            let (_, results) = c.nested(|c| {
                let inputs = self.inputs(c, counter, &states)?;
                infer(c, &self.body, &inputs)
            })?;
            let mut stable = true;
            for (place, (state, next)) in states.iter().zip(&results[1..]).enumerate() {
                if state.dtype != next.dtype || state.rank() != next.rank() {
                    return Err(Error::unsupported(format!("state {place} of a Loop changes its type or rank")));
                }
                for (changing, (now, next)) in changing[place].iter_mut().zip(state.shape.iter().zip(&next.shape)) {
                    if changing.is_none() && now != next {
                        *changing = Some(c.fresh("extent"));
                        stable = false;
                    }
                }
            }
            if stable {
                return Ok(initial
                    .iter()
                    .zip(states)
                    .zip(changing)
                    .map(|((t, s), names)| begin(c, t, s, names))
                    .collect());
            }
        }
    }
}

fn begin(c: &mut Compute, initial: &T, state: T, changing: Vec<Option<Name>>) -> State {
    for (dim, name) in initial.shape.iter().zip(&changing) {
        if let Some(name) = name {
            c.program().facts.symbol(name.clone(), 0, None);
            c.step(Step::Bind(name.clone(), dim.clone()));
        }
    }
    let t = c.buffer(state.dtype, &state.shape);
    overwrite(c, &t, &T { shape: state.shape, ..initial.clone() });
    State { t, changing }
}

/// Gives the state its next value, all at once: nothing is read after it may have been overwritten.
fn advance(c: &mut Compute, states: &[State], next: &[T]) {
    let mut moves: Vec<(T, Vec<(Name, Index)>)> = Vec::new();
    for (state, next) in states.iter().zip(next) {
        let mut binds = vec![];
        let mut shape = next.shape.clone();
        for (dim, name) in shape.iter_mut().zip(&state.changing) {
            if let Some(name) = name {
                *dim = c.bind("extent", dim.clone(), None);
                binds.push((name.clone(), dim.clone()));
            }
        }
        let is_state = states.iter().any(|other| other.t.buffer == next.buffer);
        let kept = state.t.buffer == next.buffer;
        let moved = if binds.is_empty() && (kept || !is_state) {
            next.clone()
        } else {
            let y = c.map(next.dtype, &shape, |i| next.raw(i.to_vec()));
            c.with_known(y, None)
        };
        moves.push((moved, binds));
    }
    for (_, binds) in &moves {
        binds.iter().for_each(|(name, value)| c.step(Step::Bind(name.clone(), value.clone())));
    }
    for (state, (moved, _)) in states.iter().zip(&moves) {
        if moved.buffer != state.t.buffer {
            overwrite(c, &state.t, &T { shape: state.t.shape.clone(), ..moved.clone() });
        }
    }
}

/// Writes a value to its place on the first axis of a new buffer.
fn stack(c: &mut Compute, t: &T, extent: Index, counter: &Name) -> T {
    let y = c.buffer(t.dtype, &[&[extent], t.shape.as_slice()].concat());
    c.store(&y, &t.shape, StoreMode::Set, |i| ([&[Index::sym(counter.clone())], i].concat(), t.raw(i.to_vec())));
    y
}

fn is_true(t: &T) -> bool {
    matches!(t.known.as_deref(), Some([Known::Index(n)]) if n.is(1))
}
