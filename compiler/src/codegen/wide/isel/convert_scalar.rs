//! Conversions of scalars by value.

use super::super::inst::{Cond, Op, Width};
use super::Isel;
use super::constant::{SCALAR32, SCALAR64};
use super::shape::{Shape, is_half, is_signed};
use crate::codegen::CodegenError;
use graven_ir::DType;
use regalloc2::VReg;

impl Isel<'_> {
    /// A scalar as another dtype.
    pub fn convert_scalar(&mut self, x: VReg, from: DType, to: DType) -> Result<VReg, CodegenError> {
        if from == to {
            return Ok(x);
        }
        if is_half(from) {
            let single = self.half_to_f32(x, from);
            return self.convert_scalar(single, DType::F32, to);
        }
        Ok(match (from.is_float(), to.is_float()) {
            (_, true) if is_half(to) => self.scalar_to_half(x, from, to),
            (true, true) if from == DType::F32 => self.b.def(Op::F32ToF64S, Width::X, &[x.into(), x.into()]),
            (true, true) => self.b.def(Op::F64ToF32S, Width::X, &[x.into(), x.into()]),
            (false, true) => self.int_to_float(x, from, to),
            (true, false) => self.float_to_int(x, from, to),
            (false, false) => self.int_to_int(x, from, to),
        })
    }

    fn half_to_f32(&mut self, bits: VReg, from: DType) -> VReg {
        if from == DType::BF16 {
            let wide = self.b.def(Op::IntShlImm, Width::W32, &[bits.into(), 16i64.into()]);
            return self.b.def(Op::IntToVector32, Width::X, &[wide.into()]);
        }
        let low = self.b.def(Op::IntToVector32, Width::X, &[bits.into()]);
        self.b.def(Op::F16ToF32, Width::X, &[low.into()])
    }

    fn scalar_to_half(&mut self, x: VReg, from: DType, to: DType) -> VReg {
        let single = match from {
            DType::F32 => x,
            DType::F64 => self.f64_to_odd_f32(x),
            DType::I64 | DType::U64 => {
                let cut = self.cut_to_48_bits(x, is_signed(from));
                let double = self.int_to_float(cut, from, DType::F64);
                self.f64_to_odd_f32(double)
            }
            DType::I32 | DType::U32 => {
                let double = self.int_to_float(x, from, DType::F64);
                self.f64_to_odd_f32(double)
            }
            // Exact in f32.
            _ => self.int_to_float(x, from, DType::F32),
        };
        if to == DType::F16 {
            let half = self.b.def(Op::F32ToF16, Width::X, &[single.into(), 0i64.into()]);
            let bits = self.b.def(Op::VectorToInt32, Width::X, &[half.into()]);
            return self.wrap(bits, DType::U16);
        }
        let rounded = self.rounded_scalar_bf16(single);
        self.wrap(rounded, DType::U16)
    }

    fn rounded_scalar_bf16(&mut self, x: VReg) -> VReg {
        let bits = self.b.def(Op::VectorToInt32, Width::X, &[x.into()]);
        let upper = self.b.def(Op::IntShrImm, Width::W32, &[bits.into(), 16i64.into()]);
        let parity = self.b.def(Op::IntAndImm, Width::W32, &[upper.into(), 1i64.into()]);
        let up = self.b.def(Op::IntAddImm, Width::W32, &[bits.into(), 0x7fffi64.into()]);
        let up = self.b.def(Op::IntAdd, Width::W32, &[up.into(), parity.into()]);
        let rounded = self.b.def(Op::IntShrImm, Width::W32, &[up.into(), 16i64.into()]);
        let quiet = self.b.def(Op::IntOrImm, Width::W32, &[upper.into(), 0x40i64.into()]);
        self.b.effect(Op::CompareF32, Width::X, &[x.into(), x.into()], None);
        self.b.select(Cond::Parity, quiet, rounded)
    }

    /// An integer whose upper 48 bits round like it, where it has more than 32.
    fn cut_to_48_bits(&mut self, x: VReg, signed: bool) -> VReg {
        let low = self.b.def(Op::IntExtendU16, Width::W32, &[x.into()]);
        let sticky = self.truth(low);
        let sticky = self.b.def(Op::IntShlImm, Width::W64, &[sticky.into(), 16i64.into()]);
        let shifted = self.b.def(Op::IntShrImm, Width::W64, &[x.into(), 16i64.into()]);
        let upper = self.b.def(Op::IntShlImm, Width::W64, &[shifted.into(), 16i64.into()]);
        let cut = self.b.def(Op::IntOr, Width::W64, &[upper.into(), sticky.into()]);
        let mut magnitude = x;
        if signed {
            let sign = self.b.def(Op::IntSarImm, Width::W64, &[x.into(), 63i64.into()]);
            magnitude = self.b.def(Op::IntXor, Width::W64, &[x.into(), sign.into()]);
        }
        let high = self.b.def(Op::IntShrImm, Width::W64, &[magnitude.into(), 32i64.into()]);
        self.b.effect(Op::IntTest, Width::W64, &[high.into(), high.into()], None);
        self.b.select(Cond::NotEqual, cut, x)
    }

    /// f64 to f32 rounded to odd: truncated, and the last bit set if anything was cut off. Rounding that once more to fewer bits is like rounding once.
    fn f64_to_odd_f32(&mut self, x: VReg) -> VReg {
        let near = self.b.def(Op::F64ToF32S, Width::X, &[x.into(), x.into()]);
        let back = self.b.def(Op::F32ToF64S, Width::X, &[near.into(), near.into()]);
        let magnitude = |isel: &mut Self, x: VReg| {
            let mask = isel.uniform(!(1 << 63), &SCALAR64);
            isel.b.def(Op::BitAnd, Width::X, &[x.into(), mask.into()])
        };
        let (wanted, got) = (magnitude(self, x), magnitude(self, back));
        let bits = self.b.def(Op::VectorToInt32, Width::X, &[near.into()]);
        // One step towards zero where the magnitude grew.
        self.b.effect(Op::CompareF64, Width::X, &[got.into(), wanted.into()], None);
        let grew = self.b.set(Cond::Above);
        let truncated = self.b.def(Op::IntSub, Width::W32, &[bits.into(), grew.into()]);
        let odd = self.b.def(Op::IntOrImm, Width::W32, &[truncated.into(), 1i64.into()]);
        let inexact = self.float_equality(false, DType::F64, back, x);
        self.b.effect(Op::IntTest, Width::W32, &[inexact.into(), inexact.into()], None);
        let result = self.b.select(Cond::NotEqual, odd, bits);
        self.b.def(Op::IntToVector32, Width::X, &[result.into()])
    }

    fn int_to_float(&mut self, x: VReg, from: DType, to: DType) -> VReg {
        let wide = to == DType::F64;
        let (from_32, from_64) = match wide {
            true => (Op::I32ToF64S, Op::I64ToF64S),
            false => (Op::I32ToF32S, Op::I64ToF32S),
        };
        // The instruction leaves the upper lanes as they were in another register: one that is ready.
        let zero = self.zero();
        let convert = |isel: &mut Self, op, x: VReg| isel.b.def(op, Width::X, &[zero.into(), x.into()]);
        match from {
            DType::U32 | DType::I64 => convert(self, from_64, x),
            DType::U64 => {
                let add = if wide { Op::AddF64S } else { Op::AddF32S };
                let direct = convert(self, from_64, x);
                // Half of it, with the last bit kept for rounding.
                let half = self.b.def(Op::IntShrImm, Width::W64, &[x.into(), 1i64.into()]);
                let last = self.b.def(Op::IntAndImm, Width::W64, &[x.into(), 1i64.into()]);
                let half = self.b.def(Op::IntOr, Width::W64, &[half.into(), last.into()]);
                let half = convert(self, from_64, half);
                let double = self.b.def(add, Width::X, &[half.into(), half.into()]);
                let is_large = self.b.def(Op::IntShrImm, Width::W64, &[x.into(), 63i64.into()]);
                self.select_float(is_large, double, direct, wide)
            }
            _ => convert(self, from_32, x),
        }
    }

    fn float_to_int(&mut self, x: VReg, from: DType, to: DType) -> VReg {
        let wide = from == DType::F64;
        let shape = if wide { SCALAR64 } else { SCALAR32 };
        match to {
            DType::Bool => {
                let zero = self.zero();
                self.float_equality(false, from, x, zero)
            }
            DType::U64 => self.float_to_u64(x, &shape),
            DType::I64 => {
                let truncated = self.truncated(x, &shape);
                let largest = self.int(i64::MAX);
                self.compare_floats(x, 2f64.powi(63), &shape);
                let limited = self.b.select(Cond::NotBelow, largest, truncated);
                self.zero_if_nan(x, limited, &shape)
            }
            _ => {
                // Far above what fits, where the instruction itself fits.
                let most = self.uniform_float(2f64.powi(62), &shape);
                let min = if wide { Op::MinF64S } else { Op::MinF32S };
                let limited = self.b.def(min, Width::X, &[x.into(), most.into()]);
                let truncated = self.truncated(limited, &shape);
                let (low, high) = to.int_range().unwrap_or((0, 0));
                let (low, high) = (self.int(low as i64), self.int(high as i64));
                self.b.effect(Op::IntCmp, Width::W64, &[truncated.into(), low.into()], None);
                let above = self.b.select(Cond::Greater, truncated, low);
                self.b.effect(Op::IntCmp, Width::W64, &[above.into(), high.into()], None);
                let inside = self.b.select(Cond::Less, above, high);
                let number = self.zero_if_nan(x, inside, &shape);
                self.low_word(number)
            }
        }
    }

    fn truncated(&mut self, x: VReg, shape: &Shape) -> VReg {
        let op = if shape.bytes == 8 { Op::F64ToI64S } else { Op::F32ToI64S };
        self.b.def(op, Width::X, &[x.into()])
    }

    /// The flags of a comparison with a constant.
    fn compare_floats(&mut self, x: VReg, constant: f64, shape: &Shape) {
        let op = if shape.bytes == 8 { Op::CompareF64 } else { Op::CompareF32 };
        let constant = self.uniform_float(constant, shape);
        self.b.effect(op, Width::X, &[x.into(), constant.into()], None);
    }

    fn zero_if_nan(&mut self, x: VReg, result: VReg, shape: &Shape) -> VReg {
        let op = if shape.bytes == 8 { Op::CompareF64 } else { Op::CompareF32 };
        let zero = self.int(0);
        self.b.effect(op, Width::X, &[x.into(), x.into()], None);
        self.b.select(Cond::Parity, zero, result)
    }

    fn float_to_u64(&mut self, x: VReg, shape: &Shape) -> VReg {
        let (max, sub) = match shape.bytes {
            8 => (Op::MaxF64S, Op::SubF64S),
            _ => (Op::MaxF32S, Op::SubF32S),
        };
        let zero = self.zero();
        // The maximum gives its second operand for NaN.
        let positive = self.b.def(max, Width::X, &[x.into(), zero.into()]);
        let low = self.truncated(positive, shape);
        let half = self.uniform_float(2f64.powi(63), shape);
        let rest = self.b.def(sub, Width::X, &[positive.into(), half.into()]);
        let rest = self.truncated(rest, shape);
        let top = self.int(i64::MIN);
        let high = self.b.def(Op::IntXor, Width::W64, &[rest.into(), top.into()]);
        let most = self.int(-1);
        self.compare_floats(positive, 2f64.powi(63), shape);
        let number = self.b.select(Cond::NotBelow, high, low);
        self.compare_floats(positive, 2f64.powi(64), shape);
        self.b.select(Cond::NotBelow, most, number)
    }

    /// The low 32 bits.
    fn low_word(&mut self, x: VReg) -> VReg {
        self.b.def(Op::IntMove, Width::W32, &[x.into()])
    }

    fn int_to_int(&mut self, x: VReg, from: DType, to: DType) -> VReg {
        let wide = |dtype| matches!(dtype, DType::I64 | DType::U64);
        match (wide(from), wide(to)) {
            (_, false) if to == DType::Bool => self.truth(x),
            (false, true) if is_signed(from) => self.b.def(Op::IntExtendI32, Width::W64, &[x.into()]),
            (false, true) | (true, true) => x,
            (true, false) if to.bytes() == 4 => self.low_word(x),
            (false, false) if to.bytes() == 4 => x,
            _ => self.wrap(x, to),
        }
    }
}
