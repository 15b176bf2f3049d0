//! What is chosen where a function has no derivative. The expected values are PyTorch's.

use super::difference::gradient_at;
use graven_ir::{DType, Tensor};

fn tensor(values: &[f64]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor::new(DType::F64, vec![values.len()], bytes).unwrap()
}

/// The gradient of the sum of `body`, a function of `%x`, at `x`.
fn at(body: &str, x: &[f64]) -> Vec<f64> {
    let n = x.len();
    let text = format!("func @main(%x: f64[{n}]) -> (y: f64[{n}]) {{\n{body}\n  return %y\n}}");
    gradient_at(&text, &[tensor(x)]).remove(0)
}

fn at_two(body: &str, x: &[f64], y: &[f64]) -> [Vec<f64>; 2] {
    let n = x.len();
    let text = format!("func @main(%x: f64[{n}], %y: f64[{n}]) -> (z: f64[{n}]) {{\n{body}\n  return %z\n}}");
    gradient_at(&text, &[tensor(x), tensor(y)]).try_into().unwrap()
}

#[test]
fn absolute_value_has_slope_zero_at_zero() {
    assert_eq!(at("  %y = abs %x", &[-2.0, 0.0, 3.0]), [-1.0, 0.0, 1.0]);
}

#[test]
fn steps_have_slope_zero() {
    for op in ["sign", "floor", "ceil", "round", "trunc"] {
        assert_eq!(at(&format!("  %y = {op} %x"), &[-0.5, 0.0, 1.5]), [0.0; 3], "{op}");
    }
}

#[test]
fn relu_has_slope_zero_at_zero() {
    let body = "  %0 = constant splat(0.0) : f64[3]\n  %y = max %x, %0";
    assert_eq!(at(body, &[-1.0, 0.0, 2.0]), [0.0, 0.0, 1.0]);
}

#[test]
fn relu6_has_slope_zero_at_both_ends() {
    let body = "  %0 = constant splat(0.0) : f64[4]\n  %1 = max %x, %0\n  %6 = constant splat(6.0) : f64[4]\n  %y = min %1, %6";
    assert_eq!(at(body, &[-1.0, 0.0, 2.0, 6.0]), [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn equal_operands_of_max_share() {
    for op in ["max", "min"] {
        let [x, y] = at_two(&format!("  %z = {op} %x, %y"), &[1.0], &[1.0]);
        assert_eq!((x, y), (vec![0.5], vec![0.5]), "{op}");
    }
}

#[test]
fn equal_elements_of_a_reduction_share() {
    let body =
        "  %0 = reduce %x {combine = max, axes = [0]}\n  %y = broadcast %0 {shape = [4], dimensions = []}";
    assert_eq!(at(body, &[2.0, 1.0, 2.0, 0.0]), [2.0, 0.0, 2.0, 0.0]);
}

#[test]
fn the_first_of_equal_elements_of_a_window_gets_all() {
    let body = "  %0 = reduce_window %x {combine = max, size = [2], stride = [2], dilation = [1], padding_low = [0], padding_high = [0]}\n  \
                %1 = broadcast %0 {shape = [2, 2], dimensions = [0]}\n  %y = reshape %1 {shape = [4]}";
    assert_eq!(at(body, &[5.0, 5.0, 1.0, 3.0]), [2.0, 0.0, 0.0, 2.0]);
}

#[test]
fn the_last_of_equal_elements_of_a_running_maximum_gets_all() {
    let body = "  %y = cumulative %x {combine = max, axis = 0, exclusive = false, reverse = false}";
    assert_eq!(at(body, &[2.0, 2.0, 1.0, 3.0]), [1.0, 2.0, 0.0, 1.0]);
}

#[test]
fn powers_of_zero() {
    // torch.pow: the base's gradient is 0 for exponent 0, the exponent's is 0 for base 0 and exponent ≥ 0.
    let [x, y] = at_two("  %z = pow %x, %y", &[0.0, 0.0, 0.0], &[0.0, 2.0, 1.0]);
    assert_eq!(x, [0.0, 0.0, 1.0]);
    assert_eq!(y, [0.0, 0.0, 0.0]);
}

#[test]
fn products_with_zeros() {
    let body = "  %0 = reduce %x {combine = product, axes = [0]}\n  %y = broadcast %0 {shape = [3], dimensions = []}";
    assert_eq!(at(body, &[2.0, 0.0, 5.0]), [0.0, 30.0, 0.0]);
    assert_eq!(at(body, &[0.0, 0.0, 5.0]), [0.0, 0.0, 0.0]);
    let body = "  %y = cumulative %x {combine = product, axis = 0, exclusive = false, reverse = false}";
    assert_eq!(at(body, &[2.0, 0.0, 5.0]), [1.0, 12.0, 0.0]);
}
