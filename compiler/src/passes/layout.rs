//! Chooses layouts: blocked channels around convolutions, halos where they pad, row-major everywhere else.
//!
//! Before: `%1 = fuse {kind = conv}` reads row-major `%0`. After: `%2 = relayout %0` with a blocked layout and a halo, which the group reads.
//! Layouts go through groups that evaluate element by element: their results take the layout of a blocked operand of the same shape. Where
//! an operand's layout does not fit, and at the outputs, a `relayout` copies the value; each value is copied at most once per layout.

use crate::form::constant::ConstantView;
use crate::form::layout::Layout;
use crate::form::lower::Layouts;
use crate::form::{conv_halo, conv_is_direct};
use crate::target::Target;
use cranelift_entity::SecondaryMap;
use graven_ir::infer::InferError;
use graven_ir::{Category, Constants, Dim, Graph, Node, NodeId, Op, ValueId};

/// The graph with its relayouts, and the layouts of its values.
pub fn run(constants: &Constants, graph: &Graph, target: &Target) -> Result<(Graph, Layouts), InferError> {
    let lanes = i64::from(target.lanes(4));
    let mut pass = Pass {
        constants,
        graph,
        // Two vectors of channels where they are narrow, so that a tile is one block.
        block: if lanes > 1 { lanes.max(8) } else { 0 },
        halos: SecondaryMap::new(),
        result: Graph::new(),
        layouts: Layouts::default(),
        target,
        map: SecondaryMap::new(),
        copies: Vec::new(),
    };
    pass.find_halos();
    for param in graph.params() {
        let value = graph.value(*param);
        pass.map[*param] = Some(pass.result.add_param(value.ty.clone(), value.name.as_deref()));
    }
    for id in graph.order() {
        pass.node(id)?;
    }
    let mut results = Vec::with_capacity(graph.results().len());
    for result in graph.results() {
        let plain = Layout::row_major(graph.ty(*result).rank());
        results.push(pass.value_as(*result, &plain)?);
    }
    pass.result.set_results(results);
    Ok((pass.result, pass.layouts))
}

/// Channels that are cut or joined at multiples of this stay in blocks.
const MOVED_CHANNELS: i64 = 4;

/// Of channels these many apart too.
const SPACED_CHANNELS: [i64; 2] = [2, 4];

struct Pass<'a> {
    constants: &'a Constants,
    graph: &'a Graph,
    target: &'a Target,
    /// Channels per block, 0 for none.
    block: i64,
    /// The zeros that convolutions want around each value.
    halos: SecondaryMap<ValueId, Option<Vec<(i64, i64)>>>,
    result: Graph,
    layouts: Layouts,
    map: SecondaryMap<ValueId, Option<ValueId>>,
    /// Values copied into another layout.
    copies: Vec<(ValueId, Layout, ValueId)>,
}

