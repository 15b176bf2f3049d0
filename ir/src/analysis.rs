//! petgraph's traits over a [`Graph`], so that its orders, dominators, components and reachability run on it.
//!
//! A vertex is a node; an edge leads from a node to each node that uses one of its results. Parameters are no vertices. A view is a
//! snapshot: it holds the edges in both directions and borrows nothing. For dominators, which start at one vertex, and
//! post-dominators, which start at the other end, [`GraphView::with_ends`] adds an entry and an exit.
//!
//! petgraph's `tarjan_scc` recurses once per vertex of a path; deep graphs want `kosaraju_scc`.

use crate::{Graph, NodeId};
use cranelift_entity::{EntityRef, EntitySet};
use petgraph::Direction;
use petgraph::visit::{
    Data, EdgeCount, GraphBase, GraphProp, IntoEdgeReferences, IntoEdges, IntoNeighbors,
    IntoNeighborsDirected, IntoNodeIdentifiers, IntoNodeReferences, NodeCount, NodeIndexable, VisitMap,
    Visitable,
};
use std::iter::{Copied, Map};
use std::slice::Iter;

/// The nodes of a graph and who uses whose results; see the [module documentation](self).
///
/// ```
/// use graven_ir::{BinaryOp, Constants, DType, GraphBuilder, TensorType, UnaryOp, analysis::GraphView};
/// use petgraph::algo::{has_path_connecting, toposort};
///
/// let mut constants = Constants::new();
/// let mut builder = GraphBuilder::new(&mut constants);
/// let x = builder.param(TensorType::new(DType::F32, [8]), None);
/// let y = builder.unary(UnaryOp::Exp, x)?;
/// let z = builder.binary(BinaryOp::Add, y, y)?;
/// let graph = builder.finish(vec![z]);
///
/// let view = GraphView::new(&graph);
/// let (exp, add) = (graph.defining_node(y).unwrap(), graph.defining_node(z).unwrap());
/// assert_eq!(toposort(&view, None).unwrap(), [exp, add]);
/// assert!(!has_path_connecting(&view, add, exp, None));
/// # Ok::<(), graven_ir::infer::InferError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GraphView {
    vertices: Vec<NodeId>,
    /// One more than the largest vertex.
    bound: usize,
    incoming: Edges,
    outgoing: Edges,
    ends: Option<(NodeId, NodeId)>,
}

/// The neighbours of each vertex, one after the other.
#[derive(Clone, Debug)]
struct Edges {
    /// Where the neighbours of a vertex start; one entry more than there are vertices.
    starts: Vec<usize>,
    targets: Vec<NodeId>,
}

impl Edges {
    /// The edges `pairs`, from the first to the second, without repetitions; the order stays.
    fn new(bound: usize, pairs: &[(NodeId, NodeId)]) -> Edges {
        let mut starts = vec![0usize; bound + 1];
        pairs.iter().for_each(|(from, _)| starts[from.index() + 1] += 1);
        for place in 0..bound {
            starts[place + 1] += starts[place];
        }
        let mut next = starts.clone();
        let mut targets = vec![NodeId::new(0); pairs.len()];
        for (from, to) in pairs {
            targets[next[from.index()]] = *to;
            next[from.index()] += 1;
        }
        Edges { starts, targets }
    }

    fn of(&self, node: NodeId) -> &[NodeId] {
        let range = self.starts.get(node.index()).zip(self.starts.get(node.index() + 1));
        range.map_or(&[], |(start, end)| &self.targets[*start..*end])
    }
}

impl GraphView {
    /// The live nodes of `graph`.
    pub fn new(graph: &Graph) -> GraphView {
        GraphView::build(graph, graph.order(), false)
    }

    /// The live nodes of `graph` between an entry, before all nodes that use no node's result, and an exit, after all nodes whose results
    /// are the graph's. Both have ids beyond those of the graph's nodes.
    pub fn with_ends(graph: &Graph) -> GraphView {
        GraphView::build(graph, graph.order(), true)
    }

