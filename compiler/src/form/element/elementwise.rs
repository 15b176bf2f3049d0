//! Functions of elements at one index.

use super::Evaluator;
use crate::form::FormError;
use crate::kernel::{KernelBuilder, Type, Val, math};
use graven_ir::{BinaryOp, DType, Dim, Node, Op, UnaryOp, ValueId};

impl Evaluator<'_> {
    pub(super) fn elementwise(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        let dtype = self.dtype(value);
        match &node.op {
            Op::Constant { id } => {
                let tensor = &self.constants[*id].tensor;
                match tensor.dtype().is_float() {
                    true => {
                        let element = tensor.splat_value().ok_or_else(not_splat)?;
                        Ok(b.float(element, math::register_type(dtype, self.lanes())))
                    }
                    false => {
                        tensor.splat_value().ok_or_else(not_splat)?;
                        let element = tensor.to_ints().and_then(|ints| ints.first().copied()).unwrap_or(0);
                        Ok(b.int(element as i64, math::register_type(dtype, self.lanes())))
                    }
                }
            }
            Op::Extent { dim } => {
                let extent = b.index(dim);
                Ok(b.splat(extent, self.lanes()))
            }
            Op::Iota { axis, .. } => self.iota(b, &index[*axis], dtype),
            Op::RandomBits { shape } => {
                let key = node.operands[0];
                let shape = shape.clone();
                self.per_lane(b, value, index, |e, b, index| {
                    let seed = e.value(b, key, &[Dim::ZERO])?;
                    let counter = e.value(b, key, &[Dim::ONE])?;
                    let linear = super::movement::linear(index, &shape);
                    Ok(super::super::philox::word(b, seed, counter, &linear))
                })
            }
            Op::Unary(op) => {
                let x = self.value(b, node.operands[0], index)?;
                if *op == UnaryOp::Exp && self.nonpositive.contains(node.operands[0]) {
                    return Ok(math::exp_nonpositive(b, x));
                }
                Ok(math::unary(b, *op, self.dtype(node.operands[0]), x))
            }
            Op::Binary(op) => {
                let x = self.value(b, node.operands[0], index)?;
                let y = self.value(b, node.operands[1], index)?;
                if *op == BinaryOp::Div && self.repeats_at_least_one(node.operands[1]) {
                    // Computed where y is, once for all x.
                    let inverse = math::unary(b, UnaryOp::Reciprocal, dtype, y);
                    return Ok(b.mul(x, inverse));
                }
                Ok(math::binary(b, *op, dtype, x, y))
            }
            Op::Compare(op) => {
                let x = self.value(b, node.operands[0], index)?;
                let y = self.value(b, node.operands[1], index)?;
                Ok(math::compare(b, *op, self.dtype(node.operands[0]), x, y))
            }
            Op::Select => {
                let condition = self.value(b, node.operands[0], index)?;
                let x = self.value(b, node.operands[1], index)?;
                let y = self.value(b, node.operands[2], index)?;
                let like = b.ty(x);
                let mask = b.convert_mask(condition, like);
                Ok(b.select(mask, x, y))
            }
            Op::Cast { to } => {
                let x = self.value(b, node.operands[0], index)?;
                Ok(math::cast(b, self.dtype(node.operands[0]), *to, x))
            }
            Op::Bitcast { to } => {
                let from = self.dtype(node.operands[0]);
                let x = self.value(b, node.operands[0], index)?;
                Ok(math::bitcast(b, from, *to, x))
            }
            Op::Gelu { tanh } => {
                let x = self.value(b, node.operands[0], index)?;
                Ok(gelu(b, x, dtype, *tanh))
            }
            Op::Silu => {
                let x = self.value(b, node.operands[0], index)?;
                let gate = math::unary(b, UnaryOp::Sigmoid, dtype, x);
                Ok(math::binary(b, BinaryOp::Mul, dtype, x, gate))
            }
            _ => Err(FormError::internal(format!("`{}` is not elementwise", node.op.name()))),
        }
    }

    fn iota(&mut self, b: &mut KernelBuilder, place: &Dim, dtype: DType) -> Result<Val, FormError> {
        let Some(lane) = self.lane.clone().filter(|lane| place.contains(&lane.symbol)) else {
            let count = b.index(place);
            let number = math::cast(b, DType::I64, dtype, count);
            return Ok(b.splat(number, self.lanes()));
        };
        let (base, stride) = match lane.split(place) {
            Some(parts) => parts,
            None => {
                let scalars: Vec<Val> = (0..lane.count)
                    .map(|k| {
                        let count = b.index(&lane.at(place, k));
                        math::cast(b, DType::I64, dtype, count)
                    })
                    .collect();
                return Ok(super::join(b, &scalars, math::register_type(dtype, lane.count)));
            }
        };
        let start = b.index(&base);
        let start = math::cast(b, DType::I64, dtype, start);
        let start = b.splat(start, lane.count);
        let ty = b.ty(start);
        let Some(register) = ty.dtype() else { return Err(FormError::internal("an iota of masks")) };
        let ids = b.lane_ids(register, lane.count);
        let step = b.constant(stride as f64, Type::vector(register, lane.count));
        let steps = b.mul(ids, step);
        Ok(b.add(start, steps))
    }
}

/// Half-precision operands are held in f32, so the constants are f32 there. With the hyperbolic tangent it is x·sigmoid(2u), since (1 + tanh u) ÷ 2 is
/// the logistic function of 2u.
fn gelu(b: &mut KernelBuilder, x: Val, dtype: DType, tanh: bool) -> Val {
    let ty = b.ty(x);
    if tanh {
        let scale = (8.0 / std::f64::consts::PI).sqrt();
        let (linear, cubic) = (b.float(scale, ty), b.float(0.044715 * scale, ty));
        let square = b.mul(x, x);
        let factor = b.mul_add(square, cubic, linear);
        let argument = b.mul(x, factor);
        let gate = math::unary(b, UnaryOp::Sigmoid, dtype, argument);
        return b.mul(x, gate);
    }
    let (half, one) = (b.float(0.5, ty), b.float(1.0, ty));
    let scale = b.float(std::f64::consts::FRAC_1_SQRT_2, ty);
    let argument = b.mul(x, scale);
    let inner = math::unary(b, UnaryOp::Erf, dtype, argument);
    let shifted = b.add(inner, one);
    let halved = b.mul(x, half);
    b.mul(halved, shifted)
}

fn not_splat() -> FormError {
    FormError::internal("a constant inside a group is not one repeated element")
}
