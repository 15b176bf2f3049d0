//! A variational autoencoder (Kingma and Welling, 2014) on MNIST: z = μ + σε, and the negative evidence lower bound per image as loss.

use super::ty;
use crate::Result;
use crate::data::{Digits, Numbers};
use crate::picture::write_grid;
use crate::stepper::Stepper;
use graven::nn::{Activation, Dense, Layer, Mode, ModelBuilder, Sequential};
use graven::train::{Loss, Optimizer};
use graven_ir::{BinaryOp, DType, Dim, Module, ReduceOp, UnaryOp};
use std::path::Path;

const BATCH: usize = 64;
const LATENT: usize = 16;

fn decoder() -> Sequential {
    Sequential::new().then(Dense::new(256)).then(Activation::Relu).then(Dense::new(784))
}

/// The functions `step`, of images to the loss, and `sample`, of latent vectors to images.
///
/// # Errors
/// See [`graven::nn::NnError`].
pub fn model() -> Result<Module> {
    let mut model = ModelBuilder::new("vae", 1);
    model.step("step", &[("images", ty(DType::F32, &[BATCH, 784]))], |f, x| {
        let hidden = f.scope("encoder", |f| Dense::new(256).forward(f, x[0]))?;
        let hidden = Activation::Relu.forward(f, hidden)?;
        let mean = f.scope("mean", |f| Dense::new(LATENT).forward(f, hidden))?;
        let log_variance = f.scope("log_variance", |f| Dense::new(LATENT).forward(f, hidden))?;
        let noise = f.normal(&[BATCH, LATENT].map(|n| Dim::from(n as i64)), DType::F32)?;
        let half = f.binary_scalar(BinaryOp::Mul, log_variance, 0.5)?;
        let deviation = f.unary(UnaryOp::Exp, half)?;
        let shift = f.binary(BinaryOp::Mul, deviation, noise)?;
        let latent = f.binary(BinaryOp::Add, mean, shift)?;
        let logits = f.scope("decoder", |f| decoder().forward(f, latent))?;

        // The mean over all pixels, times the pixels of an image.
        let reconstruction = Loss::BinaryCrossEntropyWithLogits.build(f, logits, x[0])?;
        let reconstruction = f.binary_scalar(BinaryOp::Mul, reconstruction, 784.0)?;
        // KL(N(μ, σ²) ‖ N(0, 1)) = ½ Σ (μ² + σ² − ln σ² − 1).
        let square = f.binary(BinaryOp::Mul, mean, mean)?;
        let variance = f.unary(UnaryOp::Exp, log_variance)?;
        let sum = f.binary(BinaryOp::Add, square, variance)?;
        let rest = f.binary_scalar(BinaryOp::Add, log_variance, 1.0)?;
        let terms = f.binary(BinaryOp::Sub, sum, rest)?;
        let total = f.reduce(ReduceOp::Sum, terms, &[0, 1], false)?;
        let divergence = f.binary_scalar(BinaryOp::Mul, total, 0.5 / BATCH as f64)?;
        let loss = f.binary(BinaryOp::Add, reconstruction, divergence)?;
        f.minimise(loss, "", &Optimizer::ADAM, 1e-3)?;
        Ok(vec![("loss".into(), loss)])
    })?;
    model.function("sample", Mode::Evaluation, &[("latent", ty(DType::F32, &[BATCH, LATENT]))], |f, x| {
        let logits = f.scope("decoder", |f| decoder().forward(f, x[0]))?;
        Ok(vec![("images".into(), Activation::Sigmoid.forward(f, logits)?)])
    })?;
    Ok(model.finish())
}

/// Trains on the images of a folder, writes a grid of samples and gives the mean loss of the last hundred steps.
///
/// # Errors
/// Files that can't be read or written; those of the compiler.
pub fn run(folder: &Path, picture: &Path, steps: usize, report: &mut dyn FnMut(usize, f64)) -> Result<f64> {
    let digits = Digits::read(folder, "train")?;
    let mut model = model()?;
    let mut stepper = Stepper::new(&model, "step", 1)?;
    let mut numbers = Numbers(1);
    let mut losses = Vec::with_capacity(steps);
    for step in 0..steps {
        let (images, _) = digits.batch(&numbers.places(BATCH, digits.len()));
        let loss = f64::from(stepper.run(&[&images])?[0][0]);
        report(step, loss);
        losses.push(loss);
    }
    stepper.store(&mut model)?;
    let latent: Vec<f32> = (0..BATCH * LATENT).map(|_| numbers.normal() as f32).collect();
    let samples = Stepper::new(&model, "sample", 1)?.run(&[&latent])?.remove(0);
    write_grid(picture, &samples, 8)?;
    let last = &losses[losses.len().saturating_sub(100)..];
    Ok(last.iter().sum::<f64>() / last.len().max(1) as f64)
}
