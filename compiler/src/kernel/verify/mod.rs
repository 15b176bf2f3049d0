//! Checks kernels. All violations are collected, each with the path of its statement.
//!
//! **Kernel.** (K1) Arguments come before scratch buffers, and buffers have distinct names. (K2) No buffer has a negative size. (K3) The run-time extents
//! are distinct indices whose names don't begin with `%`, the mark of loop variables: one that does was used outside of its loop.
//!
//! **Types.** (T1) The number of lanes is a power of two, and a vector is no wider than the target's. (T2) The lanes of a vector have 4 or 8 bytes; the
//! mask of a scalar has 8 bits, that of a vector 32 or 64. (T3) Scalars are not bool, i4 or u4, which exist in memory only. (T4) Each operation has operands
//! that it takes, and the result's type follows from them ([`KernelOp::result_type`](super::KernelOp::result_type)). (T5) Constants are exact in their type.
//! (T6) Operations are within the target's [`Features`].
//!
//! **Values.** (V1) Each value has one definition. (V2) Each use follows the definition in the same block or one around it.
//!
//! **Control flow.** (C1) Bounds of loops are indices, steps at least 1. (C2) A loop yields one value per carried value, and initial value, parameter, result and
//! yielded value have one type. (C3) Conditions are scalar masks. (C4) Both blocks of a branch yield its results, with their types. (C5) The outermost block yields
//! nothing.
//!
//! **Tasks.** (P1) A parallel loop stands in the outermost block. (P2) There is one at most. (P3) It carries nothing. (P4) The statements around it,
//! which every task executes, store nothing; after it come no loops or branches.
//!
//! **Memory.** (M1) Indices are i64 scalars; gathers take an i32 or i64 vector of equally many lanes. (M2) Masks have the lanes and width of the value. (M3) Nothing is stored to
//! `read` buffers nor loaded from `write` buffers. (M4) The value's type fits the buffer's dtype: equal dtypes; 1- and 2-byte integers and bool as i32, u32 or f32; halves as f32; scalars
//! of all types from buffers of 1- and 2-byte dtypes; masks are stored to bool buffers only, and those take nothing else. (M5) Stores don't broadcast. (M6) No access is provably outside its buffer
//! ([`bounds`]).

mod blocks;
pub mod bounds;
mod error;
mod memory;
mod symbolic;

pub use error::{Path, PathStep, VerifyError, VerifyErrorKind};

use super::{Access, Element, Features, Kernel, Type, Val};
use cranelift_entity::{EntityRef, EntitySet};
use graven_ir::DType;
use rustc_hash::FxHashSet;

/// What the target of a kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyLimits {
    /// Bytes of the widest vector.
    pub vector_bytes: u32,
    /// Instructions that not every target has.
    pub features: Features,
}

impl VerifyLimits {
    /// No limits: vectors of any width, every instruction.
    pub const NONE: VerifyLimits =
        VerifyLimits { vector_bytes: u32::MAX, features: Features { fma: true, rounding: true } };
}

/// All violations of the invariants in the [module documentation](self), in the order of the statements.
pub fn verify(kernel: &Kernel, limits: &VerifyLimits) -> Result<(), Vec<VerifyError>> {
    let mut checker = Checker {
        kernel,
        limits,
        visible: EntitySet::new(),
        defined: EntitySet::new(),
        path: Path::default(),
        errors: Vec::new(),
    };
    checker.kernel();
    if checker.errors.is_empty() {
        checker.errors = bounds::violations(kernel);
    }
    match checker.errors.is_empty() {
        true => Ok(()),
        false => Err(checker.errors),
    }
}

struct Checker<'k> {
    kernel: &'k Kernel,
    limits: &'k VerifyLimits,
    /// Values that the current statement may use.
    visible: EntitySet<Val>,
    /// Values that have a definition.
    defined: EntitySet<Val>,
    path: Path,
    errors: Vec<VerifyError>,
}

