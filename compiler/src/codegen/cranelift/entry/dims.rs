//! Extents as instructions.

use crate::codegen::CodegenError;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;
use graven_ir::{Atom, Dim, Symbol};
use rustc_hash::FxHashMap;

/// Computes extents from the values of symbols; each expression once.
pub(super) struct DimBuilder<'a> {
    symbols: &'a [Symbol],
    dims: Value,
    known: FxHashMap<Dim, Value>,
}

impl<'a> DimBuilder<'a> {
    /// Extents over `symbols`, whose values are at `dims`.
    pub fn new(symbols: &'a [Symbol], dims: Value) -> DimBuilder<'a> {
        DimBuilder { symbols, dims, known: FxHashMap::default() }
    }

    /// The value of the n-th symbol.
    pub fn symbol(&mut self, builder: &mut FunctionBuilder<'_>, n: usize) -> Value {
        let dim = Dim::from(&self.symbols[n]);
        if let Some(value) = self.known.get(&dim) {
            return *value;
        }
        let value = builder.ins().load(types::I64, MemFlagsData::trusted(), self.dims, n as i32 * 8);
        self.known.insert(dim, value);
        value
    }

    /// From here on, the n-th symbol has a value.
    pub fn bind(&mut self, n: usize, value: Value) {
        self.known.insert(Dim::from(&self.symbols[n]), value);
    }

    /// The value of an extent.
    ///
    /// # Errors
    /// [`CodegenError::Bug`] for a symbol that the program doesn't have.
    pub fn value(&mut self, builder: &mut FunctionBuilder<'_>, dim: &Dim) -> Result<Value, CodegenError> {
        if let Some(value) = self.known.get(dim) {
            return Ok(*value);
        }
        let mut sum = builder.ins().iconst(types::I64, dim.constant());
        for (product, coefficient) in dim.terms() {
            let mut term = builder.ins().iconst(types::I64, *coefficient);
            for atom in product {
                let factor = self.atom(builder, atom)?;
                term = builder.ins().imul(term, factor);
            }
            sum = builder.ins().iadd(sum, term);
        }
        self.known.insert(dim.clone(), sum);
        Ok(sum)
    }

    fn atom(&mut self, builder: &mut FunctionBuilder<'_>, atom: &Atom) -> Result<Value, CodegenError> {
        let pair = match atom {
            Atom::Symbol(symbol) => {
                let place = self.symbols.iter().position(|other| other == symbol);
                let place = place.ok_or_else(|| CodegenError::Bug {
                    kernel: "run".into(),
                    what: format!("the program has no symbol {symbol}"),
                })?;
                return Ok(self.symbol(builder, place));
            }
            Atom::FloorDiv(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => pair,
        };
        let (x, y) = (self.value(builder, &pair.0)?, self.value(builder, &pair.1)?);
        Ok(match atom {
            Atom::Min(_) => builder.ins().smin(x, y),
            Atom::Max(_) => builder.ins().smax(x, y),
            Atom::FloorDiv(_) => floor_division(builder, x, y).0,
            _ => floor_division(builder, x, y).1,
        })
    }
}

/// Quotient and remainder of the division that rounds down; a divisor below 1 counts as 1.
fn floor_division(builder: &mut FunctionBuilder<'_>, x: Value, y: Value) -> (Value, Value) {
    let one = builder.ins().iconst(types::I64, 1);
    let divisor = builder.ins().smax(y, one);
    let truncated = builder.ins().sdiv(x, divisor);
    let multiple = builder.ins().imul(truncated, divisor);
    let rest = builder.ins().isub(x, multiple);
    let zero = builder.ins().iconst(types::I64, 0);
    let below = builder.ins().icmp(IntCC::SignedLessThan, rest, zero);
    let less = builder.ins().isub(truncated, one);
    let more = builder.ins().iadd(rest, divisor);
    (builder.ins().select(below, less, truncated), builder.ins().select(below, more, rest))
}
