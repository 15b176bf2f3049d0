use crate::autograd::grad;
use crate::train::optimizer::Rate;
use crate::train::{Clip, Loss, Optimizer, Schedule};
use graven_ir::infer::InferError;
use graven_ir::interp::evaluate;
use graven_ir::{DType, Function, GraphBuilder, Module, Tensor, ValueId};
use serde_json::Value;

const RECORDED: &str = include_str!("torch.json");

fn recorded(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(RECORDED).unwrap();
    all[section].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn shape(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap() as usize).collect()
}

fn f64s(shape: &[usize], values: &[f64]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor::new(DType::F64, shape.to_vec(), bytes).unwrap()
}

/// The results of a graph of f64 and i64 inputs.
fn run(
    inputs: &[Tensor],
    build: impl FnOnce(&mut GraphBuilder<'_>, &[ValueId]) -> Result<Vec<ValueId>, InferError>,
) -> Vec<Vec<f64>> {
    let mut module = Module::default();
    let mut b = GraphBuilder::new(&mut module.constants);
    let params: Vec<ValueId> = inputs.iter().map(|input| b.param(input.ty(), None)).collect();
    let results = build(&mut b, &params).unwrap();
    let graph = b.finish(results);
    module.functions = vec![Function { name: "main".into(), graph, ..Function::default() }];
    evaluate(&module, "main", inputs).unwrap().iter().map(Tensor::to_f64s).collect()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-11 * expected.abs().max(1.0),
            "{what}: {found} instead of {expected}"
        );
    }
}

#[test]
fn losses_and_their_gradients() {
    let cases = recorded("losses");
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let loss: Loss = name.parse().unwrap();
        let predictions = f64s(&shape(&case["shape"]), &numbers(&case["predictions"]));
        let (target_shape, targets) = (shape(&case["target_shape"]), numbers(&case["targets"]));
        let targets = match case["classes"].as_bool().unwrap() {
            true => {
                let classes: Vec<i64> = targets.iter().map(|class| *class as i64).collect();
                Tensor::from_i64s(&classes).reshaped(target_shape).unwrap()
            }
            false => f64s(&target_shape, &targets),
        };
        let results = run(&[predictions, targets], |b, params| {
            let value = loss.build(b, params[0], params[1])?;
            let gradient = grad(b, value, &params[..1]).unwrap()[0];
            Ok(vec![value, gradient])
        });
        assert_close(name, &results[0], &[case["value"].as_f64().unwrap()]);
        assert_close(&format!("{name}, gradient"), &results[1], &numbers(&case["gradient"]));
    }
    let missing = Loss::ALL.iter().find(|loss| cases.iter().all(|case| case["name"] != loss.name()));
    assert_eq!(missing, None, "each loss has a recorded case");
}

fn optimizer(name: &str) -> Optimizer {
    match name {
        "sgd" => Optimizer::SGD,
        "sgd-momentum" => Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.01 },
        "sgd-nesterov" => Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
        "adagrad" => Optimizer::Adagrad { epsilon: 1e-10, weight_decay: 0.01 },
        "rmsprop" => Optimizer::RMSPROP,
        "rmsprop-momentum" => {
            Optimizer::RmsProp { decay: 0.9, epsilon: 1e-8, momentum: 0.8, weight_decay: 0.01 }
        }
        "adam" => Optimizer::ADAM,
        "adam-decay" => {
            Optimizer::Adam { betas: [0.8, 0.95], epsilon: 1e-6, weight_decay: 0.02, decoupled: false }
        }
        "adamw" => {
            Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.05, decoupled: true }
        }
        other => panic!("no optimizer for {other}"),
    }
}

#[test]
fn update_rules() {
    for case in recorded("optimizers") {
        let name = case["name"].as_str().unwrap();
        let rule = optimizer(name);
        let mut parameter = f64s(&[4], &numbers(&case["first"]));
        let mut moments = vec![f64s(&[4], &[0.0; 4]); rule.moments().len()];
        let steps = case["gradients"].as_array().unwrap().iter().zip(case["parameters"].as_array().unwrap());
        for (step, (gradient, expected)) in steps.enumerate() {
            let count = Tensor::scalar(DType::F64, step as f64 + 1.0);
            let mut inputs = vec![count, parameter, f64s(&[4], &numbers(gradient))];
            inputs.extend(moments);
            let results = run(&inputs, |b, params| {
                let learning_rate = b.scalar(DType::F64, 0.1)?;
                let rate = Rate { learning_rate, step: params[0] };
                rule.update(b, rate, [params[1], params[2]], &params[3..])
            });
            assert_close(&format!("{name}, step {step}"), &results[0], &numbers(expected));
            parameter = f64s(&[4], &results[0]);
            moments = results[1..].iter().map(|moment| f64s(&[4], moment)).collect();
        }
    }
}

fn factors(schedule: &Schedule, steps: std::ops::Range<i64>) -> Vec<f64> {
    let at = |step: i64| {
        run(&[Tensor::from_i64s(&[step]).reshaped(vec![]).unwrap()], |b, params| {
            Ok(vec![schedule.factor(b, params[0])?])
        })
    };
    steps.map(|step| at(step)[0][0]).collect()
}

#[test]
fn schedules() {
    for case in recorded("schedules") {
        let schedule = match case["name"].as_str().unwrap() {
            "step" => Schedule::Step { every: 5, gamma: 0.3 },
            "exponential" => Schedule::Exponential { every: 1, gamma: 0.9 },
            "cosine" => Schedule::Cosine { steps: 12, minimum: 0.1 },
            other => panic!("no schedule for {other}"),
        };
        let expected = numbers(&case["factors"]);
        assert_close(&format!("{schedule:?}"), &factors(&schedule, 0..expected.len() as i64), &expected);
    }
}

#[test]
fn warm_up_rises_to_the_schedule_that_follows() {
    let warmup = Schedule::Warmup { steps: 4, then: Box::new(Schedule::Step { every: 2, gamma: 0.5 }) };
    assert_close("warm-up", &factors(&warmup, 0..9), &[0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25]);
    assert_eq!(factors(&Schedule::Cosine { steps: 3, minimum: 0.0 }, 5..6), [0.0]);
}

#[test]
fn clipping() {
    for case in recorded("clips") {
        let bound = case["bound"].as_f64().unwrap();
        let clip = match case["name"].as_str().unwrap() {
            "norm" => Clip::Norm(bound),
            _ => Clip::Value(bound),
        };
        let given: Vec<Tensor> = case["given"]
            .as_array()
            .unwrap()
            .iter()
            .map(|gradient| f64s(&[gradient.as_array().unwrap().len()], &numbers(gradient)))
            .collect();
        let clipped = run(&given, |b, params| clip.build(b, params));
        for (found, expected) in clipped.iter().zip(case["clipped"].as_array().unwrap()) {
            assert_close(&format!("{clip:?}"), found, &numbers(expected));
        }
    }
}
