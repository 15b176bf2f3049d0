//! Tests of the importer on models that are built here.
//!
//! * [`tensors`]: every encoding of elements
//! * [`external`]: files beside the model
//! * [`limits`]: sizes, depths and memory of models that nobody vouches for
//! * [`update`]: models with new values
//! * [`report`]: nodes that can't be compiled

mod external;
mod limits;
mod report;
mod tensors;
mod update;

use super::proto::{
    Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
use prost::Message;

/// A node of ONNX's own domain, named after its output.
fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.into(),
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// An f32 tensor.
fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |extent: &i64| Dimension { value: Some(DimensionValue::DimValue(*extent)) };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let ty = TypeProto { value: Some(TypeValue::TensorType(TensorTypeProto { elem_type: 1, shape })) };
    ValueInfoProto { name: name.into(), r#type: Some(ty) }
}

/// The bytes of a model with the input x\[2\] and the output y.
fn model(graph: GraphProto) -> Vec<u8> {
    let graph = GraphProto { input: vec![value("x", &[2])], output: vec![value("y", &[2])], ..graph };
    let opset = OperatorSetIdProto { domain: String::new(), version: 21 };
    ModelProto { graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }.encode_to_vec()
}
