//! Random ops on random operands: a result of the inferred type or an error, never a panic or an internal error.

use graven_ir::interp::{EvalErrorKind, Interpreter, Limits, SymbolValues};
use graven_ir::{
    BinaryOp, CompareOp, Constants, ConvDimensions, CumulativeOp, DType, Dim, Op, Real, ReduceOp, ScatterOp,
    Tensor, TensorType, UnaryOp, infer::infer,
};

/// A fixed linear congruential sequence (Numerical Recipes).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Mostly small, now and then extreme.
    fn int(&mut self, low: i64, high: i64) -> i64 {
        match self.chance(1) {
            true => self.of(&[i64::MIN, i64::MAX, 1 << 40, -(1 << 40)]),
            false => low + self.below((high - low + 1) as usize) as i64,
        }
    }

    fn ints(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.int(low, high)).collect()
    }

    fn dims(&mut self, count: usize, low: i64, high: i64) -> Vec<Dim> {
        self.ints(count, low, high).into_iter().map(Dim::from).collect()
    }

    fn axes(&mut self, count: usize, rank: usize) -> Vec<usize> {
        (0..count).map(|_| self.below(rank + 1)).collect()
    }

    fn shape(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).map(|_| self.of(&[0, 1, 1, 2, 2, 3, 4])).collect()
    }

    fn tensor(&mut self, dtype: DType, shape: Vec<usize>) -> Tensor {
        let count = shape.iter().product::<usize>();
        // Small values, so that many of them are valid indices.
        let value = |random: &mut Random| random.int(-1, 4) as i128;
        let bytes = (0..count).flat_map(|_| graven_ir::element::encode_int(dtype, value(self)));
        Tensor::new(dtype, shape, bytes.collect::<Vec<u8>>()).unwrap()
    }
}

