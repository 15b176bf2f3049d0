//! From a module to a lowered program: the passes, layouts, and kernels.

use crate::accuracy::Accuracy;
use crate::form;
use crate::form::lower::Layouts;
use crate::passes::{self, layout, rematerialise};
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
    /// The arena does not get as small as it must be.
    #[error("the arena takes {least} bytes even where values are computed again; the limit is {budget}")]
    Arena {
        /// What it may take.
        budget: u64,
        /// What it takes at least.
        least: u64,
    },
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
    let optimised = Optimised::new(module, target, accuracy, remarks, observe)?;
    optimised.form(optimised.graph.clone(), &optimised.layouts, target, remarks)
}

/// How often [`lower_within`] lowers a graph to find one that fits.
const ATTEMPTS: usize = 10;

/// [`lower`], with values computed again where the arena would be larger than `budget` bytes otherwise.
///
/// # Errors
/// [`LowerError::Arena`] if it does not get so small.
pub fn lower_within(
    budget: u64,
    module: &Module,
    target: &Target,
    accuracy: Accuracy,
    remarks: &mut Remarks,
    observe: &mut Observer,
) -> Result<Program, LowerError> {
    let optimised = Optimised::new(module, target, accuracy, remarks, observe)?;
    let (constants, graph, layouts) = (&optimised.constants, &optimised.graph, &optimised.layouts);
    let program = optimised.form(graph.clone(), layouts, target, remarks)?;
    let mut least = program.arena_bytes;
    if least <= budget {
        return Ok(program);
    }
    // The plan adds gaps to what the pass counts, and takes off what is computed in place.
    let mut goal = scaled(rematerialise::peak(graph, layouts), budget, least);
    for _ in 0..ATTEMPTS {
        let reduced = rematerialise::run(constants, graph, layouts, goal).map_err(passes::PassError::from)?;
        observe("rematerialise", constants, &reduced.graph);
        let program = optimised.form(reduced.graph, &reduced.layouts, target, remarks)?;
        least = least.min(program.arena_bytes);
        if program.arena_bytes <= budget {
            return Ok(program);
        }
        if reduced.peak > goal {
            break;
        }
        goal = scaled(reduced.peak, budget, program.arena_bytes);
    }
    Err(LowerError::Arena { budget, least })
}

/// value · part ÷ whole, a little less.
fn scaled(value: u64, part: u64, whole: u64) -> u64 {
    (value as f64 * (part as f64 / whole.max(1) as f64) * 0.99) as u64
}

/// A function after the passes.
struct Optimised<'m> {
    module: &'m Module,
    function: &'m Function,
    constants: Constants,
    graph: Graph,
    layouts: Layouts,
}

impl<'m> Optimised<'m> {
    fn new(
        module: &'m Module,
        target: &Target,
        accuracy: Accuracy,
        remarks: &mut Remarks,
        observe: &mut Observer,
    ) -> Result<Optimised<'m>, LowerError> {
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
        Ok(Optimised { module, function, constants, graph, layouts })
    }

    /// The program of a graph.
    fn form(
        &self,
        graph: Graph,
        layouts: &Layouts,
        target: &Target,
        remarks: &mut Remarks,
    ) -> Result<Program, LowerError> {
        let function = Function { graph, ..self.function.clone() };
        let module = Module {
            name: self.module.name.clone(),
            constants: self.constants.clone(),
            symbols: self.module.symbols.clone(),
            metadata: self.module.metadata.clone(),
            functions: Vec::new(),
        };
        Ok(form::lower(&module, &function, layouts, target, remarks)?)
    }
}
