//! What a kernel does, for profiles: its arithmetic, the memory it touches, and its schedule.
//!
//! In: a kernel, its program, the steps it was scheduled by.  Out: a [`Work`], whose counts are formulas over the symbols
//! that a caller fixes.
//! Invariants: an operation counts once for each point of the axes it depends on, however often the code repeats it; a
//! buffer counts for no more than its elements, however often they are read. So both are what must be done at least.
//! Guards count as if they held.

use crate::driver::input_symbols;
use crate::schedule::Step;
use mlc_ir::index::Atom;
use mlc_ir::program::{Expr, ExprKind, Kernel, Program, Stage, StoreMode};
use mlc_ir::{Index, Name};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What one call of a kernel does.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// The kernel's name.
    pub kernel: String,
    /// The nodes of the model whose computation is in it, as far as the caller of the compiler said.
    pub nodes: Vec<String>,
    /// Arithmetic on floats as a formula: a multiply-add is two; absent if it depends on data.
    pub operations: Option<String>,
    /// Bytes that are read or written at least once, as a formula; absent if they depend on data.
    pub bytes: Option<String>,
    /// The steps of its schedule; none if its points run one by one, in order.
    pub schedule: Vec<String>,
    /// Where it runs, if the program is for a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Where a kernel of a program for a GPU runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the GPU.
    Gpu,
    /// On the processor; why.
    Processor(String),
}

/// The work of a kernel. Its nodes are its name, as long as nothing else is said.
pub fn of(kernel: &Kernel, program: &Program, steps: &[Step]) -> Work {
    let symbols = input_symbols(program);
    let known = |index: &Index| !index.looks_up() && index.syms().iter().all(|name| symbols.contains(name));
    let formula = |index: Index| known(&index).then(|| index.to_string());
    Work {
        kernel: kernel.name.to_string(),
        nodes: vec![kernel.name.to_string()],
        operations: formula(operations(kernel)),
        bytes: formula(bytes(kernel, program)),
        schedule: steps.iter().map(Step::to_string).collect(),
        place: None,
    }
}

fn points<'a>(kernel: &Kernel, axes: impl IntoIterator<Item = &'a Name>) -> Index {
    Index::product(axes.into_iter().filter_map(|axis| kernel.extent(axis)))
}

fn operations(kernel: &Kernel) -> Index {
    let mut count = Count { kernel, sum: Index::zero(), seen: HashMap::new() };
    for stage in &kernel.stages {
        count.stage(stage);
    }
    count.sum
}

struct Count<'a> {
    kernel: &'a Kernel,
    sum: Index,
    /// The axes that nodes of this stage depend on, so that a shared one counts once.
    seen: HashMap<usize, BTreeSet<Name>>,
}

impl Count<'_> {
    fn stage(&mut self, stage: &Stage) {
        self.seen.clear();
        self.axes(&stage.value);
        if let Some(reduce) = stage.reduce.as_ref().filter(|_| stage.value.dtype().is_float()) {
            self.add(stage.axes.iter().chain(&reduce.axes));
        }
    }

    fn add<'b>(&mut self, axes: impl IntoIterator<Item = &'b Name>) {
        self.sum = self.sum.clone() + points(self.kernel, axes);
    }

    /// The axes an expression depends on; counts it and its operands.
    fn axes(&mut self, expr: &Expr) -> BTreeSet<Name> {
        if let Some(axes) = self.seen.get(&expr.id()) {
            return axes.clone();
        }
        let mut axes: BTreeSet<Name> = BTreeSet::new();
        expr.operands().into_iter().for_each(|operand| axes.extend(self.axes(operand)));
        expr.visit_indices(&mut |index| axes.extend(index.vars()));
        if let ExprKind::Stage(number) = expr.kind() {
            axes.extend(self.kernel.stages[*number].axes.iter().cloned());
        }
        let computes = matches!(expr.kind(), ExprKind::Unary(..) | ExprKind::Binary(..) | ExprKind::Math(..));
        if computes && expr.dtype().is_float() {
            self.add(&axes);
        }
        self.seen.insert(expr.id(), axes.clone());
        axes
    }
}

/// By buffer and whether it is written: the places that are touched, and how many each.
type Regions = BTreeMap<(u32, bool), BTreeMap<Vec<Index>, Index>>;

