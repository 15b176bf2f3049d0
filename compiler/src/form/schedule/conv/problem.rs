//! The dimensions of a convolution that the direct schedules take.

use super::super::Context;
use crate::form::constant::ConstantView;
use crate::form::group::{Group, epilogue_of};
use graven_ir::{ConvDimensions, DType, Dim, DimensionRole, Node, Op, ValueId};

/// A convolution with standard dimension order of input and output and a constant kernel.
///
/// A convolution that spreads its input (base dilation b) is several: the output places o = φ + P·q of a phase φ, with the period P, see the same places of the
/// window, those with (φ·stride + k·dilation − low) mod b = 0. Between the places of the input are only zeros, which none of them multiplies.
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
    /// The spatial dimensions of the tensors along which anything moves; the lists below have an entry for each of these.
    pub spatial: Vec<usize>,
    /// Places of the input and the output along all spatial dimensions, for those along which nothing moves.
    pub fixed: Vec<(i64, i64)>,
    /// Output extents of the phase.
    pub output: Vec<Dim>,
    /// First output place of the phase and distance to the next, for each dimension.
    pub phase: Vec<(i64, i64)>,
    /// Window extents.
    pub window: Vec<i64>,
    /// Steps.
    pub stride: Vec<i64>,
    /// Window dilations.
    pub dilation: Vec<i64>,
    /// Padding before; negative where the first window begins within the input.
    pub low: Vec<i64>,
    /// Block of the input's channels: 1 if it is not blocked.
    pub input_block: i64,
    /// Where the weights lie.
    pub weights: Weights,
}

/// Where the weights lie in their constant, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// The first one.
    pub offset: isize,
    /// From one output channel to the next.
    pub outer: isize,
    /// From one input channel of a group to the next.
    pub inner: isize,
    /// Along the window.
    pub window: Vec<isize>,
}

/// The zeros before and after each dimension that a convolution wants around its input; `None` if they aren't known when compiling.
pub fn halo_of(op: &Op) -> Option<Vec<(i64, i64)>> {
    let Op::Conv { padding_low, padding_high, base_dilation, .. } = op else { return None };
    // Between spread places are zeros anyway, and negative padding cuts places off.
    let zeros = |padding: &Dim, spread: i64| Some(padding.as_const()?.max(0) / spread.max(1));
    let sides = padding_low.iter().zip(padding_high).zip(base_dilation);
    let sides = sides.map(|((low, high), spread)| Some((zeros(low, *spread)?, zeros(high, *spread)?)));
    let spatial: Option<Vec<(i64, i64)>> = sides.collect();
    Some([(0, 0), (0, 0)].into_iter().chain(spatial?).collect())
}

/// Whether the direct schedules take a convolution of such elements, its kernel and layouts aside.
pub fn is_direct(op: &Op, dtype: DType) -> bool {
    let Op::Conv { dimensions, batch_groups, .. } = op else { return false };
    let standard = ConvDimensions::standard(dimensions.spatial_rank());
    matches!(dtype, DType::F32 | DType::I32)
        && *batch_groups == 1
        && dimensions.input == standard.input
        && dimensions.output == standard.output
        && dimensions.spatial_rank() > 0
        && halo_of(op).is_some()
}

impl Problem {
    /// The phases of a group's convolution with an elementwise epilogue, if its operands lie as the schedules want them.
    pub fn of(group: &Group, context: &Context) -> Option<Vec<Problem>> {
        let graph = &group.graph;
        let node = epilogue_of(graph, |node: &Node| matches!(node.op, Op::Conv { .. }))?;
        let Op::Conv { dimensions, stride, kernel_dilation, padding_low, feature_groups, .. } = &node.op
        else {
            return None;
        };
        let (value, input) = (node.results[0], node.operands[0]);
        let dtype = graph.ty(value).dtype;
        let param = graph.params().iter().position(|param| *param == input)?;
        let kernel = graph.params().iter().position(|param| *param == node.operands[1])?;
        let view = context.views[kernel].as_ref()?;
        if !is_direct(&node.op, dtype) || context.target.lanes(4) == 1 {
            return None;
        }
        let halo = halo_of(&node.op)?;
        let layout = &context.operands[param];
        let enough = |axis: usize| layout.halo[axis].0 >= halo[axis].0 && layout.halo[axis].1 >= halo[axis].1;
        if !(2..halo.len()).all(enough) {
            return None;
        }
        let input_block = layout.block.map_or(1, |block| if block.axis == 1 { block.size } else { 0 });
        let axis = |role| ConvDimensions::position(&dimensions.kernel, role);
        let (outer, inner) = (axis(DimensionRole::Outer)?, axis(DimensionRole::Inner)?);
        let spatial = (0..dimensions.spatial_rank()).map(|n| axis(DimensionRole::Spatial(n as u8)));
        let spatial = spatial.collect::<Option<Vec<usize>>>()?;
        let group_inputs = view.shape[inner] as i64;
        if input_block == 0 || (*feature_groups > 1 && group_inputs > 1 && group_inputs % input_block != 0) {
            return None;
        }
        let shape = &graph.ty(value).shape;
        let whole = Problem {
            value,
            input,
            kernel,
            dtype,
            batch: shape[0].clone(),
            features: view.shape[outer] as i64,
            groups: *feature_groups,
            group_inputs,
            spatial: (0..spatial.len()).collect(),
            fixed: vec![(0, 0); spatial.len()],
            output: shape[2..].to_vec(),
            phase: vec![(0, 1); spatial.len()],
            window: spatial.iter().map(|axis| view.shape[*axis] as i64).collect(),
            stride: stride.clone(),
            dilation: kernel_dilation.clone(),
            low: padding_low.iter().map(Dim::as_const).collect::<Option<_>>()?,
            input_block,
            weights: Weights::of(view, outer, inner, &spatial),
        };
        Some(whole.phases(&node.op)?.into_iter().map(Problem::without_single_places).collect())
    }

