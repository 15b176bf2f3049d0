//! The inner loops of contractions and convolutions, as the schedules make them, hold everything in registers on both levels of the wide backend, but for those that are named.

use graven::accuracy::Accuracy;
use graven::codegen::wide::WideCompiler;
use graven::pipeline;
use graven::remarks::Remarks;
use graven::target::Target;
use graven_ir::BinaryOp::{Add, Max};
use graven_ir::infer::InferError;
use graven_ir::{ConvDimensions, DType, Dim, Function, GraphBuilder, Module, Op, TensorType, ValueId};
use graven_tests::differential::noise;

/// A model around one contraction and what its schedule fuses with it: a bias and a relu.
enum Case {
    /// Rows, depth, columns.
    Matmul(usize, usize, usize),
    /// Channels in and out, size, window, stride, groups.
    Conv(usize, usize, usize, usize, i64, usize),
}

const CASES: [(&str, Case); 9] = [
    ("matmul", Case::Matmul(96, 128, 192)),
    ("one row", Case::Matmul(1, 256, 256)),
    ("few rows", Case::Matmul(5, 128, 96)),
    ("3 × 3", Case::Conv(64, 64, 14, 3, 1, 1)),
    ("3 × 3, stride 2", Case::Conv(32, 64, 28, 3, 2, 1)),
    ("1 × 1", Case::Conv(64, 128, 14, 1, 1, 1)),
    ("1 × 1 of few places", Case::Conv(128, 64, 7, 1, 1, 1)),
    ("first layer", Case::Conv(3, 32, 32, 3, 2, 1)),
    ("depthwise", Case::Conv(64, 64, 14, 3, 1, 64)),
];

/// Cases that spill with AVX2's 16 registers: the broadcasts of one tap stay for the next, and tiles of few channels and depthwise ones are too large. The list may only shrink.
const SPILLING: [(&str, &str); 4] = [
    ("x86-64-v3", "3 × 3"),
    ("x86-64-v3", "3 × 3, stride 2"),
    ("x86-64-v3", "first layer"),
    ("x86-64-v3", "depthwise"),
];

impl Case {
    fn module(&self) -> Result<Module, InferError> {
        let mut module = Module { name: "m".into(), ..Module::default() };
        let mut builder = GraphBuilder::new(&mut module.constants);
        let shape = match self {
            Case::Matmul(rows, depth, _) => vec![*rows, *depth],
            Case::Conv(channels, _, size, ..) => vec![1, *channels, *size, *size],
        };
        let extents: Vec<Dim> = shape.iter().map(|extent| Dim::from(*extent)).collect();
        let x = builder.param(TensorType::new(DType::F32, extents), None);
        let result = self.contraction(&mut builder, x)?;
        let bias = match self {
            Case::Matmul(_, _, columns) => vec![1, *columns],
            Case::Conv(_, channels, ..) => vec![1, *channels, 1, 1],
        };
        let bias = builder.constant(noise(&bias, 2))?;
        let sum = builder.binary(Add, result, bias)?;
        let result = builder.binary_scalar(Max, sum, 0.0)?;
        let graph = builder.finish(vec![result]);
        let (inputs, outputs) = (vec!["x".into()], vec!["y".into()]);
        module.functions.push(Function { name: "main".into(), graph, inputs, outputs, states: Vec::new() });
        Ok(module)
    }

    fn contraction(&self, builder: &mut GraphBuilder, x: ValueId) -> Result<ValueId, InferError> {
        match *self {
            Case::Matmul(_, depth, columns) => {
                let weights = builder.constant(noise(&[depth, columns], 1))?;
                let (lhs_batch, rhs_batch) = (Vec::new(), Vec::new());
                let (lhs_contract, rhs_contract) = (vec![1], vec![0]);
                builder.op(Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, &[x, weights])
            }
            Case::Conv(inputs, outputs, _, window, stride, groups) => {
                let weights = builder.constant(noise(&[outputs, inputs / groups, window, window], 1))?;
                let padding = vec![Dim::from(window / 2); 2];
                let op = Op::Conv {
                    dimensions: ConvDimensions::standard(2),
                    stride: vec![stride; 2],
                    padding_low: padding.clone(),
                    padding_high: padding,
                    base_dilation: vec![1; 2],
                    kernel_dilation: vec![1; 2],
                    feature_groups: groups as i64,
                    batch_groups: 1,
                };
                builder.op(op, &[x, weights])
            }
        }
    }
}

#[test]
fn inner_loops_do_not_spill() {
    let (mut spilling, mut statistics) = (Vec::new(), Vec::new());
    for cpu in ["x86-64-v3", "x86-64-v4"] {
        let target = Target::new("x86_64-unknown-linux-gnu", Some(cpu)).expect("a target");
        let target = target.widened().expect("wide vectors");
        let compiler = WideCompiler::new(&target).expect("a compiler");
        for (name, case) in &CASES {
            let module = case.module().expect("a module");
            let mut remarks = Remarks::default();
            let program =
                pipeline::lower(&module, &target, Accuracy::Default, &mut remarks, &mut |_, _, _| {})
                    .expect("a program");
            let of_kernels: Vec<_> =
                program.kernels.values().map(|kernel| compiler.statistics(kernel).expect("code")).collect();
            if of_kernels.iter().any(|kernel| kernel.innermost_spills > 0) {
                spilling.push((cpu, *name));
                statistics.push(of_kernels);
            }
        }
    }
    assert_eq!(spilling, SPILLING, "{statistics:?}");
}
