//! States and calls of the application: compiled functions of the text form, run several times, against the interpreter.

use graven::accuracy::Accuracy;
use graven::emit::jit::{
    CompiledModel, CustomFunction, JitOptions, Session, SessionError, TensorView, TensorViewMut,
};
use graven::form::plan;
use graven::pipeline;
use graven::program::{Program, Step};
use graven::remarks::Remarks;
use graven::target::Target;
use graven_ir::interp::{CustomCalls, Interpreter};
use graven_ir::text::parse;
use graven_ir::{Module, Tensor};
use std::sync::Arc;

fn lowered(text: &str) -> (Module, Program, Target) {
    let module = parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let host = Target::host().expect("the host is supported");
    let target = host.clone().widened().unwrap_or(host);
    let mut remarks = Remarks::default();
    let program = pipeline::lower(&module, &target, Accuracy::Default, &mut remarks, &mut |_, _, _| {});
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    plan::check(&program).unwrap_or_else(|error| panic!("{error}"));
    (module, program, target)
}

fn copies(program: &Program) -> usize {
    program.steps.iter().filter(|step| matches!(step, Step::Copy { .. })).count()
}

fn f32s(elements: &[f32]) -> Tensor {
    Tensor::from_f32s(vec![elements.len()], elements).expect("a vector")
}

/// Runs a function of f32 vectors three times, with one and with three workers; outputs and states must have the interpreter's bits. Gives the program.
fn check(text: &str, inputs: &[Tensor]) -> Program {
    let (module, program, target) = lowered(text);
    let model = CompiledModel::new(&program, &target, JitOptions::default()).expect("a model");
    for workers in [1, 3] {
        let mut session = Session::new(&model, workers).expect("a session");
        let zeros = |elements: usize| f32s(&vec![0.0; elements]);
        let mut states: Vec<Tensor> =
            model.states().iter().map(|port| zeros(port.ty.elements().upper() as usize)).collect();
        for run in 0..3 {
            let all: Vec<Tensor> = inputs.iter().chain(&states).cloned().collect();
            let expected = Interpreter::new(&module.constants).function(&module.functions[0], &all);
            let mut expected = expected.unwrap_or_else(|error| panic!("{error}"));
            let memory: Vec<Vec<f32>> = inputs.iter().map(floats).collect();
            let views: Vec<TensorView> = memory
                .iter()
                .zip(inputs)
                .map(|(data, tensor)| TensorView::f32(tensor.shape(), data).expect("a view"))
                .collect();
            let mut results: Vec<Vec<f32>> =
                expected[..model.outputs().len()].iter().map(|tensor| vec![0.0; tensor.len()]).collect();
            let mut targets: Vec<TensorViewMut> = results
                .iter_mut()
                .zip(&expected)
                .map(|(data, tensor)| TensorViewMut::f32(tensor.shape(), data).expect("a view"))
                .collect();
            session.run(&views, &mut targets).expect("a run");
            states = expected.split_off(model.outputs().len());
            for (result, tensor) in results.iter().zip(&expected) {
                assert_eq!(*result, floats(tensor), "an output of run {run}");
            }
            for (n, state) in states.iter().enumerate() {
                let bytes = state.data().len();
                let memory = session.state(n).expect("a state")[..bytes].to_vec();
                assert_eq!(memory, state.data().to_vec(), "state {n} after run {run}");
            }
        }
    }
    program
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f64s().into_iter().map(|x| x as f32).collect()
}

/// An update of each element, as of an optimiser: computed where the state is.
#[test]
fn updates_are_in_place() {
    let text = "func @main(%g: f32[1037]) -> (y: f32[1037]) state (%p: f32[1037]) {
  %h = mul %g, %g : f32[1037]
  %q = sub %p, %h : f32[1037]
  %y = add %q, %g : f32[1037]
  return %y state %q
}
";
    let g: Vec<f32> = (0..1037).map(|n| n as f32 * 0.25).collect();
    assert_eq!(copies(&check(text, &[f32s(&g)])), 0);
}

/// The old value is read after, or at other places than, the new one is written: that one is computed elsewhere and copied.
#[test]
fn old_values_are_kept_while_they_are_read() {
    let reversed = "func @main(%g: f32[37]) -> (y: f32[37]) state (%p: f32[37]) {
  %r = reverse %p {axes = [0]} : f32[37]
  %q = add %r, %g : f32[37]
  %y = neg %g : f32[37]
  return %y state %q
}
";
    let g: Vec<f32> = (0..37).map(|n| n as f32).collect();
    assert_eq!(copies(&check(reversed, &[f32s(&g)])), 1);
    let exchanged = "func @main(%g: f32[5]) -> (y: f32[5]) state (%p: f32[5], %q: f32[5]) {
  %n = add %p, %g : f32[5]
  %y = mul %n, %g : f32[5]
  return %y state %q, %n
}
";
    check(exchanged, &[f32s(&[1.0, 2.0, 3.0, 4.0, 5.0])]);
}

