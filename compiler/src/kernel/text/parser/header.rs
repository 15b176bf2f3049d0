//! Names, buffers and extents.

use super::Parser;
use crate::kernel::{Access, Buffer, Type};
use graven_ir::text::cursor::Parse;
use graven_ir::text::lexer::Token;
use graven_ir::text::{ParseErrorKind, Span, parse_dim};
use graven_ir::{DType, Dim, Symbol};

impl Parser<'_, '_> {
    /// Everything before the body; gives the kernel's name.
    pub(super) fn header(&mut self) -> Parse<(String, Span)> {
        self.cursor.expect_word("kernel")?;
        let span = self.cursor.span();
        let name = self.cursor.global_name("`@` and the kernel's name")?;
        self.cursor.expect("(")?;
        // Sizes of buffers use the symbols that come after them.
        let buffers = self.cursor.checkpoint();
        self.cursor.skip_to(|_| false);
        self.cursor.expect(")")?;
        let symbols = self.symbols()?;
        let body = self.cursor.checkpoint();
        self.cursor.rewind(buffers);
        while self.cursor.item_follows(")", self.buffers.len())? {
            self.buffer(&symbols)?;
        }
        self.cursor.rewind(body);
        Ok((name, span))
    }

    /// The extents, which become values, and the symbols of both lists.
    fn symbols(&mut self) -> Parse<Vec<Symbol>> {
        let mut symbols = Vec::new();
        if self.cursor.eat_word("extents") {
            self.cursor.expect("(")?;
            symbols = self.items(")", Parser::extent)?;
        }
        if self.cursor.eat_word("dims") {
            self.cursor.expect("(")?;
            symbols.extend(self.items(")", |parser| {
                let name = parser.cursor.name("a dim")?;
                parser.range(name)
            })?);
        }
        Ok(symbols)
    }

    fn extent(&mut self) -> Parse<Symbol> {
        if let Token::Text(_) = self.cursor.token() {
            let name = self.cursor.text("a name")?;
            self.cursor.expect_word("as")?;
            let value = self.new_name()?;
            let symbol = self.range(name)?;
            let value = self.define(value, Type::INDEX);
            self.extents.push((symbol.clone(), value));
            return Ok(symbol);
        }
        let name = self.new_name()?;
        let symbol = self.range(name.0.into())?;
        let value = self.define(name, Type::INDEX);
        self.extents.push((symbol.clone(), value));
        Ok(symbol)
    }

    fn range(&mut self, name: String) -> Parse<Symbol> {
        self.cursor.expect_word("in")?;
        let span = self.cursor.span();
        let lower = self.integer()?;
        self.cursor.expect("..=")?;
        let upper = self.integer()?;
        if lower > upper {
            return Err(self.other(span.to(self.cursor.previous()), "the bounds leave no value"));
        }
        Ok(Symbol::new(name, lower, upper))
    }

    fn buffer(&mut self, symbols: &[Symbol]) -> Parse<()> {
        let span = self.cursor.span();
        let name = self.cursor.value_name("`%` and a buffer's name")?;
        self.cursor.expect(":")?;
        let access_span = self.cursor.span();
        let access = match self.cursor.word("`read`, `write`, `readwrite` or `scratch`")? {
            "read" => Access::Read,
            "write" => Access::Write,
            "readwrite" => Access::ReadWrite,
            "scratch" => Access::Scratch,
            _ => return Err(self.other(access_span, "expected `read`, `write`, `readwrite` or `scratch`")),
        };
        let dtype_span = self.cursor.span();
        let dtype: Option<DType> = self.cursor.word("an element type")?.parse().ok();
        let Some(dtype) = dtype else { return Err(self.other(dtype_span, "there is no such element type")) };
        self.cursor.expect("[")?;
        let lookup = |name: &str| symbols.iter().find(|symbol| symbol.name() == name).map(Dim::from);
        let elements = parse_dim(self.cursor, &lookup)?;
        self.cursor.expect("]")?;
        if self.buffer_names.contains_key(&name) {
            return Err(self.cursor.error(span, ParseErrorKind::Duplicate { what: "buffer", name }));
        }
        let id = self.buffers.push(Buffer { name: name.clone(), dtype, elements, access });
        self.buffer_names.insert(name, id);
        Ok(())
    }
}
