//! Compiles a model and runs it inside an application.
//!
//! ```text
//! cargo run --release -p graven-examples --bin embed [MODEL]
//! ```
//! MODEL takes an image as `f32[1, 1, 28, 28]` with numbers from 0 to 255, as `examples/models/digits.onnx` does.

use graven::api::{Compiler, Options, TensorView, TensorViewMut};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or("examples/models/digits.onnx".into());
    let model = Compiler::new(Options { threads: Some(1), ..Options::default() }).load(path)?.jit()?;
    let name = model.signature().map_or("image".into(), |signature| signature.inputs[0].name.to_string());

    let shape = [1, 1, 28, 28];
    let mut session = model.session()?;
    session.prepare(&[(name, shape.to_vec())].into())?;

    // A vertical stroke: a one.
    let mut image = [0.0f32; 28 * 28];
    (5..23).for_each(|row| image[row * 28 + 13..row * 28 + 15].fill(255.0));
    let mut scores = [0.0f32; 10];
    let input = TensorView::f32(&shape, &image)?;
    session.run(&[input], &mut [TensorViewMut::f32(&[1, 10], &mut scores)?])?;

    let best = (0..10).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    println!("it is a {}", best.unwrap_or_default());
    Ok(())
}
