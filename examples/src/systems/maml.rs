//! Model-agnostic meta-learning (Finn et al., 2017): weights from which one step of gradient descent on ten points fits a sinusoid. The step on the
//! weights goes through the gradient of that step.

use super::ty;
use crate::Result;
use crate::data::Numbers;
use crate::stepper::Stepper;
use graven::autograd::grad;
use graven::nn::{Activation, Dense, Layer, Mode, ModelBuilder, Sequential};
use graven::train::{Loss, Optimizer};
use graven_ir::{BinaryOp, DType, Module, ValueId};

/// Points of a task for the inner step, and as many for the loss after it.
pub const POINTS: usize = 10;
/// Rate of the inner step.
pub const INNER_RATE: f64 = 0.01;
const TASKS: usize = 4;

fn net() -> Sequential {
    Sequential::new()
        .then(Dense::new(40))
        .then(Activation::Tanh)
        .then(Dense::new(40))
        .then(Activation::Tanh)
        .then(Dense::new(1))
}

/// The function `step`, of `TASKS` tasks `[points, 1]` as x and y for the inner step, then x and y for the loss, to the mean loss after the inner step.
///
/// # Errors
/// See [`graven::nn::NnError`].
pub fn model(dtype: DType, tasks: usize) -> Result<Module> {
    let names: Vec<String> =
        (0..tasks).flat_map(|n| ["x", "y", "new_x", "new_y"].map(|word| format!("{word}{n}"))).collect();
    let inputs: Vec<_> = names.iter().map(|name| (name.as_str(), ty(dtype, &[POINTS, 1]))).collect();
    let mut model = ModelBuilder::new("maml", 1);
    model.step("step", &inputs, |f, data| {
        let mut total: Option<ValueId> = None;
        for task in data.chunks_exact(4) {
            let prediction = net().forward(f, task[0])?;
            let inner = Loss::MeanSquaredError.build(f, prediction, task[1])?;
            let parameters = f.parameters("");
            let values: Vec<ValueId> = parameters.iter().map(|(_, value)| *value).collect();
            let gradients = grad(f, inner, &values)?;
            let mut adapted = std::collections::BTreeMap::new();
            for ((name, value), gradient) in parameters.into_iter().zip(gradients) {
                let change = f.binary_scalar(BinaryOp::Mul, gradient, INNER_RATE)?;
                adapted.insert(name, f.binary(BinaryOp::Sub, value, change)?);
            }
            let prediction = f.with_parameters(adapted, |f| net().forward(f, task[2]))?;
            let loss = Loss::MeanSquaredError.build(f, prediction, task[3])?;
            total = Some(match total {
                Some(total) => f.binary(BinaryOp::Add, total, loss)?,
                None => loss,
            });
        }
        let Some(total) = total else { return f.refuse("needs a task") };
        let loss = f.binary_scalar(BinaryOp::Mul, total, 1.0 / tasks as f64)?;
        f.minimise(loss, "", &Optimizer::ADAM, 1e-3)?;
        Ok(vec![("loss".into(), loss)])
    })?;
    model.function("main", Mode::Evaluation, &[("x", ty(dtype, &[POINTS, 1]))], |f, x| {
        Ok(vec![("y".into(), net().forward(f, x[0])?)])
    })?;
    Ok(model.finish())
}

/// Mean losses after adaptation of the first and the last hundred meta-steps.
///
/// # Errors
/// Those of the compiler.
pub fn run(steps: usize, report: &mut dyn FnMut(usize, f64)) -> Result<[f64; 2]> {
    let mut stepper = Stepper::new(&model(DType::F32, TASKS)?, "step", 1)?;
    let mut numbers = Numbers(1);
    let mut losses = Vec::with_capacity(steps);
    for step in 0..steps {
        let mut data = Vec::with_capacity(4 * TASKS);
        for _ in 0..TASKS {
            let (amplitude, phase) = (0.1 + 4.9 * numbers.unit(), std::f64::consts::PI * numbers.unit());
            for _ in 0..2 {
                let x: Vec<f64> = (0..POINTS).map(|_| 10.0 * numbers.unit() - 5.0).collect();
                data.push(x.iter().map(|x| *x as f32).collect::<Vec<f32>>());
                data.push(x.iter().map(|x| (amplitude * (x - phase).sin()) as f32).collect());
            }
        }
        let views: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
        let loss = f64::from(stepper.run(&views)?[0][0]);
        report(step, loss);
        losses.push(loss);
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let hundred = losses.len().min(100);
    Ok([mean(&losses[..hundred]), mean(&losses[losses.len() - hundred..])])
}
