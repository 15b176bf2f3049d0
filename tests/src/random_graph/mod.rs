//! Random graphs with inputs, and how exact their results must be.
//!
//! Floats start as multiples of 1/4. As long as every element fits the mantissa, sums, products and rounding are exact in any order, and results must be
//! equal. What comes after a function that rounds is compared by a distance that grows with the magnitudes on the way, and no longer rounded, compared or
//! sorted, so that a difference of one bit stays small.

mod exactness;

pub use exactness::{Exactness, compare};

use crate::choices::Choices;
use exactness::Known;
use graven_ir::BinaryOp::{Add, And, Max, Min, Mul, Or, Sub, Xor};
use graven_ir::UnaryOp::{
    Abs, Ceil, Cos, Erf, Exp, Floor, Neg, Not, Round, Sigmoid, Sign, Sin, Sqrt, Tanh, Trunc,
};
use graven_ir::{
    BinaryOp, CompareOp, Constants, ConvDimensions, CumulativeOp, DType, Dim, Function, GraphBuilder, Module,
    Op, ReduceOp, ScatterOp, Tensor, ValueId,
};
use std::sync::Arc;

/// A graph with its inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The module; its function is `main`.
    pub module: Module,
    /// Inputs in the order of the signature.
    pub inputs: Vec<Tensor>,
    /// One entry per output.
    pub exactness: Vec<Exactness>,
}

/// Elements that a value may have.
const MAX_ELEMENTS: usize = 600;

/// Nodes of a graph, about.
const MAX_STEPS: usize = 14;

/// A random graph.
pub fn random_case(choices: &mut Choices) -> Case {
    let mut module = Module { name: "random".into(), ..Module::default() };
    let mut constants = Constants::default();
    let mut generator = Generator {
        builder: GraphBuilder::new(&mut constants),
        choices,
        pool: Vec::new(),
        inputs: Vec::new(),
    };
    generator.inputs();
    for _ in 0..MAX_STEPS {
        let values = generator.pool.len();
        // A step that does not fit its operands adds nothing.
        let _ = generator.step();
        generator.pool.truncate(values + 2);
        if generator.choices.is_used_up() {
            break;
        }
    }
    let results: Vec<(ValueId, Known)> = generator.pool.iter().rev().take(5).copied().collect();
    let exactness =
        results.iter().map(|(value, known)| known.exactness(generator.builder.dtype(*value))).collect();
    let (count, inputs) = (generator.inputs.len(), std::mem::take(&mut generator.inputs));
    let graph = generator.builder.finish(results.iter().map(|(value, _)| *value).collect());
    let names = |stem: &str, count: usize| (0..count).map(|n| Arc::from(format!("{stem}{n}"))).collect();
    let (input_names, outputs) = (names("x", count), names("y", results.len()));
    module.constants = constants;
    module.functions.push(Function {
        name: "main".into(),
        graph,
        inputs: input_names,
        outputs,
        states: Vec::new(),
    });
    Case { module, inputs, exactness }
}

/// Multiples of 1/4 within ±4; integers within ±8.
fn small_tensor(dtype: DType, shape: &[usize], choices: &mut Choices) -> Option<Tensor> {
    let count = shape.iter().product();
    let mut data = Vec::with_capacity(count * dtype.bytes());
    let mut state = choices.number();
    for _ in 0..count {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let number = i128::from(state >> 20) % 33 - 16;
        match dtype.is_float() {
            true => data.extend(graven_ir::element::encode_float(dtype, number as f64 / 4.0)),
            false => data.extend(graven_ir::element::encode_int(dtype, number / 2)),
        }
    }
    Tensor::new(dtype, shape.to_vec(), data).ok()
}

const EXACT: Known = Known { bound: 4.0, fraction: Some(2) };

/// A value that was computed, with what is known of it.
type Made = Option<(ValueId, Known)>;

struct Generator<'g, 'm> {
    builder: GraphBuilder<'m>,
    choices: &'g mut Choices,
    pool: Vec<(ValueId, Known)>,
    inputs: Vec<Tensor>,
}

