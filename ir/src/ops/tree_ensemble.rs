use super::OpDef;
use super::forest::{Forest, Node, Test};
use super::ml::{Post, classes, feature_type, first_maximum, floats, labels, numbers, rows};
use crate::compute::{Compute, T};
use crate::onnx::OnnxNode;
use crate::program::Expr;
use crate::tile::Monoid;
use crate::{DType, Error, Index, Result, Tensor};
use std::collections::HashMap;

/// Trees of tests whose leaves hold weights, folded over all trees (ONNX ML `TreeEnsemble`, and before it
/// `TreeEnsembleRegressor` and `TreeEnsembleClassifier`, which gives the best class first).
///
/// NaN passes where `nodes_missing_value_tracks_true` says so. Base values are added last.
///
/// If two classes have weights for one only, the second wins above 0, or above 0.5 if no weight is negative; where the weights
/// name class 0 the other score is made of it. So does ONNX Runtime. Where both have weights it does not give the better one,
/// against the specification, and is not followed.
#[derive(Debug)]
pub struct TreeEnsemble {
    forest: Forest,
    targets: usize,
    /// Node, target and weight of each leaf.
    weights: Vec<(usize, usize, f64)>,
    base: Vec<f64>,
    aggregate: Aggregate,
    post: Post,
    /// Of a classifier.
    classes: Option<Vec<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("the trees have wrong {what}"))
}

/// A list of floats, given as such or as a tensor.
fn values(node: &OnnxNode, name: &str) -> Result<Vec<f64>> {
    match node.tensor(&format!("{name}_as_tensor"))? {
        Some(tensor) => Ok(elements(&tensor)),
        None => floats(node, name),
    }
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    tensor.scalars().map(|scalar| scalar.float()).collect()
}

impl TreeEnsemble {
    pub(super) fn parse(node: &OnnxNode) -> Result<TreeEnsemble> {
        if node.op_type == "TreeEnsemble" { parse_new(node) } else { parse_old(node) }
    }
}

/// The form of version 5: nodes and leaves apart.
fn parse_new(node: &OnnxNode) -> Result<TreeEnsemble> {
    let list = |name: &str| Ok::<_, Error>(node.ints(name)?.unwrap_or_default());
    let tensor = |name: &str| Ok::<_, Error>(node.tensor(name)?.as_ref().map(elements).unwrap_or_default());
    let (features, modes, splits) = (list("nodes_featureids")?, tensor("nodes_modes")?, tensor("nodes_splits")?);
    let ways = [list("nodes_truenodeids")?, list("nodes_falsenodeids")?];
    let ends = [list("nodes_trueleafs")?, list("nodes_falseleafs")?];
    let missing = list("nodes_missing_value_tracks_true")?;
    let (targets, weights) = (list("leaf_targetids")?, tensor("leaf_weights")?);
    let count = features.len();
    let mut forest = Forest::default();
    for (n, &feature) in features.iter().enumerate() {
        let way = |which: usize| {
            let place = *ways[which].get(n)?;
            let leaf = *ends[which].get(n)? != 0;
            usize::try_from(if leaf { place + count as i64 } else { place }).ok()
        };
        forest.nodes.push(Node {
            feature,
            test: modes.get(n).and_then(|&mode| test(mode as usize)).ok_or_else(|| wrong("nodes_modes"))?,
            value: *splits.get(n).ok_or_else(|| wrong("nodes_splits"))?,
            ways: [way(0).ok_or_else(|| wrong("nodes"))?, way(1).ok_or_else(|| wrong("nodes"))?],
            missing: missing.get(n).is_some_and(|&m| m != 0),
        });
    }
    forest.nodes.extend((0..weights.len()).map(|leaf| Node::leaf(count + leaf)));
    let roots = list("tree_roots")?.into_iter().map(usize::try_from).collect::<std::result::Result<_, _>>();
    forest.roots = roots.map_err(|_| wrong("tree_roots"))?;
    // Sets follow each other, each ended by NaN.
    let mut sets = tensor("membership_values")?.into_iter();
    for n in (0..count).filter(|&n| forest.nodes[n].test == Test::Member).collect::<Vec<_>>() {
        forest.members.extend(sets.by_ref().take_while(|value| !value.is_nan()).map(|value| (n, value)));
    }
    let weights = weights.iter().zip(&targets).enumerate();
    let weights = weights.map(|(leaf, (&weight, &target))| (count + leaf, target as usize, weight)).collect();
    let aggregate = match node.int("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(Error::invalid(format!("attribute `aggregate_function` is {other}"))),
    };
    let post = [Post::None, Post::Softmax, Post::Logistic, Post::SoftmaxZero, Post::Probit];
    let post = usize::try_from(node.int("post_transform", 0)?).ok().and_then(|n| post.get(n).copied());
    Ok(TreeEnsemble {
        forest,
        targets: usize::try_from(node.int("n_targets", 1)?).map_err(|_| wrong("targets"))?,
        weights,
        base: vec![],
        aggregate,
        post: post.ok_or_else(|| wrong("post_transform"))?,
        classes: None,
    })
}

