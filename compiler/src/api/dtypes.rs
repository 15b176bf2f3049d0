//! Element types of the graph IR and of the runtime.

use graven_ir::DType;
use graven_runtime::abi;

/// The element type of an array of the runtime.
pub(crate) fn dtype_of(dtype: abi::DType) -> DType {
    match dtype {
        abi::DType::Bool => DType::Bool,
        abi::DType::I8 => DType::I8,
        abi::DType::I16 => DType::I16,
        abi::DType::I32 => DType::I32,
        abi::DType::I64 => DType::I64,
        abi::DType::U8 => DType::U8,
        abi::DType::U16 => DType::U16,
        abi::DType::U32 => DType::U32,
        abi::DType::U64 => DType::U64,
        abi::DType::F16 => DType::F16,
        abi::DType::Bf16 => DType::BF16,
        abi::DType::F32 => DType::F32,
        abi::DType::F64 => DType::F64,
        abi::DType::I4 => DType::I4,
        abi::DType::U4 => DType::U4,
    }
}

/// The runtime's name of an element type.
pub(crate) fn abi_dtype(dtype: DType) -> abi::DType {
    match dtype {
        DType::Bool => abi::DType::Bool,
        DType::I8 => abi::DType::I8,
        DType::I16 => abi::DType::I16,
        DType::I32 => abi::DType::I32,
        DType::I64 => abi::DType::I64,
        DType::U8 => abi::DType::U8,
        DType::U16 => abi::DType::U16,
        DType::U32 => abi::DType::U32,
        DType::U64 => abi::DType::U64,
        DType::F16 => abi::DType::F16,
        DType::BF16 => abi::DType::Bf16,
        DType::F32 => abi::DType::F32,
        DType::F64 => abi::DType::F64,
        DType::I4 => abi::DType::I4,
        DType::U4 => abi::DType::U4,
    }
}

/// Little-endian elements in the CPU's order, and back.
pub(crate) fn native_order(dtype: DType, mut data: Vec<u8>) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        data.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    data
}
