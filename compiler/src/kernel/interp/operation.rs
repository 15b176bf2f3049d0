//! Operations on the words of registers.

use super::Fault;
use super::number::{Float, Integer, convert, float_word, integer_word};
use crate::kernel::{Binary, Compare, Element, Horizontal, KernelOp, Number, Type, Unary};
use graven_ir::DType;

/// Calls with the Rust type of an integer dtype as `$T`; `$other` for floats and bool.
macro_rules! with_integer {
    ($dtype:expr, $T:ident => $body:expr, $other:expr) => {
        match $dtype {
            DType::I4 | DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U4 | DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            _ => $other,
        }
    };
}

/// An operand: its type and the words of its lanes.
#[derive(Clone, Copy)]
pub(super) struct Operand<'r> {
    pub ty: Type,
    pub words: &'r [u64],
}

/// Computes an operation of verified types into `out`, which has the result's lanes.
pub(super) fn evaluate(op: &KernelOp, args: &[Operand<'_>], ty: Type, out: &mut [u64]) -> Result<(), Fault> {
    match (op, args) {
        (KernelOp::Constant(number), _) => out.fill(constant(*number, ty)),
        (KernelOp::Unary(op), [x]) => unary(*op, *x, out)?,
        (KernelOp::Binary(op), [x, y]) => binary(*op, *x, y.words, out)?,
        (KernelOp::Compare(op), [x, y]) => compare(*op, *x, y.words, out),
        (KernelOp::Fma, [x, y, z]) => match ty.dtype() {
            Some(DType::F32) => fma::<f32>(x.words, y.words, z.words, out),
            _ => fma::<f64>(x.words, y.words, z.words, out),
        },
        (KernelOp::Select, [mask, x, y]) => {
            for (lane, out) in out.iter_mut().enumerate() {
                *out = if mask.words[lane] != 0 { x.words[lane] } else { y.words[lane] };
            }
        }
        (KernelOp::Convert(to), [x]) => {
            // A mask is a number 0 or 1.
            let from = x.ty.dtype().unwrap_or(DType::U8);
            out.iter_mut().zip(x.words).for_each(|(out, word)| *out = convert(from, *to, *word));
        }
        (KernelOp::Bitcast(to), [x]) => {
            let from = x.ty.dtype().unwrap_or(*to);
            out.iter_mut().zip(x.words).for_each(|(out, word)| *out = bitcast(from, *to, *word));
        }
        (KernelOp::ConvertMask { .. }, [x]) => out.copy_from_slice(x.words),
        (KernelOp::Splat { .. }, [x]) => out.fill(x.words[0]),
        (KernelOp::Extract { lane }, [x]) => out[0] = x.words[usize::from(*lane)],
        (KernelOp::Insert { lane }, [x, y]) => {
            out.copy_from_slice(x.words);
            out[usize::from(*lane)] = y.words[0];
        }
        (KernelOp::Shuffle { lanes }, [x, y]) => {
            for (out, lane) in out.iter_mut().zip(lanes) {
                let lane = usize::from(*lane);
                *out = *x.words.get(lane).unwrap_or_else(|| &y.words[lane - x.words.len()]);
            }
        }
        (KernelOp::Reduce(function), [x]) => out[0] = reduce(*function, *x)?,
        (KernelOp::Any, [x]) => out[0] = x.words.iter().any(|word| *word != 0).into(),
        (KernelOp::TailMask { .. }, [x]) => {
            let count = x.words[0] as i64;
            out.iter_mut().zip(0i64..).for_each(|(out, lane)| *out = (lane < count).into());
        }
        (KernelOp::LaneIds { dtype, .. }, _) => {
            out.iter_mut().zip(0u64..).for_each(|(out, lane)| *out = convert(DType::U64, *dtype, lane));
        }
        _ => return Err(Fault::Domain("the operation has other operands")),
    }
    Ok(())
}

fn constant(number: Number, ty: Type) -> u64 {
    match (number, ty.element) {
        (Number::Float(bits), Element::Number(dtype)) => float_word(dtype, f64::from_bits(bits)),
        (Number::Float(bits), Element::Mask { .. }) => (f64::from_bits(bits) != 0.0).into(),
        (Number::Int(value), Element::Number(dtype)) => integer_word(dtype, value.into()),
        (Number::Int(value), Element::Mask { .. }) => (value != 0).into(),
    }
}

/// The same bits: words of narrow signed integers are sign-extended, all others zero-extended.
fn bitcast(from: DType, to: DType, word: u64) -> u64 {
    let bits = match from.bytes() {
        8 => word,
        bytes => word & ((1 << (8 * bytes)) - 1),
    };
    if to.is_float() { bits } else { integer_word(to, bits.into()) }
}

fn map<A>(x: &[u64], out: &mut [u64], load: fn(u64) -> A, f: impl Fn(A) -> u64) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = f(load(*x)));
}

