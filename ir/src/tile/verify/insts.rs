//! Instructions without a body.

use super::bounds::Place;
use super::{Check, Def, Verifier, access_buffer, summary};
use crate::index::Atom;
use crate::tile::{Access, Inst, Lines, LoopKind, Operand, Phase, Ref, Row, Space, Type};
use crate::{DType, Index, Name};

impl Verifier<'_> {
    pub(super) fn inst(&mut self, inst: &Inst, rest: &[Inst]) -> Check {
        match inst {
            Inst::Loop { .. } | Inst::If { .. } => Ok(()),
            Inst::Cell { name, ty, dims, init } => self.cell(name, *ty, dims, init),
            Inst::Set { cell, value } => {
                let ty = self.cell_type(cell)?;
                self.operand(value, ty)
            }
            Inst::Dot { row, cell, a, b } => {
                let row = Row::from_name(row).ok_or_else(|| format!("`{row}` is no row of the matrix table"))?;
                self.same(self.cell_type(cell)?, row.cell)?;
                self.operand(a, row.a)?;
                self.operand(b, row.b)
            }
            Inst::Let { dst, ty, op } => {
                self.op(*ty, op)?;
                let at = self.place(dst)?;
                let home = self.scopes.home(&dst.at)?;
                match self.scopes.any(&dst.name) {
                    Some(Def::Value(other)) if !at.is_empty() => self.same(*ty, *other)?,
                    _ => {}
                }
                self.declare(home, &dst.name, at, Def::Value(*ty))
            }
            Inst::Store { to, value, ty, first } => {
                self.operand(value, *ty)?;
                let place = self.access(to, *ty, first, false)?;
                self.stored(to, place, inst)
            }
            Inst::StoreFragment { to, value, ty, of } => {
                self.operand(value, *ty)?;
                if of.lines == Lines::Same {
                    return Err("lines of a stored fragment are apart".into());
                }
                let place = self.fragment(to, *ty, of)?;
                self.stored(to, place, inst)
            }
            Inst::Copy { to, from, ty, first } => self.copy(to, from, *ty, first),
            Inst::Commit | Inst::Wait(_) => Ok(()),
            Inst::Cursor { name, buffer, offset, advance } => self.cursor(name, *buffer, offset, advance, rest),
        }
    }

    /// Notes a store, whose place is known if it is indexed.
    fn stored(&mut self, to: &Access, place: Option<Place>, inst: &Inst) -> Check {
        let param = self.param(access_buffer(to))?;
        if param.space == Space::Input {
            return Err(format!("input `{}` is not for writing", param.name));
        }
        if let Some(place) = place.filter(|_| param.space == Space::Output) {
            self.write(access_buffer(to), &place, summary(inst));
        }
        Ok(())
    }

    fn copy(&mut self, to: &Access, from: &Access, ty: Type, first: &Option<Index>) -> Check {
        if !matches!(ty.bytes(), 4 | 8 | 16) || ty.dtype == DType::Bool {
            return Err(format!("a copy is of numbers, of 4, 8 or 16 bytes, and {ty} is not"));
        }
        let (into, source) = (self.param(access_buffer(to))?, self.param(access_buffer(from))?);
        if (into.space, source.space) != (Space::Scratch, Space::Input) {
            return Err("a copy is from an input to scratch memory".into());
        }
        self.access(to, ty, &None, false)?;
        self.access(from, ty, first, false).map(|_| ())
    }

    fn cell(&mut self, name: &Name, ty: Type, dims: &[u32], init: &Operand) -> Check {
        self.computable(ty)?;
        self.operand(init, ty)?;
        if !dims.is_empty() && self.tile.phase == Phase::Linear {
            return Err("a bundle is left in the linear phase".into());
        }
        let mut places = vec![Vec::new()];
        for dim in dims {
            if *dim == 0 || places.len() * *dim as usize > 4096 {
                return Err("a bundle has 1 to 4096 cells".into());
            }
            let extended = |place: Vec<i64>| (0..i64::from(*dim)).map(move |n| [place.as_slice(), &[n]].concat());
            places = places.into_iter().flat_map(extended).collect();
        }
        let here = self.scopes.here();
        places.into_iter().try_for_each(|at| self.declare(here, name, at, Def::Cell(ty)))
    }

    fn cursor(
        &mut self,
        name: &Name,
        buffer: u32,
        offset: &Index,
        advance: &Option<(Name, Index)>,
        rest: &[Inst],
    ) -> Check {
        if self.tile.phase == Phase::Indexed {
            return Err("a cursor in the indexed phase".into());
        }
        self.param(buffer)?;
        self.index(offset)?;
        if let Some((over, by)) = advance {
            self.index(by)?;
            let advances = |inst: &Inst| matches!(inst, Inst::Loop { kind: LoopKind::Serial, var, .. } if var == over);
            if !rest.iter().any(advances) {
                return Err(format!("no serial loop over %{over} follows in the same body"));
            }
        }
        self.declare(self.scopes.here(), name, Vec::new(), Def::Cursor(buffer))
    }

    /// The numbers of a place in a bundle.
    pub(super) fn place(&self, value: &Ref) -> Check<Vec<i64>> {
        if !value.at.is_empty() && self.tile.phase == Phase::Linear {
            return Err("a bundle is left in the linear phase".into());
        }
        let number = |e: &Index| {
            let number = e.replace(&|atom| match atom {
                Atom::Var(name) => self.unrolled_value(name).map(Index::from),
                _ => None,
            });
            number.as_const().ok_or_else(|| format!("place {e} of {value} is not over unrolled variables alone"))
        };
        value.at.iter().map(number).collect()
    }
}
