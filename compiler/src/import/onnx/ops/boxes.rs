//! `NonMaxSuppression` of constant boxes: how many boxes are left depends on the data, so the data must be known.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input};
use graven_ir::Tensor;

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// A box by its corners.
#[derive(Clone, Copy)]
struct Corners {
    low: [f32; 2],
    high: [f32; 2],
}

impl Corners {
    /// Corners in any order, or centre and extents.
    fn of(values: &[f32], is_centred: bool) -> Corners {
        let [a, b, p, q] = values else { return Corners { low: [0.0; 2], high: [0.0; 2] } };
        match is_centred {
            true => Corners { low: [a - p / 2.0, b - q / 2.0], high: [a + p / 2.0, b + q / 2.0] },
            false => Corners { low: [a.min(*p), b.min(*q)], high: [a.max(*p), b.max(*q)] },
        }
    }

    fn area(&self) -> f32 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Intersection over union; 0 for boxes without area.
    fn overlap(&self, other: &Corners) -> f32 {
        let side = |axis: usize| {
            (self.high[axis].min(other.high[axis]) - self.low[axis].max(other.low[axis])).max(0.0)
        };
        let shared = side(0) * side(1);
        let union = self.area() + other.area() - shared;
        if self.area() <= 0.0 || other.area() <= 0.0 || union <= 0.0 { 0.0 } else { shared / union }
    }
}

/// Which boxes are kept.
struct Limits {
    boxes: usize,
    overlap: f32,
    score: f32,
}

/// `NonMaxSuppression`: rows of batch, class and box, the boxes of a class by falling score.
pub(super) fn non_max_suppression(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let boxes = c.constant_input(0, "the tensor of boxes, which decides how many are left,")?;
    let scores = c.constant_input(1, "the tensor of scores, which decides how many boxes are left,")?;
    let is_centred = c.flag("center_point_box", false)?;
    let (&[batch, count, 4], &[also_batch, classes, also_count]) = (boxes.shape(), scores.shape()) else {
        return bad_input("needs boxes [batch, boxes, 4] and scores [batch, classes, boxes]");
    };
    if batch != also_batch || count != also_count {
        return bad_input(format!("has boxes {} and scores {}", boxes.ty(), scores.ty()));
    }
    let limits = Limits {
        boxes: if c.has(2) { usize::try_from(c.constant_int(2, "the limit")?).unwrap_or(0) } else { 0 },
        overlap: number(c, 3)?.unwrap_or(0.0),
        score: number(c, 4)?.unwrap_or(f32::NEG_INFINITY),
    };
    let floats =
        |tensor: &Tensor| tensor.to_f64s().into_iter().map(|value| value as f32).collect::<Vec<f32>>();
    let (boxes, scores) = (floats(&boxes), floats(&scores));
    let corners: Vec<Corners> = boxes.chunks_exact(4).map(|values| Corners::of(values, is_centred)).collect();
    let mut rows = Vec::new();
    for (place, scores) in scores.chunks_exact(count.max(1)).enumerate() {
        let (element, class) = (place / classes.max(1), place % classes.max(1));
        let own = corners.get(element * count..(element + 1) * count).unwrap_or(&[]);
        for kept in select(own, scores, &limits) {
            rows.extend([element as i64, class as i64, kept as i64]);
        }
    }
    let result = Tensor::from_i64s(&rows).reshaped(vec![rows.len() / 3, 3]);
    Ok(result.map_err(|error| Failure::BadInput(error.to_string()))?.into())
}

/// The only element of an optional input.
fn number(c: &mut Context<'_, '_, '_>, place: usize) -> Result<Option<f32>> {
    if !c.has(place) {
        return Ok(None);
    }
    Ok(c.constant_input(place, "the threshold")?.to_f64s().first().map(|value| *value as f32))
}

/// Boxes by falling score, without those that overlap a better one too much.
fn select(boxes: &[Corners], scores: &[f32], limits: &Limits) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..boxes.len().min(scores.len())).filter(|place| scores[*place] > limits.score).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut kept: Vec<usize> = Vec::new();
    for place in order {
        if kept.len() >= limits.boxes {
            break;
        }
        if kept.iter().all(|better| boxes[place].overlap(&boxes[*better]) <= limits.overlap) {
            kept.push(place);
        }
    }
    kept
}
