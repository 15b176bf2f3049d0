//! Builds kernels from index expressions.
//!
//! Addresses and loop bounds are [`Dim`]s over symbols: run-time extents, loop variables, and values read from memory. The builder
//! turns them into index arithmetic, each partial sum placed in the outermost open block where its symbols are defined, once per block.
//! That is how addresses are hoisted out of loops. A constant summand becomes the offset of the load or store.

use super::ir::{Access, Address, Block, Buffer, BufferId, Carried, For, If, Kernel, Spread, Stmt, Val};
use super::ops::{Binary, Compare, Horizontal, KernelOp, Number, Unary};
use super::types::Type;
use cranelift_entity::PrimaryMap;
use graven_ir::{Atom, DType, Dim, Symbol};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A block that is being filled.
#[derive(Default)]
struct Frame {
    stmts: Vec<Stmt>,
    indices: FxHashMap<Dim, Val>,
    constants: FxHashMap<(Number, Type), Val>,
}

/// Instructions that a kernel may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Fused multiply-add.
    pub fma: bool,
}

/// A loop whose body is being emitted.
pub struct OpenLoop {
    /// The loop variable.
    pub index: Dim,
    /// The carried values within the body.
    pub params: Vec<Val>,
    /// The loop, unless it has a single trip and leaves only its body.
    nest: Option<Box<For>>,
}

/// A kernel under construction.
pub struct KernelBuilder {
    name: String,
    buffers: PrimaryMap<BufferId, Buffer>,
    values: PrimaryMap<Val, Type>,
    extents: Vec<(Symbol, Val)>,
    frames: Vec<Frame>,
    /// Where each symbol is defined: depth of the block, and the value.
    symbols: FxHashMap<Symbol, (usize, Val)>,
    fresh: u32,
    features: Features,
    trace: Option<Vec<Dim>>,
}

impl KernelBuilder {
    /// A kernel without buffers and statements.
    pub fn new(name: impl Into<String>) -> KernelBuilder {
        KernelBuilder {
            name: name.into(),
            buffers: PrimaryMap::new(),
            values: PrimaryMap::new(),
            extents: Vec::new(),
            frames: vec![Frame::default()],
            symbols: FxHashMap::default(),
            fresh: 0,
            features: Features::default(),
            trace: None,
        }
    }

    /// Allows instructions that not every target has.
    pub fn set_features(&mut self, features: Features) {
        self.features = features;
    }

    /// The instructions that the kernel may use.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Begins to record the index expressions that are asked for.
    pub fn start_trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// The index expressions since [`KernelBuilder::start_trace`].
    pub fn take_trace(&mut self) -> Vec<Dim> {
        self.trace.take().unwrap_or_default()
    }

    /// Ends the kernel.
    pub fn finish(mut self) -> Kernel {
        let stmts = self.frames.pop().map(|frame| frame.stmts).unwrap_or_default();
        let body = Block { stmts, yields: Vec::new() };
        Kernel { name: self.name, buffers: self.buffers, extents: self.extents, values: self.values, body }
    }

    /// Adds a buffer. Arguments come before scratch.
    pub fn buffer(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        elements: impl Into<Dim>,
        access: Access,
    ) -> BufferId {
        self.buffers.push(Buffer { name: name.into(), dtype, elements: elements.into(), access })
    }

    /// The dtype of a buffer.
    pub fn buffer_dtype(&self, buffer: BufferId) -> DType {
        self.buffers[buffer].dtype
    }

    /// The type of a value.
    pub fn ty(&self, value: Val) -> Type {
        self.values[value]
    }

    /// Appends an operation whose result has type `ty`.
    fn push(&mut self, op: KernelOp, args: &[Val], ty: Type) -> Val {
        let result = self.values.push(ty);
        self.emit(Stmt::Op { result, op, args: args.into() });
        result
    }

    fn push_at(&mut self, depth: usize, op: KernelOp, args: &[Val], ty: Type) -> Val {
        let result = self.values.push(ty);
        self.frames[depth].stmts.push(Stmt::Op { result, op, args: args.into() });
        result
    }

    fn emit(&mut self, stmt: Stmt) {
        if let Some(frame) = self.frames.last_mut() {
            frame.stmts.push(stmt);
        }
    }

    /// A constant in all lanes of `ty`, shared by the kernel.
    fn number(&mut self, number: Number, ty: Type) -> Val {
        if let Some(value) = self.frames[0].constants.get(&(number, ty)) {
            return *value;
        }
        let value = self.push_at(0, KernelOp::Constant(number), &[], ty);
        self.frames[0].constants.insert((number, ty), value);
        value
    }

