//! Instruction selection: kernel IR to instructions over virtual registers, statement by statement.
//!
//! * `shape`: how values are held in registers; `uses`: what is known of them beforehand
//! * `control`: statements, loops, branches, the split into tasks
//! * `address`: addressing modes, pointers that run along with a loop
//! * `memory`, `load`, `store`: where elements are, loads, stores
//! * `constant`, `scalar`, `arithmetic`, `compare`, `lanes`, `shuffle`: operations
//! * `convert`, `convert_scalar`: conversions by value
//!
//! Everything is emitted where it stands; what folding makes superfluous (a load that became an operand, an index that became part of an address) is dropped
//! when the code is finished.

mod address;
mod arithmetic;
mod compare;
mod constant;
mod control;
mod convert;
mod convert_scalar;
mod lanes;
mod load;
mod memory;
mod scalar;
mod shape;
mod shuffle;
mod store;
mod uses;

use super::inst::{Op, Width};
use super::registers::Level;
use super::vcode::{Builder, In, Mem, VCode};
use crate::codegen::CodegenError;
use crate::codegen::abi::{ArgumentLayout, scratch_layout};
use crate::kernel::{BufferId, Kernel, KernelOp, Number, Stmt, Type, Val};
use cranelift_entity::SecondaryMap;
use regalloc2::VReg;
use rustc_hash::FxHashMap;
use shape::Parts;
use smallvec::smallvec;
use uses::Uses;

/// Selects the instructions of a kernel.
///
/// # Errors
/// [`CodegenError::Bug`] for an invalid kernel.
pub(super) fn select(kernel: &Kernel, level: Level) -> Result<VCode, CodegenError> {
    let mut isel = Isel::new(kernel, level);
    isel.block(&kernel.body)?;
    isel.b.ret();
    Ok(isel.b.finish())
}

/// A kernel on its way to machine instructions.
struct Isel<'k> {
    kernel: &'k Kernel,
    level: Level,
    b: Builder,
    layout: ArgumentLayout,
    /// Address of the argument words, number of the task.
    words: VReg,
    task: VReg,
    values: SecondaryMap<Val, Parts>,
    uses: Uses<'k>,
    /// Loads that an instruction may take as its operand, first part.
    folded: SecondaryMap<Val, Option<Mem>>,
    bases: SecondaryMap<BufferId, Option<VReg>>,
    /// Pointers that run along with the innermost loop.
    pointers: FxHashMap<(BufferId, Val), VReg>,
    /// Loops around the current statement.
    depth: u32,
    /// The last division by a constant: block, dividend, divisor, quotient.
    quotient: Option<(u32, VReg, i64, VReg)>,
    /// Counts blocks of statements.
    block_number: u32,
}

impl<'k> Isel<'k> {
    fn new(kernel: &'k Kernel, level: Level) -> Isel<'k> {
        let mut b = Builder::default();
        let entry = b.block();
        b.begin(entry);
        let params = b.params(&level.arguments());
        let (words, task, worker) = (params[0], params[1], params[2]);
        let mut isel = Isel {
            kernel,
            level,
            b,
            layout: ArgumentLayout::of(kernel),
            words,
            task,
            values: SecondaryMap::new(),
            uses: Uses::of(kernel),
            folded: SecondaryMap::new(),
            bases: SecondaryMap::new(),
            pointers: FxHashMap::default(),
            depth: 0,
            quotient: None,
            block_number: 0,
        };
        isel.prologue(worker);
        isel
    }

    /// Addresses and extents; those that aren't used are dropped.
    fn prologue(&mut self, worker: VReg) {
        let layout = self.layout;
        for (word, (id, _)) in self.kernel.arguments().enumerate() {
            self.bases[id] = Some(self.argument(word));
        }
        for (n, (_, value)) in self.kernel.extents.iter().enumerate() {
            let extent = self.argument(layout.extent(n));
            self.define(*value, smallvec![extent]);
        }
        let (offsets, _) = scratch_layout(self.kernel);
        if offsets.is_empty() {
            return;
        }
        let (first, stride) = (self.argument(layout.scratch()), self.argument(layout.scratch_stride()));
        let distance = self.b.def(Op::IntMul, Width::W64, &[worker.into(), stride.into()]);
        let scratch = self.b.def(Op::IntAdd, Width::W64, &[first.into(), distance.into()]);
        for (id, offset) in offsets {
            self.bases[id] = Some(self.add_constant(scratch, offset as i64));
        }
    }

    /// A word of the arguments.
    fn argument(&mut self, word: usize) -> VReg {
        let mem = Mem::at(self.words, word as i32 * 8);
        self.b.def(Op::IntLoad, Width::W64, &[mem.into()])
    }

    /// An invalid kernel.
    fn bug(&self, what: impl Into<String>) -> CodegenError {
        CodegenError::Bug { kernel: self.kernel.name.clone(), what: what.into() }
    }

    /// The type of a value.
    fn ty(&self, value: Val) -> Type {
        self.kernel.values[value]
    }

    /// The registers of a value.
    fn parts(&self, value: Val) -> Result<Parts, CodegenError> {
        match &self.values[value] {
            parts if parts.is_empty() => Err(self.bug(format!("{value} is used before it is defined"))),
            parts => Ok(parts.clone()),
        }
    }

    /// The register of a scalar.
    fn scalar(&self, value: Val) -> Result<VReg, CodegenError> {
        match self.parts(value)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(self.bug(format!("{value} is no scalar"))),
        }
    }

