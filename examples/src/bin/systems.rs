//! Trains one of the systems and says how good it has become.
//!
//! ```text
//! cargo run --release -p graven-examples --bin systems -- linear-regression
//! cargo run --release -p graven-examples --bin systems -- table
//! cargo run --release -p graven-examples --bin systems -- reverse
//! cargo run --release -p graven-examples --bin systems -- maml
//! cargo run --release -p graven-examples --bin systems -- digits MNIST
//! cargo run --release -p graven-examples --bin systems -- characters TEXT
//! cargo run --release -p graven-examples --bin systems -- gan MNIST GRID.png
//! cargo run --release -p graven-examples --bin systems -- vae MNIST GRID.png
//! ```
//! MNIST is a folder with the four files `…-ubyte.gz` of that data set, TEXT any text. `--steps N` sets the number of steps.

use graven_examples::Result;
use graven_examples::systems::{characters, digits, gan, linear_regression, maml, reverse, table, vae};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;

fn main() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let steps = match words.iter().position(|word| word == "--steps") {
        Some(place) => {
            let number = words.get(place + 1).and_then(|word| word.parse().ok());
            words.drain(place..(place + 2).min(words.len()));
            Some(number.ok_or("--steps needs a number")?)
        }
        None => None,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} ({eta})")?);
    let count = |usual: usize| {
        let steps = steps.unwrap_or(usual);
        bar.set_length(steps as u64);
        steps
    };
    let mut report = |step: usize, loss: f64| {
        bar.set_position(step as u64 + 1);
        bar.set_message(format!("loss {loss:.4}"));
    };
    match words[..] {
        ["linear-regression"] => {
            let [found, exact] = linear_regression::run(count(500))?;
            println!("gradient descent {found:?}\nclosed form      {exact:?}");
        }
        ["table"] => println!("{:?} for {:?}", table::run(count(10_000))?, table::LABELS),
        ["reverse"] => println!("{:.2} % right", 100.0 * reverse::run(count(600), &mut report)?),
        ["maml"] => {
            let [first, last] = maml::run(count(2000), &mut report)?;
            println!("loss after one step of adaptation: {first:.3} at first, {last:.3} at last");
        }
        ["digits", folder] => {
            let right = digits::run(Path::new(folder), count(3000), &mut report)?;
            println!("{:.2} % of the test images are right", 100.0 * right);
        }
        ["characters", text] => {
            let nats = characters::run(Path::new(text), count(4000), &mut report)?;
            println!("{nats:.3} nats per character");
        }
        ["gan", folder, picture] => {
            let losses = gan::run(Path::new(folder), Path::new(picture), count(5000), &mut report)?;
            println!("losses of discriminator and generator: {losses:?}");
        }
        ["vae", folder, picture] => {
            let loss = vae::run(Path::new(folder), Path::new(picture), count(5000), &mut report)?;
            println!("−ELBO {loss:.2} nats per image");
        }
        _ => return Err("usage: systems NAME [FILES] [--steps N]; see the source for names".into()),
    }
    bar.finish_and_clear();
    Ok(())
}
