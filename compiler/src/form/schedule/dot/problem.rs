//! Batch, rows, columns and contraction of a matrix product.

use super::super::Context;
use crate::form::element::place_dims;
use crate::form::group::{Group, epilogue_of};
use graven_ir::{DType, Dim, Node, Op, Shape, ValueId};

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
    /// The operand of the group that is the constant right operand.
    pub constant_rhs: Option<usize>,
    lhs_rank: usize,
    rhs_rank: usize,
    axes: [Vec<usize>; 4],
}

impl Problem {
    /// The product of a group that is one `dot_general` in f32 or f64 with an elementwise epilogue; `None` for others, and for products so narrow that vectors of
    /// columns would be mostly empty.
    pub fn of(group: &Group, context: &Context) -> Option<Problem> {
        let is_dot = |node: &Node| matches!(node.op, Op::DotGeneral { .. });
        let node = epilogue_of(&group.graph, is_dot)?;
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else {
            return None;
        };
        let graph = &group.graph;
        let (value, lhs, rhs) = (node.results[0], node.operands[0], node.operands[1]);
        let dtype = graph.ty(value).dtype;
        if !matches!(dtype, DType::F32 | DType::F64) {
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
        let lanes = i64::from(context.target.lanes(dtype.bytes()));
        if columns.as_const()? < lanes.min(4) || lanes == 1 {
            return None;
        }
        let packable = rhs_batch.is_empty()
            && column_extents.len() == 1
            && rhs_contract.len() == 1
            && product(&depth_extents).as_const().is_some();
        let param = graph.params().iter().position(|param| *param == rhs);
        let constant_rhs = param.filter(|n| packable && context.tensors[*n].is_some());
        let read_elsewhere = || graph.uses().count(rhs) > 1;
        let unread = constant_rhs.filter(|_| !read_elsewhere()).into_iter().collect();
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

    /// The product's index.
    pub fn result_index(&self, batch: &[Dim], row: &Dim, column: &Dim) -> Vec<Dim> {
        let rows = super::unflatten(row, &self.row_extents);
        let columns = super::unflatten(column, &self.column_extents);
        batch.iter().cloned().chain(rows).chain(columns).collect()
    }

    /// Strides of the right operand's column and contracted dimension, for a constant of this shape.
    pub fn rhs_strides(&self, shape: &Shape) -> (isize, isize) {
        let stride =
            |axis: usize| shape[axis + 1..].iter().map(|d| d.as_const().unwrap_or(1) as isize).product();
        let contract = self.axes[3][0];
        (stride(1 - contract), stride(contract))
    }
}
