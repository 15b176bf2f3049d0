//! Clusters around reductions over the same axes: softmax, norms, means with what is pointwise before and after.
//!
//! A task takes one index of the kept dimensions (a row): each reduction is one loop over the row, in the order of their dependence,
//! and the results are a last loop. Where the row's elements lie together, the loops are vectorised along the row; else vectors are
//! neighbouring rows. What a reduction reads and a later loop needs again is kept in scratch memory if it costs more than a load.
//!
//! * [`cluster`]: the reductions of a group
//! * [`row`]: the loops of a row

mod cluster;
mod row;

pub use row::RowView;

use super::pointwise::{self, group_lanes, previous_power_of_two, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::group::Group;
use crate::form::layout::Layout;
use crate::form::view::View;
use cluster::{Cluster, Softmax};
use graven_ir::Dim;
use row::Emission;

/// The kernel of a group around reductions, or `None` if the schedule doesn't take it.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(cluster) = Cluster::of(&group.graph) else { return Ok(None) };
    let innermost = cluster.shape.len() - 1;
    let along_row = cluster.axes.contains(&innermost);
    let lanes = match cluster.length().as_const().filter(|_| along_row) {
        Some(length) => {
            i64::from(group_lanes(&group.graph, context)).min(previous_power_of_two(length)) as u16
        }
        None => group_lanes(&group.graph, context),
    };
    let single_vertical = !along_row && cluster.full_results.is_empty() && cluster.reductions.len() == 1;
    let plain = context.operands.iter().chain(&context.results).all(Layout::is_row_major);
    if single_vertical || !plain {
        return Ok(None);
    }
    let mut draft = Draft::new(&pointwise::name(group), group, context);
    let views: Vec<View> = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();
    let kept: Vec<usize> = (0..cluster.shape.len()).filter(|axis| !cluster.axes.contains(axis)).collect();
    let extents: Vec<Dim> = kept.iter().map(|axis| cluster.shape[*axis].clone()).collect();
    let softmax = Softmax::of(&group.graph, &cluster);
    for value in &softmax.nonpositive {
        draft.evaluator.set_nonpositive(*value);
    }
    for value in &softmax.sums {
        draft.evaluator.set_at_least_one(*value);
    }
    let mut kernel =
        Emission { softmax, draft: &mut draft, cluster: &cluster, kept, views, lanes, along_row };
    if along_row || lanes == 1 {
        let rows = extents.iter().fold(Dim::ONE, |product, extent| product * extent);
        let parallel = kernel.draft.builder.open_parallel(&rows);
        let row = unflatten(&parallel.index, &extents);
        kernel.row(&row, None)?;
        kernel.draft.builder.close_loop(parallel, Vec::new());
    } else {
        kernel.neighbouring_rows(&extents)?;
    }
    Ok(Some(vec![draft.finish(pointwise::cost(group))]))
}
