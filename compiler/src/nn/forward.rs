//! What layers build their graph with: parameters by path, states, random numbers.

use super::NnError;
use crate::train::Initializer;
use crate::train::random::{self, RANDOM_KEY};
use graven_ir::{ConstantId, DType, Dim, GraphBuilder, Op, Shape, TensorType, ValueId};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value that a layer builds.
pub type Built = Result<ValueId, NnError>;

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops, batch normalisation uses the batch's statistics and keeps track of them.
    Training,
    /// Dropout does nothing, batch normalisation uses the running statistics.
    Evaluation,
}

/// The parameters of a model: what all its functions share.
#[derive(Clone, Debug)]
pub(super) struct Table {
    seed: u64,
    names: BTreeMap<String, ConstantId>,
}

/// A function under construction.
///
/// It is a [`GraphBuilder`] that also knows parameters by name. A name is the path of [`Forward::scope`]s and the layer's own word, joined by dots as in
/// PyTorch: `layers.0.weight`. The second layer that asks for a name gets the same parameter.
pub struct Forward<'m> {
    builder: GraphBuilder<'m>,
    table: &'m mut Table,
    mode: Mode,
    mode_matters: bool,
    path: Vec<String>,
    substitutes: BTreeMap<String, ValueId>,
    /// Whether parameters are states, which the function itself trains.
    trains: bool,
    pub(super) states: Vec<StateValue>,
    /// Blocks of the generator that were used.
    blocks: u64,
}

/// A state of the function and its value so far.
pub(super) struct StateValue {
    pub(super) name: Arc<str>,
    first: ValueId,
    pub(super) current: ValueId,
    pub(super) is_parameter: bool,
}

impl Table {
    pub(super) fn new(seed: u64) -> Table {
        Table { seed, names: BTreeMap::new() }
    }
}

impl<'m> Deref for Forward<'m> {
    type Target = GraphBuilder<'m>;

    fn deref(&self) -> &GraphBuilder<'m> {
        &self.builder
    }
}

impl<'m> DerefMut for Forward<'m> {
    fn deref_mut(&mut self) -> &mut GraphBuilder<'m> {
        &mut self.builder
    }
}

