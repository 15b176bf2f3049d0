//! Running graphs: values, their lifetimes, and the dispatch of ops.

use super::limits::Budget;
use super::symbols::SymbolValues;
use super::values::Array;
use super::{CustomCalls, EvalError, EvalErrorKind, Limits, dispatch};
use crate::infer::infer;
use crate::{Constants, Dim, Graph, Node, NodeId, Op, Symbol, Tensor, TensorType, ValueId};
use cranelift_entity::SecondaryMap;

/// One evaluation: what it sees and what it may still spend.
pub(super) struct Evaluation<'a> {
    constants: &'a Constants,
    custom_calls: &'a CustomCalls<'a>,
    symbols: SymbolValues,
    budget: Budget,
}

/// A graph with the order in which its nodes run.
pub(super) struct Plan<'g> {
    pub(super) graph: &'g Graph,
    order: Vec<NodeId>,
    uses: SecondaryMap<ValueId, u32>,
}

impl<'g> Plan<'g> {
    pub(super) fn new(graph: &'g Graph) -> Plan<'g> {
        let order = graph.order();
        let mut uses: SecondaryMap<ValueId, u32> = SecondaryMap::new();
        let operands = order.iter().flat_map(|node| &graph.node(*node).operands);
        operands.chain(graph.results()).for_each(|value| uses[*value] += 1);
        Plan { graph, order, uses }
    }
}

/// The values of a graph that are still needed.
struct Values {
    tensors: SecondaryMap<ValueId, Option<Tensor>>,
    uses: SecondaryMap<ValueId, u32>,
}

impl Values {
    /// A value for one of its uses; the last one takes it away.
    fn take(&mut self, value: ValueId) -> Result<Tensor, EvalErrorKind> {
        self.uses[value] = self.uses[value].saturating_sub(1);
        let tensor = match self.uses[value] {
            0 => self.tensors[value].take(),
            _ => self.tensors[value].clone(),
        };
        tensor.ok_or_else(|| EvalErrorKind::Internal(format!("{value} is used before it is computed")))
    }
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(
        constants: &'a Constants,
        custom_calls: &'a CustomCalls<'a>,
        symbols: SymbolValues,
        limits: Limits,
    ) -> Evaluation<'a> {
        Evaluation { constants, custom_calls, symbols, budget: Budget::new(limits) }
    }

    /// The results of a graph.
    pub(super) fn run(&mut self, plan: &Plan<'_>, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
        self.check_inputs(plan.graph, inputs)?;
        self.budget.spend(1)?;
        let mut values = Values { tensors: SecondaryMap::new(), uses: plan.uses.clone() };
        for (param, input) in plan.graph.params().iter().zip(inputs) {
            values.tensors[*param] = Some(input.clone());
        }
        for id in &plan.order {
            let node = plan.graph.node(*id);
            let place = || node.origin.as_deref().unwrap_or(node.op.name());
            self.node(plan.graph, node, &mut values).map_err(|error| error.within(place()))?;
        }
        Ok(plan.graph.results().iter().map(|value| values.take(*value)).collect::<Result<_, _>>()?)
    }

    fn check_inputs(&self, graph: &Graph, inputs: &[Tensor]) -> Result<(), EvalErrorKind> {
        let params = graph.params();
        if params.len() != inputs.len() {
            return Err(EvalErrorKind::InputCount { expected: params.len(), given: inputs.len() });
        }
        for (place, (param, input)) in params.iter().zip(inputs).enumerate() {
            let value = graph.value(*param);
            if !self.matches(&value.ty, input) {
                let input_name = value.name.as_deref().map_or_else(|| place.to_string(), str::to_string);
                let (expected, given) = (value.ty.to_string(), input.ty().to_string());
                return Err(EvalErrorKind::InputType { input: input_name, expected, given });
            }
        }
        Ok(())
    }

    /// Whether a tensor has a type, for the values of the symbols. An extent that nothing determines matches any.
    fn matches(&self, ty: &TensorType, tensor: &Tensor) -> bool {
        let extent = |(dim, extent): (&Dim, &usize)| {
            self.symbols.dim(dim).is_none_or(|value| usize::try_from(value) == Ok(*extent))
        };
        ty.dtype == tensor.dtype()
            && ty.rank() == tensor.shape().len()
            && ty.shape.iter().zip(tensor.shape()).all(extent)
    }

