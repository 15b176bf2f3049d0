//! Every kind of fusion group and schedule, compiled and compared with the interpreter.

use graven_ir::BinaryOp::{Add, Max, Mul};
use graven_ir::UnaryOp::{Erf, Exp, Neg, Sigmoid, Sin, Tanh};
use graven_ir::{ConvDimensions, CumulativeOp, DType, Dim, GraphBuilder, Op, ReduceOp, Tensor, ValueId};
use graven_tests::differential::{check, noise};

fn dims(extents: &[i64]) -> Vec<Dim> {
    extents.iter().map(|extent| Dim::from(*extent)).collect()
}

fn relu(b: &mut GraphBuilder, x: ValueId) -> ValueId {
    b.binary_scalar(Max, x, 0.0).expect("relu")
}

fn constant(b: &mut GraphBuilder, shape: &[usize], seed: u32) -> ValueId {
    b.constant(noise(shape, seed)).expect("a constant")
}

fn matmul(b: &mut GraphBuilder, x: ValueId, y: ValueId, batch: usize, transposed: bool) -> ValueId {
    let (rank, other) = (b.shape(x).len(), b.shape(y).len());
    let op = Op::DotGeneral {
        lhs_batch: (0..batch).collect(),
        rhs_batch: (0..batch).collect(),
        lhs_contract: vec![rank - 1],
        rhs_contract: vec![if transposed { other - 1 } else { other - 2 }],
    };
    b.op(op, &[x, y]).expect("a product")
}

/// Stride, padding, groups, dilation: the same in all spatial dimensions.
fn conv(
    b: &mut GraphBuilder,
    x: ValueId,
    w: ValueId,
    (stride, pad, groups, dilation): (i64, i64, i64, i64),
) -> ValueId {
    let rank = b.shape(x).len() - 2;
    let op = Op::Conv {
        dimensions: ConvDimensions::standard(rank),
        stride: vec![stride; rank],
        padding_low: vec![Dim::from(pad); rank],
        padding_high: vec![Dim::from(pad); rank],
        base_dilation: vec![1; rank],
        kernel_dilation: vec![dilation; rank],
        feature_groups: groups,
        batch_groups: 1,
    };
    b.op(op, &[x, w]).expect("a convolution")
}

fn max_pool(b: &mut GraphBuilder, x: ValueId) -> ValueId {
    let op = Op::ReduceWindow {
        combine: ReduceOp::Max,
        size: vec![1, 1, 3, 3],
        stride: vec![1, 1, 2, 2],
        dilation: vec![1; 4],
        padding_low: dims(&[0, 0, 1, 1]),
        padding_high: dims(&[0, 0, 1, 1]),
    };
    b.op(op, &[x]).expect("a pool")
}

#[test]
fn elementwise() {
    check("add_relu", &[noise(&[3, 37], 1), noise(&[37], 2)], |b, p| {
        let y = b.binary(Add, p[0], p[1]).expect("sum");
        vec![relu(b, y)]
    });
    check("functions", &[noise(&[4, 21], 1)], |b, p| {
        [Exp, Tanh, Sigmoid, Erf, Sin].iter().map(|op| b.unary(*op, p[0]).expect("a function")).collect()
    });
}

#[test]
fn movement() {
    check("transpose", &[noise(&[3, 5, 7], 1)], |b, p| {
        let t = b.transpose(p[0], &[2, 0, 1]).expect("transpose");
        vec![b.unary(Neg, t).expect("neg")]
    });
    check("reshape_transpose", &[noise(&[6, 10], 1)], |b, p| {
        let t = b.reshape(p[0], &dims(&[4, 15])).expect("reshape");
        let t = b.transpose(t, &[1, 0]).expect("transpose");
        vec![b.unary(Neg, t).expect("neg")]
    });
    check("concat", &[noise(&[3, 5], 1), noise(&[3, 9], 2)], |b, p| {
        let n = b.unary(Neg, p[0]).expect("neg");
        vec![b.op(Op::Concat { axis: 1 }, &[n, p[1]]).expect("concat")]
    });
    check("pad", &[noise(&[3, 5], 1)], |b, p| {
        let filler = b.scalar(DType::F32, 0.5).expect("filler");
        let op = Op::Pad { low: dims(&[1, 2]), high: dims(&[0, -1]), interior: vec![1, 0] };
        vec![b.op(op, &[p[0], filler]).expect("pad")]
    });
    check("gather", &[noise(&[5, 13], 1)], |b, p| {
        let picked = b.constant(Tensor::from_i64s(&[4, 0, 3])).expect("indices");
        [0, 1].iter().map(|axis| b.op(Op::Gather { axis: *axis }, &[p[0], picked]).expect("gather")).collect()
    });
}

