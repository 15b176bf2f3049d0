//! Module to JSON.

use super::schema::{self, Extent, FORMAT, VERSION};
use super::{JsonError, MAX_REGION_DEPTH, element};
use crate::weights::RESERVED_NAME;
use crate::{
    Attribute, Constant, ConstantId, Dim, Function, Graph, Module, NodeId, Op, TensorType, Value, ValueId,
};
use cranelift_entity::{EntityRef, SecondaryMap};
use rustc_hash::FxHashSet;
use serde_json::{Map, Value as Json, json};

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions<'a> {
    /// The name of the safetensors file for large constants, which the caller writes with [`Written::external`] and
    /// [`write_weights`](crate::weights::write_weights); without it all elements stand in the JSON.
    pub file: Option<&'a str>,
    /// The most elements that always stand in the JSON.
    pub large_elements: usize,
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        WriteOptions { file: None, large_elements: 32 }
    }
}

/// A JSON text and the constants that it leaves to a file.
#[derive(Clone, Debug)]
pub struct Written {
    /// The text.
    pub json: String,
    /// The constants that the file must hold, with their keys in it.
    pub external: Vec<(String, ConstantId)>,
}

/// The JSON of a module. Equal modules and options give equal texts.
///
/// # Errors
/// Regions nest deeper than [`MAX_REGION_DEPTH`].
pub fn to_string(module: &Module, options: &WriteOptions<'_>) -> Result<Written, JsonError> {
    let mut used = SecondaryMap::new();
    module.functions.iter().for_each(|function| mark_used(&function.graph, &mut used));
    let mut keys = Keys { taken: FxHashSet::from_iter([RESERVED_NAME.to_owned()]), external: Vec::new() };
    let mut numbers = SecondaryMap::new();
    let mut constants = Vec::new();
    // Names keep their keys, so they are there before others are given one.
    keys.reserve(module);
    for (id, constant) in &module.constants {
        if used[id] || !constant.name.is_empty() {
            numbers[id] = constants.len();
            constants.push(write_constant(id, constant, options, &mut keys));
        }
    }
    let functions: Result<_, _> =
        module.functions.iter().map(|function| write_function(function, &numbers)).collect();
    let symbol = |symbol: &crate::Symbol| schema::Symbol {
        name: symbol.name().into(),
        lower: symbol.lower(),
        upper: symbol.upper(),
    };
    let schema = schema::Module {
        format: FORMAT.into(),
        version: VERSION,
        name: module.name.clone(),
        metadata: module.metadata.clone(),
        symbols: module.symbols.iter().map(symbol).collect(),
        constants,
        functions: functions?,
    };
    let json = serde_json::to_string_pretty(&schema);
    let json = json.map_err(|error| JsonError::new("", error.to_string()))?;
    Ok(Written { json, external: keys.external })
}

fn mark_used(graph: &Graph, used: &mut SecondaryMap<ConstantId, bool>) {
    for id in graph.order() {
        let node = graph.node(id);
        if let Op::Constant { id } = node.op {
            used[id] = true;
        }
        node.regions.iter().for_each(|region| mark_used(region, used));
    }
}

/// Names in the file of large constants.
struct Keys {
    taken: FxHashSet<String>,
    external: Vec<(String, ConstantId)>,
}

impl Keys {
    fn reserve(&mut self, module: &Module) {
        let names = module.constants.values().map(|constant| constant.name.to_string());
        self.taken.extend(names.filter(|name| !name.is_empty()));
    }

    fn key(&mut self, id: ConstantId, constant: &Constant) -> String {
        let mut key = constant.name.to_string();
        if key.is_empty() || key == RESERVED_NAME {
            key = format!("#{}", id.index());
            while !self.taken.insert(key.clone()) {
                key.push('#');
            }
        }
        self.external.push((key.clone(), id));
        key
    }
}

