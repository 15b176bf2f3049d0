//! Conversions by value.
//!
//! Float to integer truncates and saturates, NaN gives 0; integers wrap; anything but 0 is true as a bool; to f16 and bf16 is rounded once.
//! Vectors are converted as such where Cranelift has an instruction for it on every target, else lane by lane.

use super::function::Translator;
use super::lanes::Lanes;
use super::shape::{Parts, Shape, is_half, scalar_type};
use crate::codegen::CodegenError;
use crate::kernel::{Type, Val};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, Value, types};
use graven_ir::{DType, DTypeClass};

fn is_signed(dtype: DType) -> bool {
    dtype.class() == DTypeClass::Signed
}

impl Translator<'_, '_> {
    /// `Convert`.
    pub fn convert(&mut self, x: Val, to: DType) -> Result<Parts, CodegenError> {
        let parts = self.parts(x)?;
        self.convert_parts(&parts, self.ty(x), to)
    }

    /// Parts of type `from` as numbers of another dtype; masks as 0 and 1.
    pub fn convert_parts(&mut self, x: &Parts, from: Type, to: DType) -> Result<Parts, CodegenError> {
        let shape = self.shape(from)?;
        let Some(dtype) = from.dtype() else {
            let ints = self.mask_to_ints(x, &shape);
            let dtype = Self::mask_int_dtype(&shape);
            return self.convert_numbers(&ints, from.lanes, dtype, to);
        };
        self.convert_numbers(x, from.lanes, dtype, to)
    }

    fn convert_numbers(
        &mut self,
        x: &Parts,
        lanes: u16,
        from: DType,
        to: DType,
    ) -> Result<Parts, CodegenError> {
        if from == to {
            return Ok(x.clone());
        }
        if lanes == 1 {
            return Ok(Parts::from_elem(self.convert_scalar(x[0], from, to), 1));
        }
        // The lanes of a target without vectors may be narrower than those of vectors, as those of masks are.
        let source = match scalar_type(from).bytes() {
            1 | 2 => Shape {
                part: scalar_type(from),
                lane: scalar_type(from),
                part_lanes: 1,
                parts: x.len(),
                lanes: x.len(),
            },
            _ => self.shape(Type::vector(from, lanes))?,
        };
        let target = self.shape(Type::vector(to, lanes))?;
        if source.is_vector()
            && let Some(parts) = self.convert_vector(x, from, to, &target)
        {
            return Ok(parts);
        }
        let converted: Lanes =
            self.lanes(x, &source).into_iter().map(|lane| self.convert_scalar(lane, from, to)).collect();
        Ok(self.join_lanes(&converted, &target))
    }

    /// The conversions of vectors that need not go lane by lane.
    fn convert_vector(&mut self, x: &Parts, from: DType, to: DType, target: &Shape) -> Option<Parts> {
        use DType::*;
        let parts = match (from, to) {
            (I32, U32) | (U32, I32) | (I64, U64) | (U64, I64) => x.clone(),
            (I32, F32) => self.map(x, |t, x| t.ins().fcvt_from_sint(types::F32X4, x)),
            (U32, F32) => self.map(x, |t, x| t.ins().fcvt_from_uint(types::F32X4, x)),
            (F32, I32) => self.map(x, |t, x| t.ins().fcvt_to_sint_sat(types::I32X4, x)),
            (F32, U32) => self.map(x, |t, x| t.ins().fcvt_to_uint_sat(types::I32X4, x)),
            (I32, I64 | U64) => self.widen(x, target, true),
            (U32, I64 | U64) => self.widen(x, target, false),
            (I64 | U64, I32 | U32) => self.low_halves(x, target),
            (F32, F64) => self.promote(x, target),
            (F64, F32) => self.demote(x),
            _ => return None,
        };
        Some(parts)
    }

    /// 32-bit integer lanes as 64-bit ones.
    fn widen(&mut self, x: &Parts, target: &Shape, signed: bool) -> Parts {
        let mut wide = Parts::new();
        for part in x {
            for high in [false, true] {
                wide.push(match (high, signed) {
                    (false, true) => self.ins().swiden_low(*part),
                    (true, true) => self.ins().swiden_high(*part),
                    (false, false) => self.ins().uwiden_low(*part),
                    (true, false) => self.ins().uwiden_high(*part),
                });
            }
        }
        wide.truncate(target.parts);
        wide
    }

    fn promote(&mut self, x: &Parts, target: &Shape) -> Parts {
        let mut wide = Parts::new();
        for part in x {
            wide.push(self.ins().fvpromote_low(*part));
            if wide.len() < target.parts {
                let words = self.cast(*part, types::I32X4);
                let upper = self.shuffle_words(words, words, [2, 3, 2, 3]);
                let upper = self.cast(upper, types::F32X4);
                wide.push(self.ins().fvpromote_low(upper));
            }
        }
        wide
    }

