//! Functions as a whole: symbols, regions, states, custom calls, limits and errors.

use graven_ir::interp::{
    CustomCalls, EvalError, EvalErrorKind, Interpreter, Limits, SymbolValues, evaluate, evaluate_graph,
    evaluate_op,
};
use graven_ir::{ConstantId, Constants, DType, Module, Op, ReduceOp, ScatterOp, Tensor, text};

fn module(text: &str) -> Module {
    text::parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32s(shape.to_vec(), values).unwrap()
}

fn i64_scalar(value: i64) -> Tensor {
    Tensor::from_i64s(&[value]).reshaped(vec![]).unwrap()
}

fn run(module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    evaluate(module, "main", inputs)
}

fn values(module: &Module, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    run(module, inputs).unwrap_or_else(|error| panic!("{error}")).iter().map(Tensor::to_f64s).collect()
}

fn error(module: &Module, inputs: &[Tensor]) -> EvalErrorKind {
    run(module, inputs).unwrap_err().kind
}

const SYMBOLIC: &str = "
dim N in 1..=8
dim M in 0..=4
func @main(%x: f32[N, M], %y: f32[N]) -> (a: f32[N*M], b: f32[N - 1], c: i64[], d: i64[N], e: f32[2*N, M]) {
  %a = reshape %x {shape = [N*M]} : f32[N*M]
  %b = slice %y {start = [1], limit = [N], stride = [1]} : f32[N - 1]
  %c = extent {dim = N*M + 1} : i64[]
  %d = iota {shape = [N], axis = 0, dtype = i64} : i64[N]
  %e = concat %x, %x {axis = 0} : f32[2*N, M]
  return %a, %b, %c, %d, %e
}";

#[test]
fn symbols_are_bound_from_the_inputs() {
    let module = module(SYMBOLIC);
    let inputs = [f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]), f32s(&[3], &[7., 8., 9.])];
    let expected: [&[f64]; 5] = [
        &[1., 2., 3., 4., 5., 6.],
        &[8., 9.],
        &[7.],
        &[0., 1., 2.],
        &[1., 2., 3., 4., 5., 6., 1., 2., 3., 4., 5., 6.],
    ];
    assert_eq!(values(&module, &inputs), expected);
    let inputs = [f32s(&[1, 0], &[]), f32s(&[1], &[7.])];
    assert_eq!(values(&module, &inputs), [&[][..], &[], &[1.], &[0.], &[]]);
}

#[test]
fn bad_inputs() {
    let module = module(SYMBOLIC);
    let (x, y) = (f32s(&[3, 2], &[0.; 6]), f32s(&[3], &[0.; 3]));
    let other = f32s(&[2], &[0.; 2]);
    assert_eq!(
        error(&module, &[x.clone(), other]),
        EvalErrorKind::SymbolConflict { symbol: "N".into(), first: 3, second: 2 }
    );
    let wide = f32s(&[1, 5], &[0.; 5]);
    assert_eq!(
        error(&module, &[wide, f32s(&[1], &[0.])]),
        EvalErrorKind::SymbolBounds { symbol: "M".into(), value: 5, lower: 0, upper: 4 }
    );
    assert_eq!(error(&module, std::slice::from_ref(&x)), EvalErrorKind::InputCount { expected: 2, given: 1 });
    let integers = Tensor::from_i64s(&[1, 2, 3]);
    let wrong = run(&module, &[x.clone(), integers]).unwrap_err();
    assert_eq!(wrong.to_string(), "input `y` must be f32[N], not i64[3]");
    let wrong = run(&module, &[y.clone(), y.clone()]).unwrap_err();
    assert_eq!(wrong.to_string(), "input `x` must be f32[N, M], not f32[3]");
    let wrong = evaluate(&module, "train", &[x, y]).unwrap_err();
    assert_eq!(wrong.kind, EvalErrorKind::UnknownFunction("train".into()));
}

