//! Arrays in files: NumPy's own files, our files in NumPy's hands, and files that are damaged.

use std::path::{Path, PathBuf};
use std::process::Command;

use graven_runtime::Kind;
use graven_runtime::abi::DType;
use graven_runtime::npy;
use graven_runtime::npz::{Archive, Writer};

const PLAIN: &[u8] = include_bytes!("data/plain.npz");
const COMPRESSED: &[u8] = include_bytes!("data/compressed.npz");

/// The bytes of numbers in the CPU's order.
macro_rules! bytes {
    ($($value:expr),* $(,)?) => { [$($value.to_ne_bytes().to_vec()),*].concat() };
}

/// The arrays of `data/make.py`.
fn expected() -> Vec<(&'static str, DType, Vec<i64>, Vec<u8>)> {
    let matrix = |name, dtype, data| (name, dtype, vec![2, 3], data);
    vec![
        matrix("int8", DType::I8, bytes![0i8, 1i8, 2i8, 3i8, 4i8, 100i8]),
        matrix("int16", DType::I16, bytes![0i16, 1i16, 2i16, 3i16, 4i16, 100i16]),
        matrix("int32", DType::I32, bytes![0i32, 1i32, 2i32, 3i32, 4i32, 100i32]),
        matrix("int64", DType::I64, bytes![0i64, 1i64, 2i64, 3i64, 4i64, 100i64]),
        matrix("uint8", DType::U8, bytes![0u8, 1u8, 2u8, 3u8, 4u8, 100u8]),
        matrix("uint16", DType::U16, bytes![0u16, 1u16, 2u16, 3u16, 4u16, 100u16]),
        matrix("uint32", DType::U32, bytes![0u32, 1u32, 2u32, 3u32, 4u32, 100u32]),
        matrix("uint64", DType::U64, bytes![0u64, 1u64, 2u64, 3u64, 4u64, 100u64]),
        // IEEE 754 binary16: 1 = 0x3c00, 2 = 0x4000, 3 = 0x4200, 4 = 0x4400, 100 = 0x5640.
        matrix("float16", DType::F16, bytes![0u16, 0x3c00u16, 0x4000u16, 0x4200u16, 0x4400u16, 0x5640u16]),
        matrix("float32", DType::F32, bytes![0f32, 1f32, 2f32, 3f32, 4f32, 100f32]),
        matrix("float64", DType::F64, bytes![0f64, 1f64, 2f64, 3f64, 4f64, 100f64]),
        ("bool", DType::Bool, vec![3], vec![1, 0, 1]),
        // The upper halves of the binary32 numbers 0x3f800000, 0xc0200000 and 0x3e200000.
        ("bfloat16", DType::Bf16, vec![3], bytes![0x3f80u16, 0xc020u16, 0x3e20u16]),
        ("scalar", DType::F32, vec![], bytes![-0.5f32]),
        ("empty", DType::F32, vec![0, 7], vec![]),
        ("größe/1", DType::F64, vec![1, 1, 1], bytes![1.5f64]),
    ]
}

fn check(file: &[u8]) {
    let archive = Archive::open(file).expect("an archive");
    for (name, dtype, shape, data) in expected() {
        let array = archive.get(name).expect(name).expect(name);
        assert_eq!((array.dtype, array.shape, array.data.to_vec()), (dtype, shape, data), "{name}");
    }
    assert!(archive.get("float").is_none());
}

/// Our archive of the same arrays.
fn written() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, dtype, shape, data) in expected() {
        writer.add(name, dtype, &shape, &data).expect(name);
    }
    writer.finish().expect("memory")
}

#[test]
fn reads_what_numpy_wrote() {
    check(PLAIN);
    check(COMPRESSED);
    let names: Vec<&str> = expected().iter().map(|(name, ..)| *name).collect();
    assert_eq!(Archive::open(PLAIN).expect("an archive").names().collect::<Vec<_>>(), names);
    let zeros = Archive::open(COMPRESSED).expect("an archive").get("zeros").expect("zeros").expect("zeros");
    assert_eq!((zeros.shape, zeros.data.to_vec()), (vec![64, 64], vec![0; 64 * 64 * 4]));
}