fn unary(op: Unary, x: Operand<'_>, out: &mut [u64]) -> Result<(), Fault> {
    match x.ty.element {
        Element::Mask { .. } => map(x.words, out, |word| word, |word| (word == 0).into()),
        Element::Number(DType::F32) => float_unary::<f32>(op, x.words, out),
        Element::Number(DType::F64) => float_unary::<f64>(op, x.words, out),
        Element::Number(dtype) => with_integer!(
            dtype,
            T => integer_unary::<T>(op, x.words, out),
            return Err(Fault::Domain("the dtype has no arithmetic"))
        ),
    }
    Ok(())
}

fn float_unary<F: Float>(op: Unary, x: &[u64], out: &mut [u64]) {
    let f: fn(F) -> F = match op {
        Unary::Neg => F::neg,
        Unary::Abs => F::abs,
        Unary::Sqrt => F::sqrt,
        Unary::Floor => F::floor,
        Unary::Ceil => F::ceil,
        Unary::Trunc => F::trunc,
        Unary::Round => F::round,
        Unary::Not | Unary::PopCount => |x| x,
    };
    map(x, out, F::from_word, |x| f(x).word());
}

fn integer_unary<I: Integer>(op: Unary, x: &[u64], out: &mut [u64]) {
    match op {
        Unary::Neg => map(x, out, I::from_word, |x| x.neg().word()),
        Unary::Abs => map(x, out, I::from_word, |x| x.abs().word()),
        Unary::Not => map(x, out, I::from_word, |x| I::from_word(!x.word()).word()),
        Unary::PopCount => map(x, out, I::from_word, |x| x.count_ones().into()),
        Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round => out.copy_from_slice(x),
    }
}

fn binary(op: Binary, x: Operand<'_>, y: &[u64], out: &mut [u64]) -> Result<(), Fault> {
    match x.ty.element {
        Element::Mask { .. } => pairs(x.words, y, out, |word| word, |x, y| bits(op, x, y)),
        Element::Number(DType::F32) => float_binary::<f32>(op, x.words, y, out),
        Element::Number(DType::F64) => float_binary::<f64>(op, x.words, y, out),
        Element::Number(dtype) => with_integer!(
            dtype,
            T => return integer_binary::<T>(op, x.words, y, out),
            return Err(Fault::Domain("the dtype has no arithmetic"))
        ),
    }
    Ok(())
}

fn pairs<A>(x: &[u64], y: &[u64], out: &mut [u64], load: fn(u64) -> A, f: impl Fn(A, A) -> u64) {
    for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
        *out = f(load(*x), load(*y));
    }
}

fn bits(op: Binary, x: u64, y: u64) -> u64 {
    match op {
        Binary::And => x & y,
        Binary::Or => x | y,
        _ => x ^ y,
    }
}

