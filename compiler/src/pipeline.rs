//! From a module to a lowered program: the passes, layouts, and kernels.

use crate::accuracy::Accuracy;
use crate::form;
use crate::passes::{self, layout};
use crate::program::Program;
use crate::remarks::Remarks;
use crate::target::Target;
use graven_ir::{Constants, Function, Graph, Module, Op};

/// Why a module was not lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// A pass failed: our bug.
    #[error(transparent)]
    Pass(#[from] passes::PassError),
    /// The lowering failed.
    #[error(transparent)]
    Form(#[from] form::FormError),
    /// The module has no function to compile.
    #[error("the module has no function")]
    NoFunction,
}

/// What is left after a stage: its name, the constants and the graph.
pub type Observer<'o> = dyn FnMut(&str, &Constants, &Graph) + 'o;

/// The program of a module's first function. `observe` sees the graph after each pass.
pub fn lower(
    module: &Module,
    target: &Target,
    accuracy: Accuracy,
    remarks: &mut Remarks,
    observe: &mut Observer,
) -> Result<Program, LowerError> {
    let function = module.functions.first().ok_or(LowerError::NoFunction)?;
    let mut constants = module.constants.clone();
    let mut graph = function.graph.clone();
    for pass in passes::pipeline::PIPELINE {
        let mut context =
            passes::Context { constants: &mut constants, symbols: &module.symbols, accuracy, remarks };
        graph = passes::pipeline::apply(pass, &mut context, &graph)?;
        observe(pass.name, &constants, &graph);
    }
    let (graph, layouts) = layout::run(&constants, &graph, target).map_err(passes::PassError::from)?;
    for (_, node) in graph.nodes().filter(|(_, node)| node.op == Op::Relayout) {
        remarks.missed("layout", node, || {
            format!("a copy of {} into another layout", graph.ty(node.operands[0]))
        });
    }
    observe("layout", &constants, &graph);
    let function = Function { graph, ..function.clone() };
    let module = Module {
        name: module.name.clone(),
        constants,
        symbols: module.symbols.clone(),
        metadata: module.metadata.clone(),
        functions: Vec::new(),
    };
    Ok(form::lower(&module, &function, &layouts, target, remarks)?)
}
