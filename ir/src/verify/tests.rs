use super::*;
use crate::{BinaryOp, Constant, GraphBuilder, UnaryOp};
use serde_json::{Value, json};

/// y = x · x + s, new state −s, for x, s: f32[N].
fn module() -> Module {
    let n = Symbol::new("N", 1, 32);
    let mut module = Module { symbols: vec![n.clone()], ..Module::default() };
    let mut builder = GraphBuilder::new(&mut module.constants);
    let ty = TensorType::new(DType::F32, [Dim::from(n)]);
    let (x, s) = (builder.param(ty.clone(), None), builder.param(ty, None));
    let square = builder.binary(BinaryOp::Mul, x, x).unwrap();
    let sum = builder.binary(BinaryOp::Add, square, s).unwrap();
    let negative = builder.unary(UnaryOp::Neg, s).unwrap();
    let graph = builder.finish(vec![sum, negative]);
    let names = |name: &str| vec![name.into()];
    let (inputs, outputs, states) = (names("x"), names("y"), names("s"));
    module.functions.push(Function { name: "main".into(), graph, inputs, outputs, states });
    module
}

/// The violations after a change of the graph as JSON.
fn broken(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut module = module();
    let mut json = serde_json::to_value(&module.functions[0].graph).unwrap();
    change(&mut json);
    module.functions[0].graph = serde_json::from_value(json).unwrap();
    messages(&module)
}

fn messages(module: &Module) -> Vec<String> {
    verify(module).unwrap_err().iter().map(VerifyError::to_string).collect()
}

#[test]
fn good_modules_pass() {
    assert_eq!(verify(&module()), Ok(()));
    assert_eq!(verify(&Module::default()), Ok(()));
}

#[test]
fn ids_must_exist_and_agree() {
    let unknown = broken(|graph| graph["nodes"]["elems"][0]["operands"][1] = json!(99));
    assert_eq!(unknown, ["function 0: node0: %99 does not exist in this graph"]);
    let unknown = broken(|graph| graph["results"][0] = json!(u32::MAX - 1));
    assert!(unknown[0].contains("does not exist"), "{unknown:?}");
    let moved = broken(|graph| graph["values"]["elems"][2]["definition"] = json!({"Param": 0}));
    assert!(moved[0].starts_with("function 0: %2: the definition Param(0)"), "{moved:?}");
    let twice = broken(|graph| graph["params"] = json!([0, 1, 1]));
    assert!(twice.iter().any(|message| message.contains("%1: the definition")), "{twice:?}");
}

#[test]
fn cycles_are_found() {
    let own = broken(|graph| graph["nodes"]["elems"][0]["operands"][0] = json!(2));
    assert_eq!(own, ["function 0: node0: the node depends on itself"]);
    let longer = broken(|graph| graph["nodes"]["elems"][0]["operands"][0] = json!(3));
    assert_eq!(longer, ["function 0: node0: the node depends on itself"]);
}

#[test]
fn types_must_be_the_inferred_ones() {
    let ty = broken(|graph| graph["values"]["elems"][3]["ty"]["dtype"] = json!("f64"));
    assert_eq!(ty, ["function 0: node1: result 0 is f64[N] but should be f32[N]"]);
    let op = broken(|graph| graph["nodes"]["elems"][2]["op"] = json!({"unary": "not"}));
    assert!(op[0].starts_with("function 0: node2: `not`: the operand must"), "{op:?}");
    let op =
        broken(|graph| graph["nodes"]["elems"][2]["op"] = json!({"sort": {"axis": 0, "descending": true}}));
    assert_eq!(op, ["function 0: node2: the node has 1 results but the op 2"]);
    let negative = broken(|graph| graph["values"]["elems"][0]["ty"]["shape"][0] = json!(-1));
    assert!(negative.iter().any(|message| message.contains("%0: ")), "{negative:?}");
}

#[test]
fn symbols_are_declared() {
    let mut undeclared = module();
    undeclared.symbols[0] = Symbol::new("N", 1, 33);
    assert_eq!(messages(&undeclared).len(), 5);
    assert!(messages(&undeclared)[0].contains("%0: the symbol `N` in 1..=32 is not declared so"));
    let mut bounds = module();
    bounds.symbols.push(Symbol::new("M", -1, 3));
    bounds.symbols.push(Symbol::new("M", 5, 3));
    let expected = ["there are two symbols named `M`", "the bounds -1..=3", "the bounds 5..=3"];
    let found = messages(&bounds);
    assert!(found.iter().zip(expected).all(|(message, part)| message.contains(part)), "{found:?}");
}

