//! `scan`: a scan in the other direction.
//!
//! It carries the cotangents of the carried values and the sums of those of the captures, and scans what each trip started with, the slices,
//! and the cotangents of the stacked results.

use super::{active_carried, or_zeros, params_like, region_cotangents};
use crate::autograd::rules::{OperandCotangents, Site};
use crate::autograd::{GradError, calculus};
use crate::passes::{PassError, rewrite::rewrite};
use graven_ir::infer::InferError;
use graven_ir::{Constants, Dim, Graph, GraphBuilder, Node, NodeId, Op, ValueId};
use smallvec::smallvec;

/// The attributes of a scan.
#[derive(Clone, Copy)]
pub(super) struct Loop<'a> {
    pub(super) carried: usize,
    pub(super) scanned: usize,
    pub(super) length: &'a Dim,
    pub(super) reverse: bool,
}

/// The graph with scans that also stack the carried values that each trip starts with, so that their gradients need not run them again for these.
pub(in crate::autograd) fn keep_carried(
    constants: &mut Constants,
    graph: &Graph,
) -> Result<Graph, PassError> {
    rewrite(constants, graph, &mut |b, site| {
        let (node, operands) = (site.node, site.operands);
        let Op::Scan { carried, .. } = &node.op else { return Ok(None) };
        if kept(node, *carried).is_some() {
            return Ok(None);
        }
        let copy = keeping(b, node, operands, *carried)?;
        Ok(Some(b.graph().node(copy).results[..node.results.len()].into()))
    })
}

/// For each carried value the result of the node that stacks what the trips start with: one that the body gives back as it is.
fn kept(node: &Node, carried: usize) -> Option<Vec<usize>> {
    let body = &node.regions[0];
    let stacked =
        |param: &ValueId| (carried..body.results().len()).find(|place| body.results()[*place] == *param);
    body.params()[..carried].iter().map(stacked).collect()
}

/// The same scan with the carried values that each trip starts with as further stacked results.
fn keeping(
    b: &mut GraphBuilder<'_>,
    node: &Node,
    operands: &[ValueId],
    carried: usize,
) -> Result<NodeId, InferError> {
    let mut body = node.regions[0].clone();
    let mut results = body.results().to_vec();
    results.extend_from_slice(&body.params()[..carried]);
    body.set_results(results);
    b.node(node.op.clone(), operands, vec![body])
}

pub(super) fn apply(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    form: Loop<'_>,
) -> Result<OperandCotangents, GradError> {
    let stacks: Vec<ValueId> = match kept(site.node, form.carried) {
        Some(places) => places.into_iter().map(|place| site.node.results[place]).collect(),
        None => {
            let copy = keeping(b, site.node, &site.node.operands, form.carried)?;
            b.graph().node(copy).results[site.node.results.len()..].to_vec()
        }
    };
    let backward = Backward::new(site, form);
    let body = backward.body(b)?;
    let operands = backward.operands(b, &stacks)?;
    let op = Op::Scan {
        carried: backward.active.len() + backward.captures.len(),
        scanned: form.carried + form.scanned + backward.stacked.len(),
        length: form.length.clone(),
        reverse: !form.reverse,
    };
    let node = b.node(op, &operands, vec![body])?;
    let results = b.graph().node(node).results.clone();
    let mut cotangents: OperandCotangents = smallvec![None; site.node.operands.len()];
    for (place, result) in
        backward.active.iter().chain(&backward.captures).chain(&backward.slices).zip(results)
    {
        cotangents[*place] = Some(result);
    }
    Ok(cotangents)
}

/// The backward scan's values, as places among the operands of the forward one (`stacked`: among its results).
struct Backward<'a> {
    site: Site<'a>,
    form: Loop<'a>,
    /// Carried values whose cotangents are carried back.
    active: Vec<usize>,
    /// Captures whose cotangents are summed.
    captures: Vec<usize>,
    /// Scanned values whose slices' cotangents are stacked.
    slices: Vec<usize>,
    /// Stacked results that have cotangents.
    stacked: Vec<usize>,
}

impl<'a> Backward<'a> {
    fn new(site: Site<'a>, form: Loop<'a>) -> Backward<'a> {
        let (carried, scanned) = (form.carried, form.scanned);
        let active = active_carried(site, &site.node.regions[0], carried);
        let wanted = |range: std::ops::Range<usize>| range.filter(|place| site.wants(*place)).collect();
        Backward {
            site,
            form,
            active: (0..carried).filter(|place| active[*place]).collect(),
            captures: wanted(carried + scanned..site.node.operands.len()),
            slices: wanted(carried..carried + scanned),
            stacked: (carried..site.node.results.len())
                .filter(|place| site.cotangents[*place].is_some())
                .collect(),
        }
    }

    fn operands(&self, b: &mut GraphBuilder<'_>, stacks: &[ValueId]) -> Result<Vec<ValueId>, InferError> {
        let forward = &self.site.node.operands;
        let mut operands = Vec::new();
        for place in &self.active {
            operands.push(or_zeros(b, self.site.cotangents[*place], forward[*place])?);
        }
        for place in &self.captures {
            operands.push(calculus::full_like(b, forward[*place], 0.0)?);
        }
        operands.extend_from_slice(stacks);
        operands.extend_from_slice(&forward[self.form.carried..self.form.carried + self.form.scanned]);
        operands.extend(self.stacked.iter().filter_map(|place| self.site.cotangents[*place]));
        operands.extend_from_slice(&forward[self.form.carried + self.form.scanned..]);
        Ok(operands)
    }

    /// `(cotangents of carried…, sums for captures…, carried…, slices…, cotangents of outputs…, captures…) → (the first two, cotangents of slices…)`.
    fn body(&self, b: &mut GraphBuilder<'_>) -> Result<Graph, GradError> {
        let (carried, scanned) = (self.form.carried, self.form.scanned);
        let region = &self.site.node.regions[0];
        let own = region.params();
        let mut body = b.region();
        let like = |body: &mut GraphBuilder<'_>, value: ValueId| body.param(region.ty(value).clone(), None);
        let mut given = vec![None; region.results().len()];
        for place in &self.active {
            given[*place] = Some(like(&mut body, own[*place]));
        }
        let sums: Vec<ValueId> = self.captures.iter().map(|place| like(&mut body, own[*place])).collect();
        let mut inputs = params_like(&mut body, region, 0..carried + scanned);
        for place in &self.stacked {
            given[*place] = Some(like(&mut body, region.results()[*place]));
        }
        inputs.extend(params_like(&mut body, region, carried + scanned..own.len()));

        let wrt: Vec<usize> = self.active.iter().chain(&self.captures).chain(&self.slices).copied().collect();
        let gradients = region_cotangents(&mut body, region, &inputs, &given, &wrt)?;
        let mut results = Vec::with_capacity(wrt.len());
        for (place, gradient) in wrt.iter().zip(gradients) {
            results.push(match (self.captures.iter().position(|capture| capture == place), gradient) {
                (Some(capture), None) => sums[capture],
                (Some(capture), Some(gradient)) => calculus::add(&mut body, sums[capture], gradient)?,
                (None, gradient) => or_zeros(&mut body, gradient, inputs[*place])?,
            });
        }
        Ok(body.finish(results))
    }
}
