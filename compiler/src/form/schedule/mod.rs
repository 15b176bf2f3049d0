//! Schedules: the loop nests of each kind of group.
//!
//! * [`pointwise`]: one result element after the other, the form that every op without another one takes
//! * [`contraction`]: what matrix products and convolutions share
//! * [`dot`]: matrix products
//! * [`conv`]: direct convolutions
//! * [`reduction`]: softmax, norms
//! * [`sequential`]: running reductions, scatters
//! * [`sort`]: sorting of lines
//! * [`fill`]: zeros for a buffer

mod contraction;
pub mod conv;
pub mod dot;
pub mod fill;
pub mod pointwise;
pub mod reduction;
mod sequential;
mod sort;

use super::FormError;
use super::constant::ConstantView;
use super::element::{Evaluator, Source};
use super::group::Group;
use super::layout::Layout;
use super::view::View;
use crate::kernel::{Access, BufferId, Features, Kernel, KernelBuilder};
use crate::program::{Cost, Packing};
use crate::target::Target;
use graven_ir::{Constants, DType, Dim};

/// What a kernel's argument is.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// The n-th operand of the group.
    Operand(usize),
    /// The n-th result of the group.
    Result(usize),
    /// A constant rearranged when compiling.
    Packed {
        /// Which operand of the group is it, or a view of it.
        operand: usize,
        /// How the constant itself is rearranged.
        packing: Packing,
    },
}

/// A kernel of a group.
pub struct Scheduled {
    /// The kernel.
    pub kernel: Kernel,
    /// One entry per argument buffer of the kernel.
    pub arguments: Vec<Argument>,
    /// What a launch costs.
    pub cost: Cost,
}

/// What schedules look at besides the group.
pub struct Context<'a> {
    /// The machine.
    pub target: &'a Target,
    /// The module's constants.
    pub constants: &'a Constants,
    /// Layouts of the group's operands.
    pub operands: Vec<Layout>,
    /// Layouts of the group's results.
    pub results: Vec<Layout>,
    /// The operands that are constants, maybe rearranged.
    pub views: Vec<Option<ConstantView>>,
}

type Schedule = fn(&Group, &Context) -> Result<Option<Vec<Scheduled>>, FormError>;

/// Schedules from the most special to the most general; the first that takes a group lowers it.
const SCHEDULES: &[(&str, Schedule)] = &[
    ("dot", dot::schedule),
    ("conv", conv::schedule),
    ("reduction", reduction::schedule),
    ("sort", sort::schedule),
    ("sequential", sequential::schedule),
];

/// The name of the schedule that takes every group.
pub const FALLBACK: &str = "pointwise";

/// The kernels of a group, in the order in which they run, and the name of the schedule that made them.
pub fn schedule(group: &Group, context: &Context) -> Result<(&'static str, Vec<Scheduled>), FormError> {
    for (name, special) in SCHEDULES {
        if let Some(kernels) = special(group, context)? {
            return Ok((name, kernels));
        }
    }
    Ok((FALLBACK, pointwise::schedule(group, context)?))
}

/// A kernel under construction with an evaluator of its group.
pub struct Draft<'a> {
    /// The kernel.
    pub builder: KernelBuilder,
    /// The group's values.
    pub evaluator: Evaluator<'a>,
    arguments: Vec<Argument>,
}

impl<'a> Draft<'a> {
    /// A kernel whose first arguments are the group's operands.
    pub fn new(name: &str, group: &'a Group, context: &Context<'a>) -> Draft<'a> {
        Draft::without(name, group, context, &[])
    }

    /// A kernel whose first arguments are the group's operands but for those named, which it does not read as they are.
    pub fn without(name: &str, group: &'a Group, context: &Context<'a>, unread: &[usize]) -> Draft<'a> {
        let mut builder = KernelBuilder::new(name);
        builder.set_features(Features { fma: context.target.fma, rounding: true });
        let mut draft = Draft {
            builder,
            evaluator: Evaluator::new(&group.graph, context.constants),
            arguments: Vec::new(),
        };
        for (n, param) in group.graph.params().iter().enumerate().filter(|(n, _)| !unread.contains(n)) {
            let view = draft.argument(group, Argument::Operand(n), &context.operands[n]);
            draft.evaluator.bind(*param, Source::Memory(Box::new(view)));
        }
        draft
    }

    /// Adds an argument buffer for an operand or result.
    fn argument(&mut self, group: &Group, argument: Argument, layout: &Layout) -> View {
        let access = if matches!(argument, Argument::Result(_)) { Access::Write } else { Access::Read };
        self.add(group, argument, layout, access)
    }

    fn add(&mut self, group: &Group, argument: Argument, layout: &Layout, access: Access) -> View {
        let (value, name) = match &argument {
            Argument::Operand(n) | Argument::Packed { operand: n, .. } => {
                (group.graph.params()[*n], format!("x{n}"))
            }
            Argument::Result(n) => (group.graph.results()[*n], format!("y{n}")),
        };
        let ty = group.graph.ty(value);
        let buffer = self.builder.buffer(name, ty.dtype, layout.elements(&ty.shape), access);
        self.arguments.push(argument);
        View { buffer, shape: ty.shape.clone(), layout: layout.clone(), offset: Dim::ZERO }
    }

    /// Adds an argument buffer for a rearranged constant.
    pub fn packed(&mut self, argument: Argument, dtype: DType, elements: Dim) -> BufferId {
        self.arguments.push(argument);
        self.builder.buffer("w", dtype, elements, Access::Read)
    }

    /// Adds an argument buffer for the n-th result, which the kernel also reads.
    pub fn read_write_result(&mut self, group: &Group, context: &Context, n: usize) -> View {
        self.add(group, Argument::Result(n), &context.results[n], Access::ReadWrite)
    }

    /// Adds an argument buffer for the n-th result.
    pub fn result(&mut self, group: &Group, context: &Context, n: usize) -> View {
        self.argument(group, Argument::Result(n), &context.results[n])
    }

    /// Ends the kernel.
    pub fn finish(self, cost: Cost) -> Scheduled {
        Scheduled { kernel: self.builder.finish(), arguments: self.arguments, cost }
    }
}
