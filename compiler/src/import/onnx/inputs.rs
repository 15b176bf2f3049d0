//! Inputs of a model: parameters of the function, with their extents bound or symbolic.
//!
//! A sequence `x` becomes the parameters `x.0`, `x.1`, …, as many as the options give shapes or values for; an optional input exists if the
//! options give it a shape or a value.

use super::failure::{Failure, Result};
use super::proto::{
    Dimension, DimensionValue, ElementTypeProto, GraphProto, TensorShapeProto, TensorTypeProto, TypeValue,
    ValueInfoProto,
};
use super::tensor::dtype_of;
use crate::error::{Error, Place};
use crate::import::{DimBinding, ImportOptions};
use graven_ir::{DType, Dim, MAX_ELEMENTS, Shape, Symbol, TensorType};
use rustc_hash::FxHashSet;
use std::ops::Range;

/// The parameters that an input becomes.
pub(super) enum Input {
    /// One.
    Tensor(usize),
    /// One for each item.
    Sequence(Range<usize>),
    /// None, for an optional without a value.
    Nothing,
}

/// What the inputs become, and the symbols in their types in the order of their first use.
pub(super) struct Inputs<'p> {
    /// The inputs by name.
    pub(super) inputs: Vec<(&'p str, Input)>,
    /// Names and types of the parameters.
    pub(super) types: Vec<(String, TensorType)>,
    /// Symbols.
    pub(super) symbols: Vec<Symbol>,
}

/// The name of an item of a sequence that is an input or output.
pub(super) fn item_name(sequence: &str, place: usize) -> String {
    format!("{sequence}.{place}")
}

/// The inputs of a graph that are not initialisers.
pub(super) fn real_inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let mut constants: FxHashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    constants.extend(graph.sparse_initializer.iter().filter_map(|s| Some(s.values.as_ref()?.name.as_str())));
    graph.input.iter().filter(move |input| !constants.contains(input.name.as_str()))
}

/// Binds the extents of a model's inputs.
///
/// # Errors
/// Bad input where an extent has neither a value nor a range, or options name what the model does not have; unsupported where an
/// input is no tensor.
pub(super) fn bind_inputs<'p>(
    graph: &'p GraphProto,
    options: &ImportOptions,
) -> std::result::Result<Inputs<'p>, Error> {
    let mut binder =
        Binder { options, types: Vec::new(), symbols: Vec::new(), names: Vec::new(), missing: Vec::new() };
    let mut inputs = Vec::new();
    for input in real_inputs(graph) {
        let place = || Place::named("input", &input.name);
        let bound = binder.input(input).map_err(|failure: Failure| failure.at(place()))?;
        inputs.push((input.name.as_str(), bound));
    }
    let mut seen = FxHashSet::default();
    let names = inputs.iter().filter(|(_, input)| !matches!(input, Input::Tensor(_))).map(|(name, _)| *name);
    if let Some(name) =
        names.chain(binder.types.iter().map(|(name, _)| name.as_str())).find(|name| !seen.insert(*name))
    {
        return Err(Error::bad_input(Place::named("input", name), "is listed twice"));
    }
    binder.check()?;
    Ok(Inputs { inputs, types: binder.types, symbols: binder.symbols })
}

struct Binder<'o> {
    options: &'o ImportOptions,
    types: Vec<(String, TensorType)>,
    symbols: Vec<Symbol>,
    /// Every named extent of the model.
    names: Vec<String>,
    /// Named extents without a value.
    missing: Vec<String>,
}

