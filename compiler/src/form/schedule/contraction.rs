//! What matrix products and convolutions share: the epilogue of a register tile.

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
    for k in 0..valid {
        let scalar = draft.builder.extract(sum, k as u16);
        point(draft, (value, scalar), views, &index(&Dim::from(k)), None)?;
    }
    Ok(())
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
