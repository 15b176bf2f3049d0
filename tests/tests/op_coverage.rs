//! Every op is evaluated, and run compiled, by a test file with values from elsewhere.

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

/// The ops of the test files that have a command and a result.
fn covered(command: &str) -> BTreeSet<&'static str> {
    let mut covered = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("files/ops")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        if text.contains(&format!("// test {command}\n")) && text.contains("\n// run: ") {
            let module = parse(&text).unwrap();
            module.functions.iter().for_each(|function| collect(&function.graph, &mut covered));
        }
    }
    covered
}

#[test]
fn every_op_is_evaluated() {
    let evaluated = covered("eval");
    let missing: Vec<&str> = Op::names().filter(|name| !evaluated.contains(name)).collect();
    assert!(missing.is_empty(), "no test file in files/ops evaluates {missing:?}");
}

/// Only calls of the application have no native lowering.
#[test]
fn every_op_runs_compiled() {
    let compiled = covered("jit");
    let runs = |name: &&str| compiled.contains(name) || *name == "custom_call";
    let missing: Vec<&str> = Op::names().filter(|name| !runs(name)).collect();
    assert!(missing.is_empty(), "no test file in files/ops runs {missing:?} compiled");
}