    /// A float constant in all lanes; `value` is rounded to the dtype.
    pub fn float(&mut self, value: f64, ty: Type) -> Val {
        let rounded = match ty.dtype() {
            Some(DType::F32) => value as f32 as f64,
            Some(DType::F16) => half::f16::from_f64(value).to_f64(),
            Some(DType::BF16) => half::bf16::from_f64(value).to_f64(),
            _ => value,
        };
        self.number(Number::float(rounded), ty)
    }

    /// An integer or mask constant in all lanes.
    pub fn int(&mut self, value: i64, ty: Type) -> Val {
        self.number(Number::Int(value), ty)
    }

    /// A constant of either kind, by the type.
    pub fn constant(&mut self, value: f64, ty: Type) -> Val {
        match ty.is_float() {
            true => self.float(value, ty),
            false => self.int(value as i64, ty),
        }
    }

    /// A function of one value.
    pub fn unary(&mut self, op: Unary, x: Val) -> Val {
        self.push(KernelOp::Unary(op), &[x], self.ty(x))
    }

    /// A function of two values of one type.
    pub fn binary(&mut self, op: Binary, x: Val, y: Val) -> Val {
        self.push(KernelOp::Binary(op), &[x, y], self.ty(x))
    }

    /// x + y.
    pub fn add(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Add, x, y)
    }

    /// x − y.
    pub fn sub(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Sub, x, y)
    }

    /// x · y.
    pub fn mul(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Mul, x, y)
    }

    /// x·y + z rounded once; only for targets with the instruction.
    pub fn fma(&mut self, x: Val, y: Val, z: Val) -> Val {
        self.push(KernelOp::Fma, &[x, y, z], self.ty(z))
    }

    /// A comparison.
    pub fn compare(&mut self, op: Compare, x: Val, y: Val) -> Val {
        self.push(KernelOp::Compare(op), &[x, y], self.ty(x).mask())
    }

    /// x where the mask is set, else y.
    pub fn select(&mut self, mask: Val, x: Val, y: Val) -> Val {
        self.push(KernelOp::Select, &[mask, x, y], self.ty(x))
    }

    /// Conversion by value; nothing where the dtype is equal.
    pub fn convert(&mut self, x: Val, to: DType) -> Val {
        let ty = self.ty(x);
        match ty.dtype() == Some(to) {
            true => x,
            false => self.push(KernelOp::Convert(to), &[x], Type::vector(to, ty.lanes)),
        }
    }

    /// The same bits as another dtype; nothing where it is equal.
    pub fn bitcast(&mut self, x: Val, to: DType) -> Val {
        let ty = self.ty(x);
        match ty.dtype() == Some(to) {
            true => x,
            false => self.push(KernelOp::Bitcast(to), &[x], Type::vector(to, ty.lanes)),
        }
    }

    /// The mask for elements of another width; nothing where it is equal.
    pub fn convert_mask(&mut self, mask: Val, like: Type) -> Val {
        let wanted = like.with_lanes(self.ty(mask).lanes).mask();
        match wanted.element {
            super::types::Element::Mask { bits } if wanted != self.ty(mask) => {
                self.push(KernelOp::ConvertMask { bits }, &[mask], wanted)
            }
            _ => mask,
        }
    }

    /// A scalar in all lanes; nothing for one lane.
    pub fn splat(&mut self, x: Val, lanes: u16) -> Val {
        let ty = self.ty(x);
        match ty.lanes == lanes {
            true => x,
            false => self.push(KernelOp::Splat { lanes }, &[x], ty.with_lanes(lanes)),
        }
    }

    /// One lane.
    pub fn extract(&mut self, x: Val, lane: u16) -> Val {
        self.push(KernelOp::Extract { lane }, &[x], self.ty(x).with_lanes(1))
    }

    /// A vector with one lane replaced.
    pub fn insert(&mut self, x: Val, y: Val, lane: u16) -> Val {
        self.push(KernelOp::Insert { lane }, &[x, y], self.ty(x))
    }

    /// Lanes of two vectors in another order; see [`KernelOp::Shuffle`].
    pub fn shuffle(&mut self, x: Val, y: Val, lanes: &[u16]) -> Val {
        let ty = self.ty(x).with_lanes(lanes.len() as u16);
        self.push(KernelOp::Shuffle { lanes: lanes.into() }, &[x, y], ty)
    }

    /// The lanes combined to a scalar; nothing for one lane.
    pub fn horizontal(&mut self, op: Horizontal, x: Val) -> Val {
        let ty = self.ty(x);
        match ty.lanes {
            1 => x,
            _ => self.push(KernelOp::Reduce(op), &[x], ty.with_lanes(1)),
        }
    }

    /// Whether any lane of the mask is set.
    pub fn any(&mut self, mask: Val) -> Val {
        match self.ty(mask).lanes {
            1 => mask,
            _ => self.push(KernelOp::Any, &[mask], Type::TRUTH),
        }
    }

    /// The mask of the first `count` lanes of `ty`.
    pub fn tail_mask(&mut self, count: &Dim, ty: Type) -> Val {
        let count = self.index(count);
        let mask = ty.mask();
        let super::types::Element::Mask { bits } = mask.element else { return count };
        self.push(KernelOp::TailMask { bits, lanes: ty.lanes }, &[count], mask)
    }

    /// 0, 1, 2, … in the lanes; the constant 0 for one lane.
    pub fn lane_ids(&mut self, dtype: DType, lanes: u16) -> Val {
        let ty = Type::vector(dtype, lanes);
        match lanes {
            1 => self.constant(0.0, ty),
            _ => self.push(KernelOp::LaneIds { dtype, lanes }, &[], ty),
        }
    }

    /// A name for a symbol that no other symbol of the kernel has.
    fn fresh_name(&mut self, stem: &str) -> String {
        self.fresh += 1;
        format!("{stem}{}", self.fresh)
    }

    /// An index value from the data, in `lower..=upper`, as a symbol for use in addresses.
    pub fn data_symbol(&mut self, value: Val, lower: i64, upper: i64) -> Symbol {
        let symbol = Symbol::new(self.fresh_name("x"), lower, upper);
        let depth = self.frames.len() - 1;
        self.symbols.insert(symbol.clone(), (depth, value));
        symbol
    }

    fn symbol(&mut self, symbol: &Symbol) -> (usize, Val) {
        if let Some(place) = self.symbols.get(symbol) {
            return *place;
        }
        // Not a loop variable: a run-time extent of the model.
        let value = self.values.push(Type::INDEX);
        self.extents.push((symbol.clone(), value));
        self.symbols.insert(symbol.clone(), (0, value));
        (0, value)
    }

    fn depth_of(&mut self, dim: &Dim) -> usize {
        let mut names = SmallVec::<[Symbol; 4]>::new();
        dim.for_each_symbol(&mut |symbol| names.push(symbol.clone()));
        names.iter().map(|symbol| self.symbol(symbol).0).max().unwrap_or(0)
    }

    /// The value of an index expression, computed in the outermost block where its symbols are defined.
    pub fn index(&mut self, dim: &Dim) -> Val {
        if let Some(trace) = &mut self.trace {
            trace.push(dim.clone());
        }
        if let Some(symbol) = dim.as_symbol() {
            return self.symbol(symbol).1;
        }
        if let Some(constant) = dim.as_const() {
            return self.int(constant, Type::INDEX);
        }
        let depth = self.depth_of(dim);
        if let Some(value) = self.frames[depth].indices.get(dim) {
            return *value;
        }
        let value = self.sum(dim);
        self.frames[depth].indices.insert(dim.clone(), value);
        value
    }

    /// Adds the summands in the order of the depth of their symbols, so that partial sums stay outside.
    fn sum(&mut self, dim: &Dim) -> Val {
        let mut summands: SmallVec<[(usize, Dim); 4]> = SmallVec::new();
        for (product, coefficient) in dim.terms() {
            let factors = product.iter().fold(Dim::ONE, |all, atom| all * atom_dim(atom));
            let term = factors * Dim::from(*coefficient);
            summands.push((self.depth_of(&term), term));
        }
        if dim.constant() != 0 {
            summands.push((0, Dim::from(dim.constant())));
        }
        summands.sort_by_key(|(depth, _)| *depth);
        let mut partial: Option<(Dim, Val)> = None;
        for (depth, term) in summands {
            partial = Some(match partial {
                None => {
                    let value = self.term(&term, depth);
                    (term, value)
                }
                Some((sum, value)) => {
                    let total = &sum + &term;
                    if let Some(known) = self.frames[depth].indices.get(&total) {
                        (total, *known)
                    } else {
                        let next = self.term(&term, depth);
                        let added =
                            self.push_at(depth, KernelOp::Binary(Binary::Add), &[value, next], Type::INDEX);
                        self.frames[depth].indices.insert(total.clone(), added);
                        (total, added)
                    }
                }
            });
        }
        match partial {
            Some((_, value)) => value,
            None => self.int(0, Type::INDEX),
        }
    }

    /// One summand: a constant, or a product of atoms times a coefficient.
    fn term(&mut self, term: &Dim, depth: usize) -> Val {
        let [(product, coefficient)] = term.terms() else { return self.int(term.constant(), Type::INDEX) };
        if let Some(value) = self.frames[depth].indices.get(term) {
            return *value;
        }
        let mut value = None;
        for atom in product {
            let factor = self.atom(atom);
            value = Some(match value {
                None => factor,
                Some(value) => {
                    self.push_at(depth, KernelOp::Binary(Binary::Mul), &[value, factor], Type::INDEX)
                }
            });
        }
        let mut value = value.unwrap_or_else(|| self.int(1, Type::INDEX));
        if *coefficient != 1 {
            let factor = self.int(*coefficient, Type::INDEX);
            value = self.push_at(depth, KernelOp::Binary(Binary::Mul), &[value, factor], Type::INDEX);
        }
        self.frames[depth].indices.insert(term.clone(), value);
        value
    }

    fn atom(&mut self, atom: &Atom) -> Val {
        let dim = atom_dim(atom);
        let depth = self.depth_of(&dim);
        if let Atom::Symbol(symbol) = atom {
            return self.symbol(symbol).1;
        }
        if let Some(value) = self.frames[depth].indices.get(&dim) {
            return *value;
        }
        let value = match atom {
            Atom::Symbol(symbol) => self.symbol(symbol).1,
            Atom::Min(pair) => self.index_pair(Binary::Min, pair, depth),
            Atom::Max(pair) => self.index_pair(Binary::Max, pair, depth),
            Atom::FloorDiv(pair) => self.euclidean(pair, depth).0,
            Atom::Mod(pair) => self.euclidean(pair, depth).1,
        };
        self.frames[depth].indices.insert(dim, value);
        value
    }

    fn index_pair(&mut self, op: Binary, pair: &(Dim, Dim), depth: usize) -> Val {
        let (x, y) = (self.index(&pair.0), self.index(&pair.1));
        self.push_at(depth, KernelOp::Binary(op), &[x, y], Type::INDEX)
    }

    /// Floor division and its remainder; the divisor is positive. Truncated division is enough for dividends that can't be negative;
    /// others are shifted up by enough whole divisors first.
    fn euclidean(&mut self, (dividend, divisor): &(Dim, Dim), depth: usize) -> (Val, Val) {
        let below = dividend.lower().min(0).unsigned_abs();
        let shift = i64::try_from(below.div_ceil(divisor.lower().max(1).unsigned_abs())).unwrap_or(i64::MAX);
        let shifted = dividend + divisor * Dim::from(shift);
        let (x, y) = (self.index(&shifted), self.index(divisor));
        let mut quotient = self.push_at(depth, KernelOp::Binary(Binary::Div), &[x, y], Type::INDEX);
        let remainder = self.push_at(depth, KernelOp::Binary(Binary::Rem), &[x, y], Type::INDEX);
        if shift != 0 {
            let shift = self.int(shift, Type::INDEX);
            quotient = self.push_at(depth, KernelOp::Binary(Binary::Sub), &[quotient, shift], Type::INDEX);
        }
        (quotient, remainder)
    }

    /// The address of an element, its constant part as the offset.
    pub fn address(&mut self, buffer: BufferId, element: &Dim) -> Address {
        let offset = element.constant();
        let index = self.index(&(element - offset));
        Address { buffer, index, offset }
    }

    /// Loads a value of type `ty`.
    pub fn load(
        &mut self,
        buffer: BufferId,
        element: &Dim,
        ty: Type,
        spread: Spread,
        mask: Option<Val>,
    ) -> Val {
        let address = self.address(buffer, element);
        let result = self.values.push(ty);
        self.emit(Stmt::Load { result, address, spread, mask });
        result
    }

    /// Stores a value.
    pub fn store(&mut self, value: Val, buffer: BufferId, element: &Dim, spread: Spread, mask: Option<Val>) {
        let address = self.address(buffer, element);
        self.emit(Stmt::Store { value, address, spread, mask });
    }

    /// Asks for the cache line of an element.
    pub fn prefetch(&mut self, buffer: BufferId, element: &Dim) {
        let address = self.address(buffer, element);
        self.emit(Stmt::Prefetch { address });
    }

    /// Reports `code` unless the scalar condition holds.
    pub fn check(&mut self, condition: Val, code: i32) {
        self.emit(Stmt::Check { condition, code });
    }

    /// A loop `for i in lower..upper step step` with carried values. `body` gets the variable as a dim and the carried values, and gives
    /// the next ones; the result is the carried values after the loop. A loop of one trip leaves only its body.
    pub fn for_each(
        &mut self,
        range: (&Dim, &Dim, i64),
        inits: &[Val],
        body: impl FnOnce(&mut KernelBuilder, &Dim, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let nest = self.open_loop(range, inits);
        let yields = body(self, &nest.index, &nest.params);
        self.close_loop(nest, yields)
    }

    /// The kernel's loop over independent tasks.
    pub fn parallel_for(&mut self, count: &Dim, body: impl FnOnce(&mut KernelBuilder, &Dim)) {
        let nest = self.open_parallel(count);
        body(self, &nest.index);
        self.close_loop(nest, Vec::new());
    }

    /// Starts a loop; what is emitted until [`KernelBuilder::close_loop`] is its body.
    pub fn open_loop(&mut self, (lower, upper, step): (&Dim, &Dim, i64), inits: &[Val]) -> OpenLoop {
        if (upper - lower).as_const().is_some_and(|length| (1..=step).contains(&length)) {
            return OpenLoop { index: lower.clone(), params: inits.to_vec(), nest: None };
        }
        self.open_nest((lower, upper, step), inits, false)
    }

    /// Starts the kernel's loop over independent tasks.
    pub fn open_parallel(&mut self, count: &Dim) -> OpenLoop {
        self.open_nest((&Dim::ZERO, count, 1), &[], true)
    }

    fn open_nest(
        &mut self,
        (lower, upper, step): (&Dim, &Dim, i64),
        inits: &[Val],
        parallel: bool,
    ) -> OpenLoop {
        let (low, high) = (self.index(lower), self.index(upper));
        let last = upper.upper().saturating_sub(1).max(lower.lower());
        let symbol = Symbol::new(self.fresh_name("i"), lower.lower(), last);
        let var = self.values.push(Type::INDEX);
        let params = self.values_like(inits);
        self.frames.push(Frame::default());
        self.symbols.insert(symbol.clone(), (self.frames.len() - 1, var));
        let places = inits.iter().zip(&params);
        let carried =
            places.map(|(init, param)| Carried { init: *init, param: *param, result: *param }).collect();
        let nest = For { var, lower: low, upper: high, step, carried, body: Block::default(), parallel };
        // A symbol with a single value folds to a constant, and the loop's variable stays unused.
        OpenLoop { index: Dim::from(&symbol), params, nest: Some(Box::new(nest)) }
    }

    /// Ends a loop with the next values of what it carries; gives the values after it.
    pub fn close_loop(&mut self, open: OpenLoop, yields: Vec<Val>) -> Vec<Val> {
        let Some(mut nest) = open.nest else { return yields };
        nest.body = Block { stmts: self.close_frame(), yields };
        let results = self.values_like(&open.params);
        nest.carried.iter_mut().zip(&results).for_each(|(carried, result)| carried.result = *result);
        self.emit(Stmt::For(nest));
        results
    }

    /// New values of the same types.
    fn values_like(&mut self, values: &[Val]) -> Vec<Val> {
        values
            .iter()
            .map(|value| {
                let ty = self.values[*value];
                self.values.push(ty)
            })
            .collect()
    }

    fn close_frame(&mut self) -> Vec<Stmt> {
        let depth = self.frames.len() - 1;
        self.symbols.retain(|_, (defined, _)| *defined < depth);
        self.frames.pop().map(|frame| frame.stmts).unwrap_or_default()
    }

    /// Starts a block of a branch; what is emitted until [`KernelBuilder::close_block`] is in it.
    pub fn open_block(&mut self) {
        self.frames.push(Frame::default());
    }

    /// Ends a block that yields values.
    pub fn close_block(&mut self, yields: Vec<Val>) -> Block {
        Block { stmts: self.close_frame(), yields }
    }

    /// A branch on a scalar mask; both blocks yield values of equal types.
    pub fn branch(&mut self, condition: Val, then: Block, otherwise: Block) -> Vec<Val> {
        let results = self.values_like(&then.yields);
        self.emit(Stmt::If(Box::new(If { condition, then, otherwise, results: results.clone() })));
        results
    }

    /// The scalar truth of a comparison of two index expressions.
    pub fn compare_index(&mut self, op: Compare, x: &Dim, y: &Dim) -> Val {
        let (x, y) = (self.index(x), self.index(y));
        self.compare(op, x, y)
    }
}

fn atom_dim(atom: &Atom) -> Dim {
    match atom {
        Atom::Symbol(symbol) => Dim::from(symbol),
        Atom::FloorDiv(pair) => pair.0.floor_div(&pair.1),
        Atom::Mod(pair) => pair.0.modulo(&pair.1),
        Atom::Min(pair) => pair.0.minimum(&pair.1),
        Atom::Max(pair) => pair.0.maximum(&pair.1),
    }
}
