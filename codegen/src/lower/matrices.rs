//! The part of a product by panels that warps compute by matrices.
//!
//! A task's rows, all axes of them as one, and its columns are cut into fragments; each warp has a rectangle of these. Sums
//! leave a warp's registers by way of scratch memory, a fragment of each warp's rows at a time, so that members store whole
//! pieces of memory, and what becomes of a sum is written once, in a loop.

use super::by_panels::Product;
use super::panels::Panel;
use super::team::Side;
use super::{Lowering, Point, typed};
use mlc_ir::target::WARP;
use mlc_ir::tile::{Access, Fragment, InRange, Inst, Lines, Op, Operand, Ref, Role, Row, Shape, Type};
use mlc_ir::{Error, Index, Name, Result};

/// How warps share a task's block.
pub(super) struct Matrices {
    name: Name,
    row: Row,
    shape: Shape,
    /// Warps along rows and columns.
    down: i64,
    across: i64,
    /// Fragments of each, along rows and columns.
    high: i64,
    wide: i64,
}

impl Matrices {
    /// By the step of a plan; `None` if it has none.
    pub fn new(step: Option<&(Name, u32, u32)>, sides: &[Side]) -> Result<Option<Matrices>> {
        let Some((name, down, across)) = step else { return Ok(None) };
        let row = Row::from_name(name);
        let Some((row, shape)) = row.and_then(|row| Some((row, row.shape()?))) else {
            return Err(Error::internal(format!("`{name}` is no row of matrices")));
        };
        let Some((columns, rows)) = sides.split_last() else { return Err(Error::internal("matrices of no axes")) };
        let (down, across) = (i64::from(*down), i64::from(*across));
        let rows: i64 = rows.iter().map(Side::points).product();
        let (m, n) = (i64::from(shape.m) * down, i64::from(shape.n) * across);
        if rows % m != 0 || columns.points() % n != 0 {
            return Err(Error::internal("a block is not of whole matrices"));
        }
        let (high, wide) = (rows / m, columns.points() / n);
        Ok(Some(Matrices { name: name.clone(), row, shape, down, across, high, wide }))
    }

    /// Threads of all warps.
    pub fn members(&self) -> i64 {
        self.down * self.across * i64::from(WARP)
    }

    /// Fragments of sums that a warp has.
    pub fn each(&self) -> usize {
        (self.high * self.wide) as usize
    }

    /// Type of one.
    pub fn sum(&self) -> Type {
        self.row.cell
    }

    /// The dims of all sums.
    pub fn sums(&self) -> [i64; 4] {
        let (m, n) = (i64::from(self.shape.m), i64::from(self.shape.n));
        [self.down * self.across, self.high * self.wide, m, n]
    }

    fn fragment(&self, role: Role, transposed: bool, along: u32) -> Fragment {
        Fragment { row: self.name.clone(), role, transposed, lines: Lines::Along(along) }
    }
}