#[test]
fn input_extents_that_are_no_symbols_are_checked() {
    let module =
        module("dim N in 1..=8\nfunc @main(%x: f32[2*N], %y: f32[N]) -> (z: f32[2*N]) {\n return %x\n}");
    assert_eq!(values(&module, &[f32s(&[4], &[1.; 4]), f32s(&[2], &[0.; 2])]), [[1.; 4]]);
    assert!(matches!(
        error(&module, &[f32s(&[5], &[1.; 5]), f32s(&[2], &[0.; 2])]),
        EvalErrorKind::InputType { .. }
    ));
    // Nothing determines N here, so the graph can't be checked against its types.
    let alone = self::module(
        "dim N in 1..=8
         func @main(%x: f32[2*N]) -> (n: i64[]) {
           %n = extent {dim = N} : i64[]
           return %n
         }",
    );
    assert!(matches!(error(&alone, &[f32s(&[4], &[1.; 4])]), EvalErrorKind::UnboundExtent(_)));
}

#[test]
fn outputs_come_before_states() {
    let module = module(
        "func @main(%by: i64[]) -> (before: i64[]) state (%counter: i64[]) {
           %after = add %counter, %by : i64[]
           return %counter state %after
         }",
    );
    assert_eq!(values(&module, &[i64_scalar(5), i64_scalar(37)]), [[37.], [42.]]);
}

const FIBONACCI: &str = "
func @main(%n: i64[]) -> (a: i64[]) {
  %zero = constant 0 : i64[]
  %one = constant 1 : i64[]
  %i, %a, %b = while %zero, %zero, %one, %n {carried = 3, trip_limit = 90} : i64[], i64[], i64[] condition (%i: i64[], %a: i64[], %b: i64[], %n: i64[]) {
    %more = lt %i, %n : bool[]
    yield %more
  } body (%i: i64[], %a: i64[], %b: i64[], %n: i64[]) {
    %one = constant 1 : i64[]
    %next = add %i, %one : i64[]
    %sum = add %a, %b : i64[]
    yield %next, %b, %sum
  }
  return %a
}";

#[test]
fn while_carries_and_captures() {
    let module = module(FIBONACCI);
    for (n, expected) in [(0, 0.), (1, 1.), (10, 55.), (60, 1548008755920.), (-4, 0.)] {
        assert_eq!(values(&module, &[i64_scalar(n)]), [[expected]]);
    }
    assert!(run(&module, &[i64_scalar(90)]).is_ok());
    let error = run(&module, &[i64_scalar(91)]).unwrap_err();
    assert_eq!(error.kind, EvalErrorKind::TripLimit { limit: 90 });
    assert_eq!(error.to_string(), "while: the loop takes more than 90 trips");
}

#[test]
fn if_runs_one_region() {
    let module = module(
        "func @main(%flag: bool[], %x: f32[3], %i: i64[]) -> (y: f32[]) {
           %y = if %flag, %x, %i : f32[] then (%x: f32[3], %i: i64[]) {
             %y = gather %x, %i {axis = 0} : f32[]
             yield %y
           } else (%x: f32[3], %i: i64[]) {
             %y = reduce %x {combine = sum, axes = [0]} : f32[]
             yield %y
           }
           return %y
         }",
    );
    let bool_scalar = |value: u8| Tensor::new(DType::Bool, vec![], vec![value]).unwrap();
    let x = f32s(&[3], &[1., 2., 4.]);
    assert_eq!(values(&module, &[bool_scalar(1), x.clone(), i64_scalar(2)]), [[4.]]);
    assert_eq!(values(&module, &[bool_scalar(0), x.clone(), i64_scalar(9)]), [[7.]]);
    let error = run(&module, &[bool_scalar(1), x, i64_scalar(-1)]).unwrap_err();
    assert_eq!(error.kind, EvalErrorKind::IndexOutOfRange { index: -1, extent: 3 });
    assert_eq!(error.to_string(), "if: gather: the index -1 is outside 0..3");
}

fn scan(reverse: bool) -> Module {
    module(&format!(
        "dim T in 0..=16
         func @main(%h: f32[2], %s: f32[T, 2], %w: f32[2]) -> (h: f32[2], o: f32[T, 2], p: f32[T]) {{
           %h1, %o, %p = scan %h, %s, %w {{carried = 1, scanned = 1, length = T, reverse = {reverse}}} : f32[2], f32[T, 2], f32[T] body (%h: f32[2], %x: f32[2], %w: f32[2]) {{
             %decayed = mul %h, %w : f32[2]
             %next = add %decayed, %x : f32[2]
             %sum = reduce %x {{combine = sum, axes = [0]}} : f32[]
             yield %next, %next, %sum
           }}
           return %h1, %o, %p
         }}"
    ))
}