impl Binder<'_> {
    /// Binds an input, whatever its type.
    fn input(&mut self, input: &ValueInfoProto) -> Result<Input> {
        let unsupported = || Err(Failure::Unsupported("is no dense tensor, which is not supported".into()));
        let element = |ty: &ElementTypeProto| ty.elem_type.as_ref().and_then(|ty| ty.value.clone());
        let name = input.name.as_str();
        match input.r#type.as_ref().and_then(|ty| ty.value.as_ref()) {
            None => Err(Failure::BadInput("has no type".into())),
            Some(TypeValue::TensorType(tensor)) => {
                self.parameter(name.to_string(), tensor).map(Input::Tensor)
            }
            Some(TypeValue::SequenceType(ty)) => match element(ty) {
                Some(TypeValue::TensorType(tensor)) => self.sequence(name, &tensor),
                _ => unsupported(),
            },
            Some(TypeValue::OptionalType(ty)) => match element(ty) {
                Some(TypeValue::TensorType(tensor)) if self.is_given(name) => {
                    self.parameter(name.to_string(), &tensor).map(Input::Tensor)
                }
                Some(TypeValue::SequenceType(ty)) if self.is_given(&item_name(name, 0)) => match element(&ty)
                {
                    Some(TypeValue::TensorType(tensor)) => self.sequence(name, &tensor),
                    _ => unsupported(),
                },
                _ => Ok(Input::Nothing),
            },
            Some(TypeValue::MapType(_) | TypeValue::SparseTensorType(_)) => unsupported(),
        }
    }

    /// Whether the options have a shape or a value for a parameter.
    fn is_given(&self, name: &str) -> bool {
        self.options.inputs.contains_key(name) || self.options.input_shapes.contains_key(name)
    }

    /// The items of a sequence.
    fn sequence(&mut self, name: &str, tensor: &TensorTypeProto) -> Result<Input> {
        let start = self.types.len();
        while self.is_given(&item_name(name, self.types.len() - start)) {
            self.parameter(item_name(name, self.types.len() - start), tensor)?;
        }
        Ok(Input::Sequence(start..self.types.len()))
    }

    /// Adds a parameter.
    fn parameter(&mut self, name: String, tensor: &TensorTypeProto) -> Result<usize> {
        let ty = self.tensor(&name, tensor)?;
        self.types.push((name, ty));
        Ok(self.types.len() - 1)
    }

    /// The type of a parameter.
    fn tensor(&mut self, name: &str, tensor: &TensorTypeProto) -> Result<TensorType> {
        let bad = |reason: &str| Failure::BadInput(reason.into());
        let dtype = dtype_of(tensor.elem_type).map_err(Failure::Unsupported)?;
        let given = self.options.inputs.get(name);
        if let Some(given) = given.filter(|given| given.dtype() != dtype) {
            return Err(Failure::BadInput(format!("must be {dtype}, not {}", given.dtype())));
        }
        let actual = match given {
            Some(tensor) => Some(tensor.shape()),
            None => self.options.input_shapes.get(name).map(Vec::as_slice),
        };
        match (&tensor.shape, actual) {
            (Some(declared), Some(actual)) => {
                self.remember_names(name, declared);
                check_shape(declared, actual)?;
                Ok(TensorType::new(dtype, actual.iter().copied()))
            }
            (None, Some(actual)) => Ok(TensorType::new(dtype, actual.iter().copied())),
            (Some(declared), None) => self.symbolic(name, declared, dtype),
            (None, None) => Err(bad("has no declared rank; an actual input must give its shape")),
        }
    }

    fn remember_names(&mut self, input: &str, declared: &TensorShapeProto) {
        for (axis, dimension) in declared.dim.iter().enumerate() {
            self.names.extend(extent_name(input, axis, dimension).err());
        }
    }

    fn symbolic(&mut self, input: &str, declared: &TensorShapeProto, dtype: DType) -> Result<TensorType> {
        let mut shape = Shape::new();
        for (axis, dimension) in declared.dim.iter().enumerate() {
            shape.push(match extent_name(input, axis, dimension) {
                Ok(extent) => Dim::from(extent),
                Err(name) => self.named(name)?,
            });
        }
        let ty = TensorType { dtype, shape };
        match ty.checked_upper_elements() {
            Some(_) => Ok(ty),
            None => Err(Failure::BadInput(format!("has too many elements: {ty}"))),
        }
    }

    /// The extent of a name.
    fn named(&mut self, name: String) -> Result<Dim> {
        let binding = self.options.dims.get(&name).copied();
        if !self.names.contains(&name) {
            self.names.push(name.clone());
        }
        match binding {
            Some(DimBinding::Fixed(value)) if (0..=MAX_ELEMENTS).contains(&value) => Ok(Dim::from(value)),
            Some(DimBinding::Range(low, high)) if 0 <= low && low <= high && high <= MAX_ELEMENTS => {
                let symbol = Symbol::new(name, low, high);
                if low < high && !self.symbols.contains(&symbol) {
                    self.symbols.push(symbol.clone());
                }
                Ok(Dim::from(symbol))
            }
            Some(_) => Err(Failure::BadInput(format!("the value of `{name}` is no possible extent"))),
            None => {
                if !self.missing.contains(&name) {
                    self.missing.push(name);
                }
                Ok(Dim::ONE)
            }
        }
    }

    /// Every name has a value, and options name only what is there.
    fn check(&self) -> std::result::Result<(), Error> {
        let model = || Place::new("the model");
        if !self.missing.is_empty() {
            let flags: Vec<String> = self.missing.iter().map(|name| format!("`--dim {name}=…`")).collect();
            let reason =
                format!("extents without a value; give {} (a number or a range 1..=N)", flags.join(", "));
            return Err(Error::bad_input(model(), reason));
        }
        if let Some(name) = self.options.dims.keys().find(|name| !self.names.contains(name)) {
            let known = if self.names.is_empty() { "none".into() } else { self.names.join(", ") };
            return Err(Error::bad_input(model(), format!("has no extent `{name}`; it has {known}")));
        }
        let given = self.options.inputs.keys().chain(self.options.input_shapes.keys());
        match given.into_iter().find(|name| !self.types.iter().any(|(known, _)| known == *name)) {
            Some(name) => Err(Error::bad_input(model(), format!("has no input `{name}`"))),
            None => Ok(()),
        }
    }
}

/// The number that an extent is, or its name. Negative numbers mean the same as no number.
pub(super) fn extent_name(
    input: &str,
    axis: usize,
    dimension: &Dimension,
) -> std::result::Result<i64, String> {
    match &dimension.value {
        Some(DimensionValue::DimValue(value)) if *value >= 0 => Ok(*value),
        Some(DimensionValue::DimParam(name)) if !name.is_empty() => Err(name.clone()),
        _ => Err(format!("{input}_{axis}")),
    }
}

/// An actual shape must agree with the declared rank and numbers.
fn check_shape(declared: &TensorShapeProto, actual: &[usize]) -> Result<()> {
    let fits = |(dimension, extent): (&Dimension, &usize)| match dimension.value {
        Some(DimensionValue::DimValue(value)) => value < 0 || usize::try_from(value) == Ok(*extent),
        _ => true,
    };
    match declared.dim.len() == actual.len() && declared.dim.iter().zip(actual).all(fits) {
        true => Ok(()),
        false => {
            let name = |(axis, dimension)| {
                extent_name("", axis, dimension).map_or_else(
                    |name| if name.starts_with('_') { "?".into() } else { name },
                    |extent| extent.to_string(),
                )
            };
            let declared: Vec<String> = declared.dim.iter().enumerate().map(name).collect();
            Err(Failure::BadInput(format!("must have the shape [{}], not {actual:?}", declared.join(", "))))
        }
    }
}
