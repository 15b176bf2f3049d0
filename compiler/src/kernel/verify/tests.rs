//! Rules that no text can break: kernels that are changed after parsing. The other rules are broken in `tests/files/kernels/errors_*.kir`.

use super::bounds::{Verdict, analyze};
use super::{VerifyErrorKind, VerifyLimits, verify};
use crate::kernel::text::parse;
use crate::kernel::{Binary, BufferId, Carried, Horizontal, If, Kernel, KernelOp, Stmt, Type, Val};
use cranelift_entity::EntityRef;
use graven_ir::{DType, Dim, Symbol};

/// Statements 0 and 1 are the constants 0 and 8, then come a load, a loop with a store, and a branch.
const SOURCE: &str =
    "kernel @k(%x: read f32[8], %y: write f32[8], %s: scratch f32[8]) extents(N in 0..=8, M in 0..=8) {
  a: f32 = load %x[0 + 0]
  b = for i in 0..8 carry c = a {
    d: f32 = load %x[i]
    e = add c, d
    store e, %y[i]
    yield e
  }
  t = lt a, b
  r = if t {
    yield a
  } else {
    yield b
  }
  u = add r, a
  store u, %y[0]
}";

fn kernel() -> Kernel {
    parse(SOURCE).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The messages after a change.
fn broken(change: impl FnOnce(&mut Kernel)) -> Vec<String> {
    let mut kernel = kernel();
    change(&mut kernel);
    let errors = verify(&kernel, &VerifyLimits::NONE).expect_err("the change is noticed");
    errors.iter().map(ToString::to_string).collect()
}

/// The statements of the outermost block from the first load on.
fn stmts(kernel: &mut Kernel) -> &mut [Stmt] {
    let first = kernel.body.stmts.iter().position(|stmt| matches!(stmt, Stmt::Load { .. })).unwrap();
    &mut kernel.body.stmts[first..]
}

fn nest(kernel: &mut Kernel) -> &mut crate::kernel::For {
    match &mut stmts(kernel)[1] {
        Stmt::For(nest) => nest,
        other => panic!("{other:?}"),
    }
}

fn branch(kernel: &mut Kernel) -> &mut If {
    match &mut stmts(kernel)[3] {
        Stmt::If(branch) => branch,
        other => panic!("{other:?}"),
    }
}

fn some(messages: &[String], part: &str) {
    assert!(messages.iter().any(|message| message.contains(part)), "no `{part}` in {messages:?}");
}

#[test]
fn the_kernel_is_valid() {
    assert_eq!(verify(&kernel(), &VerifyLimits::NONE), Ok(()));
}

#[test]
fn buffers_exist_and_differ() {
    let twice = broken(|kernel| kernel.buffers[BufferId::new(1)].name = "x".into());
    assert_eq!(twice, ["kernel: two buffers are named `x`"]);
    let missing = broken(|kernel| match &mut stmts(kernel)[0] {
        Stmt::Load { address, .. } => address.buffer = BufferId::new(9),
        other => panic!("{other:?}"),
    });
    some(&missing, "there is no such buffer");
}

#[test]
fn extents_are_distinct_indices() {
    let twice = broken(|kernel| kernel.extents[1].0 = Symbol::new("N", 0, 8));
    assert_eq!(twice, ["kernel: two run-time extents are named `N`"]);
    let typed = broken(|kernel| {
        let value = kernel.extents[1].1;
        kernel.values[value] = Type::scalar(DType::I32);
    });
    assert_eq!(typed, ["kernel: the run-time extent `M` is no i64 scalar"]);
}

#[test]
fn values_are_defined_once_before_their_uses() {
    let unknown = broken(|kernel| nest(kernel).body.yields[0] = Val::new(999));
    some(&unknown, "v999 has no entry in the kernel's values");
    let twice = broken(|kernel| {
        let load = stmts(kernel)[0].clone();
        kernel.body.stmts.push(load);
    });
    some(&twice, "is defined twice");
    let early = broken(|kernel| {
        let last = kernel.body.stmts.len() - 2;
        let sum = kernel.body.stmts.remove(last);
        kernel.body.stmts.insert(0, sum);
    });
    some(&early, "is used, but not defined before");
    let outside = broken(|kernel| {
        let param = nest(kernel).carried[0].param;
        match stmts(kernel) {
            [.., Stmt::Op { args, .. }, _] => args[1] = param,
            other => panic!("{other:?}"),
        }
    });
    some(&outside, "is used outside of the block that defines it");
}

#[test]
fn operations_have_their_operands() {
    let count = broken(|kernel| match stmts(kernel) {
        [.., Stmt::Op { args, .. }, _] => drop(args.pop()),
        other => panic!("{other:?}"),
    });
    some(&count, "`add` takes 2 operands, not 1");
    let operands = broken(|kernel| match stmts(kernel) {
        [.., Stmt::Op { op, .. }, _] => *op = KernelOp::Binary(Binary::Xor),
        other => panic!("{other:?}"),
    });
    some(&operands, "`xor` takes two values of integers or masks of one type, not f32, f32");
    let result = broken(|kernel| {
        let sum = match stmts(kernel) {
            [.., Stmt::Op { result, .. }, _] => *result,
            other => panic!("{other:?}"),
        };
        kernel.values[sum] = Type::scalar(DType::F64);
    });
    some(&result, "the result must be f32, not f64");
    let lanes = broken(|kernel| match stmts(kernel) {
        [.., Stmt::Op { op, args, .. }, _] => {
            *op = KernelOp::Reduce(Horizontal::Add);
            args.truncate(1);
        }
        other => panic!("{other:?}"),
    });
    some(&lanes, "`reduce` takes numbers in more than one lane, not f32");
}

#[test]
fn blocks_yield_what_is_carried() {
    let few = broken(|kernel| nest(kernel).body.yields.clear());
    some(&few, "the block yields 0 values instead of 1");
    let many = broken(|kernel| {
        let yielded = branch(kernel).otherwise.yields[0];
        branch(kernel).otherwise.yields.push(yielded);
    });
    some(&many, "the block yields 2 values instead of 1");
    let outermost = broken(|kernel| {
        let value = kernel.extents[0].1;
        kernel.body.yields.push(value);
    });
    assert_eq!(outermost, ["kernel: the block yields 1 values instead of 0"]);
    let parameter = broken(|kernel| {
        let param = nest(kernel).carried[0].param;
        kernel.values[param] = Type::scalar(DType::F64);
    });
    some(&parameter, "the parameter of a carried value must be f32, not f64");
    let result = broken(|kernel| {
        let result = nest(kernel).carried[0].result;
        kernel.values[result] = Type::scalar(DType::F64);
    });
    some(&result, "the result of a carried value must be f32, not f64");
}

#[test]
fn parallel_loops_carry_nothing() {
    let messages = broken(|kernel| nest(kernel).parallel = true);
    some(&messages, "a parallel loop carries no values");
    let kind = |message: &String| message.contains("beside a parallel loop there may be no");
    assert_eq!(messages.iter().filter(|message| kind(message)).count(), 2, "{messages:?}");
}

#[test]
fn loop_variables_are_indices() {
    let messages = broken(|kernel| {
        let var = nest(kernel).var;
        kernel.values[var] = Type::scalar(DType::I32);
    });
    some(&messages, "the variable of a loop must be i64, not i32");
}

/// Every violation is reported, each at its statement.
#[test]
fn all_violations_are_collected() {
    let messages = broken(|kernel| {
        nest(kernel).step = 0;
        nest(kernel).carried.push(Carried { init: Val::new(999), param: Val::new(0), result: Val::new(1) });
        branch(kernel).then.yields.clear();
    });
    some(&messages, "the step of a loop must be at least 1, not 0");
    some(&messages, "v999 has no entry");
    some(&messages, "the block yields 0 values instead of 1");
    assert!(messages.len() > 3, "{messages:?}");
    let place = messages.iter().find(|message| message.contains("the step")).unwrap();
    let text = place.split(':').next().unwrap();
    assert_eq!(text.parse::<usize>().ok(), Some(kernel().body.stmts.len() - 5), "{place}");
}

/// What the bounds analysis says of single accesses, whose index is an expression in a loop over `0..N` and extents 1 ≤ N ≤ 8, 0 ≤ M ≤ 8.
#[test]
fn bounds_are_judged() {
    let judge = |size: &str, index: &str, access: &str| {
        let text = format!(
            "kernel @k(%x: read f32[{size}], %at: read i64[1]) extents(N in 1..=8, M in 0..=8) {{
  at: i64 = load %at[0]
  n8 = mul N, 8
  for i in 0..N {{
    i8 = mul i, 8
    down = sub N, i
    half = shr i, 1
    low = and i, 3
    r: f32x4 = load %x[{index}]{access}
  }}
}}"
        );
        let kernel = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        analyze(&kernel)[1].verdict
    };
    use Verdict::{Inside, Outside, Unknown};
    for (size, index, access, expected) in [
        ("N + 3", "i", "", Inside),
        ("N + 2", "i", "", Outside),
        ("8*N", "i8 + 4", "", Inside),
        ("8*N", "i8 + 5", "", Outside),
        ("8*N", "i8 + 7", " broadcast", Inside),
        ("8*N", "i8 + 7", " stride -2", Inside),
        ("8*N", "i8 + 2", " stride -1", Outside),
        ("N + 4", "down", "", Inside),
        ("N + 3", "down", "", Outside),
        ("7", "half", "", Inside),
        ("7", "low", "", Inside),
        ("6", "low", "", Unknown),
        ("100", "at", "", Unknown),
        ("8", "M", "", Unknown),
        ("12", "M", "", Inside),
    ] {
        assert_eq!(judge(size, index, access), expected, "{index} of {size}{access}");
    }
}

#[test]
fn sizes_may_depend_on_unknown_dims() {
    let mut kernel = kernel();
    kernel.buffers[BufferId::new(0)].elements = Dim::from(Symbol::new("K", 8, 100));
    assert_eq!(verify(&kernel, &VerifyLimits::NONE), Ok(()));
    kernel.buffers[BufferId::new(0)].elements = Dim::from(Symbol::new("K", 1, 7));
    let errors = verify(&kernel, &VerifyLimits::NONE).unwrap_err();
    assert!(
        errors.iter().all(|error| matches!(error.kind, VerifyErrorKind::OutOfBounds { .. })),
        "{errors:?}"
    );
}
