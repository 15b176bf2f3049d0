//! Kernels that are no contractions: tiles, tails, borders, uneven blocks, results in place; compared with the interpreter.

use graven::accuracy::Accuracy;
use graven::pipeline;
use graven::remarks::Remarks;
use graven::target::Target;
use graven_ir::BinaryOp::{Add, Mul};
use graven_ir::UnaryOp::{Exp, Sigmoid};
use graven_ir::{
    BinaryOp, ConvDimensions, CumulativeOp, DType, Dim, Function, Graph, GraphBuilder, Module, Op, ReduceOp,
    Tensor, TensorType, ValueId,
};
use graven_tests::differential::{check, noise};

fn dims(extents: &[i64]) -> Vec<Dim> {
    extents.iter().map(|extent| Dim::from(*extent)).collect()
}

#[test]
fn transposes() {
    let cases: &[(&[usize], &[usize])] = &[
        (&[23, 37], &[1, 0]),
        (&[16, 64], &[1, 0]),
        (&[4, 4], &[1, 0]),
        (&[5, 50, 6], &[0, 2, 1]),
        (&[3, 130, 5], &[2, 1, 0]),
        (&[2, 19, 3, 7], &[0, 2, 3, 1]),
        (&[2, 6, 9, 17], &[0, 3, 1, 2]),
    ];
    for (shape, permutation) in cases {
        check(&format!("{shape:?} by {permutation:?}"), &[noise(shape, 1)], |b, p| {
            let turned = b.transpose(p[0], permutation).expect("transpose");
            vec![turned, b.unary(Exp, turned).expect("exp")]
        });
    }
    check("of a sum of rows and columns", &[noise(&[30, 21], 1), noise(&[30, 1], 2)], |b, p| {
        let op = Op::Broadcast { shape: dims(&[30, 21]), dimensions: vec![0, 1] };
        let wide = b.op(op, &[p[1]]).expect("broadcast");
        let sum = b.binary(Add, p[0], wide).expect("add");
        vec![b.transpose(sum, &[1, 0]).expect("transpose")]
    });
}

/// Window of `size` in the last two dimensions.
fn window(combine: ReduceOp, size: i64, stride: i64, pad: i64) -> Op {
    Op::ReduceWindow {
        combine,
        size: vec![1, 1, size, size],
        stride: vec![1, 1, stride, stride],
        dilation: vec![1; 4],
        padding_low: dims(&[0, 0, pad, pad]),
        padding_high: dims(&[0, 0, pad, pad]),
    }
}

#[test]
fn padded_windows() {
    for (extent, size, stride, pad) in
        [(21, 3, 2, 1), (9, 13, 1, 6), (17, 5, 1, 2), (4, 3, 1, 1), (40, 2, 2, 0), (7, 3, 3, 2)]
    {
        for combine in [ReduceOp::Max, ReduceOp::Sum] {
            let name = format!("{combine:?} of {size} by {stride} over {extent} and {pad}");
            check(&name, &[noise(&[1, 3, extent, extent], 1)], |b, p| {
                vec![b.op(window(combine, size, stride, pad), &[p[0]]).expect("window")]
            });
        }
    }
}

#[test]
fn rows_of_any_length() {
    for length in [1, 2, 3, 5, 8, 15, 16, 17, 33, 100, 197] {
        check(&format!("softmax of {length}"), &[noise(&[7, length], 1)], |b, p| {
            // Logits far apart, so that many probabilities vanish.
            let wide = b.binary_scalar(Mul, p[0], 150.0).expect("mul");
            let near = b.op(Op::Softmax { axis: 1 }, &[p[0]]).expect("softmax");
            vec![near, b.op(Op::Softmax { axis: 1 }, &[wide]).expect("softmax")]
        });
        check(&format!("norm of {length}"), &[noise(&[7, length], 1)], |b, p| {
            let mean = b.reduce(ReduceOp::Max, p[0], &[1], true).expect("max");
            let op = Op::Broadcast { shape: dims(&[7, length as i64]), dimensions: vec![0, 1] };
            let spread = b.op(op, &[mean]).expect("broadcast");
            let sum = b.binary(Add, p[0], spread).expect("add");
            let total = b.reduce(ReduceOp::Sum, sum, &[1], false).expect("sum");
            vec![sum, total]
        });
    }
}

fn conv(b: &mut GraphBuilder, x: ValueId, outputs: usize, seed: u32) -> ValueId {
    let inputs = b.shape(x)[1].as_const().expect("channels") as usize;
    let weights = b.constant(noise(&[outputs, inputs, 3, 3], seed)).expect("weights");
    let op = Op::Conv {
        dimensions: ConvDimensions::standard(2),
        stride: vec![1; 2],
        padding_low: dims(&[1, 1]),
        padding_high: dims(&[1, 1]),
        base_dilation: vec![1; 2],
        kernel_dilation: vec![1; 2],
        feature_groups: 1,
        batch_groups: 1,
    };
    b.op(op, &[x, weights]).expect("conv")
}

