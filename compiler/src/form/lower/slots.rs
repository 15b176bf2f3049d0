//! Places for values and constants.

use super::Lowering;
use super::scope::Scope;
use crate::form::constant::ConstantView;
use crate::form::{FormError, plan};
use crate::program::{Packing, Place, Slot, SlotId, WeightsPart, WeightsSource};
use graven_ir::{ConstantId, DType, Dim, TensorType, ValueId};

impl Lowering<'_> {
    /// A slot for a row-major tensor.
    pub fn place(&mut self, place: Place, ty: &TensorType) -> SlotId {
        self.program.slots.push(Slot { place, dtype: ty.dtype, elements: ty.elements() })
    }

    /// A slot for a row-major tensor that a pointer of its own leads to.
    pub fn pointer(&mut self, ty: &TensorType) -> SlotId {
        let place = Place::Pointer(self.program.pointers);
        self.program.pointers += 1;
        self.place(place, ty)
    }

    /// The constant that a value is, maybe rearranged. Layouts other than row-major are made at run time.
    pub fn constant(&self, scope: &Scope<'_>, value: ValueId) -> Option<ConstantView> {
        let view = ConstantView::of(&self.module.constants, scope.graph, value)?;
        let whole_bytes = scope.graph.ty(value).dtype.bits() >= 8 || view.is_whole();
        (whole_bytes && scope.layout(value).is_row_major()).then_some(view)
    }

    /// A slot for a constant that is rearranged when compiling.
    pub fn packed(&mut self, id: ConstantId, packing: &Packing) -> SlotId {
        let key = (id, packing.clone());
        if let Some(slot) = self.packed.get(&key) {
            return *slot;
        }
        let tensor = self.module.constants[id].tensor.clone();
        let elements = packing.extents.iter().product::<usize>();
        let dtype = tensor.dtype();
        let source = WeightsSource::Packed { tensor, packing: packing.clone() };
        let slot = self.weights(source, dtype, elements);
        self.packed.insert(key, slot);
        slot
    }

    /// Where a value is.
    pub fn slot(&mut self, scope: &Scope<'_>, value: ValueId) -> Result<SlotId, FormError> {
        if let Some(slot) = scope.stored[value] {
            return Ok(slot);
        }
        let Some(view) = self.constant(scope, value) else {
            return Err(FormError::internal(format!("{value} is used before it is computed")));
        };
        let (id, elements) = (view.id, view.shape.iter().product::<usize>());
        let tensor = self.module.constants[id].tensor.clone();
        if !view.is_whole() || elements != tensor.len() {
            let ConstantView { shape: extents, offset, strides, .. } = view;
            return Ok(self.packed(id, &Packing { offset, extents, strides, limits: Vec::new() }));
        }
        if let Some(slot) = self.plain.get(&id) {
            return Ok(*slot);
        }
        let dtype = tensor.dtype();
        let slot = self.weights(WeightsSource::Plain(tensor), dtype, elements);
        self.plain.insert(id, slot);
        Ok(slot)
    }

    /// A slot for a part of the weights.
    pub fn weights(&mut self, source: WeightsSource, dtype: DType, elements: usize) -> SlotId {
        let offset = self.program.weights_bytes;
        let bytes = (elements as u64).saturating_mul(dtype.bytes() as u64);
        self.program.weights_bytes = offset.saturating_add(bytes.next_multiple_of(plan::ALIGNMENT));
        self.program.weights.push(WeightsPart { offset, source });
        let place = Place::Weights { offset };
        self.program.slots.push(Slot { place, dtype, elements: Dim::from(elements) })
    }

    /// A slot to compute a value in: where it is wanted, else in the arena.
    pub fn result_slot(&mut self, scope: &mut Scope<'_>, value: ValueId) -> SlotId {
        let slot = scope.wanted[value].unwrap_or_else(|| {
            let ty = scope.graph.ty(value);
            let elements = scope.layout(value).elements(&ty.shape);
            self.program.slots.push(Slot { place: Place::Arena { offset: 0 }, dtype: ty.dtype, elements })
        });
        scope.stored[value] = Some(slot);
        slot
    }
}
