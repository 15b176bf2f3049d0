//! Text to kernels.

mod block;
mod header;
mod op;

use super::printer::split_type;
use crate::kernel::verify::Path;
use crate::kernel::{Buffer, BufferId, Element, Kernel, KernelOp, Number, Stmt, Type, Val};
use crate::kernel::{PathStep, VerifyError};
use cranelift_entity::PrimaryMap;
use graven_ir::Symbol;
use graven_ir::text::cursor::{Cursor, Failed, Parse};
use graven_ir::text::lexer::Token;
use graven_ir::text::{ParseErrorKind, ParseErrors, Span};
use rustc_hash::FxHashMap;

/// A kernel with the places of its statements.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The kernel.
    pub kernel: Kernel,
    /// Its name.
    pub name: Span,
    stmts: FxHashMap<Path, Span>,
}

impl Parsed {
    /// Where a statement stands; the kernel's name for the path of the kernel, and for constants that have no statement in the text.
    pub fn span(&self, path: &Path) -> Span {
        self.stmts.get(path).copied().unwrap_or(self.name)
    }

    /// Where an error of the verifier is.
    pub fn error_span(&self, error: &VerifyError) -> Span {
        self.span(&error.path)
    }
}

/// The kernel of a text that holds exactly one.
pub fn parse(text: &str) -> Result<Kernel, ParseErrors> {
    let mut cursor = Cursor::new(text);
    let parsed = parse_kernel(&mut cursor);
    if parsed.is_ok() && cursor.token() != Token::End {
        cursor.unexpected("the end of the text");
    }
    match parsed {
        Ok(parsed) if cursor.errors().is_empty() => Ok(parsed.kernel),
        _ => Err(ParseErrors(cursor.take_errors_from(0))),
    }
}

/// All kernels of a text, in its order, with the places of their statements. The kernels are not verified.
pub fn parse_with_spans(text: &str) -> Result<Vec<Parsed>, ParseErrors> {
    let mut cursor = Cursor::new(text);
    let mut kernels = Vec::new();
    while cursor.token() != Token::End {
        match parse_kernel(&mut cursor) {
            Ok(parsed) => kernels.push(parsed),
            Err(Failed) => break,
        }
    }
    match cursor.errors().is_empty() {
        true => Ok(kernels),
        false => Err(ParseErrors(cursor.take_errors_from(0))),
    }
}

fn parse_kernel(cursor: &mut Cursor<'_>) -> Parse<Parsed> {
    let mut parser = Parser {
        cursor,
        buffers: PrimaryMap::new(),
        buffer_names: FxHashMap::default(),
        extents: Vec::new(),
        values: PrimaryMap::new(),
        names: FxHashMap::default(),
        scopes: vec![Vec::new()],
        literals: Vec::new(),
        path: Path::default(),
        stmts: FxHashMap::default(),
    };
    parser.kernel()
}

struct Parser<'c, 't> {
    cursor: &'c mut Cursor<'t>,
    buffers: PrimaryMap<BufferId, Buffer>,
    buffer_names: FxHashMap<String, BufferId>,
    extents: Vec<(Symbol, Val)>,
    values: PrimaryMap<Val, Type>,
    /// Visible values; `None` for those whose definition failed, which is an error once.
    names: FxHashMap<String, Option<Val>>,
    /// Names that each open block defines.
    scopes: Vec<Vec<String>>,
    /// Constants of integer operands, in the order of their first use.
    literals: Vec<(i64, Val)>,
    path: Path,
    stmts: FxHashMap<Path, Span>,
}

