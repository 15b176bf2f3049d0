//! Models: functions over shared parameters, and their weights.

use super::forward::Table;
use super::{Built, Forward, Mode, NnError};
use crate::train::TRAIN;
use crate::train::random::{self, RANDOM_KEY};
use graven_ir::weights::{WeightsError, WeightsFile, write_weights};
use graven_ir::{Function, GraphBuilder, Module, Symbol, Tensor, TensorType, ValueId};
use std::path::Path;
use std::sync::Arc;

/// Named values of a function.
pub type Outputs = Vec<(String, ValueId)>;

/// Builds a module function by function.
#[derive(Clone, Debug)]
pub struct ModelBuilder {
    module: Module,
    table: Table,
}

impl ModelBuilder {
    /// A model without functions. First values of parameters depend on the seed.
    pub fn new(name: &str, seed: u64) -> ModelBuilder {
        let module = Module { name: name.into(), ..Module::default() };
        ModelBuilder { module, table: Table::new(seed) }
    }

    /// Adds a function with named inputs; `build` gives its named outputs. Gives whether the function depends on the mode.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn function(
        &mut self,
        name: &str,
        mode: Mode,
        inputs: &[(&str, TensorType)],
        build: impl FnOnce(&mut Forward<'_>, &[ValueId]) -> Result<Outputs, NnError>,
    ) -> Result<bool, NnError> {
        self.add(name, inputs, |builder, table| Forward::new(builder, table, mode), build)
    }