fn test(number: usize) -> Option<Test> {
    [Test::Le, Test::Lt, Test::Ge, Test::Gt, Test::Eq, Test::Ne, Test::Member].get(number).copied()
}

/// The forms before: nodes named by tree and number, some of them leaves.
fn parse_old(node: &OnnxNode) -> Result<TreeEnsemble> {
    let list = |name: &str| Ok::<_, Error>(node.ints(name)?.unwrap_or_default());
    let (trees, numbers) = (list("nodes_treeids")?, list("nodes_nodeids")?);
    let names: Vec<(i64, i64)> = trees.iter().copied().zip(numbers).collect();
    let places: HashMap<(i64, i64), usize> = names.iter().enumerate().map(|(place, &name)| (name, place)).collect();
    let modes = node.strings("nodes_modes")?.unwrap_or_default();
    let (features, splits) = (list("nodes_featureids")?, values(node, "nodes_values")?);
    let ways = [list("nodes_truenodeids")?, list("nodes_falsenodeids")?];
    let missing = list("nodes_missing_value_tracks_true")?;
    let mut forest = Forest::default();
    for (n, &(tree, _)) in names.iter().enumerate() {
        if names[..n].iter().rev().take_while(|name| name.0 == tree).count() == 0
            && !forest.roots.iter().any(|&root| names[root].0 == tree)
        {
            forest.roots.push(n);
        }
        let mode = modes.get(n).ok_or_else(|| wrong("nodes_modes"))?;
        let modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
        if mode == "LEAF" {
            forest.nodes.push(Node::leaf(n));
            continue;
        }
        let known = modes.iter().position(|name| name == mode).and_then(test);
        let way = |which: usize| ways[which].get(n).and_then(|&to| places.get(&(tree, to)).copied());
        forest.nodes.push(Node {
            feature: *features.get(n).ok_or_else(|| wrong("nodes_featureids"))?,
            test: known.ok_or_else(|| wrong("nodes_modes"))?,
            value: *splits.get(n).ok_or_else(|| wrong("nodes_values"))?,
            ways: [way(0).ok_or_else(|| wrong("nodes"))?, way(1).ok_or_else(|| wrong("nodes"))?],
            missing: missing.get(n).is_some_and(|&m| m != 0),
        });
    }
    let classifier = node.op_type == "TreeEnsembleClassifier";
    let what = if classifier { "class" } else { "target" };
    let (of, at, ids) =
        (list(&format!("{what}_treeids"))?, list(&format!("{what}_nodeids"))?, list(&format!("{what}_ids"))?);
    let amounts = values(node, &format!("{what}_weights"))?;
    let mut weights = Vec::new();
    for (((tree, number), target), weight) in of.into_iter().zip(at).zip(ids).zip(amounts) {
        let place = places.get(&(tree, number)).ok_or_else(|| wrong("leaves"))?;
        weights.push((*place, target as usize, weight));
    }
    let classes = if classifier { Some(classes(node, "classlabels_int64s")?) } else { None };
    let targets = match &classes {
        Some(classes) => classes.len(),
        None => usize::try_from(node.int("n_targets", 1)?).map_err(|_| wrong("targets"))?,
    };
    let aggregate = match node.string("aggregate_function", "SUM")?.as_str() {
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        _ => Aggregate::Sum,
    };
    let base = values(node, "base_values")?;
    Ok(TreeEnsemble { forest, targets, weights, base, aggregate, post: Post::parse(node)?, classes })
}