    /// All nodes of `graph`, dead ones included.
    pub fn with_dead(graph: &Graph) -> GraphView {
        GraphView::build(graph, graph.nodes().map(|(id, _)| id).collect(), false)
    }

    fn build(graph: &Graph, mut vertices: Vec<NodeId>, ends: bool) -> GraphView {
        let count = graph.nodes().len();
        let mut pairs: Vec<(NodeId, NodeId)> = Vec::new();
        let (entry, exit) = (NodeId::new(count), NodeId::new(count + 1));
        let mut seen: Vec<NodeId> = Vec::new();
        for node in &vertices {
            seen.clear();
            let operands = graph.node(*node).operands.iter().filter_map(|v| graph.defining_node(*v));
            for source in operands {
                if !seen.contains(&source) {
                    seen.push(source);
                    pairs.push((source, *node));
                }
            }
            if ends && seen.is_empty() {
                pairs.push((entry, *node));
            }
        }
        if ends {
            let mut last: Vec<NodeId> = Vec::new();
            for result in graph.results() {
                let source = graph.defining_node(*result).unwrap_or(entry);
                if !last.contains(&source) {
                    last.push(source);
                    pairs.push((source, exit));
                }
            }
            vertices.insert(0, entry);
            vertices.push(exit);
        }
        let bound = count + if ends { 2 } else { 0 };
        let outgoing = Edges::new(bound, &pairs);
        pairs.iter_mut().for_each(|pair| *pair = (pair.1, pair.0));
        let incoming = Edges::new(bound, &pairs);
        GraphView { vertices, bound, incoming, outgoing, ends: ends.then_some((entry, exit)) }
    }

    /// The vertex before all others, if the view has it.
    pub fn entry(&self) -> Option<NodeId> {
        self.ends.map(|ends| ends.0)
    }

    /// The vertex after all others, if the view has it.
    pub fn exit(&self) -> Option<NodeId> {
        self.ends.map(|ends| ends.1)
    }
}

/// The vertices that a walk has seen.
#[derive(Clone, Debug)]
pub struct VisitedNodes(EntitySet<NodeId>);

impl VisitMap<NodeId> for VisitedNodes {
    fn visit(&mut self, node: NodeId) -> bool {
        self.0.insert(node)
    }

    fn is_visited(&self, node: &NodeId) -> bool {
        self.0.contains(*node)
    }

    fn unvisit(&mut self, node: NodeId) -> bool {
        self.0.remove(node)
    }
}

impl GraphBase for GraphView {
    type EdgeId = (NodeId, NodeId);
    type NodeId = NodeId;
}

impl GraphProp for GraphView {
    type EdgeType = petgraph::Directed;
}

impl Data for GraphView {
    type NodeWeight = ();
    type EdgeWeight = ();
}

impl Visitable for GraphView {
    type Map = VisitedNodes;

    fn visit_map(&self) -> VisitedNodes {
        VisitedNodes(EntitySet::with_capacity(self.bound))
    }

    fn reset_map(&self, map: &mut VisitedNodes) {
        map.0.clear();
    }
}

impl NodeIndexable for GraphView {
    fn node_bound(&self) -> usize {
        self.bound
    }

    fn to_index(&self, node: NodeId) -> usize {
        node.index()
    }

    fn from_index(&self, index: usize) -> NodeId {
        NodeId::new(index)
    }
}

impl NodeCount for GraphView {
    fn node_count(&self) -> usize {
        self.vertices.len()
    }
}

impl EdgeCount for GraphView {
    fn edge_count(&self) -> usize {
        self.outgoing.targets.len()
    }
}

impl<'a> IntoNodeIdentifiers for &'a GraphView {
    type NodeIdentifiers = Copied<Iter<'a, NodeId>>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        self.vertices.iter().copied()
    }
}

