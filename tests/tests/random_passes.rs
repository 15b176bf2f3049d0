//! Random graphs before and after the passes, by the interpreter.
//!
//! Floats are f64, so that the roundings of reassociated sums stay far below the tolerance however a graph amplifies them, and no function in use
//! has jumps. What the passes look for (constants, repeated constants, chains of movement ops, contractions with constant weights) is
//! frequent by construction.

use graven::accuracy::Accuracy;
use graven::passes::Context;
use graven::passes::pipeline::{PIPELINE, Pass, apply};
use graven::remarks::Remarks;
use graven_ir::interp::{Interpreter, SymbolValues};
use graven_ir::{
    BinaryOp, CompareOp, Constants, ConvDimensions, DType, Dim, Graph, GraphBuilder, Op, ReduceOp, Tensor,
    TensorType, UnaryOp, ValueId,
};
use proptest::prelude::*;

/// Largest difference, relative to the largest element of the tensor.
const TOLERANCE: f64 = 1e-9;

/// Tensors beyond this size are not used as operands.
const MOST_ELEMENTS: i64 = 600;

/// One random step: which op, on which values, with which attribute.
type Step = (u8, u16, u16, u32);

struct Generator<'m> {
    builder: GraphBuilder<'m>,
    values: Vec<ValueId>,
}

