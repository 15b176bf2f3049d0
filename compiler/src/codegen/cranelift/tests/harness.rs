//! Runs kernels on bytes.

use super::emulated;
use crate::emit::jit::JitKernel;
use crate::kernel::Kernel;
use crate::target::Target;
use graven_ir::{DType, element};

/// The targets that this machine can run code of: each x86-64 level and the host's CPU, by the portable and, where there is one, by the wide backend,
/// and what is emulated.
pub fn runnable_targets() -> Vec<Target> {
    let host = Target::host().unwrap();
    let triple = host.triple.to_string();
    let levels = ["x86-64-v1", "x86-64-v2", "ivybridge", "x86-64-v3", "x86-64-v4"];
    let levels = levels.iter().filter_map(|cpu| Target::new(&triple, Some(cpu)).ok());
    let native = levels.filter(|target| host.features.contains(target.features)).chain([host.clone()]);
    let wide = |target: Target| [Some(target.clone()), target.widened()];
    native.flat_map(wide).flatten().chain(emulated::targets().iter().cloned()).collect()
}

/// Lanes from a scalar to four vectors of 128 bits, where the dtype has vectors.
pub fn lane_counts(dtype: DType) -> &'static [u16] {
    match dtype.bytes() {
        4 => &[1, 2, 4, 8, 16],
        8 => &[1, 2, 4, 8],
        _ => &[1],
    }
}

/// Runs a kernel of one task on buffers and gives them back.
pub fn run(kernel: &Kernel, target: &Target, buffers: &[&[u8]], extents: &[i64]) -> (Vec<Vec<u8>>, i32) {
    run_tasks(kernel, target, buffers, extents, 1)
}

/// Runs a kernel of several tasks on buffers and gives them back.
pub fn run_tasks(
    kernel: &Kernel,
    target: &Target,
    buffers: &[&[u8]],
    extents: &[i64],
    tasks: i64,
) -> (Vec<Vec<u8>>, i32) {
    if emulated::targets().contains(target) {
        return emulated::run(kernel, target, buffers, extents, tasks);
    }
    let compiled = JitKernel::new(kernel, target)
        .unwrap_or_else(|error| panic!("{error} on {}\n{kernel:?}", target.cpu));
    // Words of 8 bytes, for the alignment of any element.
    let mut memory: Vec<Vec<u64>> =
        buffers.iter().map(|bytes| vec![0x5555_5555_5555_5555; bytes.len().div_ceil(8) + 1]).collect();
    for (words, bytes) in memory.iter_mut().zip(buffers) {
        bytemuck::cast_slice_mut::<u64, u8>(words)[..bytes.len()].copy_from_slice(bytes);
    }
    for (kernel_buffer, bytes) in kernel.arguments().map(|(_, buffer)| buffer).zip(buffers) {
        let elements = kernel_buffer.elements.upper() as usize;
        assert!(elements * kernel_buffer.dtype.bytes() <= bytes.len(), "{} is too short", kernel_buffer.name);
    }
    let pointers: Vec<*mut u8> = memory.iter_mut().map(|words| words.as_mut_ptr().cast()).collect();
    // SAFETY: the buffers have the sizes that the kernel declares, which is checked above; the kernels of these tests stay within them.
    let status = unsafe { compiled.run(&pointers, extents, tasks) };
    let results = memory
        .iter()
        .zip(buffers)
        .map(|(words, bytes)| bytemuck::cast_slice::<u64, u8>(words)[..bytes.len()].to_vec())
        .collect();
    (results, status)
}

/// Elements that find mistakes: limits, signs, halves, what floats can't hold exactly.
pub fn interesting(dtype: DType) -> Vec<Vec<u8>> {
    let mut elements: Vec<Vec<u8>> = Vec::new();
    if let Some((low, high)) = dtype.int_range() {
        let values =
            [low, low + 1, high, high - 1, 0, 1, -1, 2, 3, 7, -8, high / 3, low / 3, 1 << 24, (1 << 24) + 1];
        elements.extend(values.into_iter().map(|value| element::encode_int(dtype, value).to_vec()));
        elements.push(element::encode_int(dtype, 0x1234_5678_9abc_def1).to_vec());
        return elements;
    }
    let largest = match dtype {
        DType::F16 => 65504.0,
        DType::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    };
    let least = match dtype {
        DType::F16 => 2f64.powi(-24),
        DType::BF16 => 2f64.powi(-133),
        DType::F32 => 2f64.powi(-149),
        _ => f64::from_bits(1),
    };
    let magnitudes = [
        0.0,
        0.3,
        0.5,
        1.0,
        1.5,
        2.5,
        3.7,
        7.0,
        127.5,
        255.0,
        300.25,
        65519.0,
        65520.0,
        8388607.5,
        2147483648.0,
        4294967295.0,
        1e10,
        9.3e18,
        2e19,
        largest,
        least,
        3.0 * least,
        6e-5,
        6.1e-5,
        1e-40,
        3.3e-7,
        f64::INFINITY,
        f64::NAN,
    ];
    for magnitude in magnitudes {
        elements.push(element::encode_float(dtype, magnitude).to_vec());
        elements.push(element::encode_float(dtype, -magnitude).to_vec());
    }
    elements
}

/// Every pair of interesting elements, as two arrays, the number of which is a multiple of 16.
pub fn pairs(dtype: DType) -> (Vec<u8>, Vec<u8>) {
    let elements = interesting(dtype);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for first in &elements {
        for second in &elements {
            x.extend(first);
            y.extend(second);
        }
    }
    let step = 16 * dtype.bytes();
    while x.len() % step != 0 {
        x.extend(&elements[0]);
        y.extend(&elements[1]);
    }
    (x, y)
}

/// The interesting elements repeated up to a multiple of 16.
pub fn singles(dtype: DType) -> Vec<u8> {
    let mut bytes = interesting(dtype).concat();
    let step = 16 * dtype.bytes();
    let missing = (step - bytes.len() % step) % step;
    bytes.extend_from_within(..missing);
    bytes
}

/// Compares elements bit for bit, but for NaN, whose sign and payload no operation defines.
pub fn assert_elements(dtype: DType, actual: &[u8], expected: &[u8], what: &str) {
    let bytes = dtype.bytes();
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (place, (actual, expected)) in actual.chunks(bytes).zip(expected.chunks(bytes)).enumerate() {
        let both_nan = dtype.is_float()
            && element::decode_float(dtype, actual).is_nan()
            && element::decode_float(dtype, expected).is_nan();
        assert!(
            actual == expected || both_nan,
            "{what}, element {place}: {actual:02x?} ({}), not {expected:02x?} ({})",
            element::decode_float(dtype, actual),
            element::decode_float(dtype, expected)
        );
    }
}
