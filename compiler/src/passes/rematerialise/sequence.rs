//! Nodes in the order of computation, some of them twice, and what memory they need.

use super::is_kernel;
use crate::flops::of_node;
use crate::form::layout::Layout;
use crate::form::lower::Layouts;
use graven_ir::infer::InferError;
use graven_ir::{Constants, Graph, NodeId, Op, ValueId};

/// A node's evaluation.
struct Item {
    node: NodeId,
    operands: Vec<usize>,
    results: Vec<usize>,
    /// Whether it is a second evaluation.
    again: bool,
}

/// A value.
#[derive(Clone)]
struct Value {
    /// Bytes of the arena; 0 for what is elsewhere.
    bytes: u64,
    /// The value whose memory it is: another one for views.
    home: usize,
}

/// Evaluations in order. Values are numbers: those of the graph, then the ones of second evaluations.
pub(super) struct Sequence<'g> {
    graph: &'g Graph,
    layouts: &'g Layouts,
    items: Vec<Item>,
    values: Vec<Value>,
    results: Vec<usize>,
}

/// From when to when a value is there, as places in the sequence.
#[derive(Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// When the memory of each value is read, and how much memory is in use.
pub(super) struct Usage {
    lifetimes: Vec<Option<Lifetime>>,
    uses: Vec<Vec<usize>>,
    homes: Vec<usize>,
    memory: Vec<u64>,
}

