//! Decision trees: one table of nodes, and the walk of all rows through all trees at once.

use super::ml::feature_type;
use crate::compute::{Compute, T};
use crate::program::{Expr, StoreMode};
use crate::tile::{Compare, Monoid};
use crate::{DType, Error, Index, Result, Tensor};

/// The test of a node: whether a feature goes the true way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    Le,
    Lt,
    Ge,
    Gt,
    Eq,
    Ne,
    /// Is one of a set.
    Member,
}

/// A node; a leaf's ways lead to itself.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub feature: i64,
    pub test: Test,
    pub value: f64,
    /// Where a feature goes that passes the test, and one that does not.
    pub ways: [usize; 2],
    /// Whether NaN passes.
    pub missing: bool,
}

/// Nodes and leaves of all trees.
#[derive(Clone, Debug, Default)]
pub(super) struct Forest {
    pub nodes: Vec<Node>,
    pub roots: Vec<usize>,
    /// Values of the sets, with their node.
    pub members: Vec<(usize, f64)>,
}

impl Node {
    /// A leaf with a number.
    pub(super) fn leaf(own: usize) -> Node {
        Node { feature: 0, test: Test::Le, value: 0.0, ways: [own, own], missing: false }
    }
}

/// `x` compared by a test that is not one of a set.
fn passes(test: Test, x: &Expr, value: &Expr) -> Expr {
    match test {
        Test::Le => x.le(value),
        Test::Lt => x.lt(value),
        Test::Ge => value.le(x),
        Test::Gt => value.lt(x),
        Test::Eq => x.equals(value),
        Test::Ne | Test::Member => x.compare(Compare::Ne, value),
    }
}

impl Forest {
    /// The most steps from a root to a leaf.
    fn depth(&self) -> Result<usize> {
        let mut reached = self.roots.clone();
        for depth in 0..=self.nodes.len() {
            let mut next = Vec::new();
            for &node in &reached {
                let ways =
                    self.nodes.get(node).ok_or_else(|| Error::invalid("a tree has a node that is missing"))?.ways;
                next.extend(ways.into_iter().filter(|&way| way != node));
            }
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                return Ok(depth);
            }
            reached = next;
        }
        Err(Error::invalid("a tree has a cycle"))
    }

    /// The leaf that each row of `x` reaches in each tree: `[rows, trees]`.
    pub(super) fn leaves(&self, c: &mut Compute, x: &T) -> Result<T> {
        let depth = self.depth()?;
        let (count, trees) = (self.nodes.len(), self.roots.len());
        let features = self.nodes.iter().map(|node| node.feature).max().unwrap_or(0);
        let fits = x.shape[1].as_const().is_none_or(|width| features < width);
        if !fits || trees == 0 || self.nodes.iter().any(|node| node.feature < 0) {
            return Err(Error::invalid(format!("trees over feature {features} of {}", x.shape[1])));
        }
        let integers = |c: &mut Compute, f: &dyn Fn(&Node) -> i64| {
            c.constant(Tensor::from_i64s(&self.nodes.iter().map(f).collect::<Vec<_>>()))
        };
        let feature = integers(c, &|node| node.feature);
        let test = integers(c, &|node| node.test as i64);
        let missing = integers(c, &|node| node.missing.into());
        let ways = [integers(c, &|node| node.ways[0] as i64), integers(c, &|node| node.ways[1] as i64)];
        let wide = feature_type(x);
        let values: Vec<f64> = self.nodes.iter().map(|node| node.value).collect();
        let values = super::ml::numbers(c, wide, &[count], &values)?;
        let roots = c.constant(Tensor::from_i64s(&self.roots.iter().map(|&n| n as i64).collect::<Vec<_>>()));
        let shape = [x.shape[0].clone(), Index::from(trees as i64)];
        let at = c.buffer(DType::I64, &shape);
        c.store(&at, &shape, StoreMode::Set, |i| (i.to_vec(), roots.at(vec![i[1].clone()])));
        let mut tests: Vec<Test> = self.nodes.iter().map(|node| node.test).collect();
        tests.sort_unstable();
        tests.dedup();
        let extent = Index::from(count as i64);
        let node = |i: &[Index]| at.lookup(i.to_vec(), &extent);
        let element = |i: &[Index]| {
            let column = feature.lookup(vec![node(i)], &x.shape[1]);
            x.at(vec![i[0].clone(), column]).cast(wide)
        };
        c.repeat(&Index::from(depth.max(1) as i64), |c, _| {
            let member = self.member(c, &at, &element)?;
            c.store(&at, &shape, StoreMode::Set, |i| {
                let (x, value) = (element(i), values.at(vec![node(i)]));
                let result = |which: Test| match (&member, which) {
                    (Some(member), Test::Member) => member.at(i.to_vec()),
                    _ => passes(which, &x, &value),
                };
                let own = test.at(vec![node(i)]);
                let first = result(tests[0]);
                let passed = tests[1..].iter().fold(first, |other, &which| {
                    own.equals(&Expr::int(DType::I64, which as i64)).select(&result(which), &other)
                });
                let passed = passed | (x.is_nan() & missing.at(vec![node(i)]).cast(DType::Bool));
                (i.to_vec(), passed.select(&ways[0].at(vec![node(i)]), &ways[1].at(vec![node(i)])))
            });
            Ok(())
        })?;
        Ok(at)
    }

    /// Whether the feature is one of the set of the node, if there are sets.
    fn member(&self, c: &mut Compute, at: &T, element: &dyn Fn(&[Index]) -> Expr) -> Result<Option<T>> {
        if self.members.is_empty() {
            return Ok(None);
        }
        let owners: Vec<i64> = self.members.iter().map(|member| member.0 as i64).collect();
        let owners = c.constant(Tensor::from_i64s(&owners));
        let values: Vec<f64> = self.members.iter().map(|member| member.1).collect();
        let values = super::ml::numbers(c, DType::F64, &[values.len()], &values)?;
        Ok(Some(c.reduce(Monoid::Or, DType::Bool, &at.shape, &values.shape, |i, r| {
            let own = owners.at(r.to_vec()).equals(&at.at(i.to_vec()));
            own & element(i).cast(DType::F64).equals(&values.at(r.to_vec()))
        })))
    }

    /// Folds the weights `[node, target]` of the leaves: `[rows, targets]`.
    pub(super) fn fold(&self, c: &mut Compute, leaves: &T, monoid: Monoid, weights: &T) -> T {
        let shape = [leaves.shape[0].clone(), weights.shape[1].clone()];
        c.reduce(monoid, weights.dtype, &shape, &leaves.shape[1..], |i, r| {
            let leaf = leaves.lookup(vec![i[0].clone(), r[0].clone()], &weights.shape[0]);
            weights.at(vec![leaf, i[1].clone()])
        })
    }
}
