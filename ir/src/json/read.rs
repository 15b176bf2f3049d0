//! JSON to module. Graphs are built anew, so that whatever was read is well-typed.

use super::schema::{self, Extent, FORMAT, VERSION};
use super::{JsonError, element};
use crate::text::cursor::Cursor;
use crate::text::lexer::Token;
use crate::text::{WeightsReader, parse_dim};
use crate::verify::verify;
use crate::{
    Attribute, Constant, ConstantId, DType, Dim, Function, Graph, Module, Op, Symbol, Tensor, TensorType,
    ValueId,
};
use rustc_hash::FxHashMap;
use serde_json::Value as Json;

/// What reading needs besides the JSON.
pub struct ReadOptions<'a> {
    /// Reads constants that stand in files; without it they are errors. It is the reader's duty to refuse file names that lead elsewhere.
    pub weights: Option<&'a WeightsReader<'a>>,
    /// Bytes that all constants of equal elements together may take: a short text can ask for any amount.
    pub max_splat_bytes: usize,
}

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        ReadOptions { weights: None, max_splat_bytes: 1 << 30 }
    }
}

/// The module of a JSON text.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn from_str(text: &str, options: &ReadOptions<'_>) -> Result<Module, JsonError> {
    let schema: schema::Module = serde_json::from_str(text).map_err(syntax_error)?;
    if schema.format != FORMAT || schema.version != VERSION {
        let reason = format!(
            "the format is `{}` version {}, not `{FORMAT}` version {VERSION}",
            schema.format, schema.version
        );
        return Err(JsonError::new("", reason));
    }
    let symbol = |symbol: schema::Symbol| Symbol::new(symbol.name, symbol.lower, symbol.upper);
    let mut module = Module {
        name: schema.name,
        metadata: schema.metadata,
        symbols: schema.symbols.into_iter().map(symbol).collect(),
        ..Module::default()
    };
    let mut splat_bytes = options.max_splat_bytes;
    for (number, schema) in schema.constants.into_iter().enumerate() {
        let place = format!("constant {number} `{}`", schema.name);
        let tensor =
            read_constant(&schema, options, &mut splat_bytes).map_err(|error| error.within(&place))?;
        module.constants.push(Constant { name: schema.name.into(), tensor });
    }
    let symbols = module.symbols.iter().map(|symbol| (symbol.name().to_string(), Dim::from(symbol)));
    let symbols: FxHashMap<String, Dim> = symbols.collect();
    for schema in schema.functions {
        let place = format!("function `{}`", schema.name);
        let reader = Reader { constants: &module.constants, symbols: &symbols };
        let graph = reader.graph(schema.graph).map_err(|error| error.within(&place))?;
        let names = |names: Vec<String>| names.into_iter().map(Into::into).collect();
        module.functions.push(Function {
            name: schema.name,
            graph,
            inputs: names(schema.inputs),
            outputs: names(schema.outputs),
            states: names(schema.states),
        });
    }
    match verify(&module) {
        Ok(()) => Ok(module),
        Err(errors) => Err(JsonError::new("", errors.first().map_or_else(String::new, ToString::to_string))),
    }
}

fn syntax_error(error: serde_json::Error) -> JsonError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    // Its own text ends with the place.
    let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    match line {
        0 => JsonError::new("", reason),
        _ => JsonError::new(format!("{line}:{column}"), reason),
    }
}

fn dtype(name: &str) -> Result<DType, JsonError> {
    name.parse().map_err(|_| JsonError::new("", format!("there is no element type `{name}`")))
}

fn read_constant(
    schema: &schema::Constant,
    options: &ReadOptions<'_>,
    splat_bytes: &mut usize,
) -> Result<Tensor, JsonError> {
    let wrong = |reason: String| JsonError::new("", reason);
    let dtype = dtype(&schema.dtype)?;
    let element = |json: &Json| {
        element::read(dtype, json).ok_or_else(|| JsonError::new("", format!("{json} is no {dtype}")))
    };
    match (&schema.data, &schema.splat, &schema.file) {
        (Some(data), None, None) => {
            let mut bytes = Vec::new();
            for json in data {
                bytes.extend_from_slice(&element(json)?);
            }
            Tensor::new(dtype, schema.shape.clone(), bytes).map_err(|error| wrong(error.to_string()))
        }
        (None, Some(json), None) => {
            let bytes =
                schema.shape.iter().try_fold(dtype.bytes(), |bytes, extent| bytes.checked_mul(*extent));
            let bytes = bytes.filter(|bytes| bytes <= splat_bytes);
            let bytes = bytes.ok_or_else(|| wrong("the constants take too much memory".into()))?;
            *splat_bytes -= bytes;
            let data = element(json)?.repeat(bytes / dtype.bytes());
            Tensor::new(dtype, schema.shape.clone(), data).map_err(|error| wrong(error.to_string()))
        }
        (None, None, Some(file)) => {
            let reader =
                options.weights.ok_or_else(|| wrong("stands in a file, which can't be read here".into()))?;
            let tensor = reader(file, schema.key.as_deref().unwrap_or(&schema.name)).map_err(wrong)?;
            match tensor.dtype() == dtype && tensor.shape() == schema.shape {
                true => Ok(tensor),
                false => Err(wrong(format!("is {} in the file, not {dtype}{:?}", tensor.ty(), schema.shape))),
            }
        }
        _ => Err(wrong("must have one of `data`, `splat` and `file`".into())),
    }
}