impl Generator<'_, '_> {
    fn inputs(&mut self) {
        let count = 1 + self.choices.below(3);
        for _ in 0..count {
            let dtype = *self.choices.pick(&[
                DType::F32,
                DType::F32,
                DType::F32,
                DType::I32,
                DType::F64,
                DType::I8,
                DType::F16,
                DType::U8,
                DType::I64,
                DType::Bool,
            ]);
            let rank = self.choices.below(5);
            let shape: Vec<usize> =
                (0..rank).map(|_| *self.choices.pick(&[3, 4, 1, 5, 2, 7, 8, 6])).collect();
            let shape = if shape.iter().product::<usize>() > MAX_ELEMENTS { vec![3, 17] } else { shape };
            let Some(tensor) = small_tensor(dtype, &shape, self.choices) else { continue };
            let value = self.builder.param(tensor.ty(), None);
            self.inputs.push(tensor);
            self.pool.push((value, EXACT));
        }
    }

    fn shape(&self, value: ValueId) -> Vec<usize> {
        let extents = self.builder.shape(value);
        extents.iter().map(|dim| dim.as_const().unwrap_or(0).max(0) as usize).collect()
    }

    fn dims(extents: &[usize]) -> Vec<Dim> {
        extents.iter().map(|extent| Dim::from(*extent as i64)).collect()
    }

    /// A value for which `wished` holds.
    fn find(&mut self, wished: impl Fn(DType, Known, &[usize]) -> bool) -> Made {
        let fits = |(value, known): &(ValueId, Known)| {
            wished(self.builder.dtype(*value), *known, &self.shape(*value))
        };
        let fitting: Vec<(ValueId, Known)> = self.pool.iter().copied().filter(fits).collect();
        (!fitting.is_empty()).then(|| *self.choices.pick(&fitting))
    }

    fn any(&mut self) -> Made {
        self.find(|_, _, _| true)
    }

    fn float(&mut self) -> Made {
        self.find(|dtype, _, _| dtype.is_float())
    }

    /// Not a float, or one without rounding.
    fn exact(&mut self) -> Made {
        self.find(|dtype, known, _| dtype != DType::Bool && (!dtype.is_float() || known.fraction.is_some()))
    }

    fn constant(&mut self, dtype: DType, shape: &[usize]) -> Option<ValueId> {
        let tensor = small_tensor(dtype, shape, self.choices)?;
        self.builder.constant(tensor).ok()
    }

    fn push(&mut self, op: Op, operands: &[ValueId], known: Known) -> Option<()> {
        let value = self.builder.op(op, operands).ok()?;
        let elements: usize = self.shape(value).iter().product();
        if elements > MAX_ELEMENTS {
            return None;
        }
        self.pool.push((value, known));
        Some(())
    }

    fn step(&mut self) -> Option<()> {
        match self.choices.below(21) {
            0 => self.exact_unary(),
            1 => self.function(),
            2 | 3 => self.binary(),
            4 => self.compare(),
            5 => self.reshape(),
            6 => self.transpose(),
            7 => self.broadcast(),
            8 => self.slice(),
            9 => self.pad(),
            10 => self.concat(),
            11 => self.gather(),
            12 => self.reduce(),
            13 => self.composite(),
            14 => self.matmul(),
            15 => self.conv(),
            16 => self.window(),
            17 => self.order(),
            18 => self.cast(),
            19 => self.scatter(),
            _ => self.dynamic(),
        }
    }

    fn exact_unary(&mut self) -> Option<()> {
        let (x, known) = self.exact()?;
        let op = *self.choices.pick(&[Neg, Abs, Sign, Not, Floor, Ceil, Round, Trunc]);
        let bound = known.bound + if matches!(op, Sign | Floor | Ceil | Round) { 1.0 } else { 0.0 };
        self.push(Op::Unary(op), &[x], Known { bound, ..known })
    }

