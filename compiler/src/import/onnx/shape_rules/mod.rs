//! Symbolic evaluation of shape arithmetic: one rule per operator, applied before the operator's handler where every input is
//! a small tensor of known elements. A rule that can't say the result gives `None`, and the handler builds the node.
//!
//! * [`elementwise`]: arithmetic, comparisons, casts, selection
//! * [`movement`]: shapes themselves, and operators that rearrange elements

mod elementwise;
mod movement;

use super::context::NodeContext;
use super::failure::Result;
use super::graph::domain_name;
use super::symbolic::{MAX_ELEMENTS, SymbolicTensor};
use elementwise as e;
use graven_ir::DType;
use movement as m;
use std::rc::Rc;

/// The inputs of a node; `None` for one that is left out.
type Inputs = [Option<Rc<SymbolicTensor>>];

/// The result of a node with one output.
type Rule = fn(&NodeContext<'_, '_, '_>, &Inputs) -> Option<SymbolicTensor>;

fn rule(op_type: &str) -> Option<Rule> {
    Some(match op_type {
        "Add" => |_, x| e::binary(x, e::add),
        "Sub" => |_, x| e::binary(x, e::sub),
        "Mul" => |_, x| e::binary(x, e::mul),
        "Div" => e::div,
        "Mod" => e::modulo,
        "Min" => |_, x| e::binary(x, e::minimum),
        "Max" => |_, x| e::binary(x, e::maximum),
        "Neg" => |_, x| e::unary(x, e::negate),
        "Abs" => |_, x| e::unary(x, e::absolute),
        "Floor" => |_, x| e::unary(x, |value| Some(value.floor().into())),
        "Ceil" => |_, x| e::unary(x, |value| Some(value.ceil().into())),
        "Equal" => |_, x| e::compare(x, e::equal),
        "Less" => |_, x| e::compare(x, e::less),
        "Greater" => |_, x| e::compare(x, |a, b| e::less(b, a)),
        "LessOrEqual" => |_, x| e::compare(x, |a, b| e::less(b, a).map(|less| !less)),
        "GreaterOrEqual" => |_, x| e::compare(x, |a, b| e::less(a, b).map(|less| !less)),
        "And" => |_, x| e::logical(x, |a, b| a && b),
        "Or" => |_, x| e::logical(x, |a, b| a || b),
        "Not" => e::not,
        "Where" => e::select,
        "Cast" => e::cast,
        "CastLike" => e::cast_like,
        "Identity" => |_, x| x.first()?.as_deref().cloned(),
        "ReduceSum" => |c, x| m::reduce(c, x, 13, e::add),
        "ReduceProd" => |c, x| m::reduce(c, x, 18, e::mul),
        "ReduceMin" => |c, x| m::reduce(c, x, 18, e::minimum),
        "ReduceMax" => |c, x| m::reduce(c, x, 18, e::maximum),
        "Range" => m::range,
        "ConstantOfShape" => m::constant_of_shape,
        "Reshape" => m::reshape,
        "Flatten" => m::flatten,
        "Squeeze" => m::squeeze,
        "Unsqueeze" => m::unsqueeze,
        "Concat" => m::concat,
        "Gather" => m::gather,
        "Slice" => m::slice,
        "Transpose" => m::transpose,
        "Expand" => m::expand,
        "Tile" => m::tile,
        "ScatterND" => m::scatter_nd,
        "ScatterElements" => m::scatter_elements,
        _ => return None,
    })
}

/// The results of a node of shape arithmetic.
pub(super) fn apply(c: &mut NodeContext<'_, '_, '_>) -> Result<Option<Vec<SymbolicTensor>>> {
    if !domain_name(&c.node.domain).is_empty() {
        return Ok(None);
    }
    match c.node.op_type.as_str() {
        "Shape" => return m::shape(c).map(|tensor| Some(vec![tensor])),
        "Size" => return m::size(c).map(|tensor| Some(vec![tensor])),
        "Split" => {
            return Ok(inputs(c).and_then(|inputs| m::split(c, &inputs)).filter(|all| all.iter().all(fits)));
        }
        _ => {}
    }
    let Some(rule) = rule(&c.node.op_type) else { return Ok(None) };
    let Some(inputs) = inputs(c) else { return Ok(None) };
    Ok(rule(c, &inputs).filter(fits).map(|tensor| vec![tensor]))
}

/// The inputs, if all that are there are known.
fn inputs(c: &NodeContext<'_, '_, '_>) -> Option<Vec<Option<Rc<SymbolicTensor>>>> {
    let known = |input: &Option<super::scope::Arg>| match input {
        None => Some(None),
        Some(arg) => c.scope.symbolic(*arg).map(Some),
    };
    c.inputs.iter().map(known).collect()
}

/// Whether a result can stand for the tensor: small, of a dtype that shape arithmetic uses, and without overflow.
fn fits(tensor: &SymbolicTensor) -> bool {
    let dtype = tensor.dtype;
    let follows = matches!(dtype, DType::I32 | DType::I64 | DType::F32 | DType::F64 | DType::Bool);
    let in_range = || {
        let Some((low, high)) = dtype.int_range() else { return true };
        let constants = tensor.elements.iter().filter_map(|value| value.numerator.as_const());
        constants.into_iter().all(|value| (low..=high).contains(&i128::from(value)))
    };
    follows && tensor.elements.len() <= MAX_ELEMENTS && in_range()
}