impl Checker<'_> {
    fn error(&mut self, kind: VerifyErrorKind) {
        self.errors.push(VerifyError { path: self.path.clone(), kind });
    }

    fn kernel(&mut self) {
        self.buffers();
        self.extents();
        self.tasks();
        self.block(&self.kernel.body, &mut Vec::new());
        if !self.kernel.body.yields.is_empty() {
            let found = self.kernel.body.yields.len();
            self.error(VerifyErrorKind::YieldCount { expected: 0, found });
        }
    }

    fn buffers(&mut self) {
        let mut names = FxHashSet::default();
        let mut scratch = false;
        for buffer in self.kernel.buffers.values() {
            if !names.insert(buffer.name.as_str()) {
                self.error(VerifyErrorKind::DuplicateBuffer(buffer.name.clone()));
            }
            if scratch && buffer.access != Access::Scratch {
                self.error(VerifyErrorKind::ArgumentAfterScratch(buffer.name.clone()));
            }
            scratch |= buffer.access == Access::Scratch;
            if buffer.elements.upper() < 0 {
                self.error(VerifyErrorKind::NegativeSize(buffer.name.clone()));
            }
        }
    }

    fn extents(&mut self) {
        let mut names = FxHashSet::default();
        for (symbol, value) in &self.kernel.extents {
            if !names.insert(symbol.name()) {
                self.error(VerifyErrorKind::DuplicateExtent(symbol.name().into()));
            }
            if symbol.name().starts_with('%') {
                self.error(VerifyErrorKind::EscapedLoopVariable(symbol.name().into()));
            }
            self.define(*value);
            if self.ty(*value).is_some_and(|ty| ty != Type::INDEX) {
                self.error(VerifyErrorKind::ExtentType(symbol.name().into()));
            }
        }
    }

    /// The type of a value that exists.
    fn ty(&self, value: Val) -> Option<Type> {
        self.kernel.values.get(value).copied()
    }

    /// A definition; whether its type can be.
    fn define(&mut self, value: Val) {
        let Some(ty) = self.ty(value) else { return self.error(VerifyErrorKind::UnknownValue(value)) };
        if self.defined.contains(value) {
            self.error(VerifyErrorKind::DefinedTwice(value));
        }
        self.defined.insert(value);
        self.visible.insert(value);
        if let Some(reason) = self.wrong_form(ty) {
            self.error(VerifyErrorKind::TypeForm { ty, reason });
        }
    }

    /// A use; gives the type if the value is visible.
    fn used(&mut self, value: Val) -> Option<Type> {
        let ty = self.ty(value);
        if ty.is_some() && self.visible.contains(value) {
            return ty;
        }
        let is_defined = value.index() < self.kernel.values.len() && self.defined.contains(value);
        self.error(match (ty, is_defined) {
            (None, _) => VerifyErrorKind::UnknownValue(value),
            (Some(_), true) => VerifyErrorKind::OutOfScope(value),
            (Some(_), false) => VerifyErrorKind::Undefined(value),
        });
        None
    }

    /// A use that must have a type.
    fn used_as(&mut self, value: Val, what: &'static str, expected: Type) {
        if let Some(found) = self.used(value)
            && found != expected
        {
            self.error(VerifyErrorKind::WrongType { what, expected: expected.to_string(), found });
        }
    }

    fn wrong_form(&self, ty: Type) -> Option<&'static str> {
        if !ty.lanes.is_power_of_two() {
            return Some("the number of lanes must be a power of two");
        }
        let bits = match ty.element {
            Element::Number(dtype) if ty.lanes == 1 => {
                let memory_only = matches!(dtype, DType::Bool | DType::I4 | DType::U4);
                return memory_only.then_some("registers don't hold this dtype");
            }
            Element::Mask { bits } if ty.lanes == 1 => {
                return (bits != 8).then_some("the mask of a scalar has 8 bits");
            }
            Element::Number(dtype) if dtype.bytes() < 4 => {
                return Some("vectors have lanes of 4 or 8 bytes");
            }
            Element::Number(dtype) => dtype.bytes() as u32 * 8,
            Element::Mask { bits: bits @ (32 | 64) } => bits.into(),
            Element::Mask { .. } => return Some("the mask of a vector has 32 or 64 bits"),
        };
        let too_wide = u32::from(ty.lanes) * bits / 8 > self.limits.vector_bytes;
        too_wide.then_some("the target's vectors are narrower")
    }
}

#[cfg(test)]
mod tests;
