//! Blocks and statements.

use super::Parser;
use crate::kernel::verify::PathStep;
use crate::kernel::{Address, Block, Carried, For, If, Spread, Stmt, Type, Val};
use graven_ir::text::cursor::Parse;
use graven_ir::text::lexer::Token;
use graven_ir::text::{ParseErrorKind, Span};

/// Blocks within each other.
const MAX_DEPTH: usize = 64;

/// A statement's results as written: names, and a type.
#[derive(Default)]
struct Results<'t> {
    names: Vec<(&'t str, Span)>,
    ty: Option<(Type, Span)>,
}

impl<'t> Parser<'_, 't> {
    /// `{ … }`.
    pub(super) fn block(&mut self) -> Parse<Block> {
        let start = self.cursor.expect("{")?;
        if self.scopes.len() > MAX_DEPTH {
            return Err(self.cursor.error(start, ParseErrorKind::Limit("the blocks are nested too deeply")));
        }
        let mut block = Block::default();
        loop {
            if self.cursor.eat("}") {
                return Ok(block);
            }
            if self.cursor.eat_word("yield") {
                block.yields = self.list(Parser::operand)?;
                self.cursor.expect("}")?;
                return Ok(block);
            }
            if self.cursor.token() == Token::End {
                return Err(self.cursor.unexpected("`}`"));
            }
            let span = self.cursor.span();
            self.path.0.push(PathStep::Stmt(block.stmts.len() as u32));
            let stmt = self.stmt();
            if stmt.is_ok() {
                self.stmts.insert(self.path.clone(), span);
            }
            self.path.0.pop();
            match stmt {
                Ok(stmt) => block.stmts.push(stmt),
                Err(_) => self.recover(span),
            }
        }
    }

    /// Goes on at the next line after a statement that began at `start` failed.
    fn recover(&mut self, start: Span) {
        if self.cursor.span() == start {
            self.cursor.advance();
        }
        self.cursor.skip_to(|cursor| cursor.starts_line());
        // Brackets that were not opened in the statement.
        while self.cursor.at(")") || self.cursor.at("]") {
            self.cursor.advance();
            self.cursor.skip_to(|cursor| cursor.starts_line());
        }
    }

    fn inner_block(&mut self, step: PathStep) -> Parse<Block> {
        self.path.0.push(step);
        let block = self.block();
        self.path.0.pop();
        block
    }

    fn stmt(&mut self) -> Parse<Stmt> {
        if self.cursor.eat_word("store") {
            return self.store();
        }
        if self.cursor.eat_word("prefetch") {
            return Ok(Stmt::Prefetch { address: self.address()? });
        }
        if self.cursor.eat_word("check") {
            let condition = self.operand()?;
            self.cursor.expect_word("else")?;
            return Ok(Stmt::Check { condition, code: self.small("32-bit error code")? });
        }
        let results = self.results()?;
        let stmt = self.definition(&results);
        if stmt.is_err() {
            // What uses the results is not to blame.
            for name in results.names {
                if !self.names.contains_key(name.0) {
                    self.bind(name, None);
                }
            }
        }
        stmt
    }

    /// The names before a `=`.
    fn results(&mut self) -> Parse<Results<'t>> {
        let mut results = Results::default();
        if self.at_control() {
            return Ok(results);
        }
        results.names = self.list(Parser::new_name)?;
        if self.cursor.eat(":") {
            let span = self.cursor.span();
            results.ty = Some((self.ty()?, span));
        }
        self.cursor.expect("=")?;
        Ok(results)
    }

    fn at_control(&self) -> bool {
        ["for", "parallel", "if"].iter().any(|word| self.cursor.at_word(word))
    }

    fn definition(&mut self, results: &Results<'t>) -> Parse<Stmt> {
        if self.at_control() {
            return match self.cursor.eat_word("if") {
                true => self.branch(&results.names),
                false => self.nest(&results.names),
            };
        }
        let [name] = results.names[..] else {
            return Err(self.cursor.unexpected("`for` or `if`, which alone have several results"));
        };
        if !self.cursor.eat_word("load") {
            return self.op(name, results.ty);
        }
        let Some((ty, _)) = results.ty else {
            return Err(self.other(name.1, "a load needs a type: `name: type = load …`"));
        };
        let address = self.address()?;
        let (spread, mask) = self.access()?;
        Ok(Stmt::Load { result: self.define(name, ty), address, spread, mask })
    }

    fn store(&mut self) -> Parse<Stmt> {
        let value = self.operand()?;
        self.cursor.expect(",")?;
        let address = self.address()?;
        let (spread, mask) = self.access()?;
        Ok(Stmt::Store { value, address, spread, mask })
    }

    fn address(&mut self) -> Parse<Address> {
        let span = self.cursor.span();
        let name = self.cursor.value_name("`%` and a buffer's name")?;
        let Some(buffer) = self.buffer_names.get(&name).copied() else {
            let (name, hint) = (format!("%{name}"), String::new());
            return Err(self.cursor.error(span, ParseErrorKind::Undefined { what: "buffer", name, hint }));
        };
        self.cursor.expect("[")?;
        if self.cursor.at("-") || matches!(self.cursor.token(), Token::Integer(_)) {
            let number = self.integer()?;
            if self.cursor.eat("]") {
                return Ok(Address { buffer, index: self.literal(0), offset: number });
            }
            let index = self.literal(number);
            return self.offset(buffer, index);
        }
        let index = self.operand()?;
        self.offset(buffer, index)
    }

    /// `+ 16]`, `- 16]` or `]`.
    fn offset(&mut self, buffer: crate::kernel::BufferId, index: Val) -> Parse<Address> {
        if self.cursor.eat("]") {
            return Ok(Address { buffer, index, offset: 0 });
        }
        // The minus sign belongs to the integer.
        if !self.cursor.at("-") && !self.cursor.eat("+") {
            return Err(self.cursor.unexpected("`+`, `-` or `]`"));
        }
        let offset = self.integer()?;
        self.cursor.expect("]")?;
        Ok(Address { buffer, index, offset })
    }

    fn access(&mut self) -> Parse<(Spread, Option<Val>)> {
        let spread = if self.cursor.eat_word("stride") {
            Spread::Strided(self.integer()?)
        } else if self.cursor.eat_word("gather") {
            Spread::Gathered(self.operand()?)
        } else if self.cursor.eat_word("broadcast") {
            Spread::Broadcast
        } else {
            Spread::Contiguous
        };
        let mask = if self.cursor.eat_word("where") { Some(self.operand()?) } else { None };
        Ok((spread, mask))
    }

    fn nest(&mut self, results: &[(&'t str, Span)]) -> Parse<Stmt> {
        let parallel = self.cursor.eat_word("parallel");
        self.cursor.expect_word("for")?;
        let span = self.cursor.previous();
        let var = self.new_name()?;
        self.cursor.expect_word("in")?;
        let lower = self.operand()?;
        self.cursor.expect("..")?;
        let upper = self.operand()?;
        let step = if self.cursor.eat_word("step") { self.integer()? } else { 1 };
        let mut inits = Vec::new();
        if self.cursor.eat_word("carry") {
            inits = self.list(|parser| {
                let param = parser.new_name()?;
                parser.cursor.expect("=")?;
                Ok((param, parser.operand()?))
            })?;
        }
        if inits.len() != results.len() {
            let kind = ParseErrorKind::Count {
                what: "results of the loop, one per carried value",
                expected: inits.len(),
                found: results.len(),
            };
            return Err(self.cursor.error(span, kind));
        }
        self.open_scope();
        let var = self.define(var, Type::INDEX);
        let params: Vec<Val> =
            inits.iter().map(|(param, init)| self.define(*param, self.type_of(*init))).collect();
        let body = self.inner_block(PathStep::Body);
        self.close_scope();
        let body = body?;
        let places = inits.iter().zip(params).zip(results);
        let carried = places
            .map(|(((_, init), param), name)| {
                let result = self.define(*name, self.type_of(*init));
                Carried { init: *init, param, result }
            })
            .collect();
        Ok(Stmt::For(Box::new(For { var, lower, upper, step, carried, body, parallel })))
    }

    fn branch(&mut self, results: &[(&'t str, Span)]) -> Parse<Stmt> {
        let span = self.cursor.previous();
        let condition = self.operand()?;
        self.open_scope();
        let then = self.inner_block(PathStep::Then);
        self.close_scope();
        let then = then?;
        let mut otherwise = Block::default();
        if self.cursor.eat_word("else") {
            self.open_scope();
            let block = self.inner_block(PathStep::Else);
            self.close_scope();
            otherwise = block?;
        }
        if then.yields.len() != results.len() {
            let (expected, found) = (results.len(), then.yields.len());
            let kind = ParseErrorKind::Count { what: "yielded values", expected, found };
            return Err(self.cursor.error(span, kind));
        }
        let types: Vec<Type> = then.yields.iter().map(|value| self.type_of(*value)).collect();
        let results = results.iter().zip(types).map(|(name, ty)| self.define(*name, ty)).collect();
        Ok(Stmt::If(Box::new(If { condition, then, otherwise, results })))
    }
}
