//! What `record.py` has written.

use graven_ir::{DType, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;

/// A layer with numbers.
pub struct Case {
    pub name: String,
    pub training: bool,
    pub inputs: Vec<Tensor>,
    pub parameters: BTreeMap<String, Tensor>,
    pub states: BTreeMap<String, Tensor>,
    pub states_after: BTreeMap<String, Tensor>,
    pub output: Tensor,
    pub cotangent: Tensor,
    pub input_gradients: Vec<Tensor>,
    pub gradients: BTreeMap<String, Tensor>,
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let all: Value = serde_json::from_str(include_str!("layers.json")).unwrap();
    all.as_array().unwrap().iter().map(case).collect()
}

fn case(value: &Value) -> Case {
    let list = |key: &str| value[key].as_array().unwrap().iter().map(tensor).collect();
    let map = |key: &str| {
        let entries = value[key].as_object().unwrap().iter();
        entries.map(|(name, value)| (name.clone(), tensor(value))).collect()
    };
    Case {
        name: value["name"].as_str().unwrap().to_string(),
        training: value["training"].as_bool().unwrap(),
        inputs: list("inputs"),
        parameters: map("parameters"),
        states: map("states"),
        states_after: map("states_after"),
        output: tensor(&value["output"]),
        cotangent: tensor(&value["cotangent"]),
        input_gradients: list("input_gradients"),
        gradients: map("gradients"),
    }
}

fn tensor(value: &Value) -> Tensor {
    let shape = value["shape"].as_array().unwrap().iter();
    let shape = shape.map(|extent| extent.as_u64().unwrap() as usize).collect();
    let numbers: Vec<f64> =
        value["values"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    match value["integer"].as_bool().unwrap() {
        true => {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| (*x as i64).to_le_bytes()).collect();
            Tensor::new(DType::I64, shape, bytes).unwrap()
        }
        false => f64s(shape, &numbers),
    }
}

/// A tensor of f64.
pub fn f64s(shape: Vec<usize>, values: &[f64]) -> Tensor {
    Tensor::new(DType::F64, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap()
}
