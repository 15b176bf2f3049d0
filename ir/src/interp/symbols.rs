//! Values of symbolic extents.

use super::EvalErrorKind;
use crate::{Attribute, Dim, Op, Symbol, Tensor, TensorType};
use rustc_hash::FxHashMap;

/// Values of symbolic extents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolValues(FxHashMap<Symbol, i64>);

impl SymbolValues {
    /// No symbol has a value.
    pub fn new() -> SymbolValues {
        SymbolValues::default()
    }

    /// The values that input shapes give: an extent that is exactly a symbol binds it.
    ///
    /// # Errors
    /// A symbol outside its bounds or with two values. Dtypes, ranks and other extents are not looked at.
    pub fn from_inputs<'a>(
        inputs: impl IntoIterator<Item = (&'a TensorType, &'a Tensor)>,
    ) -> Result<SymbolValues, EvalErrorKind> {
        let mut values = SymbolValues::new();
        for (ty, tensor) in inputs {
            for (dim, extent) in ty.shape.iter().zip(tensor.shape()) {
                if let Some(symbol) = dim.as_symbol() {
                    values.bind(symbol, i64::try_from(*extent).unwrap_or(i64::MAX))?;
                }
            }
        }
        Ok(values)
    }

    /// Gives `symbol` a value.
    ///
    /// # Errors
    /// The value is outside the symbol's bounds, or the symbol has another one already.
    pub fn bind(&mut self, symbol: &Symbol, value: i64) -> Result<(), EvalErrorKind> {
        let (lower, upper) = (symbol.lower(), symbol.upper());
        if !(lower..=upper).contains(&value) {
            return Err(EvalErrorKind::SymbolBounds { symbol: symbol.name().into(), value, lower, upper });
        }
        match self.0.insert(symbol.clone(), value) {
            Some(first) if first != value => {
                Err(EvalErrorKind::SymbolConflict { symbol: symbol.name().into(), first, second: value })
            }
            _ => Ok(()),
        }
    }

    /// The value of a symbol.
    pub fn get(&self, symbol: &Symbol) -> Option<i64> {
        self.0.get(symbol).copied()
    }

    /// The value of a dim, if all its symbols have one.
    pub fn dim(&self, dim: &Dim) -> Option<i64> {
        dim.evaluate(&|symbol| self.get(symbol))
    }

    /// The extents of a shape.
    pub(super) fn shape(&self, shape: &[Dim]) -> Result<Vec<usize>, EvalErrorKind> {
        let extent = |dim: &Dim| usize::try_from(self.dim(dim)?).ok();
        shape
            .iter()
            .map(|dim| extent(dim).ok_or_else(|| EvalErrorKind::UnboundExtent(dim.to_string())))
            .collect()
    }

    /// The op with the values in place of the symbols in its attributes.
    pub(super) fn substitute(&self, op: &Op) -> Result<Op, EvalErrorKind> {
        if self.0.is_empty() || !op.attributes().iter().any(|(_, attribute)| has_symbols(attribute)) {
            return Ok(op.clone());
        }
        let replaced = |(name, attribute): (&str, Attribute)| (name.to_string(), self.replace(attribute));
        let attributes: Vec<_> = op.attributes().into_iter().map(replaced).collect();
        Op::from_attributes(op.name(), &attributes)
            .map_err(|error| EvalErrorKind::Internal(error.to_string()))
    }

    fn replace(&self, attribute: Attribute) -> Attribute {
        match attribute {
            Attribute::Dim(dim) => Attribute::Dim(dim.substitute(&|symbol| self.get(symbol).map(Dim::from))),
            Attribute::List(items) => {
                Attribute::List(items.into_iter().map(|item| self.replace(item)).collect())
            }
            other => other,
        }
    }
}

fn has_symbols(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Dim(dim) => dim.as_const().is_none(),
        Attribute::List(items) => items.iter().any(has_symbols),
        _ => false,
    }
}
