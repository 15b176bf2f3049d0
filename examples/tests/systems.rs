//! The systems learn what they should.

use graven_examples::systems::{digits, linear_regression, maml, reverse, table};

#[test]
fn linear_regression_converges_to_the_closed_form() {
    let [found, exact] = linear_regression::run(400).unwrap();
    for (found, exact) in found.iter().zip(exact) {
        assert!((found - exact).abs() < 1e-9, "{found} instead of {exact}");
    }
}

#[test]
fn a_net_learns_exclusive_or() {
    let predictions = table::run(10_000).unwrap();
    for (found, label) in predictions.iter().zip(table::LABELS) {
        assert!((found - f64::from(label)).abs() < 0.05, "{predictions:?}");
    }
}

#[test]
fn a_transformer_reverses_sequences() {
    let right = reverse::run(500, &mut |_, _| ()).unwrap();
    assert!(right > 0.99, "{right}");
}

#[test]
fn meta_learning_helps_adaptation() {
    let [first, last] = maml::run(400, &mut |_, _| ()).unwrap();
    assert!(last < 0.8 * first, "{last} after {first}");
}

/// The bar is 95.6 % after these 3000 steps.
#[test]
fn a_perceptron_reads_digits() {
    let Some(folder) = std::env::var_os("GRAVEN_MNIST") else {
        eprintln!("skipped: GRAVEN_MNIST is not set");
        return;
    };
    let right = digits::run(std::path::Path::new(&folder), 3000, &mut |_, _| ()).unwrap();
    assert!(right >= 0.956, "{right}");
}