impl Pass<'_> {
    /// The convolution of a node or group, with the place of its input among the operands.
    fn conv<'n>(&self, node: &'n Node) -> Option<(&'n Op, usize)> {
        match (&node.op, node.regions.first()) {
            (Op::Conv { .. }, _) => Some((&node.op, 0)),
            (Op::Fuse { .. }, Some(region)) => {
                let id =
                    region.order().into_iter().find(|id| matches!(region.node(*id).op, Op::Conv { .. }))?;
                let conv = region.node(id);
                let place = region.params().iter().position(|param| *param == conv.operands[0])?;
                Some((&conv.op, place))
            }
            _ => None,
        }
    }

    /// Whether the direct schedules take the convolution, the operands' layouts aside.
    fn is_direct(&self, node: &Node, op: &Op, input: usize) -> bool {
        conv_is_direct(op, self.graph.ty(node.operands[input]).dtype) && self.kernel_is_constant(node)
    }

    fn kernel_is_constant(&self, node: &Node) -> bool {
        let is_constant = |value| ConstantView::of(self.constants, self.graph, value).is_some();
        match node.regions.first() {
            None => is_constant(node.operands[1]),
            Some(region) => {
                let conv = region
                    .order()
                    .into_iter()
                    .map(|id| region.node(id))
                    .find(|n| matches!(n.op, Op::Conv { .. }));
                let kernel =
                    conv.and_then(|conv| region.params().iter().position(|param| *param == conv.operands[1]));
                kernel.is_some_and(|place| is_constant(node.operands[place]))
            }
        }
    }

    fn find_halos(&mut self) {
        if self.block == 0 {
            return;
        }
        for id in self.graph.order() {
            let node = self.graph.node(id);
            let Some((op, input)) = self.conv(node) else { continue };
            let Some(wanted) = conv_halo(op).filter(|_| self.is_direct(node, op, input)) else { continue };
            let value = node.operands[input];
            let halo = self.halos[value].get_or_insert_with(|| vec![(0, 0); wanted.len()]);
            halo.iter_mut()
                .zip(wanted)
                .for_each(|(have, want)| *have = (have.0.max(want.0), have.1.max(want.1)));
        }
    }

    /// A layout with the zeros that the value's readers want.
    fn with_halo(&self, value: ValueId, layout: Layout) -> Layout {
        match &self.halos[value] {
            Some(halo) => Layout { halo: halo.clone(), ..layout },
            None => layout,
        }
    }

    fn blocked(&self, value: ValueId) -> Layout {
        self.with_halo(value, Layout::blocked(self.graph.ty(value).rank(), self.block))
    }

    fn channels(&self, value: ValueId) -> i64 {
        self.graph.ty(value).shape.get(1).and_then(Dim::as_const).unwrap_or(0)
    }

    fn layout(&self, new: ValueId) -> Layout {
        self.layouts.values[new].clone().unwrap_or_else(|| Layout::row_major(self.result.ty(new).rank()))
    }

    fn node(&mut self, id: NodeId) -> Result<(), InferError> {
        let node = self.graph.node(id);
        let (operands, results) = self.choose(node);
        let mut new_operands = Vec::with_capacity(node.operands.len());
        for (operand, wanted) in node.operands.iter().zip(operands) {
            new_operands.push(match wanted {
                Some(layout) => self.value_as(*operand, &layout)?,
                None => self.map[*operand].ok_or_else(|| missing(*operand))?,
            });
        }
        let (op, origin) = (node.op.clone(), node.origin.clone());
        let (regions, inner) = self.regions(node)?;
        let new = self.result.add_node(self.constants, op, &new_operands, regions, origin)?;
        self.layouts.regions.extend(inner.into_iter().enumerate().map(|(n, layouts)| ((new, n), layouts)));
        let new_results = self.result.node(new).results.clone();
        for ((old, new), layout) in node.results.iter().zip(new_results).zip(results) {
            self.map[*old] = Some(new);
            self.layouts.values[new] = layout.filter(|layout| !layout.is_row_major());
        }
        Ok(())
    }

    /// The regions of control flow with their own layouts; groups stay as they are.
    fn regions(&self, node: &Node) -> Result<(Vec<Graph>, Vec<Layouts>), InferError> {
        if matches!(node.op, Op::Fuse { .. }) {
            return Ok((node.regions.clone(), Vec::new()));
        }
        let regions = node.regions.iter().map(|region| run(self.constants, region, self.target));
        Ok(regions.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
    }

    /// The layouts that a node wants of its operands (`None`: as they are) and gives its results (`None`: row-major).
    fn choose(&self, node: &Node) -> (Vec<Option<Layout>>, Vec<Option<Layout>>) {
        let plain = |value: &ValueId| Some(Layout::row_major(self.graph.ty(*value).rank()));
        let all_plain = || (node.operands.iter().map(plain).collect(), vec![None; node.results.len()]);
        if self.block == 0 {
            return all_plain();
        }
        if let Some((op, input)) = self.conv(node).filter(|(op, input)| self.is_direct(node, op, *input)) {
            return self.choose_conv(node, op, input);
        }
        let shape = match node.results.as_slice() {
            [result] => self.graph.ty(*result).shape.clone(),
            _ => return all_plain(),
        };
        let keeps = self.keeps_channels(node);
        let blocked = |value: &ValueId| self.map[*value].is_some_and(|new| self.layout(new).block.is_some());
        if !keeps || !node.operands.iter().any(blocked) {
            // Padded but unblocked values are read as they are too.
            return all_plain();
        }
        let result = node.results[0];
        let (moves_channels, reduced_rank) = (self.moves_channels(node), self.reduced_rank(node));
        let wants = |value: &ValueId| {
            let other = &self.graph.ty(*value).shape;
            let same_channels = other.len() == shape.len() && other.get(1) == shape.get(1) && !other[1].is(1);
            let cut_channels = moves_channels && other.len() == shape.len();
            let is_reduced = Some(other.len()) == reduced_rank && self.channels(*value) % self.block == 0;
            match blocked(value) {
                true if same_channels || cut_channels || is_reduced => None,
                false if same_channels && other == &shape => Some(Layout::blocked(shape.len(), self.block)),
                _ => plain(value),
            }
        };
        let result_layout = (shape.len() >= 3).then(|| self.blocked(result));
        (node.operands.iter().map(wants).collect(), vec![result_layout])
    }

    fn choose_conv(&self, node: &Node, op: &Op, input: usize) -> (Vec<Option<Layout>>, Vec<Option<Layout>>) {
        let Op::Conv { feature_groups, .. } = op else { return (Vec::new(), Vec::new()) };
        let value = node.operands[input];
        let result = node.results[0];
        let (inputs, features) = (self.channels(value), self.channels(result));
        let already = self.map[value].is_some_and(|new| self.layout(new).block.is_some());
        let rank = self.graph.ty(value).rank();
        let depthwise = *feature_groups == features && features == inputs && features > 1;
        let uneven_groups = *feature_groups > 1 && !depthwise && (inputs / feature_groups) % self.block != 0;
        let input_layout = match (already || inputs >= self.block || depthwise) && !uneven_groups {
            true => self.blocked(value),
            false => self.with_halo(value, Layout::row_major(rank)),
        };
        let output = (features >= self.block / 2).then(|| self.blocked(result));
        let result_shape = &self.graph.ty(result).shape;
        let wants = |(place, value): (usize, &ValueId)| {
            let ty = self.graph.ty(*value);
            if place == input {
                return Some(input_layout.clone());
            }
            match (&output, ty.shape == *result_shape) {
                // A residual: blocked as the result, with whatever zeros around it.
                (Some(_), true) => {
                    let fits = self.map[*value].is_some_and(|new| self.layout(new).block.is_some());
                    if fits { None } else { Some(Layout::blocked(ty.rank(), self.block)) }
                }
                _ => Some(Layout::row_major(ty.rank())),
            }
        };
        let operands = node.operands.iter().enumerate().map(wants).collect();
        (operands, vec![output])
    }

    /// Whether each result channel is computed from the same channel of every operand that has channels, so that blocks stay together.
    fn keeps_channels(&self, node: &Node) -> bool {
        match (&node.op, node.regions.first()) {
            (Op::Fuse { .. }, Some(region)) => {
                let shape = |value: ValueId| &region.ty(value).shape;
                // Reductions whose results are spread again have a schedule for row-major operands only.
                let spreads = |node: &Node| {
                    matches!(node.op, Op::Reduce { .. })
                        && shape(node.results[0]) != shape(region.results()[0])
                };
                let keeps = |node: &Node| self.op_keeps_channels(region, node) && !spreads(node);
                region.order().iter().all(|id| keeps(region.node(*id)))
            }
            _ => self.op_keeps_channels(self.graph, node),
        }
    }

    /// Whether channels are joined or cut.
    fn moves_channels(&self, node: &Node) -> bool {
        let moves = |graph: &Graph, node: &Node| match &node.op {
            Op::Concat { axis } => *axis == 1,
            Op::Slice { .. } => {
                graph.ty(node.operands[0]).shape.get(1) != graph.ty(node.results[0]).shape.get(1)
            }
            _ => false,
        };
        match node.regions.first() {
            Some(region) => region.order().iter().any(|id| moves(region, region.node(*id))),
            None => moves(self.graph, node),
        }
    }

    /// The rank of what the node's only reduction reduces. Several may depend on each other, which only row-major operands have a schedule for.
    fn reduced_rank(&self, node: &Node) -> Option<usize> {
        let is_reduction = |node: &&Node| matches!(node.op, Op::Reduce { .. });
        let Some(region) = node.regions.first() else {
            return Some(node).filter(is_reduction).map(|node| self.graph.ty(node.operands[0]).rank());
        };
        let mut reductions = region
            .order()
            .into_iter()
            .map(|id| region.node(id))
            .filter(is_reduction)
            .map(|node| node.operands[0]);
        let operand = reductions.next()?;
        reductions.next().is_none().then(|| region.ty(operand).rank())
    }

    fn op_keeps_channels(&self, graph: &Graph, node: &Node) -> bool {
        let untouched = |axis: usize| axis != 1;
        let rank = node.results.first().map_or(0, |result| graph.ty(*result).rank());
        // Parts of vectors are moved where blocks meet blocks at these places.
        let even = |place: &Dim| place.as_const().is_some_and(|place| place % MOVED_CHANNELS == 0);
        match &node.op {
            Op::ReduceWindow { size, stride, padding_low, padding_high, .. } => {
                rank >= 3 && size[1] == 1 && stride[1] == 1 && padding_low[1].is(0) && padding_high[1].is(0)
            }
            Op::Concat { axis } => {
                let channels = |value: &ValueId| graph.ty(*value).shape.get(1).is_some_and(even);
                rank >= 3 && (untouched(*axis) || node.operands.iter().all(channels))
            }
            Op::Reduce { axes, .. } => {
                let shape = &graph.ty(node.operands[0]).shape;
                axes.iter().all(|axis| *axis >= 2) && axes.len() + 2 == shape.len()
            }
            Op::Broadcast { .. } | Op::Constant { .. } | Op::Silu | Op::Gelu { .. } => true,
            Op::Slice { start, stride, .. } => {
                let some = |start: &Dim| start.as_const().is_some_and(|start| start < stride[1]);
                rank >= 3
                    && match stride[1] {
                        1 => even(&start[1]),
                        stride => SPACED_CHANNELS.contains(&stride) && some(&start[1]),
                    }
            }
            Op::Pad { low, high, interior } => rank >= 3 && low[1].is(0) && high[1].is(0) && interior[1] == 0,
            Op::Gather { axis } => rank >= 3 && *axis >= 2 && graph.ty(node.operands[1]).rank() == 1,
            op => {
                op.category() == Category::Elementwise
                    && !matches!(op, Op::Quantize { .. } | Op::Dequantize { .. })
            }
        }
    }

    /// The value in a layout: as it is if that has the same order and at least the zeros, else a copy.
    fn value_as(&mut self, value: ValueId, layout: &Layout) -> Result<ValueId, InferError> {
        let new = self.map[value].ok_or_else(|| missing(value))?;
        if fits(&self.layout(new), layout) {
            return Ok(new);
        }
        if let Some((_, _, copy)) =
            self.copies.iter().find(|(from, other, _)| *from == new && other == layout)
        {
            return Ok(*copy);
        }
        let node = self.result.add_node(self.constants, Op::Relayout, &[new], Vec::new(), None)?;
        let copy = self.result.node(node).results[0];
        self.layouts.values[copy] = Some(layout.clone()).filter(|layout| !layout.is_row_major());
        self.copies.push((new, layout.clone(), copy));
        Ok(copy)
    }
}

/// Whether a value in layout `have` can be read where `want` is wanted. Row-major wants exactly that, since it may leave the model or be viewed under another shape.
fn fits(have: &Layout, want: &Layout) -> bool {
    if want.is_row_major() {
        return have.is_row_major();
    }
    let enough = have.halo.iter().zip(&want.halo).all(|(have, want)| have.0 >= want.0 && have.1 >= want.1);
    have.order == want.order && have.block == want.block && enough
}

fn missing(value: ValueId) -> InferError {
    InferError { op: "relayout", reason: format!("{value} is computed after its use") }
}