#[test]
fn signatures_and_names() {
    let mut names = module();
    names.functions[0].inputs.push("s".into());
    let expected = ["two inputs and states named `s`", "2 parameters have 3 names"];
    let found = messages(&names);
    assert!(found.iter().zip(expected).all(|(message, part)| message.contains(part)), "{found:?}");

    let mut state = module();
    let graph = &mut state.functions[0].graph;
    graph.add_param(TensorType::scalar(DType::F32), None);
    state.functions[0].inputs.push("z".into());
    assert_eq!(messages(&state), ["function 0: the state `s` is f32[] before and f32[N] after"]);

    let mut repeated = module();
    repeated.functions.push(repeated.functions[0].clone());
    for _ in 0..2 {
        repeated.constants.push(Constant { name: "w".into(), tensor: Tensor::from_i64s(&[1]) });
        repeated.constants.push(Constant { name: "".into(), tensor: Tensor::from_i64s(&[1]) });
    }
    assert_eq!(
        messages(&repeated),
        ["there are two functions named `main`", "there are two constants named `w`"]
    );
}

#[test]
fn regions_are_graphs_too() {
    let mut module = module();
    let graph = &mut module.functions[0].graph;
    let nodes = graph.order();
    crate::patch::outline(graph, &mut module.constants, &nodes, crate::FusionKind::Pointwise).unwrap();
    graph.compact();
    assert_eq!(verify(&module), Ok(()));
    let fused = module.functions[0].graph.order()[0];
    let region = &mut module.functions[0].graph.regions_mut(fused)[0];
    let result = region.results()[0];
    region.operands_mut(NodeId::from_u32(0))[0] = result;
    assert_eq!(messages(&module), ["function 0: region 0 of node0: node0: the node depends on itself"]);
}

#[test]
fn constants_hold_elements() {
    let with = |dtype, bytes: &[u8]| {
        let tensor = Tensor::new(dtype, vec![bytes.len()], bytes.to_vec()).unwrap();
        let mut module = Module::default();
        module.constants.push(Constant { name: "c".into(), tensor });
        module
    };
    for (dtype, good) in [
        (DType::Bool, [0, 1, 1]),
        (DType::U4, [0, 7, 15]),
        (DType::I4, [0xf8, 7, 0xff]),
        (DType::I8, [128, 2, 255]),
    ] {
        assert_eq!(verify(&with(dtype, &good)), Ok(()));
    }
    for (dtype, bad) in
        [(DType::Bool, 2), (DType::Bool, 255), (DType::U4, 16), (DType::I4, 8), (DType::I4, 0xf7)]
    {
        let expected = format!("@0: element 1 of `c` has the byte {bad:#04x}, which is no {dtype}");
        assert_eq!(messages(&with(dtype, &[1, bad, bad])), [expected]);
    }
}

#[test]
fn symbols_are_bound_once_and_outside_of_regions() {
    let with = |body: &str| {
        let text = format!(
            "dim N in 0..=4\ndim M in 0..=4\nfunc @main(%n: i64[], %x: f32[4], %m: f32[M]) -> (y: f32[]) {{\n{body}}}\n"
        );
        verify(&crate::text::parse(&text).unwrap())
    };
    let bind = "  %a = bind_extent %n, %x {symbol = N, axes = [0]} : f32[N]\n";
    let sum = "  %s = reduce %a {combine = sum, axes = [0]} : f32[]\n  return %s\n";
    assert_eq!(with(&format!("{bind}{sum}")), Ok(()));
    let reasons =
        |body: &str| with(body).unwrap_err().into_iter().map(|error| error.violation).collect::<Vec<_>>();
    let broken = |name: &str, reason| vec![Violation::Binding { name: name.into(), reason }];
    let twice = format!("{bind}  %b = bind_extent %n, %x {{symbol = N, axes = [0]}} : f32[N]\n{sum}");
    assert_eq!(reasons(&twice), broken("N", "which another node binds"));
    let param = bind.replace("symbol = N", "symbol = M").replace("f32[N]", "f32[M]");
    assert_eq!(reasons(&format!("{param}{sum}")), broken("M", "which is an extent of a parameter"));
    let own =
        "  %e = extent {dim = N} : i64[]\n  %a = bind_extent %e, %x {symbol = N, axes = [0]} : f32[N]\n";
    assert_eq!(reasons(&format!("{own}{sum}")), broken("N", "which its operands depend on"));
    let region = format!(
        "  %s = scan %n, %x {{carried = 0, scanned = 0, length = 1, reverse = false}} : f32[1] body (%n: i64[], %x: f32[4]) {{\n{}    %r = reduce %a {{combine = sum, axes = [0]}} : f32[]\n    yield %r\n  }}\n  %t = reshape %s {{shape = []}} : f32[]\n  return %t\n",
        bind.replace("  %a", "    %a")
    );
    assert_eq!(reasons(&region), broken("N", "but only a function's own graph may bind extents"));
}
