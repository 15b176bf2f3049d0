//! The interpreter against results computed elsewhere.
//!
//! `reference/make.py` writes the cases with numpy, mpmath and torch: one file per family in `reference/data`, one case per line.

use graven_ir::interp::{EvalError, evaluate, evaluate_op};
use graven_ir::{Attribute, DType, Dim, Op, Tensor, text};
use serde_json::Value;

fn attribute(value: &Value) -> Attribute {
    match value {
        Value::Bool(value) => Attribute::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Attribute::Dim(Dim::from(integer)),
            None => Attribute::Real(number.as_f64().unwrap()),
        },
        Value::String(word) => Attribute::Word(word.clone()),
        Value::Array(items) => Attribute::List(items.iter().map(attribute).collect()),
        other => panic!("{other} is no attribute"),
    }
}

fn op(case: &Value) -> Op {
    let attributes = case["attributes"].as_object().unwrap();
    let attributes: Vec<_> =
        attributes.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
    Op::from_attributes(case["op"].as_str().unwrap(), &attributes).unwrap()
}

fn tensor(value: &Value) -> Tensor {
    let dtype: DType = value["dtype"].as_str().unwrap().parse().unwrap();
    let shape = value["shape"].as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap() as usize);
    let hex = value["data"].as_str().unwrap();
    let byte = |place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    let data: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    Tensor::new(dtype, shape.collect(), data).unwrap()
}

fn tensors(value: &Value) -> Vec<Tensor> {
    value.as_array().unwrap().iter().map(tensor).collect()
}

/// Floats as integers in their order: neighbours differ by 1; ±0 are 0 and −1.
fn ordinals(tensor: &Tensor) -> Vec<i128> {
    let bits = tensor.dtype().bits();
    let ordinal = |element: &[u8]| {
        let pattern = element.iter().rev().fold(0u64, |pattern, byte| pattern << 8 | u64::from(*byte));
        match pattern >> (bits - 1) {
            0 => i128::from(pattern),
            _ => -1 - i128::from(pattern & !(1 << (bits - 1))),
        }
    };
    tensor.data().chunks_exact(tensor.dtype().bytes()).map(ordinal).collect()
}

/// The first element that is not as expected: bits are compared, but NaN equals NaN and floats may be `ulps` apart.
fn difference(result: &Tensor, expected: &Tensor, ulps: i128) -> Option<String> {
    if result.ty() != expected.ty() {
        return Some(format!("{} instead of {}", result.ty(), expected.ty()));
    }
    let show = |tensor: &Tensor, place: usize| match tensor.to_ints() {
        Some(ints) => ints[place].to_string(),
        None => format!("{:e}", tensor.to_f64s()[place]),
    };
    let differs = |place: &usize| match result.dtype().is_float() {
        false => true,
        true if result.to_f64s()[*place].is_nan() && expected.to_f64s()[*place].is_nan() => false,
        true => (ordinals(result)[*place] - ordinals(expected)[*place]).abs() > ulps,
    };
    let bytes = result.dtype().bytes();
    let pairs = result.data().chunks_exact(bytes).zip(expected.data().chunks_exact(bytes));
    let unequal = pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(place, _)| place);
    let place = unequal.into_iter().find(differs)?;
    Some(format!("element {place} is {} instead of {}", show(result, place), show(expected, place)))
}

/// A case is an op with attributes, or a module in the text form with a function `main`.
fn evaluate_case(case: &Value, operands: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    match case["module"].as_str() {
        Some(text) => evaluate(&text::parse(text).unwrap(), "main", operands),
        None => evaluate_op(&op(case), operands),
    }
}

fn check(family: &str) {
    let path = format!("{}/tests/reference/data/{family}.json", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{family} has no cases");
    let mut failures = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let ulps = i128::from(case["ulps"].as_i64().unwrap());
        let (operands, expected) = (tensors(&case["operands"]), tensors(&case["results"]));
        match evaluate_case(case, &operands) {
            Err(error) => failures.push(format!("{name}: {error}")),
            Ok(results) if results.len() != expected.len() => {
                failures.push(format!("{name}: number of results"))
            }
            Ok(results) => {
                let found = results.iter().zip(&expected).find_map(|(a, b)| difference(a, b, ulps));
                failures.extend(found.map(|difference| format!("{name}: {difference}")));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

macro_rules! families {
    ($($family:ident)*) => {$(
        #[test]
        fn $family() {
            check(stringify!($family));
        }
    )*};
}

families!(leaf elementwise movement indexing contraction window reduction sorting composite network);
