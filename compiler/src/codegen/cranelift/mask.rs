//! Masks: comparisons, selection, tails.

use super::function::Translator;
use super::shape::{Parts, Shape, is_half};
use crate::codegen::CodegenError;
use crate::kernel::{Compare, Type, Val, types::Element};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use graven_ir::{DType, DTypeClass};
use smallvec::{SmallVec, smallvec};

/// The float comparison; all are false with NaN but `ne`.
fn float_condition(compare: Compare) -> FloatCC {
    match compare {
        Compare::Eq => FloatCC::Equal,
        Compare::Ne => FloatCC::NotEqual,
        Compare::Lt => FloatCC::LessThan,
        Compare::Le => FloatCC::LessThanOrEqual,
        Compare::Gt => FloatCC::GreaterThan,
        Compare::Ge => FloatCC::GreaterThanOrEqual,
    }
}

/// The integer comparison.
fn int_condition(compare: Compare, signed: bool) -> IntCC {
    let condition = match compare {
        Compare::Eq => IntCC::Equal,
        Compare::Ne => IntCC::NotEqual,
        Compare::Lt => IntCC::SignedLessThan,
        Compare::Le => IntCC::SignedLessThanOrEqual,
        Compare::Gt => IntCC::SignedGreaterThan,
        Compare::Ge => IntCC::SignedGreaterThanOrEqual,
    };
    if signed { condition } else { condition.unsigned() }
}

impl Translator<'_, '_> {
    /// `Compare`.
    pub fn compare(&mut self, compare: Compare, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let (mut x, mut y) = (self.parts(x)?, self.parts(y)?);
        if let Some(dtype) = ty.dtype().filter(|dtype| is_half(*dtype)) {
            x = self.map(&x, |t, x| t.half_scalar_to_f32(x, dtype));
            y = self.map(&y, |t, y| t.half_scalar_to_f32(y, dtype));
        }
        if ty.is_float() {
            let condition = float_condition(compare);
            return Ok(self.zip(&x, &y, |t, x, y| {
                let (x, y) = (t.in_register(x), t.in_register(y));
                t.ins().fcmp(condition, x, y)
            }));
        }
        let signed = ty.dtype().is_some_and(|dtype| dtype.class() == DTypeClass::Signed);
        let condition = int_condition(compare, signed);
        Ok(self.zip(&x, &y, |t, x, y| t.ins().icmp(condition, x, y)))
    }

    /// A vector of floats that no comparison loads from unaligned memory itself: a cast stands between.
    fn in_register(&mut self, x: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        if self.machine.compares_unaligned || !ty.is_vector() {
            return x;
        }
        let bits = self.cast(x, ty.as_truthy());
        self.cast(bits, ty)
    }

    /// `Select`; the mask has as many lanes as the values, or is a scalar.
    pub fn select(&mut self, mask: Val, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let shape = self.shape(self.ty(x))?;
        let mut masks = self.parts(mask)?;
        let mask_shape = self.shape(self.ty(mask))?;
        if mask_shape.lanes == 1 && shape.lanes > 1 {
            let vector = self.shape(self.ty(x).mask())?;
            let lane = self.mask_lane(masks[0], &vector);
            masks = self.splat_lane(lane, &vector);
        }
        let (x, y) = (self.parts(x)?, self.parts(y)?);
        if masks.len() != x.len() || y.len() != x.len() {
            return Err(self.bug(format!("{mask} does not fit what it selects")));
        }
        Ok((0..x.len()).map(|part| self.choose(masks[part], x[part], y[part])).collect())
    }

    /// x where the mask is set, else y, for one part.
    pub fn choose(&mut self, mask: Value, x: Value, y: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        if !ty.is_vector() {
            return self.ins().select(mask, x, y);
        }
        let mask = self.cast(mask, ty);
        self.ins().bitselect(mask, x, y)
    }

    /// The lanes of a part that the mask sets; the others become zero.
    pub fn keep(&mut self, mask: Value, x: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        if !ty.is_vector() {
            let zero = self.uniform(ty, 0);
            return self.ins().select(mask, x, zero);
        }
        let bits = self.cast(x, ty.as_truthy());
        let kept = self.ins().band(bits, mask);
        self.cast(kept, ty)
    }