    /// Adds a function in training mode that trains parameters itself: they are states of it, which [`Forward::minimise`] updates. Their first values are those
    /// of [`initial_states`].
    ///
    /// # Errors
    /// Those of `build`.
    pub fn step(
        &mut self,
        name: &str,
        inputs: &[(&str, TensorType)],
        build: impl FnOnce(&mut Forward<'_>, &[ValueId]) -> Result<Outputs, NnError>,
    ) -> Result<(), NnError> {
        self.add(name, inputs, |builder, table| Forward::with_states(builder, table), build).map(|_| ())
    }

    fn add(
        &mut self,
        name: &str,
        inputs: &[(&str, TensorType)],
        forward: impl for<'f> FnOnce(GraphBuilder<'f>, &'f mut Table) -> Forward<'f>,
        build: impl FnOnce(&mut Forward<'_>, &[ValueId]) -> Result<Outputs, NnError>,
    ) -> Result<bool, NnError> {
        for (_, ty) in inputs {
            ty.shape.iter().for_each(|extent| extent.for_each_symbol(&mut |symbol| self.add_symbol(symbol)));
        }
        let mut builder = GraphBuilder::new(&mut self.module.constants);
        let params: Vec<ValueId> =
            inputs.iter().map(|(name, ty)| builder.param(ty.clone(), Some(name))).collect();
        let mut forward = forward(builder, &mut self.table);
        let (names, values): (Vec<String>, Vec<ValueId>) = build(&mut forward, &params)?.into_iter().unzip();
        let (mut graph, states, mode_matters) = forward.finish(values)?;
        graph.compact();
        self.module.functions.push(Function {
            name: name.into(),
            graph,
            inputs: inputs.iter().map(|(name, _)| (*name).into()).collect(),
            outputs: names.into_iter().map(Arc::from).collect(),
            states,
        });
        Ok(mode_matters)
    }

    fn add_symbol(&mut self, symbol: &Symbol) {
        if !self.module.symbols.contains(symbol) {
            self.module.symbols.push(symbol.clone());
        }
    }

    /// The module.
    pub fn finish(self) -> Module {
        self.module
    }
}

/// A model with one output, `output`: a module with the function `main` for evaluation and, if anything in it depends on the mode, `train` for training.
///
/// # Errors
/// Those of `build`, which is called once for each of the two.
pub fn model(
    name: &str,
    seed: u64,
    inputs: &[(&str, TensorType)],
    build: impl Fn(&mut Forward<'_>, &[ValueId]) -> Built,
) -> Result<Module, NnError> {
    let mut builder = ModelBuilder::new(name, seed);
    let output = |f: &mut Forward<'_>, x: &[ValueId]| Ok(vec![("output".to_string(), build(f, x)?)]);
    if builder.function("main", Mode::Evaluation, inputs, output)? {
        builder.function(TRAIN, Mode::Training, inputs, output)?;
    }
    Ok(builder.finish())
}

/// The parameters and running statistics of a module by name.
pub fn state_dict(module: &Module) -> Vec<(Arc<str>, Tensor)> {
    let named = module.constants.values().filter(|constant| !constant.name.is_empty());
    named.map(|constant| (constant.name.clone(), constant.tensor.clone())).collect()
}

/// Sets the parameters and running statistics of a module. Names that are no constants of the module are refused, and so are constants that have no value
/// if `strict`.
///
/// # Errors
/// [`NnError::Weights`] for such a name, or another shape or dtype.
pub fn load_state_dict(
    module: &mut Module,
    values: &[(Arc<str>, Tensor)],
    strict: bool,
) -> Result<(), NnError> {
    let refuse = |name: &str, reason: String| NnError::Weights { name: name.into(), reason };
    for (name, value) in values {
        let mut constants = module.constants.values_mut();
        let constant = constants.find(|constant| constant.name == *name);
        let constant = constant.ok_or_else(|| refuse(name, "is no parameter of the model".into()))?;
        if constant.tensor.ty() != value.ty() {
            let reason = format!("must be {}, not {}", constant.tensor.ty(), value.ty());
            return Err(refuse(name, reason));
        }
        constant.tensor = value.clone();
    }
    let given = |name: &Arc<str>| name.is_empty() || values.iter().any(|(other, _)| other == name);
    match module.constants.values().find(|constant| !given(&constant.name)) {
        Some(constant) if strict => Err(refuse(&constant.name, "has no value".into())),
        _ => Ok(()),
    }
}

/// The module with only one of its functions, for compilation.
///
/// # Errors
/// [`NnError::Weights`] if there is no function of the name.
pub fn only(module: &Module, function: &str) -> Result<Module, NnError> {
    let found = module.functions.iter().find(|other| other.name == function).cloned();
    let missing = || NnError::Weights { name: function.into(), reason: "is no function of the model".into() };
    Ok(Module { functions: vec![found.ok_or_else(missing)?], ..module.clone() })
}

/// First values of the states of the module's first function: constants of the same name, the key of a seed for [`RANDOM_KEY`], or zeros.
///
/// # Errors
/// [`NnError::Weights`] for a state whose shape is not known.
pub fn initial_states(module: &Module, seed: u64) -> Result<Vec<(Arc<str>, Tensor)>, NnError> {
    let Some(function) = module.functions.first() else { return Ok(Vec::new()) };
    let params = function.graph.params().iter().skip(function.inputs.len());
    let mut states = Vec::with_capacity(function.states.len());
    for (name, param) in function.states.iter().zip(params) {
        let ty = function.graph.ty(*param);
        let constant = module.constants.values().find(|constant| constant.name == *name);
        let first = match (constant, ty.const_shape()) {
            (Some(constant), _) => constant.tensor.clone(),
            (None, _) if **name == *RANDOM_KEY => random::key(seed, random::FIRST_BLOCK),
            (None, Some(shape)) => {
                let bytes = vec![0; ty.dtype.bytes() * shape.iter().product::<usize>()];
                let refuse = |reason: String| NnError::Weights { name: name.to_string(), reason };
                Tensor::new(ty.dtype, shape, bytes).map_err(|error| refuse(error.to_string()))?
            }
            (None, None) => {
                let reason = "has a shape that is not known".into();
                return Err(NnError::Weights { name: name.to_string(), reason });
            }
        };
        states.push((name.clone(), first));
    }
    Ok(states)
}

/// Writes tensors to a safetensors file, which takes its name only when it is complete.
///
/// # Errors
/// See [`WeightsError`].
pub fn save(path: &Path, values: &[(Arc<str>, Tensor)]) -> Result<(), WeightsError> {
    let named: Vec<(&str, &Tensor)> = values.iter().map(|(name, tensor)| (&**name, tensor)).collect();
    write_weights(path, &named)
}

/// The tensors of a safetensors file.
///
/// # Errors
/// See [`WeightsError`].
pub fn load(bytes: Vec<u8>) -> Result<Vec<(Arc<str>, Tensor)>, WeightsError> {
    let file = WeightsFile::parse(bytes)?;
    file.names().into_iter().map(|name| Ok((Arc::from(name.as_str()), file.tensor(&name)?))).collect()
}
