//! Kernels with every operation, dtype and number of lanes, that never fault: divisors, shifts and addresses stay within what is defined.

use graven::kernel::{
    Access, Binary, BufferId, Compare, Features, Horizontal, Kernel, KernelBuilder, Spread, Type, Unary, Val,
};
use graven_ir::{DType, Dim, Symbol};
use graven_tests::choices::Choices;

/// Elements of each input.
pub const INPUT_ELEMENTS: i64 = 128;

/// Elements of an output that a store may use.
const SLOT: i64 = 16;

/// Stores to one output per task.
const SLOTS: i64 = 8;

/// Most tasks.
const TASKS: i64 = 5;

/// Dtypes of vectors.
const WIDE: [DType; 6] = [DType::F32, DType::F64, DType::I32, DType::U32, DType::I64, DType::U64];

/// Dtypes that registers compute with.
const REGISTERS: [DType; 12] = [
    DType::F32,
    DType::F64,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
    DType::F16,
    DType::BF16,
];

const MAX_DEPTH: usize = 2;

pub fn random_kernel(choices: &mut Choices) -> Kernel {
    let mut builder = KernelBuilder::new("random");
    builder.set_features(Features { fma: true, rounding: true });
    let n = Symbol::new("N", 0, *choices.pick(&[TASKS, 1, 3]));
    let mut generator = Generator {
        inputs: DType::ALL
            .iter()
            .map(|dtype| (*dtype, builder.buffer(format!("x{dtype}"), *dtype, INPUT_ELEMENTS, Access::Read)))
            .collect(),
        outputs: Vec::new(),
        scratch: Vec::new(),
        builder,
        choices,
        pool: Vec::new(),
        place: Dim::ZERO,
        indices: Vec::new(),
        extent: Dim::from(&n),
        depth: 0,
        stores: false,
    };
    generator.buffers();
    generator.steps(4);
    generator.stores = true;
    if generator.choices.one_in(2) {
        let nest = generator.builder.open_parallel(&Dim::from(&n));
        generator.place = &nest.index * (SLOT * SLOTS);
        generator.indices.push(nest.index.clone());
        generator.rest();
        generator.builder.close_loop(nest, Vec::new());
    } else {
        generator.rest();
    }
    generator.builder.finish()
}

struct Generator<'c> {
    builder: KernelBuilder,
    choices: &'c mut Choices,
    inputs: Vec<(DType, BufferId)>,
    outputs: Vec<(DType, BufferId, i64)>,
    scratch: Vec<(DType, BufferId)>,
    /// Values that may be used here.
    pool: Vec<Val>,
    /// Where the task's elements of outputs begin.
    place: Dim,
    /// Loop variables, each 0 to 8.
    indices: Vec<Dim>,
    extent: Dim,
    depth: usize,
    /// Whether statements may store: not around a parallel loop.
    stores: bool,
}

