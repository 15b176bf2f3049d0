//! Arithmetic on floats and vectors.

use super::super::inst::{Op, Width};
use super::Isel;
use super::constant::{SCALAR32, SCALAR64};
use super::shape::{Parts, Shape, is_half, is_signed};
use crate::codegen::CodegenError;
use crate::kernel::{Binary, Type, Unary, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::smallvec;

/// The instructions of an operation for f32 and f64, in vectors and scalars.
struct FloatOps {
    vector: [Op; 2],
    scalar: [Op; 2],
}

impl FloatOps {
    fn choose(&self, bytes: usize, scalar: bool) -> Op {
        let ops = if scalar { self.scalar } else { self.vector };
        ops[bytes / 8]
    }
}

fn float_binary(op: Binary) -> Option<FloatOps> {
    use Op::*;
    let (vector, scalar) = match op {
        Binary::Add => ([AddF32, AddF64], [AddF32S, AddF64S]),
        Binary::Sub => ([SubF32, SubF64], [SubF32S, SubF64S]),
        Binary::Mul => ([MulF32, MulF64], [MulF32S, MulF64S]),
        Binary::Div => ([DivF32, DivF64], [DivF32S, DivF64S]),
        // `x < y ? x : y` and `x > y ? x : y` are what the instructions do.
        Binary::Min => ([MinF32, MinF64], [MinF32S, MinF64S]),
        Binary::Max => ([MaxF32, MaxF64], [MaxF32S, MaxF64S]),
        _ => return None,
    };
    Some(FloatOps { vector, scalar })
}

impl Isel<'_> {
    /// How an instruction sees the value: the width, and whether it is a scalar.
    fn float_width(&self, ty: Type) -> Result<(Width, bool), CodegenError> {
        if ty.lanes == 1 { Ok((Width::X, true)) } else { Ok((self.shape(ty)?.width, false)) }
    }

    /// The shape of a vector, or that of the register of a scalar float.
    pub fn register_shape(&self, ty: Type) -> Result<Shape, CodegenError> {
        match (ty.lanes, ty.dtype()) {
            (1, Some(DType::F64)) => Ok(SCALAR64),
            (1, _) => Ok(SCALAR32),
            _ => self.shape(ty),
        }
    }

    /// `Unary`.
    pub fn unary(&mut self, op: Unary, x: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let parts = self.parts(x)?;
        match ty.dtype() {
            None if op == Unary::Not => self.mask_not(&parts, ty),
            Some(dtype) if is_half(dtype) => {
                let single = self.convert_scalar(parts[0], dtype, DType::F32)?;
                let result = self.float_unary(op, Type::scalar(DType::F32), &smallvec![single])?;
                Ok(smallvec![self.convert_scalar(result[0], DType::F32, dtype)?])
            }
            Some(DType::F32 | DType::F64) => self.float_unary(op, ty, &parts),
            Some(dtype) if ty.lanes == 1 => Ok(smallvec![self.int_unary(op, dtype, parts[0])?]),
            Some(dtype) => self.vector_unary(op, ty, dtype, &parts),
            None => Err(self.bug(format!("there is no {} of {ty}", op.name()))),
        }
    }

    fn float_unary(&mut self, op: Unary, ty: Type, x: &Parts) -> Result<Parts, CodegenError> {
        let (width, scalar) = self.float_width(ty)?;
        let shape = self.register_shape(ty)?;
        let sign = 1u64 << (8 * shape.bytes - 1);
        let bits = |isel: &mut Self, op: Op, bits: u64| {
            let constant = isel.uniform(bits, &shape);
            Ok(x.iter().map(|x| isel.b.def(op, width, &[(*x).into(), constant.into()])).collect())
        };
        let rounding = match op {
            Unary::Neg => return bits(self, Op::BitXor, sign),
            Unary::Abs => return bits(self, Op::BitAnd, sign - 1),
            Unary::Sqrt if scalar => {
                let op = [Op::SqrtF32S, Op::SqrtF64S][shape.bytes / 8];
                return Ok(self.zip(op, width, x, x));
            }
            Unary::Sqrt => return Ok(self.map([Op::SqrtF32, Op::SqrtF64][shape.bytes / 8], width, x)),
            // Rounding control of the instruction; 8 suppresses the exception flag.
            Unary::Round => 8i64,
            Unary::Floor => 9,
            Unary::Ceil => 10,
            Unary::Trunc => 11,
            _ => return Err(self.bug(format!("there is no {} of {ty}", op.name()))),
        };
        Ok(x.iter()
            .map(|x| match scalar {
                true => {
                    let op = [Op::RoundF32S, Op::RoundF64S][shape.bytes / 8];
                    self.b.def(op, width, &[(*x).into(), (*x).into(), rounding.into()])
                }
                false => {
                    let op = [Op::RoundF32, Op::RoundF64][shape.bytes / 8];
                    self.b.def(op, width, &[(*x).into(), rounding.into()])
                }
            })
            .collect())
    }

    fn vector_unary(&mut self, op: Unary, ty: Type, dtype: DType, x: &Parts) -> Result<Parts, CodegenError> {
        let shape = self.shape(ty)?;
        let wide = shape.bytes == 8;
        match op {
            Unary::Not => {
                let ones = self.uniform(u64::MAX, &shape);
                Ok(x.iter()
                    .map(|x| self.b.def(Op::BitXor, shape.width, &[(*x).into(), ones.into()]))
                    .collect())
            }
            Unary::Neg => Ok(self.vector_negated(x, &shape)),
            Unary::Abs if !is_signed(dtype) => Ok(x.clone()),
            Unary::Abs if !wide => Ok(self.map(Op::AbsI32, shape.width, x)),
            Unary::Abs if self.level.avx512 => Ok(self.map(Op::AbsI64, shape.width, x)),
            Unary::Abs => {
                let zero = self.zero();
                Ok(x.iter()
                    .map(|x| {
                        let sign = self.b.def(Op::CmpGtI64, shape.width, &[zero.into(), (*x).into()]);
                        let flipped = self.b.def(Op::BitXor, shape.width, &[(*x).into(), sign.into()]);
                        self.b.def(Op::SubI64, shape.width, &[flipped.into(), sign.into()])
                    })
                    .collect())
            }
            _ => Err(self.bug(format!("there is no {} of {ty}", op.name()))),
        }
    }

    fn vector_negated(&mut self, x: &Parts, shape: &Shape) -> Parts {
        let zero = self.zero();
        let op = if shape.bytes == 8 { Op::SubI64 } else { Op::SubI32 };
        x.iter().map(|x| self.b.def(op, shape.width, &[zero.into(), (*x).into()])).collect()
    }

    /// `Binary`.
    pub fn binary(&mut self, op: Binary, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        match ty.dtype() {
            None => self.mask_binary(op, x, y),
            Some(dtype) if is_half(dtype) => {
                let (left, right) = (self.scalar(x)?, self.scalar(y)?);
                let left = self.convert_scalar(left, dtype, DType::F32)?;
                let right = self.convert_scalar(right, dtype, DType::F32)?;
                let result = self.combine(op, Type::scalar(DType::F32), left, right)?;
                Ok(smallvec![self.convert_scalar(result, DType::F32, dtype)?])
            }
            Some(DType::F32 | DType::F64) => self.float_pair(op, ty, x, y),
            Some(dtype) if ty.lanes == 1 => {
                let left = self.scalar(x)?;
                if dtype == DType::I64
                    && let Some(constant) = self.integer(y)
                    && let Some(result) = self.index_by_constant(op, left, constant)
                {
                    return Ok(smallvec![result]);
                }
                if dtype == DType::I64
                    && matches!(op, Binary::Add | Binary::Mul)
                    && let Some(constant) = self.integer(x)
                {
                    let right = self.scalar(y)?;
                    return Ok(self.index_by_constant(op, right, constant).into_iter().collect());
                }
                let right = self.scalar(y)?;
                Ok(smallvec![self.int_binary(op, dtype, left, right)?])
            }
            Some(dtype) => self.vector_pair(op, ty, dtype, x, y),
        }
    }

    fn float_pair(&mut self, op: Binary, ty: Type, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ops = float_binary(op).ok_or_else(|| self.bug(format!("there is no {} of {ty}", op.name())))?;
        let (width, scalar) = self.float_width(ty)?;
        let op_code = ops.choose(ty.dtype().map_or(4, DType::bytes), scalar);
        // The second operand may be memory: for sums and products either one.
        let commutes = matches!(op, Binary::Add | Binary::Mul);
        let (x, y) = match commutes && self.foldable(op_code, width, y, 0)?.is_none() {
            true if self.foldable(op_code, width, x, 0)?.is_some() => (y, x),
            _ => (x, y),
        };
        let left = self.parts(x)?;
        let mut result = Parts::new();
        for (part, left) in left.iter().enumerate() {
            let right = self.folded(op_code, width, y, part)?;
            result.push(self.b.def(op_code, width, &[(*left).into(), right]));
        }
        Ok(result)
    }

    /// A function of two floats or vectors in registers.
    pub fn combine(&mut self, op: Binary, ty: Type, x: VReg, y: VReg) -> Result<VReg, CodegenError> {
        let (width, scalar) = self.float_width(ty)?;
        match ty.dtype() {
            Some(dtype @ (DType::F32 | DType::F64)) => match float_binary(op) {
                Some(ops) => {
                    let op = ops.choose(dtype.bytes(), scalar);
                    Ok(self.b.def(op, width, &[x.into(), y.into()]))
                }
                None => Err(self.bug(format!("there is no {} of {ty}", op.name()))),
            },
            Some(dtype) if scalar => self.int_binary(op, dtype, x, y),
            Some(dtype) => {
                let shape = self.shape(ty)?;
                self.vector_int(op, &shape, is_signed(dtype), x, y)
            }
            None => Err(self.bug(format!("there is no {} of {ty}", op.name()))),
        }
    }

    fn vector_pair(
        &mut self,
        op: Binary,
        ty: Type,
        dtype: DType,
        x: Val,
        y: Val,
    ) -> Result<Parts, CodegenError> {
        let shape = self.shape(ty)?;
        let wide = shape.bytes == 8;
        if matches!(op, Binary::ShiftLeft | Binary::ShiftRight)
            && let Some(amount) = self.shift_amount(y)
        {
            return self.shift_by(op, &shape, is_signed(dtype), x, amount);
        }
        let direct = match op {
            Binary::Add => Some(if wide { Op::AddI64 } else { Op::AddI32 }),
            Binary::Sub => Some(if wide { Op::SubI64 } else { Op::SubI32 }),
            Binary::Mul if !wide => Some(Op::MulI32),
            Binary::And => Some(Op::BitAnd),
            Binary::Or => Some(Op::BitOr),
            Binary::Xor => Some(Op::BitXor),
            _ => None,
        };
        let left = self.parts(x)?;
        let mut result = Parts::new();
        for (part, left) in left.iter().enumerate() {
            result.push(match direct {
                Some(op) => {
                    let right = self.folded(op, shape.width, y, part)?;
                    self.b.def(op, shape.width, &[(*left).into(), right])
                }
                None => {
                    let right = self.parts(y)?[part];
                    self.vector_int(op, &shape, is_signed(dtype), *left, right)?
                }
            });
        }
        Ok(result)
    }

    /// The amount by which all lanes are shifted, if it is one constant.
    fn shift_amount(&self, y: Val) -> Option<i64> {
        use crate::kernel::{KernelOp, Stmt};
        match self.uses.definition(y) {
            Some(Stmt::Op { op: KernelOp::Splat { .. }, args, .. }) => self.integer(args[0]),
            _ => self.integer(y),
        }
    }

    fn shift_by(
        &mut self,
        op: Binary,
        shape: &Shape,
        signed: bool,
        x: Val,
        amount: i64,
    ) -> Result<Parts, CodegenError> {
        let wide = shape.bytes == 8;
        let parts = self.parts(x)?;
        let op = match (op, signed, wide) {
            (Binary::ShiftLeft, _, false) => Op::ShliI32,
            (Binary::ShiftLeft, _, true) => Op::ShliI64,
            (_, false, false) => Op::ShriI32,
            (_, false, true) => Op::ShriI64,
            (_, true, false) => Op::SariI32,
            (_, true, true) if self.level.avx512 => Op::SariI64,
            (_, true, true) => {
                return Ok(parts.iter().map(|x| self.shift_signed64(*x, amount, shape)).collect());
            }
        };
        Ok(parts.iter().map(|x| self.b.def(op, shape.width, &[(*x).into(), amount.into()])).collect())
    }

    /// ((x ≫ n) ⊕ m) − m with m = 2⁶³ ≫ n, shifts without sign.
    fn shift_signed64(&mut self, x: VReg, amount: i64, shape: &Shape) -> VReg {
        let m = self.uniform(1u64 << 63 >> (amount as u32 & 63), shape);
        let shifted = self.b.def(Op::ShriI64, shape.width, &[x.into(), amount.into()]);
        let flipped = self.b.def(Op::BitXor, shape.width, &[shifted.into(), m.into()]);
        self.b.def(Op::SubI64, shape.width, &[flipped.into(), m.into()])
    }

    /// A function of two integer vectors in registers.
    pub fn vector_int(
        &mut self,
        op: Binary,
        shape: &Shape,
        signed: bool,
        x: VReg,
        y: VReg,
    ) -> Result<VReg, CodegenError> {
        let wide = shape.bytes == 8;
        let avx512 = self.level.avx512;
        let op = match (op, wide, signed) {
            (Binary::Add, false, _) => Op::AddI32,
            (Binary::Add, true, _) => Op::AddI64,
            (Binary::Sub, false, _) => Op::SubI32,
            (Binary::Sub, true, _) => Op::SubI64,
            (Binary::Mul, false, _) => Op::MulI32,
            (Binary::Mul, true, _) if avx512 => Op::MulI64,
            (Binary::Mul, true, _) => return Ok(self.multiply64(x, y, shape)),
            (Binary::And, ..) => Op::BitAnd,
            (Binary::Or, ..) => Op::BitOr,
            (Binary::Xor, ..) => Op::BitXor,
            (Binary::ShiftLeft, false, _) => Op::ShlvI32,
            (Binary::ShiftLeft, true, _) => Op::ShlvI64,
            (Binary::ShiftRight, false, false) => Op::ShrvI32,
            (Binary::ShiftRight, true, false) => Op::ShrvI64,
            (Binary::ShiftRight, false, true) => Op::SarvI32,
            (Binary::ShiftRight, true, true) if avx512 => Op::SarvI64,
            (Binary::ShiftRight, true, true) => {
                let sign = self.uniform(1 << 63, shape);
                let m = self.b.def(Op::ShrvI64, shape.width, &[sign.into(), y.into()]);
                let shifted = self.b.def(Op::ShrvI64, shape.width, &[x.into(), y.into()]);
                let flipped = self.b.def(Op::BitXor, shape.width, &[shifted.into(), m.into()]);
                return Ok(self.b.def(Op::SubI64, shape.width, &[flipped.into(), m.into()]));
            }
            (Binary::Min, false, true) => Op::MinsI32,
            (Binary::Min, false, false) => Op::MinuI32,
            (Binary::Max, false, true) => Op::MaxsI32,
            (Binary::Max, false, false) => Op::MaxuI32,
            (Binary::Min, true, true) if avx512 => Op::MinsI64,
            (Binary::Min, true, false) if avx512 => Op::MinuI64,
            (Binary::Max, true, true) if avx512 => Op::MaxsI64,
            (Binary::Max, true, false) if avx512 => Op::MaxuI64,
            (Binary::Min | Binary::Max, true, _) => {
                let (low, high) = if op == Binary::Min { (x, y) } else { (y, x) };
                // Where low > high, high is the result of a minimum.
                let greater = self.greater64(low, high, signed, shape);
                return Ok(self.b.def(Op::BlendF64, shape.width, &[x.into(), y.into(), greater.into()]));
            }
            (Binary::Div | Binary::Rem, ..) => return Err(self.bug("vectors of integers don't divide")),
        };
        Ok(self.b.def(op, shape.width, &[x.into(), y.into()]))
    }

    /// x > y in 64-bit lanes, as a vector mask of AVX2.
    pub fn greater64(&mut self, x: VReg, y: VReg, signed: bool, shape: &Shape) -> VReg {
        let (mut x, mut y) = (x, y);
        if !signed {
            let sign = self.uniform(1 << 63, shape);
            x = self.b.def(Op::BitXor, shape.width, &[x.into(), sign.into()]);
            y = self.b.def(Op::BitXor, shape.width, &[y.into(), sign.into()]);
        }
        self.b.def(Op::CmpGtI64, shape.width, &[x.into(), y.into()])
    }

    /// Low · low + (low · high + high · low) · 2³².
    fn multiply64(&mut self, x: VReg, y: VReg, shape: &Shape) -> VReg {
        let width = shape.width;
        let high = |isel: &mut Self, x: VReg| isel.b.def(Op::ShriI64, width, &[x.into(), 32i64.into()]);
        let product =
            |isel: &mut Self, x: VReg, y: VReg| isel.b.def(Op::MulWideU32, width, &[x.into(), y.into()]);
        let (x_high, y_high) = (high(self, x), high(self, y));
        let (first, second) = (product(self, x_high, y), product(self, x, y_high));
        let cross = self.b.def(Op::AddI64, width, &[first.into(), second.into()]);
        let cross = self.b.def(Op::ShliI64, width, &[cross.into(), 32i64.into()]);
        let low = product(self, x, y);
        self.b.def(Op::AddI64, width, &[low.into(), cross.into()])
    }

    /// `Fma`, in the form that overwrites an operand that nobody needs afterwards: the sum if possible.
    pub fn fma(&mut self, x: Val, y: Val, z: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let Some(dtype @ (DType::F32 | DType::F64)) = ty.dtype() else {
            return Err(self.bug(format!("there is no fma of {ty}")));
        };
        let (width, scalar) = self.float_width(ty)?;
        let wide = usize::from(dtype == DType::F64);
        let [form213, form231] = match scalar {
            true => [[Op::Fma213F32S, Op::Fma213F64S], [Op::Fma231F32S, Op::Fma231F64S]],
            false => [[Op::Fma213F32, Op::Fma213F64], [Op::Fma231F32, Op::Fma231F64]],
        }
        .map(|ops| ops[wide]);
        let dies = |value| self.uses.dies(value, self.depth);
        let (x_dies, y_dies, z_dies) = (dies(x), dies(y), dies(z));
        let z_in_memory = self.foldable(form213, width, z, 0)?.is_some();
        let mut result = Parts::new();
        for part in 0..self.parts(x)?.len() {
            let register = |isel: &Self, value| isel.parts(value).map(|parts| parts[part]);
            result.push(if (x_dies || y_dies) && (z_in_memory || !z_dies) {
                // first · other + z, into the first.
                let (first, other) = if x_dies { (x, y) } else { (y, x) };
                let (first, other) = (register(self, first)?, register(self, other)?);
                let sum = self.folded(form213, width, z, part)?;
                self.b.def(form213, width, &[first.into(), other.into(), sum])
            } else {
                let (first, last) = match self.foldable(form231, width, x, part)? {
                    Some(_) if self.foldable(form231, width, y, part)?.is_none() => (y, x),
                    _ => (x, y),
                };
                let sum = register(self, z)?;
                let first = register(self, first)?;
                let last = self.folded(form231, width, last, part)?;
                self.b.def(form231, width, &[sum.into(), first.into(), last])
            });
        }
        Ok(result)
    }

    /// `Bitcast` to a dtype of the same width.
    pub fn bitcast(&mut self, x: Val, to: Type) -> Result<Parts, CodegenError> {
        let from = self.ty(x);
        let parts = self.parts(x)?;
        if from.lanes > 1 {
            return Ok(parts);
        }
        let is_float = |ty: Type| matches!(ty.dtype(), Some(DType::F32 | DType::F64));
        let wide = to.dtype().is_some_and(|dtype| dtype.bytes() == 8);
        let result = match (is_float(from), is_float(to)) {
            (true, false) => {
                let op = if wide { Op::VectorToInt64 } else { Op::VectorToInt32 };
                self.b.def(op, Width::X, &[parts[0].into()])
            }
            (false, true) => {
                let op = if wide { Op::IntToVector64 } else { Op::IntToVector32 };
                self.b.def(op, Width::X, &[parts[0].into()])
            }
            (true, true) => parts[0],
            (false, false) => match to.dtype() {
                Some(dtype) => self.wrap(parts[0], dtype),
                None => parts[0],
            },
        };
        Ok(smallvec![result])
    }
}