struct Reader<'m> {
    constants: &'m crate::Constants,
    symbols: &'m FxHashMap<String, Dim>,
}

impl Reader<'_> {
    /// The recursion is bounded by that of the JSON parser.
    fn graph(&self, schema: schema::Graph) -> Result<Graph, JsonError> {
        let mut graph = Graph::new();
        let mut values: Vec<ValueId> = Vec::new();
        for (number, param) in schema.params.into_iter().enumerate() {
            let ty = self.ty(&param).map_err(|error| error.within(&format!("parameter {number}")))?;
            values.push(graph.add_param(ty, param.name.as_deref()));
        }
        for (number, node) in schema.nodes.into_iter().enumerate() {
            let place = format!("node {number} `{}`", node.op);
            self.node(&mut graph, &mut values, node).map_err(|error| error.within(&place))?;
        }
        let results: Result<_, _> = schema.results.iter().map(|number| find(&values, *number)).collect();
        graph.set_results(results?);
        Ok(graph)
    }

    fn node(
        &self,
        graph: &mut Graph,
        values: &mut Vec<ValueId>,
        schema: schema::Node,
    ) -> Result<(), JsonError> {
        let op = self.op(&schema)?;
        let operands: Result<Vec<ValueId>, _> =
            schema.operands.iter().map(|number| find(values, *number)).collect();
        let region =
            |(number, region)| self.graph(region).map_err(|error| error.within(&format!("region {number}")));
        let regions: Result<Vec<Graph>, _> = schema.regions.into_iter().enumerate().map(region).collect();
        let node = graph
            .add_node(self.constants, op, &operands?, regions?, schema.origin.map(Into::into))
            .map_err(|error| JsonError::new("", error.to_string()))?;
        let results = graph.node(node).results.clone();
        if !schema.results.is_empty() && schema.results.len() != results.len() {
            let reason = format!("has {} results, not {}", results.len(), schema.results.len());
            return Err(JsonError::new("", reason));
        }
        for (result, stated) in results.iter().zip(&schema.results) {
            let (ty, actual) = (self.ty(stated)?, graph.ty(*result));
            if ty != *actual {
                return Err(JsonError::new("", format!("the result is {actual}, not {ty}")));
            }
            if let Some(name) = &stated.name {
                graph.set_name(*result, name);
            }
        }
        values.extend(results);
        Ok(())
    }

    fn op(&self, schema: &schema::Node) -> Result<Op, JsonError> {
        if schema.op == "constant" {
            let number =
                schema.attributes.get("id").and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok());
            let id = number.map(ConstantId::from_u32).filter(|id| self.constants.get(*id).is_some());
            let id = id.ok_or_else(|| JsonError::new("", "the attribute `id` is no number of a constant"))?;
            return Ok(Op::Constant { id });
        }
        let attribute = |(name, json): (&String, &Json)| {
            let value = self.attribute(json);
            Ok((name.clone(), value.map_err(|error| error.within(&format!("attribute `{name}`")))?))
        };
        let attributes: Result<Vec<_>, JsonError> = schema.attributes.iter().map(attribute).collect();
        Op::from_attributes(&schema.op, &attributes?).map_err(|error| JsonError::new("", error.to_string()))
    }

    fn attribute(&self, json: &Json) -> Result<Attribute, JsonError> {
        let wrong = || JsonError::new("", format!("{json} is no attribute"));
        match json {
            Json::Number(number) => Ok(Attribute::Dim(number.as_i64().ok_or_else(wrong)?.into())),
            Json::Bool(value) => Ok(Attribute::Bool(*value)),
            Json::String(word) => Ok(Attribute::Word(word.clone())),
            Json::Array(items) => {
                let items: Result<_, _> = items.iter().map(|item| self.attribute(item)).collect();
                Ok(Attribute::List(items?))
            }
            Json::Object(tagged) if tagged.len() == 1 => match tagged.iter().next() {
                Some((tag, Json::String(text))) if tag == "dim" => Ok(Attribute::Dim(self.dim(text)?)),
                Some((tag, Json::String(text))) if tag == "text" => Ok(Attribute::Text(text.clone())),
                Some((tag, value)) if tag == "real" => {
                    let bytes = element::read(DType::F64, value).ok_or_else(wrong)?;
                    Ok(Attribute::Real(crate::element::decode_float(DType::F64, &bytes)))
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

    fn ty(&self, schema: &schema::Value) -> Result<TensorType, JsonError> {
        let extent = |extent: &Extent| match extent {
            Extent::Constant(value) => Ok(Dim::from(*value)),
            Extent::Text(text) => self.dim(text),
        };
        let shape: Result<_, _> = schema.shape.iter().map(extent).collect();
        Ok(TensorType { dtype: dtype(&schema.dtype)?, shape: shape? })
    }

    fn dim(&self, text: &str) -> Result<Dim, JsonError> {
        let mut cursor = Cursor::new(text);
        let dim = parse_dim(&mut cursor, &|name| self.symbols.get(name).cloned());
        match dim {
            Ok(dim) if cursor.token() == Token::End => Ok(dim),
            _ => Err(JsonError::new("", format!("`{text}` is no extent"))),
        }
    }
}

fn find(values: &[ValueId], number: usize) -> Result<ValueId, JsonError> {
    let value = values.get(number).copied();
    value.ok_or_else(|| JsonError::new("", format!("there is no value {number} before this place")))
}
