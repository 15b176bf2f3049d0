//! Builds graphs: typed nodes with numpy-style broadcasting made explicit.

use crate::infer::InferError;
use crate::{
    BinaryOp, CompareOp, Constant, Constants, DType, Dim, Graph, NodeId, Op, ReduceOp, Shape, Tensor,
    TensorType, UnaryOp, ValueId,
};
use cranelift_entity::SecondaryMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// A graph under construction, with the module's constants at hand.
///
/// Binary methods broadcast as numpy does, by inserting `broadcast` nodes; everything else is the op's row as it is.
pub struct GraphBuilder<'m> {
    constants: &'m mut Constants,
    graph: Graph,
    origin: Option<Arc<str>>,
    /// What stands for a value in nodes added from now on; a patch's replacements so far.
    replacements: SecondaryMap<ValueId, Option<ValueId>>,
}

impl<'m> GraphBuilder<'m> {
    /// An empty graph over a module's constants.
    pub fn new(constants: &'m mut Constants) -> GraphBuilder<'m> {
        GraphBuilder::over(Graph::new(), constants)
    }

    /// A builder that adds to `graph`. [`Patch`](crate::patch::Patch) is the way to change what is there.
    pub fn over(graph: Graph, constants: &'m mut Constants) -> GraphBuilder<'m> {
        GraphBuilder { constants, graph, origin: None, replacements: SecondaryMap::new() }
    }

    /// A builder for a region of a node that this builder will add.
    pub fn region(&mut self) -> GraphBuilder<'_> {
        let origin = self.origin.clone();
        GraphBuilder { origin, ..GraphBuilder::new(self.constants) }
    }

    /// The model's node that the next nodes come from.
    pub fn set_origin(&mut self, origin: Option<Arc<str>>) {
        self.origin = origin;
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The module's constants.
    pub fn constants(&self) -> &Constants {
        self.constants
    }

    /// Ends the graph with its results.
    pub fn finish(mut self, results: Vec<ValueId>) -> Graph {
        self.graph.set_results(results);
        self.graph
    }

    /// Names a value in the text form.
    pub fn set_name(&mut self, value: ValueId, name: &str) {
        self.graph.set_name(value, name);
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        self.graph.ty(value)
    }

    /// The extents of a value.
    pub fn shape(&self, value: ValueId) -> Shape {
        self.graph.ty(value).shape.clone()
    }

    /// The element type of a value.
    pub fn dtype(&self, value: ValueId) -> DType {
        self.graph.ty(value).dtype
    }

    /// The tensor of a value that is a constant.
    pub fn constant_value(&self, value: ValueId) -> Option<&Tensor> {
        match self.graph.node(self.graph.defining_node(self.current(value))?).op {
            Op::Constant { id } => Some(&self.constants[id].tensor),
            _ => None,
        }
    }

    /// What stands for `value` in the nodes that are added next: the value itself, unless a patch has replaced it.
    pub fn current(&self, mut value: ValueId) -> ValueId {
        while let Some(new) = self.replacements[value] {
            value = new;
        }
        value
    }

    /// Lets `new` stand for `old` from now on. Only patches call it, after their checks.
    pub(crate) fn set_current(&mut self, old: ValueId, new: ValueId) {
        self.replacements[old] = Some(new);
    }

    /// The graph, for patches.
    pub(crate) fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Adds a parameter.
    pub fn param(&mut self, ty: TensorType, name: Option<&str>) -> ValueId {
        self.graph.add_param(ty, name)
    }

    /// Adds a node with regions.
    pub fn node(&mut self, op: Op, operands: &[ValueId], regions: Vec<Graph>) -> Result<NodeId, InferError> {
        let operands: SmallVec<[ValueId; 4]> = operands.iter().map(|value| self.current(*value)).collect();
        self.graph.add_node(self.constants, op, &operands, regions, self.origin.clone())
    }

    /// Adds the nodes that the results of `body` depend on, with `arguments` in the place of its parameters, and gives the values of its
    /// results. The arguments may have other types than the parameters where all ops accept them.
    pub fn inline(&mut self, body: &Graph, arguments: &[ValueId]) -> Result<Vec<ValueId>, InferError> {
        if body.params().len() != arguments.len() {
            let reason = format!("takes {} arguments, not {}", body.params().len(), arguments.len());
            return Err(InferError { op: "inline", reason });
        }
        let mut map: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
        for (param, argument) in body.params().iter().zip(arguments) {
            map[*param] = Some(*argument);
        }
        let outer_origin = self.origin.clone();
        for id in body.order() {
            let node = body.node(id);
            let operands: SmallVec<[ValueId; 4]> =
                node.operands.iter().filter_map(|value| map[*value]).collect();
            self.origin = node.origin.clone().or_else(|| outer_origin.clone());
            let added = self.node(node.op.clone(), &operands, node.regions.clone());
            self.origin = outer_origin.clone();
            for (old, new) in node.results.iter().zip(self.graph.node(added?).results.clone()) {
                map[*old] = Some(new);
                if let Some(name) = &body.value(*old).name {
                    self.graph.set_name(new, name);
                }
            }
        }
        Ok(body.results().iter().filter_map(|value| map[*value]).collect())
    }

    /// Adds a node without regions and gives its results.
    pub fn results(&mut self, op: Op, operands: &[ValueId]) -> Result<SmallVec<[ValueId; 1]>, InferError> {
        let node = self.node(op, operands, Vec::new())?;
        Ok(self.graph.node(node).results.clone())
    }

    /// Adds a node without regions and gives its first result.
    pub fn op(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, InferError> {
        let name = op.name();
        let first = self.results(op, operands)?.first().copied();
        first.ok_or_else(|| InferError { op: name, reason: "has no result".into() })
    }

    /// A constant of the module under a name of its own.
    pub fn named_constant(&mut self, name: &str, tensor: Tensor) -> Result<ValueId, InferError> {
        let id = self.constants.push(Constant { name: name.into(), tensor });
        self.op(Op::Constant { id }, &[])
    }

    /// An anonymous constant.
    pub fn constant(&mut self, tensor: Tensor) -> Result<ValueId, InferError> {
        self.named_constant("", tensor)
    }

    /// A rank-0 constant.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Result<ValueId, InferError> {
        self.constant(Tensor::scalar(dtype, value))
    }

    /// A function of one element.
    pub fn unary(&mut self, op: UnaryOp, x: ValueId) -> Result<ValueId, InferError> {
        self.op(Op::Unary(op), &[x])
    }

    /// A function of two elements after broadcasting.
    pub fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Result<ValueId, InferError> {
        let operands = self.broadcast_together(&[x, y])?;
        self.op(Op::Binary(op), &operands)
    }

    /// A comparison after broadcasting.
    pub fn compare(&mut self, op: CompareOp, x: ValueId, y: ValueId) -> Result<ValueId, InferError> {
        let operands = self.broadcast_together(&[x, y])?;
        self.op(Op::Compare(op), &operands)
    }

    /// `x` where `condition`, else `y`, after broadcasting.
    pub fn select(&mut self, condition: ValueId, x: ValueId, y: ValueId) -> Result<ValueId, InferError> {
        let operands = self.broadcast_together(&[condition, x, y])?;
        self.op(Op::Select, &operands)
    }

    /// A function of `x` and a scalar constant of the same dtype.
    pub fn binary_scalar(&mut self, op: BinaryOp, x: ValueId, value: f64) -> Result<ValueId, InferError> {
        let scalar = self.scalar(self.dtype(x), value)?;
        self.binary(op, x, scalar)
    }

    /// Conversion by value; nothing where the dtype is already `to`.
    pub fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, InferError> {
        match self.dtype(x) == to {
            true => Ok(x),
            false => self.op(Op::Cast { to }, &[x]),
        }
    }

    /// The same elements under another shape; nothing where it is equal.
    pub fn reshape(&mut self, x: ValueId, shape: &[Dim]) -> Result<ValueId, InferError> {
        match self.shape(x).as_slice() == shape {
            true => Ok(x),
            false => self.op(Op::Reshape { shape: shape.to_vec() }, &[x]),
        }
    }

    /// Permuted dimensions; nothing for the identity.
    pub fn transpose(&mut self, x: ValueId, permutation: &[usize]) -> Result<ValueId, InferError> {
        match permutation.iter().copied().eq(0..permutation.len()) {
            true => Ok(x),
            false => self.op(Op::Transpose { permutation: permutation.to_vec() }, &[x]),
        }
    }

    /// `x` repeated to `shape` as numpy broadcasts it: dimensions are aligned at the end. Nothing where the shape is equal.
    pub fn broadcast_to(&mut self, x: ValueId, shape: &[Dim]) -> Result<ValueId, InferError> {
        let own = self.shape(x);
        if own.as_slice() == shape {
            return Ok(x);
        }
        let Some(offset) = shape.len().checked_sub(own.len()) else {
            let reason = format!("can't broadcast {} to rank {}", self.ty(x), shape.len());
            return Err(InferError { op: "broadcast", reason });
        };
        let dimensions = (offset..shape.len()).collect();
        self.op(Op::Broadcast { shape: shape.to_vec(), dimensions }, &[x])
    }

    /// The values repeated to their common shape, as numpy broadcasts.
    pub fn broadcast_together(&mut self, values: &[ValueId]) -> Result<SmallVec<[ValueId; 3]>, InferError> {
        let mut common = Shape::new();
        for value in values {
            common = broadcast_shapes(&common, &self.graph.ty(*value).shape)?;
        }
        values.iter().map(|value| self.broadcast_to(*value, &common)).collect()
    }

    /// Reduction over `axes`, which stay with extent 1 if `keep`.
    pub fn reduce(
        &mut self,
        combine: ReduceOp,
        x: ValueId,
        axes: &[usize],
        keep: bool,
    ) -> Result<ValueId, InferError> {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        let mut kept = self.shape(x);
        let reduced = self.op(Op::Reduce { combine, axes: axes.clone() }, &[x])?;
        if !keep {
            return Ok(reduced);
        }
        axes.iter().for_each(|axis| kept[*axis] = Dim::ONE);
        self.reshape(reduced, &kept)
    }
}

/// The shape to which numpy broadcasts the two, aligned at the end.
///
/// Extents must be equal or one of them 1; symbolic extents count as equal only if they are the same polynomial.
pub fn broadcast_shapes(a: &[Dim], b: &[Dim]) -> Result<Shape, InferError> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[Dim], place: usize| match (place + shape.len()).checked_sub(rank) {
        Some(index) => shape[index].clone(),
        None => Dim::ONE,
    };
    let mut common = Shape::new();
    for place in 0..rank {
        let (x, y) = (extent(a, place), extent(b, place));
        if x == y || y.is(1) {
            common.push(x);
        } else if x.is(1) {
            common.push(y);
        } else {
            let reason = format!("can't broadcast extents {x} and {y}");
            return Err(InferError { op: "broadcast", reason });
        }
    }
    Ok(common)
}