impl<'g> Sequence<'g> {
    /// The graph's nodes in an order.
    pub(super) fn new(graph: &'g Graph, layouts: &'g Layouts, order: Vec<NodeId>) -> Sequence<'g> {
        let number = |value: &ValueId| value.as_u32() as usize;
        let is_plain = |value: &ValueId| layouts.values[*value].as_ref().is_none_or(Layout::is_row_major);
        let mut values: Vec<Value> = graph
            .values()
            .map(|(id, value)| {
                let layout = layouts.values[id].as_ref();
                let elements =
                    layout.map_or_else(|| value.ty.elements(), |layout| layout.elements(&value.ty.shape));
                let elements = u64::try_from(elements.upper()).unwrap_or(u64::MAX);
                Value { bytes: elements.saturating_mul(value.ty.dtype.bytes() as u64), home: number(&id) }
            })
            .collect();
        graph.params().iter().chain(graph.results()).for_each(|value| values[number(value)].bytes = 0);
        let mut constant = vec![false; values.len()];
        let mut items = Vec::with_capacity(order.len());
        for id in order {
            let node = graph.node(id);
            let operands: Vec<usize> = node.operands.iter().map(number).collect();
            let results: Vec<usize> = node.results.iter().map(number).collect();
            // What only depends on constants is computed with the weights.
            let is_constant = node.op.is_pure()
                && !matches!(node.op, Op::Extent { .. })
                && operands.iter().all(|operand| constant[*operand]);
            for result in &results {
                constant[*result] = is_constant;
                if is_constant {
                    values[*result].bytes = 0;
                }
                let is_view = node.operands.iter().chain(&node.results).all(is_plain);
                if let (Op::Reshape { .. }, [operand], true) = (&node.op, &operands[..], is_view) {
                    values[*result].bytes = 0;
                    values[*result].home = values[*operand].home;
                }
            }
            items.push(Item { node: id, operands, results, again: false });
        }
        let results = graph.results().iter().map(number).collect();
        Sequence { graph, layouts, items, values, results }
    }

    pub(super) fn values(&self) -> usize {
        self.values.len()
    }

    pub(super) fn bytes(&self, value: usize) -> u64 {
        self.values[value].bytes
    }

    /// Operands of an item, by the values whose memory they are.
    pub(super) fn operands(&self, item: usize) -> impl Iterator<Item = usize> {
        let mut homes: Vec<usize> =
            self.items[item].operands.iter().map(|operand| self.values[*operand].home).collect();
        homes.sort_unstable();
        homes.dedup();
        homes.into_iter()
    }

    /// Whether an item is a kernel with one result that has not been duplicated.
    pub(super) fn can_recompute(&self, item: usize) -> bool {
        let item = &self.items[item];
        !item.again && item.results.len() == 1 && is_kernel(&self.graph.node(item.node).op)
    }

    /// Work of an item: arithmetic and bytes, a byte counted as eight operations.
    pub(super) fn cost(&self, item: usize) -> f64 {
        let node = self.graph.node(self.items[item].node);
        let moved: u64 =
            node.operands.iter().chain(&node.results).map(|value| bytes_of(self.graph.ty(*value))).sum();
        of_node(self.graph, node).unwrap_or(0) as f64 + 8.0 * moved as f64 + 1.0
    }

    /// When memory is used.
    pub(super) fn usage(&self) -> Usage {
        let mut lifetimes: Vec<Option<Lifetime>> = vec![None; self.values.len()];
        let mut uses: Vec<Vec<usize>> = vec![Vec::new(); self.values.len()];
        for (place, item) in self.items.iter().enumerate() {
            for operand in &item.operands {
                let home = self.values[*operand].home;
                if uses[home].last() != Some(&place) {
                    uses[home].push(place);
                }
                if let Some(lifetime) = &mut lifetimes[home] {
                    lifetime.last = place;
                }
            }
            for result in item.results.iter().filter(|result| self.values[**result].home == **result) {
                lifetimes[*result] = Some(Lifetime { first: place, last: place });
            }
        }
        for result in &self.results {
            let home = self.values[*result].home;
            uses[home].push(self.items.len());
            if let Some(lifetime) = &mut lifetimes[home] {
                lifetime.last = self.items.len();
            }
        }
        let mut change = vec![0i128; self.items.len() + 2];
        for (value, lifetime) in lifetimes.iter().enumerate() {
            if let Some(lifetime) = lifetime {
                change[lifetime.first] += i128::from(self.values[value].bytes);
                change[lifetime.last + 1] -= i128::from(self.values[value].bytes);
            }
        }
        let mut sum = 0i128;
        let memory = change[..self.items.len()].iter().map(|change| {
            sum += change;
            u64::try_from(sum).unwrap_or(0)
        });
        let memory = memory.collect();
        Usage { lifetimes, uses, homes: self.values.iter().map(|value| value.home).collect(), memory }
    }

    /// Evaluates `value` again before its first use after `place`, for that and all later ones.
    pub(super) fn recompute(&mut self, value: usize, place: usize) {
        let reads = |item: &Item, values: &[Value]| item.operands.iter().any(|o| values[*o].home == value);
        let Some(at) = (place + 1..self.items.len()).find(|at| reads(&self.items[*at], &self.values)) else {
            return;
        };
        let mut copies: Vec<(usize, usize)> = Vec::new();
        let mut added = Vec::new();
        let mut later = self.items.split_off(at);
        self.copy(value, value, &mut copies, &mut added);
        for item in &mut later {
            for place in 0..item.operands.len() {
                let operand = item.operands[place];
                if self.values[operand].home == value {
                    item.operands[place] = self.copy(operand, value, &mut copies, &mut added);
                }
            }
            // A view that is made later is one of the second evaluation.
            if let ([operand], [result]) = (&item.operands[..], &item.results[..])
                && self.values[*result].home == value
            {
                self.values[*result].home = self.values[*operand].home;
            }
        }
        self.items.extend(added);
        self.items.extend(later);
        self.drop_unused();
    }

    /// The second evaluation of a value, or a view of it, among `copies` or `added`.
    fn copy(
        &mut self,
        value: usize,
        home: usize,
        copies: &mut Vec<(usize, usize)>,
        added: &mut Vec<Item>,
    ) -> usize {
        if let Some((_, copy)) = copies.iter().find(|(old, _)| *old == value) {
            return *copy;
        }
        let find = |items: &[Item]| items.iter().position(|item| item.results.contains(&value));
        let Some(place) = find(&self.items) else { return value };
        let (node, mut operands) = (self.items[place].node, self.items[place].operands.clone());
        if value != home {
            for operand in &mut operands {
                *operand = self.copy(*operand, home, copies, added);
            }
        }
        let new = self.values.len();
        let new_home = if value == home { new } else { self.values[operands[0]].home };
        self.values.push(Value { bytes: self.values[value].bytes, home: new_home });
        copies.push((value, new));
        added.push(Item { node, operands, results: vec![new], again: true });
        new
    }

    /// Drops evaluations that nothing reads any more.
    fn drop_unused(&mut self) {
        let mut read = vec![false; self.values.len()];
        self.results.iter().for_each(|result| read[*result] = true);
        for place in (0..self.items.len()).rev() {
            let item = &self.items[place];
            let op = &self.graph.node(item.node).op;
            if !op.is_pure() || item.results.iter().any(|result| read[*result]) {
                item.operands.iter().for_each(|operand| read[*operand] = true);
            } else {
                self.items.remove(place);
            }
        }
    }

    /// The graph of the sequence and the layouts of its values.
    pub(super) fn graph(&self, constants: &Constants) -> Result<(Graph, Layouts), InferError> {
        let unknown =
            || InferError { op: "rematerialise", reason: "a value is read before it is there".into() };
        let mut graph = Graph::new();
        let mut layouts = Layouts { in_order_of_ids: true, ..Layouts::default() };
        let mut map: Vec<Option<ValueId>> = vec![None; self.values.len()];
        for param in self.graph.params() {
            let value = self.graph.value(*param);
            let new = graph.add_param(value.ty.clone(), value.name.as_deref());
            layouts.values[new] = self.layouts.values[*param].clone();
            map[param.as_u32() as usize] = Some(new);
        }
        for item in &self.items {
            let node = self.graph.node(item.node);
            let operands: Option<Vec<ValueId>> = item.operands.iter().map(|operand| map[*operand]).collect();
            let operands = operands.ok_or_else(unknown)?;
            let (op, regions, origin) = (node.op.clone(), node.regions.clone(), node.origin.clone());
            let new = graph.add_node(constants, op, &operands, regions, origin)?;
            for region in 0..node.regions.len() {
                if let Some(inner) = self.layouts.regions.get(&(item.node, region)) {
                    layouts.regions.insert((new, region), inner.clone());
                }
            }
            let results = graph.node(new).results.clone();
            for ((result, new), old) in item.results.iter().zip(results).zip(&node.results) {
                map[*result] = Some(new);
                layouts.values[new] = self.layouts.values[*old].clone();
                if let Some(name) = self.graph.value(*old).name.as_deref().filter(|_| !item.again) {
                    graph.set_name(new, name);
                }
            }
        }
        let results: Option<Vec<ValueId>> = self.results.iter().map(|result| map[*result]).collect();
        graph.set_results(results.ok_or_else(unknown)?);
        Ok((graph, layouts))
    }
}

