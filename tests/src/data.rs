//! Arrays of npz files, comparison with tolerances.

use graven::emit::dtypes::from_code;
use graven_ir::Tensor;
use graven_runtime::npz::Archive;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads all arrays of an npz file.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Tensor>, String> {
    let failed = |error: String| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let archive = Archive::open(&bytes).map_err(|error| failed(format!("{error:?}")))?;
    let mut arrays = BTreeMap::new();
    for name in archive.names() {
        let array = archive.get(name).ok_or("an array vanished")?;
        let array = array.map_err(|error| failed(format!("{error:?}")))?;
        let shape = array.shape.iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect();
        let dtype = from_code(array.dtype as u32).ok_or("an unknown element type")?;
        let tensor = Tensor::new(dtype, shape, array.data.into_owned());
        arrays.insert(name.to_string(), tensor.map_err(|error| failed(error.to_string()))?);
    }
    Ok(arrays)
}

/// How far results may be from what is expected: |actual − expected| ≤ absolute + relative · |expected|.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative part.
    pub relative: f64,
    /// Absolute part.
    pub absolute: f64,
}

/// Compares dtype, shape and elements; integers must be equal, NaN equals NaN.
///
/// # Errors
/// One sentence with the worst element.
pub fn compare(actual: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Result<(), String> {
    if actual.dtype() != expected.dtype() || actual.shape() != expected.shape() {
        return Err(format!("is {}, not {}", actual.ty(), expected.ty()));
    }
    if let (Some(actual), Some(expected)) = (actual.to_ints(), expected.to_ints()) {
        let wrong = actual.iter().zip(&expected).position(|(a, b)| a != b);
        return match wrong {
            None => Ok(()),
            Some(place) => Err(format!("element {place} is {}, not {}", actual[place], expected[place])),
        };
    }
    let mut worst = (0.0, 0, 0.0, 0.0);
    for (place, (a, b)) in actual.to_f64s().into_iter().zip(expected.to_f64s()).enumerate() {
        if a == b || (a.is_nan() && b.is_nan()) {
            continue;
        }
        let excess = (a - b).abs() / (tolerance.absolute + tolerance.relative * b.abs());
        if excess > worst.0 || excess.is_nan() {
            worst = (if excess.is_nan() { f64::INFINITY } else { excess }, place, a, b);
        }
    }
    match worst {
        (excess, ..) if excess <= 1.0 => Ok(()),
        (excess, place, a, b) => {
            Err(format!("element {place} is {a}, not {b}: {excess:.1} times the tolerance"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_sees_what_is_wrong() {
        let tolerance = Tolerance { relative: 0.0, absolute: 0.1 };
        let of = |values: &[f32]| Tensor::from_f32s(vec![values.len()], values).unwrap();
        assert_eq!(compare(&of(&[1.0, f32::NAN]), &of(&[1.05, f32::NAN]), tolerance), Ok(()));
        assert!(
            compare(&of(&[1.0]), &of(&[1.2]), tolerance).unwrap_err().starts_with("element 0 is 1, not 1.2")
        );
        assert!(compare(&of(&[f32::NAN]), &of(&[1.2]), tolerance).is_err());
        assert!(compare(&of(&[f32::INFINITY]), &of(&[f32::INFINITY]), tolerance).is_ok());
        assert!(compare(&of(&[1.0]), &of(&[1.0, 2.0]), tolerance).is_err());
        assert!(compare(&Tensor::from_i64s(&[3]), &Tensor::from_i64s(&[4]), tolerance).is_err());
    }
}
