//! Short names for the tests of the rules.

use super::infer;
use crate::{Constants, DType, Dim, Graph, Op, Symbol, TensorType};

/// A constant extent.
pub fn d(value: i64) -> Dim {
    Dim::from(value)
}

/// The symbol `N in 1..=32`.
pub fn n() -> Dim {
    Dim::from(Symbol::new("N", 1, 32))
}

/// A type.
pub fn ty<D: Into<Dim>, const R: usize>(dtype: DType, shape: [D; R]) -> TensorType {
    TensorType::new(dtype, shape)
}

/// A type of `f32` elements with constant extents.
pub fn f32s<const R: usize>(shape: [i64; R]) -> TensorType {
    ty(DType::F32, shape)
}

/// A type of `i64` elements with constant extents.
pub fn i64s<const R: usize>(shape: [i64; R]) -> TensorType {
    ty(DType::I64, shape)
}

/// A type of `bool` elements with constant extents.
pub fn bools<const R: usize>(shape: [i64; R]) -> TensorType {
    ty(DType::Bool, shape)
}

/// The op has one result of this type.
#[track_caller]
pub fn good(op: Op, operands: &[&TensorType], result: TensorType) {
    good_all(op, operands, &[], &[result]);
}

/// The op has results of these types.
#[track_caller]
pub fn good_all(op: Op, operands: &[&TensorType], regions: &[Graph], results: &[TensorType]) {
    match infer(&Constants::new(), &op, operands, regions) {
        Ok(types) => assert_eq!(types.as_slice(), results),
        Err(error) => panic!("{error}"),
    }
}

/// The op is refused with a reason that contains `reason`.
#[track_caller]
pub fn bad(op: Op, operands: &[&TensorType], reason: &str) {
    bad_all(op, operands, &[], reason);
}

/// The op with regions is refused with a reason that contains `reason`.
#[track_caller]
pub fn bad_all(op: Op, operands: &[&TensorType], regions: &[Graph], reason: &str) {
    match infer(&Constants::new(), &op, operands, regions) {
        Ok(types) => panic!("accepted with results {types:?}"),
        Err(error) => assert!(error.reason.contains(reason), "{error} lacks `{reason}`"),
    }
}
