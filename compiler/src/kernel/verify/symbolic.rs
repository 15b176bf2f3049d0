//! Index values as expressions over run-time extents and loop variables.

use crate::kernel::{Binary, Block, For, Kernel, KernelOp, Number, Spread, Stmt, Type, Val};
use cranelift_entity::SecondaryMap;
use graven_ir::{Dim, Symbol};
use rustc_hash::FxHashMap;

/// The values of a loop variable.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// The symbol that stands for it.
    pub symbol: Symbol,
    /// Its value in the first trip, in terms of what is outside.
    pub first: Dim,
    /// No value is larger; the value in the last trip where `exact`.
    pub last: Dim,
    /// Whether there is at least one trip, and `last` is reached.
    pub exact: bool,
}

/// What is known about the index values of a kernel.
#[derive(Default)]
pub(super) struct Symbolic {
    values: SecondaryMap<Val, Option<Dim>>,
    /// The loops around the current statement, outermost first.
    pub loops: Vec<Range>,
    /// Branches around the current statement.
    pub branches: usize,
    bounds: FxHashMap<Val, (i64, i64)>,
}

impl Symbolic {
    pub fn new(kernel: &Kernel) -> Symbolic {
        let mut symbolic = Symbolic::default();
        for (symbol, value) in &kernel.extents {
            symbolic.values[*value] = Some(Dim::from(symbol));
        }
        symbolic
    }

    /// The value as an expression; one of which nothing is known is a symbol of its own, without bounds.
    pub fn value(&mut self, value: Val) -> Dim {
        if let Some(dim) = &self.values[value] {
            return dim.clone();
        }
        let (low, high) = self.bounds.get(&value).copied().unwrap_or((i64::MIN, i64::MAX));
        let dim = Dim::from(Symbol::new(format!("%{value}"), low, high));
        self.values[value] = Some(dim.clone());
        dim
    }

    /// Notes what an operation on indices computes.
    pub fn op(&mut self, result: Val, ty: Type, op: &KernelOp, args: &[Val]) {
        if ty != Type::INDEX {
            return;
        }
        let known = match (op, args) {
            (KernelOp::Constant(Number::Int(number)), _) => Some(Dim::from(*number)),
            (KernelOp::Binary(op), [x, y]) => {
                let (x, y) = (self.value(*x), self.value(*y));
                combine(*op, &x, &y)
            }
            (KernelOp::Select, [_, x, y]) => {
                let (x, y) = (self.value(*x).bounds(), self.value(*y).bounds());
                self.bounds.insert(result, (x.0.min(y.0), x.1.max(y.1)));
                None
            }
            _ => None,
        };
        // Saturated arithmetic proves nothing.
        self.values[result] = known.filter(|dim| {
            let (low, high) = dim.bounds();
            low > i64::MIN && high < i64::MAX
        });
    }

    pub fn open_loop(&mut self, nest: &For) {
        let (lower, upper) = (self.value(nest.lower), self.value(nest.upper));
        let step = nest.step.max(1);
        let length = (&upper - &lower).as_const();
        let (var, range) = match length.filter(|length| *length > 0) {
            // lower + step · trip
            Some(length) => {
                let trips = Symbol::new(format!("%trip {}", nest.var), 0, (length - 1) / step);
                let last = Dim::from((length - 1) / step);
                let var = &lower + Dim::from(&trips) * step;
                (var, Range { symbol: trips, first: Dim::ZERO, last, exact: true })
            }
            None => {
                let highest = upper.upper().saturating_sub(1).max(lower.lower());
                let symbol = Symbol::new(format!("%{}", nest.var), lower.lower(), highest);
                let last = &upper - 1;
                let exact = step == 1 && (&upper - &lower).lower() > 0;
                (Dim::from(&symbol), Range { symbol, first: lower, last, exact })
            }
        };
        self.values[nest.var] = Some(var);
        self.loops.push(range);
    }
}

/// The expression of an operation, where the dims can say it.
fn combine(op: Binary, x: &Dim, y: &Dim) -> Option<Dim> {
    let constant = y.as_const();
    Some(match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Min => x.minimum(y),
        Binary::Max => x.maximum(y),
        Binary::Div if x.lower() >= 0 && y.lower() >= 1 => x.floor_div(y),
        Binary::Rem if x.lower() >= 0 && y.lower() >= 1 => x.modulo(y),
        Binary::ShiftRight => x.floor_div(&Dim::from(1i64.checked_shl(u32::try_from(constant?).ok()?)?)),
        Binary::ShiftLeft => x * 1i64.checked_shl(u32::try_from(constant?).ok()?)?,
        Binary::And => {
            let ones = constant?;
            let size = ones.checked_add(1)?;
            if ones < 0 || size & ones != 0 {
                return None;
            }
            x.modulo(&Dim::from(size))
        }
        _ => return None,
    })
}

/// Calls `visit` for the statements of a kernel with what is known at each.
pub(super) fn walk(kernel: &Kernel, visit: &mut dyn FnMut(&mut Symbolic, &super::Path, &Stmt)) {
    let mut symbolic = Symbolic::new(kernel);
    let mut path = super::Path::default();
    walk_block(kernel, &kernel.body, &mut symbolic, &mut path, visit);
}

fn walk_block(
    kernel: &Kernel,
    block: &Block,
    symbolic: &mut Symbolic,
    path: &mut super::Path,
    visit: &mut dyn FnMut(&mut Symbolic, &super::Path, &Stmt),
) {
    use super::PathStep;
    for (index, stmt) in block.stmts.iter().enumerate() {
        path.0.push(PathStep::Stmt(index as u32));
        visit(symbolic, path, stmt);
        let mut inner = |symbolic: &mut Symbolic, step, block| {
            path.0.push(step);
            walk_block(kernel, block, symbolic, path, visit);
            path.0.pop();
        };
        match stmt {
            Stmt::Op { result, op, args } => symbolic.op(*result, kernel.values[*result], op, args),
            Stmt::For(nest) => {
                symbolic.open_loop(nest);
                inner(symbolic, PathStep::Body, &nest.body);
                symbolic.loops.pop();
            }
            Stmt::If(branch) => {
                symbolic.branches += 1;
                inner(symbolic, PathStep::Then, &branch.then);
                inner(symbolic, PathStep::Else, &branch.otherwise);
                symbolic.branches -= 1;
            }
            _ => {}
        }
        path.0.pop();
    }
}

/// Elements that the lanes of an access lie away from its address: the nearest and the furthest; `None` where the data decide.
pub(super) fn lane_offsets(spread: &Spread, lanes: u16) -> Option<(i64, i64)> {
    let stride = match spread {
        Spread::Contiguous => 1,
        Spread::Strided(stride) => *stride,
        Spread::Broadcast => 0,
        Spread::Gathered(_) => return None,
    };
    let reach = stride.saturating_mul(i64::from(lanes) - 1);
    Some((reach.min(0), reach.max(0)))
}
