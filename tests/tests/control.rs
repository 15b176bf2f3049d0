//! Branches and loops, compiled and compared with the interpreter.

use graven_ir::BinaryOp::{Add, Mul, Sub};
use graven_ir::CompareOp::{Gt, Lt};
use graven_ir::UnaryOp::{Neg, Sigmoid, Tanh};
use graven_ir::{ConvDimensions, DType, Dim, Graph, GraphBuilder, Op, ReduceOp, Tensor, TensorType, ValueId};
use graven_tests::differential::{check, noise};

/// A region over parameters of these types.
fn region(
    b: &mut GraphBuilder,
    types: &[TensorType],
    build: impl FnOnce(&mut GraphBuilder, &[ValueId]) -> Vec<ValueId>,
) -> Graph {
    let mut inner = b.region();
    let params: Vec<ValueId> = types.iter().map(|ty| inner.param(ty.clone(), None)).collect();
    let results = build(&mut inner, &params);
    inner.finish(results)
}

fn types(b: &GraphBuilder, values: &[ValueId]) -> Vec<TensorType> {
    values.iter().map(|value| b.ty(*value).clone()).collect()
}

fn control(b: &mut GraphBuilder, op: Op, operands: &[ValueId], regions: Vec<Graph>) -> Vec<ValueId> {
    let node = b.node(op, operands, regions).expect("a node with regions");
    b.graph().node(node).results.to_vec()
}

fn matmul(b: &mut GraphBuilder, x: ValueId, y: ValueId) -> ValueId {
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![b.shape(x).len() - 1],
        rhs_contract: vec![0],
    };
    b.op(op, &[x, y]).expect("a product")
}

fn slice_type(ty: &TensorType) -> TensorType {
    TensorType { dtype: ty.dtype, shape: ty.shape[1..].into() }
}

type Body<'f> = &'f dyn Fn(&mut GraphBuilder, &[ValueId]) -> Vec<ValueId>;

/// A scan over `length` slices: carried values, scanned values, captures.
fn scan(
    b: &mut GraphBuilder,
    [carried, scanned, captures]: [&[ValueId]; 3],
    (length, reverse): (i64, bool),
    body: Body,
) -> Vec<ValueId> {
    let mut inner = types(b, carried);
    inner.extend(types(b, scanned).iter().map(slice_type));
    inner.extend(types(b, captures));
    let graph = region(b, &inner, |b, p| body(b, p));
    let operands = [carried, scanned, captures].concat();
    let op = Op::Scan { carried: carried.len(), scanned: scanned.len(), length: Dim::from(length), reverse };
    control(b, op, &operands, vec![graph])
}

/// A while loop over carried values and captures.
fn repeat(
    b: &mut GraphBuilder,
    [carried, captures]: [&[ValueId]; 2],
    limit: i64,
    condition: Body,
    body: Body,
) -> Vec<ValueId> {
    let operands = [carried, captures].concat();
    let inner = types(b, &operands);
    let regions = vec![region(b, &inner, |b, p| condition(b, p)), region(b, &inner, |b, p| body(b, p))];
    control(b, Op::While { carried: carried.len(), trip_limit: Dim::from(limit) }, &operands, regions)
}

fn int(value: i64) -> Tensor {
    Tensor::from_i64s(&[value]).reshaped(vec![]).expect("a scalar")
}

fn truth(value: bool) -> Tensor {
    Tensor::new(DType::Bool, vec![], vec![u8::from(value)]).expect("a bool")
}

#[test]
fn branches() {
    for taken in [true, false] {
        check(&format!("if_{taken}"), &[truth(taken), noise(&[3, 5], 1), noise(&[3, 5], 2)], |b, p| {
            let inner = types(b, &p[1..]);
            let then = region(b, &inner, |b, p| {
                let sum = b.binary(Add, p[0], p[1]).expect("sum");
                vec![b.unary(Tanh, sum).expect("tanh"), p[1]]
            });
            let otherwise = region(b, &inner, |b, p| {
                let product = b.binary(Mul, p[0], p[1]).expect("product");
                vec![p[0], b.unary(Neg, product).expect("neg")]
            });
            control(b, Op::If, p, vec![then, otherwise])
        });
    }
}

/// A computed condition, an `if` in each branch, values from around it, and a result that is used afterwards.
#[test]
fn nested_branches() {
    for seed in 0..6 {
        check(&format!("nested_{seed}"), &[noise(&[4, 6], seed)], |b, p| {
            let (positive, large) = (above(b, p[0], 0.0), above(b, p[0], 2.0));
            let shifted = b.binary_scalar(Add, p[0], 0.25).expect("sum");
            let inner = types(b, &[large, p[0], shifted]);
            let mut arm = |factor: f64| {
                region(b, &inner, |b, p| {
                    let captures = types(b, &p[1..]);
                    let then = region(b, &captures, |b, p| {
                        vec![b.binary_scalar(Mul, p[0], factor).expect("product")]
                    });
                    let otherwise =
                        region(b, &captures, |b, p| vec![b.binary(Sub, p[1], p[0]).expect("difference")]);
                    let chosen = control(b, Op::If, p, vec![then, otherwise])[0];
                    vec![b.unary(Sigmoid, chosen).expect("sigmoid")]
                })
            };
            let regions = vec![arm(3.0), arm(-2.0)];
            let y = control(b, Op::If, &[positive, large, p[0], shifted], regions)[0];
            vec![b.binary(Add, y, shifted).expect("sum"), y]
        });
    }
}