impl<'m> Forward<'m> {
    pub(super) fn new(builder: GraphBuilder<'m>, table: &'m mut Table, mode: Mode) -> Forward<'m> {
        Forward {
            builder,
            table,
            mode,
            mode_matters: false,
            path: Vec::new(),
            substitutes: BTreeMap::new(),
            trains: false,
            states: Vec::new(),
            blocks: 0,
        }
    }

    /// A function whose parameters are states.
    pub(super) fn with_states(builder: GraphBuilder<'m>, table: &'m mut Table) -> Forward<'m> {
        Forward { trains: true, ..Forward::new(builder, table, Mode::Training) }
    }

    /// Whether the function is for training. A model for which nobody asks has one function for both.
    pub fn is_training(&mut self) -> bool {
        self.mode_matters = true;
        self.mode == Mode::Training
    }

    /// Builds under a longer path.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn scope<T>(
        &mut self,
        name: impl Into<String>,
        build: impl FnOnce(&mut Self) -> Result<T, NnError>,
    ) -> Result<T, NnError> {
        self.path.push(name.into());
        let origin = self.path.join(".");
        self.builder.set_origin(Some(origin.into()));
        let built = build(self);
        self.path.pop();
        let origin = self.path.join(".");
        self.builder.set_origin(Some(origin.into()).filter(|path: &Arc<str>| !path.is_empty()));
        built
    }

    /// Builds with values in the place of parameters, by their full names: the same layers as a function of other weights, as meta-learning has it.
    ///
    /// # Errors
    /// Those of `build`; a value of another type than its parameter.
    pub fn with_parameters<T>(
        &mut self,
        values: BTreeMap<String, ValueId>,
        build: impl FnOnce(&mut Self) -> Result<T, NnError>,
    ) -> Result<T, NnError> {
        let outer = std::mem::replace(&mut self.substitutes, values);
        let built = build(self);
        self.substitutes = outer;
        built
    }

    /// A parameter of the layer. The first function that asks for it draws its first values.
    ///
    /// # Errors
    /// [`NnError::Layer`] if it exists with another shape or dtype; [`NnError::Draw`].
    pub fn parameter(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[usize],
        initializer: Initializer,
    ) -> Built {
        let name = self.full_name(name);
        let found = match self.substitutes.get(&name).copied() {
            Some(value) => value,
            None if self.trains => self.trained(&name, dtype, shape, initializer)?,
            None => {
                let id = self.constant_of(&name, dtype, shape, initializer)?;
                self.builder.op(Op::Constant { id }, &[])?
            }
        };
        let expected = TensorType { dtype, shape: dims(shape) };
        match *self.ty(found) == expected {
            true => Ok(found),
            false => {
                let found = self.ty(found).clone();
                self.refuse(format!("the parameter `{name}` is {found} elsewhere, {expected} here"))
            }
        }
    }

    /// A value that goes on from step to step: a state of the function in training, a constant in evaluation.
    ///
    /// # Errors
    /// Those of [`Forward::parameter`].
    pub fn state(&mut self, name: &str, dtype: DType, shape: &[usize], initializer: Initializer) -> Built {
        let full = self.full_name(name);
        if !self.is_training() {
            return self.parameter(name, dtype, shape, initializer);
        }
        if let Some(state) = self.states.iter().find(|state| *state.name == *full) {
            return Ok(state.current);
        }
        self.constant_of(&full, dtype, shape, initializer)?;
        Ok(self.add_state(&full, TensorType { dtype, shape: dims(shape) }))
    }

    /// The new value of what [`Forward::state`] gave. Nothing happens in evaluation.
    ///
    /// # Errors
    /// [`NnError::Layer`] for another type than the state's.
    pub fn update(&mut self, name: &str, value: ValueId) -> Result<(), NnError> {
        let full = self.full_name(name);
        let Some(place) = self.states.iter().position(|state| *state.name == *full) else { return Ok(()) };
        let (old, new) = (self.ty(self.states[place].first).clone(), self.ty(value).clone());
        match old == new {
            true => {
                self.states[place].current = value;
                Ok(())
            }
            false => self.refuse(format!("the state `{full}` is {old}, its new value {new}")),
        }
    }

    /// A key for a draw of so many words; see [`random`]. Each draw of a run has its own, and each run goes on where the last one ended.
    ///
    /// # Errors
    /// Our bug.
    pub fn key(&mut self, words: u64) -> Built {
        let key = match self.states.iter().find(|state| *state.name == *RANDOM_KEY) {
            Some(state) => state.first,
            None => self.add_state(RANDOM_KEY, TensorType { dtype: DType::U64, shape: dims(&[2]) }),
        };
        let own = random::advance(&mut self.builder, key, self.blocks)?;
        self.blocks = self.blocks.saturating_add(random::blocks(words));
        Ok(own)
    }

    /// Standard normal numbers.
    ///
    /// # Errors
    /// [`NnError::Layer`] for extents that are not known.
    pub fn normal(&mut self, shape: &[Dim], dtype: DType) -> Built {
        let words = self.count(shape)?.saturating_mul(2);
        let key = self.key(words)?;
        let drawn = random::normal(&mut self.builder, key, shape)?;
        Ok(self.builder.cast(drawn, dtype)?)
    }

    /// Uniform numbers in 0..1.
    ///
    /// # Errors
    /// [`NnError::Layer`] for extents that are not known.
    pub fn uniform(&mut self, shape: &[Dim], dtype: DType) -> Built {
        let words = self.count(shape)?;
        let key = self.key(words)?;
        Ok(random::uniform(&mut self.builder, key, shape, dtype)?)
    }

    /// True with a probability.
    ///
    /// # Errors
    /// [`NnError::Layer`] for extents that are not known.
    pub fn bernoulli(&mut self, shape: &[Dim], probability: f64) -> Built {
        let words = self.count(shape)?;
        let key = self.key(words)?;
        Ok(random::bernoulli(&mut self.builder, key, shape, probability)?)
    }

    /// 0..count in random order.
    ///
    /// # Errors
    /// Our bug.
    pub fn permutation(&mut self, count: usize) -> Built {
        let key = self.key(2 * count as u64)?;
        Ok(random::permutation(&mut self.builder, key, &Dim::from(count as i64))?)
    }

    /// The extent of a dimension that a layer's parameters depend on.
    ///
    /// # Errors
    /// [`NnError::Layer`] if there is no such dimension or its extent is not known.
    pub fn extent(&self, x: ValueId, axis: usize) -> Result<usize, NnError> {
        let extent = self.ty(x).shape.get(axis).and_then(Dim::as_const);
        match extent.and_then(|extent| usize::try_from(extent).ok()) {
            Some(extent) => Ok(extent),
            None => self.refuse(format!("needs to know dimension {axis} of {}", self.ty(x))),
        }
    }

    /// The error of a layer that does not fit what it is given.
    ///
    /// # Errors
    /// Always.
    pub fn refuse<T>(&self, reason: impl Into<String>) -> Result<T, NnError> {
        let path = if self.path.is_empty() { "the model".into() } else { self.path.join(".") };
        Err(NnError::Layer { path, reason: reason.into() })
    }

    /// The value so far of a parameter that is a state.
    fn trained(&mut self, name: &str, dtype: DType, shape: &[usize], initializer: Initializer) -> Built {
        if let Some(state) = self.states.iter().find(|state| *state.name == *name) {
            return Ok(state.current);
        }
        self.constant_of(name, dtype, shape, initializer)?;
        let value = self.add_state(name, TensorType { dtype, shape: dims(shape) });
        if let Some(state) = self.states.last_mut() {
            state.is_parameter = true;
        }
        Ok(value)
    }

    fn count(&self, shape: &[Dim]) -> Result<u64, NnError> {
        let product = shape
            .iter()
            .try_fold(1u64, |product, extent| product.checked_mul(u64::try_from(extent.as_const()?).ok()?));
        match product {
            Some(count) => Ok(count),
            None => self.refuse("random numbers need a shape that is known"),
        }
    }

    fn full_name(&self, name: &str) -> String {
        self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    fn constant_of(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[usize],
        initializer: Initializer,
    ) -> Result<ConstantId, NnError> {
        if let Some(id) = self.table.names.get(name) {
            return Ok(*id);
        }
        let stream = self.table.names.len() as u64;
        let tensor = initializer.tensor(dtype, shape, self.table.seed, stream)?;
        let value = self.builder.named_constant(name, tensor)?;
        let graph = self.builder.graph();
        match graph.defining_node(value).map(|node| &graph.node(node).op) {
            Some(Op::Constant { id }) => {
                let id = *id;
                self.table.names.insert(name.into(), id);
                Ok(id)
            }
            _ => self.refuse(format!("the parameter `{name}` is no constant")),
        }
    }

    pub(super) fn add_state(&mut self, name: &str, ty: TensorType) -> ValueId {
        let first = self.builder.param(ty, Some(name));
        self.states.push(StateValue { name: name.into(), first, current: first, is_parameter: false });
        first
    }

    /// The graph with the states after the results, the states' names, whether the mode matters.
    pub(super) fn finish(
        mut self,
        mut results: Vec<ValueId>,
    ) -> Result<(graven_ir::Graph, Vec<Arc<str>>, bool), NnError> {
        if let Some(place) = self.states.iter().position(|state| *state.name == *RANDOM_KEY) {
            let key = self.states[place].first;
            self.states[place].current = random::advance(&mut self.builder, key, self.blocks)?;
        }
        results.extend(self.states.iter().map(|state| state.current));
        let names = self.states.into_iter().map(|state| state.name).collect();
        Ok((self.builder.finish(results), names, self.mode_matters))
    }
}

/// Known extents as a shape.
pub(super) fn dims(shape: &[usize]) -> Shape {
    shape.iter().map(|extent| Dim::from(*extent as i64)).collect()
}
