//! Code that the application provides.

use super::EvalErrorKind;
use super::values::Array;
use crate::{Tensor, TensorType};
use rustc_hash::FxHashMap;

/// A custom call: results of the promised types from the operands, or one sentence why not.
pub type CustomCall<'a> = dyn Fn(&[Tensor], &[TensorType]) -> Result<Vec<Tensor>, String> + 'a;

/// Custom calls by the names under which `custom_call` refers to them.
#[derive(Default)]
pub struct CustomCalls<'a>(FxHashMap<String, Box<CustomCall<'a>>>);

impl<'a> CustomCalls<'a> {
    /// No custom calls.
    pub fn new() -> CustomCalls<'a> {
        CustomCalls::default()
    }

    /// Registers `call` under `target`, in place of an earlier one.
    pub fn register(
        &mut self,
        target: impl Into<String>,
        call: impl Fn(&[Tensor], &[TensorType]) -> Result<Vec<Tensor>, String> + 'a,
    ) {
        self.0.insert(target.into(), Box::new(call));
    }

    /// Calls `target` and checks what it gives.
    pub(super) fn call(
        &self,
        target: &str,
        operands: &[Tensor],
        results: &[Array],
    ) -> Result<Vec<Tensor>, EvalErrorKind> {
        let call = self.0.get(target).ok_or_else(|| EvalErrorKind::UnknownCustomCall(target.into()))?;
        let types: Vec<TensorType> =
            results.iter().map(|ty| TensorType::new(ty.dtype, ty.shape.iter().copied())).collect();
        let failed = |reason: String| EvalErrorKind::CustomCall { target: target.into(), reason };
        let tensors = call(operands, &types).map_err(failed)?;
        match tensors.iter().map(Tensor::ty).eq(types) {
            true => Ok(tensors),
            false => Err(failed("its results have other types than promised".into())),
        }
    }
}