/// Whether the sum of the elements is above a limit.
fn above(b: &mut GraphBuilder, x: ValueId, limit: f64) -> ValueId {
    let axes: Vec<usize> = (0..b.shape(x).len()).collect();
    let sum = b.reduce(ReduceOp::Sum, x, &axes, false).expect("sum");
    let limit = b.scalar(DType::F32, limit).expect("limit");
    b.compare(Gt, sum, limit).expect("comparison")
}

#[test]
fn scans() {
    for (length, reverse) in [(0, false), (1, false), (2, true), (7, false), (7, true)] {
        let inputs = [noise(&[3], 1), noise(&[length, 3], 2), noise(&[3], 3)];
        check(&format!("scan_{length}_{reverse}"), &inputs, |b, p| {
            scan(b, [&p[..1], &p[1..2], &p[2..]], (length as i64, reverse), &|b, p| {
                let decayed = b.binary(Mul, p[0], p[2]).expect("product");
                let sum = b.binary(Add, decayed, p[1]).expect("sum");
                let bounded = b.unary(Tanh, sum).expect("tanh");
                vec![sum, bounded, p[0]]
            })
        });
    }
}

/// Carried values that are exchanged, handed on as they are, captured or constant, and a stacked result that is reshaped.
#[test]
fn carried_values() {
    let inputs = [noise(&[4], 1), noise(&[4], 2), noise(&[4], 3), noise(&[5, 4], 4)];
    check("exchanged", &inputs, |b, p| {
        let mut results = scan(b, [&p[..3], &p[3..], &p[..1]], (5, false), &|b, p| {
            let sum = b.binary(Add, p[0], p[3]).expect("sum");
            let matrix = b.reshape(sum, &[Dim::from(2i64), Dim::from(2i64)]).expect("matrix");
            vec![p[1], sum, p[2], p[4], matrix, p[3], sum]
        });
        results.push(b.binary(Mul, results[0], results[1]).expect("product"));
        results
    });
    check("constant", &inputs[..2], |b, p| {
        scan(b, [p, &[], &[]], (3, false), &|b, p| {
            let next = b.constant(noise(&[4], 9)).expect("constant");
            vec![next, p[0], p[1]]
        })
    });
}

/// Matrix products large enough for several workers, with weights from outside of the loop, in the body and as carried values.
#[test]
fn recurrent_network() {
    let (steps, batch, inputs, hidden) = (6, 5, 24, 40);
    let x = [noise(&[steps, batch, inputs], 1), noise(&[batch, hidden], 2), noise(&[batch, hidden], 3)];
    for reverse in [false, true] {
        check(&format!("lstm_{reverse}"), &x, |b, p| {
            let w = b.constant(noise(&[inputs, 4 * hidden], 4)).expect("weights");
            let r = b.constant(noise(&[hidden, 4 * hidden], 5)).expect("weights");
            let bias = b.constant(noise(&[4 * hidden], 6)).expect("bias");
            scan(b, [&p[1..], &p[..1], &[w, r, bias]], (steps as i64, reverse), &|b, p| {
                lstm_step(b, p, hidden as i64)
            })
        });
    }
}

/// `(h, c, x, w, r, bias) → (h, c, h)` (Hochreiter and Schmidhuber, 1997, with forget gates).
fn lstm_step(b: &mut GraphBuilder, p: &[ValueId], hidden: i64) -> Vec<ValueId> {
    let (projected, recurrent) = (matmul(b, p[2], p[3]), matmul(b, p[0], p[4]));
    let sum = b.binary(Add, projected, recurrent).expect("sum");
    let gates = b.binary(Add, sum, p[5]).expect("bias");
    let batch = b.shape(gates)[0].clone();
    let gate = |b: &mut GraphBuilder, n: i64, op| {
        let part = Op::Slice {
            start: vec![Dim::ZERO, Dim::from(n * hidden)],
            limit: vec![batch.clone(), Dim::from((n + 1) * hidden)],
            stride: vec![1, 1],
        };
        let part = b.op(part, &[gates]).expect("slice");
        b.unary(op, part).expect("gate")
    };
    let (input, output) = (gate(b, 0, Sigmoid), gate(b, 1, Sigmoid));
    let (forget, cell) = (gate(b, 2, Sigmoid), gate(b, 3, Tanh));
    let kept = b.binary(Mul, forget, p[1]).expect("product");
    let added = b.binary(Mul, input, cell).expect("product");
    let c = b.binary(Add, kept, added).expect("sum");
    let bounded = b.unary(Tanh, c).expect("tanh");
    let h = b.binary(Mul, output, bounded).expect("product");
    vec![h, c, h]
}