fn bytes(kernel: &Kernel, program: &Program) -> Index {
    let mut regions = Regions::new();
    for stage in &kernel.stages {
        stage.value.visit(&mut |node| {
            if let ExprKind::Load { buffer, index } = node.kind() {
                touch(&mut regions, kernel, (*buffer, false), index);
            }
            node.visit_indices(&mut |index| touch_lookups(&mut regions, kernel, index));
        });
        let Some(store) = &stage.store else { continue };
        touch(&mut regions, kernel, (store.buffer, true), &store.index);
        if let StoreMode::Combine(_) = store.mode {
            touch(&mut regions, kernel, (store.buffer, false), &store.index);
        }
        let tests = store.only.iter().flat_map(|test| [&test.index, &test.low, &test.high]);
        store.index.iter().chain(tests).for_each(|index| touch_lookups(&mut regions, kernel, index));
    }
    let mut sum = Index::zero();
    for ((buffer, _), places) in regions {
        let buffer = program.buffer(buffer);
        let touched = places.into_values().fold(Index::zero(), |sum, places| sum + places);
        let elements = program.facts.min(&touched, &Index::product(&buffer.shape));
        sum = sum + elements * buffer.dtype.bytes() as i64;
    }
    sum
}

/// Adds the elements that an index reaches. Two maps that differ only in which axes of one extent they use reach the same.
fn touch(regions: &mut Regions, kernel: &Kernel, key: (u32, bool), index: &[Index]) {
    let axes: BTreeSet<Name> = index.iter().flat_map(Index::vars).collect();
    let extent = |name: &Name| kernel.extent(name).map(|extent| Index::var(extent.to_string()));
    let alike = |index: &Index| {
        index.replace(&|atom| match atom {
            Atom::Var(name) => extent(name),
            _ => None,
        })
    };
    let places = regions.entry(key).or_default();
    places.insert(index.iter().map(alike).collect(), points(kernel, &axes));
}

fn touch_lookups(regions: &mut Regions, kernel: &Kernel, index: &Index) {
    index.visit(&mut |atom| {
        if let Atom::At(buffer, index) = atom {
            touch(regions, kernel, (*buffer, false), index);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::Graph;
    use mlc_ir::index::{Leaf, parse_index};
    use mlc_ir::text::Lexer;

    /// Operations and bytes of the first kernel of a graph, where each symbol is 10.
    fn counts(graph: &str) -> (i64, i64) {
        let program = Graph::parse(graph).unwrap().to_program().unwrap();
        let mut kernels = Vec::new();
        mlc_ir::program::Step::visit_kernels(&program.body, &mut |kernel| kernels.push(kernel));
        let work = of(kernels[0], &program, &[]);
        let value = |formula: Option<String>| {
            let index = parse_index(&mut Lexer::new(&formula.unwrap())).unwrap();
            index.eval(&mut |leaf| matches!(leaf, Leaf::Sym(_)).then_some(10)).unwrap()
        };
        (value(work.operations), value(work.bytes))
    }

    #[test]
    fn a_product_is_two_operations_a_step() {
        let graph = "graph @g(%a: f32[m, 64], %b: f32[64, 32]) {
            %y = MatMul(%a, %b) : f32[m, 32]
            return %y
        }";
        assert_eq!(counts(graph), (2 * 10 * 64 * 32, 4 * (10 * 64 + 64 * 32 + 10 * 32)));
    }

    #[test]
    fn a_pointwise_kernel_reads_and_writes_each_element_once() {
        let graph = "graph @g(%a: f32[n, 4], %b: f32[4]) {
            %y = Add(%a, %b) : f32[n, 4]
            return %y
        }";
        assert_eq!(counts(graph), (40, 4 * (40 + 4 + 40)));
        let graph = "graph @g(%a: f32[n]) {
            %y = Mul(%a, %a) : f32[n]
            return %y
        }";
        assert_eq!(counts(graph), (10, 4 * (10 + 10)), "one buffer read twice is touched once");
    }

    #[test]
    fn a_lookup_touches_its_rows_alone() {
        let graph = "graph @g(%table: f32[1000, 8], %ids: i64[n]) {
            %y = Gather(%table, %ids) {axis = 0} : f32[n, 8]
            return %y
        }";
        assert_eq!(counts(graph), (0, 4 * 80 + 8 * 10 + 4 * 80));
    }

    #[test]
    fn steps_are_short_texts() {
        let steps = [Step::Order(vec!["o1".into(), "N".into()]), Step::Parallel("o1".into(), 16)];
        assert_eq!(steps.iter().map(Step::to_string).collect::<Vec<_>>(), ["order(o1, N)", "parallel(o1, 16)"]);
    }
}
