//! Gives symbolic extents of a module their values.

use crate::error::{Error, Place};
use crate::import::DimBinding;
use cranelift_entity::SecondaryMap;
use graven_ir::{Attribute, Constants, Dim, Function, Graph, Module, Op, Symbol, TensorType, ValueId};
use std::collections::BTreeMap;

type Values = BTreeMap<String, i64>;

/// The module with values for the symbols that the options or the shapes of inputs determine.
///
/// # Errors
/// Bad input for names that the module does not have, values outside of bounds, and shapes that fit no input or contradict each other.
pub(super) fn bind(
    module: &Module,
    dims: &BTreeMap<String, DimBinding>,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Module, Error> {
    let mut binder = Binder { symbols: &module.symbols, values: Values::new() };
    for (name, binding) in dims {
        match binding {
            DimBinding::Fixed(value) => binder.set(name, *value, || Place::new("the model"))?,
            DimBinding::Range(low, high) => binder.check_range(name, *low, *high)?,
        }
    }
    if let Some(function) = module.functions.first() {
        binder.bind_shapes(function, shapes)?;
    }
    let values = binder.values;
    if values.is_empty() {
        return Ok(module.clone());
    }
    let mut bound = module.clone();
    bound.symbols.retain(|symbol| !values.contains_key(symbol.name()));
    for function in &mut bound.functions {
        function.graph = graph(&module.constants, &function.graph, &values)?;
    }
    Ok(bound)
}

struct Binder<'m> {
    symbols: &'m [Symbol],
    values: Values,
}

impl Binder<'_> {
    fn find(&self, name: &str) -> Result<&Symbol, Error> {
        self.symbols.iter().find(|symbol| symbol.name() == name).ok_or_else(|| {
            let known: Vec<&str> = self.symbols.iter().map(Symbol::name).collect();
            let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            Error::bad_input(Place::new("the model"), format!("has no extent `{name}`; it has {known}"))
        })
    }

    fn set(&mut self, name: &str, value: i64, place: impl Fn() -> Place) -> Result<(), Error> {
        let symbol = self.find(name)?;
        let (low, high) = (symbol.lower(), symbol.upper());
        if !(low..=high).contains(&value) {
            let reason = format!("the extent `{name}` is {value}, outside {low}..={high}");
            return Err(Error::bad_input(place(), reason));
        }
        match self.values.insert(name.to_string(), value) {
            Some(first) if first != value => {
                let reason = format!("the extent `{name}` is {value} here and {first} elsewhere");
                Err(Error::bad_input(place(), reason))
            }
            _ => Ok(()),
        }
    }

    /// A text module states its ranges itself; the option may only repeat them.
    fn check_range(&self, name: &str, low: i64, high: i64) -> Result<(), Error> {
        let symbol = self.find(name)?;
        match (symbol.lower(), symbol.upper()) == (low, high) {
            true => Ok(()),
            false => {
                let reason = format!(
                    "the text says that `{name}` is in {}..={}; it can be given a value but no other range",
                    symbol.lower(),
                    symbol.upper()
                );
                Err(Error::bad_input(Place::new("the model"), reason))
            }
        }
    }

    fn bind_shapes(
        &mut self,
        function: &Function,
        shapes: &BTreeMap<String, Vec<usize>>,
    ) -> Result<(), Error> {
        for (name, shape) in shapes {
            let place = || Place::named("input", name);
            let index = function.inputs.iter().position(|input| **input == **name);
            let Some(param) = index.and_then(|index| function.graph.params().get(index)) else {
                return Err(Error::bad_input(Place::new("the model"), format!("has no input `{name}`")));
            };
            let ty = function.graph.ty(*param);
            if ty.rank() != shape.len() {
                return Err(Error::bad_input(place(), format!("must be {ty}, not of shape {shape:?}")));
            }
            for (dim, extent) in ty.shape.iter().zip(shape) {
                let extent = i64::try_from(*extent).unwrap_or(i64::MAX);
                match (dim.as_symbol(), dim.as_const()) {
                    (Some(symbol), _) => self.set(symbol.name(), extent, place)?,
                    (None, Some(expected)) if expected != extent => {
                        return Err(Error::bad_input(
                            place(),
                            format!("must be {ty}, not of shape {shape:?}"),
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn substitute(dim: &Dim, values: &Values) -> Dim {
    dim.substitute(&|symbol| values.get(symbol.name()).copied().map(Dim::from))
}

fn ty(old: &TensorType, values: &Values) -> TensorType {
    TensorType { dtype: old.dtype, shape: old.shape.iter().map(|dim| substitute(dim, values)).collect() }
}

/// The same graph over the values, with its types inferred anew.
fn graph(constants: &Constants, old: &Graph, values: &Values) -> Result<Graph, Error> {
    let internal = |reason: String| Error::internal(Place::new("binding extents"), reason);
    let mut new = Graph::new();
    let mut map: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
    for param in old.params() {
        let value = old.value(*param);
        map[*param] = Some(new.add_param(ty(&value.ty, values), value.name.as_deref()));
    }
    for id in old.order() {
        let node = old.node(id);
        let operands: Option<Vec<ValueId>> = node.operands.iter().map(|operand| map[*operand]).collect();
        let operands = operands.ok_or_else(|| internal("an operand comes after its use".into()))?;
        let regions: Result<Vec<Graph>, Error> =
            node.regions.iter().map(|region| graph(constants, region, values)).collect();
        let place = || Place::named("node", node.origin.as_deref().unwrap_or(node.op.name()));
        let bound = new
            .add_node(constants, op(&node.op, values)?, &operands, regions?, node.origin.clone())
            .map_err(|error| Error::bad_input(place(), error.to_string()))?;
        let results = new.node(bound).results.clone();
        for (old_result, result) in node.results.iter().zip(results) {
            if let Some(name) = &old.value(*old_result).name {
                new.set_name(result, name);
            }
            map[*old_result] = Some(result);
        }
    }
    let results: Option<Vec<ValueId>> = old.results().iter().map(|result| map[*result]).collect();
    new.set_results(results.ok_or_else(|| internal("a result is not defined".into()))?);
    Ok(new)
}

fn op(old: &Op, values: &Values) -> Result<Op, Error> {
    if !old.attributes().iter().any(|(_, attribute)| is_symbolic(attribute)) {
        return Ok(old.clone());
    }
    let attributes: Vec<(String, Attribute)> = old
        .attributes()
        .into_iter()
        .map(|(name, attribute)| (name.to_string(), replace(attribute, values)))
        .collect();
    Op::from_attributes(old.name(), &attributes)
        .map_err(|error| Error::internal(Place::named("op", old.name()), error.to_string()))
}

fn is_symbolic(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Dim(dim) => dim.as_const().is_none(),
        Attribute::List(items) => items.iter().any(is_symbolic),
        _ => false,
    }
}

fn replace(attribute: Attribute, values: &Values) -> Attribute {
    match attribute {
        Attribute::Dim(dim) => Attribute::Dim(substitute(&dim, values)),
        Attribute::List(items) => {
            Attribute::List(items.into_iter().map(|item| replace(item, values)).collect())
        }
        other => other,
    }
}