#[test]
fn scan_stacks_in_either_direction() {
    let inputs = [f32s(&[2], &[1., -1.]), f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]), f32s(&[2], &[0.5, 2.])];
    // h ← w·h + x: 1.5, 3.75, 6.875 and 0, 4, 14.
    let forward: [&[f64]; 3] = [&[6.875, 14.], &[1.5, 0., 3.75, 4., 6.875, 14.], &[3., 7., 11.]];
    assert_eq!(values(&scan(false), &inputs), forward);
    // From the last slice: 5.5, 5.75, 3.875 and 4, 12, 26.
    let backward: [&[f64]; 3] = [&[3.875, 26.], &[3.875, 26., 5.75, 12., 5.5, 4.], &[3., 7., 11.]];
    assert_eq!(values(&scan(true), &inputs), backward);
    let none = [f32s(&[2], &[1., -1.]), f32s(&[0, 2], &[]), f32s(&[2], &[0.5, 2.])];
    assert_eq!(values(&scan(false), &none), [&[1., -1.][..], &[], &[]]);
}

#[test]
fn fuse_means_its_region() {
    let module = module(
        "func @main(%x: f32[2], %y: f32[2]) -> (z: f32[2]) {
           %z = fuse %x, %y {kind = pointwise} : f32[2] body (%a: f32[2], %b: f32[2]) {
             %d = sub %a, %b : f32[2]
             %s = mul %d, %d : f32[2]
             yield %s
           }
           return %z
         }",
    );
    assert_eq!(values(&module, &[f32s(&[2], &[5., 1.]), f32s(&[2], &[2., 3.])]), [[9., 4.]]);
}

const CUSTOM: &str = "
dim N in 1..=8
func @main(%x: f32[N]) -> (y: f32[N], count: i64[]) {
  %y, %count = custom_call %x {target = \"double\", dtypes = [f32, i64], shapes = [[N], []]} : f32[N], i64[]
  return %y, %count
}";

#[test]
fn custom_calls_are_the_callers() {
    let module = module(CUSTOM);
    let x = f32s(&[2], &[1., 2.]);
    assert_eq!(error(&module, std::slice::from_ref(&x)), EvalErrorKind::UnknownCustomCall("double".into()));

    let double = |operands: &[Tensor]| {
        let doubled: Vec<f32> = operands[0].to_f64s().iter().map(|x| 2. * *x as f32).collect();
        vec![f32s(operands[0].shape(), &doubled), i64_scalar(doubled.len() as i64)]
    };
    let evaluate_with = |calls| {
        let interpreter = Interpreter::new(&module.constants).with_custom_calls(calls);
        interpreter.function(&module.functions[0], std::slice::from_ref(&x))
    };
    let mut calls = CustomCalls::new();
    calls.register("double", |operands, types| {
        assert_eq!(types.iter().map(ToString::to_string).collect::<Vec<_>>(), ["f32[2]", "i64[]"]);
        Ok(double(operands))
    });
    let results: Vec<_> = evaluate_with(calls).unwrap().iter().map(Tensor::to_f64s).collect();
    assert_eq!(results, [vec![2., 4.], vec![2.]]);

    let mut calls = CustomCalls::new();
    calls.register("double", |operands, _| Ok(double(operands)[..1].to_vec()));
    assert!(matches!(evaluate_with(calls).unwrap_err().kind, EvalErrorKind::CustomCall { .. }));
    let mut calls = CustomCalls::new();
    calls.register("double", |_, _| Err("out of paper".into()));
    let error = evaluate_with(calls).unwrap_err();
    assert_eq!(error.to_string(), "custom_call: the custom call `double` failed: out of paper");
}

#[test]
fn limits_stop_large_and_long_evaluations() {
    let fibonacci = module(FIBONACCI);
    let limited = |steps| {
        let interpreter = Interpreter::new(&fibonacci.constants);
        let interpreter = interpreter.with_limits(Limits { elements: 100, steps });
        interpreter.function(&fibonacci.functions[0], &[i64_scalar(80)]).map_err(|error| error.kind)
    };
    assert!(limited(100_000).is_ok());
    assert_eq!(limited(100), Err(EvalErrorKind::Limit { what: "steps", limit: 100 }));

    let large = module(
        "func @main() -> (y: f32[1000000, 1000000]) {\n %y = iota {shape = [1000000, 1000000], axis = 0, dtype = f32} : f32[1000000, 1000000]\n return %y\n}",
    );
    let expected = EvalErrorKind::Limit { what: "elements per tensor", limit: 1 << 31 };
    assert_eq!(error(&large, &[]), expected);

    // A small result from a long sum.
    let long = Tensor::new(DType::F32, vec![1, 1_000_000], vec![0; 4_000_000]).unwrap();
    let dot =
        Op::DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![1] };
    let constants = Constants::new();
    let interpreter =
        Interpreter::new(&constants).with_limits(Limits { elements: 1 << 20, steps: 2_500_000 });
    let error = interpreter.op(&dot, &[long.clone(), long], &[], &SymbolValues::new()).unwrap_err();
    assert_eq!(error.kind, EvalErrorKind::Limit { what: "steps", limit: 2_500_000 });
}

