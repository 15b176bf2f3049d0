//! One result element after the other, in the order of memory, vectorised along the innermost coordinate.
//!
//! A trial run of the evaluation records every index expression. From them follows which coordinates are cut into blocks or merged into
//! one long loop. The outermost coordinates are the parallel tasks.
//!
//! * [`access`]: the trial run, and what it says about coordinates
//! * [`nest`]: loops with vectors along the innermost coordinate
//! * [`tile`]: transposing groups: vectors along another coordinate, turned around in registers
//! * [`describe`]: names, costs, lanes, task numbers, for all schedules

mod access;
mod describe;
mod nest;
mod tile;

pub use describe::{cost, group_lanes, name, unflatten};
pub use nest::previous_power_of_two;
pub use tile::transpose;

use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::domain::Domain;
use crate::form::group::Group;
use crate::form::layout::Layout;
use crate::form::view::{Lane, View, store};
use crate::kernel::Val;
use access::Accesses;
use graven_ir::{Dim, Graph, Op, ValueId};

/// Elements of blocks that are worth loops of their own.
const NARROWEST_BLOCK: i64 = 4;

/// Values that are computed and stored in one loop nest.
struct Part {
    /// What is evaluated, all of one shape.
    values: Vec<ValueId>,
    /// The results that they are stored to.
    results: Vec<usize>,
    /// Where they start within the results.
    start: Vec<Dim>,
    /// The first index that is computed.
    offset: Vec<Dim>,
    /// How many are computed along each dimension.
    extents: Vec<Dim>,
}

impl Part {
    /// All of the values, which start within the results at `start`.
    fn whole(shape: &[Dim], values: Vec<ValueId>, results: Vec<usize>, start: Vec<Dim>) -> Part {
        Part { values, results, start, offset: vec![Dim::ZERO; shape.len()], extents: shape.to_vec() }
    }

    /// The result's layout, with blocks that lie within one block of the result and of each operand, wherever channels are cut or joined at places that allow it.
    fn layout(&self, graph: &Graph, results: &[Layout]) -> Layout {
        let mut layout = results[self.results[0]].clone();
        let Some(block) = &mut layout.block else { return layout };
        let mut size = block.size;
        let mut meet = |place: &Dim| {
            let place = place.as_const().unwrap_or(0);
            while place % size != 0 {
                size /= 2;
            }
        };
        meet(&self.start[block.axis]);
        for id in graph.order() {
            if let Op::Slice { start, stride, .. } = &graph.node(id).op
                && stride.get(block.axis) == Some(&1)
            {
                meet(&start[block.axis]);
            }
        }
        if size >= NARROWEST_BLOCK {
            block.size = size;
        }
        layout
    }

    /// The part, or where its blocks are uneven, the whole blocks and what is left.
    fn even(self, layout: &Layout) -> Vec<Part> {
        let Some(block) = layout.block else { return vec![self] };
        let extent = self.extents[block.axis].as_const().unwrap_or(0);
        let whole = extent / block.size * block.size;
        let aligned = self.start[block.axis].modulo(&Dim::from(block.size)).is(0);
        if whole == 0 || whole == extent || !aligned {
            return vec![self];
        }
        let slice = |from: i64, count: i64| {
            let (mut offset, mut extents) = (self.offset.clone(), self.extents.clone());
            (offset[block.axis], extents[block.axis]) = (Dim::from(from), Dim::from(count));
            let (values, results) = (self.values.clone(), self.results.clone());
            Part { values, results, start: self.start.clone(), offset, extents }
        };
        vec![slice(0, whole), slice(whole, extent - whole)]
    }
}

/// One kernel per set of results with the same shape and layout, or per operand of a concatenation.
pub fn schedule(group: &Group, context: &Context) -> Result<Vec<Scheduled>, FormError> {
    let parts = match concat_parts(group) {
        Some(parts) => parts,
        None => result_parts(group, context),
    };
    parts
        .into_iter()
        .filter(|part| !group.graph.ty(part.values[0]).elements().is(0))
        .flat_map(|part| {
            let layout = part.layout(&group.graph, &context.results);
            part.even(&layout).into_iter().map(move |part| (part, layout.clone()))
        })
        .map(|(part, layout)| kernel(group, context, &part, &layout))
        .collect()
}