fn op(random: &mut Random, rank: usize) -> Op {
    let axis = random.below(rank.max(1));
    let epsilon = Real::from(1e-3);
    match random.below(34) {
        0 => Op::Unary(random.of(UnaryOp::ALL)),
        1 => Op::Binary(random.of(BinaryOp::ALL)),
        2 => Op::Compare(random.of(CompareOp::ALL)),
        3 => Op::Select,
        4 => Op::Cast { to: random.of(DType::ALL) },
        5 => Op::Bitcast { to: random.of(DType::ALL) },
        6 => Op::Reshape { shape: random.dims(rank, 0, 4) },
        7 => Op::Transpose { permutation: random.axes(rank, rank - 1.min(rank)) },
        8 => Op::Broadcast { shape: random.dims(rank + 1, 0, 4), dimensions: (0..rank).collect() },
        9 => Op::Slice {
            start: random.dims(rank, 0, 1),
            limit: random.dims(rank, 1, 3),
            stride: random.ints(rank, 1, 3),
        },
        10 => Op::Pad {
            low: random.dims(rank, -2, 2),
            high: random.dims(rank, -2, 2),
            interior: random.ints(rank, 0, 2),
        },
        11 => Op::Concat { axis },
        12 => Op::Reverse { axes: random.axes(1, rank) },
        13 => Op::Gather { axis },
        14 => Op::GatherElements { axis },
        15 => Op::GatherNd { batch_dimensions: random.below(2) },
        16 => Op::ScatterElements { axis, combine: random.of(ScatterOp::ALL) },
        17 => Op::ScatterNd { combine: random.of(ScatterOp::ALL) },
        18 => Op::DynamicSlice { shape: random.dims(rank, 0, 2) },
        19 => Op::DynamicUpdateSlice,
        20 => Op::DotGeneral {
            lhs_batch: random.axes(rank / 3, rank),
            rhs_batch: random.axes(rank / 3, rank),
            lhs_contract: random.axes(1, rank),
            rhs_contract: random.axes(1, rank),
        },
        21 | 22 => {
            let spatial = rank.saturating_sub(2);
            Op::Conv {
                dimensions: ConvDimensions::standard(spatial),
                stride: random.ints(spatial, 1, 3),
                padding_low: random.dims(spatial, -1, 2),
                padding_high: random.dims(spatial, -1, 2),
                base_dilation: random.ints(spatial, 1, 2),
                kernel_dilation: random.ints(spatial, 1, 2),
                feature_groups: random.int(1, 2),
                batch_groups: random.int(1, 2),
            }
        }
        23 => Op::ReduceWindow {
            combine: random.of(ReduceOp::ALL),
            size: random.ints(rank, 1, 3),
            stride: random.ints(rank, 1, 2),
            dilation: random.ints(rank, 1, 2),
            padding_low: random.dims(rank, -1, 2),
            padding_high: random.dims(rank, -1, 2),
        },
        24 => Op::ArgMaxWindow {
            size: random.ints(rank, 1, 3),
            stride: random.ints(rank, 1, 2),
            dilation: random.ints(rank, 1, 2),
            padding_low: random.dims(rank, -1, 2),
            padding_high: random.dims(rank, -1, 2),
        },
        25 => Op::Reduce { combine: random.of(ReduceOp::ALL), axes: random.axes(1, rank) },
        26 => Op::ArgReduce { largest: random.chance(50), axis, last: random.chance(50) },
        27 => Op::Cumulative {
            combine: random.of(CumulativeOp::ALL),
            axis,
            exclusive: random.chance(50),
            reverse: random.chance(50),
        },
        28 => Op::Sort { axis, descending: random.chance(50) },
        29 => Op::TopK { axis, k: Dim::from(random.int(0, 3)), largest: random.chance(50) },
        30 => match random.of(&[true, false]) {
            true => Op::Softmax { axis },
            false => Op::LogSoftmax { axis },
        },
        31 => match random.below(4) {
            0 => Op::LayerNorm { axis, epsilon },
            1 => Op::RmsNorm { axis, epsilon },
            2 => Op::Gelu { tanh: random.chance(50) },
            _ => Op::Silu,
        },
        32 => Op::Attention { scale: Real::from(0.5), causal: random.chance(50) },
        _ => match random.below(4) {
            0 => Op::Quantize { axis },
            1 => Op::Dequantize { axis },
            2 => Op::Iota { shape: random.dims(rank, 0, 4), axis, dtype: random.of(DType::ALL) },
            _ => Op::RandomBits { shape: random.dims(rank, 0, 4) },
        },
    }
}

