//! Walks a function in order, gives every value a place, and turns groups into launches.
//!
//! Expected of the graph: no composites (they are decomposed before), constants and groups only. Reshapes of row-major
//! values outside groups are views: operand and result share a slot.
//!
//! * `scope`: the values of one graph and where they are
//! * `group`: a group's launches
//! * `control`: branches and loops
//! * `bind`: extents that data decide
//! * `custom`: calls of the application
//! * `slots`: places for values and constants
//! * `states`: new values in the place of old ones

mod bind;
mod control;
mod custom;
mod group;
mod scope;
mod slots;
mod states;

pub use scope::Layouts;

use super::FormError;
use super::group::Group;
use super::plan;
use crate::kernel::Kernel;
use crate::program::{KernelId, Packing, Place, Port, Program, SlotId, Step};
use crate::remarks::Remarks;
use crate::target::Target;
use graven_ir::{ConstantId, Function, Module, Node, NodeId, Op, Symbol, ValueId};
use rustc_hash::FxHashMap;
use scope::Scope;

/// The program of a function for a target.
pub fn lower(
    module: &Module,
    function: &Function,
    layouts: &Layouts,
    target: &Target,
    remarks: &mut Remarks,
) -> Result<Program, FormError> {
    let mut lowering = Lowering {
        module,
        target,
        remarks,
        program: Program { name: module.name.clone(), symbols: module.symbols.clone(), ..Program::default() },
        steps: Vec::new(),
        kernels: FxHashMap::default(),
        plain: FxHashMap::default(),
        packed: FxHashMap::default(),
        unbound: bind::bound_symbols(&function.graph),
    };
    let mut scope = Scope::new(&function.graph, layouts);
    lowering.signature(function, &mut scope);
    let outputs = lowering.outputs();
    lowering.graph(&mut scope, &outputs)?;
    lowering.states(&mut scope, outputs.len())?;
    lowering.program.steps = lowering.steps;
    states::in_place(&mut lowering.program);
    plan::place(&mut lowering.program);
    Ok(lowering.program)
}

struct Lowering<'a> {
    module: &'a Module,
    target: &'a Target,
    remarks: &'a mut Remarks,
    program: Program,
    /// The steps of the graph that is lowered.
    steps: Vec<Step>,
    /// Kernels without their names: equal ones are compiled once.
    kernels: FxHashMap<Kernel, KernelId>,
    plain: FxHashMap<ConstantId, SlotId>,
    packed: FxHashMap<(ConstantId, Packing), SlotId>,
    /// Symbols that later steps give their values.
    unbound: Vec<Symbol>,
}

impl Lowering<'_> {
    /// Ports for the function's parameters and results, and slots for its parameters.
    fn signature(&mut self, function: &Function, scope: &mut Scope<'_>) {
        let graph = &function.graph;
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
            let slot = self.place(place, &ty);
            scope.stored[*param] = Some(slot);
        }
        for (name, value) in function.outputs.iter().zip(graph.results()) {
            self.program.outputs.push(Port { name: name.clone(), ty: graph.ty(*value).clone() });
        }
    }

    /// Slots for the outputs.
    fn outputs(&mut self) -> Vec<SlotId> {
        let types: Vec<_> = self.program.outputs.iter().map(|port| port.ty.clone()).collect();
        types.iter().enumerate().map(|(n, ty)| self.place(Place::Output(n as u32), ty)).collect()
    }

    /// The steps of a graph, whose first results go to the given slots.
    fn graph(&mut self, scope: &mut Scope<'_>, results: &[SlotId]) -> Result<(), FormError> {
        scope.want(results);
        for id in scope.order() {
            self.node(scope, id)?;
        }
        for (value, to) in scope.graph.results().iter().zip(results) {
            let from = self.slot(scope, *value)?;
            if from != *to {
                self.steps.push(Step::Copy { from, to: *to });
            }
        }
        Ok(())
    }

    fn node(&mut self, scope: &mut Scope<'_>, id: NodeId) -> Result<(), FormError> {
        let node = scope.graph.node(id);
        let is_constant = |node: &Node| {
            let constant = |result: &ValueId| self.constant(scope, *result).is_some();
            !node.results.is_empty() && node.results.iter().all(constant)
        };
        match &node.op {
            // Constants get a place when a kernel reads them, and so does what only rearranges one.
            Op::Constant { .. } => Ok(()),
            _ if is_constant(node) => Ok(()),
            Op::Reshape { .. } if scope.is_view(node) => {
                let slot = self.slot(scope, node.operands[0])?;
                scope.stored[node.results[0]] = Some(slot);
                Ok(())
            }
            Op::If => self.branch(scope, id),
            Op::While { carried, trip_limit } => self.while_loop(scope, id, *carried, trip_limit),
            Op::Scan { carried, scanned, length, reverse } => {
                self.scan(scope, id, (*carried, *scanned), (length, *reverse))
            }
            Op::BindExtent { symbol, axes } => self.bind_extent(scope, node, symbol, axes),
            Op::CustomCall { target, .. } => self.custom_call(scope, node, target),
            _ => self.group(scope, Group::of(&self.module.constants, scope.graph, node)?),
        }
    }
}
