//! Operations on values.

use super::KernelBuilder;
use crate::kernel::{Binary, Compare, Element, Horizontal, KernelOp, Type, Unary, Val};
use graven_ir::{DType, Dim};

impl KernelBuilder {
    /// A function of one value.
    pub fn unary(&mut self, op: Unary, x: Val) -> Val {
        self.push(KernelOp::Unary(op), &[x], self.ty(x))
    }

    /// A function of two values of one type.
    pub fn binary(&mut self, op: Binary, x: Val, y: Val) -> Val {
        self.push(KernelOp::Binary(op), &[x, y], self.ty(x))
    }

    /// x + y.
    pub fn add(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Add, x, y)
    }

    /// x − y.
    pub fn sub(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Sub, x, y)
    }

    /// x · y.
    pub fn mul(&mut self, x: Val, y: Val) -> Val {
        self.binary(Binary::Mul, x, y)
    }

    /// x·y + z rounded once; only for targets with the instruction.
    pub fn fma(&mut self, x: Val, y: Val, z: Val) -> Val {
        self.push(KernelOp::Fma, &[x, y, z], self.ty(z))
    }

    /// x·y + z, rounded once where the target can, else twice.
    pub fn mul_add(&mut self, x: Val, y: Val, z: Val) -> Val {
        match self.features.fma {
            true => self.fma(x, y, z),
            false => {
                let product = self.mul(x, y);
                self.add(product, z)
            }
        }
    }

    /// A comparison.
    pub fn compare(&mut self, op: Compare, x: Val, y: Val) -> Val {
        self.push(KernelOp::Compare(op), &[x, y], self.ty(x).mask())
    }

    /// x where the mask is set, else y.
    pub fn select(&mut self, mask: Val, x: Val, y: Val) -> Val {
        self.push(KernelOp::Select, &[mask, x, y], self.ty(x))
    }

    /// Conversion by value; nothing where the dtype is equal.
    pub fn convert(&mut self, x: Val, to: DType) -> Val {
        let ty = self.ty(x);
        match ty.dtype() == Some(to) {
            true => x,
            false => self.push(KernelOp::Convert(to), &[x], Type::vector(to, ty.lanes)),
        }
    }

    /// The same bits as another dtype; nothing where it is equal.
    pub fn bitcast(&mut self, x: Val, to: DType) -> Val {
        let ty = self.ty(x);
        match ty.dtype() == Some(to) {
            true => x,
            false => self.push(KernelOp::Bitcast(to), &[x], Type::vector(to, ty.lanes)),
        }
    }

    /// The mask for elements of the width of `like`; nothing where it is equal.
    pub fn convert_mask(&mut self, mask: Val, like: Type) -> Val {
        let wanted = like.with_lanes(self.ty(mask).lanes).mask();
        let Element::Mask { bits } = wanted.element else { return mask };
        if wanted == self.ty(mask) {
            return mask;
        }
        if let Some(source) = self.converted_masks.get(&mask)
            && self.ty(*source) == wanted
        {
            return *source;
        }
        let result = self.push(KernelOp::ConvertMask { bits }, &[mask], wanted);
        self.converted_masks.insert(result, mask);
        result
    }

    /// A scalar in all lanes; nothing for one lane.
    pub fn splat(&mut self, x: Val, lanes: u16) -> Val {
        let ty = self.ty(x);
        match self.known(x) {
            _ if ty.lanes == lanes => x,
            Some(number) if !ty.is_mask() => self.number(number, ty.with_lanes(lanes)),
            _ => self.push(KernelOp::Splat { lanes }, &[x], ty.with_lanes(lanes)),
        }
    }

    /// One lane.
    pub fn extract(&mut self, x: Val, lane: u16) -> Val {
        self.push(KernelOp::Extract { lane }, &[x], self.ty(x).with_lanes(1))
    }

    /// A vector with one lane replaced.
    pub fn insert(&mut self, x: Val, y: Val, lane: u16) -> Val {
        self.push(KernelOp::Insert { lane }, &[x, y], self.ty(x))
    }

    /// Lanes of two vectors in another order; see [`KernelOp::Shuffle`].
    pub fn shuffle(&mut self, x: Val, y: Val, lanes: &[u16]) -> Val {
        let ty = self.ty(x).with_lanes(lanes.len() as u16);
        self.push(KernelOp::Shuffle { lanes: lanes.into() }, &[x, y], ty)
    }

    /// The lanes combined to a scalar; nothing for one lane.
    pub fn horizontal(&mut self, op: Horizontal, x: Val) -> Val {
        let ty = self.ty(x);
        match ty.lanes {
            1 => x,
            _ => self.push(KernelOp::Reduce(op), &[x], ty.with_lanes(1)),
        }
    }

    /// Whether any lane of the mask is set.
    pub fn any(&mut self, mask: Val) -> Val {
        match self.ty(mask).lanes {
            1 => mask,
            _ => self.push(KernelOp::Any, &[mask], Type::TRUTH),
        }
    }

    /// The mask of the first `count` lanes of `ty`.
    pub fn tail_mask(&mut self, count: &Dim, ty: Type) -> Val {
        let count = self.index(count);
        let mask = ty.mask();
        let Element::Mask { bits } = mask.element else { return count };
        self.push(KernelOp::TailMask { bits, lanes: ty.lanes }, &[count], mask)
    }

    /// 0, 1, 2, … in the lanes; the constant 0 for one lane.
    pub fn lane_ids(&mut self, dtype: DType, lanes: u16) -> Val {
        let ty = Type::vector(dtype, lanes);
        match lanes {
            1 => self.constant(0.0, ty),
            _ => self.push(KernelOp::LaneIds { dtype, lanes }, &[], ty),
        }
    }
}