/// Operands that fit more often than random ones would: equal shapes, indices where the op takes them.
fn operands(random: &mut Random, op: &Op, rank: usize) -> Vec<Tensor> {
    let dtype = random.of(DType::ALL);
    let float = random.of(&[DType::F16, DType::BF16, DType::F32, DType::F64]);
    let indices = random.of(&[DType::I64, DType::I8, DType::U16]);
    let shape = random.shape(rank);
    let x = random.tensor(dtype, shape.clone());
    let floats = random.tensor(float, shape.clone());
    match op {
        Op::Iota { .. } => vec![],
        Op::RandomBits { .. } => vec![random.tensor(DType::U64, vec![2])],
        Op::Select => vec![random.tensor(DType::Bool, shape.clone()), x, random.tensor(dtype, shape)],
        Op::Pad { .. } => vec![x, random.tensor(dtype, vec![])],
        Op::Binary(_) | Op::Compare(_) | Op::Concat { .. } => vec![x, random.tensor(dtype, shape)],
        Op::Gather { .. } => {
            let shape = random.shape(rank / 2);
            vec![x, random.tensor(indices, shape)]
        }
        Op::GatherElements { .. } => vec![x, random.tensor(indices, shape)],
        Op::ScatterElements { .. } => {
            vec![x, random.tensor(indices, shape.clone()), random.tensor(dtype, shape)]
        }
        Op::GatherNd { batch_dimensions } => {
            let mut leading = shape[..(*batch_dimensions).min(rank)].to_vec();
            leading.extend([random.below(3), random.below(3)]);
            vec![x, random.tensor(indices, leading)]
        }
        Op::ScatterNd { .. } => {
            let k = random.below(rank + 1);
            let count = random.below(3);
            let updates = [&[count], &shape[k..]].concat();
            vec![x, random.tensor(indices, vec![count, k]), random.tensor(dtype, updates)]
        }
        Op::DynamicSlice { .. } => vec![x, random.tensor(DType::I64, vec![rank])],
        Op::DynamicUpdateSlice => {
            let update = shape.iter().map(|extent| random.below(extent + 1)).collect();
            vec![x, random.tensor(dtype, update), random.tensor(DType::I64, vec![rank])]
        }
        Op::DotGeneral { .. } => vec![x, random.tensor(dtype, shape)],
        Op::Conv { feature_groups, .. } if rank >= 2 => {
            let mut kernel = random.shape(rank);
            kernel[1] = shape[1] / usize::try_from(*feature_groups).unwrap_or(1).max(1);
            vec![x, random.tensor(dtype, kernel)]
        }
        Op::LayerNorm { axis, .. } => {
            let affine = shape.get(*axis..).unwrap_or_default().to_vec();
            vec![floats, random.tensor(float, affine.clone()), random.tensor(float, affine)]
        }
        Op::Softmax { .. } | Op::LogSoftmax { .. } | Op::RmsNorm { .. } | Op::Gelu { .. } | Op::Silu => {
            vec![floats]
        }
        Op::Attention { .. } if rank >= 2 => {
            let (mut keys, mut values) = (shape.clone(), shape.clone());
            keys[rank - 2] = random.below(4);
            values[rank - 2..].copy_from_slice(&[keys[rank - 2], random.below(4)]);
            vec![floats, random.tensor(float, keys), random.tensor(float, values)]
        }
        Op::Quantize { .. } => {
            vec![floats, random.tensor(float, vec![]), random.tensor(dtype, vec![])]
        }
        Op::Dequantize { axis } => {
            let channels = vec![shape.get(*axis).copied().unwrap_or(1)];
            vec![x, random.tensor(float, channels.clone()), random.tensor(dtype, channels)]
        }
        _ => vec![x],
    }
}

#[test]
fn random_ops_give_results_or_errors() {
    let mut random = Random(2024);
    let constants = Constants::new();
    let interpreter = Interpreter::new(&constants).with_limits(Limits { elements: 1 << 16, steps: 1 << 22 });
    let (mut evaluated, mut names) = (0, std::collections::BTreeMap::<&str, usize>::new());
    for _ in 0..60_000 {
        let rank = random.below(5);
        let op = op(&mut random, rank);
        let mut inputs = operands(&mut random, &op, rank);
        if random.chance(2) {
            inputs.pop();
        }
        let types: Vec<TensorType> = inputs.iter().map(Tensor::ty).collect();
        let inferred = infer(&constants, &op, &types.iter().collect::<Vec<_>>(), &[]);
        match (interpreter.op(&op, &inputs, &[], &SymbolValues::new()), inferred) {
            (Ok(results), Ok(inferred)) => {
                assert!(results.iter().map(Tensor::ty).eq(inferred.iter().cloned()), "{op:?} on {types:?}");
                evaluated += 1;
                *names.entry(op.name()).or_default() += 1;
            }
            (Ok(_), Err(error)) => panic!("{op:?} on {types:?}: evaluated, but {error}"),
            (Err(error), Err(_)) => assert!(matches!(error.kind, EvalErrorKind::IllTyped(_)), "{error}"),
            (Err(error), Ok(_)) => assert!(
                matches!(error.kind, EvalErrorKind::IndexOutOfRange { .. } | EvalErrorKind::Limit { .. }),
                "{op:?} on {types:?}: {error}"
            ),
        }
    }
    // The operands fit often enough for the test to mean something.
    assert!(evaluated > 15_000, "{evaluated}");
    for name in [
        "conv",
        "dot_general",
        "gather_nd",
        "scatter_nd",
        "attention",
        "dynamic_update_slice",
        "pad",
        "slice",
    ] {
        assert!(names.get(name).is_some_and(|count| *count > 50), "{name}: {names:?}");
    }
}