#[test]
fn ill_typed_ops_are_errors() {
    let x = f32s(&[2, 3], &[0.; 6]);
    let error = evaluate_op(&Op::Reduce { combine: ReduceOp::Sum, axes: vec![5] }, std::slice::from_ref(&x));
    assert!(matches!(error.unwrap_err().kind, EvalErrorKind::IllTyped(_)));
    assert!(matches!(evaluate_op(&Op::Silu, &[]).unwrap_err().kind, EvalErrorKind::IllTyped(_)));
    let missing = Op::Constant { id: ConstantId::from_u32(3) };
    assert!(matches!(evaluate_op(&missing, &[]).unwrap_err().kind, EvalErrorKind::IllTyped(_)));
}

#[test]
fn indices_are_checked() {
    let x = f32s(&[3, 2], &[0.; 6]);
    let out_of_range = |op: Op, operands: &[Tensor]| match evaluate_op(&op, operands).unwrap_err().kind {
        EvalErrorKind::IndexOutOfRange { index, extent } => (index, extent),
        other => panic!("{other}"),
    };
    let indices = Tensor::from_i64s(&[0, 3]);
    assert_eq!(out_of_range(Op::Gather { axis: 0 }, &[x.clone(), indices.clone()]), (3, 3));
    let column = indices.reshaped(vec![1, 2]).unwrap();
    assert_eq!(out_of_range(Op::GatherElements { axis: 0 }, &[x.clone(), column.clone()]), (3, 3));
    assert_eq!(out_of_range(Op::GatherNd { batch_dimensions: 0 }, &[x.clone(), column.clone()]), (3, 2));
    let negative = Tensor::from_i64s(&[-2]).reshaped(vec![1, 1]).unwrap();
    let combine = ScatterOp::Add;
    let updates = f32s(&[1, 2], &[0.; 2]);
    assert_eq!(out_of_range(Op::ScatterNd { combine }, &[x.clone(), negative.clone(), updates]), (-2, 3));
    let updates = f32s(&[1, 1], &[0.]);
    assert_eq!(out_of_range(Op::ScatterElements { axis: 1, combine }, &[x, negative, updates]), (-2, 2));
}

#[test]
fn graphs_with_given_symbols() {
    let module = module(SYMBOLIC);
    let mut symbols = SymbolValues::new();
    for (symbol, value) in module.symbols.iter().zip([2, 1]) {
        symbols.bind(symbol, value).unwrap();
    }
    let inputs = [f32s(&[2, 1], &[1., 2.]), f32s(&[2], &[3., 4.])];
    let graph = &module.functions[0].graph;
    let results = evaluate_graph(&module.constants, graph, &inputs, &symbols).unwrap();
    assert_eq!(results[1].to_f64s(), [4.]);
    let wrong = [f32s(&[2, 1], &[1., 2.]), f32s(&[3], &[3., 4., 5.])];
    assert!(evaluate_graph(&module.constants, graph, &wrong, &symbols).is_err());
}
