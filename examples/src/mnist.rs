//! How many of the test images of MNIST a model gets right.
//!
//! ```text
//! cargo run --release -p graven-examples --bin mnist -- MODEL FOLDER [--normalise]
//! ```
//! MODEL takes an image as `f32[1, 1, 28, 28]` (or `f32[1, 28, 28]`) and gives ten scores. FOLDER holds `t10k-images-idx3-ubyte.gz` and
//! `t10k-labels-idx1-ubyte.gz`. The pixels are numbers from 0 to 255; with `--normalise` they are (pixel / 255 − 0.1307) / 0.3081, the mean and
//! standard deviation of the training images, as PyTorch's and Burn's examples have them.

use graven::api::{Compiler, Options, TensorView, TensorViewMut};
use graven_examples::Result;
use graven_examples::data::read_idx;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let normalise = arguments.iter().any(|word| word == "--normalise");
    let files: Vec<&String> = arguments.iter().filter(|word| !word.starts_with("--")).collect();
    let [model, folder] = files[..] else {
        return Err("usage: mnist MODEL FOLDER [--normalise]".into());
    };
    let folder = Path::new(folder);
    let (images, size) = read_idx(&folder.join("t10k-images-idx3-ubyte.gz"))?;
    let (labels, _) = read_idx(&folder.join("t10k-labels-idx1-ubyte.gz"))?;
    let pixels: usize = size.iter().skip(1).product();

    let model = Compiler::new(Options { threads: Some(1), ..Options::default() }).load(model)?.jit()?;
    let signature = model.signature().ok_or("the model has open extents")?.clone();
    let ([input], [output]) = (&signature.inputs[..], &signature.outputs[..]) else {
        return Err("the model must have one input and one output".into());
    };
    let shape = input.ty.const_shape().ok_or("the input has open extents")?;
    let output_shape = output.ty.const_shape().ok_or("the output has open extents")?;
    let mut session = model.session()?;
    session.prepare(&[(input.name.to_string(), shape.clone())].into())?;

    let bar = ProgressBar::new(labels.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let mut scores = vec![0.0f32; output_shape.iter().product()];
    let mut right = 0;
    for (count, (image, label)) in images.chunks_exact(pixels).zip(&labels).enumerate() {
        let image: Vec<f32> = image.iter().map(|pixel| scaled(*pixel, normalise)).collect();
        let views = ([TensorView::f32(&shape, &image)?], [TensorViewMut::f32(&output_shape, &mut scores)?]);
        let (inputs, mut outputs) = views;
        session.run(&inputs, &mut outputs)?;
        right += usize::from(largest(&scores) == usize::from(*label));
        if count % 100 == 99 {
            bar.set_position(count as u64 + 1);
            bar.set_message(format!("{:.2} %", percentage(right, count + 1)));
        }
    }
    bar.finish();
    println!("{right} of {} images are right: {:.2} %", labels.len(), percentage(right, labels.len()));
    Ok(())
}

fn scaled(pixel: u8, normalise: bool) -> f32 {
    let pixel = f32::from(pixel);
    if normalise { (pixel / 255.0 - 0.1307) / 0.3081 } else { pixel }
}

fn percentage(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn largest(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0)
}
