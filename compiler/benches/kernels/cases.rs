//! The contractions and convolutions that are measured, each a model of its own.

use graven_ir::infer::InferError;
use graven_ir::{
    ConvDimensions, DType, Dim, Function, GraphBuilder, Module, Op, Tensor, TensorType, ValueId,
};
use std::sync::Arc;

/// A model around one contraction.
pub enum Case {
    /// `[m, k] · [k, n]` with a constant right operand.
    Constant(usize, usize, usize),
    /// `[batch, m, k] · [batch, k, n]`, both inputs; the right one lies as `[batch, n, k]` if `transposed`.
    Batched { batch: usize, m: usize, k: usize, n: usize, transposed: bool },
    /// A convolution with constant kernel.
    Conv(Conv),
}

/// A convolution of square images.
#[derive(Clone, Copy)]
pub struct Conv {
    inputs: usize,
    outputs: usize,
    size: usize,
    window: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
    /// Input places per step: over 1 it is a transposed convolution.
    spread: usize,
}

const PLAIN: Conv = Conv {
    inputs: 64,
    outputs: 64,
    size: 56,
    window: 3,
    stride: 1,
    padding: 1,
    dilation: 1,
    groups: 1,
    spread: 1,
};

const fn conv(inputs: usize, outputs: usize, size: usize, window: usize, stride: usize) -> Case {
    Case::Conv(Conv { inputs, outputs, size, window, stride, padding: window / 2, ..PLAIN })
}

/// What is measured, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    let depthwise = |channels, size, window, stride| {
        Case::Conv(Conv {
            inputs: channels,
            outputs: channels,
            size,
            window,
            stride,
            padding: window / 2,
            groups: channels,
            ..PLAIN
        })
    };
    let batched = |batch, m, k, n, transposed| Case::Batched { batch, m, k, n, transposed };
    vec![
        ("matmul_256", Case::Constant(256, 256, 256)),
        ("matmul_512", Case::Constant(512, 512, 512)),
        ("matmul_1024", Case::Constant(1024, 1024, 1024)),
        ("matmul_2048", Case::Constant(2048, 2048, 2048)),
        ("bert_projection", Case::Constant(128, 768, 768)),
        ("bert_expansion", Case::Constant(128, 768, 3072)),
        ("vit_contraction", Case::Constant(197, 3072, 768)),
        ("rows_4", Case::Constant(4, 1024, 1024)),
        ("vector_matrix", Case::Constant(1, 2048, 2048)),
        ("matrix_vector", Case::Constant(2048, 2048, 1)),
        ("classifier", Case::Constant(1, 2048, 1000)),
        ("columns_3", Case::Constant(1024, 512, 3)),
        ("scores", batched(12, 128, 64, 128, true)),
        ("mixture", batched(12, 128, 128, 64, false)),
        ("scores_197", batched(12, 197, 64, 197, true)),
        ("matmul_inputs_512", batched(1, 512, 512, 512, false)),
        ("first_layer", Case::Conv(Conv { inputs: 3, size: 224, window: 7, stride: 2, padding: 3, ..PLAIN })),
        ("conv_3x3_56", conv(64, 64, 56, 3, 1)),
        ("conv_3x3_28", conv(128, 128, 28, 3, 1)),
        ("conv_3x3_14", conv(256, 256, 14, 3, 1)),
        ("conv_3x3_7", conv(512, 512, 7, 3, 1)),
        ("conv_3x3_stride", conv(128, 128, 56, 3, 2)),
        ("conv_1x1_56", conv(64, 256, 56, 1, 1)),
        ("conv_1x1_28", conv(512, 128, 28, 1, 1)),
        ("conv_1x1_14", conv(1024, 256, 14, 1, 1)),
        ("conv_1x1_7", conv(512, 2048, 7, 1, 1)),
        ("conv_1x1_stride", conv(256, 512, 56, 1, 2)),
        (
            "conv_dilated",
            Case::Conv(Conv { inputs: 256, outputs: 256, size: 28, padding: 2, dilation: 2, ..PLAIN }),
        ),
        ("conv_grouped", Case::Conv(Conv { inputs: 128, outputs: 128, groups: 32, ..PLAIN })),
        ("depthwise_112", depthwise(32, 112, 3, 1)),
        ("depthwise_stride", depthwise(96, 112, 3, 2)),
        ("depthwise_5x5_14", depthwise(480, 14, 5, 1)),
        (
            "transposed_16",
            Case::Conv(Conv {
                inputs: 256,
                outputs: 128,
                size: 16,
                window: 4,
                padding: 2,
                spread: 2,
                ..PLAIN
            }),
        ),
    ]
}

