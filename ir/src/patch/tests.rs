use super::*;
use crate::interp::{SymbolValues, evaluate_graph};
use crate::{BinaryOp, DType, FusionKind, Module, Op, Tensor, UnaryOp};
use petgraph::algo::has_path_connecting;
use proptest::prelude::*;

fn f32s(extent: i64) -> TensorType {
    TensorType::new(DType::F32, [extent])
}

/// The results for x = [0.5, −1.25, 3].
fn run(graph: &Graph, constants: &Constants) -> Vec<Vec<f64>> {
    let x = Tensor::from_f32s(vec![3], &[0.5, -1.25, 3.0]).unwrap();
    let inputs = vec![x; graph.params().len()];
    evaluate_graph(constants, graph, &inputs, &SymbolValues::new())
        .unwrap()
        .iter()
        .map(Tensor::to_f64s)
        .collect()
}

/// x, a = x + x, b = a · x, c = b − a with result c.
fn chain(constants: &mut Constants) -> (Graph, [ValueId; 4]) {
    let mut builder = GraphBuilder::new(constants);
    let x = builder.param(f32s(3), Some("x"));
    let a = builder.binary(BinaryOp::Add, x, x).unwrap();
    let b = builder.binary(BinaryOp::Mul, a, x).unwrap();
    let c = builder.binary(BinaryOp::Sub, b, a).unwrap();
    builder.set_name(a, "a");
    (builder.finish(vec![c]), [x, a, b, c])
}

fn node(graph: &Graph, value: ValueId) -> NodeId {
    graph.defining_node(value).unwrap()
}

#[test]
fn replacements_reach_operands_and_results() {
    let constants = &mut Constants::new();
    let (mut graph, [x, a, b, c]) = chain(constants);
    let before = run(&graph, constants);
    let mut patch = Patch::new(&mut graph, constants);
    let two = patch.scalar(DType::F32, 2.0).unwrap();
    let doubled = patch.binary(BinaryOp::Mul, x, two).unwrap();
    patch.replace(a, doubled).unwrap();
    assert!(patch.is_replaced(a) && !patch.is_replaced(b));
    assert_eq!(patch.current(a), doubled);
    // Built after the replacement, so it sees `doubled` through `a`.
    let difference = patch.binary(BinaryOp::Sub, b, a).unwrap();
    patch.replace(c, difference).unwrap();
    assert_eq!(patch.len(), 2);
    patch.apply().unwrap();
    assert_eq!(run(&graph, constants), before);
    assert_eq!(graph.results(), [difference]);
    assert_eq!(graph.node(node(&graph, b)).operands[0], doubled);
    assert_eq!(graph.node(node(&graph, difference)).operands.as_slice(), [b, doubled]);
    assert_eq!(graph.value(doubled).name.as_deref(), Some("a"));
    assert_eq!(graph.value(a).name, None);
    graph.compact();
    assert_eq!(graph.nodes().len(), 5);
}

#[test]
fn a_value_can_be_wrapped() {
    let constants = &mut Constants::new();
    let (mut graph, [_, a, b, c]) = chain(constants);
    let mut patch = Patch::new(&mut graph, constants);
    let wrapped = patch.unary(UnaryOp::Neg, a).unwrap();
    patch.replace(a, wrapped).unwrap();
    patch.apply().unwrap();
    assert_eq!(graph.node(node(&graph, wrapped)).operands.as_slice(), [a]);
    assert_eq!(graph.node(node(&graph, b)).operands[0], wrapped);
    assert_eq!(graph.node(node(&graph, c)).operands[1], wrapped);
    // c = (−2x) · x + 2x
    assert_eq!(run(&graph, constants), [[0.5, -5.625, -12.0]]);
}

