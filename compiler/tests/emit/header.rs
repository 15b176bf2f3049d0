//! Headers, compiled as C and C++.

use crate::{cc, run, write};
use graven::emit::descriptor::{WeightsFacts, state_bytes};
use graven::emit::header::header;
use graven::emit::identifier;
use graven::emit::object::ObjectFacts;
use graven::program::{Binding, Port, Program, SlotId, Step, Training};
use graven::target::Target;
use graven_ir::{DType, Dim, Symbol, Tensor, TensorType};
use std::process::Command;

const STRICT: &str = "-Wall -Wextra -Wpedantic -Werror";

fn port(name: &str, dtype: DType, shape: &[Dim]) -> Port {
    Port { name: name.into(), ty: TensorType::new(dtype, shape.iter().cloned()) }
}

fn text(program: &Program, embedded: bool) -> String {
    let target = Target::host().expect("a host");
    let weights = WeightsFacts { bytes: program.weights_bytes, hash: *b"0123456789abcdef", embedded };
    let facts = ObjectFacts { prefix: identifier::prefix(&program.name), code_bytes: 0, weights };
    header(program, &target, &facts)
}

/// The code in the comment with the example.
fn example(header: &str) -> String {
    let (_, comment) = header.split_once("/* Example").expect("an example");
    let (comment, _) = comment.split_once("*/").expect("the end of the example");
    comment.lines().skip(1).map(|line| line.trim_start_matches(" *").to_string() + "\n").collect()
}

/// Compiles a program that includes the header after and before others and has the example and the given assertions.
fn compile(program: &Program, embedded_weights: bool, assertions: &[String]) {
    let text = text(program, embedded_weights);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "model.h", &text);
    let headers = "#include <stddef.h>\n#include <stdlib.h>\n#include <errno.h>\n#include <math.h>\n#include <stdio.h>\n";
    let twice = format!("#include \"model.h\"\n{headers}#include \"model.h\"\n");
    let after = format!("{headers}#include \"model.h\"\n");
    write(folder.path(), "first.c", &twice);
    write(folder.path(), "after.c", &after);
    for (standard, file) in [
        ("-x c -std=c99", "first.c"),
        ("-x c -std=gnu17", "after.c"),
        ("-x c++ -std=c++11", "first.c"),
        ("-x c++ -std=gnu++20", "after.c"),
    ] {
        cc(folder.path(), &format!("-fsyntax-only {STRICT} {standard} {file}"));
    }
    let asserted: String =
        assertions.iter().map(|text| format!("_Static_assert({text}, \"layout\");\n")).collect();
    let prototype = if embedded_weights || program.weights_bytes == 0 { "void" } else { "const void *" };
    let code = format!("{after}{asserted}int32_t example({prototype});\n{}", example(&text));
    write(folder.path(), "example.c", &code);
    cc(folder.path(), &format!("-fsyntax-only {STRICT} -std=c11 example.c"));
}

/// Names as model files have them, and as an enemy would choose them.
const ODD: &[&str] = &[
    "x",
    "x",
    "input.1",
    "input/1",
    "input:1",
    "a b",
    "int",
    "class",
    "and",
    "NULL",
    "I",
    "linux",
    "SIZE_MAX",
    "int32_t",
    "float",
    "输入",
    "größe",
    "",
    "3d",
    "_x",
    "__x",
    "*/ int y; /*",
    "// x",
    "\\",
    "??/",
    "a\nb",
    "\u{202e}rtl",
    "\"quoted\"",
    "x_2",
    "io",
    "errno",
    "stdin",
    "ODD_ARENA_BYTES_",
    "M_PI",
    "signbit",
    "0",
    "/",
    "`",
    "#define x",
    "%s",
    "\u{0}",
];

fn odd(name: &str) -> Program {
    let dims = [Dim::from(&Symbol::new("N", 1, 4)), Dim::from(3i64)];
    let all = |dtype| ODD.iter().map(|name| port(name, dtype, &dims)).collect::<Vec<_>>();
    let mut symbols = vec![Symbol::new("N", 1, 4)];
    symbols.extend(ODD.iter().map(|name| Symbol::new(*name, 0, 9)));
    Program {
        name: name.into(),
        symbols,
        inputs: all(DType::F32),
        outputs: all(DType::I64),
        states: all(DType::U8),
        ..Program::default()
    }
}

#[test]
fn odd_names_compile() {
    let pointers = format!("sizeof(odd_io) == {} * sizeof(void *)", 2 * ODD.len());
    let state = format!("sizeof(odd_state) == {} * sizeof(void *)", ODD.len());
    let dims = format!("sizeof(odd_dims) == {} * sizeof(int64_t)", ODD.len() + 1);
    compile(&odd("odd"), true, &[pointers, state, dims, "offsetof(odd_io, x) == 0".into()]);
}

