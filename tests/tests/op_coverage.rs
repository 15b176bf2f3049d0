//! Every op is evaluated by a test file with values from elsewhere.

use graven_ir::text::parse;
use graven_ir::{Graph, Op};
use std::collections::BTreeSet;
use std::path::Path;

fn collect(graph: &Graph, names: &mut BTreeSet<&'static str>) {
    for (_, node) in graph.nodes() {
        names.insert(node.op.name());
        node.regions.iter().for_each(|region| collect(region, names));
    }
}

#[test]
fn every_op_is_evaluated() {
    let mut evaluated = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("files/ops")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        if text.contains("// test eval\n") && text.contains("\n// run: ") {
            let module = parse(&text).unwrap();
            module.functions.iter().for_each(|function| collect(&function.graph, &mut evaluated));
        }
    }
    let missing: Vec<&str> = Op::names().filter(|name| !evaluated.contains(name)).collect();
    assert!(missing.is_empty(), "no test file in files/ops evaluates {missing:?}");
}
