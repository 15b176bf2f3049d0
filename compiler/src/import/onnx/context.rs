//! What the translation of one node sees: inputs, attributes and the graph under construction.

use super::failure::{Failure, Result, bad_input, unsupported};
use super::graph::{Frame, Importer};
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type as kind};
use super::scope::{Arg, Item, Known, LazyConstant, Scope};
use super::symbolic::SymbolicTensor;
use graven_ir::{DType, Dim, GraphBuilder, Shape, Tensor, ValueId};
use smallvec::SmallVec;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A node that is being translated. It derefs to the builder of the graph.
pub(super) struct NodeContext<'c, 'm, 'p> {
    pub(super) importer: &'c mut Importer<'p>,
    pub(super) scope: &'c mut Scope<'m>,
    pub(super) frame: &'c Frame<'p>,
    pub(super) node: &'p NodeProto,
    pub(super) inputs: SmallVec<[Option<Arg>; 4]>,
    /// Version of the node's operator domain.
    pub(super) opset: i64,
}

impl<'m> Deref for NodeContext<'_, 'm, '_> {
    type Target = GraphBuilder<'m>;

    fn deref(&self) -> &GraphBuilder<'m> {
        &self.scope.builder
    }
}

impl<'m> DerefMut for NodeContext<'_, 'm, '_> {
    fn deref_mut(&mut self) -> &mut GraphBuilder<'m> {
        &mut self.scope.builder
    }
}

/// One result of a node.
pub(super) enum Output {
    /// A value of the graph.
    Value(ValueId),
    /// A tensor of known elements.
    Symbolic(SymbolicTensor),
    /// A constant.
    Constant(Tensor),
    /// An input as it is.
    Same(Arg),
    /// A sequence.
    Sequence(Vec<Arg>),
    /// An optional without a value.
    Nothing,
}

/// The results of a node, in order.
pub(super) struct Outputs(pub(super) SmallVec<[Output; 1]>);

impl<T: Into<Output>> From<T> for Outputs {
    fn from(output: T) -> Outputs {
        Outputs(smallvec::smallvec![output.into()])
    }
}

impl From<ValueId> for Output {
    fn from(value: ValueId) -> Output {
        Output::Value(value)
    }
}

impl From<Tensor> for Output {
    fn from(tensor: Tensor) -> Output {
        Output::Constant(tensor)
    }
}

impl From<SymbolicTensor> for Output {
    fn from(tensor: SymbolicTensor) -> Output {
        Output::Symbolic(tensor)
    }
}

impl Outputs {
    /// Several values.
    pub(super) fn values(values: impl IntoIterator<Item = ValueId>) -> Outputs {
        Outputs(values.into_iter().map(Output::Value).collect())
    }
}