/// A state that a loop carries, and one that it goes along.
#[test]
fn loops_over_states() {
    let text = "func @main(%x: f32[3]) -> (y: f32[3]) state (%p: f32[3], %h: f32[12]) {
  %rows = reshape %h {shape = [4, 3]} : f32[4, 3]
  %n, %all = scan %p, %rows, %x {carried = 1, scanned = 1, length = 4, reverse = false} : f32[3], f32[4, 3] body (%c: f32[3], %r: f32[3], %k: f32[3]) {
    %s = add %c, %r : f32[3]
    %t = add %s, %k : f32[3]
    yield %t, %s
  }
  %flat = reshape %all {shape = [12]} : f32[12]
  return %n state %n, %flat
}
";
    check(text, &[f32s(&[1.0, 2.0, 3.0])]);
}

const CALLING: &str = "func @main(%x: f32[3]) -> (y: f32[3]) {
  %a = add %x, %x : f32[3]
  custom_call %a {target = \"observe\", dtypes = [], shapes = []}
  %b = custom_call %a, %x {target = \"join\", dtypes = [f32], shapes = [[6]]} : f32[6]
  %y = slice %b {start = [2], limit = [5], stride = [1]} : f32[3]
  return %y
}
";

fn call(session: &mut Session, x: &[f32; 3]) -> Result<[f32; 3], SessionError> {
    let mut y = [0.0; 3];
    let input = TensorView::f32(&[3], x).expect("a view");
    let mut outputs = [TensorViewMut::f32(&[3], &mut y).expect("a view")];
    session.run(&[input], &mut outputs)?;
    Ok(y)
}

fn join() -> Arc<CustomFunction> {
    Arc::new(|operands: &[TensorView], results: &mut [TensorViewMut]| {
        assert_eq!((operands[0].shape(), results[0].shape()), (&[3][..], &[6][..]));
        let joined = [operands[0].data(), operands[1].data()].concat();
        results[0].data().copy_from_slice(&joined);
        Ok(())
    })
}

#[test]
fn the_application_is_called() {
    let (module, program, target) = lowered(CALLING);
    let mut calls = CustomCalls::new();
    calls.register("observe", |_, _| Ok(Vec::new()));
    calls.register("join", |operands, types| {
        let data = [operands[0].data().to_vec(), operands[1].data().to_vec()].concat();
        Ok(vec![Tensor::new(types[0].dtype, vec![6], data).map_err(|error| error.to_string())?])
    });
    let x = [1.0, 2.0, 3.0];
    let interpreter = Interpreter::new(&module.constants).with_custom_calls(calls);
    let expected = interpreter.function(&module.functions[0], &[f32s(&x)]).expect("a result");
    let model = CompiledModel::new(&program, &target, JitOptions::default()).expect("a model");
    let mut session = Session::new(&model, 2).expect("a session");
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let observer = seen.clone();
    let observe: Arc<CustomFunction> = Arc::new(move |operands: &[TensorView], _: &mut [TensorViewMut]| {
        observer.lock().expect("a list").push(operands[0].data().to_vec());
        Ok(())
    });
    assert!(session.register("observe", &observe) && session.register("join", &join()));
    assert!(!session.register("unknown", &observe));
    assert_eq!(call(&mut session, &x).expect("a run").to_vec(), floats(&expected[0]));
    // Its result is not used, and still it is called, once per run.
    assert_eq!(*seen.lock().expect("a list"), [f32s(&[2.0, 4.0, 6.0]).data().to_vec()]);
}

#[test]
fn calls_that_are_missing_or_fail_end_the_run() {
    let (_, program, target) = lowered(CALLING);
    let model = CompiledModel::new(&program, &target, JitOptions::default()).expect("a model");
    let mut session = Session::new(&model, 1).expect("a session");
    let message = |session: &mut Session| call(session, &[0.0; 3]).expect_err("an error").to_string();
    assert!(message(&mut session).contains("custom call"));
    let failing: Arc<CustomFunction> = Arc::new(|_: &[TensorView], _: &mut [TensorViewMut]| Err("no".into()));
    session.register("observe", &failing);
    session.register("join", &join());
    assert!(message(&mut session).contains("custom call"));
}
