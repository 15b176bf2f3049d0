//! Addresses.
//!
//! In an innermost loop every address whose index grows evenly gets a pointer of its own that runs along, so that the body holds no index arithmetic and its
//! memory operands are base and displacement, which CPUs fuse with the arithmetic. Elsewhere an address is base plus scaled index.

use super::super::inst::{Op, Width};
use super::super::vcode::{Base, Mem};
use super::Isel;
use crate::codegen::CodegenError;
use crate::kernel::{Address, Binary, Block, BufferId, For, KernelOp, Stmt, Val};
use regalloc2::VReg;
use rustc_hash::FxHashMap;

/// Pointers of one loop at most, so that they don't crowd out what the loop itself needs.
const MOST_POINTERS: usize = 7;

/// A displacement that leaves room for the lanes of a vector.
const MOST_DISPLACEMENT: u64 = 1 << 30;

/// A pointer that runs along with a loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// The address that it is of.
    pub key: (BufferId, Val),
    /// Bytes per trip.
    pub step: i64,
}

impl Isel<'_> {
    /// The memory at an address.
    pub fn address(&mut self, address: &Address) -> Result<Mem, CodegenError> {
        let bytes = self.kernel.buffers[address.buffer].dtype.bytes() as i64;
        if let Some(pointer) = self.pointers.get(&(address.buffer, address.index)) {
            let pointer = *pointer;
            return Ok(self.displaced(pointer, None, address.offset.wrapping_mul(bytes)));
        }
        let base = self.base(address.buffer)?;
        if let Some(index) = self.integer(address.index) {
            let distance = index.wrapping_add(address.offset).wrapping_mul(bytes);
            return Ok(self.displaced(base, None, distance));
        }
        let index = self.scalar(address.index)?;
        Ok(self.displaced(base, Some((index, bytes as u8)), address.offset.wrapping_mul(bytes)))
    }

    fn displaced(&mut self, base: VReg, index: Option<(VReg, u8)>, distance: i64) -> Mem {
        match i32::try_from(distance) {
            Ok(disp) if distance.unsigned_abs() < MOST_DISPLACEMENT => {
                Mem { base: Base::Reg(base), index, disp, broadcast: false }
            }
            _ => {
                let distance = self.int(distance);
                let base = self.b.def(Op::IntAdd, Width::W64, &[base.into(), distance.into()]);
                Mem { base: Base::Reg(base), index, disp: 0, broadcast: false }
            }
        }
    }

    /// The memory some bytes further on.
    pub fn further(&mut self, mem: Mem, bytes: i64) -> Mem {
        let distance = i64::from(mem.disp).wrapping_add(bytes);
        match mem.base {
            Base::Reg(base) => self.displaced(base, mem.index, distance),
            _ => Mem { disp: distance as i32, ..mem },
        }
    }

    /// The address as a pointer.
    pub fn pointer(&mut self, mem: Mem) -> VReg {
        match (mem.base, mem.index, mem.disp) {
            (Base::Reg(base), None, 0) => base,
            _ => self.b.def(Op::IntLea, Width::W64, &[mem.into()]),
        }
    }

    fn base(&self, buffer: BufferId) -> Result<VReg, CodegenError> {
        self.bases[buffer].ok_or_else(|| self.bug(format!("{buffer} is no buffer")))
    }

    /// The pointers that a loop gets: those of the addresses in its body that grow evenly, if it has no loops inside.
    pub fn running_pointers(&self, nest: &For) -> Vec<Running> {
        if nest.body.stmts.iter().any(|stmt| matches!(stmt, Stmt::For(_))) {
            return Vec::new();
        }
        let mut growth = Growth { isel: self, known: FxHashMap::default(), body: definitions(&nest.body) };
        growth.known.insert(nest.var, Some(1));
        let mut found: Vec<Running> = Vec::new();
        for stmt in &nest.body.stmts {
            let (Stmt::Load { address, .. } | Stmt::Store { address, .. } | Stmt::Prefetch { address }) =
                stmt
            else {
                continue;
            };
            let key = (address.buffer, address.index);
            if found.len() == MOST_POINTERS || found.iter().any(|known| known.key == key) {
                continue;
            }
            let bytes = self.kernel.buffers[address.buffer].dtype.bytes() as i64;
            let step =
                growth.of(address.index).and_then(|growth| growth.checked_mul(nest.step)?.checked_mul(bytes));
            if let Some(step) = step.filter(|step| *step != 0 && i32::try_from(*step).is_ok()) {
                found.push(Running { key, step });
            }
        }
        found
    }

    /// Where a running pointer begins: the address with the loop's variable at its first value.
    pub fn first_address(
        &mut self,
        nest: &For,
        running: &Running,
        lower: VReg,
    ) -> Result<VReg, CodegenError> {
        let (buffer, index) = running.key;
        let body = definitions(&nest.body);
        let mut copies = FxHashMap::default();
        copies.insert(nest.var, lower);
        let index = self.copy_index(index, &body, &mut copies)?;
        let bytes = self.kernel.buffers[buffer].dtype.bytes() as u8;
        let base = self.base(buffer)?;
        let mem = Mem { base: Base::Reg(base), index: Some((index, bytes)), disp: 0, broadcast: false };
        Ok(self.pointer(mem))
    }

    /// Index arithmetic of a loop's body once more, before the loop.
    fn copy_index(
        &mut self,
        value: Val,
        body: &Definitions<'_>,
        copies: &mut FxHashMap<Val, VReg>,
    ) -> Result<VReg, CodegenError> {
        if let Some(copy) = copies.get(&value) {
            return Ok(*copy);
        }
        let Some((KernelOp::Binary(op), args)) = body.get(&value) else { return self.scalar(value) };
        let x = self.copy_index(args[0], body, copies)?;
        let copy = match self.integer(args[1]) {
            Some(constant) => self.index_by_constant(*op, x, constant),
            None => None,
        };
        let copy = match copy {
            Some(copy) => copy,
            None => {
                let y = self.copy_index(args[1], body, copies)?;
                self.index_binary(*op, x, y)?
            }
        };
        copies.insert(value, copy);
        Ok(copy)
    }
}

