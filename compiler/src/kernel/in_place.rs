//! Whether a kernel may write a result where one of its operands is.
//!
//! It may if every element of the operand is read right before the same element of the result is written, and no element is written twice. The first shows in the blocks: each
//! load has a store of the same lanes to the same address after it in its block, or comes before all stores in a kernel of a single task. The second follows from counting: each element is written at least once, so that as many
//! writes as elements are one for each.

use super::{Access, Binary, Block, BufferId, For, Kernel, KernelOp, Number, Spread, Stmt, Val};
use rustc_hash::FxHashMap;

/// Trips of outer loops that are counted one by one at most.
const MOST_TRIPS: u64 = 1 << 14;

/// Whether the buffer `written` may be the memory of `read`.
pub fn may_share(kernel: &Kernel, read: BufferId, written: BufferId) -> bool {
    let (Some(from), Some(to)) = (kernel.buffers.get(read), kernel.buffers.get(written)) else {
        return false;
    };
    let alike = from.dtype.bytes() == to.dtype.bytes() && from.elements == to.elements;
    if !alike || from.access != Access::Read || to.access != Access::Write {
        return false;
    }
    let stmts = &kernel.body.stmts;
    let is_plain = |stmt: &Stmt| !matches!(stmt, Stmt::Store { .. } | Stmt::For(_) | Stmt::If(_));
    let first = stmts.iter().position(|stmt| !is_plain(stmt)).unwrap_or(stmts.len());
    if !pairs(kernel, &stmts[first..], read, written) {
        return false;
    }
    let mut count = Count { kernel, written, values: FxHashMap::default(), trips: MOST_TRIPS };
    let Some(writes) = count.block(&kernel.body) else { return false };
    let alone = kernel.parallel_loop().is_none_or(|nest| {
        let bound = |value: Val| count.values.get(&value).copied();
        bound(nest.lower).zip(bound(nest.upper)).is_some_and(|(lower, upper)| upper - lower <= nest.step)
    });
    to.elements.as_const() == i64::try_from(writes).ok() && (alone || pairs(kernel, stmts, read, written))
}

/// Whether all loads of `read` in a block and those within it have their stores.
fn pairs(kernel: &Kernel, stmts: &[Stmt], read: BufferId, written: BufferId) -> bool {
    stmts.iter().enumerate().all(|(place, stmt)| match stmt {
        Stmt::Load { result, address, spread, mask } if address.buffer == read => {
            let lanes = kernel.values[*result].lanes;
            stmts[place..].iter().any(|later| match later {
                Stmt::Store { value, address: to, spread: other, mask: masked } => {
                    to.buffer == written
                        && (to.index, to.offset) == (address.index, address.offset)
                        && (other, masked) == (spread, mask)
                        && kernel.values[*value].lanes == lanes
                }
                _ => false,
            })
        }
        Stmt::For(nest) => pairs(kernel, &nest.body.stmts, read, written),
        Stmt::If(branch) => {
            pairs(kernel, &branch.then.stmts, read, written)
                && pairs(kernel, &branch.otherwise.stmts, read, written)
        }
        _ => true,
    })
}

/// Counts the elements that a kernel writes to a buffer.
struct Count<'k> {
    kernel: &'k Kernel,
    written: BufferId,
    /// Values of indices.
    values: FxHashMap<Val, i64>,
    /// Trips that may still be counted one by one.
    trips: u64,
}

