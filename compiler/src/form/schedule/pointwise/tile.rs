//! Transposing groups: where neighbours in the result are not neighbours in the operands, vectors are computed along another coordinate, in which the
//! operands' elements lie together, and blocks of them are turned around in registers before they are stored.

use super::access::Accesses;
use super::nest::previous_power_of_two;
use super::{Body, Part, unflatten};
use crate::form::FormError;
use crate::form::domain::Domain;
use crate::form::group::Group;
use crate::form::view::Lane;
use crate::kernel::{KernelBuilder, Val};
use graven_ir::{DType, Dim};

/// Elements of a cache line: blocks as wide as that use all that is fetched.
const LINE: i64 = 16;

/// The coordinate along which vectors are computed, and their number of lanes.
#[derive(Clone, Copy)]
pub struct Side {
    coordinate: usize,
    lanes: i64,
}

/// The side of a part that is better computed in tiles.
pub fn side(group: &Group, part: &Part, domain: &Domain, accesses: &Accesses, lanes: u16) -> Option<Side> {
    let last = domain.rank().checked_sub(1)?;
    let four_bytes = |value| {
        let dtype = group.graph.ty(value).dtype;
        dtype != DType::Bool && dtype.bytes() <= 4
    };
    if lanes < 4 || !part.values.iter().all(|value| four_bytes(*value)) {
        return None;
    }
    let steps_by = |address: &Dim, coordinate: usize, step: i64| {
        domain.stride(address, coordinate).is_some_and(|stride| stride.is(step))
    };
    let even = |coordinate: usize| {
        accesses.loads.iter().all(|load| steps_by(load, coordinate, 0) || steps_by(load, coordinate, 1))
    };
    if even(last) {
        return None;
    }
    let fits = |coordinate: &usize| {
        let length = domain.extents[*coordinate].as_const().unwrap_or(0);
        length >= 4
            && even(*coordinate)
            && accesses.loads.iter().any(|load| steps_by(load, *coordinate, 1) && !steps_by(load, last, 0))
    };
    let coordinate = (0..last).rev().find(fits)?;
    let shortest = domain.extents[coordinate].as_const()?.min(domain.extents[last].as_const()?);
    let lanes = previous_power_of_two(shortest).min(lanes.into());
    (lanes >= 4).then_some(Side { coordinate, lanes })
}

/// Loops over the whole domain in tiles.
pub fn nest(body: &mut Body, side: Side) -> Result<(), FormError> {
    let mut domain = body.domain.clone();
    domain.move_before_last(side.coordinate);
    let rank = domain.rank();
    let Body { part, views, lanes, blocked, .. } = *body;
    let mut body = Body { draft: body.draft, domain: &domain, part, views, lanes, blocked };
    let wide = side.lanes.max(LINE);
    let columns = &domain.extents[rank - 2];
    let tasks: Vec<Dim> =
        domain.extents[..rank - 2].iter().cloned().chain([columns.ceil_div(&Dim::from(wide))]).collect();
    let count = tasks.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = body.draft.builder.open_parallel(&count);
    let places = unflatten(&parallel.index, &tasks);
    let (block, outer) = (&places[rank - 2] * wide, &places[..rank - 2]);
    let whole = columns.floor_div(&Dim::from(wide)) * wide;
    let nest = body.draft.builder.open_loop((&block, &(&block + wide).minimum(&whole), wide), &[]);
    let starts: Vec<Dim> = (0..wide / side.lanes).map(|n| &nest.index + n * side.lanes).collect();
    rows(&mut body, outer, &starts, side.lanes)?;
    body.draft.builder.close_loop(nest, Vec::new());
    let rest = columns - &whole;
    if !rest.is(0) {
        // Zero or one trips: the last block, whose last tile may overlap the one before.
        let nest = body
            .draft
            .builder
            .open_loop((&block.maximum(&whole), &(&block + wide).minimum(columns), wide), &[]);
        let rest = rest.as_const().unwrap_or(0);
        let mut starts: Vec<Dim> = (0..rest / side.lanes).map(|n| &whole + n * side.lanes).collect();
        if rest % side.lanes != 0 {
            starts.push(columns - side.lanes);
        }
        rows(&mut body, outer, &starts, side.lanes)?;
        body.draft.builder.close_loop(nest, Vec::new());
    }
    body.draft.builder.close_loop(parallel, Vec::new());
    Ok(())
}

