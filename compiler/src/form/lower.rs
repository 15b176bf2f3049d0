//! Walks a function in order, gives every value a place, and turns groups into launches.
//!
//! Expected of the graph: no composites (they are decomposed before), constants and groups only. Reshapes of row-major
//! values outside groups are views: operand and result share a slot.

use super::FormError;
use super::group::Group;
use super::layout::Layout;
use super::plan;
use super::schedule::{Argument, Context, fill, schedule};
use crate::kernel::Kernel;
use crate::program::{
    Cost, KernelId, Launch, Packing, Place, Port, Program, Slot, SlotId, Step, WeightsPart, WeightsSource,
};
use crate::target::Target;
use cranelift_entity::SecondaryMap;
use graven_ir::{ConstantId, Dim, Function, Graph, Module, Node, Op, Tensor, TensorType, ValueId};
use rustc_hash::FxHashMap;

/// Layouts of values that are not row-major.
pub type Layouts = SecondaryMap<ValueId, Option<Layout>>;

/// The program of a function for a target.
pub fn lower(
    module: &Module,
    function: &Function,
    layouts: &Layouts,
    target: &Target,
) -> Result<Program, FormError> {
    let graph = &function.graph;
    let mut lowering = Lowering {
        module,
        graph,
        layouts,
        target,
        program: Program { name: module.name.clone(), symbols: module.symbols.clone(), ..Program::default() },
        stored: SecondaryMap::new(),
        kernels: FxHashMap::default(),
        plain: FxHashMap::default(),
        packed: FxHashMap::default(),
    };
    lowering.signature(function)?;
    for id in graph.order() {
        lowering.node(graph.node(id))?;
    }
    lowering.results(function)?;
    plan::place(&mut lowering.program);
    Ok(lowering.program)
}

struct Lowering<'a> {
    module: &'a Module,
    graph: &'a Graph,
    layouts: &'a Layouts,
    target: &'a Target,
    program: Program,
    stored: SecondaryMap<ValueId, Option<SlotId>>,
    /// Kernels without their names: equal ones are compiled once.
    kernels: FxHashMap<Kernel, KernelId>,
    plain: FxHashMap<ConstantId, SlotId>,
    packed: FxHashMap<(ConstantId, Packing), SlotId>,
}

