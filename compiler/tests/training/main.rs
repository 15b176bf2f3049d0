//! Ten training steps equal those that `record.py` has recorded from PyTorch, on all backends, and bit for bit for any number of threads.
//!
//! * `networks`: the same for ONNX models, with batch normalisation in both modes

mod network;
mod networks;

use graven::api::{Backend, Options, TensorView, Trainer};
use graven::train::{Loss, Optimizer, StepOptions, trainable};
use graven_ir::{DType, Module, Tensor};
use graven_runtime::arena::Arena;
use serde_json::Value;
use std::collections::BTreeMap;

struct Case {
    name: &'static str,
    text: &'static str,
    record: &'static str,
    loss: Loss,
    optimizer: Optimizer,
    learning_rate: f64,
}

macro_rules! case {
    ($name:literal, $loss:expr, $optimizer:expr, $rate:expr) => {
        Case {
            name: $name,
            text: include_str!(concat!($name, ".gir")),
            record: include_str!(concat!($name, ".json")),
            loss: $loss,
            optimizer: $optimizer,
            learning_rate: $rate,
        }
    };
}

fn cases() -> [Case; 4] {
    let momentum = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    let decay = Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.05, decoupled: true };
    [
        case!("mlp", Loss::CrossEntropy, momentum, 0.1),
        case!("lenet", Loss::CrossEntropy, Optimizer::ADAM, 0.01),
        case!("transformer", Loss::MeanSquaredError, decay, 0.01),
        case!("lstm", Loss::MeanSquaredError, Optimizer::SGD, 0.2),
    ]
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    let bytes: Vec<u8> = match dtype {
        DType::F32 => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        DType::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| (*x as i64).to_le_bytes()).collect(),
    };
    Tensor::new(dtype, shape.to_vec(), bytes).unwrap()
}

/// A tensor's bytes at the alignment of compiled code.
fn aligned(tensor: &Tensor) -> Arena {
    let mut memory = Arena::new(tensor.data().len()).unwrap();
    memory.copy_from_slice(tensor.data());
    memory
}

/// The backends that make code: the host's best one, and the portable one.
const COMPILED: [Backend; 2] = [Backend::Auto, Backend::Cranelift];

/// Losses of ten steps, and the parameters after them.
type Run = (Vec<f64>, Vec<(String, Tensor)>);

impl Case {
    fn record(&self) -> Value {
        serde_json::from_str(self.record).unwrap()
    }

    fn module(&self, dtype: DType) -> Module {
        graven_ir::text::parse(&self.text.replace("DTYPE", dtype.name())).unwrap()
    }

    fn trainer(&self, dtype: DType, backend: Backend, threads: usize) -> Trainer {
        let module = self.module(dtype);
        let options = StepOptions {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            target_dtype: if self.loss.has_classes() { DType::I64 } else { dtype },
            ..StepOptions::new(self.loss, trainable(&module))
        };
        let compile = Options { backend, threads: Some(threads), ..Options::default() };
        let mut trainer = Trainer::new(&module, &options, compile).unwrap();
        let first = &self.record()["first"];
        let mut states: BTreeMap<String, Tensor> = BTreeMap::new();
        for (name, state) in trainer.states().unwrap() {
            let value = match first.get(&*name) {
                Some(values) => tensor(dtype, state.shape(), &numbers(values)),
                None => state,
            };
            states.insert(name.to_string(), value);
        }
        trainer.set_states(&states).unwrap();
        trainer
    }

    fn batch(&self, dtype: DType) -> (Tensor, Tensor) {
        let record = self.record();
        let module = self.module(dtype);
        let graph = &module.functions[0].graph;
        let x = tensor(dtype, &graph.ty(graph.params()[0]).const_shape().unwrap(), &numbers(&record["x"]));
        let output = graph.ty(graph.results()[0]).const_shape().unwrap();
        let target = match self.loss.has_classes() {
            true => tensor(DType::I64, &output[..1], &numbers(&record["target"])),
            false => tensor(dtype, &output, &numbers(&record["target"])),
        };
        (x, target)
    }

    fn steps(&self, trainer: &mut Trainer, dtype: DType, count: usize) -> Vec<f64> {
        let (x, target) = self.batch(dtype);
        let (x_memory, target_memory) = (aligned(&x), aligned(&target));
        let mut losses = Vec::new();
        for _ in 0..count {
            let x = TensorView::new(x.dtype(), x.shape(), &x_memory).unwrap();
            let target = TensorView::new(target.dtype(), target.shape(), &target_memory).unwrap();
            losses.push(trainer.step(&[x], target).unwrap().loss);
        }
        losses
    }

    fn run(&self, dtype: DType, backend: Backend, threads: usize) -> Run {
        let mut trainer = self.trainer(dtype, backend, threads);
        let losses = self.steps(&mut trainer, dtype, 10);
        let parameters = trainer.parameters().unwrap();
        (losses, parameters.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    /// Losses relative to their size; parameters relative to the largest of their tensor.
    fn compare(&self, what: &str, run: &Run, tolerance: f64) {
        let record = self.record();
        for (step, (found, expected)) in run.0.iter().zip(numbers(&record["losses"])).enumerate() {
            let error = (found - expected).abs() / expected.abs();
            assert!(
                error <= tolerance,
                "{} {what}: loss {found} instead of {expected} in step {step}",
                self.name
            );
        }
        let last = record["last"].as_object().unwrap();
        assert_eq!(run.1.len(), last.len());
        for (name, found) in &run.1 {
            let expected = numbers(&last[name]);
            let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            let pairs = found.to_f64s().into_iter().zip(&expected);
            let error = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
            assert!(
                error <= tolerance * largest,
                "{} {what}: `{name}` differs by {error} of {largest}",
                self.name
            );
        }
    }
}

#[test]
fn the_interpreter_equals_pytorch_in_f64() {
    for case in cases() {
        case.compare("f64 interpreted", &case.run(DType::F64, Backend::Interp, 1), 1e-9);
    }
}

#[test]
fn compiled_steps_equal_pytorch() {
    for case in cases() {
        for backend in COMPILED {
            let what = |dtype: &str| format!("{dtype} by {}", backend.name());
            case.compare(&what("f64"), &case.run(DType::F64, backend, 1), 1e-9);
            case.compare(&what("f32"), &case.run(DType::F32, backend, 1), 1e-4);
        }
    }
}

#[test]
fn threads_do_not_change_bits() {
    for (case, backend) in COMPILED.into_iter().flat_map(|backend| cases().map(|case| (case, backend))) {
        let (one, two) = (case.run(DType::F32, backend, 1), case.run(DType::F32, backend, 3));
        assert_eq!(one.0, two.0, "{}", case.name);
        for ((name, one), (_, two)) in one.1.iter().zip(&two.1) {
            assert_eq!(one.data(), two.data(), "{} `{name}`", case.name);
        }
    }
}

#[test]
fn stop_and_resume_equals_the_uninterrupted_run() {
    for case in cases() {
        let mut first = case.trainer(DType::F32, Backend::Auto, 1);
        case.steps(&mut first, DType::F32, 4);
        let states =
            first.states().unwrap().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let mut second = case.trainer(DType::F32, Backend::Auto, 1);
        second.set_states(&states).unwrap();
        case.steps(&mut second, DType::F32, 6);
        case.steps(&mut first, DType::F32, 6);
        for ((name, one), (_, two)) in first.states().unwrap().iter().zip(second.states().unwrap()) {
            assert_eq!(one.data(), two.data(), "{} `{name}`", case.name);
        }
    }
}
