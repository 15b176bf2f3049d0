//! A graph under construction with what is known about its values.

use super::evaluate::evaluate_constant;
use super::symbolic::SymbolicTensor;
use graven_ir::infer::InferError;
use graven_ir::{ConstantId, GraphBuilder, Op, Tensor, TensorType, ValueId};
use std::cell::Cell;
use std::rc::Rc;

/// An item of a [`Scope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Arg(u32);

/// A constant that becomes part of the module when a graph uses it as a tensor.
pub(super) struct LazyConstant {
    name: String,
    pub(super) tensor: Tensor,
    id: Cell<Option<ConstantId>>,
}

impl LazyConstant {
    /// Its name, which may be empty.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A constant with a name that no other has, or with an empty one.
    pub(super) fn new(name: String, tensor: Tensor) -> Rc<LazyConstant> {
        Rc::new(LazyConstant { name, tensor, id: Cell::new(None) })
    }

    fn build(&self, builder: &mut GraphBuilder<'_>) -> Result<ValueId, InferError> {
        if let Some(id) = self.id.get() {
            return builder.op(Op::Constant { id }, &[]);
        }
        let value = builder.named_constant(&self.name, self.tensor.clone())?;
        let node = builder.graph().defining_node(value).map(|node| &builder.graph().node(node).op);
        if let Some(Op::Constant { id }) = node {
            self.id.set(Some(*id));
        }
        Ok(value)
    }
}

/// What the importer knows about the elements of a tensor.
#[derive(Clone)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// They are constant.
    Constant(Rc<LazyConstant>),
    /// They are formulas over symbolic extents.
    Symbolic(Rc<SymbolicTensor>),
}

/// What an ONNX name can stand for.
#[derive(Clone)]
pub(super) enum Item {
    /// A tensor: a value of the graph, or one that is built when it is used.
    Tensor {
        /// The value, once it is built.
        value: Option<ValueId>,
        /// What its elements are.
        known: Known,
        /// Its type.
        ty: TensorType,
    },
    /// A sequence of tensors; its length is known.
    Sequence(Vec<Arg>),
    /// An optional without a value.
    Nothing,
    /// The result of a node that can't be compiled.
    Poisoned,
}

/// A graph under construction, its ONNX values and what is known about them.
pub(super) struct Scope<'m> {
    /// Builds the graph.
    pub(super) builder: GraphBuilder<'m>,
    items: Vec<Item>,
    /// Running statistics as states, if this is the graph of a function that is to be trained.
    pub(super) running: Option<Vec<RunningStatistic>>,
}

/// A running statistic of batch normalisation that is a state of the function.
pub(super) struct RunningStatistic {
    pub(super) constant: Rc<LazyConstant>,
    /// What it is after the nodes so far.
    pub(super) value: ValueId,
}

impl<'m> Scope<'m> {
    /// An empty scope.
    pub(super) fn new(builder: GraphBuilder<'m>) -> Scope<'m> {
        Scope { builder, items: Vec::new(), running: None }
    }

    /// Adds an item.
    pub(super) fn add(&mut self, item: Item) -> Arg {
        self.items.push(item);
        Arg((self.items.len() - 1) as u32)
    }

    /// Adds a value of the graph.
    pub(super) fn add_value(&mut self, value: ValueId) -> Arg {
        let ty = self.builder.ty(value).clone();
        self.add(Item::Tensor { value: Some(value), known: Known::Nothing, ty })
    }

    /// Adds a constant.
    pub(super) fn add_constant(&mut self, constant: Rc<LazyConstant>) -> Arg {
        let ty = constant.tensor.ty();
        self.add(Item::Tensor { value: None, known: Known::Constant(constant), ty })
    }

    /// Adds a tensor of known elements.
    pub(super) fn add_symbolic(&mut self, tensor: SymbolicTensor) -> Arg {
        let ty = TensorType::new(tensor.dtype, tensor.shape.iter().copied());
        self.add(Item::Tensor { value: None, known: Known::Symbolic(Rc::new(tensor)), ty })
    }

    /// An item.
    pub(super) fn item(&self, arg: Arg) -> &Item {
        &self.items[arg.0 as usize]
    }

    /// The type of a tensor.
    pub(super) fn ty(&self, arg: Arg) -> Option<&TensorType> {
        match self.item(arg) {
            Item::Tensor { ty, .. } => Some(ty),
            _ => None,
        }
    }

    /// The graph's value of a tensor, built if need be; `None` for items that are no tensors.
    pub(super) fn value(&mut self, arg: Arg) -> Result<Option<ValueId>, InferError> {
        let Item::Tensor { value, known, .. } = self.item(arg).clone() else { return Ok(None) };
        if value.is_some() {
            return Ok(value);
        }
        let built = match &known {
            Known::Nothing => return Ok(None),
            Known::Constant(constant) => constant.build(&mut self.builder)?,
            Known::Symbolic(tensor) => tensor.build(&mut self.builder)?,
        };
        if let Item::Tensor { value, .. } = &mut self.items[arg.0 as usize] {
            *value = Some(built);
        }
        Ok(Some(built))
    }

    /// What is known about a tensor without computing anything.
    pub(super) fn known(&self, arg: Arg) -> Known {
        match self.item(arg) {
            Item::Tensor { known, .. } => known.clone(),
            _ => Known::Nothing,
        }
    }

    /// A constant as a value of the graph.
    pub(super) fn constant_value(&mut self, constant: &LazyConstant) -> Result<ValueId, InferError> {
        constant.build(&mut self.builder)
    }

    /// The state that a constant with a name becomes, as its place among the running statistics; `None` where there are no states.
    pub(super) fn running_statistic(&mut self, constant: &Rc<LazyConstant>) -> Option<usize> {
        let running = self.running.as_mut()?;
        let found = running.iter().position(|statistic| Rc::ptr_eq(&statistic.constant, constant));
        Some(found.unwrap_or_else(|| {
            let value = self.builder.param(constant.tensor.ty(), Some(&constant.name));
            running.push(RunningStatistic { constant: constant.clone(), value });
            running.len() - 1
        }))
    }

    /// The elements as formulas, where they are known without computing anything.
    pub(super) fn symbolic(&self, arg: Arg) -> Option<Rc<SymbolicTensor>> {
        match self.known(arg) {
            Known::Symbolic(tensor) => Some(tensor),
            Known::Constant(constant) => SymbolicTensor::from_tensor(&constant.tensor).map(Rc::new),
            Known::Nothing => None,
        }
    }

    /// The elements of a constant, computed from other constants if need be.
    pub(super) fn constant(&mut self, arg: Arg) -> Option<Tensor> {
        match self.known(arg) {
            Known::Constant(constant) => Some(constant.tensor.clone()),
            Known::Symbolic(tensor) => tensor.to_tensor(),
            Known::Nothing => {
                let Item::Tensor { value: Some(value), .. } = *self.item(arg) else { return None };
                let tensor = evaluate_constant(&self.builder, value)?;
                if let Item::Tensor { known, .. } = &mut self.items[arg.0 as usize] {
                    *known = Known::Constant(LazyConstant::new(String::new(), tensor.clone()));
                }
                Some(tensor)
            }
        }
    }
}
