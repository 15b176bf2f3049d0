//! Builds kernels from index expressions.
//!
//! Addresses and loop bounds are [`Dim`]s over symbols: run-time extents, loop variables, and values read from memory. The builder
//! turns them into index arithmetic, each partial sum placed in the outermost open block where its symbols are defined, once per block.
//! That is how addresses are hoisted out of loops. A constant summand becomes the offset of the load or store. Operations without side effects
//! are placed in the same way, so nothing is computed twice in a block or again in each trip of a loop.
//!
//! * `values`: operations on values
//! * `index`: index arithmetic
//! * `blocks`: memory accesses, loops, branches
//! * `tidy`: what [`KernelBuilder::finish`] cleans up

mod blocks;
mod index;
mod tidy;
mod values;

use super::ir::{Access, Address, Block, Buffer, BufferId, For, Kernel, Spread, Stmt, Val};
use super::ops::{Binary, KernelOp, Number};
use super::types::Type;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use graven_ir::{DType, DTypeClass, Dim, Symbol};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

/// A block that is being filled.
#[derive(Default)]
struct Frame {
    stmts: Vec<Stmt>,
    indices: FxHashMap<Dim, Val>,
    constants: FxHashMap<(Number, Type), Val>,
    /// Operations that were emitted here.
    operations: FxHashMap<Operation, Val>,
    /// Loads from buffers that are only read.
    loads: FxHashMap<Load, Val>,
    /// Symbols that stand for values from the data within bounds.
    data_symbols: FxHashMap<(Val, i64, i64), Symbol>,
    /// Conditions that were checked, with the codes that they report.
    checks: FxHashSet<(Val, i32)>,
    /// A block of a branch: what is only needed there stays there.
    conditional: bool,
    /// The body of a loop that may have no trip.
    may_be_empty: bool,
}

/// An operation on values with its result's type.
type Operation = (KernelOp, SmallVec<[Val; 3]>, Type);

/// A load: from where, how, which lanes, as what.
type Load = (Address, Spread, Option<Val>, Type);

/// Instructions that a kernel may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Fused multiply-add.
    pub fma: bool,
    /// Rounding to integers: floor, ceil, trunc and round of floats (x86-64 has it from SSE4.1 on).
    pub rounding: bool,
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

impl OpenLoop {
    /// Whether it has one trip, so that only its body is left.
    pub fn is_single_trip(&self) -> bool {
        self.nest.is_none()
    }
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
    /// The depth of the block that each value is defined in.
    depths: SecondaryMap<Val, usize>,
    /// Values that are constants.
    known: FxHashMap<Val, Number>,
    /// Masks of another width that masks were converted from.
    converted_masks: FxHashMap<Val, Val>,
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
            depths: SecondaryMap::new(),
            known: FxHashMap::default(),
            converted_masks: FxHashMap::default(),
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

    /// Ends the kernel. What nothing uses is dropped, and values are numbered in the order of their definitions.
    pub fn finish(mut self) -> Kernel {
        let stmts = self.frames.pop().map(|frame| frame.stmts).unwrap_or_default();
        let body = Block { stmts, yields: Vec::new() };
        let (name, buffers, extents, values) = (self.name, self.buffers, self.extents, self.values);
        tidy::tidy(Kernel { name, buffers, extents, values, body })
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

    /// A new value that is defined in the block at `depth`.
    fn define(&mut self, ty: Type, depth: usize) -> Val {
        let value = self.values.push(ty);
        self.depths[value] = depth;
        value
    }

    /// The depth of the block that is being filled.
    fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// An operation whose result has type `ty`, in the outermost block where its operands are defined, once per block. What might trap, and what
    /// only a branch needs, stays where it is.
    fn push(&mut self, op: KernelOp, args: &[Val], ty: Type) -> Val {
        let traps = matches!(op, KernelOp::Binary(Binary::Div | Binary::Rem)) && !ty.is_float();
        let conditional = self.frames.iter().rposition(|frame| frame.conditional).unwrap_or(0);
        let depth = match traps {
            true => self.depth(),
            false => args.iter().map(|arg| self.depths[*arg]).max().unwrap_or(0).max(conditional),
        };
        let key = (op, args.into(), ty);
        if let Some(known) = self.frames[depth].operations.get(&key) {
            return *known;
        }
        let result = self.push_at(depth, key.0.clone(), args, ty);
        self.frames[depth].operations.insert(key, result);
        result
    }

    fn push_at(&mut self, depth: usize, op: KernelOp, args: &[Val], ty: Type) -> Val {
        let result = self.define(ty, depth);
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
        self.known.insert(value, number);
        value
    }

    /// The number in all lanes of a value, where it is a constant.
    pub fn known(&self, value: Val) -> Option<Number> {
        self.known.get(&value).copied()
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

    /// An integer or mask constant in all lanes; `value` wraps around to the range of the dtype (u64: its bits), and is compared with 0
    /// for a mask.
    pub fn int(&mut self, value: i64, ty: Type) -> Val {
        let wrapped = match ty.dtype() {
            None => i64::from(value != 0),
            Some(DType::I64 | DType::U64) => value,
            Some(dtype) => {
                let free = 64 - dtype.bits();
                match dtype.class() {
                    DTypeClass::Signed => value << free >> free,
                    _ => ((value as u64) << free >> free) as i64,
                }
            }
        };
        self.number(Number::Int(wrapped), ty)
    }

    /// A constant of either kind, by the type.
    pub fn constant(&mut self, value: f64, ty: Type) -> Val {
        match ty.is_float() {
            true => self.float(value, ty),
            false => self.int(value as i64, ty),
        }
    }
}
