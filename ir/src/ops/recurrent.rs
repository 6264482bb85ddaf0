use super::OpDef;
use super::named_activation::Activation;
use super::recurrent_quantized::Weights;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::{Expr, StoreMode};
use crate::tile::Monoid;
use crate::{Error, Index, Result};

/// Recurrent layers (ONNX `RNN`, `GRU`, `LSTM`), forward, reverse or both.
///
/// `x * W` of all steps is one product; then a loop over time computes `h * R` and the gates. The gates of a GRU are
/// z r h, of an LSTM i o f c with peepholes in the order i o f, of which o sees the new cell. `clip` bounds what an activation
/// is given. Where `sequence_lens` ends, the result is 0 and the state stays; reverse begins at the last valid
/// step. `layout` 1 puts the batch first. `linear_before_reset` multiplies `r` with the product, not with `h`.
///
/// ONNX Runtime's `DynamicQuantizeLSTM` has weights in 8 bits, transposed, with scales and zero points behind the other
/// inputs; `x` as a whole and `h` of each step are quantized as `DynamicQuantizeLinear` does.
#[derive(Debug)]
pub struct Recurrent {
    pub(super) kind: Kind,
    directions: Vec<Direction>,
    batch_first: bool,
    clip: Option<f64>,
    pub(super) input_forget: bool,
    pub(super) linear_before_reset: bool,
    /// Whether weights are in 8 bits.
    quantized: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Rnn,
    Gru,
    Lstm,
}

/// One pass over time, and the activations of its cell.
#[derive(Debug)]
struct Direction {
    reverse: bool,
    activations: Vec<Activation>,
}

impl Kind {
    pub(super) fn gates(self) -> i64 {
        match self {
            Kind::Rnn => 1,
            Kind::Gru => 3,
            Kind::Lstm => 4,
        }
    }

