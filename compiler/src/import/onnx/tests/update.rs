use super::{model, node};
use crate::import::MemoryBudget;
use crate::import::onnx::file::Folder;
use crate::import::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, attribute_type,
};
use crate::import::onnx::tensor::tensor;
use crate::import::onnx::update::write_within;
use bytes::Bytes;
use graven_ir::{DType, Tensor};
use prost::Message;
use std::path::Path;

fn floats(values: &[f32]) -> Tensor {
    Tensor::from_f32s(vec![values.len()], values).unwrap()
}

fn stored(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 1,
        dims: vec![values.len() as i64],
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn external(name: &str, offset: usize) -> TensorProto {
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    let external_data = vec![entry("location", "w.bin".into()), entry("offset", offset.to_string())];
    let mut proto = stored(name, &[0.0; 2]);
    (proto.float_data, proto.external_data, proto.data_location) = (Vec::new(), external_data, 1);
    proto
}

/// A model with the initialisers `a`, `outside` and `kept`, `inner` in a body, and a field that ONNX does not have.
fn sample() -> Bytes {
    let body = GraphProto { initializer: vec![stored("inner", &[5.0, 6.0])], ..GraphProto::default() };
    let r#type = attribute_type::GRAPH;
    let attribute =
        AttributeProto { name: "then_branch".into(), g: Some(body), r#type, ..AttributeProto::default() };
    let branch = NodeProto { attribute: vec![attribute], ..node("If", &["c"], "y") };
    let graph = GraphProto {
        node: vec![branch],
        initializer: vec![stored("a", &[1.0, 2.0]), external("outside", 0), external("kept", 8)],
        ..GraphProto::default()
    };
    let unknown = [0xf8, 0x3f, 7];
    [model(graph), unknown.to_vec()].concat().into()
}

fn read(path: &Path) -> (Vec<u8>, Vec<Vec<f64>>) {
    let bytes = std::fs::read(path).unwrap();
    let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
    let body = graph.node[0].attribute[0].g.clone().unwrap();
    let mut folder = Folder::of(path, &MemoryBudget::unlimited());
    let all = graph.initializer.iter().chain(&body.initializer);
    let values = all.map(|proto| tensor(proto, &mut folder).unwrap().to_f64s()).collect();
    (bytes, values)
}

#[test]
fn new_values_go_in_and_the_rest_stays() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data: Vec<u8> = [10.0_f32, 11.0, 12.0, 13.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(old.path().join("w.bin"), data).unwrap();
    let folder = || Folder::of(&old.path().join("m.onnx"), &MemoryBudget::unlimited());
    let values =
        [("a", floats(&[-1.0, -2.0])), ("outside", floats(&[-3.0, -4.0])), ("inner", floats(&[-5.0, -6.0]))];
    let values: Vec<(&str, &Tensor)> = values.iter().map(|(name, value)| (*name, value)).collect();
    let output = new.path().join("new.onnx");
    for (limit, files) in [(1 << 20, 1), (100, 2)] {
        write_within(limit, &sample(), folder(), &values, &output).unwrap();
        let (bytes, found) = read(&output);
        assert_eq!(found, [vec![-1.0, -2.0], vec![-3.0, -4.0], vec![12.0, 13.0], vec![-5.0, -6.0]]);
        assert!(bytes.ends_with(&[0xf8, 0x3f, 7]), "the unknown field is still there");
        assert_eq!(std::fs::read_dir(new.path()).unwrap().count(), files);
    }
}

#[test]
fn a_model_without_changes_keeps_all_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("new.onnx");
    let graph = GraphProto { initializer: vec![stored("a", &[1.0])], ..GraphProto::default() };
    let bytes: Bytes = [model(graph), vec![0xf8, 0x3f, 7]].concat().into();
    let none = || Folder::none(&MemoryBudget::unlimited());
    write_within(usize::MAX, &bytes, none(), &[], &output).unwrap();
    assert_eq!(std::fs::read(&output).unwrap(), bytes);
}

#[test]
fn values_without_a_place_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("new.onnx");
    let twice = [stored("a", &[1.0]), stored("a", &[1.0]), stored("b", &[1.0])];
    let graph = GraphProto { initializer: twice.to_vec(), ..GraphProto::default() };
    let bytes: Bytes = model(graph).into();
    for (name, value, reason) in [
        ("a", floats(&[2.0]), "2 times"),
        ("c", floats(&[2.0]), "no dense initialiser"),
        ("b", floats(&[2.0, 3.0]), "is no f32[2] in the model"),
        (
            "b",
            Tensor::new(DType::F64, vec![1], 2.0_f64.to_le_bytes().to_vec()).unwrap(),
            "is no f64[1] in the model",
        ),
    ] {
        let folder = Folder::none(&MemoryBudget::unlimited());
        let error =
            write_within(usize::MAX, &bytes, folder, &[(name, &value)], &output).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&format!("tensor `{name}`")), "{error}");
    }
    assert!(!output.exists());
}

#[test]
fn other_names_of_an_initialiser_get_values_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("new.onnx");
    let nodes = vec![node("Identity", &["a"], "b"), node("Add", &["a", "b"], "y")];
    let graph =
        GraphProto { node: nodes, initializer: vec![stored("a", &[1.0, 2.0])], ..GraphProto::default() };
    let value = floats(&[3.0, 4.0]);
    let none = || Folder::none(&MemoryBudget::unlimited());
    let model: Bytes = model(graph).into();
    write_within(usize::MAX, &model, none(), &[("b", &value)], &output).unwrap();
    let graph = ModelProto::decode(std::fs::read(&output).unwrap().as_slice()).unwrap().graph.unwrap();
    assert_eq!(graph.node.len(), 1);
    let values: Vec<_> =
        graph.initializer.iter().map(|proto| tensor(proto, &mut none()).unwrap().to_f64s()).collect();
    assert_eq!(values, [[3.0, 4.0], [1.0, 2.0]]);
}