impl<'t> Parser<'_, 't> {
    fn kernel(&mut self) -> Parse<Parsed> {
        let (name, name_span) = self.header()?;
        let mut body = self.block()?;
        let shift = self.literals.len();
        let constants = std::mem::take(&mut self.literals).into_iter().map(|(number, result)| Stmt::Op {
            result,
            op: KernelOp::Constant(Number::Int(number)),
            args: Default::default(),
        });
        body.stmts.splice(0..0, constants);
        let stmts = std::mem::take(&mut self.stmts).into_iter().map(|(mut path, span)| {
            if let Some(PathStep::Stmt(index)) = path.0.first_mut() {
                *index += shift as u32;
            }
            (path, span)
        });
        let kernel = Kernel {
            name,
            buffers: std::mem::take(&mut self.buffers),
            extents: std::mem::take(&mut self.extents),
            values: std::mem::take(&mut self.values),
            body,
        };
        Ok(Parsed { kernel: kernel.renumbered(), name: name_span, stmts: stmts.collect() })
    }

    /// A new value under a name.
    fn define(&mut self, (name, span): (&str, Span), ty: Type) -> Val {
        let value = self.values.push(ty);
        self.bind((name, span), Some(value));
        value
    }

    fn bind(&mut self, (name, span): (&str, Span), value: Option<Val>) {
        if self.names.contains_key(name) {
            self.cursor.error(span, ParseErrorKind::Duplicate { what: "value", name: name.into() });
            return;
        }
        self.names.insert(name.into(), value);
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name.into());
        }
    }

    fn open_scope(&mut self) {
        self.scopes.push(Vec::new());
    }

    fn close_scope(&mut self) {
        for name in self.scopes.pop().unwrap_or_default() {
            self.names.remove(&name);
        }
    }

    /// The name of a value at its definition.
    fn new_name(&mut self) -> Parse<(&'t str, Span)> {
        let span = self.cursor.span();
        let name = self.cursor.word("a name for a value")?;
        match super::printer::RESERVED.contains(&name) {
            true => {
                Err(self.cursor.error(span, ParseErrorKind::Other(format!("`{name}` can't name a value"))))
            }
            false => Ok((name, span)),
        }
    }

    /// A value that is used, or an index constant.
    fn operand(&mut self) -> Parse<Val> {
        let span = self.cursor.span();
        if self.cursor.at("-") || matches!(self.cursor.token(), Token::Integer(_)) {
            let number = self.integer()?;
            return Ok(self.literal(number));
        }
        let name = self.cursor.word("a value")?;
        match self.names.get(name) {
            Some(Some(value)) => Ok(*value),
            Some(None) => Err(Failed),
            None => {
                let hint = String::new();
                Err(self
                    .cursor
                    .error(span, ParseErrorKind::Undefined { what: "value", name: name.into(), hint }))
            }
        }
    }

    fn literal(&mut self, number: i64) -> Val {
        if let Some((_, value)) = self.literals.iter().find(|(known, _)| *known == number) {
            return *value;
        }
        let value = self.values.push(Type::INDEX);
        self.literals.push((number, value));
        value
    }

    /// An i64 with its sign, in decimal or hexadecimal digits.
    fn integer(&mut self) -> Parse<i64> {
        let start = self.cursor.span();
        let negative = self.cursor.eat("-");
        let Token::Integer(text) = self.cursor.token() else {
            return Err(self.cursor.unexpected("an integer"));
        };
        self.cursor.advance();
        let magnitude = match text.strip_prefix("0x") {
            Some(digits) => i128::from_str_radix(digits, 16),
            None => text.parse(),
        };
        let number = magnitude.ok().and_then(|m| i64::try_from(if negative { -m } else { m }).ok());
        let span = start.to(self.cursor.previous());
        number.ok_or_else(|| self.wrong_number(span, text, "64-bit signed integer"))
    }

    fn wrong_number(&mut self, span: Span, text: &str, expected: &str) -> Failed {
        self.cursor.error(span, ParseErrorKind::Number { text: text.into(), expected: expected.into() })
    }

    /// An integer of another type.
    fn small<T: TryFrom<i64>>(&mut self, expected: &str) -> Parse<T> {
        let start = self.cursor.span();
        let number = self.integer()?;
        let span = start.to(self.cursor.previous());
        T::try_from(number).map_err(|_| self.wrong_number(span, &number.to_string(), expected))
    }

    fn other(&mut self, span: Span, message: impl Into<String>) -> Failed {
        self.cursor.error(span, ParseErrorKind::Other(message.into()))
    }

    /// `f32x8`, `mask`, `mask32x8`.
    fn ty(&mut self) -> Parse<Type> {
        let span = self.cursor.span();
        let word = self.cursor.word("a type")?;
        let parsed = split_type(word).and_then(|(element, lanes)| match element.strip_prefix("mask") {
            Some("") if lanes == 1 => Some(Type::TRUTH),
            Some(bits) => Some(Type { element: Element::Mask { bits: bits.parse().ok()? }, lanes }),
            None => Some(Type::vector(element.parse().ok()?, lanes)),
        });
        parsed.ok_or_else(|| self.other(span, format!("there is no type `{word}`")))
    }

    fn type_of(&self, value: Val) -> Type {
        self.values.get(value).copied().unwrap_or(Type::INDEX)
    }

    fn items<T>(
        &mut self,
        close: &'static str,
        mut item: impl FnMut(&mut Self) -> Parse<T>,
    ) -> Parse<Vec<T>> {
        let mut items = Vec::new();
        while self.cursor.item_follows(close, items.len())? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// At least one item, without brackets.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.cursor.eat(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