fn result_parts(group: &Group, context: &Context) -> Vec<Part> {
    let results = group.graph.results();
    let shape = |n: usize| &group.graph.ty(results[n]).shape;
    let mut left: Vec<usize> = (0..results.len()).collect();
    let mut parts = Vec::new();
    while let Some(first) = left.first().copied() {
        let alike = |n: &usize| shape(*n) == shape(first) && context.results[*n] == context.results[first];
        let (set, rest): (Vec<usize>, Vec<usize>) = left.into_iter().partition(alike);
        left = rest;
        let values = set.iter().map(|n| results[*n]).collect();
        parts.push(Part::whole(shape(first), values, set, vec![Dim::ZERO; shape(first).len()]));
    }
    parts
}

/// The operands of a group whose only result is a concatenation.
fn concat_parts(group: &Group) -> Option<Vec<Part>> {
    let [_] = group.graph.results() else { return None };
    let node = group.result_node(0)?;
    let Op::Concat { axis } = node.op else { return None };
    let mut parts = Vec::with_capacity(node.operands.len());
    let mut place = Dim::ZERO;
    for operand in &node.operands {
        let shape = &group.graph.ty(*operand).shape;
        let mut start = vec![Dim::ZERO; shape.len()];
        start[axis] = place.clone();
        place = place + &shape[axis];
        parts.push(Part::whole(shape, vec![*operand], vec![0], start));
    }
    Some(parts)
}

fn kernel(group: &Group, context: &Context, part: &Part, layout: &Layout) -> Result<Scheduled, FormError> {
    let mut domain = Domain::of(layout, &part.extents);
    let accesses = Accesses::of(group, context, part, &mut domain)?;
    let lanes = group_lanes(&group.graph, context);
    let shuffled = tile::side(group, part, &domain, &accesses, lanes);

    let mut draft = Draft::new(&name(group), group, context);
    let views: Vec<View> = part.results.iter().map(|n| draft.result(group, context, *n)).collect();
    let blocked = layout.block.is_some();
    let mut body = Body { draft: &mut draft, domain: &domain, part, views: &views, lanes, blocked };
    match shuffled {
        Some(side) => tile::nest(&mut body, side)?,
        None => nest::nest(&mut body, &nest::pieces(group, part, &domain), group.graph.order().len())?,
    }
    Ok(draft.finish(cost(group)))
}

struct Body<'d, 'a> {
    draft: &'d mut Draft<'a>,
    domain: &'d Domain,
    part: &'d Part,
    views: &'d [View],
    lanes: u16,
    /// Whether the innermost coordinate lies in blocks.
    blocked: bool,
}

impl Body<'_, '_> {
    /// The values at a place, one lane after the other where there is one.
    fn values(&mut self, coordinates: &[Dim], lane: Option<&Lane>) -> Result<Vec<Val>, FormError> {
        let index = shifted(&self.domain.index(coordinates), &self.part.offset);
        let Draft { builder, evaluator, .. } = &mut *self.draft;
        evaluator.scope(|e| {
            e.with_lane(lane.cloned(), |e| {
                self.part.values.iter().map(|value| e.value(builder, *value, &index)).collect()
            })
        })
    }

    fn store(&mut self, coordinates: &[Dim], lane: Option<&Lane>, values: &[Val]) {
        let index = shifted(&self.domain.index(coordinates), &self.part.offset);
        let place = shifted(&index, &self.part.start);
        for (view, value) in self.views.iter().zip(values) {
            store(&mut self.draft.builder, view, &place, lane, *value);
        }
    }

    fn point(&mut self, outer: &[Dim], place: Dim, lane: Option<Lane>) -> Result<(), FormError> {
        let coordinates: Vec<Dim> = outer.iter().cloned().chain([place]).collect();
        let values = self.values(&coordinates, lane.as_ref())?;
        self.store(&coordinates, lane.as_ref(), &values);
        Ok(())
    }
}

fn shifted(index: &[Dim], start: &[Dim]) -> Vec<Dim> {
    index.iter().zip(start).map(|(place, start)| place + start).collect()
}