    fn activations(self) -> &'static [&'static str] {
        match self {
            Kind::Rnn => &["Tanh"],
            Kind::Gru => &["Sigmoid", "Tanh"],
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

impl Recurrent {
    pub(super) fn parse(node: &OnnxNode) -> Result<Recurrent> {
        let kind = match node.op_type.as_str() {
            "RNN" => Kind::Rnn,
            "GRU" => Kind::Gru,
            _ => Kind::Lstm,
        };
        let reverse: &[bool] = match node.string("direction", "forward")?.as_str() {
            "reverse" => &[true],
            "bidirectional" => &[false, true],
            // The default of GRU-1 is misspelt.
            "forward" | "foward" => &[false],
            other => return Err(Error::invalid(format!("attribute `direction` is `{other}`"))),
        };
        let own = kind.activations();
        let names = match node.strings("activations")?.filter(|names| !names.is_empty()) {
            Some(names) => names,
            None => own.iter().cycle().take(own.len() * reverse.len()).map(|name| name.to_string()).collect(),
        };
        if names.len() != own.len() * reverse.len() {
            return Err(Error::invalid(format!("{} activations, not {}", names.len(), own.len() * reverse.len())));
        }
        let alphas = node.floats("activation_alpha")?.unwrap_or_default();
        let betas = node.floats("activation_beta")?.unwrap_or_default();
        let mut functions = Activation::list(&names, &alphas, &betas)?.into_iter();
        let mut direction =
            |&reverse: &bool| Direction { reverse, activations: functions.by_ref().take(own.len()).collect() };
        Ok(Recurrent {
            kind,
            directions: reverse.iter().map(&mut direction).collect(),
            batch_first: node.flag("layout", false)?,
            clip: node.optional_float("clip")?.filter(|&clip| clip > 0.0).map(f64::from),
            input_forget: node.flag("input_forget", false)?,
            linear_before_reset: node.flag("linear_before_reset", false)?,
            quantized: node.op_type == "DynamicQuantizeLSTM",
        })
    }

    /// The batch axis first, or as it is.
    fn turned(&self, c: &mut Compute, t: T, perm: &[usize]) -> T {
        if self.batch_first && t.rank() == perm.len() { c.transpose(&t, perm) } else { t }
    }

    fn operands(&self, c: &mut Compute) -> Result<Operands> {
        let (x, mut w, mut r) = (c.input(0)?, c.input(1)?, c.input(2)?);
        if x.rank() != 3 || w.rank() != 3 || r.rank() != 3 {
            return Err(Error::invalid("the input and weights of a recurrent layer have rank 3"));
        }
        let x = self.turned(c, x, &[1, 0, 2]);
        if self.quantized {
            (w, r) = (c.transpose(&w, &[0, 2, 1]), c.transpose(&r, &[0, 2, 1]));
        }
        let (hidden, directions) = (r.shape[2].clone(), Index::from(self.directions.len() as i64));
        let rows = hidden.clone() * self.kind.gates();
        let batch = x.shape[1].clone();
        c.demand(&w, "W", &[directions.clone(), rows.clone(), x.shape[2].clone()])?;
        c.demand(&r, "R", &[directions.clone(), rows.clone(), hidden.clone()])?;
        let quantized = match self.quantized {
            true => Some([Weights::new(c, w.clone(), 8)?, Weights::new(c, r.clone(), 10)?]),
            false => None,
        };
        let state = [directions.clone(), batch.clone(), hidden.clone()];
        let optional = |c: &mut Compute, place: usize, what: &str, shape: &[Index], turn: bool| {
            let Some(t) = c.optional(place) else { return Ok(None) };
            let t = if turn { self.turned(c, t, &[1, 0, 2]) } else { t };
            c.demand(&t, what, shape)?;
            Ok::<_, Error>(Some(t))
        };
        Ok(Operands {
            bias: optional(c, 3, "B", &[directions.clone(), rows * 2], false)?,
            lengths: optional(c, 4, "sequence_lens", std::slice::from_ref(&batch), false)?,
            first_hidden: optional(c, 5, "initial_h", &state, true)?,
            first_cell: optional(c, 6, "initial_c", &state, true)?,
            peepholes: optional(c, 7, "P", &[directions, hidden.clone() * 3], false)?,
            hidden,
            x,
            w,
            r,
            quantized,
        })
    }
}

struct Operands {
    x: T,
    w: T,
    r: T,
    bias: Option<T>,
    lengths: Option<T>,
    first_hidden: Option<T>,
    first_cell: Option<T>,
    peepholes: Option<T>,
    hidden: Index,
    /// Of `w` and `r`.
    quantized: Option<[Weights; 2]>,
}

/// One step of one direction.
pub(super) struct Cell<'a> {
    pub op: &'a Recurrent,
    activations: &'a [Activation],
    pub direction: Index,
    time: Index,
    /// `x * W` and biases, `[T, B, D, gates * H]`.
    projected: &'a T,
    pub r: &'a T,
    pub quantized: Option<&'a Weights>,
    pub bias: Option<&'a T>,
    lengths: Option<&'a T>,
    peepholes: Option<&'a T>,
    /// Both `[D, B, H]`.
    pub hidden: &'a T,
    pub cell: &'a T,
}

impl OpDef for Recurrent {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let o = self.operands(c)?;
        let (time, batch) = (o.x.shape[0].clone(), o.x.shape[1].clone());
        let directions = Index::from(self.directions.len() as i64);
        let projected = self.project(c, &o);
        let state = [directions.clone(), batch.clone(), o.hidden.clone()];
        let start = |c: &mut Compute, first: &Option<T>| {
            let t = c.buffer(o.x.dtype, &state);
            c.store(&t, &state, StoreMode::Set, |i| {
                let zero = Expr::float(compute_type(o.x.dtype), 0.0);
                (i.to_vec(), first.as_ref().map_or(zero, |first| first.at(i.to_vec())))
            });
            t
        };
        let hidden = start(c, &o.first_hidden);
        let cell = if self.kind == Kind::Lstm { start(c, &o.first_cell) } else { hidden.clone() };
        let y = c.buffer(o.x.dtype, &[time.clone(), directions, batch.clone(), o.hidden.clone()]);
        for (d, direction) in self.directions.iter().enumerate() {
            c.repeat(&time, |c, step| {
                let at = if direction.reverse { time.clone() - 1 - step.clone() } else { step.clone() };
                let step = Cell {
                    op: self,
                    activations: &direction.activations,
                    direction: Index::from(d as i64),
                    time: at.clone(),
                    projected: &projected,
                    r: &o.r,
                    quantized: o.quantized.as_ref().map(|weights| &weights[1]),
                    bias: o.bias.as_ref(),
                    lengths: o.lengths.as_ref(),
                    peepholes: o.peepholes.as_ref(),
                    hidden: &hidden,
                    cell: &cell,
                };
                step.build(c);
                c.store(&y, &state[1..], StoreMode::Set, |i| {
                    let h = step.old(&hidden, i);
                    let out = step.valid(i).map_or(h.clone(), |valid| valid.select(&h, &h.like(0.0)));
                    (vec![at, Index::from(d as i64), i[0].clone(), i[1].clone()], out)
                });
                Ok(())
            })?;
        }
        let y = self.turned(c, y, &[2, 0, 1, 3]);
        let hidden = self.turned(c, hidden, &[1, 0, 2]);
        c.output(0, y);
        c.output(1, hidden);
        if self.kind == Kind::Lstm {
            let cell = self.turned(c, cell, &[1, 0, 2]);
            c.output(2, cell);
        }
        Ok(())
    }
}