    /// A function that rounds.
    fn function(&mut self) -> Option<()> {
        let (x, known) = self.float()?;
        let op = *self.choices.pick(&[Tanh, Sigmoid, Erf, Sin, Cos, Exp, Sqrt]);
        let bound = match op {
            Exp if known.bound > 6.0 => return None,
            Exp => known.bound.exp() * known.bound.max(1.0),
            Sqrt if known.fraction.is_none() => return None,
            _ => known.bound.max(1.0),
        };
        let x = if op == Sqrt { self.builder.unary(Abs, x).ok()? } else { x };
        self.push(Op::Unary(op), &[x], Known { bound, fraction: None })
    }

    fn binary(&mut self) -> Option<()> {
        let (x, a) = self.any()?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let other = self.find(|other, _, extents| other == dtype && extents == shape);
        let (y, b) = match other.filter(|_| self.choices.one_in(2)) {
            Some(found) => found,
            None => {
                // Trailing dimensions of a constant are broadcast.
                let from = self.choices.below(shape.len() + 1);
                (self.constant(dtype, &shape[from..])?, EXACT)
            }
        };
        let op = match dtype {
            DType::Bool => *self.choices.pick(&[And, Or, Xor, Max]),
            _ => *self.choices.pick(&[Add, Mul, Sub, Max, Min]),
        };
        let known = self.combined(dtype, op, a, b);
        if known.bound > 1e6 {
            return None;
        }
        let value = self.builder.binary(op, x, y).ok()?;
        self.pool.push((value, known));
        Some(())
    }

    fn combined(&self, dtype: DType, op: BinaryOp, a: Known, b: Known) -> Known {
        let both = a.fraction.zip(b.fraction);
        match op {
            Mul => Known::of(dtype, a.bound * b.bound, both.map(|(x, y)| x + y)),
            Max | Min => Known::of(dtype, a.bound.max(b.bound), both.map(|(x, y)| x.max(y))),
            _ => Known::of(dtype, a.bound + b.bound, both.map(|(x, y)| x.max(y))),
        }
    }

    fn compare(&mut self) -> Option<()> {
        let (x, a) = self.exact()?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let y = self.constant(dtype, &shape)?;
        let op = *self.choices.pick(CompareOp::ALL);
        let truth = self.builder.compare(op, x, y).ok()?;
        self.pool.push((truth, EXACT));
        if self.choices.one_in(2) {
            return Some(());
        }
        let fraction = a.fraction.map(|digits| digits.max(2));
        self.push(Op::Select, &[truth, x, y], Known { bound: a.bound.max(4.0), fraction })
    }

    fn reshape(&mut self) -> Option<()> {
        let (x, known) = self.any()?;
        let count: usize = self.shape(x).iter().product();
        let divisors: Vec<usize> = (1..=count.max(1)).filter(|n| count.is_multiple_of(*n)).collect();
        let first = *self.choices.pick(&divisors);
        let rest = count / first.max(1);
        let shape = match self.choices.below(3) {
            0 => vec![first, rest],
            1 => vec![count],
            _ => vec![1, rest, first, 1],
        };
        self.push(Op::Reshape { shape: Self::dims(&shape) }, &[x], known)
    }

    fn transpose(&mut self) -> Option<()> {
        let (x, known) = self.find(|_, _, shape| shape.len() > 1)?;
        let rank = self.shape(x).len();
        let mut permutation: Vec<usize> = (0..rank).collect();
        for place in 1..rank {
            permutation.swap(place, self.choices.below(place + 1));
        }
        self.push(Op::Transpose { permutation }, &[x], known)
    }

    fn broadcast(&mut self) -> Option<()> {
        let (x, known) = self.any()?;
        let mut shape = self.shape(x);
        let place = self.choices.below(shape.len() + 1);
        let dimensions = (0..=shape.len()).filter(|dimension| *dimension != place).collect();
        shape.insert(place, 1 + self.choices.below(4));
        self.push(Op::Broadcast { shape: Self::dims(&shape), dimensions }, &[x], known)
    }

