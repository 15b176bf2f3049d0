//! Integers in general registers.

use super::super::inst::{Cond, Op, Width};
use super::super::vcode::{Base, Mem};
use super::Isel;
use super::shape::is_signed;
use crate::codegen::CodegenError;
use crate::kernel::{Binary, Unary};
use graven_ir::DType;
use regalloc2::{Operand, PReg, RegClass, VReg};

const RAX: PReg = PReg::new(0, RegClass::Int);
const RDX: PReg = PReg::new(2, RegClass::Int);

impl Isel<'_> {
    /// The width of the instructions for a dtype.
    pub fn int_width(dtype: DType) -> Width {
        if matches!(dtype, DType::I64 | DType::U64) { Width::W64 } else { Width::W32 }
    }

    /// x + constant, 64 bits.
    pub fn add_constant(&mut self, x: VReg, constant: i64) -> VReg {
        match i32::try_from(constant) {
            Ok(0) => x,
            Ok(small) => self.b.def(Op::IntLea, Width::W64, &[Mem::at(x, small).into()]),
            Err(_) => {
                let constant = self.int(constant);
                self.b.def(Op::IntAdd, Width::W64, &[x.into(), constant.into()])
            }
        }
    }

    /// x − y, 64 bits.
    pub fn int_sub(&mut self, x: VReg, y: VReg) -> VReg {
        self.b.def(Op::IntSub, Width::W64, &[x.into(), y.into()])
    }

    /// An index operation whose right operand is a constant, where there is something better than the general instruction.
    pub fn index_by_constant(&mut self, op: Binary, x: VReg, constant: i64) -> Option<VReg> {
        let small = i32::try_from(constant).is_ok();
        let shift = |isel: &mut Self, op| Some(isel.b.def(op, Width::W64, &[x.into(), constant.into()]));
        match op {
            Binary::Add => Some(self.add_constant(x, constant)),
            Binary::Sub if constant != i64::MIN => Some(self.add_constant(x, -constant)),
            Binary::Mul => Some(self.multiple(x, constant)),
            Binary::And if small => shift(self, Op::IntAndImm),
            Binary::ShiftLeft => shift(self, Op::IntShlImm),
            Binary::ShiftRight => shift(self, Op::IntSarImm),
            Binary::Div if constant >= 1 => Some(self.constant_quotient(x, constant)),
            Binary::Rem if constant >= 1 => {
                let quotient = self.constant_quotient(x, constant);
                let multiple = self.multiple(quotient, constant);
                Some(self.int_sub(x, multiple))
            }
            _ => None,
        }
    }

    /// An index operation.
    pub fn index_binary(&mut self, op: Binary, x: VReg, y: VReg) -> Result<VReg, CodegenError> {
        self.int_binary(op, DType::I64, x, y)
    }

    /// x · constant, 64 bits.
    fn multiple(&mut self, x: VReg, constant: i64) -> VReg {
        if constant == 1 {
            return x;
        }
        if constant > 0 && constant.count_ones() == 1 {
            let bits = i64::from(constant.trailing_zeros());
            return self.b.def(Op::IntShlImm, Width::W64, &[x.into(), bits.into()]);
        }
        if i32::try_from(constant).is_ok() {
            return self.b.def(Op::IntMulImm, Width::W64, &[x.into(), constant.into()]);
        }
        let constant = self.int(constant);
        self.b.def(Op::IntMul, Width::W64, &[x.into(), constant.into()])
    }

    /// x ÷ divisor, truncated, by multiplication (Granlund and Montgomery, "Division by invariant integers using multiplication", 1994, figure 5.2).
    fn constant_quotient(&mut self, x: VReg, divisor: i64) -> VReg {
        if divisor == 1 {
            return x;
        }
        if let Some((block, dividend, by, quotient)) = self.quotient
            && (block, dividend, by) == (self.block_number, x, divisor)
        {
            return quotient;
        }
        let sign = self.b.def(Op::IntSarImm, Width::W64, &[x.into(), 63i64.into()]);
        let quotient = if divisor.count_ones() == 1 {
            // Negative numbers are moved up by divisor − 1, so that the shift rounds to zero.
            let bits = i64::from(divisor.trailing_zeros());
            let correction = self.b.def(Op::IntShrImm, Width::W64, &[sign.into(), (64 - bits).into()]);
            let moved = self.b.def(Op::IntAdd, Width::W64, &[x.into(), correction.into()]);
            self.b.def(Op::IntSarImm, Width::W64, &[moved.into(), bits.into()])
        } else {
            let (multiplier, shift) = reciprocal(divisor);
            let multiplier = self.int(multiplier);
            let high = self.high_product(x, multiplier);
            let sum = self.b.def(Op::IntAdd, Width::W64, &[high.into(), x.into()]);
            let shifted = self.b.def(Op::IntSarImm, Width::W64, &[sum.into(), shift.into()]);
            self.int_sub(shifted, sign)
        };
        self.quotient = Some((self.block_number, x, divisor, quotient));
        quotient
    }

    /// The upper 64 bits of a signed product.
    fn high_product(&mut self, x: VReg, y: VReg) -> VReg {
        let (high, low) = (self.b.register(RegClass::Int), self.b.register(RegClass::Int));
        let operands = [
            Operand::reg_fixed_use(x, RAX),
            Operand::reg_use(y),
            Operand::reg_fixed_def(high, RDX),
            Operand::reg_fixed_def(low, RAX),
        ];
        self.b.fixed(Op::IntMulHigh, Width::W64, &operands, Some(1));
        high
    }

    /// Quotient and remainder, truncated.
    pub fn int_division(&mut self, x: VReg, y: VReg, width: Width, signed: bool) -> (VReg, VReg) {
        let high = if signed {
            let high = self.b.register(RegClass::Int);
            let operands = [Operand::reg_fixed_use(x, RAX), Operand::reg_fixed_def(high, RDX)];
            self.b.fixed(Op::IntSignExtendHigh, width, &operands, None);
            high
        } else {
            self.int(0)
        };
        let (quotient, remainder) = (self.b.register(RegClass::Int), self.b.register(RegClass::Int));
        let operands = [
            Operand::reg_fixed_use(x, RAX),
            Operand::reg_fixed_use(high, RDX),
            Operand::reg_use(y),
            Operand::reg_fixed_def(quotient, RAX),
            Operand::reg_fixed_def(remainder, RDX),
        ];
        let op = if signed { Op::IntDivSigned } else { Op::IntDivUnsigned };
        self.b.fixed(op, width, &operands, Some(2));
        (quotient, remainder)
    }

    /// A function of two scalar integers of a dtype.
    pub fn int_binary(&mut self, op: Binary, dtype: DType, x: VReg, y: VReg) -> Result<VReg, CodegenError> {
        let (width, signed) = (Isel::int_width(dtype), is_signed(dtype));
        let simple = |isel: &mut Self, op| isel.b.def(op, width, &[x.into(), y.into()]);
        let result = match op {
            Binary::Add => {
                let base = Base::Reg(x);
                let mem = Mem { base, index: Some((y, 1)), disp: 0, broadcast: false };
                self.b.def(Op::IntLea, width, &[mem.into()])
            }
            Binary::Sub => simple(self, Op::IntSub),
            Binary::Mul => simple(self, Op::IntMul),
            Binary::And => simple(self, Op::IntAnd),
            Binary::Or => simple(self, Op::IntOr),
            Binary::Xor => simple(self, Op::IntXor),
            Binary::ShiftLeft => simple(self, Op::IntShl),
            Binary::ShiftRight if signed => simple(self, Op::IntSar),
            Binary::ShiftRight => simple(self, Op::IntShr),
            Binary::Div => self.int_division(x, y, width, signed).0,
            Binary::Rem => self.int_division(x, y, width, signed).1,
            Binary::Min | Binary::Max => {
                let cond = match (op, signed) {
                    (Binary::Min, true) => Cond::Less,
                    (Binary::Min, false) => Cond::Below,
                    (_, true) => Cond::Greater,
                    (_, false) => Cond::Above,
                };
                self.b.effect(Op::IntCmp, width, &[x.into(), y.into()], None);
                self.b.select(cond, x, y)
            }
        };
        Ok(self.wrap(result, dtype))
    }

    /// A function of a scalar integer of a dtype.
    pub fn int_unary(&mut self, op: Unary, dtype: DType, x: VReg) -> Result<VReg, CodegenError> {
        let width = Isel::int_width(dtype);
        let result = match op {
            Unary::Neg => self.b.def(Op::IntNeg, width, &[x.into()]),
            Unary::Not => self.b.def(Op::IntNot, width, &[x.into()]),
            Unary::Abs if !is_signed(dtype) => x,
            Unary::Abs => {
                let negated = self.b.def(Op::IntNeg, width, &[x.into()]);
                self.b.effect(Op::IntTest, width, &[x.into(), x.into()], None);
                self.b.select(Cond::Less, negated, x)
            }
            Unary::PopCount => {
                // Without the copies of the sign.
                let bits = match dtype {
                    DType::I4 => self.b.def(Op::IntAndImm, width, &[x.into(), 15i64.into()]),
                    DType::I8 => self.b.def(Op::IntExtendU8, width, &[x.into()]),
                    DType::I16 => self.b.def(Op::IntExtendU16, width, &[x.into()]),
                    _ => x,
                };
                self.b.def(Op::IntPopCount, width, &[bits.into()])
            }
            _ => return Err(self.bug(format!("there is no {} of {dtype}", op.name()))),
        };
        Ok(self.wrap(result, dtype))
    }

    /// The low bits of a register as a number of a dtype: extended from its bits to 32.
    pub fn wrap(&mut self, x: VReg, dtype: DType) -> VReg {
        let op = match dtype {
            DType::I8 => Op::IntExtendI8,
            DType::U8 => Op::IntExtendU8,
            DType::I16 => Op::IntExtendI16,
            DType::U16 | DType::F16 | DType::BF16 => Op::IntExtendU16,
            DType::I4 => {
                let up = self.b.def(Op::IntShlImm, Width::W32, &[x.into(), 28i64.into()]);
                return self.b.def(Op::IntSarImm, Width::W32, &[up.into(), 28i64.into()]);
            }
            DType::U4 => return self.b.def(Op::IntAndImm, Width::W32, &[x.into(), 15i64.into()]),
            DType::Bool => return self.b.def(Op::IntAndImm, Width::W32, &[x.into(), 1i64.into()]),
            _ => return x,
        };
        self.b.def(op, Width::W32, &[x.into()])
    }
}

/// m − 2⁶⁴ and l − 1 with l = ⌈log₂ d⌉ and m = ⌊2⁶⁴⁺ˡ⁻¹ ÷ d⌋ + 1.
fn reciprocal(divisor: i64) -> (i64, i64) {
    let ceil_log2 = 64 - (divisor - 1).leading_zeros();
    let multiplier = (1u128 << (63 + ceil_log2)) / u128::from(divisor.unsigned_abs()) + 1;
    (multiplier as u64 as i64, i64::from(ceil_log2) - 1)
}