#[test]
fn uneven_channels() {
    for channels in [5, 8, 12, 20, 24, 40] {
        check(&format!("{channels} channels"), &[noise(&[2, 3, 7, 6], 1)], |b, p| {
            let x = conv(b, p[0], channels, 2);
            // Read by two groups, so that it is computed on its own; it isn't 0 where channels are missing.
            let gate = b.unary(Sigmoid, x).expect("sigmoid");
            let pooled = b.op(window(ReduceOp::Sum, 3, 2, 1), &[gate]).expect("pool");
            let next = conv(b, gate, channels, 3);
            let mean = b.reduce(ReduceOp::Sum, gate, &[2, 3], false).expect("sum");
            vec![next, pooled, mean, gate]
        });
    }
}

#[test]
fn joined_and_cut_channels() {
    for (first, second, cut) in [(24, 20, 8), (8, 40, 24), (16, 32, 16), (12, 12, 4), (32, 6, 6)] {
        check(&format!("{first} and {second} channels, cut at {cut}"), &[noise(&[2, 3, 7, 6], 1)], |b, p| {
            let (x, y) = (conv(b, p[0], first, 2), conv(b, p[0], second, 3));
            let joined = b.op(Op::Concat { axis: 1 }, &[x, y]).expect("concat");
            let end = (first + second) as i64;
            let slice =
                Op::Slice { start: dims(&[0, cut, 0, 0]), limit: dims(&[2, end, 7, 6]), stride: vec![1; 4] };
            let part = b.op(slice, &[joined]).expect("slice");
            let gate = b.unary(Sigmoid, part).expect("sigmoid");
            vec![conv(b, gate, 8, 4), conv(b, joined, 8, 5)]
        });
    }
}

#[test]
fn elements_some_places_apart() {
    for stride in [2, 3, 4, 5] {
        check(&format!("every {stride}th"), &[noise(&[3, 161], 1)], |b, p| {
            let slice = Op::Slice { start: dims(&[0, 1]), limit: dims(&[3, 161]), stride: vec![1, stride] };
            let part = b.op(slice, &[p[0]]).expect("slice");
            vec![b.unary(Exp, part).expect("exp")]
        });
    }
}

fn integers(shape: &[usize], seed: u32) -> Tensor {
    let data = noise(shape, seed).to_f64s().into_iter().flat_map(|x| ((x * 127.0) as i32).to_le_bytes());
    Tensor::new(DType::I32, shape.to_vec(), data.collect::<Vec<u8>>()).expect("integers")
}

#[test]
fn integer_contractions() {
    check("i32 conv", &[integers(&[1, 5, 9, 8], 1)], |b, p| {
        let weights = b.constant(integers(&[20, 5, 3, 3], 2)).expect("weights");
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(2),
            stride: vec![1; 2],
            padding_low: dims(&[1, 1]),
            padding_high: dims(&[1, 1]),
            base_dilation: vec![1; 2],
            kernel_dilation: vec![1; 2],
            feature_groups: 1,
            batch_groups: 1,
        };
        let sums = b.op(op, &[p[0], weights]).expect("conv");
        let shape = b.shape(sums).to_vec();
        let [quotient, remainder] = [(BinaryOp::Div, 64.0), (BinaryOp::Mod, 8.0)].map(|(op, value)| {
            let scalar = b.scalar(DType::I32, value).expect("a number");
            let divisor = b.broadcast_to(scalar, &shape).expect("broadcast");
            b.binary(op, sums, divisor).expect("quotient")
        });
        vec![sums, quotient, remainder]
    });
    check("i32 product", &[integers(&[37, 70], 1)], |b, p| {
        let weights = b.constant(integers(&[70, 33], 2)).expect("weights");
        let op = Op::DotGeneral {
            lhs_batch: Vec::new(),
            rhs_batch: Vec::new(),
            lhs_contract: vec![1],
            rhs_contract: vec![0],
        };
        vec![b.op(op, &[p[0], weights]).expect("product")]
    });
}

#[test]
fn results_take_the_memory_of_operands() {
    let ty = TensorType::new(DType::F32, dims(&[48, 64]));
    let mut module = Module { name: "in_place".into(), ..Module::default() };
    let mut builder = GraphBuilder::new(&mut module.constants);
    let x = builder.param(ty, Some("x"));
    let running = |b: &mut GraphBuilder, x: ValueId, axis: usize| {
        let op = Op::Cumulative { combine: CumulativeOp::Max, axis, exclusive: false, reverse: false };
        b.op(op, &[x]).expect("cumulative")
    };
    let first = running(&mut builder, x, 0);
    let between = builder.unary(Exp, first).expect("exp");
    let results = vec![running(&mut builder, between, 0), running(&mut builder, between, 1)];
    let graph: Graph = builder.finish(results);
    module.functions.push(Function {
        name: "main".into(),
        inputs: vec!["x".into()],
        outputs: vec!["y".into(), "z".into()],
        states: Vec::new(),
        graph,
    });
    let target = Target::host().expect("the host is supported");
    let program =
        pipeline::lower(&module, &target, Accuracy::Default, &mut Remarks::default(), &mut |_, _, _| {})
            .expect("a program");
    graven::form::plan::check(&program).expect("a plan");
    assert_eq!(program.arena_bytes, 48 * 64 * 4);
}