impl TreeEnsemble {
    /// The folded weights `[rows, targets]`, base values added.
    fn scores(&self, c: &mut Compute, x: &T, targets: usize) -> Result<T> {
        let wide = feature_type(x);
        let (monoid, none) = match self.aggregate {
            Aggregate::Min => (Monoid::Min, f64::INFINITY),
            Aggregate::Max => (Monoid::Max, f64::NEG_INFINITY),
            _ => (Monoid::Sum, 0.0),
        };
        let mut table = vec![none; self.forest.nodes.len() * targets];
        for &(node, target, weight) in &self.weights {
            let place = if target < targets { table.get_mut(node * targets + target) } else { None };
            let place = place.ok_or_else(|| wrong("targets"))?;
            *place = if monoid == Monoid::Sum { *place + weight } else { weight };
        }
        let table = numbers(c, wide, &[self.forest.nodes.len(), targets], &table)?;
        let leaves = self.forest.leaves(c, x)?;
        let folded = self.forest.fold(c, &leaves, monoid, &table);
        let trees = if self.aggregate == Aggregate::Average { self.forest.roots.len() as f64 } else { 1.0 };
        let base = if self.base.len() == targets { self.base.clone() } else { vec![0.0; targets] };
        let base = numbers(c, wide, &[targets], &base)?;
        Ok(c.map(wide, &folded.shape, |i| folded.at(i.to_vec()) / trees + base.at(vec![i[1].clone()])))
    }
}

impl OpDef for TreeEnsemble {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let x = c.input(0)?;
        let x = rows(c, &x)?;
        let Some(classes) = &self.classes else {
            let scores = self.scores(c, &x, self.targets)?;
            let scores = self.post.apply(c, &scores);
            let dtype = if x.dtype == DType::F64 && self.base.is_empty() { DType::F64 } else { DType::F32 };
            let y = c.map(dtype, &scores.shape, |i| scores.at(i.to_vec()));
            c.output(0, y);
            return Ok(());
        };
        let only = |class: usize| !self.weights.is_empty() && self.weights.iter().all(|weight| weight.1 == class);
        let (label, scores) = if classes.len() <= 2 && only(0) {
            self.binary(c, &x, classes)?
        } else {
            let scores = self.scores(c, &x, self.targets)?;
            let best = if classes.len() == 2 && only(1) { self.wins(c, &scores, 1) } else { first_maximum(c, &scores) };
            (labels(c, classes, &best), self.post.apply(c, &scores))
        };
        let scores = c.map(DType::F32, &scores.shape, |i| scores.at(i.to_vec()));
        c.output(0, label);
        c.output(1, scores);
        Ok(())
    }
}

impl TreeEnsemble {
    /// Whether weights are probabilities.
    fn positive(&self) -> bool {
        self.weights.iter().all(|weight| weight.2 >= 0.0)
    }

    /// Whether the score in a column is that of the class that wins.
    fn wins(&self, c: &mut Compute, scores: &T, column: i64) -> T {
        let limit = if self.positive() { 0.5 } else { 0.0 };
        c.map(DType::I64, &scores.shape[..1], |i| {
            let score = scores.at(vec![i[0].clone(), column.into()]);
            score.like(limit).lt(&score)
        })
    }

    /// Two classes with weights for one only, whose other score is made of it.
    fn binary(&self, c: &mut Compute, x: &T, classes: &[i64]) -> Result<(T, T)> {
        let moved = self.weights.iter().map(|&(node, _, weight)| (node, 0, weight)).collect();
        let base = self.base.last().copied().into_iter().collect();
        let one = TreeEnsemble { weights: moved, base, classes: None, forest: self.forest.clone(), ..*self };
        let score = one.scores(c, x, 1)?;
        let (place, positive) = (self.wins(c, &score, 0), self.positive());
        let label = labels(c, classes, &place);
        let scores = c.map(score.dtype, &[x.shape[0].clone(), 2.into()], |i| {
            let score = score.at(vec![i[0].clone(), Index::zero()]);
            let other = if positive { score.like(1.0) - &score } else { -score.clone() };
            Expr::index(i[1].clone()).equals(&Expr::int(DType::I64, 0)).select(&other, &score)
        });
        let scores = if positive || self.post != Post::Logistic { scores } else { self.post.apply(c, &scores) };
        Ok((label, scores))
    }
}