/// Tiles that start at columns `starts`, for all rows.
fn rows(body: &mut Body, outer: &[Dim], starts: &[Dim], lanes: i64) -> Result<(), FormError> {
    let extent = body.domain.extents[body.domain.rank() - 1].clone();
    let whole = extent.floor_div(&Dim::from(lanes)) * lanes;
    let nest = body.draft.builder.open_loop((&Dim::ZERO, &whole, lanes), &[]);
    for start in starts {
        tile(body, outer, start, &nest.index, lanes)?;
    }
    body.draft.builder.close_loop(nest, Vec::new());
    if extent != whole {
        for start in starts {
            tile(body, outer, start, &(&extent - lanes), lanes)?;
        }
    }
    Ok(())
}

/// The tile of `lanes` columns from `column` on and as many rows from `row` on.
fn tile(body: &mut Body, outer: &[Dim], column: &Dim, row: &Dim, lanes: i64) -> Result<(), FormError> {
    let lane = Lane::new(lanes as u16);
    let at = |column: Dim, row: Dim| outer.iter().cloned().chain([column, row]).collect::<Vec<Dim>>();
    let mut columns: Vec<Vec<Val>> = vec![Vec::new(); body.part.values.len()];
    for k in 0..lanes {
        let values = body.values(&at(column + Dim::from(&lane.symbol), row + k), Some(&lane))?;
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }
    let turned: Vec<Vec<Val>> =
        columns.iter().map(|column| transpose(&mut body.draft.builder, column)).collect();
    for k in 0..lanes {
        let values: Vec<Val> = turned.iter().map(|rows| rows[k as usize]).collect();
        body.store(&at(column + k, row + Dim::from(&lane.symbol)), Some(&lane), &values);
    }
    Ok(())
}

/// The transpose of a square of as many vectors as they have lanes, a power of two from 4 on: lane i of vector k becomes lane k of vector i.
///
/// First the squares of four, which stay within 128 bits, then halves of ever larger squares change places.
pub fn transpose(b: &mut KernelBuilder, rows: &[Val]) -> Vec<Val> {
    let lanes = rows.len();
    let within = |pattern: [usize; 4]| -> Vec<u16> {
        let place = |lane: usize| {
            let (group, from) = (lane / 4 * 4, pattern[lane % 4]);
            (group + from % 4 + if from < 4 { 0 } else { lanes }) as u16
        };
        (0..lanes).map(place).collect()
    };
    let (low, high) = (within([0, 4, 1, 5]), within([2, 6, 3, 7]));
    let (first, second) = (within([0, 1, 4, 5]), within([2, 3, 6, 7]));
    let mut rows = rows.to_vec();
    for square in rows.chunks_exact_mut(4) {
        let (a, c) = (b.shuffle(square[0], square[1], &low), b.shuffle(square[2], square[3], &low));
        let (e, g) = (b.shuffle(square[0], square[1], &high), b.shuffle(square[2], square[3], &high));
        square[0] = b.shuffle(a, c, &first);
        square[1] = b.shuffle(a, c, &second);
        square[2] = b.shuffle(e, g, &first);
        square[3] = b.shuffle(e, g, &second);
    }
    let mut distance = 4;
    while distance < lanes {
        let lower = |lane: usize| if lane & distance == 0 { lane } else { lanes + lane - distance };
        let upper = |lane: usize| if lane & distance == 0 { lane + distance } else { lanes + lane };
        let (lower, upper): (Vec<u16>, Vec<u16>) =
            (0..lanes).map(|lane| (lower(lane) as u16, upper(lane) as u16)).unzip();
        for row in (0..lanes).filter(|row| row & distance == 0) {
            let (x, y) = (rows[row], rows[row + distance]);
            rows[row] = b.shuffle(x, y, &lower);
            rows[row + distance] = b.shuffle(x, y, &upper);
        }
        distance *= 2;
    }
    rows
}