impl Recurrent {
    /// `x * W` of all steps, with all biases that are added outside of the loop.
    fn project(&self, c: &mut Compute, o: &Operands) -> T {
        let rows = o.w.shape[1].clone();
        let shape = [o.x.shape[0].clone(), o.x.shape[1].clone(), o.w.shape[0].clone(), rows.clone()];
        let wide = compute_type(o.x.dtype);
        let product = match &o.quantized {
            Some([weights, _]) => weights.product(c, &o.x, &shape, &|i| (i[..2].to_vec(), i[2].clone(), i[3].clone())),
            None => c.reduce(Monoid::Sum, wide, &shape, &[o.x.shape[2].clone()], |i, r| {
                let x = o.x.at(vec![i[0].clone(), i[1].clone(), r[0].clone()]);
                x * o.w.at(vec![i[2].clone(), i[3].clone(), r[0].clone()])
            }),
        };
        let Some(bias) = &o.bias else { return product };
        // The bias of the recurrent product of a GRU's last gate may be multiplied by `r`.
        let inside = self.kind == Kind::Gru && self.linear_before_reset;
        c.map(wide, &shape, |i| {
            let at = |row: Index| bias.at(vec![i[2].clone(), row]);
            let sum = product.at(i.to_vec()) + at(i[3].clone());
            let both = &sum + at(i[3].clone() + rows.clone());
            let last = Expr::index(o.hidden.clone() * 2).le(&Expr::index(i[3].clone()));
            if inside { last.select(&sum, &both) } else { both }
        })
    }
}

impl Cell<'_> {
    pub(super) fn extent(&self) -> Index {
        self.r.shape[2].clone()
    }

    /// Where `i = [b, h]` is in a state.
    pub(super) fn old(&self, state: &T, i: &[Index]) -> Expr {
        state.at(vec![self.direction.clone(), i[0].clone(), i[1].clone()])
    }

    /// `x * W` of gate `gate` at `[b, h]`.
    pub(super) fn input(&self, gate: i64, i: &[Index]) -> Expr {
        let row = self.extent() * gate + i[1].clone();
        self.projected.at(vec![self.time.clone(), i[0].clone(), self.direction.clone(), row])
    }

    /// `peephole * state` of gate `gate`, in the order i o f.
    pub(super) fn peephole(&self, gate: i64, i: &[Index], state: &Expr) -> Expr {
        let Some(p) = self.peepholes else { return state.like(0.0) };
        p.at(vec![self.direction.clone(), self.extent() * gate + i[1].clone()]) * state
    }

    /// Whether the step is within the sequence, if sequences have lengths.
    fn valid(&self, i: &[Index]) -> Option<Expr> {
        let lengths = self.lengths?;
        let length = lengths.at(vec![i[0].clone()]).cast(crate::DType::I64);
        Some(Expr::index(self.time.clone()).lt(&length))
    }

    /// Activation `which` of an operand.
    pub(super) fn activate(&self, which: usize, x: &Expr) -> Expr {
        let clipped = match self.op.clip {
            Some(clip) => x.max(&x.like(-clip)).min(&x.like(clip)),
            None => x.clone(),
        };
        self.activations[which].of(&clipped)
    }

    /// Activation of an LSTM's new cell, which is not clipped.
    pub(super) fn activate_state(&self, x: &Expr) -> Expr {
        self.activations[2].of(x)
    }

    /// Gives a state its new value where the step is valid.
    pub(super) fn update(&self, c: &mut Compute, state: &T, new: impl FnOnce(&[Index]) -> Expr) {
        c.store(state, &state.shape[1..], StoreMode::Set, |i| {
            let value = new(i);
            let kept = self.valid(i).map_or(value.clone(), |valid| valid.select(&value, &self.old(state, i)));
            (vec![self.direction.clone(), i[0].clone(), i[1].clone()], kept)
        });
    }
}