    fn slice(&mut self) -> Option<()> {
        let (x, known) = self.find(|_, _, shape| !shape.is_empty())?;
        let shape = self.shape(x);
        if self.choices.one_in(3) {
            let axes = (0..shape.len()).filter(|_| self.choices.one_in(2)).collect();
            return self.push(Op::Reverse { axes }, &[x], known);
        }
        let (mut start, mut limit, mut stride) = (Vec::new(), Vec::new(), Vec::new());
        for extent in shape {
            let low = self.choices.below(extent);
            start.push(low);
            limit.push(low + 1 + self.choices.below(extent - low.min(extent)));
            stride.push(1 + self.choices.below(2) as i64);
        }
        self.push(Op::Slice { start: Self::dims(&start), limit: Self::dims(&limit), stride }, &[x], known)
    }

    fn pad(&mut self) -> Option<()> {
        let (x, known) = self.any()?;
        let (dtype, rank) = (self.builder.dtype(x), self.shape(x).len());
        let filler = self.constant(dtype, &[])?;
        let mut amounts =
            |low: i64| (0..rank).map(|_| Dim::from(self.choices.below(4) as i64 - low)).collect::<Vec<_>>();
        let (low, high) = (amounts(1), amounts(1));
        let interior = (0..rank).map(|_| i64::from(self.choices.one_in(4))).collect();
        let known =
            Known { bound: known.bound.max(4.0), fraction: known.fraction.map(|digits| digits.max(2)) };
        self.push(Op::Pad { low, high, interior }, &[x, filler], known)
    }

    fn concat(&mut self) -> Option<()> {
        let (x, a) = self.find(|_, _, shape| !shape.is_empty())?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let (y, b) = self.find(|other, _, extents| other == dtype && extents == shape)?;
        let known = self.combined(dtype, Max, a, b);
        let axis = self.choices.below(shape.len());
        self.push(Op::Concat { axis }, &[x, y, x], known)
    }

    /// Integers within an extent.
    fn indices(&mut self, shape: &[usize], extent: usize) -> Option<ValueId> {
        let count = shape.iter().product::<usize>();
        let data: Vec<u8> =
            (0..count).flat_map(|_| (self.choices.below(extent) as i64).to_le_bytes()).collect();
        let tensor = Tensor::new(DType::I64, shape.to_vec(), data).ok()?;
        if self.choices.one_in(2) {
            return self.builder.constant(tensor).ok();
        }
        let value = self.builder.param(tensor.ty(), None);
        self.inputs.push(tensor);
        Some(value)
    }

    fn gather(&mut self) -> Option<()> {
        let (x, known) =
            self.find(|_, _, shape| !shape.is_empty() && shape.iter().all(|extent| *extent > 0))?;
        let shape = self.shape(x);
        let axis = self.choices.below(shape.len());
        if self.choices.one_in(2) {
            let mut wanted = shape.clone();
            wanted[axis] = 1 + self.choices.below(4);
            let indices = self.indices(&wanted, shape[axis])?;
            return self.push(Op::GatherElements { axis }, &[x, indices], known);
        }
        let shapes: [&[usize]; 3] = [&[3], &[], &[2, 2]];
        let wanted = shapes[self.choices.below(shapes.len())];
        let indices = self.indices(wanted, shape[axis])?;
        self.push(Op::Gather { axis }, &[x, indices], known)
    }

    fn reduce(&mut self) -> Option<()> {
        let (x, known) = self.find(|dtype, _, shape| !shape.is_empty() && dtype != DType::Bool)?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let axes: Vec<usize> = (0..shape.len()).filter(|_| self.choices.one_in(2)).collect();
        let count = axes.iter().map(|axis| shape[*axis]).product::<usize>();
        let combine = *self.choices.pick(&[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]);
        if count == 0 && combine != ReduceOp::Sum {
            return None;
        }
        let bound = if combine == ReduceOp::Sum { known.bound * count.max(1) as f64 } else { known.bound };
        let known = Known::of(dtype, bound, known.fraction);
        self.push(Op::Reduce { combine, axes }, &[x], known)
    }

