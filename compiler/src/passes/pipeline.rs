//! The order of the passes.

use super::{
    Context, PassError, affine, canonicalise, control, cse, decompose, factor, fold, fuse, raise, regions,
    sink, widen,
};
use graven_ir::Graph;
use graven_ir::verify::verify_graph;

/// A pass by name, with the reason why it stands where it does.
pub struct Pass {
    /// Its name for `--passes` and `--print-after-all`.
    pub name: &'static str,
    /// Why it stands here.
    pub reason: &'static str,
    /// What it does.
    pub run: fn(&mut Context, &Graph) -> Result<Graph, PassError>,
}

/// The passes from an imported graph to fusion groups. Layouts are chosen after them, for a target.
pub const PIPELINE: &[Pass] = &[
    Pass { name: "widen", reason: "all others see constants in their final dtype", run: widen::run },
    Pass { name: "fold", reason: "constants before anything looks at them", run: fold::run },
    Pass { name: "canonicalise", reason: "sees folded constants", run: canonicalise::run },
    Pass { name: "cse", reason: "patterns compare operands", run: cse::run },
    Pass { name: "control", reason: "folded conditions decide branches", run: control::run },
    Pass { name: "raise", reason: "patterns are in canonical form", run: raise::run },
    Pass { name: "decompose", reason: "after rules that know composites", run: decompose::run },
    Pass { name: "regions", reason: "sees primitives, and brings constants together", run: regions::run },
    Pass { name: "fold-again", reason: "decompositions and branches bring constants", run: fold::run },
    Pass {
        name: "canonicalise-again",
        reason: "decompositions and branches bring neutral operands",
        run: canonicalise::run,
    },
    Pass { name: "sink", reason: "in front of rules that look for neighbours", run: sink::run },
    Pass { name: "fold-sunk", reason: "constants were transposed", run: fold::run },
    Pass { name: "canonicalise-sunk", reason: "movement ops met others", run: canonicalise::run },
    Pass { name: "factor", reason: "transposes are in their products by now", run: factor::run },
    Pass { name: "affine", reason: "factors stand behind their contractions", run: affine::run },
    Pass { name: "fold-last", reason: "the rules moved constants", run: fold::run },
    Pass { name: "regions-again", reason: "folded constants go in", run: regions::run },
    Pass { name: "cse-last", reason: "once nodes have their final form", run: cse::run },
    Pass { name: "fuse", reason: "last: groups hide their nodes from the other passes", run: fuse::run },
];

/// The graph after a pass, without dead nodes. Debug builds check that it keeps the rules of the IR.
pub fn apply(pass: &Pass, context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    let mut graph = (pass.run)(context, graph)?;
    graph.compact();
    if cfg!(debug_assertions) {
        check(pass, context, &graph)?;
    }
    Ok(graph)
}

fn check(pass: &Pass, context: &Context, graph: &Graph) -> Result<(), PassError> {
    verify_graph(context.constants, context.symbols, graph).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        PassError::internal(format!(
            "`{}` leaves a graph that breaks the rules: {}",
            pass.name,
            errors.join("; ")
        ))
    })
}
