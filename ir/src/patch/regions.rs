//! Edits within regions.

use super::PatchError;
use crate::{Constants, Graph, Module, NodeId, TensorType};

/// Runs `edit` on every region of a graph's live nodes, the innermost first, and checks that the types of its parameters and results stay.
///
/// # Errors
/// What `edit` gives, or [`PatchError::Signature`]; the region concerned is then as before.
pub fn edit_regions<E: From<PatchError>>(
    graph: &mut Graph,
    constants: &mut Constants,
    edit: &mut dyn FnMut(&mut Graph, &mut Constants) -> Result<(), E>,
) -> Result<(), E> {
    let mut parents: Vec<NodeId> = graph.order();
    parents.retain(|node| !graph.node(*node).regions.is_empty());
    for node in parents {
        for region in graph.regions_mut(node) {
            edit_regions(region, constants, edit)?;
            let before = region.clone();
            let mut outcome = edit(region, constants);
            if outcome.is_ok() && signature(region) != signature(&before) {
                outcome = Err(PatchError::Signature.into());
            }
            if outcome.is_err() {
                *region = before;
            }
            outcome?;
        }
    }
    Ok(())
}

/// Runs `edit` on every graph of a module: regions first, then the functions that hold them.
///
/// # Errors
/// As of [`edit_regions`]; also where the types of a function's parameters or results change.
pub fn edit_graphs<E: From<PatchError>>(
    module: &mut Module,
    edit: &mut dyn FnMut(&mut Graph, &mut Constants) -> Result<(), E>,
) -> Result<(), E> {
    for function in &mut module.functions {
        let before = signature(&function.graph);
        edit_regions(&mut function.graph, &mut module.constants, edit)?;
        edit(&mut function.graph, &mut module.constants)?;
        if signature(&function.graph) != before {
            return Err(PatchError::Signature.into());
        }
    }
    Ok(())
}

fn signature(graph: &Graph) -> [Vec<TensorType>; 2] {
    [graph.params(), graph.results()]
        .map(|values| values.iter().map(|value| graph.ty(*value).clone()).collect())
}
