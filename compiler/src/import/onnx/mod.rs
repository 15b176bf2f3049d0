//! ONNX models (opsets 7 to 28) to graph IR.
//!
//! * [`proto`]: the messages of the file format
//! * `measure`: the memory that messages take
//! * `file`, `tensor`: model files, external data, initialisers in every encoding
//! * `inputs`: parameters and their extents
//! * `order`: liveness and order of nodes
//! * `graph`, `scope`, `context`: the walk over the nodes, what is known about values, what a handler sees
//! * `symbolic`, `shape_rules`, `evaluate`: shape arithmetic that folds on the way
//! * `ops`: one table of operators, one file per family
//! * `update`: the same model with other values
//! * `region`: bodies of control flow
//!
//! The walk never fails at a node that can't be compiled: it notes the reason, marks the results, and goes on, so that all such
//! nodes are reported at once, and those that no output depends on do no harm.

mod context;
mod evaluate;
mod failure;
mod file;
mod graph;
mod info;
mod inputs;
mod measure;
mod ops;
mod order;
pub mod proto;
mod region;
mod scope;
mod shape_rules;
mod symbolic;
mod tensor;
#[cfg(test)]
mod tests;
mod update;

pub use info::{InputInfo, ModelInfo, ValueKind, describe_bytes, describe_file};

use crate::error::{Error, Place};
use crate::import::{BatchNorm, ImportOptions, Imported, MemoryBudget};
use bytes::Bytes;
use file::Folder;
use graph::{Call, Frame, Importer};
use graven_ir::{Constants, Function, Graph, GraphBuilder, Module, Tensor};
use inputs::{Input, Inputs, bind_inputs, item_name};
use prost::Message;
use proto::{GraphProto, ModelProto};
use rustc_hash::FxHashMap;
use scope::{Arg, Item, LazyConstant, Scope};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// The oldest version of ONNX's own operators that is read.
pub const OLDEST_OPSET: i64 = 7;
/// The newest version of ONNX's own operators that is read.
pub const NEWEST_OPSET: i64 = 28;

/// Imports a model file. The file is mapped into memory and constants share the mapping, so nobody may change it meanwhile.
///
/// # Errors
/// Bad input for files that are no valid models and for extents without a value; unsupported, with all nodes at once, where an
/// output depends on something that can't be compiled.
pub fn import_file(path: &Path, options: &ImportOptions) -> Result<Imported, Error> {
    let model = decode_file(path, options)?;
    import(&model, Folder::of(path, &options.memory), options)
}

/// Imports a model from memory; it can't have external tensors.
///
/// # Errors
/// Those of [`import_file`].
pub fn import_bytes(bytes: impl Into<Bytes>, options: &ImportOptions) -> Result<Imported, Error> {
    let model = decode_bytes(bytes.into(), options)?;
    import(&model, Folder::none(&options.memory), options)
}

/// Writes a model file with these values for the initialisers of their names, which have the same types; see [`write_updated_bytes`].
///
/// # Errors
/// Those of [`write_updated_bytes`].
pub fn write_updated_file(path: &Path, values: &[(&str, &Tensor)], output: &Path) -> Result<(), Error> {
    let folder = Folder::of(path, &MemoryBudget::unlimited());
    update::write_with(&file::map_file(path)?, folder, values, output)
}

/// Writes a model with these values for the initialisers of their names, which have the same types. Everything else keeps its bytes. The file takes its
/// name only when it is complete; if it would be larger than 2 GiB, new values and what lay outside the model go to the file `output`.data.
///
/// # Errors
/// Bad input for files that can't be read or written, and values that don't fit; unsupported for names that no initialiser has, or several have.
pub fn write_updated_bytes(bytes: &Bytes, values: &[(&str, &Tensor)], output: &Path) -> Result<(), Error> {
    update::write_with(bytes, Folder::none(&MemoryBudget::unlimited()), values, output)
}

fn decode_file(path: &Path, options: &ImportOptions) -> Result<ModelProto, Error> {
    decode(file::map_file(path)?, || Place::new(path.display().to_string()), options)
}

fn decode_bytes(bytes: Bytes, options: &ImportOptions) -> Result<ModelProto, Error> {
    decode(bytes, || Place::new("the model"), options)
}

fn decode(bytes: Bytes, place: impl Fn() -> Place, options: &ImportOptions) -> Result<ModelProto, Error> {
    options
        .memory
        .take(measure::decoded_bytes(&bytes))
        .map_err(|error| Error::bad_input(place(), error.to_string()))?;
    let model = ModelProto::decode(bytes)
        .map_err(|error| Error::bad_input(place(), format!("is no valid ONNX file: {error}")))?;
    if model.graph.is_none() {
        return Err(Error::bad_input(place(), "is no valid ONNX file: it has no graph"));
    }
    Ok(model)
}

/// The version of ONNX's own operators must be one that we know.
fn check_opset(call: &Call<'_>) -> Result<(), Error> {
    let version = call.opset("");
    match version {
        0 | OLDEST_OPSET..=NEWEST_OPSET => Ok(()),
        _ => {
            let reason =
                format!("uses opset {version}; supported are opsets {OLDEST_OPSET} to {NEWEST_OPSET}");
            Err(Error::unsupported(Place::new("the model"), reason))
        }
    }
}

