//! Batch, rows, columns and contraction of a matrix product.

use super::super::{Context, Draft};
use crate::form::constant::ConstantView;
use crate::form::element::place_dims;
use crate::form::group::{Group, epilogue_of};
use crate::form::view::Lane;
use crate::program::{Packing, PackingLimit};
use graven_ir::{DType, Dim, Node, Op, Symbol, ValueId};
use std::cell::Cell;

/// A `dot_general` as batched matrix product, all dimensions of a kind taken together.
pub struct Problem {
    /// The product within the group.
    pub value: ValueId,
    /// Left operand.
    pub lhs: ValueId,
    /// Right operand.
    pub rhs: ValueId,
    /// Element type.
    pub dtype: DType,
    /// Extents of the batch dimensions.
    pub batch: Vec<Dim>,
    /// Extents of the left operand's free dimensions.
    pub row_extents: Vec<Dim>,
    /// Extents of the right operand's free dimensions.
    pub column_extents: Vec<Dim>,
    /// Extents of the contracted dimensions.
    pub depth_extents: Vec<Dim>,
    /// Number of rows.
    pub rows: Dim,
    /// Number of columns.
    pub columns: Dim,
    /// Number of contracted elements.
    pub depth: Dim,
    /// Operands of the group that the kernel reads only in packed form.
    pub unread: Vec<usize>,
    /// The constant right operand: which operand of the group it is made from, and how.
    pub constant_rhs: Option<(usize, ConstantView)>,
    lhs_rank: usize,
    rhs_rank: usize,
    axes: [Vec<usize>; 4],
}

impl Problem {
    /// The product of a group that is one `dot_general` in f32, f64 or i32 with an elementwise epilogue; `None` for others.
    pub fn of(group: &Group, context: &Context) -> Option<Problem> {
        let is_dot = |node: &Node| matches!(node.op, Op::DotGeneral { .. });
        let node = epilogue_of(&group.graph, is_dot)?;
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else {
            return None;
        };
        let graph = &group.graph;
        let (value, lhs, rhs) = (node.results[0], node.operands[0], node.operands[1]);
        let dtype = graph.ty(value).dtype;
        if !matches!(dtype, DType::F32 | DType::F64 | DType::I32) {
            return None;
        }
        let (lhs_shape, rhs_shape, shape) =
            (&graph.ty(lhs).shape, &graph.ty(rhs).shape, &graph.ty(value).shape);
        let row_rank = lhs_shape.len() - lhs_batch.len() - lhs_contract.len();
        let (batch, free) = shape.split_at(lhs_batch.len());
        let (row_extents, column_extents) = free.split_at(row_rank);
        let depth_extents: Vec<Dim> = lhs_contract.iter().map(|axis| lhs_shape[*axis].clone()).collect();
        let product = |extents: &[Dim]| extents.iter().fold(Dim::ONE, |all, extent| all * extent);
        let columns = product(column_extents);
        if context.target.lanes(dtype.bytes()) == 1 || columns.as_const().is_none() {
            return None;
        }
        let constant_rhs = constant_operand(group, context, rhs).filter(|_| column_extents.len() == 1);
        let only_here =
            |param: usize| graph.uses().count(graph.params()[param]) == 1 && graph.uses().count(rhs) == 1;
        let unread = constant_rhs.iter().map(|(param, _)| *param).filter(|param| only_here(*param)).collect();
        Some(Problem {
            value,
            lhs,
            rhs,
            dtype,
            batch: batch.to_vec(),
            row_extents: row_extents.to_vec(),
            column_extents: column_extents.to_vec(),
            rows: product(row_extents),
            columns,
            depth: product(&depth_extents),
            depth_extents,
            unread,
            constant_rhs,
            lhs_rank: lhs_shape.len(),
            rhs_rank: rhs_shape.len(),
            axes: [lhs_batch.clone(), rhs_batch.clone(), lhs_contract.clone(), rhs_contract.clone()],
        })
    }

    /// The left operand's index.
    pub fn lhs_index(&self, batch: &[Dim], row: &Dim, k: &Dim) -> Vec<Dim> {
        let free = super::unflatten(row, &self.row_extents);
        let depth = super::unflatten(k, &self.depth_extents);
        place_dims(self.lhs_rank, (&self.axes[0], batch), (&self.axes[2], &depth), &free)
    }

    /// The right operand's index.
    pub fn rhs_index(&self, batch: &[Dim], column: &Dim, k: &Dim) -> Vec<Dim> {
        let free = super::unflatten(column, &self.column_extents);
        let depth = super::unflatten(k, &self.depth_extents);
        place_dims(self.rhs_rank, (&self.axes[1], batch), (&self.axes[3], &depth), &free)
    }