#[test]
fn reads_every_order() {
    let expected: Vec<u8> = (0..24i32).flat_map(i32::to_ne_bytes).collect();
    for file in [
        &include_bytes!("data/c_order.npy")[..],
        include_bytes!("data/fortran_order.npy"),
        include_bytes!("data/big_endian.npy"),
    ] {
        assert!(npy::is_npy(file));
        let array = npy::read(file).expect("an array");
        assert_eq!(
            (array.dtype, array.shape, array.data.to_vec()),
            (DType::I32, vec![2, 3, 4], expected.clone())
        );
    }
}

#[test]
fn what_has_no_place_is_unsupported() {
    let message = |file: &[u8]| match npy::read(file) {
        Err(error) if error.kind() == Kind::Unsupported => error.message().to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(message(include_bytes!("data/strings.npy")), "an npy file of element type '<U2'");
    assert_eq!(message(include_bytes!("data/records.npy")), "an npy file of records");
}

#[test]
fn reads_what_it_wrote() {
    check(&written());
    assert_eq!(written(), written());
    let empty = Writer::new(Vec::new()).finish().expect("memory");
    assert_eq!(Archive::open(&empty).expect("an archive").names().count(), 0);
}

#[test]
fn bad_arrays_are_not_written() {
    let mut writer = Writer::new(Vec::new());
    writer.add("a", DType::I16, &[2], &[0; 4]).expect("an array");
    for (name, shape, bytes) in
        [("a", &[2][..], 4), ("b", &[2], 3), ("b", &[-1], 0), ("b", &[i64::MAX, i64::MAX], 0)]
    {
        assert!(writer.add(name, DType::I16, shape, &vec![0; bytes]).is_err(), "{name} {shape:?} {bytes}");
    }
}

/// Looks at everything in a file; what it is doesn't matter, only that there is an answer.
fn explore(file: &[u8]) {
    if let Ok(archive) = Archive::open(file) {
        for name in archive.names() {
            if let Some(Err(error)) = archive.get(name) {
                assert!(!error.message().is_empty());
            }
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for file in [PLAIN, COMPRESSED, &written()] {
        for length in 0..file.len() {
            assert!(Archive::open(&file[..length]).is_err(), "{length}");
        }
    }
    let file = include_bytes!("data/fortran_order.npy");
    for length in 0..file.len() {
        assert!(npy::read(&file[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_changed_bit_has_an_answer() {
    // All bits of one file, one per byte of the one that takes longer.
    for (file, step) in [(PLAIN, 1), (COMPRESSED, 9)] {
        let mut copy = file.to_vec();
        for bit in (0..8 * file.len()).step_by(step) {
            copy[bit / 8] ^= 1 << (bit % 8);
            explore(&copy);
            copy[bit / 8] ^= 1 << (bit % 8);
        }
    }
    let mut copy = include_bytes!("data/fortran_order.npy").to_vec();
    for index in 0..128 {
        let byte = copy[index];
        for other in 0..=255 {
            copy[index] = other;
            drop(npy::read(&copy));
        }
        copy[index] = byte;
    }
}

#[test]
fn wild_numbers_have_an_answer() {
    // Four bytes of ones or zeros anywhere: sizes, offsets and counts at their extremes.
    for (file, step) in [(PLAIN, 1), (COMPRESSED, 5)] {
        for filler in [0u8, 0x7f, 0xff] {
            for start in (0..file.len() - 4).step_by(step) {
                let mut copy = file.to_vec();
                copy[start..start + 4].fill(filler);
                explore(&copy);
            }
        }
    }
}

#[test]
fn a_damaged_element_is_noticed() {
    let archive = Archive::open(PLAIN).expect("an archive");
    let data = archive.get("float64").expect("float64").expect("float64").data;
    let position = PLAIN.windows(data.len()).position(|window| window == &data[..]).expect("stored as it is");
    let mut copy = PLAIN.to_vec();
    copy[position + 20] ^= 1;
    let error = Archive::open(&copy).expect("an archive").get("float64").expect("float64").unwrap_err();
    assert_eq!(error.message(), "array 'float64': not a valid npz file: its checksum is wrong");
}

#[test]
fn headers_that_lie() {
    let npy = |header: &str, data: &[u8]| {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend_from_slice(&(header.len() as u16).to_le_bytes());
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(data);
        file
    };
    let good = npy("{\"shape\":(2L,),'descr':'u1','fortran_order':True}", &[7, 8]);
    assert_eq!(npy::read(&good).expect("an array").data.to_vec(), [7, 8]);
    for (header, message) in [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
            "it holds 2 bytes of data instead of 12",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", "its header is malformed"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            "its shape is too large",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
            "its shape is too large",
        ),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (), }", "its header is malformed"),
        ("{'descr': '<f4', 'shape': (), }", "its header lacks descr, fortran_order or shape"),
        ("{'descr': '<f4', 'other': (), }", "its header has an unknown key"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': () } x", "its header goes on after the end"),
        ("", "its header is malformed"),
    ] {
        let error = npy::read(&npy(header, &[1, 2])).unwrap_err();
        assert_eq!(error.message(), format!("not a valid npy file: {message}"), "{header}");
    }
    let many = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}", "1,".repeat(65));
    assert!(npy::read(&npy(&many, &[1])).unwrap_err().message().ends_with("too many dimensions"));
}

#[test]
fn a_size_that_deflate_cannot_reach_takes_no_memory() {
    // The directory says that the last member expands to 3 GiB.
    let mut copy = COMPRESSED.to_vec();
    let name = copy.windows(9).rposition(|window| window == b"zeros.npy").expect("the directory's entry");
    copy[name - 46 + 24..name - 46 + 28].copy_from_slice(&(3u32 << 30).to_le_bytes());
    let error = Archive::open(&copy).expect("an archive").get("zeros").expect("zeros").unwrap_err();
    assert_eq!(error.message(), "array 'zeros': not a valid npz file: it is cut off or damaged");
}

/// Runs a script of Python's with NumPy; `None` if there is none.
fn numpy(script: &str, folder: &Path) -> Option<()> {
    let python = |script: &str| Command::new("python3").args(["-c", script]).arg(folder).output();
    if !python("import numpy").is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no numpy");
        return None;
    }
    let output = python(script).expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("graven-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn numpy_reads_what_it_wrote() {
    let folder = folder("npz-write");
    std::fs::write(folder.join("ours.npz"), written()).expect("a file");
    std::fs::write(folder.join("numpys.npz"), PLAIN).expect("a file");
    let script = "
import sys, numpy as np
ours, numpys = (np.load(sys.argv[1] + '/' + name) for name in ['ours.npz', 'numpys.npz'])
assert ours.files == numpys.files, (ours.files, numpys.files)
for name in ours.files:
    a, b = ours[name], numpys[name]
    assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), name
";
    numpy(script, &folder);
    std::fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn inflates_what_numpy_deflated() {
    // Noise, repetition at every distance, and skewed symbols, for codes of all lengths.
    let script = "
import sys, numpy as np
r = np.random.default_rng(1)
arrays = {
    'noise': r.integers(0, 256, 100_000).astype(np.uint8),
    'normal': r.normal(size=50_000).astype(np.float32),
    'skewed': np.minimum(r.geometric(0.3, 200_000), 255).astype(np.uint8),
    'sparse': (r.random(300_000) < 0.001).astype(np.float32),
    'ramp': np.arange(100_000, dtype=np.int32),
    'repeated': np.tile(r.integers(0, 256, 20_011).astype(np.uint8), 7),
}
np.savez(sys.argv[1] + '/stored.npz', **arrays)
np.savez_compressed(sys.argv[1] + '/deflated.npz', **arrays)
";
    let folder = folder("npz-inflate");
    if numpy(script, &folder).is_some() {
        let read = |name| std::fs::read(folder.join(name)).expect("a file");
        let (stored, deflated) = (read("stored.npz"), read("deflated.npz"));
        assert!(deflated.len() < stored.len() / 2);
        let (stored, deflated) =
            (Archive::open(&stored).expect("one"), Archive::open(&deflated).expect("one"));
        assert_eq!(stored.names().count(), 6);
        for name in stored.names() {
            let (a, b) = (stored.get(name).expect(name), deflated.get(name).expect(name));
            assert!(a.expect(name) == b.expect(name), "{name}");
        }
    }
    std::fs::remove_dir_all(folder).expect("the folder");
}
