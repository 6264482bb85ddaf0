use super::OpDef;
use super::activation::sigmoid;
use super::body::overwrite;
use super::softmax::softmax;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::{Expr, Step};
use crate::tile::{Compare, Monoid};
use crate::{DType, Error, Index, Result, Scalar, Tensor};

/// Decision trees, whose leaves are added up (averaged, or the least or largest taken) for each target (`ai.onnx.ml`
/// `TreeEnsemble`, since version 5).
///
/// A node compares a feature with its split in one of six ways, or asks whether it is in a set. NaN goes where
/// `nodes_missing_value_tracks_true` says.
#[derive(Debug)]
pub struct TreeEnsemble {
    modes: Vec<i64>,
    splits: Tensor,
    features: Vec<i64>,
    /// Where to go, false then true: a node, or `-1 - leaf`.
    children: [Vec<i64>; 2],
    missing: Vec<i64>,
    /// The members of each node's set.
    sets: Vec<Vec<f64>>,
    roots: Vec<i64>,
    targets: Vec<i64>,
    weights: Tensor,
    count: i64,
    aggregate: i64,
    transform: i64,
}

const MEMBER: i64 = 6;

impl TreeEnsemble {
    pub(super) fn parse(node: &OnnxNode) -> Result<TreeEnsemble> {
        let missing = |name: &str| Error::invalid(format!("TreeEnsemble has no `{name}`"));
        let ints = |name: &str| node.ints(name)?.ok_or_else(|| missing(name));
        let tensor = |name: &str| node.tensor(name)?.ok_or_else(|| missing(name));
        let modes = tensor("nodes_modes")?.to_i64s().ok_or_else(|| missing("nodes_modes"))?;
        let child = |nodes: &str, leaves: &str| -> Result<Vec<i64>> {
            let both = ints(nodes)?.into_iter().zip(ints(leaves)?);
            Ok(both.map(|(place, leaf)| if leaf != 0 { -1 - place } else { place }).collect())
        };
        let ensemble = TreeEnsemble {
            sets: sets(&modes, node.tensor("membership_values")?),
            splits: tensor("nodes_splits")?,
            features: ints("nodes_featureids")?,
            children: [
                child("nodes_falsenodeids", "nodes_falseleafs")?,
                child("nodes_truenodeids", "nodes_trueleafs")?,
            ],
            missing: node.ints("nodes_missing_value_tracks_true")?.unwrap_or_else(|| vec![0; modes.len()]),
            roots: ints("tree_roots")?,
            targets: ints("leaf_targetids")?,
            weights: tensor("leaf_weights")?,
            count: node.int("n_targets", 1)?,
            aggregate: node.int("aggregate_function", 1)?,
            transform: node.int("post_transform", 0)?,
            modes,
        };
        ensemble.check()?;
        Ok(ensemble)
    }

    fn check(&self) -> Result<()> {
        let (nodes, leaves) = (self.modes.len(), self.targets.len());
        let lengths = [
            self.splits.len(),
            self.features.len(),
            self.children[0].len(),
            self.children[1].len(),
            self.missing.len(),
        ];
        let place = |&n: &i64| if n < 0 { ((-1 - n) as usize) < leaves } else { (n as usize) < nodes };
        let known = |&mode: &i64| (0..=MEMBER).contains(&mode);
        let fits = lengths.iter().all(|&n| n == nodes)
            && self.children.iter().flatten().all(place)
            && self.roots.iter().all(|&root| (0..nodes as i64).contains(&root))
            && self.modes.iter().all(known)
            && self.weights.len() == leaves
            && self.weights.dtype() == self.splits.dtype()
            && self.count > 0;
        if !fits {
            return Err(Error::invalid("the attributes of TreeEnsemble contradict each other"));
        }
        if !(0..=2).contains(&self.transform) || !(0..=3).contains(&self.aggregate) {
            return Err(Error::unsupported(
                "this post_transform or aggregate_function of TreeEnsemble is not supported",
            ));
        }
        Ok(())
    }

    /// The longest way from a root to a leaf.
    fn depth(&self) -> Result<i64> {
        let mut level: Vec<i64> = self.roots.clone();
        for depth in 0..=self.modes.len() as i64 {
            level.sort_unstable();
            level.dedup();
            if level.is_empty() {
                return Ok(depth);
            }
            let next = level.iter().flat_map(|&node| self.children.each_ref().map(|side| side[node as usize]));
            level = next.filter(|&place| place >= 0).collect();
        }
        Err(Error::invalid("the nodes of TreeEnsemble form a cycle"))
    }
}

/// Members of sets stand one after the other, each set ended by NaN.
fn sets(modes: &[i64], values: Option<Tensor>) -> Vec<Vec<f64>> {
    let mut values =
        values.iter().flat_map(|t| t.scalars().map(Scalar::float).collect::<Vec<_>>()).collect::<Vec<_>>().into_iter();
    let mut set = |mode: &i64| match *mode {
        MEMBER => values.by_ref().take_while(|value| !value.is_nan()).collect(),
        _ => vec![],
    };
    modes.iter().map(&mut set).collect()
}

