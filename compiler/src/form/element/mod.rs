//! Evaluates graph values element by element into kernel code.
//!
//! An [`Evaluator`] computes a value of a fusion group at an index, which is a list of [`Dim`]s over loop variables. Movement ops map the
//! index to one of their operand, so they cost nothing but index arithmetic; reductions and contractions become loops in place.
//! With a [`Lane`] the index depends on the lane symbol and a vector is computed; what does not depend on it is computed once and splat.
//!
//! * [`elementwise`]: functions of elements
//! * [`movement`]: movement ops as index maps
//! * [`indexing`]: gathers by data
//! * [`accumulate`]: reductions, windows, contractions as loops

mod accumulate;
mod elementwise;
mod indexing;
mod movement;

pub use accumulate::{combiner, identity, multiply_add, place_dims};
pub use indexing::{checked, clamped};
pub use movement::map_index;

use super::FormError;
use super::schedule::reduction::RowView;
use super::view::{Lane, View, load_lanes};
use crate::kernel::{BufferId, KernelBuilder, Spread, Type, Val, math};
use cranelift_entity::{EntitySet, SecondaryMap};
use graven_ir::{Constants, DType, Dim, Graph, Op, ValueId};
use rustc_hash::FxHashMap;

/// Where a value of the group comes from, if not from its node.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// It is computed by its node.
    #[default]
    Node,
    /// It lies in memory.
    Memory(Box<View>),
    /// It is in a register, for the index that is being evaluated.
    Register(Val),
    /// It is in a register for this index; elsewhere its node computes it.
    Row {
        /// The index.
        index: Vec<Dim>,
        /// A scalar, or a vector over the lanes of the index.
        value: Val,
    },
    /// The row that is being worked on lies in scratch memory.
    Scratch(RowView),
}

type Key = (ValueId, Vec<Dim>, u16);

