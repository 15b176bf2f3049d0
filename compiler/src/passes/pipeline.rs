//! The order of the passes.

use super::{PassError, canonicalise, cse, decompose, fold, fuse};
use graven_ir::{Constants, Graph};

/// A pass by name, with the reason why it stands where it does.
pub struct Pass {
    /// Its name for `--passes` and `--print-after-all`.
    pub name: &'static str,
    /// Why it stands here.
    pub reason: &'static str,
    /// What it does.
    pub run: fn(&mut Constants, &Graph) -> Result<Graph, PassError>,
}

fn run_fuse(constants: &mut Constants, graph: &Graph) -> Result<Graph, PassError> {
    Ok(fuse::run(constants, graph)?)
}

/// The passes from an imported graph to fusion groups. Layouts are chosen after them, for a target.
pub const PIPELINE: &[Pass] = &[
    Pass { name: "fold", reason: "constants before anything looks at them", run: fold::run },
    Pass { name: "canonicalise", reason: "sees folded constants", run: canonicalise::run },
    Pass { name: "decompose", reason: "after rules that know composites", run: decompose::run },
    Pass { name: "fold-again", reason: "decompositions bring constants", run: fold::run },
    Pass {
        name: "canonicalise-again",
        reason: "decompositions bring neutral operands",
        run: canonicalise::run,
    },
    Pass { name: "cse", reason: "once nodes have their final form", run: cse::run },
    Pass { name: "fuse", reason: "last: groups hide their nodes from the other passes", run: run_fuse },
];

/// The graph after a pass, without dead nodes.
pub fn apply(pass: &Pass, constants: &mut Constants, graph: &Graph) -> Result<Graph, PassError> {
    let mut graph = (pass.run)(constants, graph)?;
    graph.compact();
    Ok(graph)
}
