//! What is known of a value, and how exact it must be.

use graven_ir::{DType, Tensor};

/// What is known of a float's elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// No element is larger.
    pub bound: f64,
    /// Binary digits behind the point; `None` for values that were rounded.
    pub fraction: Option<i32>,
}

/// How far a result may be from the interpreter's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exactness {
    /// The same values.
    Equal,
    /// At most so far.
    Within(f64),
}

impl Known {
    /// What is known after an operation whose exact result has this bound and fraction.
    pub fn of(dtype: DType, bound: f64, fraction: Option<i32>) -> Self {
        let fits = |digits: &i32| bound * 2f64.powi(*digits) < 2f64.powi(mantissa_digits(dtype));
        Self { bound, fraction: fraction.filter(fits) }
    }

    /// How exact a value of which this is known must be.
    pub fn exactness(self, dtype: DType) -> Exactness {
        let relative = match dtype {
            DType::F64 => 1e-12,
            DType::F32 => 3e-5,
            DType::F16 => 8e-3,
            _ => return Exactness::Equal,
        };
        match self.fraction {
            Some(_) => Exactness::Equal,
            None => Exactness::Within(relative * self.bound.max(1.0)),
        }
    }
}

/// The mantissa's digits of a float type, with one to spare for halves, which kernels keep in f32.
fn mantissa_digits(dtype: DType) -> i32 {
    match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        _ => 8,
    }
}

/// Whether a result is as exact as it must be.
///
/// # Errors
/// The first element that is not.
pub fn compare(exactness: Exactness, expected: &Tensor, found: &Tensor) -> Result<(), String> {
    if expected.ty() != found.ty() {
        return Err(format!("is {} instead of {}", found.ty(), expected.ty()));
    }
    let elements = expected.to_f64s().into_iter().zip(found.to_f64s());
    for (place, (want, got)) in elements.enumerate() {
        let near = match exactness {
            Exactness::Equal => false,
            Exactness::Within(distance) => (want - got).abs() <= distance,
        };
        if want != got && !near && !(want.is_nan() && got.is_nan()) {
            return Err(format!("element {place} is {got}, interpreted {want}, and must be {exactness:?}"));
        }
    }
    Ok(())
}