impl Usage {
    /// Where the most memory is in use, and how much.
    pub(super) fn peak(&self) -> (usize, u64) {
        let highest =
            self.memory.iter().enumerate().max_by_key(|(place, bytes)| (**bytes, usize::MAX - place));
        highest.map_or((0, 0), |(place, bytes)| (place, *bytes))
    }

    pub(super) fn lifetime(&self, value: usize) -> Option<Lifetime> {
        self.lifetimes[value]
    }

    pub(super) fn is_used_at(&self, value: usize, place: usize) -> bool {
        self.uses[value].contains(&place)
    }

    pub(super) fn is_used_before(&self, value: usize, place: usize) -> bool {
        self.uses[value].first().is_some_and(|first| *first < place)
    }

    /// Whether the memory of a value is in use after `place` anyway, or is none of the arena's.
    pub(super) fn lives_after(&self, value: usize, place: usize) -> bool {
        self.lifetimes[self.homes[value]].is_none_or(|lifetime| lifetime.last > place)
    }
}

/// Bytes of a value at the bounds of its extents.
fn bytes_of(ty: &graven_ir::TensorType) -> u64 {
    let elements = ty.checked_upper_elements().and_then(|elements| u64::try_from(elements).ok());
    elements.unwrap_or(u64::MAX).saturating_mul(ty.dtype.bytes() as u64)
}
