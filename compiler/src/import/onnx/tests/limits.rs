use super::{model, node, value};
use crate::error::Error;
use crate::import::onnx::import_bytes;
use crate::import::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
};
use crate::import::{ImportOptions, MemoryBudget};
use prost::Message;

fn import(bytes: Vec<u8>, memory: u64) -> Result<(), Error> {
    let options = ImportOptions { memory: MemoryBudget::new(memory), ..ImportOptions::default() };
    import_bytes(bytes, &options).map(|_| ())
}

/// `If` within `If`, with a constant condition: as deep as asked.
fn nested(depth: usize) -> GraphProto {
    let mut graph = GraphProto {
        node: vec![node("Abs", &["x"], "y")],
        output: vec![value("y", &[2])],
        ..GraphProto::default()
    };
    for _ in 0..depth {
        let branch = |name: &str| AttributeProto {
            name: name.into(),
            r#type: 5,
            g: Some(graph.clone()),
            ..AttributeProto::default()
        };
        let truth =
            TensorProto { name: "t".into(), data_type: 9, int32_data: vec![1], ..TensorProto::default() };
        let branches = vec![
            branch("then_branch"),
            AttributeProto {
                g: Some(GraphProto { output: vec![value("x", &[2])], ..GraphProto::default() }),
                ..branch("else_branch")
            },
        ];
        graph = GraphProto {
            node: vec![NodeProto { attribute: branches, ..node("If", &["t"], "y") }],
            initializer: vec![truth],
            output: vec![value("y", &[2])],
            ..GraphProto::default()
        };
    }
    graph
}

#[test]
fn bodies_may_be_nested_but_not_without_end() {
    assert_eq!(import(model(nested(20)), u64::MAX), Ok(()));
    // The decoder allows 100 messages within each other, three for each body.
    let error = import(model(nested(40)), u64::MAX).unwrap_err();
    assert!(
        matches!(&error, Error::BadInput { reason, .. } if reason.contains("recursion limit")),
        "{error}"
    );
}

#[test]
fn functions_may_call_each_other_but_not_without_end() {
    // A chain of functions, each of which calls the next; the last one calls an operator.
    let chain = |count: usize| {
        let opsets = [("", 21), ("f", 1)]
            .map(|(domain, version)| OperatorSetIdProto { domain: domain.into(), version });
        let call = |place: usize, input: &str, output: &str| match place == count {
            true => node("Abs", &[input], output),
            false => NodeProto { domain: "f".into(), ..node(&format!("f{place}"), &[input], output) },
        };
        let function = |place: usize| FunctionProto {
            name: format!("f{place}"),
            domain: "f".into(),
            input: vec!["a".into()],
            output: vec!["b".into()],
            node: vec![call(place + 1, "a", "b")],
            opset_import: opsets.to_vec(),
            ..FunctionProto::default()
        };
        let graph = GraphProto {
            node: vec![call(0, "x", "y")],
            input: vec![value("x", &[2])],
            output: vec![value("y", &[2])],
            ..GraphProto::default()
        };
        let functions = (0..count).map(function).collect();
        ModelProto { graph: Some(graph), opset_import: opsets.to_vec(), functions, ..ModelProto::default() }
            .encode_to_vec()
    };
    assert_eq!(import(chain(100), u64::MAX), Ok(()));
    let error = import(chain(1000), u64::MAX).unwrap_err();
    assert!(error.to_string().contains("nested more than 100 levels deep"), "{error}");
}

#[test]
fn nodes_cost_memory() {
    let chain = |count: usize| {
        let name = |place: usize| match place {
            0 => "x".to_string(),
            place if place == count => "y".to_string(),
            place => format!("v{place}"),
        };
        let nodes = (0..count).map(|place| node("Neg", &[&name(place)], &name(place + 1))).collect();
        model(GraphProto { node: nodes, ..GraphProto::default() })
    };
    assert_eq!(import(chain(100), 1 << 20), Ok(()));
    let error = import(chain(10_000), 1 << 20).unwrap_err();
    assert!(
        matches!(&error, Error::BadInput { reason, .. } if reason.contains("the limit leaves only")),
        "{error}"
    );
}

#[test]
fn computed_constants_cost_memory() {
    // A range of 2¹⁶ numbers in 60 bytes of file, padded to 2²⁰ by a table of indices.
    let ints = |name: &str, values: &[i64]| TensorProto {
        name: name.into(),
        data_type: 7,
        dims: vec![values.len() as i64],
        int64_data: values.to_vec(),
        ..TensorProto::default()
    };
    let mode =
        AttributeProto { name: "mode".into(), r#type: 3, s: "wrap".into(), ..AttributeProto::default() };
    let graph = GraphProto {
        node: vec![NodeProto { attribute: vec![mode], ..node("Pad", &["x", "pads"], "y") }],
        initializer: vec![ints("pads", &[0, 1 << 20])],
        ..GraphProto::default()
    };
    assert_eq!(import(model(graph.clone()), 64 << 20), Ok(()));
    let error = import(model(graph), 4 << 20).unwrap_err();
    assert!(error.to_string().contains("node `y` (Pad)"), "{error}");
}

#[test]
fn cut_files_are_refused() {
    let bytes = model(GraphProto { node: vec![node("Abs", &["x"], "y")], ..GraphProto::default() });
    assert_eq!(import(bytes.clone(), u64::MAX), Ok(()));
    for end in 0..bytes.len() {
        // Some prefixes are models without nodes or operator sets; none may pass for the whole.
        let _ = import(bytes[..end].to_vec(), 1 << 20);
    }
    assert!(import(Vec::new(), u64::MAX).is_err());
    assert!(import(bytes[..bytes.len() / 2].to_vec(), u64::MAX).is_err());
}