#[test]
fn chains_of_replacements_are_followed() {
    let constants = &mut Constants::new();
    let (mut graph, [x, a, b, c]) = chain(constants);
    let mut patch = Patch::new(&mut graph, constants);
    patch.replace(c, b).unwrap();
    patch.replace(b, a).unwrap();
    patch.replace(a, b).unwrap();
    patch.replace(a, x).unwrap();
    assert_eq!(patch.replace(c, x), Ok(()));
    let other = patch.unary(UnaryOp::Exp, x).unwrap();
    assert_eq!(patch.replace(c, other), Err(PatchError::ReplacedTwice(c)));
    patch.apply().unwrap();
    assert_eq!(graph.results(), [x]);
}

#[test]
fn wrong_replacements_are_refused() {
    let constants = &mut Constants::new();
    let (mut graph, [x, a, _, c]) = chain(constants);
    let before = graph.clone();
    let mut patch = Patch::new(&mut graph, constants);
    let longer = patch.broadcast_to(x, &[2i64.into(), 3i64.into()]).unwrap();
    let error = patch.replace(a, longer).unwrap_err();
    assert_eq!(error.to_string(), "%1 of type f32[3] can't be replaced by %4 of type f32[2, 3]");
    let unknown = ValueId::from_u32(99);
    assert_eq!(patch.replace(a, unknown), Err(PatchError::UnknownValue(unknown)));
    let add = node(patch.graph(), a);
    let error = PatchError::ResultCount { node: add, results: 1, replacements: 2 };
    assert_eq!(patch.replace_node(add, &[x, x]), Err(error));
    let unknown = NodeId::from_u32(99);
    assert_eq!(patch.replace_node(unknown, &[]), Err(PatchError::UnknownNode(unknown)));
    drop(patch);
    graph.compact();
    assert_eq!(graph, before);

    let mut patch = Patch::new(&mut graph, constants);
    patch.param(f32s(3), None);
    assert_eq!(patch.apply(), Err(PatchError::Signature));

    let (mut graph, _) = chain(constants);
    let mut patch = Patch::new(&mut graph, constants);
    patch.replace(a, c).unwrap();
    assert!(matches!(patch.apply(), Err(PatchError::Cycle(_))));
    assert_eq!(graph, before);
}

#[test]
fn whole_nodes_are_replaced() {
    let constants = &mut Constants::new();
    let mut builder = GraphBuilder::new(constants);
    let x = builder.param(f32s(3), None);
    let sorted = builder.results(Op::Sort { axis: 0, descending: true }, &[x]).unwrap();
    let mut graph = builder.finish(sorted.to_vec());
    let mut patch = Patch::new(&mut graph, constants);
    let top = patch.results(Op::TopK { axis: 0, k: 3i64.into(), largest: true }, &[x]).unwrap();
    let sort = node(patch.graph(), sorted[0]);
    patch.replace_node(sort, &top).unwrap();
    patch.apply().unwrap();
    assert_eq!(graph.results(), top.as_slice());
}

