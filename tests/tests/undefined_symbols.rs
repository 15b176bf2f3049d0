//! Objects of every op and dtype for every target refer to nothing outside.

use graven::api::{Compiler, Options, Product};
use graven_ir::text::parse;
use graven_ir::verify::verify;
use graven_ir::{DType, Module, Op};
use object::{Object, ObjectSymbol};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Triples, with the CPU where it is not the base of the architecture.
const TARGETS: &[(&str, Option<&str>)] = &[
    ("x86_64-unknown-linux-gnu", Some("x86-64-v1")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v2")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v3")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v4")),
    ("aarch64-unknown-linux-gnu", None),
    ("x86_64-apple-darwin", None),
    ("aarch64-apple-darwin", None),
    ("x86_64-pc-windows-msvc", None),
    ("riscv64gc-unknown-linux-gnu", None),
    ("s390x-unknown-linux-gnu", None),
];

/// Dtypes that take the place of a file's first one.
const OTHERS: &[DType] =
    &[DType::F64, DType::F16, DType::BF16, DType::I8, DType::U8, DType::I32, DType::U64, DType::Bool];

/// Objects have no inputs and outputs of 4 bits, but what is between may have.
const FOUR_BITS: &str = "func @main(%x: i8[9]) -> (y: i8[9], z: u8[9]) {
  %i = cast %x {to = i4}
  %j = neg %i
  %k = add %j, %i
  %y = cast %k {to = i8}
  %u = bitcast %i {to = u4}
  %n = not %u
  %z = cast %n {to = u8}
  return %y, %z
}";

/// Whether a module can be an object: neither 4-bit inputs and outputs nor calls of the application, which have no lowering.
fn is_object(module: &Module) -> bool {
    let Some(function) = module.functions.first() else { return false };
    let graph = &function.graph;
    let mut ports = graph.params().iter().chain(graph.results()).map(|value| graph.ty(*value).dtype);
    let calls = graph.nodes().any(|(_, node)| matches!(node.op, Op::CustomCall { .. }));
    !calls && !ports.any(|dtype| matches!(dtype, DType::I4 | DType::U4))
}

/// The test files of single ops; each with other dtypes where that makes a graph.
fn modules() -> Vec<(String, Module)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("files/ops");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut modules = vec![("four bits".to_owned(), parse(FOUR_BITS).unwrap())];
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let module = parse(&text).unwrap();
        let first = first_dtype(&module);
        for other in OTHERS {
            // Words are replaced as text: what is no graph then was none of that dtype.
            let Some(first) = first.filter(|first| first != other) else { continue };
            if let Some(module) =
                parse(&replace_word(&text, first.name(), other.name())).ok().filter(|m| verify(m).is_ok())
            {
                modules.push((format!("{name} of {other}"), module));
            }
        }
        modules.push((name, module));
    }
    modules.retain(|(_, module)| is_object(module));
    modules
}

/// The dtype of the first parameter.
fn first_dtype(module: &Module) -> Option<DType> {
    let graph = &module.functions.first()?.graph;
    graph.params().first().map(|value| graph.ty(*value).dtype)
}

fn replace_word(text: &str, from: &str, to: &str) -> String {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut result = String::new();
    let mut rest = text;
    while let Some(place) = rest.find(from) {
        let (before, after) = (&rest[..place], &rest[place + from.len()..]);
        let whole = !is_word(before.as_bytes().last()) && !is_word(after.as_bytes().first());
        result.push_str(before);
        result.push_str(if whole { to } else { from });
        rest = after;
    }
    result + rest
}

/// The undefined symbols of a module's object.
fn undefined(
    module: &Module,
    (triple, cpu): (&str, Option<&str>),
    path: &Path,
) -> Result<Vec<String>, String> {
    let options = Options {
        target: Some(triple.into()),
        cpu: cpu.map(String::from),
        threads: Some(1),
        ..Options::default()
    };
    let model = Compiler::new(options).module(module.clone());
    model.write(Product::Object, path).map_err(|error| error.to_string())?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let file = object::File::parse(bytes.as_slice()).map_err(|error| error.to_string())?;
    let defined = file.symbols().filter(ObjectSymbol::is_definition).count();
    if defined < 3 {
        return Err(format!("the object defines {defined} symbols only"));
    }
    let undefined = file.symbols().filter(ObjectSymbol::is_undefined);
    let names = undefined.map(|symbol| symbol.name().unwrap_or("?").to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

#[test]
fn objects_have_no_undefined_symbols() {
    let modules = modules();
    assert!(modules.len() > 200, "{} modules", modules.len());
    let failures: Vec<String> = std::thread::scope(|scope| {
        let check = |target: (&'static str, Option<&'static str>)| {
            let folder = tempfile::tempdir().unwrap();
            let mut failures = Vec::new();
            for (name, module) in &modules {
                match undefined(module, target, &folder.path().join("m.o")) {
                    Ok(symbols) if symbols.is_empty() => {}
                    other => failures.push(format!("{name} for {target:?}: {other:?}")),
                }
            }
            failures
        };
        let threads: Vec<_> = TARGETS.iter().map(|target| scope.spawn(move || check(*target))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// The same by the tool that users have.
#[test]
#[cfg(target_os = "linux")]
fn nm_finds_no_undefined_symbols() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.o");
    let (_, module) = modules().into_iter().find(|(name, _)| name == "softmax").unwrap();
    undefined(&module, ("x86_64-unknown-linux-gnu", None), &path).unwrap();
    match Command::new("nm").arg("-u").arg(&path).output() {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        }
        Err(error) => eprintln!("skipped: nm: {error}"),
    }
}
