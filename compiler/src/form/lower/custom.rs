//! Calls of the application.

use super::Lowering;
use super::scope::Scope;
use crate::form::FormError;
use crate::program::{CustomCall, CustomSignature, SlotId, Step};
use graven_ir::{DType, Dim, Node, ValueId};

impl Lowering<'_> {
    /// A `custom_call`.
    pub(super) fn custom_call(
        &mut self,
        scope: &mut Scope<'_>,
        node: &Node,
        target: &str,
    ) -> Result<(), FormError> {
        let graph = scope.graph;
        let types = |values: &[ValueId]| -> Vec<(DType, usize)> {
            values.iter().map(|value| (graph.ty(*value).dtype, graph.ty(*value).rank())).collect()
        };
        let signature = CustomSignature {
            name: target.into(),
            operands: types(&node.operands),
            results: types(&node.results),
        };
        let values = || node.operands.iter().chain(&node.results);
        let extents: Vec<Dim> = values().flat_map(|value| graph.ty(*value).shape.iter().cloned()).collect();
        extents.iter().try_for_each(|extent| self.known(extent))?;
        let operands: Vec<SlotId> =
            node.operands.iter().map(|value| self.slot(scope, *value)).collect::<Result<_, _>>()?;
        let results = node.results.iter().map(|value| self.result_slot(scope, *value)).collect();
        let known = &mut self.program.custom_calls;
        let number = known.iter().position(|other| *other == signature).unwrap_or_else(|| {
            known.push(signature);
            known.len() - 1
        });
        let call = CustomCall { signature: number as u32, operands, results, extents };
        self.steps.push(Step::Call(call));
        Ok(())
    }
}
