//! Gives regions less to do: constants go in, what is the same in every trip goes out.
//!
//! Before: a scan with `%p = dot_general %x_t, %w` in its body, where `%x_t` is a slice of `%x` and `%w` is captured. After: one `dot_general` of all of `%x`
//! before the scan, which goes along the result.
//!
//! * A constant that a region captures becomes a constant of the region, so that schedules see it and can pack it.
//! * A carried value that the body hands on as it is becomes a capture; captures and slices that no region uses are left out, equal ones are one.
//! * `hoist`: what depends on captures only is computed before the loop, and matrix products of slices for all trips at once. Ops that can fail stay: the loop may have no
//!   trip.

mod hoist;

use super::rewrite::{Replacement, Site, rebuild, rewrite};
use super::{Context, PassError};
use graven_ir::{Graph, GraphBuilder, Node, Op, ValueId};
use hoist::Hoist;
use smallvec::SmallVec;

/// The graph with its regions simplified, inner ones first.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    rewrite(context.constants, graph, &mut simplify)
}

/// What a parameter of a region stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The carried value of this number among those that stay.
    Carried(usize),
    /// A slice of a value outside.
    Slice(ValueId),
    /// A value outside.
    Capture(ValueId),
}

fn simplify(builder: &mut GraphBuilder, site: &Site) -> Result<Replacement, PassError> {
    let (node, operands) = (site.node, site.operands);
    let (carried, scanned, first) = match node.op {
        Op::If => (0, 0, 1),
        Op::While { carried, .. } => (carried, 0, 0),
        Op::Scan { carried, scanned, .. } => (carried, scanned, 0),
        _ => return Ok(None),
    };
    let mut regions = Vec::with_capacity(node.regions.len());
    for region in &node.regions {
        let mut inner = builder.region();
        let results = rebuild(&mut inner, region, &mut simplify)?;
        regions.push(inner.finish(results));
    }
    let Some(body) = regions.last() else { return Ok(None) };
    let stays: Vec<bool> = (0..carried).map(|n| body.params().get(n) != body.results().get(n)).collect();
    let mut kept = 0;
    let sources: Vec<Source> = operands[first..]
        .iter()
        .enumerate()
        .map(|(n, outer)| match n {
            n if n < carried && stays[n] => {
                kept += 1;
                Source::Carried(kept - 1)
            }
            n if n >= carried && n < carried + scanned => Source::Slice(*outer),
            _ => Source::Capture(*outer),
        })
        .collect();
    let interface = Interface { node, operands, carried, stays, sources };
    interface.rebuild(builder, &regions).map(Some)
}

/// A node with regions, and what becomes of its operands.
struct Interface<'a> {
    node: &'a Node,
    operands: &'a [ValueId],
    /// Number of carried values.
    carried: usize,
    /// Which carried values stay.
    stays: Vec<bool>,
    /// What the parameters of each region stand for.
    sources: Vec<Source>,
}

impl Interface<'_> {
    /// The node again, with the results of the old one.
    fn rebuild(
        &self,
        builder: &mut GraphBuilder,
        regions: &[Graph],
    ) -> Result<SmallVec<[ValueId; 1]>, PassError> {
        let is_loop = self.node.op != Op::If;
        let mut hoists = Vec::with_capacity(regions.len());
        for region in regions {
            let mut hoist = Hoist::new(region, &self.sources);
            if is_loop {
                hoist.run(builder)?;
            }
            hoists.push(hoist);
        }
        let mut needed: Vec<Source> = Vec::new();
        for source in hoists.iter().flat_map(Hoist::needed) {
            if !needed.contains(&source) && constant_of(builder, source).is_none() {
                needed.push(source);
            }
        }
        let slices = needed.iter().filter(|source| matches!(source, Source::Slice(_)));
        let captures = needed.iter().filter(|source| matches!(source, Source::Capture(_)));
        let inner: Vec<Source> = slices.chain(captures).copied().collect();
        let mut new_regions = Vec::with_capacity(regions.len());
        for (n, hoist) in hoists.iter().enumerate() {
            new_regions.push(self.region(builder, hoist, &inner, n + 1 == regions.len())?);
        }
        self.finish(builder, &inner, new_regions)
    }

    /// A region over the carried values that stay and `inner`.
    fn region(
        &self,
        builder: &mut GraphBuilder,
        hoist: &Hoist<'_>,
        inner: &[Source],
        is_body: bool,
    ) -> Result<Graph, PassError> {
        let mut types = Vec::with_capacity(inner.len());
        for source in inner {
            types.push(hoist::param_type(builder, *source)?);
        }
        let constant = |source| Some((source, constant_of(builder, source)?));
        let constants: Vec<(Source, Op)> = hoist.needed().into_iter().filter_map(constant).collect();
        let mut region = builder.region();
        let mut params: Vec<(Source, ValueId)> = Vec::new();
        let kept = (0..self.carried).filter(|n| self.stays[*n]);
        for (place, n) in kept.enumerate() {
            let param = hoist.graph.value(hoist.graph.params()[n]);
            let value = region.param(param.ty.clone(), param.name.as_deref());
            params.push((Source::Carried(place), value));
        }
        for (source, ty) in inner.iter().zip(types) {
            params.push((*source, region.param(ty, None)));
        }
        for (source, op) in constants {
            params.push((source, region.op(op, &[])?));
        }
        let mut results = hoist.rebuild(&mut region, &params)?;
        if is_body {
            let mut place = 0;
            results.retain(|_| {
                place += 1;
                place > self.carried || self.stays[place - 1]
            });
        }
        Ok(region.finish(results))
    }

    /// The new node; values that are no longer carried are their own results.
    fn finish(
        &self,
        builder: &mut GraphBuilder,
        inner: &[Source],
        regions: Vec<Graph>,
    ) -> Result<SmallVec<[ValueId; 1]>, PassError> {
        let kept = self.stays.iter().filter(|stays| **stays).count();
        let scans = inner.iter().filter(|source| matches!(source, Source::Slice(_))).count();
        let op = match &self.node.op {
            Op::While { trip_limit, .. } => Op::While { carried: kept, trip_limit: trip_limit.clone() },
            Op::Scan { length, reverse, .. } => {
                Op::Scan { carried: kept, scanned: scans, length: length.clone(), reverse: *reverse }
            }
            op => op.clone(),
        };
        let mut operands: Vec<ValueId> = match self.node.op {
            Op::If => self.operands[..1].to_vec(),
            _ => (0..self.carried).filter(|n| self.stays[*n]).map(|n| self.operands[n]).collect(),
        };
        operands.extend(inner.iter().filter_map(|source| match source {
            Source::Slice(value) | Source::Capture(value) => Some(*value),
            Source::Carried(_) => None,
        }));
        let id = builder.node(op, &operands, regions)?;
        let mut computed = builder.graph().node(id).results.clone().into_iter();
        let mut results = SmallVec::new();
        for n in 0..self.node.results.len() {
            let result = match self.stays.get(n) {
                Some(false) => Some(self.operands[n]),
                _ => computed.next(),
            };
            results.push(result.ok_or_else(|| PassError::internal("a loop lost a result"))?);
        }
        Ok(results)
    }
}

/// The constant op of a captured value.
fn constant_of(builder: &GraphBuilder, source: Source) -> Option<Op> {
    let Source::Capture(value) = source else { return None };
    let graph = builder.graph();
    let op = &graph.node(graph.defining_node(value)?).op;
    matches!(op, Op::Constant { .. }).then(|| op.clone())
}