    fn composite(&mut self) -> Option<()> {
        let (x, known) = self.find(|dtype, _, shape| dtype.is_float() && !shape.is_empty())?;
        let axis = self.choices.below(self.shape(x).len());
        let rounded = |bound: f64| Known { bound, fraction: None };
        let (epsilon, tanh) = (0.5.into(), self.choices.one_in(2));
        match self.choices.below(6) {
            0 => self.push(Op::Softmax { axis }, &[x], rounded(2.0 * known.bound.max(1.0))),
            1 => self.push(Op::LogSoftmax { axis }, &[x], rounded(4.0 * known.bound.max(4.0))),
            2 => self.push(Op::Gelu { tanh }, &[x], rounded(2.0 * known.bound.max(1.0))),
            3 => self.push(Op::Silu, &[x], rounded(2.0 * known.bound.max(1.0))),
            _ if known.fraction.is_none() => None,
            4 => self.push(Op::LayerNorm { axis, epsilon }, &[x], rounded(4.0 * known.bound.max(8.0))),
            _ => self.push(Op::RmsNorm { axis, epsilon }, &[x], rounded(4.0 * known.bound.max(8.0))),
        }
    }

    fn matmul(&mut self) -> Option<()> {
        let (x, known) = self.find(|dtype, _, shape| !shape.is_empty() && dtype != DType::Bool)?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let depth = shape[shape.len() - 1];
        let columns = *self.choices.pick(&[5, 1, 9, 16, 3]);
        let transposed = self.choices.one_in(2);
        let w = self.constant(dtype, &if transposed { [columns, depth] } else { [depth, columns] })?;
        let bound = known.bound * 4.0 * depth.max(1) as f64;
        if bound > 1e6 {
            return None;
        }
        let known = Known::of(dtype, bound, known.fraction.map(|digits| digits + 2));
        let op = Op::DotGeneral {
            lhs_batch: Vec::new(),
            rhs_batch: Vec::new(),
            lhs_contract: vec![shape.len() - 1],
            rhs_contract: vec![usize::from(transposed)],
        };
        self.push(op, &[x, w], known)
    }