#[test]
fn matrix_products() {
    for (m, k, n) in [(1, 20, 10), (5, 7, 9), (64, 64, 64), (33, 17, 50), (70, 40, 53), (100, 784, 10)] {
        check(&format!("constant_{m}_{k}_{n}"), &[noise(&[m, k], 1)], |b, p| {
            let (w, bias) = (constant(b, &[k, n], 3), constant(b, &[n], 4));
            let y = matmul(b, p[0], w, 0, false);
            let y = b.binary(Add, y, bias).expect("bias");
            vec![relu(b, y)]
        });
        check(&format!("batched_{m}_{k}_{n}"), &[noise(&[2, m, k], 1), noise(&[2, k, n], 2)], |b, p| {
            vec![matmul(b, p[0], p[1], 1, false)]
        });
        check(&format!("transposed_{m}_{k}_{n}"), &[noise(&[2, m, k], 1), noise(&[2, n, k], 2)], |b, p| {
            let y = matmul(b, p[0], p[1], 1, true);
            vec![b.op(Op::Softmax { axis: 2 }, &[y]).expect("softmax")]
        });
    }
}

#[test]
fn deep_contractions() {
    // Sums wait in scratch memory between blocks of the contraction.
    check("deep_product", &[noise(&[21, 4096], 1)], |b, p| {
        let (w, bias) = (constant(b, &[4096, 100], 3), constant(b, &[100], 4));
        let y = matmul(b, p[0], w, 0, false);
        let y = b.binary(Add, y, bias).expect("bias");
        vec![relu(b, y)]
    });
    for features in [40, 72] {
        check(&format!("deep_conv_{features}"), &[noise(&[1, 320, 5, 5], 1)], |b, p| {
            let (w, bias) = (constant(b, &[features, 320, 3, 3], 3), constant(b, &[features, 1, 1], 4));
            let y = conv(b, p[0], w, (1, 1, 1, 1));
            let y = b.binary(Add, y, bias).expect("bias");
            vec![relu(b, y)]
        });
    }
}

/// Rows in place, rows that fall on the same lines of the cache, rows that are computed: in tiles of uneven size, with places after the last whole block.
#[test]
fn rows_of_products() {
    for (m, k, n) in [(45, 1100, 40), (45, 1003, 150), (30, 1024, 150), (71, 100, 130), (3, 50, 200)] {
        check(&format!("in_memory_{m}_{k}_{n}"), &[noise(&[m, k], 1)], |b, p| {
            let w = constant(b, &[k, n], 3);
            vec![matmul(b, p[0], w, 0, false)]
        });
        check(&format!("computed_{m}_{k}_{n}"), &[noise(&[m, k], 1), noise(&[m, 1], 2)], |b, p| {
            let (w, scale) = (constant(b, &[k, n], 3), constant(b, &[k], 4));
            let x = b.binary(Add, p[0], p[1]).expect("a sum");
            let x = b.binary(Mul, x, scale).expect("a product");
            let y = matmul(b, x, w, 0, false);
            vec![relu(b, y)]
        });
    }
}

#[test]
fn narrow_products() {
    for (m, k, n) in [(40, 300, 1), (1, 301, 3), (9, 130, 2), (1, 64, 40), (3, 9, 1)] {
        check(&format!("narrow_{m}_{k}_{n}"), &[noise(&[m, k], 1)], |b, p| {
            let (w, bias) = (constant(b, &[k, n], 3), constant(b, &[n], 4));
            let y = matmul(b, p[0], w, 0, false);
            vec![b.binary(Add, y, bias).expect("bias")]
        });
        check(&format!("rows_{m}_{k}_{n}"), &[noise(&[2, m, k], 1), noise(&[2, n, k], 2)], |b, p| {
            vec![matmul(b, p[0], p[1], 1, true)]
        });
    }
}

