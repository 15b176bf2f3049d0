//! Loads and stores.

use super::{Checker, VerifyErrorKind};
use crate::kernel::{Access, Address, Element, Spread, Type, Val};
use graven_ir::DType;

impl Checker<'_> {
    pub(super) fn address(&mut self, address: &Address) {
        self.used_as(address.index, "an index", Type::INDEX);
        if self.kernel.buffers.get(address.buffer).is_none() {
            self.error(VerifyErrorKind::UnknownBuffer);
        }
    }

    pub(super) fn load(&mut self, result: Val, address: &Address, spread: &Spread, mask: Option<Val>) {
        self.address(address);
        let Some(ty) = self.ty(result) else { return };
        self.lanes(ty, spread, mask);
        let Some(buffer) = self.kernel.buffers.get(address.buffer) else { return };
        if buffer.access == Access::Write {
            self.error(VerifyErrorKind::LoadFromWrite(buffer.name.clone()));
        }
        if ty.is_mask() || !memory_fits(buffer.dtype, ty) {
            let (buffer, dtype) = (buffer.name.clone(), buffer.dtype);
            self.error(VerifyErrorKind::MemoryType { buffer, dtype, verb: "loaded as", ty });
        }
    }

    pub(super) fn store(&mut self, value: Val, address: &Address, spread: &Spread, mask: Option<Val>) {
        let ty = self.used(value);
        self.address(address);
        if *spread == Spread::Broadcast {
            self.error(VerifyErrorKind::BroadcastStore);
        }
        let Some(ty) = ty else { return };
        self.lanes(ty, spread, mask);
        let Some(buffer) = self.kernel.buffers.get(address.buffer) else { return };
        if buffer.access == Access::Read {
            self.error(VerifyErrorKind::StoreToRead(buffer.name.clone()));
        }
        let fits = match buffer.dtype {
            DType::Bool => ty.is_mask(),
            dtype => memory_fits(dtype, ty),
        };
        if !fits {
            let (buffer, dtype) = (buffer.name.clone(), buffer.dtype);
            self.error(VerifyErrorKind::MemoryType { buffer, dtype, verb: "stored from", ty });
        }
    }

    /// M1 and M2.
    fn lanes(&mut self, ty: Type, spread: &Spread, mask: Option<Val>) {
        if let Spread::Gathered(offsets) = spread
            && let Some(found) = self.used(*offsets)
        {
            let is_offset = matches!(found.dtype(), Some(DType::I32 | DType::I64));
            if !is_offset || found.lanes != ty.lanes {
                self.error(VerifyErrorKind::GatherType { lanes: ty.lanes, found });
            }
        }
        let Some(found) = mask.and_then(|mask| self.used(mask)) else { return };
        if found != ty.mask() {
            let expected = ty.mask().to_string();
            self.error(VerifyErrorKind::WrongType { what: "the mask of an access", expected, found });
        }
    }
}

/// Whether elements of `dtype` are loaded as registers of type `ty` (M4).
fn memory_fits(dtype: DType, ty: Type) -> bool {
    let Element::Number(register) = ty.element else { return false };
    match dtype {
        DType::Bool | DType::I4 | DType::U4 | DType::I8 | DType::U8 | DType::I16 | DType::U16 => {
            ty.lanes == 1 || matches!(register, DType::I32 | DType::U32 | DType::F32)
        }
        DType::F16 | DType::BF16 => ty.lanes == 1 || register == DType::F32,
        _ => dtype == register,
    }
}