impl Case {
    /// Shapes of the inputs.
    pub fn inputs(&self) -> Vec<Vec<usize>> {
        match self {
            Case::Constant(m, k, _) => vec![vec![*m, *k]],
            Case::Batched { batch, m, k, n, transposed } => {
                let right = if *transposed { [*batch, *n, *k] } else { [*batch, *k, *n] };
                vec![vec![*batch, *m, *k], right.to_vec()]
            }
            Case::Conv(conv) => vec![vec![1, conv.inputs, conv.size, conv.size]],
        }
    }

    /// The model.
    pub fn module(&self, name: &str) -> Result<Module, InferError> {
        let mut module = Module { name: name.into(), ..Module::default() };
        let mut builder = GraphBuilder::new(&mut module.constants);
        let inputs = self.inputs();
        let extents = |shape: &[usize]| shape.iter().map(|extent| Dim::from(*extent)).collect::<Vec<_>>();
        let params: Vec<ValueId> = inputs
            .iter()
            .map(|shape| builder.param(TensorType::new(DType::F32, extents(shape)), None))
            .collect();
        let result = self.result(&mut builder, &params)?;
        let graph = builder.finish(vec![result]);
        let names = (0..inputs.len()).map(|n| Arc::from(format!("x{n}"))).collect();
        let outputs = vec![Arc::from("y")];
        module.functions.push(Function {
            name: "main".into(),
            graph,
            inputs: names,
            outputs,
            states: Vec::new(),
        });
        Ok(module)
    }

    fn result(&self, b: &mut GraphBuilder, params: &[ValueId]) -> Result<ValueId, InferError> {
        match self {
            Case::Constant(_, k, n) => {
                let right = b.constant(random(&[*k, *n]))?;
                let op = Op::DotGeneral {
                    lhs_batch: vec![],
                    rhs_batch: vec![],
                    lhs_contract: vec![1],
                    rhs_contract: vec![0],
                };
                b.op(op, &[params[0], right])
            }
            Case::Batched { transposed, .. } => {
                let op = Op::DotGeneral {
                    lhs_batch: vec![0],
                    rhs_batch: vec![0],
                    lhs_contract: vec![2],
                    rhs_contract: vec![if *transposed { 2 } else { 1 }],
                };
                b.op(op, params)
            }
            Case::Conv(conv) => {
                let window = conv.window;
                let kernel =
                    b.constant(random(&[conv.outputs, conv.inputs / conv.groups, window, window]))?;
                let op = Op::Conv {
                    dimensions: ConvDimensions::standard(2),
                    stride: vec![conv.stride as i64; 2],
                    padding_low: vec![Dim::from(conv.padding); 2],
                    padding_high: vec![Dim::from(conv.padding); 2],
                    base_dilation: vec![conv.spread as i64; 2],
                    kernel_dilation: vec![conv.dilation as i64; 2],
                    feature_groups: conv.groups as i64,
                    batch_groups: 1,
                };
                b.op(op, &[params[0], kernel])
            }
        }
    }
}

/// Elements in −1..1, always the same.
pub fn random(shape: &[usize]) -> Tensor {
    let mut state = 1u32;
    let elements: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_f32s(shape.to_vec(), &elements).unwrap_or_else(|error| panic!("{error}"))
}