    /// Elements from a row of the left operand to the next; `None` if its elements have to be computed.
    pub fn lhs_row_stride(&self, draft: &Draft) -> Option<Dim> {
        let batch: Vec<Dim> = self.batch.iter().map(|extent| placeholder("batch", extent)).collect();
        let k = placeholder("k", &self.depth);
        let place =
            |row: i64| draft.evaluator.in_memory(self.lhs, &self.lhs_index(&batch, &Dim::from(row), &k));
        Some(place(1)?.1 - place(0)?.1)
    }

    /// Whether vectors along the contraction can be loaded from the left operand.
    pub fn lhs_lies_together(&self, draft: &Draft, lanes: u16) -> bool {
        let row = placeholder("row", &self.rows);
        self.lies_together(draft, lanes, self.lhs, &|batch, k| self.lhs_index(batch, &row, k))
    }

    /// Whether vectors along the contraction can be loaded from the right operand.
    pub fn rhs_lies_together(&self, draft: &Draft, lanes: u16) -> bool {
        let column = placeholder("column", &self.columns);
        self.lies_together(draft, lanes, self.rhs, &|batch, k| self.rhs_index(batch, &column, k))
    }

    fn lies_together(
        &self,
        draft: &Draft,
        lanes: u16,
        value: ValueId,
        index: &dyn Fn(&[Dim], &Dim) -> Vec<Dim>,
    ) -> bool {
        let batch: Vec<Dim> = self.batch.iter().map(|extent| placeholder("batch", extent)).collect();
        let lane = Lane::new(lanes);
        let vectors = self.depth.floor_div(&Dim::from(i64::from(lanes)));
        let k = placeholder("k", &vectors) * i64::from(lanes) + Dim::from(&lane.symbol);
        let found = draft.evaluator.in_memory(value, &index(&batch, &k));
        found.and_then(|(_, address)| lane.split(&address)).is_some_and(|(_, stride)| stride == 1)
    }

    /// The row-major number of a place in the batch dimensions.
    pub fn flat_batch(&self, batch: &[Dim]) -> Dim {
        batch.iter().zip(&self.batch).fold(Dim::ZERO, |number, (place, extent)| number * extent + place)
    }

    /// The product's index.
    pub fn result_index(&self, batch: &[Dim], row: &Dim, column: &Dim) -> Vec<Dim> {
        let rows = super::unflatten(row, &self.row_extents);
        let columns = super::unflatten(column, &self.column_extents);
        batch.iter().cloned().chain(rows).chain(columns).collect()
    }

    /// How a constant right operand is packed into panels of `width` columns: `[batch…][panel][contracted…][column]`.
    pub fn packing(&self, view: &ConstantView, width: usize) -> Packing {
        let [_, batch, _, contract] = &self.axes;
        let column = (0..self.rhs_rank).find(|axis| !batch.contains(axis) && !contract.contains(axis));
        let (columns, column_stride) = column.map_or((1, 0), |axis| (view.shape[axis], view.strides[axis]));
        let extents = |axes: &[usize]| axes.iter().map(|axis| view.shape[*axis]).collect::<Vec<_>>();
        let strides = |axes: &[usize]| axes.iter().map(|axis| view.strides[*axis]).collect::<Vec<_>>();
        let mut weights = vec![0; batch.len()];
        weights.push(width);
        weights.extend(contract.iter().map(|_| 0));
        weights.push(1);
        Packing {
            offset: view.offset,
            extents: [extents(batch), vec![columns.div_ceil(width)], extents(contract), vec![width]].concat(),
            strides: [
                strides(batch),
                vec![column_stride * width as isize],
                strides(contract),
                vec![column_stride],
            ]
            .concat(),
            limits: vec![PackingLimit { weights, end: columns }],
        }
    }
}

impl Problem {
    /// How a constant right operand is packed with the contraction innermost: `[batch…][column][contracted…]`.
    pub fn packing_by_column(&self, view: &ConstantView) -> Packing {
        let [_, batch, _, contract] = &self.axes;
        let free = (0..self.rhs_rank).filter(|axis| !batch.contains(axis) && !contract.contains(axis));
        let order: Vec<usize> = batch.iter().copied().chain(free).chain(contract.iter().copied()).collect();
        Packing {
            offset: view.offset,
            extents: order.iter().map(|axis| view.shape[*axis]).collect(),
            strides: order.iter().map(|axis| view.strides[*axis]).collect(),
            limits: Vec::new(),
        }
    }
}

/// Any place along an extent.
fn placeholder(name: &str, extent: &Dim) -> Dim {
    Dim::from(Symbol::new(name, 0, extent.upper().max(1) - 1))
}

/// The operand of the group that a value rearranges, if that is a constant, and the view of the constant that the value is.
fn constant_operand(group: &Group, context: &Context, value: ValueId) -> Option<(usize, ConstantView)> {
    let operand = Cell::new(None);
    let view = ConstantView::within(context.constants, &group.graph, value, &|param| {
        operand.set(Some(param));
        context.views[param].clone()
    })?;
    Some((operand.get()?, view))
}