    fn node(&mut self, graph: &Graph, node: &Node, values: &mut Values) -> Result<(), EvalError> {
        let operands = node.operands.iter().map(|value| values.take(*value));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let results = self.op(&node.op, &operands, &node.regions)?;
        if results.len() != node.results.len() {
            return Err(EvalErrorKind::Internal(format!("{} results", results.len())).into());
        }
        for (value, tensor) in node.results.iter().zip(results) {
            if !self.matches(graph.ty(*value), &tensor) {
                let reason = format!("the result is {}, not {}", tensor.ty(), graph.ty(*value));
                return Err(EvalErrorKind::Internal(reason).into());
            }
            if values.uses[*value] > 0 {
                values.tensors[*value] = Some(tensor);
            }
        }
        Ok(())
    }

    /// The results of an op.
    pub(super) fn op(
        &mut self,
        op: &Op,
        operands: &[Tensor],
        regions: &[Graph],
    ) -> Result<Vec<Tensor>, EvalError> {
        match op {
            Op::If => self.if_else(operands, regions),
            Op::While { carried, trip_limit } => self.while_loop(operands, *carried, trip_limit, regions),
            Op::Scan { carried, scanned, length, reverse } => {
                self.scan(operands, (*carried, *scanned), length, *reverse, regions)
            }
            Op::BindExtent { symbol, axes } => Ok(self.bind_extent(symbol, axes, operands)?),
            Op::Fuse { .. } => {
                let malformed = || EvalErrorKind::Internal("a fusion group without a region".into());
                self.run(&Plan::new(regions.first().ok_or_else(malformed)?), operands)
            }
            _ => Ok(self.plain_op(&self.symbols.substitute(op)?, operands)?),
        }
    }

    /// An op without regions and without symbols. Inference on the operands' types checks everything that the evaluation relies on.
    fn plain_op(&mut self, op: &Op, operands: &[Tensor]) -> Result<Vec<Tensor>, EvalErrorKind> {
        let types: Vec<TensorType> = operands.iter().map(Tensor::ty).collect();
        let types: Vec<&TensorType> = types.iter().collect();
        let results = infer(self.constants, op, &types, &[])?;
        let results = results.iter().map(Array::new).collect::<Result<Vec<_>, _>>()?;
        self.budget.spend_op(op, operands, &results)?;
        match op {
            Op::CustomCall { target, .. } => self.custom_calls.call(target, operands, &results),
            _ => dispatch::evaluate(self.constants, op, operands, &results),
        }
    }

    /// Gives a symbol its value and cuts the tensors.
    fn bind_extent(
        &mut self,
        symbol: &Symbol,
        axes: &[usize],
        operands: &[Tensor],
    ) -> Result<Vec<Tensor>, EvalErrorKind> {
        let malformed = || EvalErrorKind::Internal("a bound extent without a count".into());
        let (count, tensors) = operands.split_first().ok_or_else(malformed)?;
        let count = count.to_i64s().and_then(|counts| counts.first().copied()).ok_or_else(malformed)?;
        self.symbols.bind(symbol, count)?;
        let mut results = Vec::with_capacity(tensors.len());
        for (tensor, axis) in tensors.iter().zip(axes) {
            let dims = || tensor.shape().iter().map(|extent| Dim::from(*extent)).collect::<Vec<Dim>>();
            let mut limit = dims();
            let end = limit.get_mut(*axis).ok_or_else(malformed)?;
            if end.as_const().is_some_and(|extent| extent < count) {
                let (lower, upper) = (symbol.lower(), end.upper());
                return Err(EvalErrorKind::SymbolBounds {
                    symbol: symbol.name().into(),
                    value: count,
                    lower,
                    upper,
                });
            }
            *end = Dim::from(count);
            let rank = limit.len();
            let slice = Op::Slice { start: vec![Dim::ZERO; rank], limit, stride: vec![1; rank] };
            results.extend(self.plain_op(&slice, std::slice::from_ref(tensor))?);
        }
        Ok(results)
    }

    /// The value of a dim.
    pub(super) fn dim(&self, dim: &Dim) -> Result<i64, EvalErrorKind> {
        self.symbols.dim(dim).ok_or_else(|| EvalErrorKind::UnboundExtent(dim.to_string()))
    }

    /// A type with its extents.
    pub(super) fn array(&self, ty: &TensorType) -> Result<Array, EvalErrorKind> {
        Ok(Array { dtype: ty.dtype, shape: self.symbols.shape(&ty.shape)? })
    }

    /// Takes a tensor that an op with regions makes off the budget.
    pub(super) fn reserve(&mut self, elements: u64) -> Result<(), EvalErrorKind> {
        self.budget.check_elements(elements)?;
        self.budget.spend(elements)
    }
}
