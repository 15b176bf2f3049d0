//! Central differences, and the comparison with them.

use crate::autograd::{grad, value_and_grad};
use graven_ir::interp::evaluate;
use graven_ir::{DType, Function, GraphBuilder, Module, Tensor, ValueId};

/// Step of the differences. Their error is about h²·f‴ + ε·f ÷ h, near 1e-10 for values near 1.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

/// Fixed numbers in 0..1, spread evenly: SplitMix64 (Steele et al., 2014).
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn tensor(&mut self, shape: &[usize], low: f64, high: f64) -> Tensor {
        let data: Vec<u8> = (0..shape.iter().product())
            .flat_map(|_| (low + (high - low) * self.next()).to_le_bytes())
            .collect();
        Tensor::new(DType::F64, shape.to_vec(), data).unwrap()
    }
}

fn parse(text: &str) -> Module {
    graven_ir::text::parse(text).unwrap_or_else(|errors| panic!("{text}\n{errors:?}"))
}

/// The function with one output: the sum of all elements of its float outputs times fixed weights.
fn to_scalar(module: &mut Module, seed: u64) {
    let function = module.functions[0].clone();
    let mut b = GraphBuilder::new(&mut module.constants);
    let params: Vec<ValueId> = function
        .graph
        .params()
        .iter()
        .map(|param| b.param(function.graph.ty(*param).clone(), None))
        .collect();
    let results = b.inline(&function.graph, &params).unwrap();
    let mut numbers = Numbers::new(seed);
    let mut total = b.scalar(DType::F64, 0.0).unwrap();
    for result in results {
        if b.dtype(result) != DType::F64 {
            continue;
        }
        let shape = b.ty(result).const_shape().unwrap();
        let weights = b.constant(numbers.tensor(&shape, 0.5, 1.5)).unwrap();
        let weighted = b.binary(graven_ir::BinaryOp::Mul, result, weights).unwrap();
        let axes: Vec<usize> = (0..shape.len()).collect();
        let sum = if axes.is_empty() {
            weighted
        } else {
            b.reduce(graven_ir::ReduceOp::Sum, weighted, &axes, false).unwrap()
        };
        total = b.binary(graven_ir::BinaryOp::Add, total, sum).unwrap();
    }
    let graph = b.finish(vec![total]);
    module.functions = vec![Function { graph, outputs: vec!["total".into()], ..function }];
}

fn value(module: &Module, inputs: &[Tensor]) -> f64 {
    evaluate(module, &module.functions[0].name, inputs).unwrap_or_else(|error| panic!("{error}"))[0].to_f64s()
        [0]
}

/// ∂value ÷ ∂input, element by element.
fn differences(module: &Module, inputs: &[Tensor], place: usize) -> Vec<f64> {
    let at = |element: usize, step: f64| {
        let mut moved = inputs.to_vec();
        let mut numbers = moved[place].to_f64s();
        numbers[element] += step;
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        moved[place] = Tensor::new(DType::F64, inputs[place].shape().to_vec(), bytes).unwrap();
        value(module, &moved)
    };
    (0..inputs[place].len()).map(|element| (at(element, STEP) - at(element, -STEP)) / (2.0 * STEP)).collect()
}

/// The scalar module with its gradients as outputs, compared with the differences.
fn compare(what: &str, module: &Module, inputs: &[Tensor]) -> Module {
    let mut with_gradients = module.clone();
    let wrt: Vec<usize> = (0..inputs.len()).collect();
    let function = value_and_grad(&mut with_gradients.constants, &module.functions[0], 0, &wrt)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    with_gradients.functions = vec![function];
    if let Err(errors) = graven_ir::verify::verify(&with_gradients) {
        panic!("{what}: {errors:?}");
    }
    let results = evaluate(&with_gradients, &module.functions[0].name, inputs)
        .unwrap_or_else(|error| panic!("{what}: {error}\n{with_gradients}"));
    for (place, gradient) in results[1..].iter().enumerate() {
        let expected = differences(module, inputs, place);
        for (element, (found, expected)) in gradient.to_f64s().into_iter().zip(expected).enumerate() {
            let bound = TOLERANCE * expected.abs().max(1.0);
            assert!(
                (found - expected).abs() <= bound,
                "{what}: input {place}, element {element}: {found} instead of {expected}\n{with_gradients}"
            );
        }
    }
    with_gradients
}

/// Compares the gradient of a function of f64 inputs with differences, then the gradient of that gradient. Inputs lie in `low..high`.
pub(super) fn check(what: &str, text: &str, low: f64, high: f64) {
    let mut module = parse(text);
    let mut numbers = Numbers::new(7);
    let graph = &module.functions[0].graph;
    let shapes: Vec<Vec<usize>> =
        graph.params().iter().map(|param| graph.ty(*param).const_shape().unwrap()).collect();
    let inputs: Vec<Tensor> = shapes.iter().map(|shape| numbers.tensor(shape, low, high)).collect();
    to_scalar(&mut module, 1);
    let mut gradients = compare(what, &module, &inputs);
    // The first output is the value itself; what is differentiated now are the gradients only.
    let function = &mut gradients.functions[0];
    let results = function.graph.results()[1..].to_vec();
    function.graph.set_results(results);
    function.outputs.remove(0);
    to_scalar(&mut gradients, 2);
    compare(&format!("{what}, second order"), &gradients, &inputs);
}

/// The gradient with respect to the only input at given points, for the choices at points without a derivative.
pub(super) fn gradient_at(text: &str, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let mut module = parse(text);
    let function = module.functions[0].clone();
    let mut b = GraphBuilder::new(&mut module.constants);
    let params: Vec<ValueId> = function
        .graph
        .params()
        .iter()
        .map(|param| b.param(function.graph.ty(*param).clone(), None))
        .collect();
    let result = b.inline(&function.graph, &params).unwrap()[0];
    let axes: Vec<usize> = (0..b.shape(result).len()).collect();
    let sum = b.reduce(graven_ir::ReduceOp::Sum, result, &axes, false).unwrap();
    let gradients = grad(&mut b, sum, &params).unwrap();
    let graph = b.finish(gradients);
    module.functions = vec![Function { graph, ..function }];
    let results = evaluate(&module, &module.functions[0].name, inputs).unwrap();
    results.iter().map(Tensor::to_f64s).collect()
}