impl Generator<'_> {
    fn buffers(&mut self) {
        for dtype in DType::ALL {
            let elements = SLOT * SLOTS * TASKS;
            self.outputs.push((
                *dtype,
                self.builder.buffer(format!("y{dtype}"), *dtype, elements, Access::Write),
                0,
            ));
        }
        for dtype in [DType::F32, DType::I64] {
            self.scratch
                .push((dtype, self.builder.buffer(format!("s{dtype}"), dtype, SLOT, Access::Scratch)));
        }
    }

    /// All steps that the numbers last for, and what they have made.
    fn rest(&mut self) {
        while !self.choices.is_used_up() {
            self.step();
        }
        for value in self.pool.clone().into_iter().rev().take(24) {
            self.store(value);
        }
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    fn step(&mut self) {
        let value = match self.choices.below(16) {
            0..3 => self.load(),
            3 => self.unary(),
            4..6 => self.binary(),
            6 => self.compare(),
            7 => self.fma(),
            8 => self.select(),
            9 | 10 => self.convert(),
            11 | 12 => self.lanes(),
            13 => return self.nest(),
            14 => return self.branch(),
            _ => return self.memory(),
        };
        self.pool.push(value);
    }

    fn ty(&self, value: Val) -> Type {
        self.builder.ty(value)
    }

    /// A type of registers with numbers.
    fn register(&mut self) -> Type {
        match self.choices.one_in(2) {
            true => Type::scalar(*self.choices.pick(&REGISTERS)),
            false => {
                let dtype = *self.choices.pick(&WIDE);
                Type::vector(dtype, *self.choices.pick(&[4, 2, 8, 16]))
            }
        }
    }

    /// A value whose type is as wished: one of the pool, or a new one of type `default`.
    fn find(&mut self, default: Type, wished: impl Fn(Type) -> bool) -> Val {
        let fitting: Vec<Val> = self.pool.iter().copied().filter(|value| wished(self.ty(*value))).collect();
        match fitting.is_empty() {
            true => self.fresh(default),
            false => *self.choices.pick(&fitting),
        }
    }

    /// A value of this type.
    fn like(&mut self, ty: Type) -> Val {
        self.find(ty, |other| other == ty)
    }

    /// A new value: a constant, or loaded.
    fn fresh(&mut self, ty: Type) -> Val {
        if ty.is_mask() {
            return self.mask(ty);
        }
        if self.choices.one_in(3) {
            let number = self.choices.below(23) as f64 - 7.0;
            return match ty.is_float() {
                true => self.builder.float(number / 2.0, ty),
                false => self.builder.int(number as i64, ty),
            };
        }
        let dtype = ty.dtype().unwrap_or(DType::F32);
        let buffer = self.inputs.iter().find(|(other, _)| *other == dtype).map(|(_, buffer)| *buffer);
        let place = self.address(i64::from(ty.lanes));
        match buffer {
            Some(buffer) => self.builder.load(buffer, &place, ty, Spread::Contiguous, None),
            None => self.builder.int(1, ty),
        }
    }

    fn mask(&mut self, ty: Type) -> Val {
        let dtype = match ty.element {
            graven::kernel::Element::Mask { bits: 64 } => DType::F64,
            _ => DType::I32,
        };
        let ty = Type::vector(dtype, ty.lanes);
        let (x, y) = (self.fresh(ty), self.fresh(ty));
        self.builder.compare(Compare::Lt, x, y)
    }

    /// A place in an input that leaves `room` elements behind it.
    fn address(&mut self, room: i64) -> Dim {
        let free = (INPUT_ELEMENTS - room).max(0) as usize;
        let index = match self.indices.is_empty() {
            true => Dim::ZERO,
            false => self.choices.pick(&self.indices).clone(),
        };
        let scale = *self.choices.pick(&[0i64, 1, 3, 4]);
        let most = (free as i64 - 8 * scale).max(0);
        let scale = if 8 * scale > free as i64 { 0 } else { scale };
        index * scale + Dim::from(self.choices.below(most as usize + 1) as i64)
    }

    fn load(&mut self) -> Val {
        let (memory, buffer) = *self.choices.pick(&self.inputs);
        let lanes = *self.choices.pick(&[1, 4, 2, 8, 16]);
        let ty = match (lanes, memory.bytes()) {
            // Scalars of narrow memory are read as anything.
            (1, 1 | 2) => Type::scalar(*self.choices.pick(&REGISTERS)),
            (_, 2) if memory.is_float() => Type::vector(DType::F32, lanes),
            (_, 1 | 2) => Type::vector(*self.choices.pick(&[DType::I32, DType::U32, DType::F32]), lanes),
            _ => Type::vector(memory, lanes),
        };
        let mask = self.choices.one_in(3).then(|| self.like(ty.mask()));
        let (spread, room) = match self.choices.below(5) {
            0 | 1 => (Spread::Contiguous, i64::from(lanes)),
            2 => (Spread::Broadcast, 1),
            3 => (Spread::Strided(3), 3 * i64::from(lanes)),
            _ => {
                let dtype = *self.choices.pick(&[DType::I32, DType::I64]);
                (Spread::Gathered(self.offsets(dtype, lanes)), 64)
            }
        };
        let place = self.address(room);
        self.builder.load(buffer, &place, ty, spread, mask)
    }

    /// Offsets from 0 to 63.
    fn offsets(&mut self, dtype: DType, lanes: u16) -> Val {
        let ty = Type::vector(dtype, lanes);
        let value = self.like(ty);
        let limit = self.builder.int(63, ty);
        self.builder.binary(Binary::And, value, limit)
    }

    fn unary(&mut self) -> Val {
        let op = *self.choices.pick(Unary::ALL);
        let ty = self.register();
        let is_float = |ty: Type| matches!(ty.dtype(), Some(DType::F32 | DType::F64));
        let is_int = |ty: Type| ty.dtype().is_some_and(DType::is_int);
        let x = match op {
            Unary::Neg | Unary::Abs => self.find(Type::scalar(DType::F32), |ty| is_float(ty) || is_int(ty)),
            Unary::Not => self.find(Type::TRUTH, |ty| is_int(ty) || ty.is_mask()),
            Unary::PopCount => self.find(Type::scalar(DType::U16), |ty| is_int(ty) && ty.lanes == 1),
            _ if is_float(ty) => self.like(ty),
            _ => self.find(Type::vector(DType::F32, 4), is_float),
        };
        self.builder.unary(op, x)
    }

    fn binary(&mut self) -> Val {
        let op = *self.choices.pick(Binary::ALL);
        let is_float = |ty: Type| matches!(ty.dtype(), Some(DType::F32 | DType::F64));
        let is_int = |ty: Type| ty.dtype().is_some_and(DType::is_int);
        let default = self.register();
        let default = if is_float(default) || is_int(default) { default } else { Type::scalar(DType::F32) };
        let integer = if is_int(default) { default } else { Type::vector(DType::I32, 4) };
        let (x, y) = match op {
            Binary::And | Binary::Or | Binary::Xor => {
                let x = self.find(integer, |ty| is_int(ty) || ty.is_mask());
                (x, self.like(self.ty(x)))
            }
            Binary::ShiftLeft | Binary::ShiftRight => {
                let x = self.find(integer, is_int);
                (x, self.amount(self.ty(x)))
            }
            Binary::Rem => {
                let x = self.find(Type::scalar(DType::I32), |ty| is_int(ty) && ty.lanes == 1);
                (x, self.divisor(self.ty(x)))
            }
            Binary::Div => {
                let x = self.find(Type::scalar(DType::I64), |ty| is_float(ty) || is_int(ty) && ty.lanes == 1);
                let ty = self.ty(x);
                (x, if is_float(ty) { self.like(ty) } else { self.divisor(ty) })
            }
            _ => {
                let x = self.find(default, |ty| is_float(ty) || is_int(ty));
                (x, self.like(self.ty(x)))
            }
        };
        self.builder.binary(op, x, y)
    }

    /// A shift that is defined.
    fn amount(&mut self, ty: Type) -> Val {
        let bits = ty.dtype().map_or(8, |dtype| dtype.bytes() as i64 * 8);
        if self.choices.one_in(2) {
            return self.builder.int(self.choices.below(bits as usize) as i64, ty);
        }
        let (value, limit) = (self.like(ty), self.builder.int(bits - 1, ty));
        self.builder.binary(Binary::And, value, limit)
    }

    /// From 1 to 8.
    fn divisor(&mut self, ty: Type) -> Val {
        let (value, seven, one) = (self.like(ty), self.builder.int(7, ty), self.builder.int(1, ty));
        let low = self.builder.binary(Binary::And, value, seven);
        self.builder.add(low, one)
    }

    fn compare(&mut self) -> Val {
        let op = *self.choices.pick(Compare::ALL);
        let x = self.find(
            Type::vector(DType::F32, 4),
            |ty| matches!(ty.dtype(), Some(dtype) if dtype.is_int() || dtype.bytes() >= 4),
        );
        let y = self.like(self.ty(x));
        self.builder.compare(op, x, y)
    }

    fn fma(&mut self) -> Val {
        let x =
            self.find(Type::vector(DType::F32, 4), |ty| matches!(ty.dtype(), Some(DType::F32 | DType::F64)));
        let (y, z) = (self.like(self.ty(x)), self.like(self.ty(x)));
        self.builder.fma(x, y, z)
    }

    fn select(&mut self) -> Val {
        let ty = self.register();
        let x = self.find(ty, |_| true);
        let y = self.like(self.ty(x));
        let mask = self.like(self.ty(x).mask());
        self.builder.select(mask, x, y)
    }

    fn convert(&mut self) -> Val {
        let ty = self.register();
        let x = self.find(ty, |ty| !ty.is_mask() || ty.lanes == 1);
        let ty = self.ty(x);
        let to = if ty.lanes == 1 { *self.choices.pick(&REGISTERS) } else { *self.choices.pick(&WIDE) };
        match ty.dtype() {
            Some(from) if from.bytes() == to.bytes() && self.choices.one_in(2) => {
                let x = if matches!(from, DType::F32 | DType::F64) { self.without_nan(x) } else { x };
                // The bits of a NaN are not defined, and those of halves may be one.
                let defined = !matches!(from, DType::F16 | DType::BF16) || to == from;
                if defined { self.builder.bitcast(x, to) } else { self.builder.convert(x, to) }
            }
            _ => self.builder.convert(x, to),
        }
    }

    /// Numbers, 0 for NaN.
    fn without_nan(&mut self, x: Val) -> Val {
        let (number, zero) = (self.builder.compare(Compare::Eq, x, x), self.builder.float(0.0, self.ty(x)));
        self.builder.select(number, x, zero)
    }

    fn lanes(&mut self) -> Val {
        let (dtype, lanes) = (*self.choices.pick(&WIDE), *self.choices.pick(&[4, 2, 8, 16]));
        let ty = Type::vector(dtype, lanes);
        match self.choices.below(9) {
            0 => {
                let x = self.like(Type::scalar(dtype));
                self.builder.splat(x, lanes)
            }
            1 => {
                let x = self.like(ty);
                self.builder.extract(x, self.choices.below(lanes.into()) as u16)
            }
            2 => {
                let (x, y) = (self.like(ty), self.like(Type::scalar(dtype)));
                self.builder.insert(x, y, self.choices.below(lanes.into()) as u16)
            }
            3 | 4 => {
                let (x, y) = (self.like(ty), self.like(ty));
                let count = *self.choices.pick(&[lanes, 4, 2, 8, 16]);
                let picked: Vec<u16> =
                    (0..count).map(|_| self.choices.below(2 * usize::from(lanes)) as u16).collect();
                self.builder.shuffle(x, y, &picked)
            }
            5 => {
                let x = self.like(ty);
                self.builder.horizontal(*self.choices.pick(Horizontal::ALL), x)
            }
            6 => {
                let mask = self.like(ty.mask());
                self.builder.any(mask)
            }
            7 => {
                let count = Dim::from(self.choices.below(20) as i64 - 2) + &self.extent;
                self.builder.tail_mask(&count, ty)
            }
            _ => {
                let mask = self.like(ty.mask());
                let other = Type::vector(if dtype.bytes() == 4 { DType::I64 } else { DType::F32 }, lanes);
                self.builder.convert_mask(mask, other)
            }
        }
    }

    /// A loop that carries up to three values.
    fn nest(&mut self) {
        if self.depth == MAX_DEPTH {
            return;
        }
        self.depth += 1;
        let count = self.choices.below(4);
        let inits: Vec<Val> = (0..count).filter_map(|_| self.some()).collect();
        let (upper, step) = (*self.choices.pick(&[3i64, 2, 5, 8]), *self.choices.pick(&[1i64, 2, 3]));
        let upper = if self.choices.one_in(2) { self.extent.clone() } else { Dim::from(upper) };
        let nest = self.builder.open_loop((&Dim::ZERO, &upper, step), &inits);
        let (values, indices) = (self.pool.len(), self.indices.len());
        self.indices.push(nest.index.clone());
        self.pool.extend(&nest.params);
        let steps = 2 + self.choices.below(6);
        self.steps(steps);
        let yields: Vec<Val> = nest.params.iter().map(|param| self.like(self.ty(*param))).collect();
        self.indices.truncate(indices);
        self.pool.truncate(values);
        let results = self.builder.close_loop(nest, yields);
        self.pool.extend(results);
        self.depth -= 1;
    }

    fn some(&mut self) -> Option<Val> {
        (!self.pool.is_empty()).then(|| *self.choices.pick(&self.pool))
    }

    fn branch(&mut self) {
        if self.depth == MAX_DEPTH {
            return;
        }
        self.depth += 1;
        let condition = self.like(Type::TRUTH);
        let count = 1 + self.choices.below(3);
        let types: Vec<Type> = (0..count).filter_map(|_| self.some().map(|value| self.ty(value))).collect();
        let block = |generator: &mut Self| {
            let values = generator.pool.len();
            generator.builder.open_block();
            let steps = 1 + generator.choices.below(4);
            generator.steps(steps);
            let yields = types.iter().map(|ty| generator.like(*ty)).collect();
            generator.pool.truncate(values);
            generator.builder.close_block(yields)
        };
        let (then, otherwise) = (block(self), block(self));
        let results = self.builder.branch(condition, then, otherwise);
        self.pool.extend(results);
        self.depth -= 1;
    }

    fn memory(&mut self) {
        match (self.choices.below(4), self.some()) {
            (0 | 2 | 3, _) if !self.stores => {}
            (0, _) => {
                let (dtype, buffer) = *self.choices.pick(&self.scratch);
                let ty = Type::vector(dtype, *self.choices.pick(&[4, 8, 2]));
                let value = self.like(ty);
                let place = Dim::from(self.choices.below(9) as i64);
                self.builder.store(value, buffer, &place, Spread::Contiguous, None);
                let back = self.builder.load(buffer, &place, ty, Spread::Contiguous, None);
                self.pool.push(back);
            }
            (1, _) => {
                let (_, buffer) = *self.choices.pick(&self.inputs);
                let place = self.address(1);
                self.builder.prefetch(buffer, &place);
            }
            (_, Some(value)) if !self.indices.is_empty() => self.store(value),
            _ => {}
        }
    }

    /// Stores a value to a place of its own.
    fn store(&mut self, value: Val) {
        let ty = self.ty(value);
        let dtype = match ty.dtype() {
            None => DType::Bool,
            Some(dtype @ (DType::I32 | DType::U32)) => *self.choices.pick(&[
                dtype,
                DType::I8,
                DType::U8,
                DType::I16,
                DType::U16,
                DType::I4,
                DType::U4,
            ]),
            Some(DType::F32) => {
                *self.choices.pick(&[DType::F32, DType::F16, DType::BF16, DType::I8, DType::U16])
            }
            Some(dtype) => dtype,
        };
        let Some((_, buffer, used)) = self.outputs.iter_mut().find(|(other, ..)| *other == dtype) else {
            return;
        };
        if *used == SLOTS {
            return;
        }
        let place = &self.place + *used * SLOT;
        let buffer = *buffer;
        *used += 1;
        let mask = self.choices.one_in(3).then(|| self.like(ty.mask()));
        let spread = if self.choices.one_in(3) { Spread::Strided(-1) } else { Spread::Contiguous };
        let place = if spread == Spread::Contiguous { place } else { place + (i64::from(ty.lanes) - 1) };
        self.builder.store(value, buffer, &place, spread, mask);
    }
}