impl Generator<'_> {
    /// A value, recent ones more often.
    fn pick(&self, number: u16) -> ValueId {
        let window = if number.is_multiple_of(3) { self.values.len() } else { self.values.len().min(4) };
        self.values[self.values.len() - 1 - usize::from(number / 3) % window]
    }

    fn push(&mut self, value: Result<ValueId, graven_ir::infer::InferError>) {
        if let Ok(value) = value
            && self.builder.ty(value).elements().upper() <= MOST_ELEMENTS
        {
            self.values.push(value);
        }
    }

    /// A constant of a value's type with few different elements, or one that repeats a vector or scalar.
    fn constant_like(&mut self, like: ValueId, seed: u32) -> Result<ValueId, graven_ir::infer::InferError> {
        let ty = self.builder.ty(like).clone();
        let shape: Vec<usize> = ty.const_shape().unwrap_or_default();
        let (kept, dimensions): (Vec<usize>, Vec<usize>) = match seed % 4 {
            0 => (shape.clone(), (0..shape.len()).collect()),
            1 => (Vec::new(), Vec::new()),
            _ if shape.is_empty() => (Vec::new(), Vec::new()),
            _ => {
                let axis = seed as usize / 4 % shape.len();
                (vec![shape[axis]], vec![axis])
            }
        };
        let tensor = tensor(ty.dtype, &kept, seed / 16);
        let constant = self.builder.constant(tensor)?;
        self.builder.op(Op::Broadcast { shape: ty.shape.to_vec(), dimensions }, &[constant])
    }

    fn step(&mut self, (kind, first, second, seed): Step) {
        let x = self.pick(first);
        let ty = self.builder.ty(x).clone();
        let (rank, float) = (ty.rank(), ty.dtype.is_float());
        let shape: Vec<i64> = ty.shape.iter().filter_map(Dim::as_const).collect();
        let axis = if rank == 0 { 0 } else { seed as usize % rank };
        let dims = |values: Vec<i64>| values.into_iter().map(Dim::from).collect::<Vec<Dim>>();
        let value = match kind % 20 {
            0 | 1 => self.function(x, float, seed),
            2..=4 => {
                let op = binary(float, seed / 3);
                let y = match seed % 3 {
                    0 => self.pick(second),
                    _ => match self.constant_like(x, seed / 8) {
                        Ok(y) => y,
                        Err(_) => return,
                    },
                };
                let operands = if second % 2 == 0 { [x, y] } else { [y, x] };
                self.builder.op(Op::Binary(op), &operands)
            }
            5 | 6 => {
                let mut permutation: Vec<usize> = (0..rank).collect();
                permutation.rotate_left(axis);
                if seed % 5 > 2 {
                    permutation.reverse();
                }
                self.builder.op(Op::Transpose { permutation }, &[x])
            }
            7 => {
                let mut new = shape.clone();
                match seed % 4 {
                    0 => new = vec![shape.iter().product()],
                    1 => new.insert(axis, 1),
                    2 => new.retain(|extent| *extent != 1),
                    _ => new.reverse(),
                }
                self.builder.op(Op::Reshape { shape: dims(new) }, &[x])
            }
            8 => {
                let mut new = shape.clone();
                new.insert(axis, i64::from(seed / 8 % 3) + 1);
                let dimensions = (0..=rank).filter(|place| *place != axis).collect();
                self.builder.op(Op::Broadcast { shape: dims(new), dimensions }, &[x])
            }
            9 | 10 => {
                let (mut start, mut limit, mut stride) = (vec![0; rank], shape.clone(), vec![1; rank]);
                if rank > 0 {
                    start[axis] = i64::from(seed / 8 % 2).min(shape[axis]);
                    limit[axis] = (shape[axis] - i64::from(seed / 16 % 2)).max(start[axis]);
                    stride[axis] = i64::from(seed / 32 % 2) + 1;
                }
                self.builder.op(Op::Slice { start: dims(start), limit: dims(limit), stride }, &[x])
            }
            11 => {
                let (mut low, mut high, interior) = (vec![0; rank], vec![0; rank], vec![0; rank]);
                if rank > 0 {
                    (low[axis], high[axis]) = (i64::from(seed / 8 % 3) - 1, i64::from(seed / 32 % 2));
                }
                let Ok(value) = self.builder.scalar(ty.dtype, f64::from(seed / 64 % 2)) else { return };
                self.builder.op(Op::Pad { low: dims(low), high: dims(high), interior }, &[x, value])
            }
            12 | 13 => self.builder.op(Op::Concat { axis }, &[x, self.pick(second)]),
            14 => self.builder.op(Op::Reverse { axes: vec![axis] }, &[x]),
            15 => {
                let combine = if seed % 3 == 0 { ReduceOp::Max } else { ReduceOp::Sum };
                self.builder.reduce(combine, x, &[axis], seed % 2 == 0)
            }
            16 => self.product(x, axis, seed),
            17 => self.convolution(x, seed),
            18 => {
                let places: Vec<i64> = (0..i64::from(seed % 3) + 1).map(|n| (n * 2) % 3).collect();
                let Ok(indices) = self.builder.constant(Tensor::from_i64s(&places)) else { return };
                self.builder.op(Op::Gather { axis }, &[x, indices])
            }
            _ => {
                let y = self.pick(second);
                let Ok(condition) = self.builder.op(Op::Compare(compare(seed)), &[x, y]) else { return };
                match float {
                    true => return,
                    false => self.builder.op(Op::Select, &[condition, x, y]),
                }
            }
        };
        self.push(value);
    }

    /// A bounded function of one value.
    fn function(
        &mut self,
        x: ValueId,
        float: bool,
        seed: u32,
    ) -> Result<ValueId, graven_ir::infer::InferError> {
        let b = &mut self.builder;
        if !float {
            let op = [UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Not][seed as usize % 3];
            return match seed % 5 {
                0 => {
                    let wide = b.cast(x, DType::I64)?;
                    b.cast(wide, DType::I32)
                }
                _ => b.unary(op, x),
            };
        }
        match seed % 10 {
            0 => b.unary(UnaryOp::Neg, x),
            1 => b.unary(UnaryOp::Abs, x),
            2 => b.unary(UnaryOp::Tanh, x),
            3 => b.unary(UnaryOp::Sigmoid, x),
            4 => {
                let square = b.binary_scalar(BinaryOp::Pow, x, 2.0)?;
                let shifted = b.binary_scalar(BinaryOp::Add, square, 1.0)?;
                b.binary_scalar(BinaryOp::Pow, shifted, if seed % 4 < 2 { 0.5 } else { -0.5 })
            }
            5 => {
                let negative = b.unary(UnaryOp::Neg, x)?;
                let power = b.unary(UnaryOp::Exp, negative)?;
                let sum = b.binary_scalar(BinaryOp::Add, power, 1.0)?;
                b.binary(BinaryOp::Div, x, sum)
            }
            6 => {
                let scaled = b.binary_scalar(BinaryOp::Mul, x, std::f64::consts::FRAC_1_SQRT_2)?;
                let error = b.unary(UnaryOp::Erf, scaled)?;
                let shifted = b.binary_scalar(BinaryOp::Add, error, 1.0)?;
                let half = b.binary_scalar(BinaryOp::Mul, shifted, 0.5)?;
                b.binary(BinaryOp::Mul, half, x)
            }
            7 => {
                let narrow = b.cast(x, DType::F64)?;
                b.unary(UnaryOp::Neg, narrow)
            }
            8 => b.op(Op::Softmax { axis: 0 }, &[x]),
            _ => b.op(Op::Silu, &[x]),
        }
    }

    fn product(
        &mut self,
        x: ValueId,
        axis: usize,
        seed: u32,
    ) -> Result<ValueId, graven_ir::infer::InferError> {
        let ty = self.builder.ty(x).clone();
        let extent = ty.const_shape().and_then(|shape| shape.get(axis).copied()).unwrap_or(1);
        let weights = self.builder.constant(tensor(ty.dtype, &[3, extent], seed))?;
        let (op, operands) = match seed % 2 {
            0 => (dot(axis, 1), [x, weights]),
            _ => (dot(1, axis), [weights, x]),
        };
        self.builder.op(op, &operands)
    }

    fn convolution(&mut self, x: ValueId, seed: u32) -> Result<ValueId, graven_ir::infer::InferError> {
        let ty = self.builder.ty(x).clone();
        let channels = ty.const_shape().and_then(|shape| shape.get(1).copied()).unwrap_or(1);
        let weights = self.builder.constant(tensor(ty.dtype, &[3, channels, 2], seed))?;
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(1),
            stride: vec![1],
            padding_low: vec![Dim::from(i64::from(seed % 2))],
            padding_high: vec![Dim::ONE],
            base_dilation: vec![1],
            kernel_dilation: vec![1],
            feature_groups: 1,
            batch_groups: 1,
        };
        self.builder.op(op, &[x, weights])
    }
}

