//! Whether accesses stay within their buffers, as far as index arithmetic tells.
//!
//! Indices are expressions ([`Dim`]) over run-time extents and loop variables. The largest element of an access is found by putting in the last value of each loop
//! variable in which the expression grows, and the first of those in which it falls, innermost loop first; what depends on a variable otherwise goes by intervals.
//! Bounds of extents and symbolic cancellation do the rest: `x[i]` with `i in 0..N` is proven within `N` elements.

use super::symbolic::{Range, Symbolic, lane_offsets, walk};
use super::{Path, VerifyError, VerifyErrorKind};
use crate::kernel::{Address, BufferId, Kernel, Spread, Stmt};
use graven_ir::{Atom, Dim};

/// What is known about an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every element that it can reach is within the buffer.
    Inside,
    /// Some element that it reaches is outside.
    Outside,
    /// The data or a mask decide, or the arithmetic is beyond this analysis.
    Unknown,
}

/// An access and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessBounds {
    /// The load or store.
    pub path: Path,
    /// Its buffer.
    pub buffer: BufferId,
    /// Whether it is within.
    pub verdict: Verdict,
    /// The element that is outside, as an expression.
    element: Option<Dim>,
}

/// Every load and store of a kernel that fulfils the other invariants, in order.
pub fn analyze(kernel: &Kernel) -> Vec<AccessBounds> {
    let mut found = Vec::new();
    walk(kernel, &mut |symbolic, path, stmt| {
        let (address, spread, ty, masked) = match stmt {
            Stmt::Load { result, address, spread, mask } => {
                (address, spread, kernel.values[*result], mask.is_some())
            }
            Stmt::Store { value, address, spread, mask } => {
                (address, spread, kernel.values[*value], mask.is_some())
            }
            _ => return,
        };
        let (verdict, element) = judge(kernel, symbolic, address, spread, ty.lanes, masked);
        found.push(AccessBounds { path: path.clone(), buffer: address.buffer, verdict, element });
    });
    found
}

/// The accesses that are outside.
pub(super) fn violations(kernel: &Kernel) -> Vec<VerifyError> {
    let outside = analyze(kernel).into_iter().filter(|access| access.verdict == Verdict::Outside);
    outside
        .map(|access| {
            let buffer = &kernel.buffers[access.buffer];
            let element = access.element.map(|element| element.to_string()).unwrap_or_default();
            let (name, elements) = (buffer.name.clone(), buffer.elements.to_string());
            let kind = VerifyErrorKind::OutOfBounds { buffer: name, elements, element };
            VerifyError { path: access.path, kind }
        })
        .collect()
}

fn judge(
    kernel: &Kernel,
    symbolic: &mut Symbolic,
    address: &Address,
    spread: &Spread,
    lanes: u16,
    masked: bool,
) -> (Verdict, Option<Dim>) {
    let Some((near, far)) = lane_offsets(spread, lanes) else { return (Verdict::Unknown, None) };
    let index = symbolic.value(address.index) + address.offset;
    let (highest, highest_reached) = extreme(&index, &symbolic.loops, true);
    let (lowest, lowest_reached) = extreme(&index, &symbolic.loops, false);
    let (highest, lowest) = (highest + far, lowest + near);
    let room = &kernel.buffers[address.buffer].elements - &highest - 1;
    if room.lower() >= 0 && lowest.lower() >= 0 {
        return (Verdict::Inside, None);
    }
    if masked || symbolic.branches > 0 {
        return (Verdict::Unknown, None);
    }
    if highest_reached && room.upper() < 0 {
        return (Verdict::Outside, Some(highest));
    }
    if lowest_reached && lowest.upper() < 0 {
        return (Verdict::Outside, Some(lowest));
    }
    (Verdict::Unknown, None)
}

/// The largest or smallest value of an expression over the trips of the loops, and whether it is reached.
fn extreme(index: &Dim, loops: &[Range], largest: bool) -> (Dim, bool) {
    let mut dim = index.clone();
    let mut reached = loops.iter().all(|range| range.exact);
    for range in loops.iter().rev() {
        match coefficient(&dim, range) {
            Coefficient::None => {}
            Coefficient::Linear(c) => {
                let end = if (c > 0) == largest { &range.last } else { &range.first };
                dim = dim.substitute(&|symbol| (*symbol == range.symbol).then(|| end.clone()));
            }
            Coefficient::Other => reached = false,
        }
    }
    (dim, reached)
}

enum Coefficient {
    /// The variable doesn't occur.
    None,
    /// The expression is c · variable and terms without it.
    Linear(i64),
    /// Anything else.
    Other,
}

fn coefficient(dim: &Dim, range: &Range) -> Coefficient {
    let mut linear = Coefficient::None;
    for (product, c) in dim.terms() {
        let is_variable = |atom: &Atom| matches!(atom, Atom::Symbol(symbol) if *symbol == range.symbol);
        let factors = product.iter().fold(Dim::ONE, |all, atom| all * Dim::from(1i64) * atom_dim(atom));
        if !factors.contains(&range.symbol) {
            continue;
        }
        let others: Vec<&Atom> = product.iter().filter(|atom| !is_variable(atom)).collect();
        // The variable once, times factors that are not negative and don't hold it: the term is monotonic in it.
        let plain = others.len() + 1 == product.len()
            && others.iter().all(|atom| {
                let other = atom_dim(atom);
                other.lower() >= 0 && !other.contains(&range.symbol)
            });
        linear = match linear {
            Coefficient::None if plain => Coefficient::Linear(*c),
            Coefficient::Linear(before) if plain && (before > 0) == (*c > 0) => Coefficient::Linear(before),
            _ => return Coefficient::Other,
        };
    }
    linear
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
