//! What a model is, without compiling it: for `graven info`.

use super::file::Folder;
use super::graph::{Call, domain_name};
use super::inputs::{extent_name, real_inputs};
use super::order::{node_label, subgraphs};
use super::proto::{
    ElementTypeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, TypeValue, ValueInfoProto,
};
use super::tensor::dtype_of;
use super::{decode_bytes, decode_file, import, ops};
use crate::error::{Error, UnsupportedNode};
use crate::import::ImportOptions;
use bytes::Bytes;
use graven_ir::DType;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::path::Path;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A dense tensor of a known element type.
    Tensor,
    /// A list of such tensors.
    Sequence,
    /// A tensor or nothing.
    OptionalTensor,
    /// A list of tensors or nothing.
    OptionalSequence,
    /// Anything else.
    Other,
}

/// An input or output as the model declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputInfo {
    /// Its name.
    pub name: String,
    /// Element type; `None` for what is no dense tensor of a known type.
    pub dtype: Option<DType>,
    /// Extents, numbers or names; `None` where the rank is not declared.
    pub shape: Option<Vec<String>>,
    /// What it is.
    pub kind: ValueKind,
}

/// What a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The graph's name.
    pub name: String,
    /// The tool that wrote the model.
    pub producer: String,
    /// Versions of the operator domains; ONNX's own is called `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Inputs without initialisers.
    pub inputs: Vec<InputInfo>,
    /// Outputs.
    pub outputs: Vec<InputInfo>,
    /// How often each operator occurs, bodies and functions included; `domain.Op` outside ONNX's own domain.
    pub ops: BTreeMap<String, u64>,
    /// Elements of all initialisers.
    pub params: u64,
    /// Every node that can't be compiled, on dead branches too. Reasons beyond unknown operators are known only where the options
    /// give all extents.
    pub unsupported: Vec<UnsupportedNode>,
}

/// Describes a model file.
///
/// # Errors
/// Bad input for files that are no valid models.
pub fn describe_file(path: &Path, options: &ImportOptions) -> Result<ModelInfo, Error> {
    describe(&decode_file(path, options)?, Folder::of(path, &options.memory), options)
}

/// Describes a model in memory.
///
/// # Errors
/// Those of [`describe_file`].
pub fn describe_bytes(bytes: impl Into<Bytes>, options: &ImportOptions) -> Result<ModelInfo, Error> {
    describe(&decode_bytes(bytes.into(), options)?, Folder::none(&options.memory), options)
}

fn describe(model: &ModelProto, folder: Folder, options: &ImportOptions) -> Result<ModelInfo, Error> {
    let mut info = ModelInfo {
        name: String::new(),
        producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_string(),
        opsets: BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        ops: BTreeMap::new(),
        params: 0,
        unsupported: Vec::new(),
    };
    for opset in &model.opset_import {
        let name = if domain_name(&opset.domain).is_empty() { "ai.onnx" } else { &opset.domain };
        info.opsets.insert(name.to_string(), opset.version);
    }
    if let Some(graph) = &model.graph {
        info.name = graph.name.clone();
        info.inputs = real_inputs(graph).map(value_info).collect();
        info.outputs = graph.output.iter().map(value_info).collect();
        info.params = parameters(graph);
    }
    count_nodes(model, &mut info);
    let refused = match import(model, folder, options) {
        Ok(imported) => imported.report.unsupported,
        Err(Error::UnsupportedNodes(nodes)) => nodes,
        Err(_) => Vec::new(),
    };
    for node in refused {
        if !info.unsupported.iter().any(|known| known.node == node.node && known.op_type == node.op_type) {
            info.unsupported.push(node);
        }
    }
    Ok(info)
}

fn value_info(value: &ValueInfoProto) -> InputInfo {
    let tensor = match value.r#type.as_ref().and_then(|ty| ty.value.as_ref()) {
        Some(TypeValue::TensorType(tensor)) => Some(tensor),
        _ => None,
    };
    let extents = |shape: &super::proto::TensorShapeProto| {
        let extent = |(axis, dimension)| {
            extent_name(&value.name, axis, dimension).map_or_else(|name| name, |extent| extent.to_string())
        };
        shape.dim.iter().enumerate().map(extent).collect()
    };
    InputInfo {
        name: value.name.clone(),
        dtype: tensor.and_then(|tensor| dtype_of(tensor.elem_type).ok()),
        shape: tensor.and_then(|tensor| tensor.shape.as_ref()).map(extents),
        kind: value.r#type.as_ref().map_or(ValueKind::Other, kind),
    }
}

fn kind(ty: &TypeProto) -> ValueKind {
    let element = |ty: &ElementTypeProto| ty.elem_type.as_ref().map_or(ValueKind::Other, kind);
    match &ty.value {
        Some(TypeValue::TensorType(tensor)) if dtype_of(tensor.elem_type).is_ok() => ValueKind::Tensor,
        Some(TypeValue::SequenceType(ty)) if element(ty) == ValueKind::Tensor => ValueKind::Sequence,
        Some(TypeValue::OptionalType(ty)) => match element(ty) {
            ValueKind::Tensor => ValueKind::OptionalTensor,
            ValueKind::Sequence => ValueKind::OptionalSequence,
            _ => ValueKind::Other,
        },
        _ => ValueKind::Other,
    }
}

fn parameters(graph: &GraphProto) -> u64 {
    let elements =
        |dims: &[i64]| dims.iter().fold(1u64, |n, dim| n.saturating_mul(u64::try_from(*dim).unwrap_or(0)));
    let dense = graph.initializer.iter().map(|tensor: &TensorProto| elements(&tensor.dims));
    let sparse = graph.sparse_initializer.iter().map(|tensor| elements(&tensor.dims));
    dense.chain(sparse).fold(0, u64::saturating_add)
}

/// Counts operators and notes those that are not in the table.
fn count_nodes(model: &ModelProto, info: &mut ModelInfo) {
    let functions: FxHashSet<(&str, &str)> = model
        .functions
        .iter()
        .map(|function| (domain_name(&function.domain), function.name.as_str()))
        .collect();
    let call = Call::model(&model.opset_import);
    if let Some(graph) = &model.graph {
        count(&graph.node, &call, &functions, info);
    }
    for function in &model.functions {
        count(&function.node, &Call::model(&function.opset_import), &functions, info);
    }
}

fn count(nodes: &[NodeProto], call: &Call<'_>, functions: &FxHashSet<(&str, &str)>, info: &mut ModelInfo) {
    for node in nodes {
        let domain = domain_name(&node.domain);
        let dot = if domain.is_empty() { "" } else { "." };
        *info.ops.entry(format!("{domain}{dot}{}", node.op_type)).or_default() += 1;
        let opset = call.opset(domain);
        if !functions.contains(&(domain, node.op_type.as_str()))
            && let Err(reason) = ops::find(domain, &node.op_type, opset)
        {
            info.unsupported.push(UnsupportedNode {
                node: node_label(node).to_string(),
                domain: domain.to_string(),
                op_type: node.op_type.clone(),
                opset,
                reason,
            });
        }
        subgraphs(node).for_each(|graph| count(&graph.node, call, functions, info));
    }
}