#[test]
fn rearranged_constants() {
    check("transposed_constant", &[noise(&[5, 17], 1)], |b, p| {
        let w = constant(b, &[33, 17], 3);
        let w = b.transpose(w, &[1, 0]).expect("transpose");
        vec![matmul(b, p[0], w, 0, false)]
    });
    check("batched_constant", &[noise(&[3, 5, 8], 1)], |b, p| {
        let w = constant(b, &[12, 3, 8], 3);
        let w = b.transpose(w, &[1, 2, 0]).expect("transpose");
        vec![matmul(b, p[0], w, 1, false)]
    });
    // Too large to be folded.
    check("large_constant", &[noise(&[300, 260], 1)], |b, p| {
        let w = constant(b, &[260, 300], 3);
        let w = b.transpose(w, &[1, 0]).expect("transpose");
        let w = b.op(Op::Reverse { axes: vec![1] }, &[w]).expect("reverse");
        vec![
            b.binary(Add, p[0], w).expect("sum"),
            b.op(Op::Reverse { axes: vec![0] }, &[w]).expect("reverse"),
        ]
    });
}

#[test]
fn transformer_block() {
    check("attention", &[noise(&[1, 9, 24], 1)], |b, p| {
        let mut heads = Vec::new();
        for seed in 0..3 {
            let w = constant(b, &[24, 24], 10 + seed);
            let y = matmul(b, p[0], w, 0, false);
            let y = b.reshape(y, &dims(&[1, 9, 3, 8])).expect("heads");
            heads.push(b.transpose(y, &[0, 2, 1, 3]).expect("transpose"));
        }
        let y = b.op(Op::Attention { scale: 0.35.into(), causal: true }, &heads).expect("attention");
        let y = b.transpose(y, &[0, 2, 1, 3]).expect("transpose");
        let y = b.reshape(y, &dims(&[1, 9, 24])).expect("join");
        let y = b.binary(Add, y, p[0]).expect("residual");
        let (scale, bias) = (constant(b, &[24], 20), constant(b, &[24], 21));
        let y = b.op(Op::LayerNorm { axis: 2, epsilon: 1e-5.into() }, &[y, scale, bias]).expect("norm");
        vec![b.op(Op::Gelu { tanh: false }, &[y]).expect("gelu")]
    });
}

#[test]
fn reductions() {
    for axis in [1, 2] {
        check(&format!("softmax_{axis}"), &[noise(&[2, 7, 113], 1)], |b, p| {
            vec![b.op(Op::Softmax { axis }, &[p[0]]).expect("softmax")]
        });
    }
    check("axes", &[noise(&[5, 13], 1)], |b, p| {
        let all = [
            (ReduceOp::Sum, vec![0]),
            (ReduceOp::Max, vec![1]),
            (ReduceOp::Sum, vec![0, 1]),
            (ReduceOp::Min, vec![0]),
        ];
        all.iter().map(|(op, axes)| b.reduce(*op, p[0], axes, false).expect("reduce")).collect()
    });
    check("cumulative", &[noise(&[5, 13], 1)], |b, p| {
        let op = Op::Cumulative { combine: CumulativeOp::Sum, axis: 1, exclusive: true, reverse: true };
        vec![b.op(op, &[p[0]]).expect("cumulative")]
    });
    check("arg", &[noise(&[5, 13], 1)], |b, p| {
        vec![b.op(Op::ArgReduce { largest: true, axis: 1, last: false }, &[p[0]]).expect("arg")]
    });
}

#[test]
fn sorting() {
    check("sort", &[noise(&[5, 13], 1)], |b, p| {
        b.results(Op::Sort { axis: 1, descending: true }, &[p[0]]).expect("sort").to_vec()
    });
    check("top_k", &[noise(&[5, 13], 1)], |b, p| {
        b.results(Op::TopK { axis: 0, k: Dim::from(2i64), largest: false }, &[p[0]]).expect("top_k").to_vec()
    });
}

