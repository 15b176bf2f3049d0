//! Index arithmetic from index expressions.

use super::KernelBuilder;
use crate::kernel::{Binary, KernelOp, Type, Val};
use graven_ir::{Atom, Dim, Symbol};
use smallvec::SmallVec;

impl KernelBuilder {
    /// A name for a symbol that no other symbol of the kernel has; names of run-time extents don't begin with `%`.
    pub(super) fn fresh_name(&mut self, stem: &str) -> String {
        self.fresh += 1;
        format!("%{stem}{}", self.fresh)
    }

    /// An index value from the data, in `lower..=upper`, as a symbol for use in addresses.
    pub fn data_symbol(&mut self, value: Val, lower: i64, upper: i64) -> Symbol {
        let depth = self.depths[value];
        let key = (value, lower, upper);
        if let Some(known) = self.frames[depth].data_symbols.get(&key) {
            return known.clone();
        }
        let symbol = Symbol::new(self.fresh_name("x"), lower, upper);
        self.symbols.insert(symbol.clone(), (depth, value));
        self.frames[depth].data_symbols.insert(key, symbol.clone());
        symbol
    }

    fn symbol(&mut self, symbol: &Symbol) -> (usize, Val) {
        if let Some(place) = self.symbols.get(symbol) {
            return *place;
        }
        // Not a loop variable: a run-time extent of the model.
        let value = self.define(Type::INDEX, 0);
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
            Atom::FloorDiv(pair) => self.floor_div(pair, depth),
            Atom::Mod(pair) => self.modulo(pair, depth),
        };
        self.frames[depth].indices.insert(dim, value);
        value
    }

    fn index_pair(&mut self, op: Binary, pair: &(Dim, Dim), depth: usize) -> Val {
        let (x, y) = (self.index(&pair.0), self.index(&pair.1));
        self.push_at(depth, KernelOp::Binary(op), &[x, y], Type::INDEX)
    }

    /// ⌊x ÷ y⌋ for y ≥ 1 (a smaller y counts as 1). The machine's division truncates, which is the same where x ≥ 0; other
    /// dividends are shifted up by enough whole divisors, or, without useful bounds, corrected afterwards.
    fn floor_div(&mut self, (dividend, divisor): &(Dim, Dim), depth: usize) -> Val {
        if let Some(power) = power_of_two(divisor) {
            let x = self.index(dividend);
            let count = self.int(power.into(), Type::INDEX);
            return self.push_at(depth, KernelOp::Binary(Binary::ShiftRight), &[x, count], Type::INDEX);
        }
        let y = self.divisor(divisor, depth);
        if let Some(shift) = whole_divisors_below_zero(dividend, divisor) {
            let x = self.index(&(dividend + divisor * shift));
            let quotient = self.push_at(depth, KernelOp::Binary(Binary::Div), &[x, y], Type::INDEX);
            if shift == 0 {
                return quotient;
            }
            let shift = self.int(shift, Type::INDEX);
            return self.push_at(depth, KernelOp::Binary(Binary::Sub), &[quotient, shift], Type::INDEX);
        }
        let x = self.index(dividend);
        let quotient = self.push_at(depth, KernelOp::Binary(Binary::Div), &[x, y], Type::INDEX);
        let remainder = self.push_at(depth, KernelOp::Binary(Binary::Rem), &[x, y], Type::INDEX);
        // −1 where the remainder is negative, else 0
        let sign = self.int(63, Type::INDEX);
        let sign = self.push_at(depth, KernelOp::Binary(Binary::ShiftRight), &[remainder, sign], Type::INDEX);
        self.push_at(depth, KernelOp::Binary(Binary::Add), &[quotient, sign], Type::INDEX)
    }

    /// x − y·⌊x ÷ y⌋ for y ≥ 1 (a smaller y counts as 1).
    fn modulo(&mut self, (dividend, divisor): &(Dim, Dim), depth: usize) -> Val {
        if power_of_two(divisor).is_some() {
            let x = self.index(dividend);
            let ones = self.index(&(divisor - 1));
            return self.push_at(depth, KernelOp::Binary(Binary::And), &[x, ones], Type::INDEX);
        }
        let y = self.divisor(divisor, depth);
        if let Some(shift) = whole_divisors_below_zero(dividend, divisor) {
            let x = self.index(&(dividend + divisor * shift));
            return self.push_at(depth, KernelOp::Binary(Binary::Rem), &[x, y], Type::INDEX);
        }
        let x = self.index(dividend);
        let remainder = self.push_at(depth, KernelOp::Binary(Binary::Rem), &[x, y], Type::INDEX);
        let sign = self.int(63, Type::INDEX);
        let sign = self.push_at(depth, KernelOp::Binary(Binary::ShiftRight), &[remainder, sign], Type::INDEX);
        let correction = self.push_at(depth, KernelOp::Binary(Binary::And), &[sign, y], Type::INDEX);
        self.push_at(depth, KernelOp::Binary(Binary::Add), &[remainder, correction], Type::INDEX)
    }

    /// A divisor that the machine can divide by: at least 1.
    fn divisor(&mut self, divisor: &Dim, depth: usize) -> Val {
        let y = self.index(divisor);
        if divisor.lower() >= 1 {
            return y;
        }
        let one = self.int(1, Type::INDEX);
        self.push_at(depth, KernelOp::Binary(Binary::Max), &[y, one], Type::INDEX)
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

/// k where the divisor is the constant 2ᵏ.
fn power_of_two(divisor: &Dim) -> Option<u32> {
    let divisor = u64::try_from(divisor.as_const()?).ok()?;
    divisor.is_power_of_two().then(|| divisor.trailing_zeros())
}

/// The number of whole divisors that make the dividend non-negative; `None` where the sum could leave the range of indices, or the
/// divisor can be below 1.
fn whole_divisors_below_zero(dividend: &Dim, divisor: &Dim) -> Option<i64> {
    let smallest = u64::try_from(divisor.lower()).ok().filter(|smallest| *smallest > 0)?;
    let below = dividend.lower().min(0).unsigned_abs();
    let shift = i64::try_from(below.div_ceil(smallest)).ok()?;
    let highest = shift.checked_mul(divisor.upper())?.checked_add(dividend.upper())?;
    (highest < i64::MAX && dividend.lower() > i64::MIN).then_some(shift)
}