fn import(model: &ModelProto, folder: Folder, options: &ImportOptions) -> Result<Imported, Error> {
    let Some(graph) = &model.graph else {
        return Err(Error::internal(Place::new("the model"), "the graph vanished"));
    };
    let call = Call::model(&model.opset_import);
    check_opset(&call)?;
    let inputs = bind_inputs(graph, options)?;
    let mut importer = Importer::new(&model.functions, folder, options.batch_norm);
    let mut constants = Constants::new();
    let function = main_function(&mut importer, &mut constants, graph, call, &inputs, options)?;
    let name = if graph.name.is_empty() { "model" } else { &graph.name };
    let module = Module {
        name: name.to_string(),
        functions: vec![function],
        constants,
        symbols: inputs.symbols,
        metadata: metadata(model),
    };
    Ok(Imported { module, report: importer.report })
}

fn metadata(model: &ModelProto) -> std::collections::BTreeMap<String, String> {
    let mut metadata: std::collections::BTreeMap<String, String> =
        model.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    for (key, value) in
        [("producer_name", &model.producer_name), ("producer_version", &model.producer_version)]
    {
        if !value.is_empty() {
            metadata.entry(key.into()).or_insert_with(|| value.clone());
        }
    }
    metadata
}

/// Translates the model's graph.
fn main_function<'p>(
    importer: &mut Importer<'p>,
    constants: &mut Constants,
    graph: &'p GraphProto,
    call: Rc<Call<'p>>,
    inputs: &Inputs<'p>,
    options: &ImportOptions,
) -> Result<Function, Error> {
    let mut scope = Scope::new(GraphBuilder::new(constants));
    scope.running = (options.batch_norm == BatchNorm::Batch).then(Vec::new);
    let mut frame = Frame { names: FxHashMap::default(), call };
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut params = Vec::with_capacity(inputs.types.len());
    for (name, ty) in &inputs.types {
        params.push(match options.inputs.get(name) {
            Some(tensor) => scope.add_constant(LazyConstant::new(String::new(), tensor.clone())),
            None => {
                names.push(name.as_str().into());
                let value = scope.builder.param(ty.clone(), Some(name));
                scope.add_value(value)
            }
        });
    }
    for (name, input) in &inputs.inputs {
        let arg = match input {
            Input::Tensor(place) => params[*place],
            Input::Sequence(places) => scope.add(Item::Sequence(params[places.clone()].to_vec())),
            Input::Nothing => scope.add(Item::Nothing),
        };
        frame.names.insert(name, arg);
    }
    let outputs = importer.graph(&mut scope, &mut frame, graph)?;
    let mut results = Vec::with_capacity(outputs.len());
    let mut output_names: Vec<Arc<str>> = Vec::new();
    for (arg, info) in outputs.into_iter().zip(&graph.output) {
        for (name, arg) in output_tensors(&scope, arg, &info.name) {
            let place = || Place::named("output", &name);
            match scope.value(arg).map_err(|error| Error::internal(place(), error.to_string()))? {
                Some(value) => results.push(value),
                None if matches!(scope.item(arg), Item::Poisoned) => {
                    return Err(Error::UnsupportedNodes(std::mem::take(&mut importer.report.unsupported)));
                }
                None => return Err(Error::unsupported(place(), "is no tensor, which is not supported")),
            }
            output_names.push(name.into());
        }
    }
    let running = scope.running.take().unwrap_or_default();
    let states = running.iter().map(|statistic| statistic.constant.name().into()).collect();
    results.extend(running.iter().map(|statistic| statistic.value));
    let mut graph: Graph = scope.builder.finish(results);
    graph.compact();
    Ok(Function { name: "main".into(), graph, inputs: names, outputs: output_names, states })
}

/// The tensors of an output: the items of a sequence, nothing for an empty optional.
fn output_tensors(scope: &Scope<'_>, arg: Arg, name: &str) -> Vec<(String, Arg)> {
    match scope.item(arg) {
        Item::Sequence(items) => {
            items.iter().enumerate().map(|(place, item)| (item_name(name, place), *item)).collect()
        }
        Item::Nothing => Vec::new(),
        Item::Tensor { .. } | Item::Poisoned => vec![(name.to_string(), arg)],
    }
}

/// The tensor of a serialised `TensorProto`, as in the data sets of ONNX's own tests.
///
/// # Errors
/// Bad input where the bytes are no tensor; unsupported for strings and other element types that the IR does not have.
pub fn read_tensor(bytes: impl Into<Bytes>) -> Result<(String, Tensor), Error> {
    let message = proto::TensorProto::decode(bytes.into())
        .map_err(|error| Error::bad_input(Place::new("tensor"), error.to_string()))?;
    let tensor = tensor::tensor(&message, &mut Folder::none(&MemoryBudget::unlimited()))?;
    Ok((message.name, tensor))
}

/// The tensors of a serialised value, as in the data sets of ONNX's own tests: the items of a sequence, or none of an empty optional.
///
/// # Errors
/// Those of [`read_tensor`].
pub fn read_values(bytes: impl Into<Bytes>, kind: ValueKind) -> Result<Vec<Tensor>, Error> {
    let bytes: Bytes = bytes.into();
    let failed = |error: prost::DecodeError| Error::bad_input(Place::new("value"), error.to_string());
    let sequence = match kind {
        ValueKind::Tensor | ValueKind::Other => return Ok(vec![read_tensor(bytes)?.1]),
        ValueKind::Sequence => proto::SequenceProto::decode(bytes).map_err(failed)?.tensor_values,
        ValueKind::OptionalTensor | ValueKind::OptionalSequence => {
            let optional = proto::OptionalProto::decode(bytes).map_err(failed)?;
            let items = optional.sequence_value.map(|sequence| sequence.tensor_values);
            items.unwrap_or_else(|| optional.tensor_value.into_iter().collect())
        }
    };
    let mut folder = Folder::none(&MemoryBudget::unlimited());
    sequence.iter().map(|item| tensor::tensor(item, &mut folder)).collect()
}