#[test]
fn train_steps_compile() {
    let initial = vec![Tensor::from_f32s(vec![17], &[0.5; 17]).expect("a tensor")];
    let training = Some(Training { initial, saved_states: 1, steps: 0 });
    compile(&Program { training: training.clone(), ..odd("odd") }, true, &[]);
    let states =
        vec![port("w", DType::F32, &[Dim::from(17i64)]), port("w.m", DType::F32, &[Dim::from(17i64)])];
    let program = Program { name: "step".into(), states, training, ..Program::default() };
    let sizes =
        ["STEP_INITIAL_STATE_BYTES == 128", "STEP_STATE_BYTES == 256", "STEP_STATE_W_M_OFFSET == 128"];
    compile(&program, true, &sizes.map(String::from));
}

#[test]
fn odd_model_names_compile() {
    for name in [
        "",
        "int",
        "graven",
        "graven_exec",
        "3",
        "a*/b",
        "模型",
        "stdint",
        "EOF",
        "??/\n",
        "\\",
        "x\u{202e}y",
    ] {
        let prefix = identifier::prefix(name);
        let inputs = vec![port("x", DType::F32, &[Dim::from(2i64)])];
        let program = Program { name: name.into(), inputs, ..Program::default() };
        compile(&program, true, &[format!("sizeof(&{prefix}_run) == 8")]);
    }
}

#[test]
fn every_type_has_its_size() {
    let inputs = DType::ALL.iter().map(|dtype| port(dtype.name(), *dtype, &[Dim::from(7i64)])).collect();
    let program = Program { name: "types".into(), inputs, ..Program::default() };
    let size = |dtype: &DType| {
        let name = match dtype {
            DType::Bool => "bool_",
            dtype => dtype.name(),
        };
        format!("sizeof(*((types_io *)0)->{name}) == {}", dtype.bytes())
    };
    compile(&program, true, &DType::ALL.iter().map(size).collect::<Vec<_>>());
    let text = text(&program, true);
    for line in [
        "const uint8_t *bool_;",
        "const uint16_t *f16;",
        "const uint16_t *bf16;",
        "const float *f32;",
        "const int64_t *i64;",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_model_with_nothing_compiles() {
    compile(
        &Program { name: "nothing".into(), ..Program::default() },
        true,
        &["nothing_ARENA_BYTES(3) == 0".to_uppercase()],
    );
}

#[test]
fn sizes_shapes_and_features_are_stated() {
    let (n, p) = (Symbol::new("N", 1, 32), Symbol::new("P", 0, 100));
    let mut program = Program {
        name: "net".into(),
        symbols: vec![n.clone(), p.clone()],
        arena_bytes: 128,
        scratch_bytes: 64,
        weights_bytes: 1000,
        ..Program::default()
    };
    let twice = Dim::from(&n) * 2;
    program.inputs = vec![port("x", DType::F32, &[Dim::from(&n), Dim::from(3i64)])];
    program.outputs = vec![
        port("y", DType::F16, &[twice.clone(), Dim::from(3i64)]),
        port("boxes", DType::I64, &[Dim::from(&p)]),
        port("again", DType::Bool, &[twice]),
    ];
    // The run sets P.
    let binding = Binding { symbol: 1, value: SlotId::from_u32(0), limits: Vec::new() };
    program.steps = vec![Step::Bind(binding)];
    program.states = vec![port("count", DType::I64, &[]), port("cache", DType::I32, &[Dim::from(20i64)])];
    assert_eq!(state_bytes(&program), 64 + 128);
    let assertions = [
        "NET_ARENA_BYTES(1) == 192 && NET_ARENA_BYTES(10) == 768",
        "NET_STATE_BYTES == 192 && NET_WEIGHTS_BYTES == 1000 && NET_EXTENT_COUNT == 1",
        "NET_OUTPUT_Y_BYTES == 384 && NET_INPUT_X_BYTES == 384",
        "sizeof(NET_WEIGHTS_HASH) == 33 && NET_ABI_VERSION == 1",
        "offsetof(net_io, y) == 8 && offsetof(net_dims, P) == 8",
    ];
    for embedded in [true, false] {
        compile(&program, embedded, &assertions.map(String::from));
    }
    let text = text(&program, true);
    for part in [
        "/* input \"x\": f32[N, 3] */",
        "/* \"N\", from 1 to 32, set by the caller */",
        "/* \"P\", from 0 to 100, set by the run */",
        " *   extents[0] = 2*N\n",
        "#define NET_WEIGHTS_HASH \"30313233343536373839616263646566\"",
        "int32_t net_check_cpu(void);",
        "extern const graven_model net_model;",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let features = Target::host().expect("a host").features.to_string();
    assert!(text.contains(&format!("#define NET_CPU_FEATURES \"{features}\"")), "{text}");
}

#[test]
fn headers_of_several_models_fit_together() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "a.h", &text(&odd("a"), true));
    write(folder.path(), "b.h", &text(&odd("b"), true));
    write(
        folder.path(),
        "both.c",
        "#include \"a.h\"\n#include \"b.h\"\nint main(void) { return sizeof(a_io) != sizeof(b_io); }\n",
    );
    cc(folder.path(), &format!("{STRICT} -std=c99 both.c -o both"));
    run(&mut Command::new(folder.path().join("both")));
}