/// Evaluates values of a group; see the [module documentation](self).
pub struct Evaluator<'a> {
    /// The group's graph.
    pub graph: &'a Graph,
    /// The module's constants.
    pub constants: &'a Constants,
    /// The vector that is being computed.
    pub lane: Option<Lane>,
    sources: SecondaryMap<ValueId, Source>,
    /// Values that are known to be 0 at most.
    nonpositive: EntitySet<ValueId>,
    /// Values that are known to be 1 at least, or NaN.
    at_least_one: EntitySet<ValueId>,
    /// What was loaded from where, while that is recorded.
    loads: Option<Vec<(BufferId, Dim)>>,
    /// Values computed in the open blocks, innermost last.
    known: Vec<FxHashMap<Key, Val>>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator of `graph`.
    pub fn new(graph: &'a Graph, constants: &'a Constants) -> Evaluator<'a> {
        Evaluator {
            graph,
            constants,
            lane: None,
            sources: SecondaryMap::new(),
            nonpositive: EntitySet::new(),
            at_least_one: EntitySet::new(),
            loads: None,
            known: vec![FxHashMap::default()],
        }
    }

    /// Says that a value is never above 0.
    pub fn set_nonpositive(&mut self, value: ValueId) {
        self.nonpositive.insert(value);
    }

    /// Says that a value is never below 1.
    pub fn set_at_least_one(&mut self, value: ValueId) {
        self.at_least_one.insert(value);
    }

    /// Whether a value repeats one that is never below 1.
    fn repeats_at_least_one(&self, value: ValueId) -> bool {
        let mut value = value;
        while !self.at_least_one.contains(value) {
            let Some(id) = self.graph.defining_node(value) else { return false };
            match &self.graph.node(id).op {
                Op::Broadcast { .. } | Op::Reshape { .. } => value = self.graph.node(id).operands[0],
                _ => return false,
            }
        }
        true
    }

    /// Begins to record the addresses of loads.
    pub fn start_recording(&mut self) {
        self.loads = Some(Vec::new());
    }

    /// The buffers and addresses of the loads since [`Evaluator::start_recording`].
    pub fn take_loads(&mut self) -> Vec<(BufferId, Dim)> {
        self.loads.take().unwrap_or_default()
    }

    /// Says where a value comes from.
    pub fn bind(&mut self, value: ValueId, source: Source) {
        self.sources[value] = source;
    }

    /// Where a value comes from.
    pub fn source(&self, value: ValueId) -> &Source {
        &self.sources[value]
    }

    /// Where in memory the element of a value at `index` lies, if only index maps stand between.
    pub fn in_memory(&self, value: ValueId, index: &[Dim]) -> Option<(View, Dim)> {
        if let Source::Memory(view) = &self.sources[value] {
            return Some((View::clone(view), view.address(index)));
        }
        let Source::Node = self.sources[value] else { return None };
        let node = self.graph.node(self.graph.defining_node(value)?);
        let operand = *node.operands.first()?;
        let (from, to) = (&self.graph.ty(operand).shape, &self.graph.ty(value).shape);
        self.in_memory(operand, &movement::map_index(&node.op, from, to, index)?)
    }

    /// Runs `body` in a block of its own: values that it computes are not used after it.
    pub fn scope<R>(&mut self, body: impl FnOnce(&mut Evaluator<'a>) -> R) -> R {
        self.known.push(FxHashMap::default());
        let result = body(self);
        self.known.pop();
        result
    }

    /// Runs `body` for vectors of `lane`, or for scalars.
    pub fn with_lane<R>(&mut self, lane: Option<Lane>, body: impl FnOnce(&mut Evaluator<'a>) -> R) -> R {
        let before = std::mem::replace(&mut self.lane, lane);
        let result = body(self);
        self.lane = before;
        result
    }

    /// The number of lanes being computed.
    pub fn lanes(&self) -> u16 {
        self.lane.as_ref().map_or(1, |lane| lane.count)
    }

    /// The element type of a value of the group.
    pub fn dtype(&self, value: ValueId) -> DType {
        self.graph.ty(value).dtype
    }

    /// The register type of a value of the group.
    pub fn register_type(&self, value: ValueId) -> Type {
        math::register_type(self.dtype(value), self.lanes())
    }

    /// The value's element at `index`, or a vector of elements.
    pub fn value(&mut self, b: &mut KernelBuilder, value: ValueId, index: &[Dim]) -> Result<Val, FormError> {
        if let Some(lane) = &self.lane
            && !matches!(self.sources[value], Source::Register(_))
            && !lane.varies(index)
            && !self.is_row(value, index)
        {
            let lanes = lane.count;
            let scalar = self.with_lane(None, |e| e.value(b, value, index))?;
            return Ok(splat(b, scalar, lanes, self.register_type(value)));
        }
        let key = (value, index.to_vec(), self.lanes());
        if let Some(known) = self.known.iter().rev().find_map(|scope| scope.get(&key)) {
            return Ok(*known);
        }
        let result = match self.sources[value].clone() {
            Source::Register(register) => splat(b, register, self.lanes(), self.register_type(value)),
            Source::Memory(view) => self.load(b, &view, value, index),
            Source::Row { value: register, index: row } if row == index => {
                splat(b, register, self.lanes(), self.register_type(value))
            }
            Source::Scratch(view) => self.load_row(b, &view, index),
            Source::Row { .. } | Source::Node => self.node_value(b, value, index)?,
        };
        if let Some(scope) = self.known.last_mut() {
            scope.insert(key, result);
        }
        Ok(result)
    }

    fn load(&mut self, b: &mut KernelBuilder, view: &View, value: ValueId, index: &[Dim]) -> Val {
        if let Some(loads) = &mut self.loads {
            loads.push((view.buffer, view.address(index)));
        }
        let Some(lane) = self.lane.clone() else {
            return math::load(b, view.buffer, &view.address(index), 1, Spread::Contiguous, None);
        };
        match load_lanes(b, view, index, &lane) {
            Some(loaded) => loaded,
            None => {
                let element = view.address(index);
                let scalars = (0..lane.count)
                    .map(|k| math::load(b, view.buffer, &lane.at(&element, k), 1, Spread::Contiguous, None));
                let scalars: Vec<Val> = scalars.collect();
                join(b, &scalars, self.register_type(value))
            }
        }
    }

    fn is_row(&self, value: ValueId, index: &[Dim]) -> bool {
        matches!(&self.sources[value], Source::Row { index: row, .. } if row == index)
    }

    /// Rows hold registers' values, halves in f32.
    fn load_row(&mut self, b: &mut KernelBuilder, view: &RowView, index: &[Dim]) -> Val {
        let lane = self.lane.clone();
        let (base, spread) = view.place(index, lane.as_ref());
        math::load(b, view.buffer, &base, self.lanes(), spread, None)
    }

    /// Evaluates lane by lane what has no vector form.
    pub fn per_lane(
        &mut self,
        b: &mut KernelBuilder,
        value: ValueId,
        index: &[Dim],
        mut scalar: impl FnMut(&mut Evaluator<'a>, &mut KernelBuilder, &[Dim]) -> Result<Val, FormError>,
    ) -> Result<Val, FormError> {
        let Some(lane) = self.lane.clone() else { return scalar(self, b, index) };
        let mut scalars = Vec::with_capacity(usize::from(lane.count));
        for k in 0..lane.count {
            let place: Vec<Dim> = index.iter().map(|dim| lane.at(dim, k)).collect();
            scalars.push(self.with_lane(None, |e| scalar(e, b, &place))?);
        }
        Ok(join(b, &scalars, self.register_type(value)))
    }

    fn node_value(&mut self, b: &mut KernelBuilder, value: ValueId, index: &[Dim]) -> Result<Val, FormError> {
        let graph = self.graph;
        let Some(id) = graph.defining_node(value) else {
            return Err(FormError::internal("a group's parameter has no source"));
        };
        let node = graph.node(id);
        match &node.op {
            Op::Constant { .. }
            | Op::Extent { .. }
            | Op::Iota { .. }
            | Op::RandomBits { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast { .. }
            | Op::Bitcast { .. }
            | Op::Quantize { .. }
            | Op::Dequantize { .. }
            | Op::Gelu { .. }
            | Op::Silu => self.elementwise(b, node, value, index),
            Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Broadcast { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Reverse { .. }
            | Op::Relayout => self.movement(b, node, value, index),
            Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } | Op::DynamicSlice { .. } => {
                self.indexing(b, node, value, index)
            }
            Op::Reduce { .. } | Op::ReduceWindow { .. } | Op::DotGeneral { .. } | Op::Conv { .. } => {
                self.accumulate(b, node, value, index)
            }
            Op::ArgReduce { .. } | Op::ArgMaxWindow { .. } => self.arg(b, node, value, index),
            Op::Cumulative { .. }
            | Op::Sort { .. }
            | Op::TopK { .. }
            | Op::ScatterElements { .. }
            | Op::ScatterNd { .. }
            | Op::DynamicUpdateSlice
            | Op::BindExtent { .. }
            | Op::If
            | Op::While { .. }
            | Op::Scan { .. }
            | Op::Fuse { .. }
            | Op::Softmax { .. }
            | Op::LogSoftmax { .. }
            | Op::LayerNorm { .. }
            | Op::RmsNorm { .. }
            | Op::Attention { .. }
            | Op::CustomCall { .. } => Err(FormError::internal(format!(
                "`{}` inside a fusion group has no element form",
                node.op.name()
            ))),
        }
    }
}

/// A scalar in all lanes, masks included.
pub fn splat(b: &mut KernelBuilder, value: Val, lanes: u16, ty: Type) -> Val {
    if b.ty(value).lanes == lanes {
        return value;
    }
    if !b.ty(value).is_mask() {
        return b.splat(value, lanes);
    }
    let ones = b.convert(value, DType::I32);
    let vector = b.splat(ones, lanes);
    let zero = b.int(0, b.ty(vector));
    let mask = b.compare(crate::kernel::Compare::Ne, vector, zero);
    b.convert_mask(mask, ty)
}

/// Scalars as the lanes of a vector, masks included.
pub fn join(b: &mut KernelBuilder, scalars: &[Val], ty: Type) -> Val {
    let lanes = scalars.len() as u16;
    let is_mask = scalars.first().is_some_and(|first| b.ty(*first).is_mask());
    let number = |b: &mut KernelBuilder, x: Val| if is_mask { b.convert(x, DType::I32) } else { x };
    let mut vector = None;
    for (k, scalar) in scalars.iter().enumerate() {
        let x = number(b, *scalar);
        vector = Some(match vector {
            None => b.splat(x, lanes),
            Some(vector) => b.insert(vector, x, k as u16),
        });
    }
    let vector = vector.unwrap_or_else(|| b.constant(0.0, ty));
    if !is_mask {
        return vector;
    }
    let zero = b.int(0, b.ty(vector));
    let mask = b.compare(crate::kernel::Compare::Ne, vector, zero);
    b.convert_mask(mask, ty)
}
