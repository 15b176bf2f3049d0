//! The dimensions of a convolution that the direct schedules take.

use super::super::Context;
use crate::form::group::{Group, epilogue_of};
use graven_ir::{DType, Dim, Node, Op, ValueId};

/// A convolution in the standard dimension order with a constant kernel.
#[derive(Clone)]
pub struct Problem {
    /// The convolution within the group.
    pub value: ValueId,
    /// Its input.
    pub input: ValueId,
    /// The operand of the group that is the kernel.
    pub kernel: usize,
    /// Element type.
    pub dtype: DType,
    /// Batch size.
    pub batch: Dim,
    /// Output channels.
    pub features: i64,
    /// Groups of channels.
    pub groups: i64,
    /// Input channels of a group.
    pub group_inputs: i64,
    /// Output extents.
    pub output: Vec<Dim>,
    /// Window extents.
    pub window: Vec<i64>,
    /// Steps.
    pub stride: Vec<i64>,
    /// Window dilations.
    pub dilation: Vec<i64>,
    /// Padding before.
    pub low: Vec<i64>,
    /// Block of the input's channels: 1 if it is not blocked.
    pub input_block: i64,
}

/// The zeros before and after each dimension that a convolution wants around its input; `None` if they aren't known when compiling.
pub fn halo_of(op: &Op) -> Option<Vec<(i64, i64)>> {
    let Op::Conv { padding_low, padding_high, .. } = op else { return None };
    let sides = padding_low.iter().zip(padding_high).map(|(low, high)| {
        let (low, high) = (low.as_const()?, high.as_const()?);
        (low >= 0 && high >= 0).then_some((low, high))
    });
    let spatial: Option<Vec<(i64, i64)>> = sides.collect();
    Some([(0, 0), (0, 0)].into_iter().chain(spatial?).collect())
}

impl Problem {
    /// The convolution of a group with an elementwise epilogue, if its operands lie as the schedules want them.
    pub fn of(group: &Group, context: &Context) -> Option<Problem> {
        let graph = &group.graph;
        let node = epilogue_of(graph, |node: &Node| matches!(node.op, Op::Conv { .. }))?;
        let Op::Conv {
            dimensions, stride, base_dilation, kernel_dilation, feature_groups, batch_groups, ..
        } = &node.op
        else {
            return None;
        };
        let (value, input) = (node.results[0], node.operands[0]);
        let dtype = graph.ty(value).dtype;
        let param = graph.params().iter().position(|param| *param == input)?;
        let kernel = graph.params().iter().position(|param| *param == node.operands[1])?;
        context.tensors[kernel].as_ref()?;
        let plain = *batch_groups == 1 && base_dilation.iter().all(|d| *d == 1) && dimensions.is_standard();
        if !plain || dtype != DType::F32 || context.target.lanes(4) == 1 {
            return None;
        }
        let (shape, k_shape) = (&graph.ty(value).shape, graph.ty(node.operands[1]).const_shape()?);
        let halo = halo_of(&node.op)?;
        let layout = &context.operands[param];
        let enough = |axis: usize| layout.halo[axis].0 >= halo[axis].0 && layout.halo[axis].1 >= halo[axis].1;
        if !(2..halo.len()).all(enough) {
            return None;
        }
        let input_block = layout.block.map_or(1, |block| if block.axis == 1 { block.size } else { 0 });
        let group_inputs = k_shape[1] as i64;
        if input_block == 0 || (*feature_groups > 1 && group_inputs > 1 && group_inputs % input_block != 0) {
            return None;
        }
        Some(Problem {
            value,
            input,
            kernel,
            dtype,
            batch: shape[0].clone(),
            features: k_shape[0] as i64,
            groups: *feature_groups,
            group_inputs,
            output: shape[2..].to_vec(),
            window: k_shape[2..].iter().map(|extent| *extent as i64).collect(),
            stride: stride.clone(),
            dilation: kernel_dilation.clone(),
            low: halo[2..].iter().map(|sides| sides.0).collect(),
            input_block,
        })
    }

    /// One input channel per group and as many groups as output channels.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_inputs == 1 && self.groups == self.features
    }

    /// Whether each output pixel reads just the input pixel at the same place.
    pub fn is_pixelwise(&self) -> bool {
        let ones = |values: &[i64]| values.iter().all(|value| *value == 1);
        ones(&self.window) && ones(&self.stride) && self.low.iter().all(|low| *low == 0)
    }

    /// The input's index for an output pixel, a place of the window and an input channel.
    pub fn input_index(&self, batch: &Dim, channel: Dim, pixel: &[Dim], window: &[Dim]) -> Vec<Dim> {
        let mut index = vec![batch.clone(), channel];
        for n in 0..pixel.len() {
            index.push(&pixel[n] * self.stride[n] + &window[n] * self.dilation[n] - self.low[n]);
        }
        index
    }
}
