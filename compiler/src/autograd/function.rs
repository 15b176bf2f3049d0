//! A function's gradient.

use super::rules::keep_carried;
use super::{GradError, calculus, vjp};
use graven_ir::{Constants, Function, Graph, GraphBuilder, ValueId};

/// The gradients of a scalar `value` of the builder's graph with respect to each of `wrt`: zeros where it does not depend on one.
///
/// Gradients are values like any other, so that they have gradients themselves. The product of the Hessian and a vector v is the gradient of ∇f · v (Pearlmutter, 1994):
///
/// ```
/// use graven::autograd::grad;
/// use graven_ir::interp::evaluate;
/// use graven_ir::{BinaryOp, DType, Function, GraphBuilder, Module, ReduceOp, Tensor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let vector = |values: [f64; 2]| Tensor::new(DType::F64, vec![2], values.map(f64::to_le_bytes).concat());
/// let (x, v) = (vector([1.0, 2.0])?, vector([1.0, -1.0])?);
/// let mut module = Module::default();
/// let mut b = GraphBuilder::new(&mut module.constants);
/// let (px, pv) = (b.param(x.ty(), Some("x")), b.param(v.ty(), Some("v")));
/// // f(x) = Σ x³, whose Hessian is diag(6x).
/// let square = b.binary(BinaryOp::Mul, px, px)?;
/// let cube = b.binary(BinaryOp::Mul, square, px)?;
/// let f = b.reduce(ReduceOp::Sum, cube, &[0], false)?;
/// let gradient = grad(&mut b, f, &[px])?[0];
/// let product = b.binary(BinaryOp::Mul, gradient, pv)?;
/// let along = b.reduce(ReduceOp::Sum, product, &[0], false)?;
/// let hessian_vector = grad(&mut b, along, &[px])?[0];
/// let graph = b.finish(vec![hessian_vector]);
/// module.functions = vec![Function { name: "main".into(), graph, ..Function::default() }];
/// assert_eq!(evaluate(&module, "main", &[x, v])?[0].to_f64s(), [6.0, -12.0]);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`GradError::Usage`] if `value` is no float scalar or one of `wrt` no float; see [`GradError`].
pub fn grad(b: &mut GraphBuilder<'_>, value: ValueId, wrt: &[ValueId]) -> Result<Vec<ValueId>, GradError> {
    let ty = b.ty(value).clone();
    if !ty.dtype.is_float() || ty.rank() != 0 {
        return Err(GradError::Usage(format!("a gradient is that of a float scalar, not of {ty}")));
    }
    for value in wrt {
        if !b.dtype(*value).is_float() {
            let ty = b.ty(*value);
            return Err(GradError::Usage(format!("there is no gradient with respect to {ty}: not a float")));
        }
    }
    let one = b.scalar(ty.dtype, 1.0)?;
    let gradients = vjp(b, &[(value, one)], wrt)?;
    let mut filled = Vec::with_capacity(wrt.len());
    for (value, gradient) in wrt.iter().zip(gradients) {
        filled.push(match gradient {
            Some(gradient) => gradient,
            None => calculus::full_like(b, *value, 0.0)?,
        });
    }
    Ok(filled)
}

/// The graph with loops that also give what their gradients need, so that these don't run them again.
///
/// # Errors
/// [`GradError::Pass`]: our bug.
pub fn keep_for_gradient(constants: &mut Constants, graph: &Graph) -> Result<Graph, GradError> {
    Ok(keep_carried(constants, graph)?)
}

/// The function with its gradients as further outputs: those of output `output`, a float scalar, with respect to the parameters `wrt` (indices
/// into the graph's parameters: inputs, then states). The gradient of `x` is called `x.grad`, `x.grad.grad` if there is an output of that name.
///
/// ```
/// use graven::autograd::value_and_grad;
/// use graven_ir::interp::evaluate;
/// use graven_ir::{DType, Tensor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = "func @main(%x: f64[]) -> (y: f64[]) {\n  %y = exp %x : f64[]\n  return %y\n}\n";
/// let mut module = graven_ir::text::parse(text)?;
/// let function = module.functions[0].clone();
/// module.functions[0] = value_and_grad(&mut module.constants, &function, 0, &[0])?;
/// let results = evaluate(&module, "main", &[Tensor::scalar(DType::F64, 0.0)])?;
/// assert_eq!((results[0].to_f64s(), results[1].to_f64s()), (vec![1.0], vec![1.0]));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`GradError::Usage`] if an index is out of range or a type is no float; see [`GradError`].
pub fn value_and_grad(
    constants: &mut Constants,
    function: &Function,
    output: usize,
    wrt: &[usize],
) -> Result<Function, GradError> {
    let out_of_range = |what, index| GradError::Usage(format!("`{}` has no {what} {index}", function.name));
    let graph = keep_for_gradient(constants, &function.graph)?;
    let mut b = GraphBuilder::new(constants);
    let (params, mut results) = copy(&mut b, &graph)?;
    let value = *results.get(output).ok_or_else(|| out_of_range("output", output))?;
    let mut names = Vec::with_capacity(wrt.len());
    let mut values = Vec::with_capacity(wrt.len());
    for index in wrt {
        values.push(*params.get(*index).ok_or_else(|| out_of_range("parameter", *index))?);
        let name = function.inputs.iter().chain(&function.states).nth(*index);
        names.push(format!("{}.grad", name.map_or("", |name| name)));
    }
    let gradients = grad(&mut b, value, &values)?;
    let outputs = function.outputs.len();
    results.splice(outputs..outputs, gradients);
    let mut with_gradients = Function { graph: b.finish(results), ..function.clone() };
    for mut name in names {
        while with_gradients.outputs.iter().any(|other| **other == *name) {
            name.push_str(".grad");
        }
        with_gradients.outputs.push(name.into());
    }
    with_gradients.graph.compact();
    Ok(with_gradients)
}

/// A copy of the graph in the builder: its parameters and results.
fn copy(b: &mut GraphBuilder<'_>, graph: &Graph) -> Result<(Vec<ValueId>, Vec<ValueId>), GradError> {
    let mut params = Vec::with_capacity(graph.params().len());
    for param in graph.params() {
        let value = graph.value(*param);
        params.push(b.param(value.ty.clone(), value.name.as_deref()));
    }
    let results = b.inline(graph, &params)?;
    Ok((params, results))
}