fn write_constant(
    id: ConstantId,
    constant: &Constant,
    options: &WriteOptions<'_>,
    keys: &mut Keys,
) -> schema::Constant {
    let tensor = &constant.tensor;
    let dtype = tensor.dtype();
    let mut elements = tensor.data().chunks_exact(dtype.bytes());
    let mut written = schema::Constant {
        name: constant.name.to_string(),
        dtype: dtype.name().into(),
        shape: tensor.shape().to_vec(),
        data: None,
        splat: None,
        file: None,
        key: None,
    };
    if tensor.len() > 1 && tensor.splat_value().is_some() {
        written.splat = elements.next().map(|element| element::write(dtype, element));
    } else if let Some(file) = options.file.filter(|_| tensor.len() > options.large_elements) {
        written.file = Some(file.into());
        written.key = Some(keys.key(id, constant));
    } else {
        written.data = Some(elements.map(|element| element::write(dtype, element)).collect());
    }
    written
}

fn write_function(
    function: &Function,
    constants: &SecondaryMap<ConstantId, usize>,
) -> Result<schema::Function, JsonError> {
    let names = |names: &[std::sync::Arc<str>]| names.iter().map(|name| name.to_string()).collect();
    let graph = Writer { constants }.graph(&function.graph, 0);
    Ok(schema::Function {
        name: function.name.clone(),
        inputs: names(&function.inputs),
        outputs: names(&function.outputs),
        states: names(&function.states),
        graph: graph.map_err(|error| error.within(&format!("function `{}`", function.name)))?,
    })
}

struct Writer<'m> {
    constants: &'m SecondaryMap<ConstantId, usize>,
}

impl Writer<'_> {
    fn graph(&self, graph: &Graph, depth: usize) -> Result<schema::Graph, JsonError> {
        if depth > MAX_REGION_DEPTH {
            let reason =
                format!("regions nest deeper than {MAX_REGION_DEPTH}, which JSON is not written for");
            return Err(JsonError::new("", reason));
        }
        let order = graph.order();
        let mut numbers: SecondaryMap<ValueId, usize> = SecondaryMap::new();
        let results = order.iter().flat_map(|id| &graph.node(*id).results);
        graph.params().iter().chain(results).enumerate().for_each(|(number, value)| numbers[*value] = number);
        let nodes: Result<_, _> = order.iter().map(|id| self.node(graph, *id, &numbers, depth)).collect();
        Ok(schema::Graph {
            params: graph.params().iter().map(|param| value(graph.value(*param))).collect(),
            nodes: nodes?,
            results: graph.results().iter().map(|result| numbers[*result]).collect(),
        })
    }

    fn node(
        &self,
        graph: &Graph,
        id: NodeId,
        numbers: &SecondaryMap<ValueId, usize>,
        depth: usize,
    ) -> Result<schema::Node, JsonError> {
        let node = graph.node(id);
        let regions: Result<_, _> = node.regions.iter().map(|region| self.graph(region, depth + 1)).collect();
        let attributes = match &node.op {
            Op::Constant { id } => Map::from_iter([("id".to_string(), Json::from(self.constants[*id]))]),
            op => op.attributes().iter().map(|(name, value)| (name.to_string(), attribute(value))).collect(),
        };
        Ok(schema::Node {
            op: node.op.name().into(),
            operands: node.operands.iter().map(|operand| numbers[*operand]).collect(),
            attributes,
            results: node.results.iter().map(|result| value(graph.value(*result))).collect(),
            regions: regions?,
            origin: node.origin.as_deref().map(str::to_string),
        })
    }
}

fn value(value: &Value) -> schema::Value {
    let TensorType { dtype, shape } = &value.ty;
    schema::Value {
        name: value.name.as_deref().map(str::to_string),
        dtype: dtype.name().into(),
        shape: shape.iter().map(extent).collect(),
    }
}

fn extent(dim: &Dim) -> Extent {
    dim.as_const().map_or_else(|| Extent::Text(dim.to_string()), Extent::Constant)
}

fn attribute(attribute: &Attribute) -> Json {
    match attribute {
        Attribute::Dim(dim) => match dim.as_const() {
            Some(constant) => Json::from(constant),
            None => json!({ "dim": dim.to_string() }),
        },
        Attribute::Real(value) => json!({ "real": element::write(crate::DType::F64, &value.to_le_bytes()) }),
        Attribute::Bool(value) => Json::Bool(*value),
        Attribute::Word(word) => Json::String(word.clone()),
        Attribute::Text(text) => json!({ "text": text }),
        Attribute::List(items) => Json::Array(items.iter().map(self::attribute).collect()),
    }
}
