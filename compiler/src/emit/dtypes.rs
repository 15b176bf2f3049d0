//! Element types of the compiler and of the interface of compiled models.

use graven_ir::DType;
use graven_runtime::abi;

/// The interface's name of an element type.
pub fn abi_dtype(dtype: DType) -> abi::DType {
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

/// The element type with a code of the interface (`GRAVEN_F32` …), if there is one.
pub fn from_code(code: u32) -> Option<DType> {
    DType::ALL.iter().copied().find(|dtype| abi_dtype(*dtype) as u32 == code)
}

/// Little-endian elements in the CPU's order, and back.
pub fn native_order(dtype: DType, mut data: Vec<u8>) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        data.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_name_the_same_types() {
        assert_eq!(DType::ALL.len(), abi::DType::ALL.len());
        for code in abi::DType::ALL {
            let dtype = from_code(code as u32).unwrap();
            assert_eq!((dtype.name(), abi_dtype(dtype)), (code.name(), code));
            assert_eq!(dtype.bytes(), code.bytes());
        }
        assert_eq!((from_code(0), from_code(16)), (None, None));
    }
}
