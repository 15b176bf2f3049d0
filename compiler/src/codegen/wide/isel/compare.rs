//! Masks: comparisons, selection, tails.

use super::super::inst::{Cond, Op, Width};
use super::Isel;
use super::constant::mask_bits;
use super::shape::{Parts, Shape, is_half, is_signed};
use crate::codegen::CodegenError;
use crate::kernel::{Binary, Compare, Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::{SmallVec, smallvec};

/// The predicate of `vcmpps`, quiet, false with NaN but `ne`.
fn float_predicate(compare: Compare) -> i64 {
    match compare {
        Compare::Eq => 0,
        Compare::Ne => 4,
        Compare::Lt => 17,
        Compare::Le => 18,
        Compare::Gt => 30,
        Compare::Ge => 29,
    }
}

/// The predicate of `vpcmpd`.
fn int_predicate(compare: Compare) -> i64 {
    match compare {
        Compare::Eq => 0,
        Compare::Ne => 4,
        Compare::Lt => 1,
        Compare::Le => 2,
        Compare::Gt => 6,
        Compare::Ge => 5,
    }
}

/// The condition of the flags after comparing floats, and whether they are compared the other way round; `None` where one isn't enough.
pub(super) fn float_condition(compare: Compare) -> Option<(Cond, bool)> {
    match compare {
        Compare::Gt => Some((Cond::Above, false)),
        Compare::Ge => Some((Cond::NotBelow, false)),
        Compare::Lt => Some((Cond::Above, true)),
        Compare::Le => Some((Cond::NotBelow, true)),
        Compare::Eq | Compare::Ne => None,
    }
}

impl Isel<'_> {
    /// `Compare`.
    pub fn compare(&mut self, compare: Compare, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let Some(dtype) = ty.dtype() else { return Err(self.bug("masks don't compare")) };
        if ty.lanes == 1 {
            return Ok(smallvec![self.compare_scalars(compare, dtype, x, y)?]);
        }
        let shape = self.shape(ty)?;
        let mut masks = Parts::new();
        for (part, left) in self.parts(x)?.into_iter().enumerate() {
            masks.push(if dtype.is_float() {
                let op = match (self.level.avx512, shape.bytes) {
                    (true, 4) => Op::MaskCmpF32,
                    (true, _) => Op::MaskCmpF64,
                    (false, 4) => Op::CmpF32,
                    (false, _) => Op::CmpF64,
                };
                let right = self.folded(op, shape.width, y, part)?;
                self.b.def(op, shape.width, &[left.into(), right, float_predicate(compare).into()])
            } else if self.level.avx512 {
                let op = match (shape.bytes, is_signed(dtype)) {
                    (4, true) => Op::MaskCmpI32,
                    (4, false) => Op::MaskCmpU32,
                    (_, true) => Op::MaskCmpI64,
                    (_, false) => Op::MaskCmpU64,
                };
                let right = self.folded(op, shape.width, y, part)?;
                self.b.def(op, shape.width, &[left.into(), right, int_predicate(compare).into()])
            } else {
                let right = self.parts(y)?[part];
                self.compare_ints(compare, &shape, is_signed(dtype), left, right)
            });
        }
        Ok(masks)
    }

    /// Integers without AVX-512, which compares for = and signed > only.
    fn compare_ints(&mut self, compare: Compare, shape: &Shape, signed: bool, x: VReg, y: VReg) -> VReg {
        let (equal, greater) = match shape.bytes {
            4 => (Op::CmpEqI32, Op::CmpGtI32),
            _ => (Op::CmpEqI64, Op::CmpGtI64),
        };
        let (op, swap, negate) = match compare {
            Compare::Eq => (equal, false, false),
            Compare::Ne => (equal, false, true),
            Compare::Gt => (greater, false, false),
            Compare::Le => (greater, false, true),
            Compare::Lt => (greater, true, false),
            Compare::Ge => (greater, true, true),
        };
        let (mut x, mut y) = if swap { (y, x) } else { (x, y) };
        if !signed && op == greater {
            let sign = self.uniform(1 << (8 * shape.bytes - 1), shape);
            x = self.b.def(Op::BitXor, shape.width, &[x.into(), sign.into()]);
            y = self.b.def(Op::BitXor, shape.width, &[y.into(), sign.into()]);
        }
        let mask = self.b.def(op, shape.width, &[x.into(), y.into()]);
        if !negate {
            return mask;
        }
        let ones = self.uniform(u64::MAX, shape);
        self.b.def(Op::BitXor, shape.width, &[mask.into(), ones.into()])
    }

    fn compare_scalars(
        &mut self,
        compare: Compare,
        dtype: DType,
        x: Val,
        y: Val,
    ) -> Result<VReg, CodegenError> {
        if let Some(cond) = self.compare_flags(compare, x, y)? {
            return Ok(self.b.set(cond));
        }
        let (mut x, mut y, mut dtype) = (self.scalar(x)?, self.scalar(y)?, dtype);
        if is_half(dtype) {
            x = self.convert_scalar(x, dtype, DType::F32)?;
            y = self.convert_scalar(y, dtype, DType::F32)?;
            dtype = DType::F32;
        }
        let (cond, x, y) = match float_condition(compare) {
            Some((cond, false)) => (cond, x, y),
            Some((cond, true)) => (cond, y, x),
            None => return Ok(self.float_equality(compare == Compare::Eq, dtype, x, y)),
        };
        self.b.effect(Op::CompareF32, Width::X, &[x.into(), y.into()], None);
        Ok(self.b.set(cond))
    }

    /// x = y or x ≠ y: the flags of a comparison with NaN say both equal and unordered.
    pub fn float_equality(&mut self, equal: bool, dtype: DType, x: VReg, y: VReg) -> VReg {
        let op = if dtype == DType::F32 { Op::CompareF32 } else { Op::CompareF64 };
        let mut set = |cond| {
            self.b.effect(op, Width::X, &[x.into(), y.into()], None);
            self.b.set(cond)
        };
        let (first, second, join) = match equal {
            true => (set(Cond::Equal), set(Cond::NotParity), Op::IntAnd),
            false => (set(Cond::NotEqual), set(Cond::Parity), Op::IntOr),
        };
        self.b.def(join, Width::W32, &[first.into(), second.into()])
    }

    /// Whether an integer isn't 0.
    pub fn truth(&mut self, x: VReg) -> VReg {
        self.b.effect(Op::IntTest, Width::W64, &[x.into(), x.into()], None);
        self.b.set(Cond::NotEqual)
    }

    /// `Select`.
    pub fn select(&mut self, mask: Val, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        if self.ty(mask) != ty.mask() {
            return Err(self.bug(format!("a choice of {ty} by {}", self.ty(mask))));
        }
        if ty.lanes == 1 {
            return Ok(smallvec![self.select_scalar(mask, ty, x, y)?]);
        }
        let masks = self.parts(mask)?;
        if ty.is_mask() {
            let (x, y) = (self.parts(x)?, self.parts(y)?);
            return Ok((0..masks.len())
                .map(|part| self.choose_mask(masks[part], x[part], y[part]))
                .collect());
        }
        let shape = self.shape(ty)?;
        let mut result = Parts::new();
        for (part, mask) in masks.into_iter().enumerate() {
            let (x, y) = (self.parts(x)?[part], self.parts(y)?[part]);
            result.push(self.choose(mask, x, y, &shape));
        }
        Ok(result)
    }

    fn select_scalar(&mut self, mask: Val, ty: Type, x: Val, y: Val) -> Result<VReg, CodegenError> {
        let (left, right) = (self.scalar(x)?, self.scalar(y)?);
        if !matches!(ty.dtype(), Some(DType::F32 | DType::F64)) {
            let cond = self.condition(mask)?;
            return Ok(self.b.select(cond, left, right));
        }
        let truth = self.scalar(mask)?;
        Ok(self.select_float(truth, left, right, ty.dtype() == Some(DType::F64)))
    }

    /// x where the truth value is set, else y.
    pub fn select_float(&mut self, truth: VReg, x: VReg, y: VReg, wide: bool) -> VReg {
        let shape = if wide { super::constant::SCALAR64 } else { super::constant::SCALAR32 };
        let mask = if self.level.avx512 {
            self.b.def(Op::IntToMask, Width::X, &[truth.into()])
        } else {
            let sign = self.b.def(Op::IntNeg, Width::W64, &[truth.into()]);
            self.b.def(Op::IntToVector64, Width::X, &[sign.into()])
        };
        self.choose(mask, x, y, &shape)
    }

    /// x where the mask is set, else y, for one part.
    pub fn choose(&mut self, mask: VReg, x: VReg, y: VReg, shape: &Shape) -> VReg {
        let wide = shape.bytes == 8;
        if self.level.avx512 {
            let op = if wide { Op::MaskBlendF64 } else { Op::MaskBlendF32 };
            return self.b.masked_def(op, shape.width, &[y.into(), x.into()], Some(mask));
        }
        let op = if wide { Op::BlendF64 } else { Op::BlendF32 };
        self.b.def(op, shape.width, &[y.into(), x.into(), mask.into()])
    }

    fn choose_mask(&mut self, mask: VReg, x: VReg, y: VReg) -> VReg {
        // y ⊕ ((x ⊕ y) ∧ mask)
        let (xor, and) = match self.level.avx512 {
            true => (Op::MaskXor, Op::MaskAnd),
            false => (Op::BitXor, Op::BitAnd),
        };
        let width = if self.level.avx512 { Width::X } else { Width::Y };
        let differ = self.b.def(xor, width, &[x.into(), y.into()]);
        let taken = self.b.def(and, width, &[differ.into(), mask.into()]);
        self.b.def(xor, width, &[y.into(), taken.into()])
    }

    /// The lanes that the mask sets; the others become zero.
    pub fn keep(&mut self, mask: VReg, x: VReg, shape: &Shape) -> VReg {
        if !self.level.avx512 {
            return self.b.def(Op::BitAnd, shape.width, &[x.into(), mask.into()]);
        }
        let zero = self.zero();
        self.choose(mask, x, zero, shape)
    }

    /// The complement of a mask.
    pub fn mask_not(&mut self, x: &Parts, ty: Type) -> Result<Parts, CodegenError> {
        if ty.lanes == 1 {
            let one = self.int32(1);
            return Ok(smallvec![self.b.def(Op::IntXor, Width::W32, &[x[0].into(), one.into()])]);
        }
        if self.level.avx512 {
            return Ok(self.map(Op::MaskNot, Width::X, x));
        }
        let shape = self.shape(ty)?;
        let ones = self.uniform(u64::MAX, &shape);
        Ok(x.iter().map(|x| self.b.def(Op::BitXor, shape.width, &[(*x).into(), ones.into()])).collect())
    }

    /// A function of two masks.
    pub fn mask_binary(&mut self, op: Binary, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let (x, y) = (self.parts(x)?, self.parts(y)?);
        let [scalar, mask, vector] = match op {
            Binary::And => [Op::IntAnd, Op::MaskAnd, Op::BitAnd],
            Binary::Or => [Op::IntOr, Op::MaskOr, Op::BitOr],
            Binary::Xor => [Op::IntXor, Op::MaskXor, Op::BitXor],
            _ => return Err(self.bug(format!("there is no {} of {ty}", op.name()))),
        };
        if ty.lanes == 1 {
            return Ok(self.zip(scalar, Width::W32, &x, &y));
        }
        if self.level.avx512 {
            return Ok(self.zip(mask, Width::X, &x, &y));
        }
        let width = self.shape(ty)?.width;
        Ok(self.zip(vector, width, &x, &y))
    }

    /// `TailMask`: lane i is set where i < count.
    pub fn tail_mask(&mut self, count: Val, ty: Type) -> Result<Parts, CodegenError> {
        let count = self.scalar(count)?;
        if ty.lanes == 1 {
            self.b.effect(Op::IntCmpImm, Width::W64, &[count.into(), 0i64.into()], None);
            return Ok(smallvec![self.b.set(Cond::Greater)]);
        }
        let shape = self.shape(ty)?;
        let (zero, most) = (self.int(0), self.int(shape.lanes as i64));
        self.b.effect(Op::IntCmp, Width::W64, &[count.into(), most.into()], None);
        let limited = self.b.select(Cond::Less, count, most);
        self.b.effect(Op::IntTest, Width::W64, &[limited.into(), limited.into()], None);
        let limited = self.b.select(Cond::Greater, limited, zero);
        if self.level.avx512 {
            let ones = self.int(0xffff_ffff);
            let bits = self.b.def(Op::IntZeroHigh, Width::W64, &[ones.into(), limited.into()]);
            return Ok((0..shape.parts)
                .map(|part| {
                    let first = (part * shape.part_lanes()) as i64;
                    let bits = match first {
                        0 => bits,
                        _ => self.b.def(Op::IntShrImm, Width::W64, &[bits.into(), first.into()]),
                    };
                    self.b.def(Op::IntToMask, Width::X, &[bits.into()])
                })
                .collect());
        }
        let low = self.b.def(Op::IntToVector64, Width::X, &[limited.into()]);
        let (broadcast, greater) = match shape.bytes {
            4 => (Op::Broadcast32, Op::CmpGtI32),
            _ => (Op::Broadcast64, Op::CmpGtI64),
        };
        let limit = self.b.def(broadcast, shape.width, &[low.into()]);
        Ok((0..shape.parts)
            .map(|part| {
                let ids = self.lanes_in_memory(&shape, |lane| lane as u64, part);
                self.b.def(greater, shape.width, &[limit.into(), ids.into()])
            })
            .collect())
    }

    /// `ConvertMask`: the same truth for elements of another width.
    pub fn convert_mask(&mut self, mask: Val, to: Type) -> Result<Parts, CodegenError> {
        let parts = self.parts(mask)?;
        match mask_bits(to) {
            Some(bits) => self.resized_mask(&parts, self.ty(mask), bits),
            None => Err(self.bug("a mask converts to masks")),
        }
    }

    /// A mask of type `from` for elements of `bits` bits.
    pub fn resized_mask(&mut self, mask: &Parts, from: Type, bits: u8) -> Result<Parts, CodegenError> {
        if from.lanes == 1 || mask_bits(from) == Some(bits) {
            return Ok(mask.clone());
        }
        let to = Type { element: crate::kernel::Element::Mask { bits }, ..from };
        let (source, target) = (self.shape(from)?, self.shape(to)?);
        if !self.level.avx512 {
            let op = if target.bytes == 8 { Op::I32ToI64 } else { Op::TruncI64 };
            return self.resized_lanes(mask, &source, &target, op);
        }
        if source.parts == target.parts {
            return Ok(mask.clone());
        }
        if source.parts < target.parts {
            let lanes = target.part_lanes() as i64;
            return Ok((0..target.parts)
                .map(|part| {
                    let (from, place) = source.place(part * target.part_lanes());
                    match place {
                        0 => mask[from],
                        _ => self.b.def(Op::MaskShiftRight, Width::X, &[mask[from].into(), lanes.into()]),
                    }
                })
                .collect());
        }
        Ok(mask
            .chunks(2)
            .map(|pair| self.b.def(Op::MaskUnpack, Width::X, &[pair[1].into(), pair[0].into()]))
            .collect())
    }

    /// A mask without what the unused lanes of a narrow vector hold.
    pub fn used_lanes(&mut self, mask: VReg, shape: &Shape) -> VReg {
        if !shape.is_partial() {
            return mask;
        }
        if self.level.avx512 {
            let used = self.int32((1 << shape.lanes) - 1);
            let used = self.b.def(Op::IntToMask, Width::X, &[used.into()]);
            return self.b.def(Op::MaskAnd, Width::X, &[mask.into(), used.into()]);
        }
        let lanes = shape.lanes;
        let used = self.lanes_constant(shape, |lane| if lane < lanes { u64::MAX } else { 0 }, 0);
        self.b.def(Op::BitAnd, shape.width, &[mask.into(), used.into()])
    }

    /// The lanes of each part of a mask as bits of a general register.
    fn mask_as_bits(&mut self, mask: Val) -> Result<(SmallVec<[VReg; 2]>, Shape), CodegenError> {
        let shape = self.shape(self.ty(mask))?;
        let parts = self.parts(mask)?;
        let bits = parts
            .iter()
            .map(|part| {
                if self.level.avx512 {
                    self.b.def(Op::MaskToInt, Width::X, &[(*part).into()])
                } else {
                    let op = if shape.bytes == 4 { Op::SignBitsF32 } else { Op::SignBitsF64 };
                    self.b.def(op, shape.width, &[(*part).into()])
                }
            })
            .collect();
        Ok((bits, shape))
    }

    /// For each lane of a mask the register that has its bit, and which bit.
    pub fn lane_bits(&mut self, mask: Val) -> Result<Vec<(VReg, usize)>, CodegenError> {
        let (bits, shape) = self.mask_as_bits(mask)?;
        Ok((0..shape.lanes)
            .map(|lane| {
                let (part, place) = shape.place(lane);
                (bits[part], place)
            })
            .collect())
    }

    /// `Any`: whether a lane is set.
    pub fn any(&mut self, mask: Val) -> Result<VReg, CodegenError> {
        let (bits, shape) = self.mask_as_bits(mask)?;
        let mut all = bits[0];
        for part in &bits[1..] {
            all = self.b.def(Op::IntOr, Width::W32, &[all.into(), (*part).into()]);
        }
        // A mask register has bits beyond the vector's lanes.
        let used = (1i64 << shape.lanes.min(shape.part_lanes())) - 1;
        let all = self.b.def(Op::IntAndImm, Width::W32, &[all.into(), used.into()]);
        Ok(self.truth(all))
    }

    /// Whether numbers in 32-bit lanes aren't 0, as a mask.
    pub fn mask_of_numbers(&mut self, x: &Parts, from: Type, to: Type) -> Result<Parts, CodegenError> {
        let shape = self.shape(from)?;
        let masks = x
            .iter()
            .map(|x| {
                if self.level.avx512 {
                    return self.b.def(Op::MaskTest32, shape.width, &[(*x).into(), (*x).into()]);
                }
                let zero = self.zero();
                self.compare_ints(Compare::Ne, &shape, true, *x, zero)
            })
            .collect();
        match mask_bits(to) {
            Some(bits) => self.resized_mask(&masks, from.mask(), bits),
            None => Err(self.bug("a mask is wanted")),
        }
    }

    /// A mask as numbers 0 and 1 in 32-bit lanes.
    pub fn numbers_of_mask(&mut self, mask: &Parts, ty: Type) -> Result<Parts, CodegenError> {
        let masks = self.resized_mask(mask, ty, 32)?;
        let shape = self.shape(Type::vector(DType::I32, ty.lanes))?;
        Ok(masks
            .iter()
            .map(|mask| {
                let ones = match self.level.avx512 {
                    true => self.b.def(Op::MaskToVector32, shape.width, &[(*mask).into()]),
                    false => *mask,
                };
                self.b.def(Op::ShriI32, shape.width, &[ones.into(), 31i64.into()])
            })
            .collect())
    }
}
