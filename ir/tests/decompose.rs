//! Composites against their decompositions, both interpreted.

use graven_ir::decompose::{decompose, is_decomposed};
use graven_ir::interp::{SymbolValues, evaluate_graph};
use graven_ir::{
    Category, Constants, DType, Dim, Graph, GraphBuilder, Op, Real, Symbol, Tensor, TensorType, UnaryOp,
};

/// A fixed linear congruential sequence (Numerical Recipes) in −1..1.
struct Random(u32);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        f64::from(self.0 >> 8) / f64::from(1 << 23) - 1.0
    }

    fn tensor(&mut self, dtype: DType, shape: &[usize], scale: f64) -> Tensor {
        let count: usize = shape.iter().product();
        let elements = (0..count).flat_map(|_| graven_ir::element::encode_float(dtype, self.next() * scale));
        Tensor::new(dtype, shape.to_vec(), elements.collect::<Vec<u8>>()).unwrap()
    }
}

/// The graph of the op itself, and that of its decomposition, over parameters of the types.
fn graphs(constants: &mut Constants, op: &Op, types: &[TensorType]) -> [Graph; 2] {
    let mut builder = GraphBuilder::new(constants);
    let params: Vec<_> = types.iter().map(|ty| builder.param(ty.clone(), None)).collect();
    let result = builder.op(op.clone(), &params).unwrap();
    let composite = builder.finish(vec![result]);

    let mut builder = GraphBuilder::new(constants);
    let params: Vec<_> = types.iter().map(|ty| builder.param(ty.clone(), None)).collect();
    let decomposed = decompose(&mut builder, op, &params).unwrap();
    assert_eq!(builder.ty(decomposed), composite.ty(result), "{op:?}");
    let decomposed = builder.finish(vec![decomposed]);
    for (_, node) in decomposed.nodes() {
        assert!(!is_decomposed(&node.op) && node.op.category() != Category::Composite, "{}", node.op.name());
    }
    [composite, decomposed]
}

/// The results of both graphs, for inputs of these types.
fn results(op: &Op, types: &[TensorType], inputs: &[Tensor]) -> [Tensor; 2] {
    let mut constants = Constants::new();
    let graphs = graphs(&mut constants, op, types);
    let symbols = SymbolValues::from_inputs(types.iter().zip(inputs)).unwrap();
    graphs.map(|graph| evaluate_graph(&constants, &graph, inputs, &symbols).unwrap().remove(0))
}

/// The largest difference, relative to values above 1.
fn check_types(op: &Op, types: &[TensorType], inputs: &[Tensor], tolerance: f64) {
    let [composite, decomposed] = results(op, types, inputs);
    assert_eq!(composite.ty(), decomposed.ty());
    for (place, (a, b)) in composite.to_f64s().into_iter().zip(decomposed.to_f64s()).enumerate() {
        let close = a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * a.abs().max(1.0);
        assert!(close, "{op:?} on {types:?}: element {place} is {b} instead of {a}");
    }
}

/// Random inputs of `shapes`, in every float dtype.
fn check(op: &Op, shapes: &[&[usize]], scale: f64) {
    for (dtype, tolerance) in
        [(DType::F64, 1e-12), (DType::F32, 4e-6), (DType::F16, 2e-3), (DType::BF16, 1.6e-2)]
    {
        let mut random = Random(7);
        let inputs: Vec<Tensor> = shapes.iter().map(|shape| random.tensor(dtype, shape, scale)).collect();
        let types: Vec<TensorType> = inputs.iter().map(Tensor::ty).collect();
        check_types(op, &types, &inputs, tolerance);
    }
}

#[test]
fn softmax_along_any_axis() {
    for axis in 0..3 {
        for op in [Op::Softmax { axis }, Op::LogSoftmax { axis }] {
            check(&op, &[&[3, 4, 5]], 8.0);
            check(&op, &[&[2, 1, 7]], 100.0);
            check(&op, &[&[2, 0, 3]], 1.0);
        }
    }
}

#[test]
fn softmax_of_special_values() {
    let row = [1.0, f32::NEG_INFINITY, 2.0, f32::INFINITY, 0.0, 1.0, f32::NAN, 0.0, 0.0];
    let rows = Tensor::from_f32s(vec![3, 3], &row).unwrap();
    check_types(&Op::Softmax { axis: 1 }, &[rows.ty()], std::slice::from_ref(&rows), 1e-6);
    check_types(&Op::LogSoftmax { axis: 1 }, &[rows.ty()], &[rows], 1e-6);
}

#[test]
fn norms_with_and_without_scale_and_bias() {
    for (shape, axis) in [(&[3, 4, 5], 2), (&[3, 4, 5], 1), (&[2, 3, 7], 0)] {
        let epsilon = Real::from(1e-3);
        let affine = &shape[axis..];
        let operands: [&[usize]; 3] = [shape, affine, affine];
        for count in 1..=3 {
            check(&Op::LayerNorm { axis, epsilon }, &operands[..count], 3.0);
        }
        for count in 1..=2 {
            check(&Op::RmsNorm { axis, epsilon }, &operands[..count], 3.0);
        }
    }
    // The squares of these overflow f16.
    let x = Random(3).tensor(DType::F16, &[2, 9], 40000.0);
    let epsilon = Real::from(1e-3);
    check_types(&Op::LayerNorm { axis: 1, epsilon }, &[x.ty()], std::slice::from_ref(&x), 2e-3);
    check_types(&Op::RmsNorm { axis: 1, epsilon }, &[x.ty()], &[x], 2e-3);
}

