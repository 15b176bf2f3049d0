//! Control flow that is known when compiling.
//!
//! Before: `%1 = if %true, %0 then (…) {…} else (…) {…}`. After: the nodes of the `then` region.
//!
//! * an `if` with a constant condition becomes the region that it picks
//! * a `while` whose condition is false at first gives its initial values, and one that makes a single trip becomes its body; the condition and what it
//!   depends on must be computed from constants, which the interpreter does within limits
//! * a `scan` of one trip becomes its body
//!
//! Loops of more trips stay loops: they are there to keep the code small.

use super::fold::known;
use super::rewrite::{Replacement, Site, rewrite};
use super::{Context, PassError};
use graven_ir::interp::{Interpreter, Limits, SymbolValues};
use graven_ir::{Constants, Definition, Dim, Graph, GraphBuilder, Node, Op, Tensor, ValueId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Elements of a tensor that a condition may depend on, and steps of each op.
const LIMITS: Limits = Limits { elements: 1 << 12, steps: 1 << 16 };

/// Nodes that finding out the number of trips may evaluate.
const MOST_NODES: usize = 1 << 10;

/// The graph with control flow resolved.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    let remarks = &mut *context.remarks;
    rewrite(context.constants, graph, &mut |builder, site| {
        let resolved = resolve(builder, site)?;
        if resolved.is_some() {
            remarks.applied("control", site.node, || {
                format!("`{}` resolved when compiling", site.node.op.name())
            });
        }
        Ok(resolved)
    })
}

fn resolve(builder: &mut GraphBuilder, site: &Site) -> Result<Replacement, PassError> {
    let (node, operands) = (site.node, site.operands);
    match &node.op {
        Op::If => {
            let (Some((condition, captures)), [yes, no]) = (operands.split_first(), node.regions.as_slice())
            else {
                return Ok(None);
            };
            let truth = builder.constant_value(*condition).and_then(Tensor::splat_value);
            let Some(truth) = truth else { return Ok(None) };
            let region = if truth != 0.0 { yes } else { no };
            Ok(Some(builder.inline(region, captures)?.into()))
        }
        Op::While { carried, trip_limit } => match trips(builder, node, operands, *carried) {
            Some(0) => Ok(Some(operands[..*carried].into())),
            Some(1) if trip_limit.lower() >= 1 => {
                Ok(Some(builder.inline(&node.regions[1], operands)?.into()))
            }
            _ => Ok(None),
        },
        Op::Scan { carried, scanned, length, .. } if length.is(1) => {
            one_trip(builder, node, operands, *carried, *scanned).map(Some)
        }
        _ => Ok(None),
    }
}

/// The body of a scan of one trip, on the only slices.
fn one_trip(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
    carried: usize,
    scanned: usize,
) -> Result<SmallVec<[ValueId; 1]>, PassError> {
    let mut arguments: SmallVec<[ValueId; 4]> = operands.into();
    for argument in arguments.iter_mut().skip(carried).take(scanned) {
        let shape = builder.shape(*argument);
        *argument = builder.reshape(*argument, shape.get(1..).unwrap_or_default())?;
    }
    let mut results: SmallVec<[ValueId; 1]> = builder.inline(&node.regions[0], &arguments)?.into();
    for result in results.iter_mut().skip(carried) {
        let shape: Vec<Dim> = std::iter::once(Dim::ONE).chain(builder.shape(*result)).collect();
        *result = builder.reshape(*result, &shape)?;
    }
    Ok(results)
}

/// The number of trips if that is known to be 0 or 1.
fn trips(builder: &GraphBuilder, node: &Node, operands: &[ValueId], carried: usize) -> Option<usize> {
    let [condition, body] = node.regions.as_slice() else { return None };
    let start: Vec<Option<Tensor>> = operands.iter().map(|operand| known(builder, *operand)).collect();
    let goes_on = |values: &[Option<Tensor>]| {
        let mut evaluation = Evaluation::new(builder.constants(), condition, values);
        let truth = evaluation.value(*condition.results().first()?)?;
        truth.splat_value().map(|truth| truth != 0.0)
    };
    if !goes_on(&start)? {
        return Some(0);
    }
    let mut evaluation = Evaluation::new(builder.constants(), body, &start);
    let mut next: Vec<Option<Tensor>> =
        body.results().iter().map(|result| evaluation.value(*result)).collect();
    next.extend(start.into_iter().skip(carried));
    (!goes_on(&next)?).then_some(1)
}

/// Evaluates what depends on known parameters only.
struct Evaluation<'e> {
    constants: &'e Constants,
    graph: &'e Graph,
    params: &'e [Option<Tensor>],
    values: FxHashMap<ValueId, Option<Tensor>>,
    nodes: usize,
}

impl<'e> Evaluation<'e> {
    fn new(constants: &'e Constants, graph: &'e Graph, params: &'e [Option<Tensor>]) -> Evaluation<'e> {
        Evaluation { constants, graph, params, values: FxHashMap::default(), nodes: 0 }
    }

    /// The value, if it depends on known ones only and is small.
    fn value(&mut self, value: ValueId) -> Option<Tensor> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        let computed = self.compute(value);
        self.values.insert(value, computed.clone());
        computed
    }

    fn compute(&mut self, value: ValueId) -> Option<Tensor> {
        let (id, place) = match self.graph.value(value).definition {
            Definition::Param(place) => return self.params.get(place as usize)?.clone(),
            Definition::Result(id, place) => (id, place as usize),
        };
        let node = self.graph.node(id);
        self.nodes += 1;
        if self.nodes > MOST_NODES || !node.regions.is_empty() || !node.op.is_pure() {
            return None;
        }
        if let Op::Constant { id } = node.op {
            return Some(self.constants[id].tensor.clone());
        }
        let operands: Option<Vec<Tensor>> =
            node.operands.iter().map(|operand| self.value(*operand)).collect();
        let small = |tensor: &Tensor| tensor.len() as u64 <= LIMITS.elements;
        let operands = operands.filter(|operands| operands.iter().all(small))?;
        let interpreter = Interpreter::new(self.constants).with_limits(LIMITS);
        interpreter.op(&node.op, &operands, &[], &SymbolValues::new()).ok()?.into_iter().nth(place)
    }
}
