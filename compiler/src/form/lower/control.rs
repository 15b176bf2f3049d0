//! Branches and loops.
//!
//! Regions are lowered like functions: their parameters are slots of the outer graph or pointers that the loop sets, and their results are computed where the outer
//! graph wants them: both branches of an `if` write its results, and trips write the next carried values and the slices of stacked results in place.

use super::Lowering;
use super::scope::Scope;
use crate::form::FormError;
use crate::program::{Branch, Carried, Condition, Loop, Place, Slice, SlotId, Step};
use graven_ir::{DType, Dim, Graph, NodeId, TensorType, ValueId};

impl Lowering<'_> {
    /// The steps of a node's region.
    fn region(
        &mut self,
        scope: &Scope<'_>,
        (node, number): (NodeId, usize),
        params: &[SlotId],
        results: &[SlotId],
    ) -> Result<Vec<Step>, FormError> {
        let graph = region_of(scope, node, number)?;
        let layouts = scope.region_layouts(node, number);
        let mut inner = Scope::new(graph, &layouts);
        for (param, slot) in graph.params().iter().zip(params) {
            inner.stored[*param] = Some(*slot);
        }
        let outer = std::mem::take(&mut self.steps);
        self.graph(&mut inner, results)?;
        Ok(std::mem::replace(&mut self.steps, outer))
    }

    /// An `if`.
    pub(super) fn branch(&mut self, scope: &mut Scope<'_>, id: NodeId) -> Result<(), FormError> {
        let node = scope.graph.node(id);
        let operands = self.slots(scope, &node.operands)?;
        let Some((condition, captures)) = operands.split_first() else {
            return Err(FormError::internal("an `if` without a condition"));
        };
        let results: Vec<SlotId> =
            node.results.iter().map(|result| self.result_slot(scope, *result)).collect();
        let then = self.region(scope, (id, 0), captures, &results)?;
        let otherwise = self.region(scope, (id, 1), captures, &results)?;
        self.steps.push(Step::If(Branch { condition: *condition, then, otherwise }));
        Ok(())
    }

    /// A `while`.
    pub(super) fn while_loop(
        &mut self,
        scope: &mut Scope<'_>,
        id: NodeId,
        carried: usize,
        trip_limit: &Dim,
    ) -> Result<(), FormError> {
        self.known(trip_limit)?;
        let node = scope.graph.node(id);
        let operands = self.slots(scope, &node.operands)?;
        let mut values = CarriedValues::default();
        for (n, initial) in operands.iter().take(carried).enumerate() {
            let ty = scope.graph.ty(node.operands[n]);
            values.add(self, region_of(scope, id, 1)?, n, *initial, ty);
        }
        let mut params = values.params.clone();
        params.extend(operands.iter().skip(carried));
        let value = self.place(Place::Arena { offset: 0 }, &TensorType::scalar(DType::Bool));
        let steps = self.region(scope, (id, 0), &params, &[value])?;
        let body = self.region(scope, (id, 1), &params, &values.results)?;
        for (result, slot) in node.results.iter().zip(&values.params) {
            scope.stored[*result] = Some(*slot);
        }
        self.steps.push(Step::Loop(Box::new(Loop {
            trips: trip_limit.clone(),
            condition: Some(Condition { steps, value }),
            slices: Vec::new(),
            reverse: false,
            carried: values.carried,
            body,
        })));
        Ok(())
    }

    /// A `scan`.
    pub(super) fn scan(
        &mut self,
        scope: &mut Scope<'_>,
        id: NodeId,
        (carried, scanned): (usize, usize),
        (length, reverse): (&Dim, bool),
    ) -> Result<(), FormError> {
        self.known(length)?;
        let node = scope.graph.node(id);
        let body_graph = region_of(scope, id, 0)?;
        let operands = self.slots(scope, &node.operands)?;
        let mut values = CarriedValues::default();
        let mut slices = Vec::new();
        let mut params = Vec::with_capacity(operands.len());
        for (n, (operand, param)) in operands.iter().zip(body_graph.params()).enumerate() {
            let ty = body_graph.ty(*param);
            if n < carried {
                values.add(self, body_graph, n, *operand, ty);
                params.push(values.params[n]);
            } else if n < carried + scanned {
                params.push(self.slice(&mut slices, *operand, ty, false));
            } else {
                params.push(*operand);
            }
        }
        let mut results = values.results.clone();
        for (n, result) in node.results.iter().enumerate() {
            if n < carried {
                scope.stored[*result] = Some(values.params[n]);
                continue;
            }
            let whole = self.result_slot(scope, *result);
            let ty = body_graph.ty(body_graph.results()[n]);
            results.push(self.slice(&mut slices, whole, ty, true));
        }
        let body = self.region(scope, (id, 0), &params, &results)?;
        self.steps.push(Step::Loop(Box::new(Loop {
            trips: length.clone(),
            condition: None,
            slices,
            reverse,
            carried: values.carried,
            body,
        })));
        Ok(())
    }

    fn slice(&mut self, slices: &mut Vec<Slice>, whole: SlotId, ty: &TensorType, written: bool) -> SlotId {
        let slice = self.pointer(ty);
        slices.push(Slice { whole, slice, stride: ty.elements() * ty.dtype.bytes() as i64, written });
        slice
    }

    fn slots(&mut self, scope: &Scope<'_>, values: &[ValueId]) -> Result<Vec<SlotId>, FormError> {
        values.iter().map(|value| self.slot(scope, *value)).collect()
    }
}

/// The carried values of a loop.
#[derive(Default)]
struct CarriedValues {
    carried: Vec<Carried>,
    /// Where trips, and what comes after the loop, find them.
    params: Vec<SlotId>,
    /// Where trips put the next ones.
    results: Vec<SlotId>,
}

impl CarriedValues {
    /// Adds the n-th one; a value that trips hand on as it is stays where it was.
    fn add(&mut self, lowering: &mut Lowering<'_>, body: &Graph, n: usize, initial: SlotId, ty: &TensorType) {
        if body.params().get(n) == body.results().get(n) {
            self.params.push(initial);
            self.results.push(initial);
            return;
        }
        let buffers = [(); 2].map(|()| lowering.place(Place::Arena { offset: 0 }, ty));
        let (current, next) = (lowering.pointer(ty), lowering.pointer(ty));
        self.carried.push(Carried { initial, current, next, buffers });
        self.params.push(current);
        self.results.push(next);
    }
}

fn region_of<'g>(scope: &Scope<'g>, node: NodeId, number: usize) -> Result<&'g Graph, FormError> {
    let region = scope.graph.node(node).regions.get(number);
    region.ok_or_else(|| FormError::internal("a control flow op without its region"))
}