/// Translates a node.
pub(super) type Handler = fn(&mut NodeContext<'_, '_, '_>) -> Result<Outputs>;

/// The dimension that `axis` names, counted from the end if negative.
pub(super) fn normalize_axis(axis: i64, rank: usize) -> Result<usize> {
    let signed = rank as i64;
    match (-signed..signed).contains(&axis) {
        true => Ok(axis.rem_euclid(signed) as usize),
        false => bad_input(format!("axis {axis} is outside a tensor of rank {rank}")),
    }
}

/// Distinct dimensions in increasing order.
pub(super) fn normalize_axes(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut normalized = Vec::with_capacity(axes.len().min(rank));
    for axis in axes {
        let axis = normalize_axis(*axis, rank)?;
        if normalized.contains(&axis) {
            return bad_input(format!("axis {axis} is named twice"));
        }
        normalized.push(axis);
    }
    normalized.sort_unstable();
    Ok(normalized)
}

impl<'p> NodeContext<'_, '_, 'p> {
    /// Whether an input is there.
    pub(super) fn has(&self, place: usize) -> bool {
        self.inputs.get(place).is_some_and(Option::is_some)
    }

    /// A required input.
    pub(super) fn arg(&self, place: usize) -> Result<Arg> {
        let input = self.inputs.get(place).copied().flatten();
        input.ok_or_else(|| Failure::BadInput(format!("input {place} is missing")))
    }

    /// A required input as a value of the graph.
    pub(super) fn value(&mut self, place: usize) -> Result<ValueId> {
        let arg = self.arg(place)?;
        self.value_of(arg)
    }

    /// An item as a value of the graph.
    pub(super) fn value_of(&mut self, arg: Arg) -> Result<ValueId> {
        match self.scope.value(arg)? {
            Some(value) => Ok(value),
            None => bad_input("takes a tensor, but gets a sequence or an empty optional"),
        }
    }

    /// An input that may be left out.
    pub(super) fn optional(&mut self, place: usize) -> Result<Option<ValueId>> {
        match self.has(place) {
            true => self.value(place).map(Some),
            false => Ok(None),
        }
    }

    /// All inputs, none of which may be left out.
    pub(super) fn values(&mut self) -> Result<Vec<ValueId>> {
        (0..self.inputs.len()).map(|place| self.value(place)).collect()
    }

    /// Extents of an input, without building it.
    pub(super) fn input_shape(&self, place: usize) -> Result<Shape> {
        let arg = self.arg(place)?;
        match self.scope.ty(arg) {
            Some(ty) => Ok(ty.shape.clone()),
            None => bad_input(format!("input {place} is no tensor")),
        }
    }

    /// Element type of an input, without building it.
    pub(super) fn input_dtype(&self, place: usize) -> Result<DType> {
        let arg = self.arg(place)?;
        match self.scope.ty(arg) {
            Some(ty) => Ok(ty.dtype),
            None => bad_input(format!("input {place} is no tensor")),
        }
    }

    /// The elements of an input as formulas, if they are known.
    pub(super) fn symbolic(&mut self, place: usize) -> Result<Option<Rc<SymbolicTensor>>> {
        let arg = self.arg(place)?;
        if let Some(tensor) = self.scope.symbolic(arg) {
            return Ok(Some(tensor));
        }
        let constant = self.scope.constant(arg);
        Ok(constant.and_then(|tensor| SymbolicTensor::from_tensor(&tensor)).map(Rc::new))
    }

    /// The elements of an integer input as extents; `what` names the input in the message where they depend on data.
    pub(super) fn dims(&mut self, place: usize, what: &str) -> Result<Vec<Dim>> {
        match self.symbolic(place)?.and_then(|tensor| tensor.to_dims()) {
            Some(dims) => Ok(dims),
            None => unsupported(format!("{what} depends on data")),
        }
    }

    /// An input of one element as an extent.
    pub(super) fn dim(&mut self, place: usize, what: &str) -> Result<Dim> {
        match self.dims(place, what)?.as_slice() {
            [dim] => Ok(dim.clone()),
            dims => bad_input(format!("{what} has {} elements instead of one", dims.len())),
        }
    }

    /// An input's constant value.
    pub(super) fn constant_input(&mut self, place: usize, what: &str) -> Result<Tensor> {
        let arg = self.arg(place)?;
        match self.scope.constant(arg) {
            Some(tensor) if self.is_readable(&tensor) => Ok(tensor),
            Some(tensor) => unsupported(format!("{what} has {} elements, which is too much", tensor.len())),
            None => unsupported(format!("{what} is not constant")),
        }
    }

    /// The running statistic that an input is, if it is an initialiser.
    pub(super) fn statistic(&mut self, place: usize) -> Option<Rc<LazyConstant>> {
        let arg = self.arg(place).ok()?;
        match self.scope.known(arg) {
            Known::Constant(constant) if !constant.name().is_empty() => {
                Some(self.importer.statistic(arg, self.node.input.get(place)?, constant))
            }
            _ => None,
        }
    }

    /// Whether there is memory to read the elements of a constant one by one.
    fn is_readable(&self, tensor: &Tensor) -> bool {
        (tensor.len() as u64).saturating_mul(size_of::<i128>() as u64) <= self.importer.folder.memory.left()
    }

    /// An input's constant value, if it has one.
    pub(super) fn maybe_constant(&mut self, place: usize) -> Option<Tensor> {
        let arg = self.arg(place).ok()?;
        self.scope.constant(arg).filter(|tensor| self.is_readable(tensor))
    }

    /// An integer input's constant elements.
    pub(super) fn constant_ints(&mut self, place: usize, what: &str) -> Result<Vec<i64>> {
        let tensor = self.constant_input(place, what)?;
        tensor.to_i64s().ok_or_else(|| Failure::BadInput(format!("{what} must be integers")))
    }

    /// An integer input's only element.
    pub(super) fn constant_int(&mut self, place: usize, what: &str) -> Result<i64> {
        match self.constant_ints(place, what)?.as_slice() {
            [value] => Ok(*value),
            values => bad_input(format!("{what} has {} elements instead of one", values.len())),
        }
    }

    /// The axes that a node names: an input from opset `since` on, an attribute before.
    pub(super) fn axes(&mut self, since: i64, place: usize) -> Result<Option<Vec<i64>>> {
        if self.opset < since {
            return Ok(self.ints("axes")?.map(<[i64]>::to_vec));
        }
        match self.has(place) {
            true => self.constant_ints(place, "axes").map(Some),
            false => Ok(None),
        }
    }

    /// A scalar constant of another value's dtype.
    pub(super) fn scalar_like(&mut self, like: ValueId, value: f64) -> Result<ValueId> {
        let dtype = self.dtype(like);
        Ok(self.scalar(dtype, value)?)
    }

    /// Whether an output is wanted.
    pub(super) fn wants(&self, place: usize) -> bool {
        self.node.output.get(place).is_some_and(|name| !name.is_empty())
    }

    /// An attribute, that of the calling node where a function's body refers to it.
    pub(super) fn attribute(&self, name: &str) -> Option<&'p AttributeProto> {
        let own = self.node.attribute.iter().find(|attribute| attribute.name == name)?;
        match own.ref_attr_name.is_empty() {
            true => Some(own),
            false => self.frame.call.attributes.get(own.ref_attr_name.as_str()).copied(),
        }
    }

    fn typed(&self, name: &str, kind: i32, what: &str) -> Result<Option<&'p AttributeProto>> {
        match self.attribute(name) {
            Some(attribute) if attribute.r#type != kind && attribute.r#type != 0 => {
                bad_input(format!("attribute `{name}` must be {what}"))
            }
            other => Ok(other),
        }
    }

    /// An integer attribute.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.typed(name, kind::INT, "an integer")?.map(|attribute| attribute.i))
    }

    /// An integer attribute with a default.
    pub(super) fn int_or(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer attribute that means true or false.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name)?.map_or(default, |value| value != 0))
    }

    /// A number attribute.
    pub(super) fn float(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.typed(name, kind::FLOAT, "a number")?.map(|attribute| attribute.f.into()))
    }

    /// A number attribute with a default.
    pub(super) fn float_or(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A list of integers.
    pub(super) fn ints(&self, name: &str) -> Result<Option<&'p [i64]>> {
        Ok(self.typed(name, kind::INTS, "a list of integers")?.map(|attribute| attribute.ints.as_slice()))
    }

    /// A list of numbers.
    pub(super) fn floats(&self, name: &str) -> Result<Option<&'p [f32]>> {
        Ok(self.typed(name, kind::FLOATS, "a list of numbers")?.map(|attribute| attribute.floats.as_slice()))
    }

    /// A text attribute.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'p str>> {
        match self.typed(name, kind::STRING, "a text")? {
            None => Ok(None),
            Some(attribute) => match std::str::from_utf8(&attribute.s) {
                Ok(text) => Ok(Some(text)),
                Err(_) => bad_input(format!("attribute `{name}` is not UTF-8")),
            },
        }
    }

    /// A text attribute with a default.
    pub(super) fn text_or(&self, name: &str, default: &'static str) -> Result<&'p str> {
        Ok(self.text(name)?.unwrap_or(default))
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&'p str>>> {
        let Some(attribute) = self.typed(name, kind::STRINGS, "a list of texts")? else { return Ok(None) };
        let texts: std::result::Result<Vec<&str>, _> =
            attribute.strings.iter().map(|text| std::str::from_utf8(text)).collect();
        texts.map(Some).map_err(|_| Failure::BadInput(format!("attribute `{name}` is not UTF-8")))
    }

    /// A tensor attribute.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'p TensorProto>> {
        Ok(self.typed(name, kind::TENSOR, "a tensor")?.and_then(|attribute| attribute.t.as_ref()))
    }

    /// A graph attribute.
    pub(super) fn subgraph(&self, name: &str) -> Result<&'p GraphProto> {
        let attribute = self.typed(name, kind::GRAPH, "a graph")?.and_then(|attribute| attribute.g.as_ref());
        attribute.ok_or_else(|| Failure::BadInput(format!("attribute `{name}` is missing")))
    }

    /// An element type attribute.
    pub(super) fn dtype_attribute(&self, name: &str) -> Result<Option<DType>> {
        let Some(number) = self.int(name)? else { return Ok(None) };
        let number = i32::try_from(number).unwrap_or(-1);
        super::tensor::dtype_of(number).map(Some).map_err(Failure::Unsupported)
    }

    /// The items of an input that is a sequence.
    pub(super) fn sequence(&self, place: usize) -> Result<Vec<Arg>> {
        let arg = self.arg(place)?;
        match self.scope.item(arg) {
            Item::Sequence(items) => Ok(items.clone()),
            _ => bad_input(format!("input {place} is no sequence")),
        }
    }
}
