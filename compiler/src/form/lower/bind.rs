//! Extents that data decide.

use super::Lowering;
use super::scope::Scope;
use crate::form::FormError;
use crate::form::group::Group;
use crate::program::{Binding, Step};
use graven_ir::{Dim, FusionKind, Graph, Node, Op, Symbol, ValueId};

/// The symbols that nodes of a graph bind.
pub(super) fn bound_symbols(graph: &Graph) -> Vec<Symbol> {
    let symbol = |id| match &graph.node(id).op {
        Op::BindExtent { symbol, .. } => Some(symbol.clone()),
        _ => None,
    };
    graph.order().into_iter().filter_map(symbol).collect()
}

impl Lowering<'_> {
    /// Refuses an extent that is not known yet.
    pub(super) fn known(&self, extent: &Dim) -> Result<(), FormError> {
        match self.unbound.iter().find(|symbol| extent.contains(symbol)) {
            None => Ok(()),
            Some(symbol) => Err(FormError::internal(format!("{symbol} is used before it is bound"))),
        }
    }

    /// A `bind_extent`: the symbol, then what is left of the tensors.
    pub(super) fn bind_extent(
        &mut self,
        scope: &mut Scope<'_>,
        node: &Node,
        symbol: &Symbol,
        axes: &[usize],
    ) -> Result<(), FormError> {
        let Some((count, tensors)) = node.operands.split_first() else {
            return Err(FormError::internal("a bound extent without a count"));
        };
        let number = self.program.symbols.iter().position(|other| other == symbol);
        let Some(number) = number else {
            return Err(FormError::internal(format!("{symbol} is bound, but not declared")));
        };
        let extents = tensors.iter().zip(axes).map(|(value, axis)| &scope.graph.ty(*value).shape[*axis]);
        let limits = extents.filter(|extent| extent.lower() < symbol.upper()).cloned().collect();
        let value = self.slot(scope, *count)?;
        self.steps.push(Step::Bind(Binding { symbol: number as u32, value, limits }));
        self.unbound.retain(|other| other != symbol);
        for ((operand, axis), result) in tensors.iter().zip(axes).zip(&node.results) {
            let shape = &scope.graph.ty(*operand).shape;
            let leads = shape[..*axis].iter().all(|extent| extent.is(1));
            if leads && scope.wanted[*result].is_none() {
                // The first rows of a tensor lie at its start.
                scope.stored[*result] = Some(self.slot(scope, *operand)?);
                continue;
            }
            let group = self.cut(scope, node, *operand, *result)?;
            self.group(scope, group)?;
        }
        Ok(())
    }

    /// The group that copies what is left of a tensor.
    fn cut(
        &self,
        scope: &Scope<'_>,
        node: &Node,
        operand: ValueId,
        result: ValueId,
    ) -> Result<Group, FormError> {
        let mut graph = Graph::new();
        let param = graph.add_param(scope.graph.ty(operand).clone(), None);
        let limit = scope.graph.ty(result).shape.to_vec();
        let op = Op::Slice { start: vec![Dim::ZERO; limit.len()], stride: vec![1; limit.len()], limit };
        let slice = graph.add_node(&self.module.constants, op, &[param], Vec::new(), None)?;
        let results = graph.node(slice).results.to_vec();
        graph.set_results(results);
        let (operands, results) = (vec![operand], vec![result]);
        Ok(Group { kind: FusionKind::Single, graph, operands, results, origin: node.origin.clone() })
    }
}
