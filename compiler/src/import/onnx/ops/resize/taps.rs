//! Which elements an output takes with which weights, for known extents.
//!
//! Formulas: ONNX operator specification, `Resize`.

use super::{Coordinates, Mode, Rounding, Settings};

/// Along one axis, for each output the same number of elements with their weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taps {
    /// For each output the indices of its elements, within the input.
    pub(super) indices: Vec<Vec<i64>>,
    /// For each output the weights of its elements.
    pub(super) weights: Vec<Vec<f64>>,
    /// For each output whether it lies outside the input and has the extrapolation value.
    pub(super) outside: Vec<bool>,
}

/// The extents of one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    /// Elements of the input, ≥ 1.
    pub(super) input: i64,
    /// Elements of the output.
    pub(super) output: i64,
    /// Output ÷ input before rounding.
    pub(super) scale: f64,
    /// The region of interest.
    pub(super) roi: (f64, f64),
}

/// The place in the input of an output.
pub(super) fn source(x: i64, extents: &Extents, coordinates: Coordinates) -> f64 {
    let Extents { input, output, scale, roi } = *extents;
    let (x, last) = (x as f64, (input - 1) as f64);
    // The output's extent before rounding.
    let width = scale * input as f64;
    match coordinates {
        Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if output > 1 => (x + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel => 0.0,
        Coordinates::HalfPixelSymmetric => {
            let offset = input as f64 / 2.0 * (1.0 - output as f64 / width);
            offset + (x + 0.5) / scale - 0.5
        }
        Coordinates::AlignCorners if width == 1.0 => 0.0,
        Coordinates::AlignCorners => x * last / (width - 1.0),
        Coordinates::Asymmetric => x / scale,
        Coordinates::TfHalfPixelForNn => (x + 0.5) / scale,
        Coordinates::TfCropAndResize if width == 1.0 => (roi.0 + roi.1) * last / 2.0,
        Coordinates::TfCropAndResize => roi.0 * last + x * (roi.1 - roi.0) * last / (width - 1.0),
    }
}

/// The index that a place is rounded to.
pub(super) fn round(place: f64, rounding: Rounding) -> i64 {
    match rounding {
        Rounding::PreferFloor => (place - 0.5).ceil() as i64,
        Rounding::PreferCeil => (place + 0.5).floor() as i64,
        Rounding::Floor => place.floor() as i64,
        Rounding::Ceil => place.ceil() as i64,
    }
}

/// Weights of the elements around a place whose distance from the element on its left is `ratio` in (0, 1], and the first
/// element's number, counted from that one.
fn kernel(settings: &Settings, ratio: f64, scale: f64) -> (i64, Vec<f64>) {
    // Antialiasing stretches the kernel where the output is coarser.
    let scale = if settings.antialias { scale.min(1.0) } else { 1.0 };
    let (reach, function): (f64, &dyn Fn(f64) -> f64) = match settings.mode {
        Mode::Nearest(_) => return (0, vec![1.0]),
        Mode::Linear => (1.0, &|x: f64| (1.0 - x).max(0.0)),
        Mode::Cubic(a) => (2.0, &move |x: f64| cubic(x, a)),
    };
    let first = (-reach / scale).floor() as i64 + 1;
    let weights: Vec<f64> =
        (first..2 - first).map(|i| function((scale * (i as f64 - ratio)).abs())).collect();
    (first, weights)
}

/// The cubic convolution kernel at distance x (Keys, "Cubic convolution interpolation for digital image processing", 1981).
pub(super) fn cubic(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// The elements and weights of all outputs.
pub(super) fn taps(extents: &Extents, settings: &Settings) -> Taps {
    let mut taps = Taps { indices: Vec::new(), weights: Vec::new(), outside: Vec::new() };
    let last = extents.input - 1;
    for x in 0..extents.output {
        let place = source(x, extents, settings.coordinates);
        let crops = settings.coordinates == Coordinates::TfCropAndResize;
        taps.outside.push(crops && !(0.0..=last as f64).contains(&place));
        if let Mode::Nearest(rounding) = settings.mode {
            taps.indices.push(vec![round(place, rounding).clamp(0, last)]);
            taps.weights.push(vec![1.0]);
            continue;
        }
        let left = place.ceil() as i64 - 1;
        let (first, mut weights) = kernel(settings, place - left as f64, extents.scale);
        let indices: Vec<i64> = (0..weights.len() as i64).map(|i| left.saturating_add(first + i)).collect();
        if settings.exclude_outside {
            let outside = indices.iter().map(|index| !(0..=last).contains(index));
            weights
                .iter_mut()
                .zip(outside)
                .filter(|(_, outside)| *outside)
                .for_each(|(weight, _)| *weight = 0.0);
        }
        if settings.exclude_outside || settings.antialias {
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
        taps.indices.push(indices.into_iter().map(|index| index.clamp(0, last)).collect());
        taps.weights.push(weights);
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: Mode, coordinates: Coordinates) -> Settings {
        Settings { mode, coordinates, antialias: false, exclude_outside: false, extrapolation: 0.0 }
    }

    fn extents(input: i64, output: i64) -> Extents {
        Extents { input, output, scale: output as f64 / input as f64, roi: (0.0, 1.0) }
    }

    fn nearest(input: i64, output: i64, rounding: Rounding, coordinates: Coordinates) -> Vec<i64> {
        let taps = taps(&extents(input, output), &settings(Mode::Nearest(rounding), coordinates));
        taps.indices.into_iter().map(|indices| indices[0]).collect()
    }

    #[test]
    fn nearest_elements() {
        // numpy: np.floor(np.arange(6) / 2), and (np.arange(3) + 0.5) * 2 - 0.5 = 0.5, 2.5, 4.5 rounded down and up.
        assert_eq!(nearest(3, 6, Rounding::Floor, Coordinates::Asymmetric), [0, 0, 1, 1, 2, 2]);
        assert_eq!(nearest(6, 3, Rounding::PreferFloor, Coordinates::HalfPixel), [0, 2, 4]);
        assert_eq!(nearest(6, 3, Rounding::PreferCeil, Coordinates::HalfPixel), [1, 3, 5]);
        assert_eq!(nearest(3, 5, Rounding::Ceil, Coordinates::AlignCorners), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn linear_weights_lie_between_the_neighbours() {
        let taps = taps(&extents(2, 4), &settings(Mode::Linear, Coordinates::HalfPixel));
        // Places −0.25, 0.25, 0.75, 1.25.
        assert_eq!(taps.indices, [[0, 0], [0, 1], [0, 1], [1, 1]]);
        assert_eq!(taps.weights, [[0.25, 0.75], [0.75, 0.25], [0.25, 0.75], [0.75, 0.25]]);
    }

    #[test]
    fn cubic_weights_sum_to_one_and_hit_the_elements() {
        let taps = taps(&extents(4, 7), &settings(Mode::Cubic(-0.75), Coordinates::AlignCorners));
        for weights in &taps.weights {
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert_eq!(taps.weights[2], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(taps.indices[2][2], 1);
    }

    #[test]
    fn antialiasing_averages_what_an_output_covers() {
        let settings = Settings { antialias: true, ..settings(Mode::Linear, Coordinates::HalfPixel) };
        let taps = taps(&extents(8, 2), &settings);
        let weight_of = |output: usize, index: i64| -> f64 {
            let pairs = taps.indices[output].iter().zip(&taps.weights[output]);
            pairs.filter(|(i, _)| **i == index).map(|(_, weight)| weight).sum()
        };
        // The triangle of half-width 4 around 1.5, mirrored around 5.5.
        assert!((weight_of(0, 1) - weight_of(0, 2)).abs() < 1e-12);
        assert!((weight_of(0, 2) - weight_of(1, 5)).abs() < 1e-12);
        assert!(weight_of(0, 7) == 0.0);
    }
}
