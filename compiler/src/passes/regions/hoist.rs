//! What a loop's region computes from captures alone, or from slices and captures, goes before the loop.

use super::Source;
use crate::passes::PassError;
use cranelift_entity::SecondaryMap;
use graven_ir::{Category, Dim, Graph, GraphBuilder, Node, NodeId, Op, TensorType, ValueId};
use smallvec::SmallVec;

/// How a value of the region changes from trip to trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Not at all.
    Same,
    /// It is a slice of a value that can be computed before the loop.
    Sliced,
    /// It depends on carried values.
    #[default]
    Varying,
}

/// A region with what of it is computed outside.
pub(super) struct Hoist<'g> {
    pub graph: &'g Graph,
    levels: SecondaryMap<ValueId, Level>,
    /// What stands for values of the region that come from outside.
    sources: SecondaryMap<ValueId, Option<Source>>,
    /// Values that are the same in every trip, and wholes of slices, in the outer graph.
    outside: SecondaryMap<ValueId, Option<ValueId>>,
}

impl<'g> Hoist<'g> {
    /// The region as it is.
    pub fn new(graph: &'g Graph, sources: &[Source]) -> Hoist<'g> {
        let mut hoist = Hoist {
            graph,
            levels: SecondaryMap::new(),
            sources: SecondaryMap::new(),
            outside: SecondaryMap::new(),
        };
        for (param, source) in graph.params().iter().zip(sources) {
            hoist.sources[*param] = Some(*source);
            (hoist.levels[*param], hoist.outside[*param]) = match source {
                Source::Carried(_) => (Level::Varying, None),
                Source::Slice(value) => (Level::Sliced, Some(*value)),
                Source::Capture(value) => (Level::Same, Some(*value)),
            };
        }
        hoist
    }

    /// Computes what goes before the loop.
    pub fn run(&mut self, builder: &mut GraphBuilder) -> Result<(), PassError> {
        for id in self.graph.order() {
            let node = self.graph.node(id);
            let level = self.level(node);
            for result in &node.results {
                self.levels[*result] = level;
            }
            if is_worth_it(node, level) {
                let outer = self.outer(builder, id)?;
                let source = if level == Level::Same { Source::Capture(outer) } else { Source::Slice(outer) };
                self.sources[node.results[0]] = Some(source);
            }
        }
        Ok(())
    }

    fn level(&self, node: &Node) -> Level {
        let level = node.operands.iter().map(|operand| self.levels[*operand]).max().unwrap_or(Level::Same);
        let safe = node.regions.is_empty() && node.results.len() == 1 && cannot_fail(&node.op);
        match level {
            _ if !safe => Level::Varying,
            Level::Sliced if !self.takes_slices(node) => Level::Varying,
            level => level,
        }
    }

    /// Whether a node can be computed for all slices at once.
    fn takes_slices(&self, node: &Node) -> bool {
        let sliced = |place: usize| self.levels[node.operands[place]] == Level::Sliced;
        match &node.op {
            Op::DotGeneral { lhs_batch, .. } => lhs_batch.is_empty() || (sliced(0) && sliced(1)),
            Op::Reshape { .. } | Op::Transpose { .. } => true,
            Op::Quantize { .. } | Op::Dequantize { .. } => false,
            op => op.category() == Category::Elementwise,
        }
    }

    /// The node's result in the outer graph: the value itself, or all its slices.
    fn outer(&mut self, builder: &mut GraphBuilder, id: NodeId) -> Result<ValueId, PassError> {
        let node = self.graph.node(id);
        let result = node.results[0];
        if let Some(known) = self.outside[result] {
            return Ok(known);
        }
        let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
        for operand in &node.operands {
            operands.push(match (self.outside[*operand], self.graph.defining_node(*operand)) {
                (Some(known), _) => known,
                (None, Some(inner)) => self.outer(builder, inner)?,
                (None, None) => return Err(PassError::internal("a parameter that is nothing outside")),
            });
        }
        let sliced: SmallVec<[bool; 3]> =
            node.operands.iter().map(|operand| self.levels[*operand] == Level::Sliced).collect();
        let value = match self.levels[result] {
            Level::Sliced => all_slices(builder, &node.op, &operands, &sliced, self.graph.ty(result))?,
            _ => builder.op(node.op.clone(), &operands)?,
        };
        self.outside[result] = Some(value);
        Ok(value)
    }

    /// What the region needs from outside.
    pub fn needed(&self) -> Vec<Source> {
        let mut needed = Vec::new();
        let mut stack: Vec<ValueId> = self.graph.results().to_vec();
        let mut seen = cranelift_entity::EntitySet::<ValueId>::new();
        stack.extend(self.effects().flat_map(|id| self.graph.node(id).results.to_vec()));
        stack.extend(self.effects().flat_map(|id| self.graph.node(id).operands.to_vec()));
        while let Some(value) = stack.pop() {
            if !seen.insert(value) {
                continue;
            }
            match (self.sources[value], self.graph.defining_node(value)) {
                (Some(Source::Carried(_)), _) => {}
                (Some(source), _) => needed.push(source),
                (None, Some(id)) => stack.extend(&self.graph.node(id).operands),
                (None, None) => {}
            }
        }
        needed.reverse();
        needed
    }

    fn effects(&self) -> impl Iterator<Item = NodeId> {
        self.graph.nodes().map(|(id, _)| id).filter(|id| self.graph.has_effect(*id))
    }

    /// Builds what stays in a new region; gives its results.
    pub fn rebuild(
        &self,
        region: &mut GraphBuilder,
        params: &[(Source, ValueId)],
    ) -> Result<Vec<ValueId>, PassError> {
        let mut map: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
        for (value, source) in self.sources.iter() {
            let Some(source) = source else { continue };
            map[value] = params.iter().find(|(other, _)| other == source).map(|(_, param)| *param);
        }
        for id in self.graph.order() {
            let node = self.graph.node(id);
            if node.results.iter().any(|result| self.sources[*result].is_some()) {
                continue;
            }
            let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
            for operand in &node.operands {
                match map[*operand] {
                    Some(value) => operands.push(value),
                    None => break,
                }
            }
            if operands.len() < node.operands.len() {
                // It only serves what is computed outside.
                continue;
            }
            region.set_origin(node.origin.clone());
            let new = region.node(node.op.clone(), &operands, node.regions.clone())?;
            let results = region.graph().node(new).results.clone();
            for (old, new) in node.results.iter().zip(results) {
                map[*old] = Some(new);
                if let Some(name) = &self.graph.value(*old).name {
                    region.set_name(new, name);
                }
            }
        }
        let results = self.graph.results().iter().map(|result| map[*result]);
        results.collect::<Option<Vec<ValueId>>>().ok_or_else(|| PassError::internal("a region lost a result"))
    }
}

/// The type of the parameter for a source.
pub(super) fn param_type(builder: &GraphBuilder, source: Source) -> Result<TensorType, PassError> {
    match source {
        Source::Capture(value) => Ok(builder.ty(value).clone()),
        Source::Slice(value) => {
            let ty = builder.ty(value);
            let (_, rest) =
                ty.shape.split_first().ok_or_else(|| PassError::internal("a scan over a scalar"))?;
            Ok(TensorType { dtype: ty.dtype, shape: rest.into() })
        }
        Source::Carried(_) => Err(PassError::internal("a carried value is no operand of a region")),
    }
}

/// Ops that no data make fail and that have no effect.
fn cannot_fail(op: &Op) -> bool {
    !matches!(
        op,
        Op::Gather { .. }
            | Op::GatherElements { .. }
            | Op::GatherNd { .. }
            | Op::ScatterElements { .. }
            | Op::ScatterNd { .. }
    ) && op.is_pure()
        && op.region_count() == 0
}

/// Whether computing a node before the loop saves more than its result takes: leaves, and movement that kernels do as they read, stay, and of what
/// slices go through only products are worth it.
fn is_worth_it(node: &Node, level: Level) -> bool {
    let is_product = matches!(node.op, Op::DotGeneral { .. } | Op::Conv { .. });
    match level {
        Level::Same => {
            let moves = matches!(node.op.category(), Category::Leaf | Category::Movement);
            let orders = matches!(node.op, Op::Transpose { .. } | Op::Reverse { .. } | Op::Concat { .. });
            !moves || orders
        }
        Level::Sliced => is_product,
        Level::Varying => false,
    }
}

/// A node for all slices at once.
fn all_slices(
    builder: &mut GraphBuilder,
    op: &Op,
    operands: &[ValueId],
    sliced: &[bool],
    slice: &TensorType,
) -> Result<ValueId, PassError> {
    let whole = operands.iter().zip(sliced).find(|(_, sliced)| **sliced);
    let trips = whole.and_then(|(value, _)| builder.ty(*value).shape.first().cloned());
    let trips = trips.ok_or_else(|| PassError::internal("a slice of nothing"))?;
    let shape: Vec<Dim> = [trips].into_iter().chain(slice.shape.iter().cloned()).collect();
    let after = |axes: &[usize]| axes.iter().map(|axis| axis + 1).collect::<Vec<usize>>();
    match op {
        Op::Reshape { .. } => Ok(builder.reshape(operands[0], &shape)?),
        Op::Transpose { permutation } => {
            let permutation: Vec<usize> = [0].into_iter().chain(after(permutation)).collect();
            Ok(builder.transpose(operands[0], &permutation)?)
        }
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            let both = sliced[0] && sliced[1];
            let shift = |axes: &[usize], sliced: bool| if sliced { after(axes) } else { axes.to_vec() };
            let batch = |axes: &[usize], sliced: bool| {
                let lead = if both { vec![0] } else { Vec::new() };
                lead.into_iter().chain(shift(axes, sliced)).collect::<Vec<usize>>()
            };
            let product = Op::DotGeneral {
                lhs_batch: batch(lhs_batch, sliced[0]),
                rhs_batch: batch(rhs_batch, sliced[1]),
                lhs_contract: shift(lhs_contract, sliced[0]),
                rhs_contract: shift(rhs_contract, sliced[1]),
            };
            let value = builder.op(product, operands)?;
            if sliced[0] {
                return Ok(value);
            }
            // The trips are the first free dimension of the right operand, after the left one's.
            let lead = builder.ty(operands[0]).rank() - lhs_contract.len();
            let rank = builder.ty(value).rank();
            let permutation: Vec<usize> =
                [lead].into_iter().chain((0..rank).filter(|axis| *axis != lead)).collect();
            Ok(builder.transpose(value, &permutation)?)
        }
        op => {
            let mut wholes: SmallVec<[ValueId; 3]> = SmallVec::new();
            for (operand, sliced) in operands.iter().zip(sliced) {
                wholes.push(match sliced {
                    true => *operand,
                    false => builder.broadcast_to(*operand, &shape)?,
                });
            }
            Ok(builder.op(op.clone(), &wholes)?)
        }
    }
}
