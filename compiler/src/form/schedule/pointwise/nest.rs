//! Loops with vectors along the innermost coordinate.

use super::{Body, Part, unflatten};
use crate::form::FormError;
use crate::form::domain::Domain;
use crate::form::group::Group;
use crate::form::view::Lane;
use graven_ir::{Dim, Graph, Op, ValueId};

/// Elements per task below which splitting over workers can't pay.
const TASK_ELEMENTS: i64 = 4096;

/// Tasks that are enough for the workers of most machines.
const FEW_TASKS: i64 = 8;

/// Vectors of a short innermost coordinate that are written one after the other instead of as a loop.
const MOST_UNROLLED: i64 = 4;

/// Lanes of the vectors that what is left behind wider ones is computed in, at least.
const NARROWEST: i64 = 4;

/// Nodes up to which a group counts as small enough to be written several times.
const SMALL_GROUP: usize = 12;

/// Where the coordinates are cut so that windows lie wholly within their input or not: one list of bounds per coordinate.
pub type Pieces = Vec<Vec<Dim>>;

/// The pieces of a domain's coordinates: one each, or three where a padded window moves along it: those that reach over the lower end, those within, those that
/// reach over the upper end.
pub fn pieces(group: &Group, part: &Part, domain: &Domain) -> Pieces {
    let mut pieces: Pieces = domain.extents.iter().map(|extent| vec![Dim::ZERO, extent.clone()]).collect();
    for id in group.graph.order() {
        let node = group.graph.node(id);
        let Op::ReduceWindow { size, stride, dilation, padding_low, padding_high, .. } = &node.op else {
            continue;
        };
        if !is_beneath(&group.graph, part, node.results[0]) {
            continue;
        }
        let shape = &group.graph.ty(node.operands[0]).shape;
        for axis in 0..shape.len() {
            let window = Window {
                reach: (size[axis] - 1) * dilation[axis],
                stride: stride[axis],
                low: padding_low[axis].as_const(),
                extent: shape[axis].as_const(),
            };
            let padded = !padding_low[axis].is(0) || !padding_high[axis].is(0);
            let coordinate = (0..domain.rank())
                .find(|n| domain.symbolic_index()[axis] == domain.placeholder(*n) && pieces[*n].len() == 2);
            let Some((coordinate, bounds)) = coordinate.zip(window.inner()).filter(|_| padded) else {
                continue;
            };
            let Some(count) = domain.extents[coordinate].as_const() else { continue };
            let skipped = part.offset[axis].as_const().unwrap_or(0);
            let within = |place: i64| (place - skipped).clamp(0, count);
            let (first, end) = (within(bounds.0), within(bounds.1));
            if first < end {
                let mut cuts = vec![0, first, end, count];
                cuts.dedup();
                pieces[coordinate] = cuts.into_iter().map(Dim::from).collect();
            }
        }
    }
    pieces
}

/// Whether the part's values are elementwise functions of `value`.
fn is_beneath(graph: &Graph, part: &Part, value: ValueId) -> bool {
    part.values.iter().any(|result| graph.ty(*result).shape == graph.ty(value).shape)
}

/// A window along an axis.
struct Window {
    reach: i64,
    stride: i64,
    low: Option<i64>,
    extent: Option<i64>,
}

impl Window {
    /// The first place whose window lies within the input, and the end of those.
    fn inner(&self) -> Option<(i64, i64)> {
        let (low, extent) = (self.low?, self.extent?);
        let first = low.div_euclid(self.stride) + i64::from(low.rem_euclid(self.stride) != 0);
        let end = (extent - 1 + low - self.reach).div_euclid(self.stride) + 1;
        Some((first, end))
    }
}

/// Loops over the whole domain; `nodes` says how much there is to compute.
pub fn nest(body: &mut Body, pieces: &Pieces, nodes: usize) -> Result<(), FormError> {
    let domain = body.domain;
    let rank = domain.rank();
    let unroll = if nodes <= SMALL_GROUP { MOST_UNROLLED } else { 1 };
    if rank <= 1 {
        return chunks(body, unroll);
    }
    let outer = task_coordinates(domain, pieces);
    let tasks = domain.extents[..outer].iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = body.draft.builder.open_parallel(&tasks);
    let mut coordinates = unflatten(&parallel.index, &domain.extents[..outer]);
    inner(body, pieces, &mut coordinates, unroll)?;
    body.draft.builder.close_loop(parallel, Vec::new());
    Ok(())
}