    fn conv(&mut self) -> Option<()> {
        let (x, known) = self.find(|dtype, _, shape| {
            (dtype.is_float() || dtype == DType::I32) && (3..=4).contains(&shape.len())
        })?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let (rank, channels) = (shape.len() - 2, shape[1]);
        let groups = if self.choices.one_in(3) { channels.max(1) } else { 1 };
        let features = groups * (1 + self.choices.below(4));
        let window = 1 + self.choices.below(3);
        let mut extents = vec![features, channels / groups];
        extents.extend(vec![window; rank]);
        let w = self.constant(dtype, &extents)?;
        let taps = extents[1..].iter().product::<usize>();
        let bound = known.bound * 4.0 * taps.max(1) as f64;
        if bound > 1e6 {
            return None;
        }
        let known = Known::of(dtype, bound, known.fraction.map(|digits| digits + 2));
        let padding = Dim::from(self.choices.below(3) as i64);
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(rank),
            stride: vec![1 + self.choices.below(2) as i64; rank],
            padding_low: vec![padding.clone(); rank],
            padding_high: vec![padding; rank],
            base_dilation: vec![1 + i64::from(self.choices.one_in(4)); rank],
            kernel_dilation: vec![1 + i64::from(self.choices.one_in(4)); rank],
            feature_groups: groups as i64,
            batch_groups: 1,
        };
        self.push(op, &[x, w], known)
    }

    fn window(&mut self) -> Option<()> {
        let (x, known) = self.find(|dtype, _, shape| dtype != DType::Bool && !shape.is_empty())?;
        let (dtype, rank) = (self.builder.dtype(x), self.shape(x).len());
        let combine = *self.choices.pick(&[ReduceOp::Max, ReduceOp::Sum, ReduceOp::Min]);
        let size: Vec<i64> = (0..rank).map(|_| 1 + self.choices.below(3) as i64).collect();
        let bound = known.bound * size.iter().product::<i64>() as f64;
        // A place that sees only padding is infinite.
        let padding: Vec<Dim> = match combine {
            ReduceOp::Sum => (0..rank).map(|_| Dim::from(self.choices.below(2) as i64)).collect(),
            _ => vec![Dim::ZERO; rank],
        };
        let op = Op::ReduceWindow {
            combine,
            stride: (0..rank).map(|_| 1 + self.choices.below(2) as i64).collect(),
            dilation: vec![1; rank],
            padding_low: padding.clone(),
            padding_high: padding,
            size,
        };
        self.push(op, &[x], Known::of(dtype, bound, known.fraction))
    }

    /// Running sums, sorting, positions of extrema.
    fn order(&mut self) -> Option<()> {
        let (x, known) = self.exact()?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        if shape.is_empty() || shape.contains(&0) {
            return None;
        }
        let axis = self.choices.below(shape.len());
        let (largest, last) = (self.choices.one_in(2), self.choices.one_in(2));
        match self.choices.below(4) {
            0 => {
                let (exclusive, reverse) = (self.choices.one_in(2), self.choices.one_in(2));
                let known = Known::of(dtype, known.bound * shape[axis] as f64, known.fraction);
                let op = Op::Cumulative { combine: CumulativeOp::Sum, axis, exclusive, reverse };
                self.push(op, &[x], known)
            }
            1 => self.push(Op::ArgReduce { largest, axis, last }, &[x], EXACT),
            kind => {
                let k = Dim::from(1 + self.choices.below(shape[axis]) as i64);
                let op = if kind == 2 {
                    Op::Sort { axis, descending: largest }
                } else {
                    Op::TopK { axis, k, largest }
                };
                let results = self.builder.results(op, &[x]).ok()?;
                self.pool.push((results[0], known));
                self.pool.push((results[1], EXACT));
                Some(())
            }
        }
    }

    fn cast(&mut self) -> Option<()> {
        let exact = |_: DType, known: Known, _: &[usize]| known.fraction.is_some();
        let (x, known) = self.find(exact)?;
        let from = self.builder.dtype(x);
        let to = *self.choices.pick(&[
            DType::F32,
            DType::I32,
            DType::F64,
            DType::I8,
            DType::I64,
            DType::U8,
            DType::F16,
            DType::Bool,
        ]);
        // Integers of any size may be on the way.
        let known = match (from.is_float(), to.is_float()) {
            (true, true) => Known::of(to, known.bound, known.fraction),
            (false, true) if from == DType::Bool => Known { bound: 1.0, fraction: Some(0) },
            (false, true) if from.bytes() == 1 && to != DType::F16 => {
                Known { bound: 255.0, fraction: Some(0) }
            }
            (false, true) => return None,
            _ => EXACT,
        };
        self.push(Op::Cast { to }, &[x], known)
    }

    fn scatter(&mut self) -> Option<()> {
        let (x, a) = self.find(|dtype, _, shape| {
            dtype != DType::Bool && !shape.is_empty() && shape.iter().all(|extent| *extent > 0)
        })?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let axis = self.choices.below(shape.len());
        let mut wanted = shape.clone();
        wanted[axis] = 1 + self.choices.below(3);
        let (indices, updates) = (self.indices(&wanted, shape[axis])?, self.constant(dtype, &wanted)?);
        let combine = *self.choices.pick(&[ScatterOp::Replace, ScatterOp::Add, ScatterOp::Max]);
        let bound = a.bound + 4.0 * wanted[axis] as f64;
        let known = Known::of(dtype, bound, a.fraction.map(|digits| digits.max(2)));
        self.push(Op::ScatterElements { axis, combine }, &[x, indices, updates], known)
    }

    /// Slices whose place is known when running.
    fn dynamic(&mut self) -> Option<()> {
        let (x, a) = self.find(|_, _, shape| !shape.is_empty() && shape.iter().all(|extent| *extent > 0))?;
        let (dtype, shape) = (self.builder.dtype(x), self.shape(x));
        let starts = self.indices(&[shape.len()], 9)?;
        let part: Vec<usize> = shape.iter().map(|extent| 1 + self.choices.below(*extent)).collect();
        if self.choices.one_in(2) {
            return self.push(Op::DynamicSlice { shape: Self::dims(&part) }, &[x, starts], a);
        }
        let update = self.constant(dtype, &part)?;
        let known = self.combined(dtype, Max, a, EXACT);
        self.push(Op::DynamicUpdateSlice, &[x, update, starts], known)
    }
}