    /// `TailMask`: lane i is set where i < count.
    pub fn tail_mask(&mut self, count: Val, ty: Type) -> Result<Parts, CodegenError> {
        let (count, shape) = (self.scalar(count)?, self.shape(ty)?);
        if !shape.is_vector() {
            let below = |t: &mut Self, lane| t.ins().icmp_imm_s(IntCC::SignedGreaterThan, count, lane as i64);
            return Ok((0..shape.lanes).map(|lane| below(self, lane)).collect());
        }
        let (least, most) = (self.int(0), self.int(shape.lanes as i64));
        let limited = self.ins().smin(count, most);
        let limited = self.ins().smax(limited, least);
        let narrow = match shape.lane {
            types::I64 => limited,
            lane => self.ins().ireduce(lane, limited),
        };
        let limit = self.ins().splat(shape.part, narrow);
        Ok((0..shape.parts)
            .map(|part| {
                let ids = self.lanes_constant(&shape, |lane| lane as u64, part);
                self.ins().icmp(IntCC::SignedGreaterThan, limit, ids)
            })
            .collect())
    }

    /// `ConvertMask`: the same truth for elements of another width.
    pub fn convert_mask(&mut self, mask: Val, bits: u8) -> Result<Parts, CodegenError> {
        let from = self.ty(mask);
        let parts = self.parts(mask)?;
        self.mask_for_bits(&parts, from, bits)
    }

    /// A mask of type `from` for elements of `bits` bits.
    pub fn mask_for_bits(&mut self, mask: &Parts, from: Type, bits: u8) -> Result<Parts, CodegenError> {
        let to = Type { element: Element::Mask { bits }, ..from };
        if from.lanes == 1 {
            return Ok(mask.clone());
        }
        let (source, target) = (self.shape(from)?, self.shape(to)?);
        if source.part == target.part {
            return Ok(mask.clone());
        }
        if source.lane.bits() < target.lane.bits() {
            let mut wide = Parts::new();
            for part in mask {
                wide.push(self.ins().swiden_low(*part));
                wide.push(self.ins().swiden_high(*part));
            }
            wide.truncate(target.parts);
            return Ok(wide);
        }
        Ok(self.low_halves(mask, &target))
    }

    /// The low halves of 64-bit lanes as 32-bit lanes.
    pub fn low_halves(&mut self, wide: &Parts, target: &Shape) -> Parts {
        wide.chunks(2)
            .map(|pair| {
                let (x, y) = (pair[0], pair[pair.len() - 1]);
                let x = self.reinterpret(x, types::I32X4);
                let y = self.reinterpret(y, types::I32X4);
                let low = if self.machine.little_endian() { 0 } else { 1 };
                let part = self.shuffle_words(x, y, [low, low + 2, low + 4, low + 6]);
                self.cast(part, target.part)
            })
            .collect()
    }

    /// `Any`: whether a lane is set.
    pub fn any(&mut self, mask: Val) -> Result<Value, CodegenError> {
        let (parts, shape) = (self.parts(mask)?, self.shape(self.ty(mask))?);
        let used = self.used_lanes_only(&parts, &shape);
        let mut all = used[0];
        for part in &used[1..] {
            all = self.ins().bor(all, *part);
        }
        Ok(if shape.is_vector() { self.ins().vany_true(all) } else { all })
    }

    /// A mask without what the unused lanes of a narrow vector hold.
    fn used_lanes_only(&mut self, mask: &Parts, shape: &Shape) -> Parts {
        if !shape.is_vector() || shape.lanes >= shape.part_lanes {
            return mask.clone();
        }
        let used = self.lanes_constant(shape, |lane| if lane < shape.lanes { u64::MAX } else { 0 }, 0);
        smallvec![self.ins().band(mask[0], used)]
    }

    /// Per lane of a mask, a scalar that is not 0 where the lane is set.
    pub fn lane_truths(&mut self, mask: &Parts, shape: &Shape) -> SmallVec<[Value; 16]> {
        if !shape.is_vector() {
            return mask.iter().copied().collect();
        }
        let high: SmallVec<[Value; 4]> =
            mask.iter().map(|part| self.ins().vhigh_bits(types::I32, *part)).collect();
        (0..shape.lanes)
            .map(|lane| {
                let (part, place) = shape.place(lane);
                self.ins().band_imm_u(high[part], 1 << place)
            })
            .collect()
    }

    /// A mask as numbers 0 and 1 in integer lanes of the mask's width.
    pub fn mask_to_ints(&mut self, mask: &Parts, shape: &Shape) -> Parts {
        if !shape.is_vector() {
            return mask.clone();
        }
        let one = self.uniform(shape.part, 1);
        self.map(mask, |t, part| t.ins().band(part, one))
    }

    /// The dtype of what [`Translator::mask_to_ints`] gives.
    pub fn mask_int_dtype(shape: &Shape) -> DType {
        match shape.lane {
            types::I32 => DType::I32,
            types::I64 => DType::I64,
            _ => DType::Bool,
        }
    }
}
