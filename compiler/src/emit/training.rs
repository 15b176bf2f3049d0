//! What objects of train steps have beside the model: the states' first values, and for executables a description of the training.

use super::descriptor::{Blob, Pointee};
use crate::program::{Program, Training};
use graven_runtime::abi::ALIGNMENT;
use graven_runtime::standalone::train;
use std::mem::{offset_of, size_of};
use target_lexicon::Endianness;

/// Bytes of the first values, each state rounded up to a multiple of 64.
pub fn initial_bytes(training: &Training) -> u64 {
    let sizes = training.initial.iter().map(|tensor| tensor.byte_len().next_multiple_of(ALIGNMENT) as u64);
    sizes.fold(0, u64::saturating_add)
}

/// The first values in the target's byte order.
pub fn initial_states(training: &Training, endianness: Endianness) -> Vec<u8> {
    let mut bytes = Vec::new();
    for tensor in &training.initial {
        let start = bytes.len();
        bytes.extend_from_slice(&tensor.to_bytes());
        if endianness == Endianness::Big {
            bytes[start..].chunks_exact_mut(tensor.dtype().bytes()).for_each(<[u8]>::reverse);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
    bytes
}

/// Where each state begins in a block for all of them, each rounded up to a multiple of 64.
pub fn state_offsets(program: &Program) -> Vec<u64> {
    let mut offset = 0u64;
    let mut place = |port: &crate::program::Port| {
        let elements = port.ty.checked_upper_elements().unwrap_or(0) as u64;
        let bytes = elements.saturating_mul(port.ty.dtype.bytes() as u64);
        let end = offset.saturating_add(bytes.next_multiple_of(ALIGNMENT as u64));
        std::mem::replace(&mut offset, end)
    };
    program.states.iter().map(&mut place).collect()
}

/// The description for the runtime's main function.
pub fn description(training: &Training, endianness: Endianness) -> Blob {
    let mut bytes = vec![0; size_of::<train::Training>()];
    let numbers = [
        (offset_of!(train::Training, initial_bytes), initial_bytes(training)),
        (offset_of!(train::Training, saved_states), training.saved_states as u64),
        (offset_of!(train::Training, steps), training.steps),
    ];
    for (place, number) in numbers {
        let number = match endianness {
            Endianness::Big => number.to_be_bytes(),
            Endianness::Little => number.to_le_bytes(),
        };
        bytes[place..place + 8].copy_from_slice(&number);
    }
    Blob { bytes, pointers: vec![(offset_of!(train::Training, initial), Pointee::InitialStates)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graven_ir::Tensor;

    #[test]
    fn states_begin_at_multiples_of_64() {
        let initial = vec![
            Tensor::from_f32s(vec![17], &[1.0; 17]).unwrap(),
            Tensor::from_f32s(vec![], &[2.0]).unwrap(),
        ];
        let training = Training { initial, ..Training::default() };
        for (endianness, one) in
            [(Endianness::Little, 1.0f32.to_le_bytes()), (Endianness::Big, 1.0f32.to_be_bytes())]
        {
            let bytes = initial_states(&training, endianness);
            assert_eq!(bytes.len() as u64, initial_bytes(&training));
            assert_eq!((bytes.len(), &bytes[64..68], &bytes[68..128]), (192, &one[..], &[0; 60][..]));
        }
    }
}
