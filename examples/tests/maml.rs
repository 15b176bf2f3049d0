//! Meta-steps equal those that `maml.py` has recorded from PyTorch.

use graven::nn;
use graven_examples::systems::maml::{POINTS, model};
use graven_ir::interp::evaluate;
use graven_ir::{DType, Tensor};
use serde_json::Value;

fn tensor(shape: &[usize], numbers: &Value) -> Tensor {
    let numbers = numbers.as_array().unwrap().iter();
    let bytes: Vec<u8> = numbers.flat_map(|number| number.as_f64().unwrap().to_le_bytes()).collect();
    Tensor::new(DType::F64, shape.to_vec(), bytes).unwrap()
}

#[test]
fn losses_after_adaptation_equal_those_of_pytorch() {
    let record: Value = serde_json::from_str(include_str!("maml.json")).unwrap();
    let module = nn::only(&model(DType::F64, 2).unwrap(), "step").unwrap();
    let mut states: Vec<Tensor> = nn::initial_states(&module, 0)
        .unwrap()
        .into_iter()
        .map(|(name, first)| match record["first"].get(&*name) {
            Some(numbers) => tensor(first.shape(), numbers),
            None => first,
        })
        .collect();
    let steps = record["data"].as_array().unwrap().iter().zip(record["losses"].as_array().unwrap());
    for (data, expected) in steps {
        let mut inputs: Vec<Tensor> =
            data.as_array().unwrap().iter().map(|numbers| tensor(&[POINTS, 1], numbers)).collect();
        inputs.extend(states);
        let mut results = evaluate(&module, "step", &inputs).unwrap();
        states = results.split_off(1);
        let (found, expected) = (results[0].to_f64s()[0], expected.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-9 * expected, "{found} instead of {expected}");
    }
}