#[test]
fn while_loops() {
    for (start, name) in [(0, "all"), (97, "some"), (100, "none"), (200, "never")] {
        check(name, &[int(start), noise(&[6], 1), noise(&[6], 2)], |b, p| {
            repeat(
                b,
                [&p[..2], &p[2..]],
                1000,
                &|b, p| {
                    let end = b.constant(int(100)).expect("limit");
                    vec![b.compare(Lt, p[0], end).expect("comparison")]
                },
                &|b, p| {
                    let one = b.constant(int(1)).expect("one");
                    let half = b.binary_scalar(Mul, p[1], 0.5).expect("half");
                    vec![b.binary(Add, p[0], one).expect("next"), b.binary(Add, half, p[2]).expect("sum")]
                },
            )
        });
    }
}

/// A loop that data end: halving until the sum is small.
#[test]
fn early_exit() {
    check("halving", &[Tensor::from_f32s(vec![3], &[100.0, 31.0, 7.5]).expect("input")], |b, p| {
        let trips = b.constant(int(0)).expect("zero");
        repeat(b, [&[trips, p[0]], &[]], 50, &|b, p| vec![above(b, p[1], 1.0)], &|b, p| {
            let one = b.constant(int(1)).expect("one");
            let half = b.binary_scalar(Mul, p[1], 0.5).expect("half");
            vec![b.binary(Add, p[0], one).expect("next"), half]
        })
    });
}

/// A scan in a scan, over slices of slices, within a while loop, with a branch in the middle.
#[test]
fn nested_loops() {
    let inputs = [noise(&[3], 1), noise(&[4, 2, 3], 2)];
    check("nested", &inputs, |b, p| {
        let trips = b.constant(int(0)).expect("zero");
        let carried = repeat(
            b,
            [&[trips, p[0]], &p[1..]],
            10,
            &|b, p| {
                let end = b.constant(int(3)).expect("limit");
                vec![b.compare(Lt, p[0], end).expect("comparison")]
            },
            &|b, p| {
                let one = b.constant(int(1)).expect("one");
                let next = b.binary(Add, p[0], one).expect("next");
                let outer = scan(b, [&p[1..2], &p[2..3], &[]], (4, true), &|b, p| rows(b, p));
                let sum = b.reduce(ReduceOp::Sum, outer[1], &[0, 1], false).expect("sum");
                vec![next, b.binary(Sub, outer[0], sum).expect("difference")]
            },
        );
        let outer = scan(b, [&carried[1..], &p[1..], &[]], (4, false), &|b, p| rows(b, p));
        [carried, outer].concat()
    });
}

/// `(carried, rows) → (carried, changed rows)`.
fn rows(b: &mut GraphBuilder, p: &[ValueId]) -> Vec<ValueId> {
    scan(b, [&p[..1], &p[1..2], &p[..1]], (2, false), &|b, p| {
        let sum = b.binary(Add, p[0], p[1]).expect("sum");
        let bounded = b.unary(Tanh, sum).expect("tanh");
        let condition = above(b, sum, 0.0);
        let inner = types(b, &[sum, bounded, p[2]]);
        let then = region(b, &inner, |_, p| vec![p[1]]);
        let otherwise = region(b, &inner, |b, p| vec![b.binary(Add, p[0], p[2]).expect("sum")]);
        let y = control(b, Op::If, &[condition, sum, bounded, p[2]], vec![then, otherwise])[0];
        vec![y, bounded]
    })
}

/// A convolution with a layout of its own in the body.
#[test]
fn convolution_in_a_loop() {
    check("conv", &[noise(&[1, 16, 9, 9], 1)], |b, p| {
        let results = scan(b, [p, &[], &[]], (3, false), &|b, p| {
            let w = b.constant(noise(&[16, 16, 3, 3], 2)).expect("weights");
            let op = Op::Conv {
                dimensions: ConvDimensions::standard(2),
                stride: vec![1; 2],
                padding_low: vec![Dim::ONE; 2],
                padding_high: vec![Dim::ONE; 2],
                base_dilation: vec![1; 2],
                kernel_dilation: vec![1; 2],
                feature_groups: 1,
                batch_groups: 1,
            };
            let y = b.op(op, &[p[0], w]).expect("a convolution");
            let bounded = b.unary(Tanh, y).expect("tanh");
            let mean = b.reduce(ReduceOp::Sum, bounded, &[2, 3], false).expect("sum");
            vec![bounded, mean]
        });
        vec![b.unary(Neg, results[0]).expect("neg"), results[1]]
    });
}