impl<'a> IntoNodeReferences for &'a GraphView {
    type NodeRef = (NodeId, ());
    type NodeReferences = Map<Iter<'a, NodeId>, fn(&NodeId) -> (NodeId, ())>;

    fn node_references(self) -> Self::NodeReferences {
        self.vertices.iter().map(|node| (*node, ()))
    }
}

impl<'a> IntoNeighbors for &'a GraphView {
    type Neighbors = Copied<Iter<'a, NodeId>>;

    fn neighbors(self, node: NodeId) -> Self::Neighbors {
        self.outgoing.of(node).iter().copied()
    }
}

impl<'a> IntoNeighborsDirected for &'a GraphView {
    type NeighborsDirected = Copied<Iter<'a, NodeId>>;

    fn neighbors_directed(self, node: NodeId, direction: Direction) -> Self::NeighborsDirected {
        match direction {
            Direction::Outgoing => self.outgoing.of(node).iter().copied(),
            Direction::Incoming => self.incoming.of(node).iter().copied(),
        }
    }
}

/// The edges that leave some vertices.
#[derive(Clone, Debug)]
pub struct EdgeReferences<'a> {
    view: &'a GraphView,
    source: NodeId,
    targets: Copied<Iter<'a, NodeId>>,
    sources: Copied<Iter<'a, NodeId>>,
}

impl<'a> Iterator for EdgeReferences<'a> {
    type Item = (NodeId, NodeId, &'a ());

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(target) = self.targets.next() {
                return Some((self.source, target, &()));
            }
            self.source = self.sources.next()?;
            self.targets = self.view.neighbors(self.source);
        }
    }
}

impl<'a> IntoEdgeReferences for &'a GraphView {
    type EdgeRef = (NodeId, NodeId, &'a ());
    type EdgeReferences = EdgeReferences<'a>;

    fn edge_references(self) -> EdgeReferences<'a> {
        let none = [].iter().copied();
        EdgeReferences { view: self, source: NodeId::new(0), targets: none, sources: self.node_identifiers() }
    }
}

impl<'a> IntoEdges for &'a GraphView {
    type Edges = EdgeReferences<'a>;