impl Lowering<'_> {
    fn signature(&mut self, function: &Function) -> Result<(), FormError> {
        let graph = self.graph;
        let inputs = function.inputs.len();
        for (n, param) in graph.params().iter().enumerate() {
            let ty = graph.ty(*param).clone();
            let (place, ports, name) = match n.checked_sub(inputs) {
                None => (Place::Input(n as u32), &mut self.program.inputs, &function.inputs[n]),
                Some(state) => {
                    (Place::State(state as u32), &mut self.program.states, &function.states[state])
                }
            };
            ports.push(Port { name: name.clone(), ty: ty.clone() });
            let slot = self.program.slots.push(Slot { place, dtype: ty.dtype, elements: ty.elements() });
            self.stored[*param] = Some(slot);
        }
        for (name, value) in function.outputs.iter().zip(graph.results()) {
            self.program.outputs.push(Port { name: name.clone(), ty: graph.ty(*value).clone() });
        }
        Ok(())
    }

    fn layout(&self, value: ValueId) -> Layout {
        self.layouts[value].clone().unwrap_or_else(|| Layout::row_major(self.graph.ty(value).rank()))
    }

    fn node(&mut self, node: &Node) -> Result<(), FormError> {
        match &node.op {
            // Constants get a place when a kernel reads them.
            Op::Constant { .. } => Ok(()),
            Op::Reshape { .. } if self.is_view(node) => {
                let slot = self.slot(node.operands[0])?;
                self.stored[node.results[0]] = Some(slot);
                Ok(())
            }
            op if op.region_count() > 0 && !matches!(op, Op::Fuse { .. }) => Err(unsupported(node)),
            Op::CustomCall { .. } => Err(unsupported(node)),
            _ => self.group(node),
        }
    }

    fn is_view(&self, node: &Node) -> bool {
        self.layout(node.operands[0]).is_row_major() && self.layout(node.results[0]).is_row_major()
    }

    fn group(&mut self, node: &Node) -> Result<(), FormError> {
        let group = Group::of(&self.module.constants, self.graph, node)?;
        let context = Context {
            target: self.target,
            constants: &self.module.constants,
            operands: group.operands.iter().map(|value| self.layout(*value)).collect(),
            results: group.results.iter().map(|value| self.layout(*value)).collect(),
            tensors: group
                .operands
                .iter()
                .map(|value| self.tensor(*value).map(|(_, tensor)| tensor))
                .collect(),
        };
        let scheduled = schedule(&group, &context)?;
        for result in &group.results {
            let slot = self.result_slot(*result);
            self.stored[*result] = Some(slot);
            let ty = self.graph.ty(*result);
            if self.layout(*result).has_zeros(&ty.shape) {
                self.zero(slot)?;
            }
        }
        for part in scheduled {
            let mut arguments = Vec::with_capacity(part.arguments.len());
            for argument in &part.arguments {
                arguments.push(self.argument(&group, argument)?);
            }
            let extents = part.kernel.extents.iter().map(|(symbol, _)| Dim::from(symbol)).collect();
            let kernel = self.kernel(part.kernel);
            let launch = Launch { kernel, arguments, extents, cost: part.cost, origin: group.origin.clone() };
            self.program.steps.push(Step::Launch(launch));
        }
        Ok(())
    }

    /// Sets a slot to zero, before the kernels that write between its zeros.
    fn zero(&mut self, slot: SlotId) -> Result<(), FormError> {
        let Slot { dtype, elements, .. } = self.program.slots[slot].clone();
        let kernel = fill::zero(dtype, &elements, self.target)?;
        let extents = kernel.extents.iter().map(|(symbol, _)| Dim::from(symbol)).collect();
        let cost = Cost { flops: 0, bytes: self.program.slots[slot].upper_bytes() };
        let kernel = self.kernel(kernel);
        self.program.steps.push(Step::Launch(Launch {
            kernel,
            arguments: vec![slot],
            extents,
            cost,
            origin: None,
        }));
        Ok(())
    }

    fn argument(&mut self, group: &Group, argument: &Argument) -> Result<SlotId, FormError> {
        match argument {
            Argument::Operand(n) => self.slot(group.operands[*n]),
            Argument::Result(n) => self.slot(group.results[*n]),
            Argument::Packed { operand, packing } => {
                let Some((id, tensor)) = self.tensor(group.operands[*operand]) else {
                    return Err(FormError::internal("a packed operand is no constant"));
                };
                let key = (id, packing.clone());
                if let Some(slot) = self.packed.get(&key) {
                    return Ok(*slot);
                }
                let elements = packing.extents.iter().product::<usize>();
                let dtype = tensor.dtype();
                let source = WeightsSource::Packed { tensor, packing: packing.clone() };
                let slot = self.weights(source, dtype, elements);
                self.packed.insert(key, slot);
                Ok(slot)
            }
        }
    }

    /// The constant that a value is.
    fn tensor(&self, value: ValueId) -> Option<(ConstantId, Tensor)> {
        match self.graph.node(self.graph.defining_node(value)?).op {
            Op::Constant { id } => Some((id, self.module.constants[id].tensor.clone())),
            _ => None,
        }
    }

    fn slot(&mut self, value: ValueId) -> Result<SlotId, FormError> {
        if let Some(slot) = self.stored[value] {
            return Ok(slot);
        }
        let Some((id, tensor)) = self.tensor(value) else {
            return Err(FormError::internal(format!("{value} is used before it is computed")));
        };
        if let Some(slot) = self.plain.get(&id) {
            return Ok(*slot);
        }
        let (dtype, elements) = (tensor.dtype(), tensor.len());
        let slot = self.weights(WeightsSource::Plain(tensor), dtype, elements);
        self.plain.insert(id, slot);
        Ok(slot)
    }

    fn weights(&mut self, source: WeightsSource, dtype: graven_ir::DType, elements: usize) -> SlotId {
        let offset = self.program.weights_bytes;
        let bytes = (elements as u64).saturating_mul(dtype.bytes() as u64);
        self.program.weights_bytes = offset.saturating_add(bytes.next_multiple_of(plan::ALIGNMENT));
        self.program.weights.push(WeightsPart { offset, source });
        self.program.slots.push(Slot {
            place: Place::Weights { offset },
            dtype,
            elements: Dim::from(elements),
        })
    }

    /// The output that the value is, if it can be computed in place there; else the arena.
    fn result_slot(&mut self, value: ValueId) -> SlotId {
        let ty = self.graph.ty(value);
        let layout = self.layout(value);
        let outputs = self.program.outputs.len();
        let output = self.graph.results()[..outputs].iter().position(|result| *result == value);
        let place = match output {
            Some(n) if layout.is_row_major() => Place::Output(n as u32),
            _ => Place::Arena { offset: 0 },
        };
        let elements = layout.elements(&ty.shape);
        self.program.slots.push(Slot { place, dtype: ty.dtype, elements })
    }

    fn kernel(&mut self, mut kernel: Kernel) -> KernelId {
        let name = std::mem::take(&mut kernel.name);
        if let Some(id) = self.kernels.get(&kernel) {
            return *id;
        }
        self.program.scratch_bytes = self.program.scratch_bytes.max(kernel.scratch_bytes());
        let id = self.program.kernels.push(kernel.clone());
        self.program.kernels[id].name = format!("{name}_{}", id.as_u32());
        self.kernels.insert(kernel, id);
        id
    }

    /// Copies what was not computed where the signature wants it.
    fn results(&mut self, function: &Function) -> Result<(), FormError> {
        let outputs = function.outputs.len();
        let results = self.graph.results().to_vec();
        for (n, value) in results[..outputs].iter().enumerate() {
            let from = self.slot(*value)?;
            if self.program.slots[from].place != Place::Output(n as u32) {
                let to = self.port_slot(Place::Output(n as u32), self.graph.ty(*value));
                self.program.steps.push(Step::Copy { from, to });
            }
        }
        // Old states may be the new values of others: read them all before the first is overwritten.
        let mut copies = Vec::new();
        for (n, value) in results[outputs..].iter().enumerate() {
            let mut from = self.slot(*value)?;
            let place = Place::State(n as u32);
            if self.program.slots[from].place == place {
                continue;
            }
            if matches!(self.program.slots[from].place, Place::State(_)) {
                let to = self.port_slot(Place::Arena { offset: 0 }, self.graph.ty(*value));
                self.program.steps.push(Step::Copy { from, to });
                from = to;
            }
            let to = self.port_slot(place, self.graph.ty(*value));
            copies.push(Step::Copy { from, to });
        }
        self.program.steps.extend(copies);
        Ok(())
    }

    fn port_slot(&mut self, place: Place, ty: &TensorType) -> SlotId {
        self.program.slots.push(Slot { place, dtype: ty.dtype, elements: ty.elements() })
    }
}

fn unsupported(node: &Node) -> FormError {
    let place = node.origin.as_deref().unwrap_or(node.op.name()).to_string();
    FormError::Unsupported { place, reason: format!("`{}` has no native lowering yet", node.op.name()) }
}
