//! Functions of floats against f64 and against recorded results of mpmath; everything else against plain Rust.

mod double;
mod graph;
mod single;

use crate::kernel::interp::run;
use crate::kernel::{Access, Features, KernelBuilder, Spread, Val};
use graven_ir::{DType, Dim};

/// Features of targets with and without fused multiply-add and rounding.
pub(super) const FEATURES: [Features; 2] =
    [Features { fma: true, rounding: true }, Features { fma: false, rounding: false }];

/// Applies `function` to the elements of buffers of the given dtypes, in `lanes` lanes.
pub(super) fn apply(
    inputs: &[(DType, Vec<u8>)],
    output: DType,
    lanes: u16,
    features: Features,
    function: impl FnOnce(&mut KernelBuilder, &[Val]) -> Val,
) -> Vec<u8> {
    let elements = inputs.first().map_or(0, |(dtype, bytes)| bytes.len() / dtype.bytes());
    assert_eq!(elements % usize::from(lanes), 0);
    let mut b = KernelBuilder::new("apply");
    b.set_features(features);
    let places: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(n, (dtype, _))| b.buffer(format!("x{n}"), *dtype, elements, Access::Read))
        .collect();
    let result = b.buffer("y", output, elements, Access::Write);
    b.for_each((&Dim::ZERO, &Dim::from(elements), lanes.into()), &[], |b, i, _| {
        let operands: Vec<Val> = places
            .iter()
            .map(|buffer| crate::kernel::math::load(b, *buffer, i, lanes, Spread::Contiguous, None))
            .collect();
        let value = function(b, &operands);
        b.store(value, result, i, Spread::Contiguous, None);
        Vec::new()
    });
    let kernel = b.finish();
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(|(_, bytes)| bytes.clone()).collect();
    buffers.push(vec![0; elements * output.bytes()]);
    if let Err(error) = run(&kernel, &mut buffers, &[]) {
        panic!("{error}\n{kernel}");
    }
    buffers.pop().unwrap()
}

pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

pub(super) fn f64_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn f64_values(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}
