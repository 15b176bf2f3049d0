//! Conversions of vectors by value.
//!
//! Float to integer truncates and saturates, NaN gives 0; integers wrap; to f16 and bf16 is rounded once. What has no instruction goes lane by lane.

use super::super::inst::{Op, Width};
use super::super::vcode::In;
use super::Isel;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::smallvec;

/// Predicates of float comparisons: neither is NaN; either is; ≥.
const ORDERED: i64 = 7;
const UNORDERED: i64 = 3;
const NOT_LESS: i64 = 29;

impl Isel<'_> {
    /// `Convert`.
    pub fn convert(&mut self, x: Val, to: DType) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let parts = self.parts(x)?;
        match (ty.dtype(), ty.lanes) {
            // A truth value is 0 or 1.
            (None, 1) => Ok(smallvec![self.convert_scalar(parts[0], DType::U8, to)?]),
            (Some(from), 1) => Ok(smallvec![self.convert_scalar(parts[0], from, to)?]),
            (Some(from), lanes) => self.convert_lanes(&parts, from, to, lanes),
            (None, _) => Err(self.bug("masks of vectors don't convert to numbers")),
        }
    }

    /// Lanes of one dtype as another.
    pub fn convert_lanes(
        &mut self,
        x: &Parts,
        from: DType,
        to: DType,
        lanes: u16,
    ) -> Result<Parts, CodegenError> {
        use DType::*;
        if from == to {
            return Ok(x.clone());
        }
        let (source, target) = (self.shape(Type::vector(from, lanes))?, self.shape(Type::vector(to, lanes))?);
        let wide = self.level.avx512;
        let op = match (from, to) {
            (I32, U32) | (U32, I32) | (I64, U64) | (U64, I64) => return Ok(x.clone()),
            (I32, F32) => Op::I32ToF32,
            (U32, F32) if wide => Op::U32ToF32,
            (U32, F32) => return Ok(x.iter().map(|x| self.unsigned_to_f32(*x, &source)).collect()),
            (F32, I32) => return Ok(x.iter().map(|x| self.f32_to_signed(*x, &source)).collect()),
            (F32, U32) => return Ok(x.iter().map(|x| self.f32_to_unsigned(*x, &source)).collect()),
            (I32, I64 | U64) => Op::I32ToI64,
            (U32, I64 | U64) => Op::U32ToU64,
            (I64 | U64, I32 | U32) => Op::TruncI64,
            (F32, F64) => Op::F32ToF64,
            (F64, F32) => Op::F64ToF32,
            (I32, F64) => Op::I32ToF64,
            (U32, F64) if wide => Op::U32ToF64,
            (I64, F64) if wide => Op::I64ToF64,
            (U64, F64) if wide => Op::U64ToF64,
            (I64, F32) if wide => Op::I64ToF32,
            (U64, F32) if wide => Op::U64ToF32,
            (F64, I32) => {
                let limited = x.iter().map(|x| self.limited_f64(*x, to, &source)).collect();
                return self.resized_lanes(&limited, &source, &target, Op::F64ToI32);
            }
            (F64, U32) if wide => {
                let limited = x.iter().map(|x| self.limited_f64(*x, to, &source)).collect();
                return self.resized_lanes(&limited, &source, &target, Op::F64ToU32);
            }
            _ => {
                let scalars = self.split_lanes(x, from, &source);
                let converted: Vec<VReg> = scalars
                    .into_iter()
                    .map(|x| self.convert_scalar(x, from, to))
                    .collect::<Result<_, _>>()?;
                return Ok(self.join_lanes(&converted, to, &target));
            }
        };
        self.resized_lanes(x, &source, &target, op)
    }

    /// A conversion that may change the width of lanes: of equal lanes part by part, wider ones from halves of parts, narrower ones to halves.
    pub fn resized_lanes(
        &mut self,
        x: &Parts,
        source: &Shape,
        target: &Shape,
        op: Op,
    ) -> Result<Parts, CodegenError> {
        if source.bytes == target.bytes {
            return Ok(self.map(op, source.width, x));
        }
        if source.bytes < target.bytes {
            return Ok((0..target.parts)
                .map(|part| {
                    let (from, place) = source.place(part * target.part_lanes());
                    let half = if place == 0 { x[from] } else { self.upper_half(x[from], source.width) };
                    self.b.def(op, target.width, &[half.into()])
                })
                .collect());
        }
        let halves: Parts = x.iter().map(|x| self.narrowed_lanes(*x, source, op)).collect();
        if source.parts == target.parts {
            return Ok(halves);
        }
        Ok(halves.chunks(2).map(|pair| self.join_halves(pair[0], pair[1], target.width)).collect())
    }

    fn narrowed_lanes(&mut self, x: VReg, source: &Shape, op: Op) -> VReg {
        if op != Op::TruncI64 || self.level.avx512 {
            return self.b.def(op, source.width, &[x.into()]);
        }
        if source.width == Width::X {
            return self.b.def(Op::ShuffleWords, Width::X, &[x.into(), 0b1000i64.into()]);
        }
        let words = Shape { bytes: 4, lanes: 8, parts: 1, ..*source };
        let indices = self.lanes_constant(&words, |lane| (2 * lane % 8) as u64, 0);
        self.b.def(Op::Perm32, source.width, &[indices.into(), x.into()])
    }

    /// A comparison of floats as a mask.
    pub fn float_mask(&mut self, x: VReg, y: VReg, predicate: i64, shape: &Shape) -> VReg {
        let op = match (self.level.avx512, shape.bytes) {
            (true, 4) => Op::MaskCmpF32,
            (true, _) => Op::MaskCmpF64,
            (false, 4) => Op::CmpF32,
            (false, _) => Op::CmpF64,
        };
        self.b.def(op, shape.width, &[x.into(), y.into(), In::Imm(predicate)])
    }

    /// The instruction gives −2³¹ for all that doesn't fit.
    fn f32_to_signed(&mut self, x: VReg, shape: &Shape) -> VReg {
        let truncated = self.b.def(Op::F32ToI32, shape.width, &[x.into()]);
        let limit = self.uniform_float(2f64.powi(31), shape);
        let too_large = self.float_mask(x, limit, NOT_LESS, shape);
        let largest = self.uniform(i32::MAX as u64, shape);
        let limited = self.choose(too_large, largest, truncated, shape);
        let number = self.float_mask(x, x, ORDERED, shape);
        self.keep(number, limited, shape)
    }

    fn f32_to_unsigned(&mut self, x: VReg, shape: &Shape) -> VReg {
        let (width, zero) = (shape.width, self.zero());
        // The maximum gives its second operand for NaN.
        let positive = self.b.def(Op::MaxF32, width, &[x.into(), zero.into()]);
        if self.level.avx512 {
            return self.b.def(Op::F32ToU32, width, &[positive.into()]);
        }
        // From 2³¹ on the signed conversion has only its sign bit set; what is above that is converted by itself.
        let low = self.b.def(Op::F32ToI32, width, &[positive.into()]);
        let is_high = self.b.def(Op::SariI32, width, &[low.into(), 31i64.into()]);
        let (half, limit) =
            (self.uniform_float(2f64.powi(31), shape), self.uniform_float(2f64.powi(32), shape));
        let rest = self.b.def(Op::SubF32, width, &[positive.into(), half.into()]);
        let rest = self.b.def(Op::F32ToI32, width, &[rest.into()]);
        let rest = self.b.def(Op::BitAnd, width, &[rest.into(), is_high.into()]);
        let both = self.b.def(Op::BitOr, width, &[low.into(), rest.into()]);
        let too_large = self.float_mask(positive, limit, NOT_LESS, shape);
        self.b.def(Op::BitOr, width, &[both.into(), too_large.into()])
    }

    /// Upper half · 2¹⁶ + lower half, rounded once.
    fn unsigned_to_f32(&mut self, x: VReg, shape: &Shape) -> VReg {
        let width = shape.width;
        let mask = self.uniform(0xffff, shape);
        let low = self.b.def(Op::BitAnd, width, &[x.into(), mask.into()]);
        let high = self.b.def(Op::ShriI32, width, &[x.into(), 16i64.into()]);
        let low = self.b.def(Op::I32ToF32, width, &[low.into()]);
        let high = self.b.def(Op::I32ToF32, width, &[high.into()]);
        let scale = self.uniform_float(65536.0, shape);
        self.b.def(Op::Fma213F32, width, &[high.into(), scale.into(), low.into()])
    }

    /// An f64 limited to the range of a 32-bit integer; NaN becomes 0.
    fn limited_f64(&mut self, x: VReg, to: DType, shape: &Shape) -> VReg {
        let (low, high) = to.int_range().unwrap_or((0, 0));
        let (low, high) = (self.uniform_float(low as f64, shape), self.uniform_float(high as f64, shape));
        let number = self.float_mask(x, x, ORDERED, shape);
        let number = self.keep(number, x, shape);
        let above = self.b.def(Op::MaxF64, shape.width, &[number.into(), low.into()]);
        self.b.def(Op::MinF64, shape.width, &[above.into(), high.into()])
    }

    /// f32 rounded to halves, as zero-extended 32-bit lanes.
    pub fn rounded_to_half(&mut self, x: &Parts, memory: DType, ty: Type) -> Result<Parts, CodegenError> {
        let shape = self.shape(ty)?;
        Ok(x.iter()
            .map(|x| {
                if memory == DType::BF16 {
                    return self.rounded_to_bf16(*x, &shape);
                }
                let half = self.b.def(Op::F32ToF16, shape.width, &[(*x).into(), 0i64.into()]);
                self.b.def(Op::U16ToU32, shape.width, &[half.into()])
            })
            .collect())
    }

    /// The upper half; half a unit minus the parity of the last bit kept rounds to nearest even.
    fn rounded_to_bf16(&mut self, x: VReg, shape: &Shape) -> VReg {
        let width = shape.width;
        let upper = self.b.def(Op::ShriI32, width, &[x.into(), 16i64.into()]);
        let (one, almost_half) = (self.uniform(1, shape), self.uniform(0x7fff, shape));
        let parity = self.b.def(Op::BitAnd, width, &[upper.into(), one.into()]);
        let up = self.b.def(Op::AddI32, width, &[x.into(), almost_half.into()]);
        let up = self.b.def(Op::AddI32, width, &[up.into(), parity.into()]);
        let rounded = self.b.def(Op::ShriI32, width, &[up.into(), 16i64.into()]);
        let quiet_bit = self.uniform(0x40, shape);
        let quiet = self.b.def(Op::BitOr, width, &[upper.into(), quiet_bit.into()]);
        let nan = self.float_mask(x, x, UNORDERED, shape);
        self.choose(nan, quiet, rounded, shape)
    }
}
