use super::{model, node};
use crate::error::Error;
use crate::import::ImportOptions;
use crate::import::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::import::onnx::{describe_bytes, import_bytes};

/// Two unknown operators, one known operator that can't be compiled, one on a dead branch, one in the body of an `If`.
fn refused() -> Vec<u8> {
    let strange = |domain: &str, inputs: &[&str], output: &str| NodeProto {
        domain: domain.into(),
        ..node("Strange", inputs, output)
    };
    let body = GraphProto {
        node: vec![strange("com.example", &["x"], "in_body")],
        output: vec![super::value("in_body", &[2])],
        ..GraphProto::default()
    };
    let branch = |name: &str| AttributeProto {
        name: name.into(),
        r#type: 5,
        g: Some(body.clone()),
        ..AttributeProto::default()
    };
    let truth = TensorProto { name: "t".into(), data_type: 9, int32_data: vec![1], ..TensorProto::default() };
    let branches = vec![branch("then_branch"), branch("else_branch")];
    let nodes = vec![
        strange("", &["x"], "a"),
        strange("com.example", &["x"], "b"),
        node("NonZero", &["x"], "c"),
        strange("", &["x"], "dead"),
        NodeProto { attribute: branches, ..node("If", &["t"], "d") },
        node("Add", &["a", "b"], "ab"),
        node("Sum", &["ab", "c", "d"], "y"),
    ];
    model(GraphProto { node: nodes, initializer: vec![truth], ..GraphProto::default() })
}

#[test]
fn all_nodes_are_reported_at_once() {
    let info = describe_bytes(refused(), &ImportOptions::default()).unwrap();
    let lines: Vec<String> = info.unsupported.iter().map(ToString::to_string).collect();
    for expected in [
        "node `a` (Strange, opset 21): the operator is not supported",
        "node `b` (com.example.Strange, opset 0): the operator of the domain `com.example` is not supported",
        "node `dead` (Strange, opset 21): the operator is not supported",
        "node `in_body` (com.example.Strange, opset 0): the operator of the domain `com.example` is not supported",
        "node `c` (NonZero, opset 21): the tensor is not constant",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not among {lines:#?}");
    }
}

#[test]
fn only_live_nodes_stop_the_import() {
    let Err(Error::UnsupportedNodes(nodes)) = import_bytes(refused(), &ImportOptions::default()) else {
        panic!("the model was imported");
    };
    let names: Vec<&str> = nodes.iter().map(|node| node.node.as_str()).collect();
    for name in ["a", "b", "c"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(!names.contains(&"dead"));
}