fn float_binary<F: Float>(op: Binary, x: &[u64], y: &[u64], out: &mut [u64]) {
    let load = F::from_word;
    match op {
        Binary::Add => pairs(x, y, out, load, |x, y| x.add(y).word()),
        Binary::Sub => pairs(x, y, out, load, |x, y| x.sub(y).word()),
        Binary::Mul => pairs(x, y, out, load, |x, y| x.mul(y).word()),
        Binary::Div => pairs(x, y, out, load, |x, y| x.div(y).word()),
        Binary::Min => pairs(x, y, out, load, |x, y| if x < y { x.word() } else { y.word() }),
        Binary::Max => pairs(x, y, out, load, |x, y| if x > y { x.word() } else { y.word() }),
        _ => out.copy_from_slice(x),
    }
}

fn integer_binary<I: Integer>(op: Binary, x: &[u64], y: &[u64], out: &mut [u64]) -> Result<(), Fault> {
    let load = I::from_word;
    match op {
        Binary::Add => pairs(x, y, out, load, |x, y| x.add(y).word()),
        Binary::Sub => pairs(x, y, out, load, |x, y| x.sub(y).word()),
        Binary::Mul => pairs(x, y, out, load, |x, y| x.mul(y).word()),
        Binary::Min => pairs(x, y, out, load, |x, y| x.min(y).word()),
        Binary::Max => pairs(x, y, out, load, |x, y| x.max(y).word()),
        Binary::And | Binary::Or | Binary::Xor => {
            pairs(x, y, out, load, |x, y| I::from_word(bits(op, x.word(), y.word())).word());
        }
        Binary::Div | Binary::Rem => {
            for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
                let (x, y) = (load(*x), load(*y));
                let result = if op == Binary::Div { x.div(y) } else { x.rem(y) };
                *out = result.ok_or(Fault::Domain("division by zero, or the smallest integer by −1"))?.word();
            }
        }
        Binary::ShiftLeft | Binary::ShiftRight => {
            for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
                let count = load(*y).wide();
                if !(0..i128::from(I::BITS)).contains(&count) {
                    return Err(Fault::Domain("a shift by a negative count, or by all bits"));
                }
                let (x, count) = (load(*x), count as u32);
                *out = if op == Binary::ShiftLeft { x.shl(count).word() } else { x.shr(count).word() };
            }
        }
    }
    Ok(())
}

fn compare(op: Compare, x: Operand<'_>, y: &[u64], out: &mut [u64]) {
    match x.ty.element {
        Element::Number(DType::F32) => pairs(x.words, y, out, f32::from_word, |x, y| holds(op, &x, &y)),
        Element::Number(DType::F64) => pairs(x.words, y, out, f64::from_word, |x, y| holds(op, &x, &y)),
        Element::Number(DType::U64) => pairs(x.words, y, out, |word| word, |x, y| holds(op, &x, &y)),
        _ => pairs(x.words, y, out, |word| word as i64, |x, y| holds(op, &x, &y)),
    }
}

fn holds<T: PartialOrd>(op: Compare, x: &T, y: &T) -> u64 {
    let holds = match op {
        Compare::Eq => x == y,
        Compare::Ne => x != y,
        Compare::Lt => x < y,
        Compare::Le => x <= y,
        Compare::Gt => x > y,
        Compare::Ge => x >= y,
    };
    holds.into()
}

fn fma<F: Float>(x: &[u64], y: &[u64], z: &[u64], out: &mut [u64]) {
    for (lane, out) in out.iter_mut().enumerate() {
        *out = F::from_word(x[lane]).fma(F::from_word(y[lane]), F::from_word(z[lane])).word();
    }
}

/// Lower half with upper half, until one lane is left.
fn reduce(function: Horizontal, x: Operand<'_>) -> Result<u64, Fault> {
    let op = match function {
        Horizontal::Add => Binary::Add,
        Horizontal::Mul => Binary::Mul,
        Horizontal::Min => Binary::Min,
        Horizontal::Max => Binary::Max,
    };
    let mut words = x.words.to_vec();
    while words.len() > 1 {
        let half = words.len() / 2;
        let mut combined = vec![0; half];
        binary(op, Operand { ty: x.ty, words: &words[..half] }, &words[half..], &mut combined)?;
        words = combined;
    }
    Ok(words[0])
}
