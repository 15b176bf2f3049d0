//! Operations on values.

use super::function::Translator;
use super::shape::{Parts, is_half};
use crate::codegen::CodegenError;
use crate::kernel::{Binary, KernelOp, Type, Unary, Val};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use graven_ir::{DType, DTypeClass};
use smallvec::smallvec;

impl<'a> Translator<'a, '_> {
    /// The result of an operation.
    pub fn operation(&mut self, result: Val, op: &'a KernelOp, args: &[Val]) -> Result<Parts, CodegenError> {
        let ty = self.ty(result);
        match (op, args) {
            (KernelOp::Constant(number), []) => self.constant(*number, ty),
            (KernelOp::LaneIds { dtype, lanes }, []) => self.lane_ids(*dtype, *lanes),
            (KernelOp::Unary(op), [x]) => self.unary(*op, *x),
            (KernelOp::Convert(to), [x]) => self.convert(*x, *to),
            (KernelOp::Bitcast(_), [x]) => self.bitcast(*x, ty),
            (KernelOp::ConvertMask { bits }, [x]) => self.convert_mask(*x, *bits),
            (KernelOp::Splat { .. }, [x]) => self.splat(*x, ty),
            (KernelOp::Extract { lane }, [x]) => Ok(smallvec![self.extract(*x, *lane)?]),
            (KernelOp::Reduce(op), [x]) => Ok(smallvec![self.reduce(*op, *x)?]),
            (KernelOp::Any, [x]) => Ok(smallvec![self.any(*x)?]),
            (KernelOp::TailMask { .. }, [count]) => self.tail_mask(*count, ty),
            (KernelOp::Binary(op), [x, y]) => self.binary(*op, *x, *y),
            (KernelOp::Compare(op), [x, y]) => self.compare(*op, *x, *y),
            (KernelOp::Insert { lane }, [x, y]) => self.insert(*x, *y, *lane),
            (KernelOp::Shuffle { lanes }, [x, y]) => self.shuffle(*x, *y, lanes),
            (KernelOp::Fma, [x, y, z]) => self.fma(*x, *y, *z),
            (KernelOp::Select, [mask, x, y]) => self.select(*mask, *x, *y),
            _ => Err(self.bug(format!("{op:?} doesn't take {} operands", args.len()))),
        }
    }

    fn unary(&mut self, op: Unary, x: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let parts = self.parts(x)?;
        let Some(dtype) = ty.dtype() else { return self.mask_unary(op, ty, &parts) };
        if is_half(dtype) {
            return Ok(match op {
                Unary::Neg => self.map(&parts, |t, x| t.ins().bxor_imm_u(x, 0x8000)),
                Unary::Abs => self.map(&parts, |t, x| t.ins().band_imm_u(x, 0x7fff)),
                _ => self.map(&parts, |t, x| {
                    let wide = t.half_scalar_to_f32(x, dtype);
                    let result = t.float_unary(op, wide);
                    t.f32_scalar_to_half(result, dtype)
                }),
            });
        }
        match (op, dtype.is_float()) {
            (Unary::Not | Unary::PopCount, true) | (Unary::Sqrt, false) => Err(self.not_for(op.name(), ty)),
            (Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round, false) => {
                Err(self.not_for(op.name(), ty))
            }
            (_, true) => Ok(self.map(&parts, |t, x| t.float_unary(op, x))),
            (_, false) => Ok(self.map(&parts, |t, x| t.int_unary(op, x, dtype))),
        }
    }

    fn not_for(&self, op: &str, ty: Type) -> CodegenError {
        self.bug(format!("there is no {op} of {ty}"))
    }

    fn float_unary(&mut self, op: Unary, x: Value) -> Value {
        match op {
            Unary::Neg => self.ins().fneg(x),
            Unary::Abs => self.ins().fabs(x),
            Unary::Sqrt => self.ins().sqrt(x),
            _ => self.round_part(op, x),
        }
    }

    fn int_unary(&mut self, op: Unary, x: Value, dtype: DType) -> Value {
        let result = match op {
            Unary::Neg => self.ins().ineg(x),
            Unary::Abs if dtype.class() != DTypeClass::Signed => x,
            Unary::Abs => self.ins().iabs(x),
            Unary::PopCount if dtype == DType::I4 => {
                let bits = self.ins().band_imm_u(x, 15);
                self.ins().popcnt(bits)
            }
            Unary::PopCount => self.ins().popcnt(x),
            _ => self.ins().bnot(x),
        };
        self.wrap(result, dtype)
    }

    fn mask_unary(&mut self, op: Unary, ty: Type, parts: &Parts) -> Result<Parts, CodegenError> {
        match op {
            Unary::Not => Ok(self.map(parts, |t, x| match t.builder.func.dfg.value_type(x) {
                types::I8 => t.ins().bxor_imm_u(x, 1),
                _ => t.ins().bnot(x),
            })),
            _ => Err(self.not_for(op.name(), ty)),
        }
    }

    /// A value of a dtype narrower than its register, wrapped to its bits.
    pub fn wrap(&mut self, x: Value, dtype: DType) -> Value {
        match dtype {
            DType::I4 => {
                let shifted = self.ins().ishl_imm_u(x, 4);
                self.ins().sshr_imm_u(shifted, 4)
            }
            DType::U4 => self.ins().band_imm_u(x, 15),
            DType::Bool => self.ins().band_imm_u(x, 1),
            _ => x,
        }
    }

    fn binary(&mut self, op: Binary, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        if matches!(op, Binary::ShiftLeft | Binary::ShiftRight) && ty.lanes > 1 {
            return self.vector_shift(op, x, y);
        }
        let (left, right) = (self.parts(x)?, self.parts(y)?);
        if ty == Type::INDEX
            && let Some(constant) = self.constant_index(y)
            && let Some(result) = self.index_arithmetic(op, left[0], constant)
        {
            return Ok(smallvec![result]);
        }
        self.binary_parts(op, ty, &left, &right)
    }

    /// An operation on the parts of two values of type `ty`.
    pub fn binary_parts(
        &mut self,
        op: Binary,
        ty: Type,
        x: &Parts,
        y: &Parts,
    ) -> Result<Parts, CodegenError> {
        if x.len() != y.len() {
            return Err(self.bug(format!("the operands of {} have different lanes", op.name())));
        }
        match ty.dtype() {
            None => self.mask_binary(op, ty, x, y),
            Some(dtype) if is_half(dtype) => self.half_binary(op, ty, dtype, x, y),
            Some(dtype) if dtype.is_float() => self.float_binary(op, ty, x, y),
            Some(dtype) => self.int_binary(op, ty, dtype, x, y),
        }
    }

    fn mask_binary(&mut self, op: Binary, ty: Type, x: &Parts, y: &Parts) -> Result<Parts, CodegenError> {
        match op {
            Binary::And => Ok(self.zip(x, y, |t, x, y| t.ins().band(x, y))),
            Binary::Or => Ok(self.zip(x, y, |t, x, y| t.ins().bor(x, y))),
            Binary::Xor => Ok(self.zip(x, y, |t, x, y| t.ins().bxor(x, y))),
            _ => Err(self.not_for(op.name(), ty)),
        }
    }

    /// Halves are computed with in f32; one rounding to f32 before the one to a half doesn't change the result of these operations, since f32
    /// has more than twice the bits plus two (Figueroa, "When is double rounding innocuous?", 1995).
    fn half_binary(
        &mut self,
        op: Binary,
        ty: Type,
        dtype: DType,
        x: &Parts,
        y: &Parts,
    ) -> Result<Parts, CodegenError> {
        let x = self.map(x, |t, x| t.half_scalar_to_f32(x, dtype));
        let y = self.map(y, |t, y| t.half_scalar_to_f32(y, dtype));
        let wide = self.float_binary(op, ty, &x, &y)?;
        Ok(self.map(&wide, |t, x| t.f32_scalar_to_half(x, dtype)))
    }

    fn float_binary(&mut self, op: Binary, ty: Type, x: &Parts, y: &Parts) -> Result<Parts, CodegenError> {
        Ok(match op {
            Binary::Add => self.zip(x, y, |t, x, y| t.ins().fadd(x, y)),
            Binary::Sub => self.zip(x, y, |t, x, y| t.ins().fsub(x, y)),
            Binary::Mul => self.zip(x, y, |t, x, y| t.ins().fmul(x, y)),
            Binary::Div => self.zip(x, y, |t, x, y| t.ins().fdiv(x, y)),
            Binary::Min => self.zip(x, y, |t, x, y| t.float_extremum(x, y, true)),
            Binary::Max => self.zip(x, y, |t, x, y| t.float_extremum(x, y, false)),
            _ => return Err(self.not_for(op.name(), ty)),
        })
    }

    /// `x < y ? x : y` or `x > y ? x : y`: one instruction on x86-64, in these very patterns.
    fn float_extremum(&mut self, x: Value, y: Value, least: bool) -> Value {
        let less = match least {
            true => self.ins().fcmp(FloatCC::LessThan, x, y),
            false => self.ins().fcmp(FloatCC::LessThan, y, x),
        };
        self.choose(less, x, y)
    }

    fn int_binary(
        &mut self,
        op: Binary,
        ty: Type,
        dtype: DType,
        x: &Parts,
        y: &Parts,
    ) -> Result<Parts, CodegenError> {
        let signed = dtype.class() == DTypeClass::Signed;
        if matches!(op, Binary::Div | Binary::Rem) && ty.lanes > 1 {
            return Err(self.not_for(op.name(), ty));
        }
        Ok(self.zip(x, y, |t, x, y| {
            let result = match (op, signed) {
                (Binary::Add, _) => t.ins().iadd(x, y),
                (Binary::Sub, _) => t.ins().isub(x, y),
                (Binary::Mul, _) => t.ins().imul(x, y),
                (Binary::And, _) => t.ins().band(x, y),
                (Binary::Or, _) => t.ins().bor(x, y),
                (Binary::Xor, _) => t.ins().bxor(x, y),
                (Binary::ShiftLeft, _) => t.ins().ishl(x, y),
                (Binary::Div, true) => t.ins().sdiv(x, y),
                (Binary::Div, false) => t.ins().udiv(x, y),
                (Binary::Rem, true) => t.ins().srem(x, y),
                (Binary::Rem, false) => t.ins().urem(x, y),
                (Binary::Min, true) => t.ins().smin(x, y),
                (Binary::Min, false) => t.ins().umin(x, y),
                (Binary::Max, true) => t.ins().smax(x, y),
                (Binary::Max, false) => t.ins().umax(x, y),
                (Binary::ShiftRight, true) => t.ins().sshr(x, y),
                (Binary::ShiftRight, false) => t.ins().ushr(x, y),
            };
            t.wrap(result, dtype)
        }))
    }

    /// Shifts of vectors: by one amount for all lanes where it is known to be one, else lane by lane.
    fn vector_shift(&mut self, op: Binary, x: Val, y: Val) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let (Some(dtype), shape) = (ty.dtype().filter(|dtype| dtype.is_int()), self.shape(ty)?) else {
            return Err(self.not_for(op.name(), ty));
        };
        let parts = self.parts(x)?;
        if let Some(amount) = self.uniform_amount(y)? {
            let amounts = Parts::from_elem(amount, parts.len());
            return self.int_binary(op, ty, dtype, &parts, &amounts);
        }
        let amounts = self.parts(y)?;
        let (values, amounts) = (self.lanes(&parts, &shape), self.lanes(&amounts, &shape));
        let shifted =
            self.int_binary(op, ty, dtype, &values.into_iter().collect(), &amounts.into_iter().collect())?;
        Ok(self.join_lanes(&shifted, &shape))
    }

    /// The scalar that all lanes of a vector have, where its definition shows one.
    fn uniform_amount(&mut self, y: Val) -> Result<Option<Value>, CodegenError> {
        match self.definition(y) {
            Some((KernelOp::Constant(crate::kernel::Number::Int(amount)), _)) => Ok(Some(self.int(*amount))),
            Some((KernelOp::Splat { .. }, Some(scalar))) => Ok(Some(self.scalar(scalar)?)),
            _ => Ok(None),
        }
    }

    /// `Fma`. The instruction of x86-64 that Cranelift chooses overwrites the first factor: the one that dies, if one does.
    fn fma(&mut self, x: Val, y: Val, z: Val) -> Result<Parts, CodegenError> {
        if !self.machine.fma {
            return Err(self.unsupported("fused multiply-add"));
        }
        if self.ty(x).dtype().is_none_or(|dtype| is_half(dtype) || !dtype.is_float()) {
            return Err(self.not_for("fma", self.ty(x)));
        }
        let (x, y) = if self.dies(y) && !self.dies(x) { (y, x) } else { (x, y) };
        let (x, y, z) = (self.parts(x)?, self.parts(y)?, self.parts(z)?);
        if x.len() != y.len() || x.len() != z.len() {
            return Err(self.bug("the operands of fma have different lanes"));
        }
        Ok((0..x.len()).map(|part| self.ins().fma(x[part], y[part], z[part])).collect())
    }

    /// `Bitcast` to a dtype of the same width.
    fn bitcast(&mut self, x: Val, to: Type) -> Result<Parts, CodegenError> {
        let (from, shape) = (self.shape(self.ty(x))?, self.shape(to)?);
        if from.lane.bits() != shape.lane.bits() || from.lanes != shape.lanes {
            return Err(self.bug(format!("a bitcast of {} to {to}", self.ty(x))));
        }
        let parts = self.parts(x)?;
        Ok(self.map(&parts, |t, x| t.cast(x, shape.part)))
    }
}