#[test]
fn activations() {
    for op in [Op::Gelu { tanh: true }, Op::Gelu { tanh: false }, Op::Silu] {
        check(&op, &[&[5, 40]], 10.0);
        check(&op, &[&[]], 1.0);
    }
}

#[test]
fn attention_with_any_batch() {
    for (batch, l, s, d, e) in
        [(&[2, 3][..], 4, 6, 5, 2), (&[2], 6, 4, 3, 7), (&[], 3, 3, 2, 4), (&[0], 1, 2, 3, 4)]
    {
        let shape = |rows: usize, columns: usize| [batch, &[rows, columns]].concat();
        let shapes = [shape(l, d), shape(s, d), shape(s, e), shape(l, s)];
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        for causal in [false, true] {
            let op = Op::Attention { scale: Real::from(0.6), causal };
            check(&op, &shapes[..3], 2.0);
            check(&op, &shapes, 2.0);
        }
    }
}

#[test]
fn symbolic_extents() {
    let [n, l, s] = ["N", "L", "S"].map(|name| Dim::from(Symbol::new(name, 1, 16)));
    let mut random = Random(11);
    let mut inputs = |shapes: &[&[usize]]| -> Vec<Tensor> {
        shapes.iter().map(|shape| random.tensor(DType::F64, shape, 2.0)).collect()
    };
    let ty = |shape: &[&Dim]| TensorType::new(DType::F64, shape.iter().map(|dim| (*dim).clone()));
    let width = Dim::from(5i64);

    let x = inputs(&[&[3, 2, 5]]);
    for op in [Op::Softmax { axis: 1 }, Op::LayerNorm { axis: 1, epsilon: Real::from(1e-5) }, Op::Silu] {
        check_types(&op, &[ty(&[&n, &l, &width])], &x, 1e-12);
    }
    let operands = inputs(&[&[3, 4, 5], &[3, 6, 5], &[3, 6, 2], &[3, 4, 6]]);
    let two = Dim::from(2i64);
    let types = [ty(&[&n, &l, &width]), ty(&[&n, &s, &width]), ty(&[&n, &s, &two]), ty(&[&n, &l, &s])];
    let op = Op::Attention { scale: Real::from(0.6), causal: true };
    check_types(&op, &types, &operands, 1e-12);
    check_types(&op, &types[..3], &operands[..3], 1e-12);
}

/// Integers must be equal: ties and saturation are decided alike.
#[test]
fn quantisation() {
    let mut random = Random(5);
    for real in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for integer in
            [DType::I4, DType::U4, DType::I8, DType::U8, DType::I16, DType::U16, DType::I32, DType::U32]
        {
            let reach = 2f64.powi(integer.bits() as i32 - 1).min(60000.0);
            let x = random.tensor(real, &[3, 4, 50], reach * 0.2);
            for shape in [&[][..], &[4]] {
                let scale: Vec<u8> = (0..shape.iter().product())
                    .flat_map(|n: usize| graven_ir::element::encode_float(real, 0.125 + n as f64 * 0.03))
                    .collect();
                let scale = Tensor::new(real, shape.to_vec(), scale).unwrap();
                let zero_point = random.tensor(integer, shape, reach.min(100.0));
                let operands = [x.clone(), scale.clone(), zero_point.clone()];
                let types = operands.each_ref().map(Tensor::ty);
                let [composite, decomposed] = results(&Op::Quantize { axis: 1 }, &types, &operands);
                assert!(composite == decomposed, "quantize {real} to {integer}");

                let operands = [composite, scale, zero_point];
                let types = operands.each_ref().map(Tensor::ty);
                let tolerance = match real {
                    DType::F64 => 0.0,
                    DType::F32 => 2.4e-7,
                    DType::F16 => 1e-3,
                    _ => 8e-3,
                };
                check_types(&Op::Dequantize { axis: 1 }, &types, &operands, tolerance);
            }
        }
    }
}

#[test]
fn primitives_and_wrong_operands_are_errors() {
    let mut constants = Constants::new();
    let mut builder = GraphBuilder::new(&mut constants);
    let x = builder.param(TensorType::new(DType::F32, [2i64]), None);
    let integers = builder.param(TensorType::new(DType::I64, [2i64]), None);
    let error = |builder: &mut GraphBuilder<'_>, op: Op, operands: &[_]| {
        decompose(builder, &op, operands).unwrap_err().to_string()
    };
    let floor = Op::Unary(UnaryOp::Floor);
    assert_eq!(error(&mut builder, floor, &[x]), "`floor`: has no decomposition");
    error(&mut builder, Op::Silu, &[]);
    error(&mut builder, Op::Silu, &[integers]);
    error(&mut builder, Op::Softmax { axis: 1 }, &[x]);
    error(&mut builder, Op::LayerNorm { axis: 1, epsilon: Real::from(0.0) }, &[x]);
    error(&mut builder, Op::Attention { scale: Real::from(1.0), causal: true }, &[x, x, x]);
    error(&mut builder, Op::Quantize { axis: 0 }, &[x, integers, x]);
}
