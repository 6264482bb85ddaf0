//! Proves that indices are in bounds.

use super::{Check, Def, Verifier, access_buffer};
use crate::Index;
use crate::index::Atom;
use crate::tile::{Access, Fragment, Lines, Param, Phase, Space, Type};

/// Where an access goes, over variables that begin at 0 and advance by 1.
pub(super) struct Place {
    /// One for each dim.
    pub index: Vec<Index>,
    /// Lanes along the last dim.
    pub lanes: Index,
    /// A dim along which there are several lines of these, and how many.
    pub lines: Option<(usize, Index)>,
    /// If present, only so many lanes.
    pub first: Option<Index>,
}

impl Place {
    /// How many elements are touched along a dim that is not the last.
    pub fn along(&self, axis: usize) -> Index {
        self.lines.as_ref().filter(|lines| lines.0 == axis).map_or(Index::from(1), |lines| lines.1.clone())
    }
}

impl Verifier<'_> {
    /// An expression over declared variables and symbols, with variables replaced by what is known of them.
    pub(super) fn index(&self, e: &Index) -> Check<Index> {
        let mut wrong = None;
        e.visit(&mut |atom| {
            let found = match atom {
                Atom::Var(name) if !matches!(self.scopes.get(name, &[]), Some(Def::Var(_))) => {
                    Err(format!("variable %{name} is not declared here"))
                }
                Atom::Sym(name) if !self.tile.symbols.contains(name) => Err(format!("symbol `{name}` is not declared")),
                Atom::At(buffer, index) => self.lookup(*buffer, index.len()),
                _ => Ok(()),
            };
            wrong = wrong.take().or(found.err());
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let value = e.rebuild(&self.facts, &|atom| match atom {
            Atom::Var(name) => match self.scopes.get(name, &[]) {
                Some(Def::Var(value)) => Some(value.clone()),
                _ => None,
            },
            _ => None,
        });
        self.lookups_in_bounds(&value)?;
        Ok(value)
    }

    fn lookup(&self, buffer: u32, indices: usize) -> Check {
        let param = self.param(buffer)?;
        if param.space != Space::Input || !param.dtype.is_int() {
            return Err(format!("a lookup in @{buffer}, which is no input of integers"));
        }
        count(param, indices)
    }

    fn lookups_in_bounds(&self, e: &Index) -> Check {
        let mut lookups = Vec::new();
        if self.proving {
            e.visit(&mut |atom| {
                if let Atom::At(buffer, index) = atom {
                    lookups.push((*buffer, index.clone()));
                }
            });
        }
        for (buffer, index) in lookups {
            for (i, dim) in index.iter().zip(&self.param(buffer)?.dims) {
                self.prove(i.clone(), || format!("0 <= {i} in a lookup"))?;
                self.prove(dim.clone() - i.clone() - 1, || format!("{i} < {dim} in a lookup"))?;
            }
        }
        Ok(())
    }

    /// Checks an access of a type; returns the place if it is indexed.
    pub(super) fn access(
        &mut self,
        access: &Access,
        ty: Type,
        first: &Option<Index>,
        load: bool,
    ) -> Check<Option<Place>> {
        self.lanes(ty)?;
        let param = self.param(access_buffer(access))?;
        if param.dtype != ty.dtype {
            return Err(format!("`{}` holds {}, not {}", param.name, param.dtype, ty.dtype));
        }
        let first = first.as_ref().map(|first| self.index(first)).transpose()?;
        match access {
            Access::Indexed { index, .. } => {
                if self.tile.phase == Phase::Linear {
                    return Err("an indexed access in the linear phase".into());
                }
                count(param, index.len())?;
                if index.is_empty() && ty.lanes > 1 {
                    return Err(format!("`{}` has no dimension for {} lanes to lie along", param.name, ty.lanes));
                }
                let index = index.iter().map(|e| self.index(e)).collect::<Check<Vec<_>>>()?;
                let place = Place { index, lanes: Index::from(i64::from(ty.lanes)), lines: None, first };
                if self.proving {
                    self.in_bounds(param, &place, load)?;
                }
                Ok(Some(place))
            }
            Access::Linear { cursor, buffer, .. } => match self.scopes.get(cursor, &[]) {
                Some(Def::Cursor(of)) if of == buffer => Ok(None),
                Some(Def::Cursor(of)) => Err(format!("cursor %{cursor} is of @{of}")),
                _ => Err(format!("cursor %{cursor} is not declared here")),
            },
        }
    }

    /// Checks the access of a fragment of a type; returns the place if it is indexed.
    pub(super) fn fragment(&mut self, access: &Access, ty: Type, of: &Fragment) -> Check<Option<Place>> {
        let Some((count, length)) = of.lines() else {
            return Err(format!("`{}` is no row of matrices", of.row));
        };
        if !of.takes(ty) {
            return Err(format!("a matrix {} of `{}` is no {ty}", of.role.name(), of.row));
        }
        let line = Type { lanes: length, ..ty };
        match &of.lines {
            Lines::Apart(_) if self.tile.phase == Phase::Indexed => Err("a distance in the indexed phase".into()),
            Lines::Apart(bytes) => {
                self.index(bytes)?;
                self.access(access, line, &None, false)
            }
            _ if self.tile.phase == Phase::Linear => Err("lines without a distance in the linear phase".into()),
            Lines::Same => self.access(access, line, &None, false),
            Lines::Along(dim) => {
                let place = self.access(access, line, &None, false)?;
                let dim = *dim as usize;
                let Some(place) = place.filter(|place| dim + 1 < place.index.len()) else {
                    return Err(format!("lines along dimension {dim}, which is no outer one"));
                };
                let place = Place { lines: Some((dim, Index::from(i64::from(count)))), ..place };
                if self.proving {
                    self.in_bounds(self.param(access_buffer(access))?, &place, false)?;
                }
                Ok(Some(place))
            }
        }
    }

    fn in_bounds(&self, param: &Param, place: &Place, load: bool) -> Check {
        let last = place.index.len().saturating_sub(1);
        for (axis, (e, dim)) in place.index.iter().zip(&param.dims).enumerate() {
            self.prove(e.clone(), || format!("0 <= {e}"))?;
            if axis < last {
                let count = place.along(axis);
                let need = || if count.is(1) { format!("{e} < {dim}") } else { format!("{e} + {count} <= {dim}") };
                self.prove(dim.clone() - e.clone() - count.clone(), need)?;
                continue;
            }
            let slack = if load { i64::from(param.slack) / param.dtype.bytes() as i64 } else { 0 };
            let room = dim.clone() - e.clone() + slack;
            let Some(first) = &place.first else {
                let lanes = &place.lanes;
                return self.prove(room - lanes.clone(), || format!("{e} + {lanes} <= {}", dim.clone() + slack));
            };
            // Fewer lanes need less room: either bound is enough, the weaker one is tried first.
            if self.facts.proves(&(room.clone() - first.clone())) {
                return Ok(());
            }
            let needed = place.lanes.lesser(first);
            let need = || format!("{e} + {needed} <= {}", dim.clone() + slack);
            return self.prove(room - place.lanes.clone(), need);
        }
        Ok(())
    }

    fn prove(&self, e: Index, inequality: impl Fn() -> String) -> Check {
        if self.facts.proves(&e) {
            return Ok(());
        }
        let vars = e.vars().into_iter().filter_map(|name| {
            let (low, high) = self.facts.var_range(&name)?;
            Some(format!("{low} <= %{name} <= {high}"))
        });
        let known = vars.collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { known } else { format!(" from {known}") };
        Err(format!("cannot prove {}{known}", inequality()))
    }
}

fn count(param: &Param, indices: usize) -> Check {
    if indices == param.dims.len() {
        return Ok(());
    }
    Err(format!("{indices} indices for the {} dimensions of `{}`", param.dims.len(), param.name))
}