    fn demote(&mut self, x: &Parts) -> Parts {
        x.chunks(2)
            .map(|pair| {
                let low = self.ins().fvdemote(pair[0]);
                let Some(high) = pair.get(1) else { return low };
                let high = self.ins().fvdemote(*high);
                let (low, high) = (self.cast(low, types::I32X4), self.cast(high, types::I32X4));
                let both = self.shuffle_words(low, high, [0, 1, 4, 5]);
                self.cast(both, types::F32X4)
            })
            .collect()
    }

    /// A scalar as another dtype.
    pub fn convert_scalar(&mut self, x: Value, from: DType, to: DType) -> Value {
        if from == to {
            return x;
        }
        if is_half(from) {
            let single = self.half_scalar_to_f32(x, from);
            return self.convert_scalar(single, DType::F32, to);
        }
        match (from.is_float(), to.is_float()) {
            (_, true) if is_half(to) => self.scalar_to_half(x, from, to),
            (true, true) if from == DType::F32 => self.ins().fpromote(types::F64, x),
            (true, true) => self.ins().fdemote(types::F32, x),
            (false, true) => self.int_to_float(x, from, scalar_type(to)),
            (true, false) => self.float_to_int(x, to),
            (false, false) => self.int_to_int(x, from, to),
        }
    }

    fn scalar_to_half(&mut self, x: Value, from: DType, to: DType) -> Value {
        match from {
            DType::F32 => self.f32_scalar_to_half(x, to),
            DType::F64 => self.f64_scalar_to_half(x, to),
            DType::I64 | DType::U64 => {
                let double = self.int_scalar_to_f64_odd(x, is_signed(from));
                self.f64_scalar_to_half(double, to)
            }
            DType::I32 | DType::U32 => {
                let double = self.int_to_float(x, from, types::F64);
                self.f64_scalar_to_half(double, to)
            }
            // Exact in f32.
            _ => {
                let single = self.int_to_float(x, from, types::F32);
                self.f32_scalar_to_half(single, to)
            }
        }
    }

    fn int_to_float(&mut self, x: Value, from: DType, to: ir::Type) -> Value {
        let wide = if scalar_type(from).bits() < 32 { self.extend(x, from, types::I32) } else { x };
        match is_signed(from) {
            true => self.ins().fcvt_from_sint(to, wide),
            false => self.ins().fcvt_from_uint(to, wide),
        }
    }

    fn float_to_int(&mut self, x: Value, to: DType) -> Value {
        if to == DType::Bool {
            let zero = self.uniform(self.builder.func.dfg.value_type(x), 0);
            return self.ins().fcmp(FloatCC::NotEqual, x, zero);
        }
        let register = scalar_type(to);
        if register.bits() >= 32 {
            return match is_signed(to) {
                true => self.ins().fcvt_to_sint_sat(register, x),
                false => self.ins().fcvt_to_uint_sat(register, x),
            };
        }
        let wide = self.ins().fcvt_to_sint_sat(types::I32, x);
        let limited = self.clamp(wide, to);
        self.ins().ireduce(register, limited)
    }

    /// A signed 32-bit integer, scalar or vector, limited to the range of a narrower dtype.
    pub fn clamp(&mut self, x: Value, to: DType) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let (low, high) = to.int_range().unwrap_or((0, 0));
        let (low, high) = (self.uniform(ty, low as u64), self.uniform(ty, high as u64));
        let limited = self.ins().smax(x, low);
        self.ins().smin(limited, high)
    }

    fn int_to_int(&mut self, x: Value, from: DType, to: DType) -> Value {
        if to == DType::Bool {
            return self.ins().icmp_imm_s(IntCC::NotEqual, x, 0);
        }
        let resized = self.extend(x, from, scalar_type(to));
        self.wrap(resized, to)
    }

    /// An integer in a register of another width; `from` tells the sign.
    pub fn extend(&mut self, x: Value, from: DType, to: ir::Type) -> Value {
        let bits = self.builder.func.dfg.value_type(x).bits();
        match (bits.cmp(&to.bits()), is_signed(from)) {
            (std::cmp::Ordering::Equal, _) => x,
            (std::cmp::Ordering::Greater, _) => self.ins().ireduce(to, x),
            (std::cmp::Ordering::Less, true) => self.ins().sextend(to, x),
            (std::cmp::Ordering::Less, false) => self.ins().uextend(to, x),
        }
    }
}
