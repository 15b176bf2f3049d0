//! Zeros for a whole buffer.

use crate::form::FormError;
use crate::kernel::math::register_type;
use crate::kernel::{Access, Kernel, KernelBuilder, Spread};
use crate::target::Target;
use graven_ir::{DType, Dim};

/// Elements per task.
const CHUNK: i64 = 4096;

/// A kernel that sets `elements` elements to zero; its only argument is the buffer.
pub fn zero(dtype: DType, elements: &Dim, target: &Target) -> Result<Kernel, FormError> {
    let mut b = KernelBuilder::new("zero");
    let buffer = b.buffer("y0", dtype, elements.clone(), Access::Write);
    let lanes = if matches!(dtype, DType::F32 | DType::F64) { target.lanes(dtype.bytes()) } else { 1 };
    let step = i64::from(lanes);
    b.parallel_for(&elements.ceil_div(&Dim::from(CHUNK)), |b, task| {
        let start = task * CHUNK;
        let end = (&start + CHUNK).minimum(elements);
        let whole = &start + (&end - &start).floor_div(&Dim::from(step)) * step;
        let ranges = [(&start, &whole, lanes), (&whole, &end, 1)];
        for (first, last, lanes) in ranges.into_iter().filter(|(first, last, _)| !(*last - *first).is(0)) {
            let zero = b.constant(0.0, register_type(dtype, lanes));
            b.for_each((first, last, i64::from(lanes)), &[], |b, place, _| {
                b.store(zero, buffer, place, Spread::Contiguous, None);
                Vec::new()
            });
        }
    });
    Ok(b.finish())
}