fn dot(lhs: usize, rhs: usize) -> Op {
    Op::DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![lhs], rhs_contract: vec![rhs] }
}

fn binary(float: bool, seed: u32) -> BinaryOp {
    use BinaryOp::{Add, And, Max, Min, Mul, Or, Sub, Xor};
    match float {
        true => [Add, Sub, Mul, Max, Min, Add, Mul][seed as usize % 7],
        false => [Add, Sub, Mul, Max, Min, And, Or, Xor][seed as usize % 8],
    }
}

fn compare(seed: u32) -> CompareOp {
    CompareOp::ALL[seed as usize % CompareOp::ALL.len()]
}

/// Elements from a short list that has the neutral ones.
fn tensor(dtype: DType, shape: &[usize], seed: u32) -> Tensor {
    let elements = [1.0, 0.0, -1.0, 0.5, 2.0, -0.25, 3.0];
    let count = shape.iter().product::<usize>();
    let value = |n: usize| elements[(seed as usize + n * (seed as usize % 3)) % elements.len()];
    let data: Vec<u8> =
        (0..count).flat_map(|n| graven_ir::element::encode_float(dtype, value(n)).into_vec()).collect();
    Tensor::new(dtype, shape.to_vec(), data).expect("as many elements as the shape has")
}

/// A graph over three parameters, with the last values as results.
fn generate(constants: &mut Constants, steps: &[Step]) -> Graph {
    let mut builder = GraphBuilder::new(constants);
    let types = [(DType::F64, vec![2, 3, 4]), (DType::F64, vec![3, 4]), (DType::I32, vec![2, 3])];
    let values = types
        .into_iter()
        .map(|(dtype, shape): (DType, Vec<i64>)| builder.param(TensorType::new(dtype, shape), None))
        .collect();
    let mut generator = Generator { builder, values };
    steps.iter().for_each(|step| generator.step(*step));
    let results = generator.values.iter().rev().take(3).copied().collect();
    generator.builder.finish(results)
}

