//! The parser: recursive descent over a [`Cursor`], with one file per part of the grammar.
//!
//! * `item`: module header, dims, constants, functions
//! * `graph`: blocks, statements, regions
//! * `op`: attributes and the op that they make
//! * `ty`: types, names of values and constants
//! * `literal`: elements of constants
//! * `dim`: extents
//!
//! After an error the parser goes on with the next statement or item. A statement that failed still defines its results, with
//! the stated types where there are some, so that one mistake gives one message.

mod dim;
mod graph;
mod item;
mod literal;
mod op;
mod ty;

pub use dim::parse_dim;
pub use literal::parse_literal;
pub use ty::parse_type;

use super::cursor::{Cursor, Parse};
use super::label::Label;
use super::{ParseError, ParseErrorKind, ParseErrors, SourceMap, Span};
use crate::{ConstantId, Module, Symbol, Tensor, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};

/// Gives the tensor of a constant that stands in a file: the file's name as written, then the constant's key in it.
pub type WeightsReader<'a> = dyn Fn(&str, &str) -> Result<Tensor, String> + 'a;

/// What the parser needs besides the text.
pub struct ParseOptions<'a> {
    /// Reads constants that stand in files; without it they are errors. [`WeightsFile`](crate::weights::WeightsFile) reads them from
    /// safetensors files. It is the reader's duty to refuse file names that lead elsewhere.
    pub weights: Option<&'a WeightsReader<'a>>,
    /// Bytes that all `splat` literals together may take: a short text can ask for any amount.
    pub max_splat_bytes: usize,
}

impl Default for ParseOptions<'_> {
    fn default() -> Self {
        ParseOptions { weights: None, max_splat_bytes: 1 << 30 }
    }
}

/// A module and where its entities stand.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The module.
    pub module: Module,
    /// Where its entities stand in the text.
    pub source_map: SourceMap,
}

/// The module of a text; all that is wrong with the text otherwise.
pub fn parse(text: &str) -> Result<Module, ParseErrors> {
    parse_with(text, &ParseOptions::default()).map(|parsed| parsed.module)
}

/// The module of a text with its source map; all that is wrong with the text otherwise.
pub fn parse_with(text: &str, options: &ParseOptions<'_>) -> Result<Parsed, ParseErrors> {
    if u32::try_from(text.len()).is_err() {
        let kind = ParseErrorKind::Limit("the text is larger than 4 GiB");
        return Err(ParseErrors(vec![ParseError { span: Span::default(), kind }]));
    }
    let mut parser = Parser {
        cursor: Cursor::new(text),
        options,
        module: Module::default(),
        source_map: SourceMap::default(),
        constants: FxHashMap::default(),
        symbols: FxHashMap::default(),
        function_names: FxHashSet::default(),
        enclosing: Vec::new(),
        splat_bytes: 0,
    };
    parser.module();
    let mut errors = parser.cursor.take_errors_from(0);
    if errors.is_empty() {
        return Ok(Parsed { module: parser.module, source_map: parser.source_map });
    }
    errors.sort_by_key(|error| error.span);
    Err(ParseErrors(errors))
}

/// The values that a block sees; `None` for one whose statement failed.
type Names = FxHashMap<Label, Option<ValueId>>;

struct Parser<'t, 'o> {
    cursor: Cursor<'t>,
    options: &'o ParseOptions<'o>,
    module: Module,
    source_map: SourceMap,
    /// `None` for those whose declaration failed.
    constants: FxHashMap<Label, Option<ConstantId>>,
    symbols: FxHashMap<String, Symbol>,
    function_names: FxHashSet<String>,
    /// The values of the blocks around the current one: they can't be used, but named in messages.
    enclosing: Vec<Names>,
    splat_bytes: usize,
}

impl<'t> Parser<'t, '_> {
    /// Items separated by commas up to `close`, which is taken too.
    fn list<T>(&mut self, close: &'static str, mut item: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = Vec::new();
        while self.cursor.item_follows(close, items.len())? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// One or more items separated by commas.
    fn sequence<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.cursor.eat(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