impl Count<'_> {
    /// Writes of a block; `None` if they can't be counted.
    fn block(&mut self, block: &Block) -> Option<u64> {
        let mut writes = 0u64;
        for stmt in &block.stmts {
            match stmt {
                Stmt::Op { result, op, args } => {
                    match self.value(op, args) {
                        Some(value) => self.values.insert(*result, value),
                        None => self.values.remove(result),
                    };
                }
                Stmt::Store { value, address, spread, mask } if address.buffer == self.written => {
                    if mask.is_some() || !matches!(spread, Spread::Contiguous | Spread::Strided(_)) {
                        return None;
                    }
                    writes = writes.checked_add(self.kernel.values[*value].lanes.into())?;
                }
                Stmt::For(nest) if self.writes(&nest.body) => {
                    writes = writes.checked_add(self.nest(nest)?)?;
                }
                Stmt::If(branch) if self.writes(&branch.then) || self.writes(&branch.otherwise) => {
                    return None;
                }
                _ => {}
            }
        }
        Some(writes)
    }

    /// Writes of a loop: those of one trip times the trips if all trips write as much, or else trip by trip.
    fn nest(&mut self, nest: &For) -> Option<u64> {
        let (lower, upper) = (*self.values.get(&nest.lower)?, *self.values.get(&nest.upper)?);
        let trips = u64::try_from(upper.checked_sub(lower)?).unwrap_or(0);
        let trips = trips.div_ceil(u64::try_from(nest.step).ok()?.max(1));
        self.values.remove(&nest.var);
        if let Some(each) = self.block(&nest.body) {
            return trips.checked_mul(each);
        }
        self.trips = self.trips.checked_sub(trips)?;
        let mut writes = 0u64;
        for trip in 0..trips {
            self.values.insert(nest.var, lower + trip as i64 * nest.step);
            writes = writes.checked_add(self.block(&nest.body)?)?;
        }
        Some(writes)
    }

    fn writes(&self, block: &Block) -> bool {
        block.stmts.iter().any(|stmt| match stmt {
            Stmt::Store { address, .. } => address.buffer == self.written,
            Stmt::For(nest) => self.writes(&nest.body),
            Stmt::If(branch) => self.writes(&branch.then) || self.writes(&branch.otherwise),
            _ => false,
        })
    }

    fn value(&self, op: &KernelOp, args: &[Val]) -> Option<i64> {
        let arg = |place: usize| self.values.get(args.get(place)?).copied();
        match op {
            KernelOp::Constant(Number::Int(value)) => Some(*value),
            KernelOp::Binary(binary) => {
                let (x, y) = (arg(0)?, arg(1)?);
                match binary {
                    Binary::Add => x.checked_add(y),
                    Binary::Sub => x.checked_sub(y),
                    Binary::Mul => x.checked_mul(y),
                    Binary::Div => x.checked_div(y),
                    Binary::Rem => x.checked_rem(y),
                    Binary::Min => Some(x.min(y)),
                    Binary::Max => Some(x.max(y)),
                    Binary::And => Some(x & y),
                    Binary::ShiftRight => x.checked_shr(u32::try_from(y).ok()?),
                    Binary::ShiftLeft => x.checked_shl(u32::try_from(y).ok()?),
                    Binary::Or | Binary::Xor => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{KernelBuilder, Type};
    use graven_ir::{DType, Dim};

    /// y[i + to] = x[i + from] for blocks of 8 of 20 elements, the last of which starts at `last`.
    fn kernel(from: i64, last: i64) -> (Kernel, BufferId, BufferId) {
        let mut b = KernelBuilder::new("k");
        let x = b.buffer("x", DType::F32, 20i64, Access::Read);
        let y = b.buffer("y", DType::F32, 20i64, Access::Write);
        let ty = Type::vector(DType::F32, 4);
        b.for_each((&Dim::ZERO, &Dim::from(16i64), 4), &[], |b, i, _| {
            let value = b.load(x, &(i + from), ty, Spread::Contiguous, None);
            b.store(value, y, i, Spread::Contiguous, None);
            Vec::new()
        });
        b.for_each((&Dim::from(last), &Dim::from(20i64), 1), &[], |b, i, _| {
            let value = b.load(x, i, Type::scalar(DType::F32), Spread::Contiguous, None);
            b.store(value, y, i, Spread::Contiguous, None);
            Vec::new()
        });
        (b.finish(), x, y)
    }

    #[test]
    fn each_element_is_read_right_before_it_is_written_once() {
        let shares = |(kernel, x, y): (Kernel, BufferId, BufferId)| may_share(&kernel, x, y);
        assert!(shares(kernel(0, 16)));
        // Other elements are read than are written; elements are written twice.
        assert!(!shares(kernel(4, 16)));
        assert!(!shares(kernel(0, 12)));
        let (kernel, x, y) = kernel(0, 16);
        assert!(!may_share(&kernel, y, x));
    }
}
