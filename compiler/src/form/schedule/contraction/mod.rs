//! What matrix products and convolutions share: the register tile and its epilogue.
//!
//! * [`tile`]: how many rows and vectors of columns a tile has, from a cost model
//! * [`tiling`]: how rows are cut into tiles

pub mod tile;
pub mod tiling;

use super::Draft;
use crate::form::FormError;
use crate::form::element::Source;
use crate::form::view::{Lane, View, store};
use crate::kernel::Val;
use graven_ir::{Dim, ValueId};

/// Runs the group's epilogue on a vector of sums and stores the results. `index` gives the place of the lane at an offset; only the first `valid` lanes exist.
pub fn finish(
    draft: &mut Draft,
    (value, sum): (ValueId, Val),
    views: &[View],
    index: &dyn Fn(&Dim) -> Vec<Dim>,
    (valid, lanes): (i64, u16),
) -> Result<(), FormError> {
    if valid >= i64::from(lanes) {
        let lane = Lane::new(lanes);
        let place = index(&Dim::from(&lane.symbol));
        return point(draft, (value, sum), views, &place, Some(lane));
    }
    // Vectors of half as many lanes, and half of that, as long as they are full.
    let (mut first, mut width) = (0, lanes / 2);
    while first < valid {
        if width < 4 {
            let scalar = draft.builder.extract(sum, first as u16);
            point(draft, (value, scalar), views, &index(&Dim::from(first)), None)?;
            first += 1;
        } else if first + i64::from(width) <= valid {
            let part: Vec<u16> = (first as u16..first as u16 + width).collect();
            let part = draft.builder.shuffle(sum, sum, &part);
            let lane = Lane::new(width);
            let place = index(&(Dim::from(&lane.symbol) + first));
            point(draft, (value, part), views, &place, Some(lane))?;
            first += i64::from(width);
        } else {
            width /= 2;
        }
    }
    Ok(())
}

/// Runs the group's epilogue on one sum and stores the results.
pub fn finish_scalar(
    draft: &mut Draft,
    (value, sum): (ValueId, Val),
    views: &[View],
    index: &[Dim],
) -> Result<(), FormError> {
    point(draft, (value, sum), views, index, None)
}

fn point(
    draft: &mut Draft,
    (value, sum): (ValueId, Val),
    views: &[View],
    index: &[Dim],
    lane: Option<Lane>,
) -> Result<(), FormError> {
    let Draft { builder: b, evaluator, .. } = draft;
    let before = evaluator.source(value).clone();
    evaluator.bind(value, Source::Register(sum));
    let results = evaluator.graph.results();
    let values: Result<Vec<Val>, FormError> = evaluator.scope(|e| {
        e.with_lane(lane.clone(), |e| results.iter().map(|result| e.value(b, *result, index)).collect())
    });
    evaluator.bind(value, before);
    for (view, value) in views.iter().zip(values?) {
        store(b, view, index, lane.as_ref(), value);
    }
    Ok(())
}

/// The loops (first, end, step) over a block's whole tiles and its rest, each with the extent of its tiles. Blocks begin at whole tiles of `extent`.
pub fn pieces((first, last): (&Dim, &Dim), size: i64, extent: &Dim) -> Vec<((Dim, Dim, i64), i64)> {
    let whole = first + (last - first).floor_div(&Dim::from(size)) * size;
    let mut pieces = vec![((first.clone(), whole.clone(), size), size)];
    match extent.modulo(&Dim::from(size)).as_const() {
        Some(0) => {}
        Some(rest) => pieces.push(((whole, last.clone(), size), rest)),
        None => pieces.push(((whole, last.clone(), 1), 1)),
    }
    pieces
}
