//! Proves that indices are in bounds.

use super::{Check, Def, Verifier, access_buffer};
use crate::Index;
use crate::index::Atom;
use crate::tile::{Access, Param, Space, Type};

/// Where an access goes, over variables that begin at 0 and advance by 1.
pub(super) struct Place {
    /// One for each dim.
    pub index: Vec<Index>,
    /// Lanes along the last dim.
    pub lanes: Index,
    /// If present, only so many lanes.
    pub first: Option<Index>,
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
                if self.tile.phase == crate::tile::Phase::Linear {
                    return Err("an indexed access in the linear phase".into());
                }
                count(param, index.len())?;
                if index.is_empty() && ty.lanes > 1 {
                    return Err(format!("`{}` has no dimension for {} lanes to lie along", param.name, ty.lanes));
                }
                let index = index.iter().map(|e| self.index(e)).collect::<Check<Vec<_>>>()?;
                let place = Place { index, lanes: Index::from(i64::from(ty.lanes)), first };
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

    fn in_bounds(&self, param: &Param, place: &Place, load: bool) -> Check {
        let last = place.index.len().saturating_sub(1);
        for (axis, (e, dim)) in place.index.iter().zip(&param.dims).enumerate() {
            self.prove(e.clone(), || format!("0 <= {e}"))?;
            if axis < last {
                self.prove(dim.clone() - e.clone() - 1, || format!("{e} < {dim}"))?;
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
