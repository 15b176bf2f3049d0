//! Compiled code against the interpreter.
//!
//! A case is a graph and its inputs. It is interpreted, and compiled by each backend and run with one and with three workers; the results with different numbers of workers must
//! have the same bits, and differ from the interpreter's by no more than a tolerance that is relative to the largest element.

use graven::accuracy::Accuracy;
use graven::emit::jit::{CompiledModel, JitOptions, Session, TensorView, TensorViewMut};
use graven::form::plan;
use graven::pipeline;
use graven::remarks::Remarks;
use graven::target::Target;
use graven_ir::interp::evaluate;
use graven_ir::{Function, GraphBuilder, Module, Tensor, ValueId};
use std::sync::Arc;

/// Results may differ from the interpreter's, which accumulates in f64, by this much of the largest element: sums of a few thousand products in f32.
const TOLERANCE: f64 = 2e-5;

/// Elements in −1..1 from a fixed sequence (a linear congruential generator, Numerical Recipes).
pub fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let elements: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_f32s(shape.to_vec(), &elements).expect("the shape fits the elements")
}

/// Builds, interprets, compiles and compares; panics with the case's name where results differ.
pub fn check(
    name: &str,
    inputs: &[Tensor],
    build: impl FnOnce(&mut GraphBuilder, &[ValueId]) -> Vec<ValueId>,
) {
    let module = module(name, inputs, build);
    let expected = evaluate(&module, "main", inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
    for target in runnable_targets() {
        check_compiled(name, &module, inputs, &expected, &target);
    }
}

/// The host as each backend sees it: its vectors of 128 bits, and of 256 and 512 bits where it has them.
pub fn runnable_targets() -> Vec<Target> {
    let host = Target::host().expect("the host is supported");
    let avx2 = Target::new(&host.triple.to_string(), Some("x86-64-v3")).ok();
    let avx2 = avx2.filter(|avx2| host.features.contains(avx2.features)).and_then(Target::widened);
    let wide = host.clone().widened().filter(|wide| wide.vector_bytes > 32);
    [Some(host), avx2, wide].into_iter().flatten().collect()
}

fn check_compiled(name: &str, module: &Module, inputs: &[Tensor], expected: &[Tensor], target: &Target) {
    let name = &format!("{name} in vectors of {} bytes", target.vector_bytes);
    let program =
        pipeline::lower(module, target, Accuracy::Default, &mut Remarks::default(), &mut |_, _, _| {})
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    plan::check(&program).unwrap_or_else(|error| panic!("{name}: {error}"));
    let model =
        CompiledModel::new(&program, target, JitOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let single = run(&model, inputs, expected, 1);
    let shared = run(&model, inputs, expected, 3);
    for (n, result) in single.iter().enumerate() {
        assert_eq!(result, &shared[n], "{name}: output {n} depends on the number of workers");
        compare(name, n, &expected[n], result);
    }
}

fn module(
    name: &str,
    inputs: &[Tensor],
    build: impl FnOnce(&mut GraphBuilder, &[ValueId]) -> Vec<ValueId>,
) -> Module {
    let mut module = Module { name: name.into(), ..Module::default() };
    let mut builder = GraphBuilder::new(&mut module.constants);
    let params: Vec<ValueId> = inputs.iter().map(|tensor| builder.param(tensor.ty(), None)).collect();
    let results = build(&mut builder, &params);
    let graph = builder.finish(results);
    let names = |stem: &str, count: usize| (0..count).map(|n| Arc::from(format!("{stem}{n}"))).collect();
    let (inputs, outputs) = (names("x", inputs.len()), names("y", graph.results().len()));
    module.functions.push(Function { name: "main".into(), graph, inputs, outputs, states: Vec::new() });
    module
}

fn run(model: &CompiledModel, inputs: &[Tensor], like: &[Tensor], workers: usize) -> Vec<Tensor> {
    let mut session = Session::new(model, workers).expect("a session");
    // Memory of f64 is aligned for every dtype.
    let aligned = |tensor: &Tensor| vec![0f64; tensor.data().len().div_ceil(8)];
    let mut memory: Vec<Vec<f64>> = inputs.iter().map(aligned).collect();
    for (buffer, tensor) in memory.iter_mut().zip(inputs) {
        bytes_mut(buffer)[..tensor.data().len()].copy_from_slice(tensor.data());
    }
    let views: Vec<TensorView> = memory
        .iter()
        .zip(inputs)
        .map(|(buffer, tensor)| {
            let data = &bytes(buffer)[..tensor.data().len()];
            TensorView::new(tensor.dtype(), tensor.shape(), data).expect("a view of an input")
        })
        .collect();
    let mut results: Vec<Vec<f64>> = like.iter().map(aligned).collect();
    let mut targets: Vec<TensorViewMut> = results
        .iter_mut()
        .zip(like)
        .map(|(buffer, tensor)| {
            let data = &mut bytes_mut(buffer)[..tensor.data().len()];
            TensorViewMut::new(tensor.dtype(), tensor.shape(), data).expect("a view of an output")
        })
        .collect();
    session.run(&views, &mut targets).unwrap_or_else(|error| panic!("{}: {error}", model.name()));
    drop(targets);
    let tensor = |(buffer, tensor): (&Vec<f64>, &Tensor)| {
        let data = bytes(buffer)[..tensor.data().len()].to_vec();
        Tensor::new(tensor.dtype(), tensor.shape().to_vec(), data).expect("the size of the expected output")
    };
    results.iter().zip(like).map(tensor).collect()
}

fn bytes(buffer: &[f64]) -> &[u8] {
    bytemuck::cast_slice(buffer)
}

fn bytes_mut(buffer: &mut [f64]) -> &mut [u8] {
    bytemuck::cast_slice_mut(buffer)
}

fn compare(name: &str, output: usize, expected: &Tensor, actual: &Tensor) {
    let (expected, actual) = (expected.to_f64s(), actual.to_f64s());
    let largest = expected.iter().filter(|x| x.is_finite()).fold(1e-3, |most: f64, x| most.max(x.abs()));
    for (place, (want, got)) in expected.iter().zip(&actual).enumerate() {
        let equal = want == got || (want.is_nan() && got.is_nan());
        let near = (want - got).abs() <= TOLERANCE * largest;
        assert!(
            equal || near,
            "{name}: output {output}, element {place} is {got}, the interpreter says {want}"
        );
    }
}
