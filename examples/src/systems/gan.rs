//! A generative adversarial network (Goodfellow et al., 2014) on MNIST: generator and discriminator are perceptrons and take turns in one compiled step.

use super::ty;
use crate::Result;
use crate::data::{Digits, Numbers};
use crate::picture::write_grid;
use crate::stepper::Stepper;
use graven::nn::{self, Activation, Dense, Layer, Mode, ModelBuilder, Sequential};
use graven::train::{Loss, Optimizer};
use graven_ir::{BinaryOp, DType, Dim, Module};
use std::path::Path;

const BATCH: usize = 64;
const NOISE: usize = 64;

fn generator() -> Sequential {
    let leaky = Activation::LeakyRelu { slope: 0.2 };
    Sequential::new()
        .then(Dense::new(128))
        .then(leaky)
        .then(Dense::new(256))
        .then(leaky)
        .then(Dense::new(784))
        .then(Activation::Sigmoid)
}

fn discriminator() -> Sequential {
    let leaky = Activation::LeakyRelu { slope: 0.2 };
    Sequential::new().then(Dense::new(256)).then(leaky).then(Dense::new(128)).then(leaky).then(Dense::new(1))
}

/// The functions `step`, of real images to the losses of discriminator and generator, and `sample`, of noise to images.
///
/// # Errors
/// See [`nn::NnError`].
pub fn model() -> Result<Module> {
    let adam = Optimizer::Adam { betas: [0.5, 0.999], epsilon: 1e-8, weight_decay: 0.0, decoupled: false };
    let mut model = ModelBuilder::new("gan", 1);
    model.step("step", &[("real", ty(DType::F32, &[BATCH, 784]))], |f, x| {
        let scores = |f: &mut nn::Forward<'_>, x| f.scope("discriminator", |f| discriminator().forward(f, x));
        let ones = f.scalar(DType::F32, 1.0)?;
        let ones = f.broadcast_to(ones, &[Dim::from(BATCH as i64), Dim::ONE])?;
        let zeros = f.binary(BinaryOp::Sub, ones, ones)?;
        let loss = Loss::BinaryCrossEntropyWithLogits;

        let noise = f.normal(&[BATCH, NOISE].map(|n| Dim::from(n as i64)), DType::F32)?;
        let fake = f.scope("generator", |f| generator().forward(f, noise))?;
        let (on_real, on_fake) = (scores(f, x[0])?, scores(f, fake)?);
        let (real_loss, fake_loss) = (loss.build(f, on_real, ones)?, loss.build(f, on_fake, zeros)?);
        let discriminator_loss = f.binary(BinaryOp::Add, real_loss, fake_loss)?;
        f.minimise(discriminator_loss, "discriminator", &adam, 2e-4)?;

        let on_fake = scores(f, fake)?;
        let generator_loss = loss.build(f, on_fake, ones)?;
        f.minimise(generator_loss, "generator", &adam, 2e-4)?;
        Ok(vec![("discriminator_loss".into(), discriminator_loss), ("generator_loss".into(), generator_loss)])
    })?;
    model.function("sample", Mode::Evaluation, &[("noise", ty(DType::F32, &[BATCH, NOISE]))], |f, x| {
        Ok(vec![("images".into(), f.scope("generator", |f| generator().forward(f, x[0]))?)])
    })?;
    Ok(model.finish())
}

/// Trains on the images of a folder, writes a grid of samples and gives the last losses.
///
/// # Errors
/// Files that can't be read or written; those of the compiler.
pub fn run(
    folder: &Path,
    picture: &Path,
    steps: usize,
    report: &mut dyn FnMut(usize, f64),
) -> Result<[f32; 2]> {
    let digits = Digits::read(folder, "train")?;
    let mut model = model()?;
    let mut stepper = Stepper::new(&model, "step", 1)?;
    let mut numbers = Numbers(1);
    let mut losses = [0.0; 2];
    for step in 0..steps {
        let (images, _) = digits.batch(&numbers.places(BATCH, digits.len()));
        let found = stepper.run(&[&images])?;
        losses = [found[0][0], found[1][0]];
        report(step, f64::from(losses[0]));
    }
    stepper.store(&mut model)?;
    let noise: Vec<f32> = (0..BATCH * NOISE).map(|_| numbers.normal() as f32).collect();
    let samples = Stepper::new(&model, "sample", 1)?.run(&[&noise])?.remove(0);
    write_grid(picture, &samples, 8)?;
    Ok(losses)
}
