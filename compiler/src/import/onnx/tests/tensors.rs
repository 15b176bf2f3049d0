use crate::error::Error;
use crate::import::MemoryBudget;
use crate::import::onnx::file::Folder;
use crate::import::onnx::proto::{SparseTensorProto, TensorProto};
use crate::import::onnx::tensor::{dtype_of, sparse_tensor, tensor};
use graven_ir::{DType, Tensor};

fn read(proto: &TensorProto) -> Result<Tensor, Error> {
    tensor(proto, &mut Folder::none(&MemoryBudget::unlimited()))
}

fn proto(data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto { name: "t".into(), data_type, dims: dims.to_vec(), ..TensorProto::default() }
}

fn floats(tensor: Result<Tensor, Error>) -> Vec<f64> {
    tensor.unwrap().to_f64s()
}

#[test]
fn typed_fields() {
    assert_eq!(floats(read(&TensorProto { float_data: vec![1.5, -2.0], ..proto(1, &[2]) })), [1.5, -2.0]);
    assert_eq!(floats(read(&TensorProto { double_data: vec![0.1], ..proto(11, &[]) })), [0.1]);
    assert_eq!(
        floats(read(&TensorProto { int64_data: vec![i64::MIN], ..proto(7, &[1]) })),
        [-(2f64.powi(63))]
    );
    for (data_type, value, expected) in
        [(3, -1, -1.0), (2, 255, 255.0), (5, -300, -300.0), (4, 65535, 65535.0), (6, -7, -7.0)]
    {
        assert_eq!(
            floats(read(&TensorProto { int32_data: vec![value], ..proto(data_type, &[1]) })),
            [expected]
        );
    }
    for data_type in [12, 13] {
        let tensor = read(&TensorProto { uint64_data: vec![4_000_000_000], ..proto(data_type, &[1]) });
        assert_eq!(floats(tensor), [4e9]);
    }
    // Halves are bit patterns: 1.5 and −2 in binary16, 1 in bfloat16.
    assert_eq!(
        floats(read(&TensorProto { int32_data: vec![0x3E00, 0xC000], ..proto(10, &[2]) })),
        [1.5, -2.0]
    );
    assert_eq!(floats(read(&TensorProto { int32_data: vec![0x3F80], ..proto(16, &[1]) })), [1.0]);
    assert_eq!(floats(read(&TensorProto { int32_data: vec![2, 0], ..proto(9, &[2]) })), [1.0, 0.0]);
}

#[test]
fn packed_elements() {
    // The lower half of a byte comes first; the last upper half is not used.
    for (data_type, expected) in [(21, [1.0, 15.0, 8.0]), (22, [1.0, -1.0, -8.0])] {
        let typed = TensorProto { int32_data: vec![0xF1, 0x08], ..proto(data_type, &[3]) };
        let raw = TensorProto { raw_data: vec![0xF1, 0x08].into(), ..proto(data_type, &[3]) };
        assert_eq!(floats(read(&typed)), expected);
        assert_eq!(floats(read(&raw)), expected);
    }
    let raw = TensorProto { raw_data: vec![0, 7].into(), ..proto(9, &[2]) };
    assert_eq!(read(&raw).unwrap().data().as_ref(), [0, 1]);
}

#[test]
fn raw_elements_are_shared() {
    let proto = TensorProto { raw_data: vec![0, 0, 0x80, 0x3F].into(), ..proto(1, &[1]) };
    let tensor = read(&proto).unwrap();
    assert_eq!(tensor.to_f64s(), [1.0]);
    assert_eq!(tensor.data().as_ptr(), proto.raw_data.as_ptr());
}

#[test]
fn sizes_must_agree() {
    let wrong = [
        TensorProto { float_data: vec![1.0], ..proto(1, &[2]) },
        TensorProto { raw_data: vec![0; 7].into(), ..proto(1, &[2]) },
        proto(1, &[3]),
        proto(1, &[-1]),
        proto(1, &[i64::MAX, i64::MAX]),
        proto(1, &[0, i64::MAX, i64::MAX]),
        proto(99, &[1]),
        proto(-1, &[1]),
        proto(0, &[1]),
    ];
    for proto in wrong {
        assert!(matches!(read(&proto), Err(Error::BadInput { .. })), "{proto:?}");
    }
    assert!(matches!(read(&proto(8, &[1])), Err(Error::Unsupported { .. })), "strings");
    assert!(floats(read(&proto(1, &[0, 5]))).is_empty());
}

#[test]
fn element_types_have_the_numbers_of_the_format() {
    // onnx.proto3, TensorProto.DataType.
    for (number, dtype) in
        [(1, DType::F32), (7, DType::I64), (10, DType::F16), (16, DType::BF16), (21, DType::U4)]
    {
        assert_eq!(dtype_of(number), Ok(dtype));
    }
    assert!(dtype_of(17).unwrap_err().contains("float8e4m3fn"));
}

fn sparse(indices: &[i64], index_dims: &[i64]) -> Result<Tensor, Error> {
    let proto = SparseTensorProto {
        values: Some(TensorProto { float_data: vec![5.0, 6.0], ..proto(1, &[2]) }),
        indices: Some(TensorProto { int64_data: indices.to_vec(), ..proto(7, index_dims) }),
        dims: vec![2, 3],
    };
    sparse_tensor(&proto, &mut Folder::none(&MemoryBudget::unlimited()))
}

#[test]
fn sparse_tensors_become_dense() {
    let expected = [0.0, 5.0, 0.0, 0.0, 0.0, 6.0];
    assert_eq!(floats(sparse(&[1, 5], &[2])), expected);
    assert_eq!(floats(sparse(&[0, 1, 1, 2], &[2, 2])), expected);
    for (indices, dims) in [(&[1, 6][..], &[2][..]), (&[-1, 0], &[2]), (&[0, 3, 1, 0], &[2, 2]), (&[0], &[1])]
    {
        assert!(sparse(indices, dims).is_err(), "{indices:?}");
    }
}

#[test]
fn unpacked_elements_cost_memory() {
    let memory = MemoryBudget::new(100);
    let mut folder = Folder::none(&memory);
    let typed = TensorProto { float_data: vec![0.0; 20], ..proto(1, &[20]) };
    assert!(tensor(&typed, &mut folder).is_ok());
    assert_eq!(memory.left(), 20);
    assert!(tensor(&typed, &mut folder).unwrap_err().to_string().contains("the limit leaves only 20"));
    let raw = TensorProto { raw_data: vec![0; 80].into(), ..proto(1, &[20]) };
    assert!(tensor(&raw, &mut folder).is_ok());
    assert_eq!(memory.left(), 20);
}