#[test]
fn groups_capture_explicitly_and_give_what_is_used_outside() {
    let constants = &mut Constants::new();
    let mut builder = GraphBuilder::new(constants);
    let (x, y) = (builder.param(f32s(3), None), builder.param(f32s(3), None));
    let one = builder.scalar(DType::F32, 1.0).unwrap();
    let ones = builder.broadcast_to(one, &[3i64.into()]).unwrap();
    builder.set_origin(Some("layer".into()));
    let a = builder.binary(BinaryOp::Add, y, ones).unwrap();
    builder.set_name(a, "a");
    let b = builder.binary(BinaryOp::Mul, a, x).unwrap();
    let inner = builder.unary(UnaryOp::Exp, b).unwrap();
    let c = builder.binary(BinaryOp::Sub, inner, a).unwrap();
    builder.set_origin(None);
    let outside = builder.unary(UnaryOp::Neg, a).unwrap();
    let mut graph = builder.finish(vec![outside, c, one]);
    let before = run(&graph, constants);
    let nodes = [one, ones, a, b, inner, c].map(|value| node(&graph, value));

    let fused = outline(&mut graph, constants, &nodes, FusionKind::Pointwise).unwrap();
    graph.compact();
    assert_eq!(run(&graph, constants), before);
    let order = graph.order();
    assert_eq!(order.len(), 3, "the constant that is a result, the group, the negation");
    let fuse =
        order.iter().map(|id| graph.node(*id)).find(|node| matches!(node.op, Op::Fuse { .. })).unwrap();
    assert_eq!(fuse.operands.as_slice(), [graph.params()[1], graph.params()[0]]);
    assert_eq!(fuse.results.len(), 2);
    assert_eq!(fuse.origin.as_deref(), Some("layer"));
    assert_eq!(fuse.regions[0].nodes().len(), 6);
    assert_eq!(graph.value(fuse.results[0]).name.as_deref(), Some("a"));
    let _ = fused;

    let fused =
        order.into_iter().filter(|id| matches!(graph.node(*id).op, Op::Fuse { .. })).collect::<Vec<_>>();
    inline(&mut graph, constants, &fused).unwrap();
    graph.compact();
    assert_eq!(run(&graph, constants), before);
    assert!(graph.nodes().all(|(_, node)| node.regions.is_empty()));
}

#[test]
fn groups_that_need_each_other_are_refused() {
    let constants = &mut Constants::new();
    let (mut graph, [_, a, b, c]) = chain(constants);
    let before = graph.clone();
    let [a, b, c] = [a, b, c].map(|value| node(&graph, value));
    let group = |nodes: &[NodeId]| Group { nodes: nodes.to_vec(), kind: FusionKind::Pointwise };

    let error = outline(&mut graph, constants, &[a, c], FusionKind::Pointwise).unwrap_err();
    assert!(matches!(error, PatchError::Cycle(_)), "{error}");
    let error = outline_groups(&mut graph, constants, &[group(&[a, b]), group(&[b, c])]).unwrap_err();
    assert_eq!(error, PatchError::Group("two groups share a node"));
    let unknown = NodeId::from_u32(9);
    let error = outline(&mut graph, constants, &[unknown], FusionKind::Pointwise).unwrap_err();
    assert_eq!(error, PatchError::UnknownNode(unknown));
    let error = outline(&mut graph, constants, &[], FusionKind::Pointwise).unwrap_err();
    assert_eq!(error, PatchError::Group("a group has no live node"));
    assert_eq!(inline(&mut graph, constants, &[a]), Err(PatchError::NotAGroup(a)));
    assert_eq!(inline(&mut graph, constants, &[unknown]), Err(PatchError::UnknownNode(unknown)));
    graph.compact();
    assert_eq!(graph, before);

    // In whatever order they are given, a group sees the results of the groups before it.
    let value = run(&graph, constants);
    let fused = outline_groups(&mut graph, constants, &[group(&[c]), group(&[a, b])]).unwrap();
    graph.compact();
    assert_eq!(graph.nodes().len(), 2);
    assert_eq!(fused.len(), 2);
    assert_eq!(run(&graph, constants), value);
}

#[test]
fn regions_are_edited_from_the_inside() {
    let constants = &mut Constants::new();
    let (mut graph, [_, a, b, c]) = chain(constants);
    let before = run(&graph, constants);
    let nodes = [a, b, c].map(|value| node(&graph, value));
    outline(&mut graph, constants, &nodes, FusionKind::Pointwise).unwrap();
    let whole = graph.order();
    outline(&mut graph, constants, &whole, FusionKind::Single).unwrap();
    let mut module = Module { constants: constants.clone(), ..Module::default() };
    module.functions.push(crate::Function { name: "main".into(), graph, ..Default::default() });

    let mut sizes = Vec::new();
    let mut twice = |graph: &mut Graph, constants: &mut Constants| {
        sizes.push(graph.order().len());
        let mut patch = Patch::new(graph, constants);
        for result in patch.graph().results().to_vec() {
            let negative = patch.unary(UnaryOp::Neg, result)?;
            patch.replace(result, negative)?;
        }
        patch.apply()
    };
    edit_graphs(&mut module, &mut twice).unwrap();
    assert_eq!(sizes, [3, 1, 1], "innermost first; each then has one negation more");
    let negated: Vec<Vec<f64>> = before.iter().map(|row| row.iter().map(|value| -value).collect()).collect();
    assert_eq!(run(&module.functions[0].graph, &module.constants), negated);

    let kept = module.clone();
    let mut dropping = |graph: &mut Graph, _: &mut Constants| {
        graph.set_results(Vec::new());
        Ok(())
    };
    assert_eq!(edit_graphs(&mut module, &mut dropping), Err(PatchError::Signature));
    assert_eq!(module, kept);
}

