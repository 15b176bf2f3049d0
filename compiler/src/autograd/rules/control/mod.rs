//! Ops with regions: the gradient of a region is a region.
//!
//! * [`branch`]: the `if` op
//! * [`scan`]: loops of a known number of trips
//! * [`repeat`]: the `while` op
//!
//! A region's values are gone when its node is done, so the gradient's region computes them again from its parameters. Loops keep the carried
//! values that each trip starts with.

mod branch;
mod repeat;
mod scan;

use super::local::rebuilt;
use super::{OperandCotangents, Site};
use crate::autograd::vjp::{active_values, vjp};
use crate::autograd::{GradError, calculus};
use graven_ir::infer::InferError;
use graven_ir::{Graph, GraphBuilder, Op, ValueId};

pub(in crate::autograd) use scan::keep_carried;

pub(super) fn apply(b: &mut GraphBuilder<'_>, site: Site<'_>) -> Result<OperandCotangents, GradError> {
    match &site.node.op {
        Op::If => branch::apply(b, site),
        Op::Scan { carried, scanned, length, reverse } => scan::apply(
            b,
            site,
            scan::Loop { carried: *carried, scanned: *scanned, length, reverse: *reverse },
        ),
        Op::While { carried, trip_limit } => repeat::apply(b, site, *carried, trip_limit),
        Op::Fuse { .. } => {
            rebuilt(b, site, site.cotangents, |b| b.inline(&site.node.regions[0], &site.node.operands))
        }
        _ => site.unsupported("it has no region"),
    }
}

/// The cotangents of the parameters `wrt` of a region, from those of its results: the region is computed again from `inputs`.
fn region_cotangents(
    b: &mut GraphBuilder<'_>,
    region: &Graph,
    inputs: &[ValueId],
    cotangents: &[Option<ValueId>],
    wrt: &[usize],
) -> Result<Vec<Option<ValueId>>, GradError> {
    let results = b.inline(region, inputs)?;
    let seeds: Vec<(ValueId, ValueId)> =
        results.iter().zip(cotangents).filter_map(|(value, g)| g.map(|g| (*value, g))).collect();
    let wrt: Vec<ValueId> = wrt.iter().map(|place| inputs[*place]).collect();
    vjp(b, &seeds, &wrt)
}

/// A cotangent, zeros for none.
fn or_zeros(
    b: &mut GraphBuilder<'_>,
    cotangent: Option<ValueId>,
    like: ValueId,
) -> Result<ValueId, InferError> {
    match cotangent {
        Some(cotangent) => Ok(cotangent),
        None => calculus::full_like(b, like, 0.0),
    }
}

/// Parameters with the types of a region's parameters.
fn params_like(b: &mut GraphBuilder<'_>, region: &Graph, places: std::ops::Range<usize>) -> Vec<ValueId> {
    region.params()[places].iter().map(|param| b.param(region.ty(*param).clone(), None)).collect()
}

/// Which carried values of a loop depend on a wanted operand, in any trip.
fn active_carried(site: Site<'_>, body: &Graph, carried: usize) -> Vec<bool> {
    let params = body.params();
    let mut active: Vec<bool> = (0..params.len()).map(|place| site.wants(place)).collect();
    loop {
        let wrt: Vec<ValueId> =
            params.iter().zip(&active).filter(|(_, active)| **active).map(|(param, _)| *param).collect();
        let values = active_values(body, &wrt);
        let mut changed = false;
        for (result, active) in body.results()[..carried].iter().zip(&mut active) {
            let reached = values.contains(*result);
            changed |= reached && !*active;
            *active |= reached;
        }
        if !changed {
            active.truncate(carried);
            return active;
        }
    }
}
