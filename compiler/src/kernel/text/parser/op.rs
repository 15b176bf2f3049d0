//! Operations.

use super::super::printer::needs_type;
use super::Parser;
use crate::kernel::{Binary, Compare, Element, Horizontal, KernelOp, Number, Stmt, Type, Unary, Val};
use graven_ir::DType;
use graven_ir::text::Span;
use graven_ir::text::cursor::Parse;
use graven_ir::text::lexer::Token;
use smallvec::SmallVec;

/// The function of a name.
fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|function| name(*function) == word)
}

impl<'t> Parser<'_, 't> {
    /// What follows `name [: type] =`.
    pub(super) fn op(&mut self, name: (&'t str, Span), declared: Option<(Type, Span)>) -> Parse<Stmt> {
        let span = self.cursor.span();
        let word = self.cursor.word("an operation")?;
        let Some(mut op) = self.operation(word, declared.map(|(ty, _)| ty)) else {
            return Err(self.other(span, format!("there is no operation `{word}`")));
        };
        if needs_type(&op) && declared.is_none() {
            return Err(self.other(name.1, format!("`{word}` needs a type: `name: type = {word} …`")));
        }
        let mut args = SmallVec::new();
        match &mut op {
            KernelOp::Constant(number) => *number = self.number(declared.map(|(ty, _)| ty))?,
            KernelOp::Reduce(function) => {
                let span = self.cursor.span();
                let word = self.cursor.word("`add`, `mul`, `min` or `max`")?;
                let Some(found) = named(Horizontal::ALL, Horizontal::name, word) else {
                    return Err(self.other(span, format!("lanes are not combined by `{word}`")));
                };
                *function = found;
            }
            _ => {}
        }
        self.operands(&mut op, &mut args)?;
        let types: SmallVec<[Type; 3]> = args.iter().map(|arg| self.type_of(*arg)).collect();
        let wanted = declared.map_or(Type::INDEX, |(ty, _)| ty);
        let ty = match op.result_type(&types, wanted) {
            Ok(ty) => ty,
            Err(error) => return Err(self.other(span.to(self.cursor.previous()), error.to_string())),
        };
        if let Some((stated, span)) = declared
            && stated != ty
        {
            return Err(self.other(span, format!("the type is {ty}, not {stated}")));
        }
        Ok(Stmt::Op { result: self.define(name, ty), op, args })
    }

    /// The operation of a word; attributes that come later are placeholders. Types that don't fit give operations whose check fails.
    fn operation(&self, word: &str, declared: Option<Type>) -> Option<KernelOp> {
        if let Some(op) = named(Unary::ALL, Unary::name, word) {
            return Some(KernelOp::Unary(op));
        }
        if let Some(op) = named(Binary::ALL, Binary::name, word) {
            return Some(KernelOp::Binary(op));
        }
        if let Some(op) = named(Compare::ALL, Compare::name, word) {
            return Some(KernelOp::Compare(op));
        }
        let ty = declared.unwrap_or(Type::INDEX);
        let dtype = ty.dtype().unwrap_or(DType::Bool);
        let bits = match ty.element {
            Element::Mask { bits } => bits,
            Element::Number(_) => 0,
        };
        Some(match word {
            "constant" => KernelOp::Constant(Number::Int(0)),
            "fma" => KernelOp::Fma,
            "select" => KernelOp::Select,
            "convert" => KernelOp::Convert(dtype),
            "bitcast" => KernelOp::Bitcast(dtype),
            "convert_mask" => KernelOp::ConvertMask { bits },
            "splat" => KernelOp::Splat { lanes: ty.lanes },
            "extract" => KernelOp::Extract { lane: 0 },
            "insert" => KernelOp::Insert { lane: 0 },
            "shuffle" => KernelOp::Shuffle { lanes: Box::default() },
            "reduce" => KernelOp::Reduce(Horizontal::Add),
            "any" => KernelOp::Any,
            "tail_mask" => KernelOp::TailMask { bits, lanes: ty.lanes },
            "lane_ids" => KernelOp::LaneIds { dtype, lanes: ty.lanes },
            _ => return None,
        })
    }

    fn operands(&mut self, op: &mut KernelOp, args: &mut SmallVec<[Val; 3]>) -> Parse<()> {
        for place in 0..op.operand_count() {
            if place > 0 {
                self.cursor.expect(",")?;
            }
            args.push(self.operand()?);
            if let (0, KernelOp::Extract { lane } | KernelOp::Insert { lane }) = (place, &mut *op) {
                self.cursor.expect("[")?;
                *lane = self.small("lane")?;
                self.cursor.expect("]")?;
            }
        }
        if let KernelOp::Shuffle { lanes } = op {
            self.cursor.expect("[")?;
            *lanes = self.items("]", |parser| parser.small("lane"))?.into();
        }
        Ok(())
    }

    /// A constant's number, rounded to a float type.
    fn number(&mut self, declared: Option<Type>) -> Parse<Number> {
        let dtype = declared.and_then(Type::dtype).filter(|dtype| dtype.is_float());
        let Some(dtype) = dtype else { return Ok(Number::Int(self.integer()?)) };
        let start = self.cursor.span();
        let sign = if self.cursor.eat("-") { -1.0 } else { 1.0 };
        let value = match self.cursor.token() {
            Token::Word("inf") => f64::INFINITY,
            Token::Word("nan") => {
                self.cursor.advance();
                return self.nan(sign);
            }
            Token::Integer(text) | Token::Real(text) => {
                let value = match text.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as f64),
                    None => text.parse().ok(),
                };
                match value {
                    Some(value) => value,
                    None => return Err(self.wrong_number(start, text, "number")),
                }
            }
            _ => return Err(self.cursor.unexpected("a number")),
        };
        self.cursor.advance();
        Ok(Number::float(round(sign * value, dtype)))
    }

    /// What may follow `nan`: the bits of the f64.
    fn nan(&mut self, sign: f64) -> Parse<Number> {
        if !self.cursor.eat("(") {
            return Ok(Number::float(f64::NAN.copysign(sign)));
        }
        let span = self.cursor.span();
        let Token::Integer(text) = self.cursor.token() else {
            return Err(self.cursor.unexpected("the bits of a NaN"));
        };
        self.cursor.advance();
        let bits = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        self.cursor.expect(")")?;
        match bits.filter(|bits| f64::from_bits(*bits).is_nan()) {
            Some(bits) => Ok(Number::Float(bits)),
            None => Err(self.wrong_number(span, text, "NaN as an f64 in hexadecimal digits")),
        }
    }
}

/// The nearest number of the dtype.
fn round(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::BF16 => half::bf16::from_f64(value).to_f64(),
        _ => value,
    }
}