fn inputs() -> Vec<Tensor> {
    let floats = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|n| ((n * 7 % 11) as f64 / 4.0 - 1.2).to_le_bytes()).collect()
    };
    let ints: Vec<u8> = [3, -7, 0, 1, 1 << 30, -1].iter().flat_map(|n: &i32| n.to_le_bytes()).collect();
    vec![
        Tensor::new(DType::F64, vec![2, 3, 4], floats(24)).expect("24 elements"),
        Tensor::new(DType::F64, vec![3, 4], floats(12)).expect("12 elements"),
        Tensor::new(DType::I32, vec![2, 3], ints).expect("6 elements"),
    ]
}

fn run(constants: &Constants, graph: &Graph) -> Result<Vec<Tensor>, String> {
    let results = Interpreter::new(constants).graph(graph, &inputs(), &SymbolValues::new());
    results.map_err(|error| error.to_string())
}

fn near(expected: &Tensor, actual: &Tensor) -> bool {
    let (a, b) = (expected.to_f64s(), actual.to_f64s());
    let largest = a.iter().filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs()));
    let equal =
        |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * largest;
    expected.ty() == actual.ty() && a.iter().zip(&b).all(equal)
}

fn apply_to(
    pass: &Pass,
    constants: &mut Constants,
    graph: &Graph,
    accuracy: Accuracy,
) -> Result<Graph, String> {
    let mut remarks = Remarks::new(true);
    let mut context = Context { constants, symbols: &[], accuracy, remarks: &mut remarks };
    apply(pass, &mut context, graph).map_err(|error| format!("`{}`: {error}", pass.name))
}

fn check(pass: &Pass, constants: &Constants, graph: &Graph, expected: &[Tensor]) -> Result<(), String> {
    let actual = run(constants, graph).map_err(|error| format!("after `{}`: {error}", pass.name))?;
    match expected.iter().zip(&actual).all(|(expected, actual)| near(expected, actual)) {
        true => Ok(()),
        false => Err(format!(
            "`{}` changes the results {:?} to {:?}",
            pass.name,
            expected.iter().map(Tensor::to_f64s).collect::<Vec<_>>(),
            actual.iter().map(Tensor::to_f64s).collect::<Vec<_>>()
        )),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_pass_and_all_of_them_keep_the_results(
        steps in prop::collection::vec(any::<Step>(), 1..40),
        accuracy in prop::sample::select(vec![Accuracy::Strict, Accuracy::Default, Accuracy::Fast]),
    ) {
        let mut constants = Constants::new();
        let graph = generate(&mut constants, &steps);
        let Ok(expected) = run(&constants, &graph) else { return Ok(()) };
        // Each by itself, but for the one that hides the nodes, and then one after the other.
        for pass in PIPELINE {
            let mut own = constants.clone();
            let result = apply_to(pass, &mut own, &graph, accuracy).and_then(|after| check(pass, &own, &after, &expected));
            prop_assert!(result.is_ok(), "{}\n{}", result.unwrap_err(), graven_ir::text::display_graph(&graph, &constants));
        }
        let mut current = graph.clone();
        for pass in PIPELINE {
            let before = current.clone();
            let result = apply_to(pass, &mut constants, &before, accuracy);
            let result = result.and_then(|after| {
                current = after;
                check(pass, &constants, &current, &expected)
            });
            prop_assert!(result.is_ok(), "{}\n{}", result.unwrap_err(), graven_ir::text::display_graph(&before, &constants));
        }
    }

    /// A second run finds (nearly) nothing to do: rules have a direction.
    #[test]
    fn the_passes_do_not_make_graphs_larger(steps in prop::collection::vec(any::<Step>(), 1..40)) {
        let mut constants = Constants::new();
        let mut graph = generate(&mut constants, &steps);
        let fused = |pass: &&Pass| pass.name != "fuse";
        for pass in PIPELINE.iter().filter(fused) {
            graph = apply_to(pass, &mut constants, &graph, Accuracy::Default).map_err(TestCaseError::fail)?;
        }
        let once = graph.node_count();
        for pass in PIPELINE.iter().filter(fused) {
            graph = apply_to(pass, &mut constants, &graph, Accuracy::Default).map_err(TestCaseError::fail)?;
        }
        prop_assert!(graph.node_count() <= once, "{} nodes became {}", once, graph.node_count());
    }
}