    fn edges(self, node: NodeId) -> EdgeReferences<'a> {
        let none = [].iter().copied();
        EdgeReferences { view: self, source: node, targets: self.neighbors(node), sources: none }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BinaryOp, Constants, DType, GraphBuilder, TensorType, UnaryOp, ValueId};
    use petgraph::algo::{
        DfsSpace, condensation, dominators, has_path_connecting, is_cyclic_directed, kosaraju_scc,
        tarjan_scc, toposort,
    };
    use petgraph::visit::{Dfs, EdgeRef, Reversed, Topo, Walker};

    /// a = exp x; b = sin a; c = cos a; d = b + c; e = d · a; and a dead node.
    fn diamond() -> (Graph, [NodeId; 5], NodeId) {
        let mut constants = Constants::new();
        let mut builder = GraphBuilder::new(&mut constants);
        let x = builder.param(TensorType::new(DType::F32, [4]), None);
        let a = builder.unary(UnaryOp::Exp, x).unwrap();
        let b = builder.unary(UnaryOp::Sin, a).unwrap();
        let dead = builder.unary(UnaryOp::Tan, b).unwrap();
        let c = builder.unary(UnaryOp::Cos, a).unwrap();
        let d = builder.binary(BinaryOp::Add, b, c).unwrap();
        let e = builder.binary(BinaryOp::Mul, d, a).unwrap();
        let graph = builder.finish(vec![e]);
        let node = |value: ValueId| graph.defining_node(value).unwrap();
        let (nodes, dead) = ([a, b, c, d, e].map(node), node(dead));
        (graph, nodes, dead)
    }

    #[test]
    fn orders_put_operands_first() {
        let (graph, [a, b, c, d, e], dead) = diamond();
        let view = GraphView::new(&graph);
        let order = toposort(&view, None).unwrap();
        let place = |node| order.iter().position(|other| *other == node).unwrap();
        assert_eq!(order.len(), 5);
        assert!(place(a) < place(b) && place(a) < place(c) && place(b) < place(d) && place(c) < place(d));
        assert!(place(d) < place(e));
        assert_eq!(Topo::new(&view).iter(&view).count(), 5);
        assert!(!order.contains(&dead));
        assert_eq!(toposort(&GraphView::with_dead(&graph), None).unwrap().len(), 6);
        assert!(!is_cyclic_directed(&view));
    }

    #[test]
    fn dominators_need_the_ends() {
        let (graph, [a, b, c, d, e], _) = diamond();
        let view = GraphView::with_ends(&graph);
        let (entry, exit) = (view.entry().unwrap(), view.exit().unwrap());
        let before = dominators::simple_fast(&view, entry);
        assert_eq!(before.immediate_dominator(a), Some(entry));
        assert_eq!([b, c, d, e].map(|node| before.immediate_dominator(node)), [Some(a); 4]);
        let after = dominators::simple_fast(Reversed(&view), exit);
        assert_eq!([b, c].map(|node| after.immediate_dominator(node)), [Some(d); 2]);
        assert_eq!([a, d].map(|node| after.immediate_dominator(node)), [Some(e); 2]);
        assert_eq!(after.immediate_dominator(e), Some(exit));
    }

    #[test]
    fn reachability_and_walks() {
        let (graph, [a, b, c, d, e], _) = diamond();
        let view = GraphView::new(&graph);
        let mut space = DfsSpace::new(&view);
        assert!(has_path_connecting(&view, b, e, Some(&mut space)));
        assert!(!has_path_connecting(&view, b, c, Some(&mut space)));
        assert!(!has_path_connecting(&view, e, a, Some(&mut space)));
        let mut above: Vec<NodeId> = Dfs::new(Reversed(&view), d).iter(Reversed(&view)).collect();
        above.sort();
        assert_eq!(above, [a, b, c, d]);
    }

    #[test]
    fn edges_are_not_repeated() {
        let (graph, [a, ..], _) = diamond();
        let view = GraphView::new(&graph);
        assert_eq!(view.edge_count(), 6);
        assert_eq!(view.edge_references().count(), 6);
        let edges: Vec<_> = view.edges(a).map(|edge| edge.source() == a && edge.target() != a).collect();
        assert_eq!(edges, [true; 3]);
        assert_eq!((view.node_count(), view.node_references().count()), (5, 5));
    }

    #[test]
    fn components_of_an_acyclic_graph_are_single_nodes() {
        let (graph, _, _) = diamond();
        let view = GraphView::new(&graph);
        assert_eq!(kosaraju_scc(&view).iter().map(Vec::len).collect::<Vec<_>>(), [1; 5]);
        assert_eq!(tarjan_scc(&view).iter().map(Vec::len).collect::<Vec<_>>(), [1; 5]);
        let mut copy = petgraph::Graph::<NodeId, ()>::new();
        let copies: Vec<_> =
            (0..view.node_bound()).map(|index| copy.add_node(view.from_index(index))).collect();
        for (from, to, _) in view.edge_references() {
            copy.add_edge(copies[view.to_index(from)], copies[view.to_index(to)], ());
        }
        assert_eq!(condensation(copy, true).node_count(), view.node_bound());
    }

    #[test]
    fn a_graph_without_nodes_has_its_ends() {
        let mut graph = Graph::new();
        let x = graph.add_param(TensorType::scalar(DType::F32), None);
        graph.set_results(vec![x]);
        let view = GraphView::with_ends(&graph);
        assert_eq!(toposort(&view, None).unwrap(), [view.entry().unwrap(), view.exit().unwrap()]);
        assert!(toposort(&GraphView::new(&graph), None).unwrap().is_empty());
    }
}