    fn define(&mut self, value: Val, parts: Parts) {
        self.values[value] = parts;
    }

    /// The number that a value is, if it is a constant.
    fn number(&self, value: Val) -> Option<Number> {
        match self.uses.definition(value) {
            Some(Stmt::Op { op: KernelOp::Constant(number), .. }) => Some(*number),
            _ => None,
        }
    }

    /// An integer constant.
    fn integer(&self, value: Val) -> Option<i64> {
        match self.number(value) {
            Some(Number::Int(number)) => Some(number),
            _ => None,
        }
    }

    fn operation(&mut self, result: Val, op: &'k KernelOp, args: &[Val]) -> Result<Parts, CodegenError> {
        let ty = self.ty(result);
        match (op, args) {
            (KernelOp::Constant(number), []) => self.constant(*number, ty),
            (KernelOp::LaneIds { dtype, lanes }, []) => self.lane_ids(*dtype, *lanes),
            (KernelOp::Unary(op), [x]) => self.unary(*op, *x),
            (KernelOp::Convert(to), [x]) => self.convert(*x, *to),
            (KernelOp::Bitcast(_), [x]) => self.bitcast(*x, ty),
            (KernelOp::ConvertMask { .. }, [x]) => self.convert_mask(*x, ty),
            (KernelOp::Splat { .. }, [x]) => self.splat(*x, ty),
            (KernelOp::Extract { lane }, [x]) => Ok(smallvec![self.extract(*x, *lane)?]),
            (KernelOp::Reduce(op), [x]) => Ok(smallvec![self.reduce(*op, *x)?]),
            (KernelOp::Any, [x]) => Ok(smallvec![self.any(*x)?]),
            (KernelOp::TailMask { .. }, [count]) => self.tail_mask(*count, ty),
            (KernelOp::Binary(op), [x, y]) => self.binary(*op, *x, *y),
            (KernelOp::Compare(op), [x, y]) => self.compare(*op, *x, *y),
            (KernelOp::Insert { lane }, [x, y]) => self.insert(*x, *y, *lane),
            (KernelOp::Shuffle { lanes }, [x, y]) => self.shuffle(*x, *y, lanes),
            (KernelOp::Fma, [x, y, z]) => self.fma(*x, *y, *z),
            (KernelOp::Select, [mask, x, y]) => self.select(*mask, *x, *y),
            _ => Err(self.bug(format!("{op:?} doesn't take {} operands", args.len()))),
        }
    }

    /// One instruction for each part.
    fn map(&mut self, op: Op, width: Width, x: &[VReg]) -> Parts {
        x.iter().map(|x| self.b.def(op, width, &[(*x).into()])).collect()
    }

    /// One instruction for each pair of parts.
    fn zip(&mut self, op: Op, width: Width, x: &[VReg], y: &[VReg]) -> Parts {
        x.iter().zip(y).map(|(x, y)| self.b.def(op, width, &[(*x).into(), (*y).into()])).collect()
    }

    /// A part of a value as an operand of a vector instruction: memory where the value is a constant, or a load that nobody else wants.
    fn folded(&mut self, op: Op, width: Width, value: Val, part: usize) -> Result<In, CodegenError> {
        if let Some(mem) = self.foldable(op, width, value, part)? {
            return Ok(mem.into());
        }
        Ok(self.parts(value)?[part].into())
    }
}