    /// The same without dimensions of one output place and one place of the window, unless there are no others.
    fn without_single_places(mut self) -> Problem {
        for n in (0..self.output.len()).rev() {
            if self.output.len() > 1 && self.output[n].is(1) && self.window[n] == 1 {
                self.fixed[self.spatial[n]] = (-self.low[n], self.phase[n].0);
                self.output.remove(n);
                self.phase.remove(n);
                self.spatial.remove(n);
                self.weights.window.remove(n);
                for list in [&mut self.window, &mut self.stride, &mut self.dilation, &mut self.low] {
                    list.remove(n);
                }
            }
        }
        self
    }

    /// One problem per phase.
    fn phases(self, op: &Op) -> Option<Vec<Problem>> {
        let Op::Conv { base_dilation, .. } = op else { return None };
        let mut phases = vec![self];
        for (n, spread) in base_dilation.iter().enumerate().filter(|(_, spread)| **spread != 1) {
            let period = spread / gcd(*spread, phases[0].stride[n]);
            if !(1..=MOST_PHASES / phases.len() as i64).contains(&period) {
                return None;
            }
            let of_dimension = |problem: &Problem| {
                (0..period).map(|phase| problem.phase(n, *spread, (phase, period))).collect::<Vec<_>>()
            };
            phases = phases.iter().flat_map(of_dimension).collect();
        }
        Some(phases)
    }

    /// The output places `phase` + `period`·q of dimension `n`, whose input is spread by `spread`.
    fn phase(&self, n: usize, spread: i64, (phase, period): (i64, i64)) -> Problem {
        let mut part = self.clone();
        let start = |tap: i64| phase * self.stride[n] + tap * self.dilation[n] - self.low[n];
        let mut taps = (0..self.window[n]).filter(|tap| start(*tap).rem_euclid(spread) == 0);
        let first = taps.next();
        part.window[n] = taps.count() as i64 + i64::from(first.is_some());
        let first = first.unwrap_or(0);
        let step = spread / gcd(spread, self.dilation[n]);
        part.phase[n] = (phase, period);
        part.output[n] = (&self.output[n] - phase).ceil_div(&Dim::from(period)).maximum(&Dim::ZERO);
        part.stride[n] = period * self.stride[n] / spread;
        part.dilation[n] = step * self.dilation[n] / spread;
        part.low[n] = -start(first).div_euclid(spread);
        part.weights.offset += first as isize * self.weights.window[n];
        part.weights.window[n] *= step as isize;
        part
    }

    /// One input channel per group and as many groups as output channels.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_inputs == 1 && self.groups == self.features
    }

    /// Whether each output pixel reads just the input pixel at the same place.
    pub fn is_pixelwise(&self) -> bool {
        let ones = |values: &[i64]| values.iter().all(|value| *value == 1);
        ones(&self.window)
            && ones(&self.stride)
            && self.low.iter().all(|low| *low == 0)
            && self.phase.iter().all(|phase| *phase == (0, 1))
    }

    /// Window places.
    pub fn taps(&self) -> i64 {
        self.window.iter().product()
    }

    /// The input's index for an output pixel of the phase, a place of the window and an input channel.
    pub fn input_index(&self, batch: &Dim, channel: Dim, pixel: &[Dim], window: &[Dim]) -> Vec<Dim> {
        let mut index = vec![batch.clone(), channel];
        index.extend(self.fixed.iter().map(|(place, _)| Dim::from(*place)));
        for (n, axis) in self.spatial.iter().enumerate() {
            index[2 + axis] = &pixel[n] * self.stride[n] + &window[n] * self.dilation[n] - self.low[n];
        }
        index
    }

    /// The output's index for a pixel of the phase.
    pub fn output_index(&self, batch: &Dim, channel: Dim, pixel: &[Dim]) -> Vec<Dim> {
        let mut index = vec![batch.clone(), channel];
        index.extend(self.fixed.iter().map(|(_, place)| Dim::from(*place)));
        for ((axis, place), (first, step)) in self.spatial.iter().zip(pixel).zip(&self.phase) {
            index[2 + axis] = place * *step + *first;
        }
        index
    }
}

/// Kernels that one convolution is cut into at most.
const MOST_PHASES: i64 = 64;

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

impl Weights {
    fn of(view: &ConstantView, outer: usize, inner: usize, spatial: &[usize]) -> Weights {
        Weights {
            offset: view.offset,
            outer: view.strides[outer],
            inner: view.strides[inner],
            window: spatial.iter().map(|axis| view.strides[*axis]).collect(),
        }
    }
}