/// A graph in which node i adds two of the values before it.
fn random_graph(
    constants: &mut Constants,
    operands: &[(usize, usize)],
    results: usize,
) -> (Graph, Vec<NodeId>) {
    let mut builder = GraphBuilder::new(constants);
    let mut values = vec![builder.param(f32s(3), None), builder.param(f32s(3), None)];
    for (i, j) in operands {
        let (x, y) = (values[i % values.len()], values[j % values.len()]);
        values.push(builder.binary(BinaryOp::Max, x, y).unwrap());
        let last = values.len() - 1;
        values[last] = builder.unary(UnaryOp::Tanh, values[last]).unwrap();
    }
    let graph = builder.finish(values[values.len() - results..].to_vec());
    let nodes = graph.order();
    (graph, nodes)
}

proptest! {
    #[test]
    fn outlining_keeps_the_meaning_or_finds_the_cycle(
        operands in prop::collection::vec((0usize..40, 0usize..40), 4..16),
        chosen in prop::collection::vec(0usize..3, 32),
        results in 1usize..3,
    ) {
        let constants = &mut Constants::new();
        let (mut graph, nodes) = random_graph(constants, &operands, results);
        let before = run(&graph, constants);
        let mut groups: Vec<Group> = Vec::new();
        for index in 0..2 {
            let of_group = nodes.iter().zip(&chosen).filter(|(_, group)| **group == index).map(|(node, _)| *node);
            let group = Group { nodes: of_group.collect(), kind: FusionKind::Pointwise };
            if !group.nodes.is_empty() {
                groups.push(group);
            }
        }
        // Legal if each group is convex and no two groups reach each other.
        let view = GraphView::new(&graph);
        let reaches = |from: &[NodeId], to: &[NodeId]| {
            from.iter().any(|a| to.iter().any(|b| a != b && has_path_connecting(&view, *a, *b, None)))
        };
        let convex = groups.iter().all(|group| nodes.iter().all(|outside| {
            group.nodes.contains(outside)
                || !(reaches(&group.nodes, &[*outside]) && reaches(&[*outside], &group.nodes))
        }));
        let apart = groups.len() < 2
            || !(reaches(&groups[0].nodes, &groups[1].nodes) && reaches(&groups[1].nodes, &groups[0].nodes));
        match outline_groups(&mut graph, constants, &groups) {
            Ok(fused) => {
                prop_assert!(convex && apart);
                prop_assert_eq!(fused.len(), groups.len());
                prop_assert_eq!(&run(&graph, constants), &before);
                inline(&mut graph, constants, &fused).unwrap();
                prop_assert_eq!(run(&graph, constants), before);
                graph.compact();
                prop_assert_eq!(graph.nodes().len(), nodes.len());
            }
            Err(error) => {
                prop_assert!(matches!(error, PatchError::Cycle(_)), "{}", error);
                prop_assert!(!(convex && apart));
                graph.compact();
                prop_assert_eq!(graph.nodes().len(), nodes.len());
                prop_assert_eq!(run(&graph, constants), before);
            }
        }
    }
}
