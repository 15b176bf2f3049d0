//! Round trips, and what is refused.

use super::*;
use crate::element::ElementBytes;
use crate::verify::verify;
use crate::weights::{WeightsFile, write_weights};
use crate::{Constant, DType, Module, Tensor, text};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

fn read(json: &str) -> Result<Module, JsonError> {
    from_str(json, &ReadOptions::default())
}

fn write(module: &Module) -> String {
    to_string(module, &WriteOptions::default()).unwrap().json
}

/// The valid modules among the test files.
fn modules() -> Vec<(PathBuf, Module)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/files")];
    let mut modules = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "gir")
                && let Ok(module) = text::parse(&std::fs::read_to_string(&path).unwrap())
                && verify(&module).is_ok()
            {
                modules.push((path, module));
            }
        }
    }
    modules
}

#[test]
fn every_test_file_survives() {
    let modules = modules();
    assert!(modules.len() > 80, "{}", modules.len());
    for (path, mut module) in modules {
        let json = write(&module);
        let again = read(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(again.to_string(), module.to_string(), "{}", path.display());
        assert_eq!(write(&again), json, "{}", path.display());
        // The order of constants without names is that of their declaration in JSON, of their use after compacting.
        let mut compact = again.clone();
        compact.compact();
        module.compact();
        assert_eq!(compact, module, "{}", path.display());
    }
}

/// A module with one constant.
fn constant(tensor: Tensor) -> Module {
    let mut module = Module::default();
    module.constants.push(Constant { name: "c".into(), tensor });
    module
}

#[test]
fn bits_survive() {
    let patterns: &[u64] = &[
        0,
        1,
        0x7fff_ffff,
        0x8000_0000,
        0x7f80_0001,
        0xffc0_0000,
        0x3dcc_cccd,
        0x7ff0_0000_0000_0001,
        0x8000_0000_0000_0000,
        0x3fb9_9999_9999_999a,
        u64::MAX,
        0x0010_0000_0000_0000,
        0x7e01,
        0x2e66,
    ];
    for dtype in DType::ALL.iter().copied().filter(|dtype| dtype.bits() >= 8 && *dtype != DType::Bool) {
        let bytes: Vec<u8> =
            patterns.iter().flat_map(|bits| bits.to_le_bytes()[..dtype.bytes()].to_vec()).collect();
        let module = constant(Tensor::new(dtype, vec![patterns.len()], bytes).unwrap());
        assert_eq!(read(&write(&module)).unwrap(), module, "{dtype}");
    }
    for (dtype, values) in [(DType::Bool, [0, 1]), (DType::I4, [0xf8, 7]), (DType::U4, [0, 15])] {
        let module = constant(Tensor::new(dtype, vec![2], values.to_vec()).unwrap());
        assert_eq!(read(&write(&module)).unwrap(), module, "{dtype}");
    }
}

#[test]
fn elements_are_what_they_look_like() {
    let bytes = |dtype, json: Json| element::read(dtype, &json);
    let of = |bytes: &[u8]| Some(ElementBytes::from_slice(bytes));
    assert_eq!(bytes(DType::F32, json!("0.1")), of(&0.1f32.to_le_bytes()));
    assert_eq!(bytes(DType::F64, json!("-inf")), of(&f64::NEG_INFINITY.to_le_bytes()));
    assert_eq!(bytes(DType::U64, json!(u64::MAX)), of(&[255; 8]));
    assert_eq!(bytes(DType::I8, json!(-128)), of(&[128]));
    assert_eq!(bytes(DType::Bool, json!(true)), of(&[1]));
    for (dtype, json) in [
        (DType::I8, json!(128)),
        (DType::U8, json!(-1)),
        (DType::F32, json!(0.1)),
        (DType::F32, json!("0.1 0.2")),
        (DType::F32, json!("zero")),
        (DType::Bool, json!(1)),
        (DType::I64, json!("1")),
        (DType::I64, json!(1.5)),
    ] {
        assert_eq!(bytes(dtype, json.clone()), None, "{dtype} {json}");
    }
}

#[test]
fn large_constants_stand_in_a_file() {
    let values: Vec<f32> = (0..100).map(|i| i as f32 / 7.0).collect();
    let mut module = constant(Tensor::from_f32s(vec![10, 10], &values).unwrap());
    let small = Tensor::from_i64s(&[1, 2]);
    module.constants.push(Constant { name: "small".into(), tensor: small });
    let written = to_string(&module, &WriteOptions { file: Some("w.safetensors"), ..Default::default() });
    let written = written.unwrap();
    assert_eq!(written.external.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let tensors = written.external.iter().map(|(key, id)| (key.as_str(), &module.constants[*id].tensor));
    write_weights(&path, &tensors.collect::<Vec<_>>()).unwrap();
    let reader = |name: &str, key: &str| {
        let file = WeightsFile::parse(std::fs::read(folder.path().join(name)).unwrap()).unwrap();
        file.tensor(key).map_err(|error| error.to_string())
    };
    let options = ReadOptions { weights: Some(&reader), ..ReadOptions::default() };
    assert_eq!(from_str(&written.json, &options).unwrap(), module);
    let error = read(&written.json).unwrap_err();
    assert_eq!(error.to_string(), "constant 0 `c`: stands in a file, which can't be read here");
    let other = written.json.replace("\"f32\"", "\"i32\"");
    assert!(from_str(&other, &options).unwrap_err().to_string().contains("is f32[10, 10] in the file"));
}

/// The example of the text form.
const MODULE: &str = "dim N in 1..=8

func @main(%x: f32[N, 2]) -> (y: f32[N, 2]) {
  %1 = neg %x : f32[N, 2]
  %2 = reshape %1 {shape = [2*N]} : f32[2*N]
  %3 = reshape %2 {shape = [N, 2]} : f32[N, 2]
  return %3
}
";

#[test]
fn errors_name_their_place() {
    let json: Json = serde_json::from_str(&write(&text::parse(MODULE).unwrap())).unwrap();
    let refused = |pointer: &str, value: Json| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        read(&json.to_string()).unwrap_err().to_string()
    };
    let node = "/functions/0/graph/nodes/1";
    let at = |field: &str| format!("{node}/{field}");
    let place = "function `main`, node 1 `reshape`";
    assert_eq!(
        refused(&at("operands/0"), json!(2)),
        format!("{place}: there is no value 2 before this place")
    );
    assert_eq!(
        refused(&at("results/0/shape/0"), json!(3)),
        format!("{place}: the result is f32[2*N], not f32[3]")
    );
    assert_eq!(
        refused(&at("attributes/shape"), json!(["x"])),
        format!("{place}: the attribute `shape` of `reshape` must be a list of extents")
    );
    assert!(refused(&at("attributes/shape/0"), json!({"dim": "M"})).contains("`M` is no extent"));
    assert!(refused(&at("attributes/shape/0"), json!({"dim": "N N"})).contains("`N N` is no extent"));
    assert!(refused(&at("op"), json!("fly")).contains("there is no op `fly`"));
    assert!(refused("/version", json!(2)).contains("version 2"));
    assert!(refused("/symbols/0/lower", json!(9)).contains("9..=8"));
    assert!(
        refused("/functions/0/graph/results/0", json!(7)).starts_with("function `main`: there is no value 7")
    );
    let error = read("{\n  \"format\": 3}").unwrap_err();
    assert!(error.place.starts_with("2:"), "{error}");
    assert!(read(&"[".repeat(100_000)).is_err());
}

#[test]
fn sizes_are_bounded() {
    let splat = |shape: Json| {
        let constant = json!({ "dtype": "f32", "shape": shape, "splat": "0.0" });
        let module = json!({ "format": "graven", "version": 1, "constants": [constant], "functions": [] });
        read(&module.to_string())
    };
    assert!(splat(json!([2, 3])).is_ok());
    for shape in [json!([1u64 << 40]), json!([u64::MAX, u64::MAX]), json!([1u64 << 63, 2])] {
        assert!(splat(shape).unwrap_err().reason.contains("too much memory"));
    }
}

#[test]
fn nesting_is_bounded_alike_for_writing_and_reading() {
    let nested = |depth: usize| {
        let mut text = "    yield %x\n".to_string();
        for _ in 0..depth {
            text = format!(
                "    %r = if %c, %c, %x then (%c: bool[], %x: f32[]) {{\n{text}    }} else (%c: bool[], %x: f32[]) {{\n      yield %x\n    }}\n    yield %r\n"
            );
        }
        let text = text.trim_end().strip_suffix("yield %r").unwrap_or(&text).to_string();
        text::parse(&format!("func @main(%c: bool[], %x: f32[]) -> (y: f32[]) {{\n{text}\n  return %r\n}}\n"))
    };
    let module = nested(MAX_REGION_DEPTH).unwrap();
    assert_eq!(read(&write(&module)).unwrap().to_string(), module.to_string());
    assert!(to_string(&nested(MAX_REGION_DEPTH + 1).unwrap(), &WriteOptions::default()).is_err());
}
