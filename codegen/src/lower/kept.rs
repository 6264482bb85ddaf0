//! Kept stages: values that later nests read lie in the scratch memory of the task's worker.
//!
//! A kept stage has a buffer of the points of a block of the outer axes, and of its own inner axes; the axis its lanes run
//! along is innermost, so that vectors are written and read whole.

use super::access::Lanes;
use super::{Key, Lowering, Point, Value, offset_key, typed};
use mlc_ir::tile::{Inst, Op, Param, Space, Type};
use mlc_ir::{Index, Name, Result};

impl Lowering<'_> {
    /// The scratch buffers, in the order in which they follow the other parameters.
    pub(super) fn scratch(&self) -> Vec<Param> {
        let param = |&stage: &usize| Param {
            name: format!("kept.{stage}").into(),
            dtype: self.kernel.stages[stage].value.dtype(),
            dims: self.kept_axes(stage).into_iter().map(|axis| axis.1).collect(),
            space: Space::Scratch,
            slack: 0,
            stream: false,
        };
        self.plan.kept.iter().map(param).collect()
    }

    /// What tells the values of a kept stage apart, and how many there are: for outer axes, points of a block.
    fn kept_axes(&self, stage: usize) -> Vec<(Name, Index)> {
        let nest = self.plan.nest_of(stage).start;
        let lanes = |axis: &Name| self.plan.lanes(nest, axis);
        let width = |axis: &Name| i64::from(self.plan.block(nest, axis)) * i64::from(lanes(axis));
        let blocked = self.plan.outer.iter().filter(|axis| width(axis) > 1);
        let mut axes: Vec<(Name, Index)> = blocked.map(|axis| (offset_key(axis), width(axis).into())).collect();
        let own = self.kernel.stages[stage].axes.iter().filter(|axis| !self.plan.outer.contains(axis));
        axes.extend(own.filter_map(|axis| Some((axis.clone(), self.kernel.extent(axis)?.clone()))));
        let vector = |name: &Name| {
            self.kernel.axes.iter().any(|a| lanes(&a.name) > 1 && [&a.name, &offset_key(&a.name)].contains(&name))
        };
        axes.sort_by_key(|(name, _)| vector(name));
        axes
    }

    fn kept_place(&self, stage: usize, point: &Point) -> Option<Lanes> {
        let number = self.plan.kept.iter().position(|kept| *kept == stage)?;
        let axes = self.kept_axes(stage);
        let at = |point: &Point| axes.iter().filter_map(|(name, _)| point.axes.get(name).cloned()).collect();
        Some(self.lanes_at((self.buffers.len() + number) as u32, point, &at))
    }

    /// Writes a stage's value at a point to its place, if it is kept.
    pub(super) fn keep(&mut self, stage: usize, value: &Value, point: &Point) -> Result<()> {
        let Some(place) = self.kept_place(stage, point) else { return Ok(()) };
        let (dtype, lanes) = (value.ty.dtype, point.lanes());
        match place {
            Lanes::Consecutive(to) => {
                let value = self.splat(value.clone(), lanes);
                self.push(Inst::Store { to, value: value.operand, ty: value.ty, first: point.first() });
            }
            Lanes::Same(to) => {
                self.push(Inst::Store { to, value: value.operand.clone(), ty: value.ty, first: None });
            }
            Lanes::Apart(places) => {
                for (lane, to) in places.into_iter().take(usize::from(self.live(point)?)).enumerate() {
                    let lane = self.define(typed(dtype, 1), Op::Lane(value.operand.clone(), lane as u16));
                    self.push(Inst::Store { to, value: lane.operand, ty: lane.ty, first: None });
                }
            }
        }
        Ok(())
    }

    /// The value of a kept stage at a point, from its place; in all lanes of the point. A nest that fills the place computes it.
    pub(super) fn kept_value(&mut self, stage: usize, point: &Point) -> Result<Option<Value>> {
        let Some(place) = self.kept_place(stage, point) else { return Ok(None) };
        let axes = self.kernel.stages[stage].axes.iter().filter_map(|axis| point.axes.get(axis).cloned());
        let key = Key::Kept(stage, axes.collect(), point.lanes());
        if let Some(value) = self.known(&key) {
            return Ok(Some(value));
        }
        let value = match self.plan.filled_by(self.kernel, stage) == Some(self.nest) {
            true => {
                let value = self.eval(&self.kernel.stages[stage].value, point)?;
                self.keep(stage, &value, point)?;
                value
            }
            false => self.load_kept(typed(self.kernel.stages[stage].value.dtype(), point.lanes()), place, point)?,
        };
        self.remember(key, &value);
        Ok(Some(value))
    }

    fn load_kept(&mut self, ty: Type, place: Lanes, point: &Point) -> Result<Value> {
        Ok(match place {
            Lanes::Same(from) if ty.lanes > 1 => self.define(ty, Op::Broadcast(from)),
            Lanes::Same(from) => self.define(ty, Op::Load(from, None)),
            Lanes::Consecutive(from) => self.define(ty, Op::Load(from, point.first())),
            Lanes::Apart(places) => {
                let (scalar, live) = (typed(ty.dtype, 1), usize::from(self.live(point)?));
                let places = places.into_iter().take(live);
                let lanes = places.map(|from| self.define(scalar, Op::Load(from, None)).operand).collect();
                self.pack(ty, lanes)
            }
        })
    }
}
