use crate::train::Initializer;
use crate::train::initializer::fans;
use graven_ir::DType;

/// Mean and deviation of a tensor of 100 × 500.
fn moments(initializer: Initializer) -> (f64, f64, Vec<f64>) {
    let values = initializer.tensor(DType::F64, &[100, 500], 3, 0).unwrap().to_f64s();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, variance.sqrt(), values)
}

#[test]
fn fans_of_layers() {
    assert_eq!(fans(&[10, 20]), (20, 10));
    assert_eq!(fans(&[8, 3, 5, 5]), (75, 200));
    assert_eq!(fans(&[7]), (7, 7));
}

#[test]
fn distributions_have_their_moments() {
    // 50 000 draws: the mean is off by deviation ÷ 224, the deviation by about a third of a percent.
    let cases = [
        (Initializer::Uniform { low: -1.0, high: 3.0 }, 1.0, 4.0 / 12_f64.sqrt()),
        (Initializer::Normal { mean: 2.0, deviation: 0.5 }, 2.0, 0.5),
        (Initializer::XavierUniform, 0.0, (2.0 / 600.0_f64).sqrt()),
        (Initializer::XavierNormal, 0.0, (2.0 / 600.0_f64).sqrt()),
        (Initializer::HeUniform, 0.0, (2.0 / 500.0_f64).sqrt()),
        (Initializer::HeNormal, 0.0, (2.0 / 500.0_f64).sqrt()),
        (Initializer::FanIn, 0.0, (1.0 / 500.0 / 3.0_f64).sqrt()),
    ];
    for (initializer, mean, deviation) in cases {
        let (found_mean, found_deviation, _) = moments(initializer);
        assert!((found_mean - mean).abs() < 0.02 * deviation, "{initializer:?}: mean {found_mean}");
        assert!(
            (found_deviation / deviation - 1.0).abs() < 0.02,
            "{initializer:?}: deviation {found_deviation}"
        );
    }
}

#[test]
fn uniform_draws_stay_inside() {
    let (_, _, values) = moments(Initializer::Uniform { low: -0.25, high: 0.25 });
    assert!(values.iter().all(|x| (-0.25..0.25).contains(x)));
}

#[test]
fn normal_draws_have_normal_tails() {
    let (_, _, values) = moments(Initializer::Normal { mean: 0.0, deviation: 1.0 });
    let beyond = |bound: f64| values.iter().filter(|x| x.abs() > bound).count() as f64 / values.len() as f64;
    assert!((beyond(1.0) - 0.3173).abs() < 0.01);
    assert!((beyond(2.0) - 0.0455).abs() < 0.005);
    assert!((beyond(3.0) - 0.0027).abs() < 0.001);
}

#[test]
fn seeds_and_streams_tell_draws_apart() {
    let draw = |seed, stream| Initializer::HeNormal.tensor(DType::F32, &[4, 4], seed, stream).unwrap();
    assert_eq!(draw(1, 0).data(), draw(1, 0).data());
    assert_ne!(draw(1, 0).data(), draw(2, 0).data());
    assert_ne!(draw(1, 0).data(), draw(1, 1).data());
}