#[test]
fn convolutions() {
    // Input and output channels, window, stride, padding, groups, dilation, extent.
    let cases = [
        (3, 16, 3, 2, 1, 1, 1, 13),
        (16, 24, 3, 1, 1, 1, 1, 7),
        (16, 16, 1, 1, 0, 1, 1, 9),
        (12, 20, 3, 1, 0, 1, 2, 9),
        (16, 16, 3, 1, 1, 16, 1, 8),
        (16, 32, 3, 1, 1, 2, 1, 8),
        (1, 6, 5, 1, 2, 1, 1, 28),
        (10, 10, 3, 2, 1, 10, 1, 9),
        (16, 16, 7, 1, 3, 16, 1, 9),
        // Few output channels.
        (32, 1, 3, 1, 1, 1, 1, 19),
        (40, 3, 3, 2, 1, 1, 1, 21),
        (16, 2, 1, 1, 0, 1, 1, 5),
        // Copied pixels, with rows taken together and with a step.
        (80, 56, 1, 1, 0, 1, 1, 9),
        (160, 64, 1, 2, 0, 1, 1, 9),
    ];
    for (inputs, features, window, stride, pad, groups, dilation, extent) in cases {
        let name = format!("conv_{inputs}_{features}_{window}_{stride}_{pad}_{groups}_{dilation}");
        check(&name, &[noise(&[2, inputs, extent, extent], 1)], |b, p| {
            let w = constant(b, &[features, inputs / groups, window, window], 3);
            let bias = constant(b, &[features, 1, 1], 4);
            let y = conv(b, p[0], w, (stride, pad, groups as i64, dilation));
            let y = b.binary(Add, y, bias).expect("bias");
            vec![relu(b, y)]
        });
    }
    check("conv_3d", &[noise(&[1, 8, 5, 6, 7], 1)], |b, p| {
        let w = constant(b, &[8, 8, 3, 3, 3], 3);
        vec![conv(b, p[0], w, (1, 1, 1, 1))]
    });
    check("conv_of_single_columns", &[noise(&[2, 24, 30, 1], 1)], |b, p| {
        let w = constant(b, &[40, 24, 5, 1], 3);
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(2),
            stride: vec![2, 1],
            padding_low: dims(&[1, 0]),
            padding_high: dims(&[0, 0]),
            base_dilation: vec![1; 2],
            kernel_dilation: vec![1; 2],
            feature_groups: 1,
            batch_groups: 1,
        };
        let y = b.op(op, &[p[0], w]).expect("a convolution");
        vec![relu(b, y)]
    });
    check("conv_1d", &[noise(&[1, 8, 50], 1)], |b, p| {
        let w = constant(b, &[24, 8, 5], 3);
        vec![conv(b, p[0], w, (2, 1, 1, 1))]
    });
}

#[test]
fn transposed_convolutions() {
    // Input and output channels, window, spread, padding before and after, window dilation, groups, extent.
    let cases = [
        (16, 24, 4, 2, 2, 2, 1, 1, 7),
        (8, 8, 3, 2, 1, 2, 1, 1, 9),
        (8, 8, 2, 3, 1, 1, 1, 1, 5),
        (3, 1, 5, 2, 2, 3, 1, 1, 6),
        (32, 1, 5, 2, 2, 3, 1, 1, 9),
        (8, 16, 3, 4, 2, 0, 2, 1, 6),
        (16, 16, 3, 2, 2, 2, 1, 16, 6),
        (16, 32, 3, 2, -1, 1, 1, 2, 6),
    ];
    for (inputs, features, window, spread, low, high, dilation, groups, extent) in cases {
        let name =
            format!("transposed_{inputs}_{features}_{window}_{spread}_{low}_{high}_{dilation}_{groups}");
        check(&name, &[noise(&[2, inputs, extent, extent], 1)], |b, p| {
            let mut dimensions = ConvDimensions::standard(2);
            let mut shape = [features, inputs / groups, window, window];
            if groups == 1 {
                dimensions.kernel.swap(0, 1);
                shape.swap(0, 1);
            }
            let w = constant(b, &shape, 3);
            let w = b.op(Op::Reverse { axes: vec![2, 3] }, &[w]).expect("a flipped kernel");
            let op = Op::Conv {
                dimensions,
                stride: vec![1; 2],
                padding_low: vec![Dim::from(low); 2],
                padding_high: vec![Dim::from(high); 2],
                base_dilation: vec![spread; 2],
                kernel_dilation: vec![dilation; 2],
                feature_groups: groups as i64,
                batch_groups: 1,
            };
            let y = b.op(op, &[p[0], w]).expect("a convolution");
            let bias = constant(b, &[features, 1, 1], 4);
            vec![b.binary(Add, y, bias).expect("bias")]
        });
    }
}

#[test]
fn residual_network() {
    check("residual", &[noise(&[1, 16, 9, 9], 1)], |b, p| {
        let (first, second) = (constant(b, &[16, 16, 3, 3], 3), constant(b, &[16, 16, 1, 1], 4));
        let y = conv(b, p[0], first, (1, 1, 1, 1));
        let y = relu(b, y);
        let z = conv(b, y, second, (1, 0, 1, 1));
        let z = b.binary(Add, z, y).expect("residual");
        let z = relu(b, z);
        let pooled = max_pool(b, z);
        let mean = b.reduce(ReduceOp::Sum, pooled, &[2, 3], false).expect("sum");
        let head = constant(b, &[16, 10], 5);
        vec![matmul(b, mean, head, 0, false)]
    });
}