impl Lowering<'_> {
    /// Writes what each warp does.
    fn warps<R>(&mut self, matrices: &Matrices, write: impl FnOnce(&mut Self, &Index) -> Result<R>) -> Result<R> {
        self.abreast(&"warp".into(), (matrices.down * matrices.across) as u32, write)
    }

    fn sum_fragment(&self, product: &Product, warp: &Index, number: i64) -> Access {
        let index = vec![warp.clone(), number.into(), Index::zero(), Index::zero()];
        Access::Indexed { buffer: product.sums, index }
    }

    fn load_sum(&mut self, product: &Product, matrices: &Matrices, warp: &Index, number: i64) -> Operand {
        let from = self.sum_fragment(product, warp, number);
        self.define(product.ty, Op::Fragment(from, matrices.fragment(Role::C, false, 2))).operand
    }

    /// Begins with sums of nothing.
    pub(super) fn no_matrices(&mut self, product: &Product, matrices: &Matrices, value: &Operand) -> Result<()> {
        self.warps(matrices, |this, warp| {
            for number in 0..product.each as i64 {
                let (to, of) = (this.sum_fragment(product, warp, number), matrices.fragment(Role::C, false, 2));
                this.push(Inst::StoreFragment { to, value: value.clone(), ty: product.ty, of });
            }
            Ok(())
        })
    }

    /// Adds a chunk's products to each warp's sums.
    pub(super) fn multiply_matrices(&mut self, product: &Product, matrices: &Matrices, panels: &[Panel]) -> Result<()> {
        let (a, b) = factors(product, panels)?;
        let (m, n, k) = (i64::from(matrices.shape.m), i64::from(matrices.shape.n), i64::from(matrices.shape.k));
        self.warps(matrices, |this, warp| {
            let (down, across) = this.place_of(matrices, warp);
            let mut cells: Vec<Ref> = Vec::new();
            for number in 0..product.each as i64 {
                let sum = this.load_sum(product, matrices, warp, number);
                cells.push(this.cell(product.ty, sum));
            }
            for step in 0..product.chunk.size / k {
                let step = Index::from(step * k);
                let mut load = |panel: &Panel, role: Role, ty: Type, first: Index| {
                    let from = panel.element(first, step.clone());
                    let transposed = (role == Role::A) == panel.across;
                    this.define(ty, Op::Fragment(from, matrices.fragment(role, transposed, 1))).operand
                };
                let columns = across.clone() * (matrices.wide * n);
                let column = |j: i64| columns.clone() + j * n;
                let b: Vec<Operand> = (0..matrices.wide).map(|j| load(b, Role::B, matrices.row.b, column(j))).collect();
                let rows = down.clone() * (matrices.high * m);
                let a: Vec<Operand> =
                    (0..matrices.high).map(|i| load(a, Role::A, matrices.row.a, rows.clone() + i * m)).collect();
                for (number, cell) in cells.iter().enumerate() {
                    let (i, j) = (number / matrices.wide as usize, number % matrices.wide as usize);
                    let (a, b, cell) = (a[i].clone(), b[j].clone(), cell.clone());
                    this.push(Inst::Dot { row: matrices.name.clone(), cell, a, b });
                }
            }
            for (number, cell) in cells.into_iter().enumerate() {
                let to = this.sum_fragment(product, warp, number as i64);
                let of = matrices.fragment(Role::C, false, 2);
                this.push(Inst::StoreFragment { to, value: Operand::Ref(cell), ty: product.ty, of });
            }
            Ok(())
        })
    }

    /// The number of a warp along rows, and along columns.
    fn place_of(&self, matrices: &Matrices, warp: &Index) -> (Index, Index) {
        let across = Index::from(matrices.across);
        (self.facts.div(warp, &across), self.facts.rem(warp, &across))
    }

    /// What becomes of all sums.
    pub(super) fn settle_matrices(
        &mut self,
        product: &Product,
        matrices: &Matrices,
        panels: &[Panel],
        point: &Point,
    ) -> Result<()> {
        let rows = &factors(product, panels)?.0.sides;
        let Some(columns) = product.sides.last() else { return Err(Error::internal("no outer axis")) };
        let (m, n) = (i64::from(matrices.shape.m), i64::from(matrices.shape.n));
        let lanes = i64::from(columns.lanes);
        let vectors = columns.points() / lanes;
        let count = matrices.down * m * vectors;
        let through = self.make("through", product.ty.dtype, &[matrices.down * m, columns.points() + SPREAD]);
        for high in 0..matrices.high {
            self.warps(matrices, |this, warp| {
                let (down, across) = this.place_of(matrices, warp);
                for wide in 0..matrices.wide {
                    let value = this.load_sum(product, matrices, warp, high * matrices.wide + wide);
                    let column = across.clone() * (matrices.wide * n) + wide * n;
                    let to = Access::Indexed { buffer: through, index: vec![down.clone() * m, column] };
                    let of = matrices.fragment(Role::C, false, 0);
                    this.push(Inst::StoreFragment { to, value, ty: product.ty, of });
                }
                Ok(())
            })?;
            self.team(product, |this, member| {
                let rounds = Index::from(count).ceil_div(&Index::from(product.members));
                let round = this.open_loop(&"round".into(), &rounds);
                let number = member.clone() + Index::var(round) * product.members;
                let line = this.facts.div(&number, &Index::from(vectors));
                let lines = Index::from(matrices.down * m);
                let exists = InRange { index: line.clone(), low: Index::zero(), high: lines };
                let exists = if exists.proven(&this.facts) { vec![] } else { vec![exists] };
                this.only_if(exists, |this| {
                    let column = this.facts.rem(&number, &Index::from(vectors)) * lanes;
                    let warp = this.facts.div(&line, &Index::from(m));
                    let row = (warp * matrices.high + high) * m + this.facts.rem(&line, &Index::from(m));
                    let from = Access::Indexed { buffer: through, index: vec![line, column.clone()] };
                    this.settle_one(product, (rows, columns), (row, column), point, from)
                })?;
                this.close_loop();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What becomes of the sums of one vector of a row.
    fn settle_one(
        &mut self,
        product: &Product,
        (rows, columns): (&[Side], &Side),
        (mut row, column): (Index, Index),
        point: &Point,
        from: Access,
    ) -> Result<()> {
        let mut at = columns.at(point, column);
        let mut tests = Vec::new();
        for (place, side) in rows.iter().enumerate().rev() {
            let points = Index::from(side.points());
            let own = if place == 0 { row.clone() } else { self.facts.rem(&row, &points) };
            row = self.facts.div(&row, &points);
            at = side.at(&at, own);
            tests.extend(self.inside(side, &at));
        }
        let at = columns.cut(&at);
        tests.extend(self.inside(columns, &at));
        self.only_if(tests, |this| {
            let value = this.define(typed(product.ty.dtype, columns.lanes), Op::Load(from, None));
            this.settle_product(&value, &at)
        })
    }
}

/// Elements by which rows of sums are longer than they are: eight of these are then in different banks.
const SPREAD: i64 = 8;

/// The panels of rows and of columns.
fn factors<'a>(product: &Product, panels: &'a [Panel]) -> Result<(&'a Panel, &'a Panel)> {
    let column = product.sides.last().map(|side| &side.axis);
    let of_columns = |panel: &&Panel| panel.sides.iter().any(|side| Some(&side.axis) == column);
    match panels {
        [a, b] if !of_columns(&a) && of_columns(&b) => Ok((a, b)),
        [b, a] if !of_columns(&a) && of_columns(&b) => Ok((a, b)),
        _ => Err(Error::internal("matrices are of rows and of columns")),
    }
}