/// The operations of a block by their results.
type Definitions<'a> = FxHashMap<Val, (&'a KernelOp, &'a [Val])>;

fn definitions(block: &Block) -> Definitions<'_> {
    let ops = block.stmts.iter().filter_map(|stmt| match stmt {
        Stmt::Op { result, op, args } => Some((*result, (op, args.as_slice()))),
        _ => None,
    });
    ops.collect()
}

/// How much index values grow with a loop's variable.
struct Growth<'a, 'k> {
    isel: &'a Isel<'k>,
    body: Definitions<'a>,
    known: FxHashMap<Val, Option<i64>>,
}

impl Growth<'_, '_> {
    /// Elements per unit of the variable; `None` if it isn't even.
    fn of(&mut self, value: Val) -> Option<i64> {
        if let Some(known) = self.known.get(&value) {
            return *known;
        }
        let growth = match self.body.get(&value).copied() {
            Some((KernelOp::Binary(op), args)) => self.binary(*op, args[0], args[1]),
            Some((KernelOp::Constant(_), _)) => Some(0),
            Some(_) => None,
            // Loads and what loops and branches give are defined in the body too.
            None if self.isel.is_defined(value) => Some(0),
            None => None,
        };
        self.known.insert(value, growth);
        growth
    }

    fn binary(&mut self, op: Binary, x: Val, y: Val) -> Option<i64> {
        let (left, right) = (self.of(x)?, self.of(y)?);
        let constant = |value| self.isel.integer(value);
        match op {
            Binary::Add => left.checked_add(right),
            Binary::Sub => left.checked_sub(right),
            Binary::Mul if left == 0 && right == 0 => {
                Some(0).filter(|_| self.body_free(x) && self.body_free(y))
            }
            Binary::Mul if right == 0 => left.checked_mul(constant(y)?),
            Binary::Mul if left == 0 => right.checked_mul(constant(x)?),
            Binary::ShiftLeft if right == 0 => {
                left.checked_mul(1i64.checked_shl(u32::try_from(constant(y)?).ok()?)?)
            }
            _ => None,
        }
    }

    /// Whether a value can be had before the loop.
    fn body_free(&self, value: Val) -> bool {
        self.known.get(&value).is_some_and(Option::is_some)
    }
}
