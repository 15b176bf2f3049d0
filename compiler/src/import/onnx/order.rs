//! Which nodes of a graph are live, and in what order they can be translated.

use super::proto::{GraphProto, NodeProto};
use crate::error::{Error, Place};
use rustc_hash::{FxHashMap, FxHashSet};

/// How messages name a node.
pub(super) fn node_label(node: &NodeProto) -> &str {
    let output = || node.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
    if node.name.is_empty() { output() } else { &node.name }
}

/// Where errors at a node stand.
pub(super) fn node_place(node: &NodeProto) -> Place {
    let NodeProto { domain, op_type, .. } = node;
    let dot = if domain.is_empty() { "" } else { "." };
    Place::new(format!("node `{}` ({domain}{dot}{op_type})", node_label(node)))
}

/// The graphs among a node's attributes.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// The names that a node uses: its inputs, and what its graphs take from around.
pub(super) fn used_names(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in subgraphs(node) {
        names.extend(free_names(graph));
    }
    names
}

/// The names that a graph uses but does not define, in the order of their first use.
pub(super) fn free_names(graph: &GraphProto) -> Vec<&str> {
    let mut defined: FxHashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    defined.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    defined.extend(sparse.map(|values| values.name.as_str()));
    for node in &graph.node {
        defined.extend(node.output.iter().map(String::as_str));
    }
    let mut free = Vec::new();
    let outputs = graph.output.iter().map(|output| output.name.as_str());
    for name in graph.node.iter().flat_map(used_names).chain(outputs) {
        if !name.is_empty() && defined.insert(name) {
            free.push(name);
        }
    }
    free
}

/// The nodes that `wanted` names depend on, each after those whose results it uses, near to the order in the file.
///
/// `is_known` tells names that are defined outside the nodes. Errors: two nodes define one name, a name is not defined, or
/// nodes depend on each other in a cycle.
pub(super) fn live_order<'p>(
    nodes: &'p [NodeProto],
    wanted: &[&'p str],
    is_known: &dyn Fn(&str) -> bool,
) -> Result<Vec<usize>, Error> {
    let producers = producers(nodes, is_known)?;
    let mut state = vec![Mark::New; nodes.len()];
    let mut order = Vec::new();
    let live = live_nodes(nodes, wanted, &producers);
    for start in (0..nodes.len()).filter(|place| live.contains(place)) {
        let mut stack = vec![(start, false)];
        while let Some((place, done)) = stack.pop() {
            match (done, state[place]) {
                (true, _) => {
                    state[place] = Mark::Done;
                    order.push(place);
                }
                (false, Mark::Done | Mark::Open) => {}
                (false, Mark::New) => {
                    state[place] = Mark::Open;
                    stack.push((place, true));
                    for name in used_names(&nodes[place]).into_iter().rev() {
                        let Some(producer) = producers.get(name) else {
                            check_known(name, &nodes[place], is_known)?;
                            continue;
                        };
                        if state[*producer] == Mark::Open {
                            let reason = format!("depends on its own result by way of `{name}`");
                            return Err(Error::bad_input(node_place(&nodes[place]), reason));
                        }
                        stack.push((*producer, false));
                    }
                }
            }
        }
    }
    Ok(order)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

fn check_known(name: &str, node: &NodeProto, is_known: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    match is_known(name) {
        true => Ok(()),
        false => Err(Error::bad_input(node_place(node), format!("uses `{name}`, which nothing defines"))),
    }
}

/// The node that defines each name. Of several `Constant` nodes the last one counts, as ONNX Runtime takes it: some models were
/// patched by appending such nodes.
fn producers<'p>(
    nodes: &'p [NodeProto],
    is_known: &dyn Fn(&str) -> bool,
) -> Result<FxHashMap<&'p str, usize>, Error> {
    let mut producers = FxHashMap::default();
    for (place, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            let earlier: Option<usize> = producers.insert(name.as_str(), place);
            let is_constant = |place: usize| nodes[place].op_type == "Constant";
            let replaces = earlier.is_none_or(|earlier| is_constant(earlier) && is_constant(place));
            if !replaces || is_known(name) {
                return Err(Error::bad_input(node_place(node), format!("defines `{name}` a second time")));
            }
        }
    }
    Ok(producers)
}

fn live_nodes(nodes: &[NodeProto], wanted: &[&str], producers: &FxHashMap<&str, usize>) -> FxHashSet<usize> {
    let mut live = FxHashSet::default();
    let mut stack: Vec<usize> = wanted.iter().filter_map(|name| producers.get(name).copied()).collect();
    while let Some(place) = stack.pop() {
        if live.insert(place) {
            stack.extend(
                used_names(&nodes[place]).into_iter().filter_map(|name| producers.get(name).copied()),
            );
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: outputs.iter().map(|name| name.to_string()).collect(),
            op_type: "Add".into(),
            ..Default::default()
        }
    }

    fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, String> {
        live_order(nodes, &["y"], &|name| name == "x").map_err(|error| error.to_string())
    }

    #[test]
    fn dead_nodes_are_left_out_and_the_rest_is_sorted() {
        let nodes = [node(&["a", "x"], &["y"]), node(&["b"], &["dead"]), node(&["x"], &["a"])];
        assert_eq!(order(&nodes), Ok(vec![2, 0]));
    }

    #[test]
    fn broken_graphs_name_the_node() {
        let cycle = [node(&["b"], &["a"]), node(&["a"], &["b"]), node(&["a"], &["y"])];
        assert!(order(&cycle).unwrap_err().contains("depends on its own result"));
        let twice = [node(&["x"], &["y"]), node(&["x"], &["y"])];
        assert!(order(&twice).unwrap_err().contains("second time"));
        let mut constants = [node(&[], &["y"]), node(&[], &["y"])];
        constants.iter_mut().for_each(|node| node.op_type = "Constant".into());
        assert_eq!(order(&constants), Ok(vec![1]));
        let undefined = [node(&["z"], &["y"])];
        assert!(order(&undefined).unwrap_err().contains("`z`, which nothing defines"));
    }
}