/// A single long coordinate, cut into chunks.
fn chunks(body: &mut Body, unroll: i64) -> Result<(), FormError> {
    let total = body.domain.extents.iter().fold(Dim::ONE, |product, extent| product * extent);
    let short = total.upper() <= TASK_ELEMENTS;
    let chunk = chunk_length(&total);
    let tasks = if short { Dim::ONE } else { total.ceil_div(&Dim::from(chunk)) };
    let parallel = body.draft.builder.open_parallel(&tasks);
    let (start, end) = match short {
        true => (Dim::ZERO, total),
        false => {
            let start = &parallel.index * chunk;
            let end = match total.modulo(&Dim::from(chunk)).is(0) {
                true => &start + chunk,
                false => (&start + chunk).minimum(&total),
            };
            (start, end)
        }
    };
    match body.domain.rank() {
        0 => {
            let values = body.values(&[], None)?;
            body.store(&[], None, &values);
        }
        _ => innermost(body, &[], (&start, &end), unroll)?,
    }
    body.draft.builder.close_loop(parallel, Vec::new());
    Ok(())
}

/// Elements per task of a long coordinate: where there are such numbers, one that divides it, and is a multiple of a cache line's elements, so that all tasks are alike.
fn chunk_length(total: &Dim) -> i64 {
    const LINE: i64 = 16;
    let Some(total) = total.as_const() else { return TASK_ELEMENTS };
    let candidates = (TASK_ELEMENTS / 4..=TASK_ELEMENTS).rev();
    candidates.into_iter().find(|length| length % LINE == 0 && total % length == 0).unwrap_or(TASK_ELEMENTS)
}

/// Loops over the coordinates behind those given.
fn inner(body: &mut Body, pieces: &Pieces, coordinates: &mut Vec<Dim>, unroll: i64) -> Result<(), FormError> {
    let next = coordinates.len();
    for bounds in pieces[next].windows(2) {
        let (start, end) = (&bounds[0], &bounds[1]);
        if next + 1 == body.domain.rank() {
            innermost(body, coordinates, (start, end), unroll)?;
            continue;
        }
        let nest = body.draft.builder.open_loop((start, end, 1), &[]);
        coordinates.push(nest.index.clone());
        inner(body, pieces, coordinates, unroll)?;
        coordinates.pop();
        body.draft.builder.close_loop(nest, Vec::new());
    }
    Ok(())
}

/// The places `start..end` of the innermost coordinate: vectors, ever narrower ones of what is left, then the rest one by one.
fn innermost(
    body: &mut Body,
    outer: &[Dim],
    (start, end): (&Dim, &Dim),
    unroll: i64,
) -> Result<(), FormError> {
    let length = end - start;
    let lanes = match length.as_const() {
        Some(length) => i64::from(body.lanes).min(previous_power_of_two(length)),
        None => body.lanes.into(),
    };
    let narrower = std::iter::successors(Some(lanes / 2), |lanes| Some(lanes / 2));
    let mut steps = vec![(lanes, unroll), (lanes, 1)];
    steps.extend(narrower.take_while(|lanes| *lanes >= NARROWEST).map(|lanes| (lanes, 1)));
    steps.dedup();
    let mut done = start.clone();
    for (lanes, count) in steps.into_iter().filter(|(lanes, _)| *lanes > 1) {
        let step = lanes * count;
        let whole = (end - &done).floor_div(&Dim::from(step)) * step;
        if whole.is(0) {
            continue;
        }
        let middle = &done + &whole;
        // Where a coordinate stands for several that were blocked, places as multiples of the step take apart into blocks and lanes.
        let trips = whole.floor_div(&Dim::from(step));
        let nest = match body.blocked {
            true => body.draft.builder.open_loop((&Dim::ZERO, &trips, 1), &[]),
            false => body.draft.builder.open_loop((&done, &middle, step), &[]),
        };
        let first = if body.blocked { &done + &nest.index * step } else { nest.index.clone() };
        for n in 0..count {
            let lane = Lane::new(lanes as u16);
            let place = &first + n * lanes + Dim::from(&lane.symbol);
            body.point(outer, place, Some(lane))?;
        }
        body.draft.builder.close_loop(nest, Vec::new());
        done = middle;
    }
    if !(end - &done).is(0) {
        let nest = body.draft.builder.open_loop((&done, end, 1), &[]);
        let place = nest.index.clone();
        body.point(outer, place, None)?;
        body.draft.builder.close_loop(nest, Vec::new());
    }
    Ok(())
}

/// The largest power of two up to `x`, at least 1.
pub fn previous_power_of_two(x: i64) -> i64 {
    1 << x.max(1).ilog2()
}

/// How many leading coordinates become tasks; those in pieces only where there would be few tasks without them.
fn task_coordinates(domain: &Domain, pieces: &Pieces) -> usize {
    let work = |range: std::ops::Range<usize>| {
        domain.extents[range].iter().fold(Dim::ONE, |product, extent| product * extent).upper()
    };
    let mut outer = 1;
    while outer + 1 < domain.rank() && work(outer..domain.rank()) > 4 * TASK_ELEMENTS {
        if pieces[outer].len() > 2 && work(0..outer) >= FEW_TASKS {
            break;
        }
        outer += 1;
    }
    outer
}
