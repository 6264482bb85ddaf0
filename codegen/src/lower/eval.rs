//! Scalar expressions at a point become values of a tile.

use super::access::Lanes;
use super::{Key, Lowering, Point, Value, typed};
use mlc_ir::program::{Expr, ExprKind};
use mlc_ir::tile::{Access, Inst, Op, Operand, Ref, Type};
use mlc_ir::{DType, Error, Index, Name, Result, Scalar};
use std::collections::BTreeSet;

impl Lowering<'_> {
    /// The value of an expression at a point, with as many lanes as the point.
    pub(super) fn eval(&mut self, expr: &Expr, point: &Point) -> Result<Value> {
        let ty = typed(expr.dtype(), point.lanes());
        if let Some(value) = self.near_value(expr, point) {
            return Ok(value);
        }
        match expr.kind() {
            ExprKind::Const(value) => return Ok(Value { operand: constant(*value), ty }),
            ExprKind::Stage(stage) => return self.stage_value(*stage, point),
            ExprKind::Load { buffer, index } => return self.load(expr.dtype(), *buffer, index, point),
            _ => {}
        }
        let key = Key::Expr(expr.id(), self.axes_at(expr, point), point.lanes());
        if let Some(value) = self.known(&key) {
            return Ok(value);
        }
        let value = self.compute(expr, ty, point)?;
        self.remember(key, &value);
        Ok(value)
    }

    /// The values of the axes an expression mentions; two points where they are equal give it the same value.
    fn axes_at(&self, expr: &Expr, point: &Point) -> Vec<Index> {
        self.axes_of(expr).iter().filter_map(|axis| point.axes.get(axis).cloned()).collect()
    }

    /// The axes an expression depends on.
    pub(super) fn axes_of(&self, expr: &Expr) -> BTreeSet<Name> {
        let mut axes = BTreeSet::new();
        expr.visit(&mut |e| {
            if let ExprKind::Stage(stage) = e.kind() {
                axes.extend(self.kernel.stages[*stage].axes.iter().cloned());
            }
            e.visit_indices(&mut |index| axes.extend(index.vars()));
        });
        axes
    }

    fn compute(&mut self, expr: &Expr, ty: Type, point: &Point) -> Result<Value> {
        let op = match expr.kind() {
            ExprKind::Guard { all, then, otherwise } => {
                let uniform = all.iter().all(|test| self.uniform_test(test, point));
                if !uniform {
                    return self.by_lane(expr, point);
                }
                let tests = self.tests_at(all, &point.lane(0));
                if tests.is_empty() {
                    return self.eval(then, point);
                }
                let cell = self.cell(ty, constant(*otherwise));
                self.only_if(tests, |this| {
                    let value = this.eval(then, point)?.operand;
                    this.push(Inst::Set { cell: cell.clone(), value });
                    Ok(())
                })?;
                return Ok(Value { operand: Operand::Ref(cell), ty });
            }
            ExprKind::Index(index) if self.uniform(index, point) => {
                let index = self.index_at(index, &point.lane(0));
                let scalar = self.define(typed(ty.dtype, 1), Op::Index(index));
                return Ok(self.splat(scalar, ty.lanes));
            }
            ExprKind::Index(_) => return self.by_lane(expr, point),
            // 64 bits do not fit a lane; what they are converted to does.
            ExprKind::Cast(a)
                if point.lanes() > 1 && matches!(a.kind(), ExprKind::Index(i) if self.uniform(i, point)) =>
            {
                let scalar = self.eval(expr, &point.lane(0))?;
                return Ok(self.splat(scalar, ty.lanes));
            }
            ExprKind::Unary(f, a) => Op::Unary(*f, self.eval(a, point)?.operand),
            ExprKind::Binary(f, a, b) => {
                let (a, b) = (self.eval(a, point)?, self.eval(b, point)?);
                Op::Binary(*f, a.operand, b.operand)
            }
            ExprKind::Compare(f, a, b) => {
                let (a, b) = (self.eval(a, point)?, self.eval(b, point)?);
                Op::Compare(*f, a.ty, a.operand, b.operand)
            }
            ExprKind::Select(c, a, b) => {
                let c = self.eval(c, point)?.operand;
                Op::Select(c, self.eval(a, point)?.operand, self.eval(b, point)?.operand)
            }
            ExprKind::Cast(a) => {
                let a = self.eval(a, point)?;
                Op::Convert(a.ty, a.operand)
            }
            ExprKind::Bitcast(a) => {
                let a = self.eval(a, point)?;
                Op::Bitcast(a.ty, a.operand)
            }
            ExprKind::Math(f, operands) => {
                let operands: Result<Vec<Operand>> =
                    operands.iter().map(|e| Ok(self.eval(e, point)?.operand)).collect();
                Op::Math(*f, operands?)
            }
            ExprKind::Const(_) | ExprKind::Stage(_) | ExprKind::Load { .. } => {
                return Err(Error::internal("a leaf is evaluated by itself"));
            }
        };
        Ok(self.define(ty, op))
    }

    /// Evaluates each lane by itself and puts them together.
    fn by_lane(&mut self, expr: &Expr, point: &Point) -> Result<Value> {
        let live = 0..self.live(point)?;
        let values: Vec<Operand> =
            live.map(|lane| Ok(self.eval(expr, &point.lane(lane))?.operand)).collect::<Result<_>>()?;
        Ok(self.pack(typed(expr.dtype(), point.lanes()), values))
    }

    /// A scalar in all lanes.
    pub(super) fn splat(&mut self, value: Value, lanes: u16) -> Value {
        if value.ty.lanes == lanes {
            return value;
        }
        let ty = typed(value.ty.dtype, lanes);
        let Operand::Ref(Ref { name, .. }) = &value.operand else { return Value { operand: value.operand, ty } };
        let key = Key::Splat(name.clone(), lanes);
        if let Some(known) = self.known(&key) {
            return known;
        }
        let splat = self.define(ty, Op::Splat(value.operand));
        self.remember(key, &splat);
        splat
    }

    fn load(&mut self, dtype: DType, buffer: u32, index: &[Index], point: &Point) -> Result<Value> {
        let (lanes, ty) = (point.lanes(), typed(dtype, point.lanes()));
        let place = self.place(buffer, index, point)?;
        // What this kernel writes may change between two loads.
        let stable = !self.writes.contains(&buffer);
        let access = match &place {
            Lanes::Same(access) | Lanes::Consecutive(access) => access,
            Lanes::Apart(places) => return self.load_apart(ty, &places[..usize::from(self.live(point)?)], stable),
        };
        let Access::Indexed { buffer: param, index } = access else {
            return Err(Error::internal("lowering makes indexed accesses"));
        };
        let consecutive = matches!(place, Lanes::Consecutive(_));
        let first = if consecutive { point.first() } else { None };
        let key = Key::Load(*param, index.clone(), lanes, consecutive, first.clone());
        if let Some(value) = self.known(&key).filter(|_| stable) {
            return Ok(value);
        }
        let op = match consecutive || lanes == 1 {
            true => Op::Load(access.clone(), first),
            false => Op::Broadcast(access.clone()),
        };
        let value = self.define(ty, op);
        if stable {
            self.remember(key, &value);
        }
        Ok(value)
    }

    fn load_apart(&mut self, ty: Type, places: &[Access], stable: bool) -> Result<Value> {
        let mut scalars = Vec::with_capacity(places.len());
        for access in places {
            let Access::Indexed { buffer, index } = access else { continue };
            let key = Key::Load(*buffer, index.clone(), 1, true, None);
            let known = self.known(&key).filter(|_| stable);
            let value = known.unwrap_or_else(|| self.define(typed(ty.dtype, 1), Op::Load(access.clone(), None)));
            if stable {
                self.remember(key, &value);
            }
            scalars.push(value.operand);
        }
        Ok(self.pack(ty, scalars))
    }

    /// A vector of its first lanes; the others are 0.
    pub(super) fn pack(&mut self, ty: Type, mut scalars: Vec<Operand>) -> Value {
        let zero = if ty.dtype.is_float() { Operand::Float(0.0) } else { Operand::Int(0) };
        scalars.resize(usize::from(ty.lanes), zero);
        self.define(ty, Op::Pack(scalars))
    }

    /// The lanes of a point that are computed one by one.
    pub(super) fn live(&self, point: &Point) -> Result<u16> {
        point.live().ok_or_else(|| Error::internal("an unknown number of lanes lie apart"))
    }

    /// The key under which a stage's value at a point is remembered.
    pub(super) fn stage_key(&self, stage: usize, point: &Point) -> Key {
        let axes = self.kernel.stages[stage].axes.iter().filter_map(|axis| point.axes.get(axis).cloned());
        let along = |v: &(Name, u16)| self.kernel.stages[stage].axes.contains(&v.0);
        Key::Stage(stage, axes.collect(), point.vector.as_ref().filter(|v| along(v)).map_or(1, |v| v.1))
    }

    fn stage_value(&mut self, stage: usize, point: &Point) -> Result<Value> {
        let key = self.stage_key(stage, point);
        if let Some(value) = self.known(&key) {
            return Ok(self.splat(value, point.lanes()));
        }
        if let Some(value) = self.kept_value(stage, point)? {
            return Ok(value);
        }
        let definition = &self.kernel.stages[stage];
        if definition.reduce.is_none() && definition.axes.iter().all(|axis| point.axes.contains_key(axis)) {
            // A map along an inner axis is computed again where it is read.
            let expr = definition.value.clone();
            return self.eval(&expr, point);
        }
        Err(Error::internal(format!("stage {stage} of kernel `{}` is read outside its nest", self.kernel.name)))
    }

    /// Evaluates, in the current body, what an expression computes from axes other than the given ones.
    pub(super) fn hoist(&mut self, expr: &Expr, inside: &[Name], points: &[Point]) -> Result<()> {
        let axes = self.axes_of(expr);
        if matches!(expr.kind(), ExprKind::Const(_)) {
            return Ok(());
        }
        let outside = inside.iter().all(|axis| !axes.contains(axis));
        if outside && !self.reads_written(expr) {
            for point in points {
                let value = self.eval(expr, point)?;
                if let ExprKind::Stage(_) = expr.kind() {
                    self.splat(value, point.lanes());
                }
            }
            return Ok(());
        }
        if matches!(expr.kind(), ExprKind::Guard { .. }) {
            return Ok(());
        }
        expr.operands().into_iter().try_for_each(|operand| self.hoist(operand, inside, points))
    }

    fn reads_written(&self, expr: &Expr) -> bool {
        let mut found = false;
        expr.visit(&mut |e| {
            if let ExprKind::Load { buffer, .. } = e.kind() {
                found |= self.writes.contains(buffer);
            }
        });
        found
    }
}

/// A number as an operand.
pub(super) fn constant(value: Scalar) -> Operand {
    match value {
        Scalar::Float(x) => Operand::Float(x),
        Scalar::Int(n) => Operand::Int(n),
    }
}
