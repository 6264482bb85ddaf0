use super::OpDef;
use super::compact::compact;
use super::sort::ranks;
use crate::compute::{Compute, T, compute_type};
use crate::onnx::OnnxNode;
use crate::program::{Expr, Step, StoreMode};
use crate::reshape::reshape_index;
use crate::tile::{InRange, Monoid};
use crate::{DType, Error, Index, Result};

/// Boxes chosen greedily by score, for each batch and class, as rows `[batch, class, box]` (ONNX `NonMaxSuppression`).
///
/// A box is chosen if its score is greater than `score_threshold` and it overlaps no box chosen before by more than
/// `iou_threshold`, up to `max_output_boxes_per_class`, which is 0 if absent. Corners come in any order; with
/// `center_point_box` boxes are `[x, y, width, height]`. Of equal scores the first box comes first.
#[derive(Debug)]
pub struct NonMaxSuppression {
    center: bool,
}

impl NonMaxSuppression {
    pub(super) fn parse(node: &OnnxNode) -> Result<NonMaxSuppression> {
        Ok(NonMaxSuppression { center: node.flag("center_point_box", false)? })
    }
}

impl OpDef for NonMaxSuppression {
    fn build(&self, c: &mut Compute) -> Result<()> {
        let (boxes, scores) = (c.input(0)?, c.input(1)?);
        if boxes.rank() != 3 || scores.rank() != 3 || !boxes.dtype.is_float() || !scores.dtype.is_float() {
            return Err(Error::invalid("NonMaxSuppression needs boxes and scores of rank 3"));
        }
        c.same_dim(&boxes.shape[2], &Index::from(4))?;
        c.same_dim(&boxes.shape[0], &scores.shape[0])?;
        let n = c.same_dim(&boxes.shape[1], &scores.shape[2])?;
        let (batches, classes) = (scores.shape[0].clone(), scores.shape[1].clone());
        let rank = ranks(c, &scores, 2, true)?;
        // order[b, k, r] is the box with the r-th best score.
        let order = c.buffer(DType::I64, &[batches.clone(), classes.clone(), n.clone()]);
        c.store_where(&order, &scores.shape, StoreMode::Set, |i| {
            let to = Index::at(rank.buffer, i.to_vec());
            (
                vec![InRange::extent(to.clone(), n.clone())],
                vec![i[0].clone(), i[1].clone(), to],
                Expr::index(i[2].clone()),
            )
        });
        let kept = self.choose(c, &boxes, &scores, &order)?;
        let shape = [batches, classes, n];
        let size = Index::product(&shape);
        let facts = c.facts().clone();
        let place = |flat: Index| reshape_index(&facts, &shape, &[size.clone()], &[flat]);
        let places = compact(c, &size, |flat| kept.raw(place(flat)));
        let count = places.shape[0].clone();
        let y = c.buffer(DType::I64, &[count.clone(), Index::from(3)]);
        for column in 0..3 {
            let row = Index::var("i0");
            let at = place(c.lookup(&places, vec![row.clone()], &size));
            let value = if column == 2 { order.raw(at) } else { Expr::index(at[column].clone()) };
            c.store(&y, &[count.clone()], StoreMode::Set, |_| (vec![row, Index::from(column as i64)], value));
        }
        c.output(0, y);
        Ok(())
    }
}

impl NonMaxSuppression {
    /// Whether the box at each place in the order of scores is chosen: one place after the other.
    fn choose(&self, c: &mut Compute, boxes: &T, scores: &T, order: &T) -> Result<T> {
        let n = order.shape[2].clone();
        let pairs = order.shape[..2].to_vec();
        let scalar = |place: usize, dtype: DType| match c.optional(place) {
            Some(t) => Ok(Some(c.one(&t, "a limit of NonMaxSuppression")?.cast(dtype))),
            None => Ok::<_, Error>(None),
        };
        let most = scalar(2, DType::I64)?.unwrap_or_else(|| Expr::int(DType::I64, 0));
        let overlap = scalar(3, DType::F32)?.unwrap_or_else(|| Expr::float(DType::F32, 0.0));
        let least = scalar(4, compute_type(scores.dtype))?;
        let kept = c.map(DType::Bool, &order.shape, |_| Expr::int(DType::Bool, 0));
        let counter = c.fresh("place");
        let now = Index::sym(counter.clone());
        let (body, ()) = c.nested(|c| {
            let which =
                |c: &Compute, i: &[Index], r: &Index| c.lookup(order, vec![i[0].clone(), i[1].clone(), r.clone()], &n);
            let i = [Index::var("i0"), Index::var("i1")];
            let (own, other) = (which(c, &i, &now), which(c, &i, &Index::var("r0")));
            let chosen = |r: &Index| kept.raw(vec![i[0].clone(), i[1].clone(), r.clone()]);
            let count = c.reduce(Monoid::Sum, DType::I64, &pairs, &[n.clone()], |_, r| chosen(&r[0]).cast(DType::I64));
            let hidden = c.reduce(Monoid::Or, DType::Bool, &pairs, &[n.clone()], |i, r| {
                let share = overlaps(&self.edges(boxes, &i[0], &own), &self.edges(boxes, &i[0], &other), &overlap);
                chosen(&r[0]) & share
            });
            c.store(&kept, &pairs, StoreMode::Set, |i| {
                let mut holds = count.at(i.to_vec()).lt(&most) & !hidden.at(i.to_vec());
                if let Some(least) = least {
                    holds = holds & least.lt(&scores.at(vec![i[0].clone(), i[1].clone(), own.clone()]));
                }
                (vec![i[0].clone(), i[1].clone(), now.clone()], holds)
            });
            Ok(())
        })?;
        c.step(Step::Loop { counter, trips: n.clone(), condition: None, ran: None, body });
        Ok(kept)
    }

    /// Left, top, right and bottom of a box.
    fn edges(&self, boxes: &T, batch: &Index, which: &Index) -> [Expr; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| boxes.at(vec![batch.clone(), which.clone(), Index::from(k)]));
        if self.center {
            let (half_width, half_height) = (c / 2.0, d / 2.0);
            return [&a - &half_width, &b - &half_height, &a + &half_width, &b + &half_height];
        }
        [b.min(&d), a.min(&c), b.max(&d), a.max(&c)]
    }
}

/// Whether the intersection of two boxes is more than a share of their union.
fn overlaps(a: &[Expr; 4], b: &[Expr; 4], share: &Expr) -> Expr {
    let zero = a[0].like(0.0);
    let length = |axis: usize| zero.max(&(a[axis + 2].min(&b[axis + 2]) - a[axis].max(&b[axis])));
    let area = |edges: &[Expr; 4]| (&edges[2] - &edges[0]) * (&edges[3] - &edges[1]);
    let intersection = length(0) * length(1);
    let union = area(a) + area(b) - intersection.clone();
    zero.lt(&intersection) & zero.lt(&union) & share.cast(zero.dtype()).lt(&(intersection / union))
}