impl OpDef for TreeEnsemble {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        if x.rank() != 2 || x.dtype != self.splits.dtype() {
            return Err(Error::invalid(format!("TreeEnsemble needs a matrix of {}", self.splits.dtype())));
        }
        let trees = Index::from(self.roots.len() as i64);
        let roots = c.constant(Tensor::from_i64s(&self.roots));
        let start = c.map(DType::I64, &[x.shape[0].clone(), trees], |i| roots.at(vec![i[1].clone()]));
        let at = c.with_known(start, None);
        let counter = c.fresh("depth");
        let (body, ()) = c.nested(|c| {
            let next = self.descend(c, &x, &at);
            overwrite(c, &at, &next);
            Ok(())
        })?;
        c.step(Step::Loop { counter, trips: self.depth()?.into(), condition: None, ran: None, body });
        let y = self.collect(c, &at, &x);
        let y = match self.transform {
            1 => softmax(c, &y, &[1]),
            2 => c.map(y.dtype, &y.shape, |i| sigmoid(&y.at(i.to_vec()))),
            _ => y,
        };
        c.output(0, y);
        Ok(())
    }
}

impl TreeEnsemble {
    /// One step down in every tree; leaves stay.
    fn descend(&self, c: &mut Compute, x: &T, at: &T) -> T {
        let nodes = Index::from(self.modes.len() as i64);
        let [modes, features, no, yes, missing] =
            [&self.modes, &self.features, &self.children[0], &self.children[1], &self.missing]
                .map(|list| c.constant(Tensor::from_i64s(list)));
        let splits = c.constant(self.splits.clone());
        let value = |c: &Compute, i: &[Index]| {
            let node = c.lookup(at, i.to_vec(), &nodes);
            (x.at(vec![i[0].clone(), c.lookup(&features, vec![node.clone()], &x.shape[1])]), node)
        };
        let longest = self.sets.iter().map(Vec::len).max().unwrap_or(0);
        let members = (longest > 0).then(|| {
            let padded = self.sets.iter().flat_map(|set| {
                let padding = std::iter::repeat_n(f64::NAN, longest - set.len());
                set.iter().copied().chain(padding).map(Scalar::Float)
            });
            let all: Vec<Scalar> = padded.collect();
            let table = Tensor::from_scalars(x.dtype, vec![self.sets.len(), longest], &all).expect("padded");
            let table = c.constant(table);
            let i = [Index::var("i0"), Index::var("i1")];
            let (element, node) = value(c, &i);
            c.reduce(Monoid::Or, DType::Bool, &at.shape, &[Index::from(longest as i64)], |_, r| {
                element.equals(&table.at(vec![node, r[0].clone()]))
            })
        });
        let i = [Index::var("i0"), Index::var("i1")];
        let (element, node) = value(c, &i);
        c.map(DType::I64, &at.shape, |i| {
            let (split, mode) = (splits.at(vec![node.clone()]), modes.at(vec![node.clone()]));
            let tests = [
                element.le(&split),
                element.lt(&split),
                split.le(&element),
                split.lt(&element),
                element.equals(&split),
                element.compare(Compare::Ne, &split),
            ];
            let member = members.map_or_else(|| Expr::int(DType::Bool, 0), |t| t.at(i.to_vec()));
            let choose = |rest: Expr, (number, test): (usize, &Expr)| {
                mode.equals(&Expr::int(DType::I64, number as i64)).select(test, &rest)
            };
            let holds = tests.iter().enumerate().fold(member, choose);
            let tracks = missing.at(vec![node.clone()]).compare(Compare::Ne, &Expr::int(DType::I64, 0));
            let holds = holds | (element.is_nan() & tracks);
            let (here, side) = (at.at(i.to_vec()), |t: &T| t.at(vec![node.clone()]));
            here.lt(&here.like(0.0)).select(&here, &holds.select(&side(&yes), &side(&no)))
        })
    }

    /// What the leaves that were reached give each target.
    fn collect(&self, c: &mut Compute, at: &T, x: &T) -> T {
        let leaves = Index::from(self.targets.len() as i64);
        let (targets, weights) = (c.constant(Tensor::from_i64s(&self.targets)), c.constant(self.weights.clone()));
        let wide = compute_type(x.dtype);
        let (monoid, none) = match self.aggregate {
            2 => (Monoid::Min, if wide == DType::F64 { f64::MAX } else { f32::MAX.into() }),
            3 => (Monoid::Max, if wide == DType::F64 { f64::MIN } else { f32::MIN.into() }),
            _ => (Monoid::Sum, 0.0),
        };
        let shape = [x.shape[0].clone(), Index::from(self.count)];
        let share = if self.aggregate == 0 { 1.0 / self.roots.len().max(1) as f64 } else { 1.0 };
        c.reduce(monoid, x.dtype, &shape, &[at.shape[1].clone()], |i, r| {
            let reached = Index::at(at.buffer, vec![i[0].clone(), r[0].clone()]);
            let leaf = (Index::from(-1) - reached).rem(&leaves);
            let weight = weights.at(vec![leaf.clone()]) * share;
            targets.at(vec![leaf]).equals(&Expr::index(i[1].clone())).select(&weight, &weight.like(none))
        })
    }
}
