use crate::import::MemoryBudget;
use crate::import::onnx::file::Folder;
use crate::import::onnx::proto::{StringStringEntryProto, TensorProto};
use crate::import::onnx::tensor::tensor;
use std::fs;
use std::path::Path;

fn proto(entries: &[(&str, &str)]) -> TensorProto {
    let entry =
        |(key, value): &(&str, &str)| StringStringEntryProto { key: (*key).into(), value: (*value).into() };
    TensorProto {
        name: "w".into(),
        data_type: 2,
        dims: vec![2],
        data_location: 1,
        external_data: entries.iter().map(entry).collect(),
        ..TensorProto::default()
    }
}

fn read(model: &Path, entries: &[(&str, &str)]) -> Result<Vec<f64>, String> {
    let mut folder = Folder::of(model, &MemoryBudget::unlimited());
    tensor(&proto(entries), &mut folder).map(|tensor| tensor.to_f64s()).map_err(|error| error.to_string())
}

#[test]
fn parts_of_files_in_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("w.bin"), [1, 2, 3, 4]).unwrap();
    fs::write(folder.join("data/w.bin"), [5, 6]).unwrap();
    let model = folder.join("m.onnx");
    assert_eq!(read(&model, &[("location", "w.bin"), ("offset", "2"), ("length", "2")]), Ok(vec![3.0, 4.0]));
    assert_eq!(read(&model, &[("location", "./data/w.bin")]), Ok(vec![5.0, 6.0]));
    for (entries, reason) in [
        (vec![], "no location"),
        (vec![("location", "")], "inside the model's folder"),
        (vec![("location", "missing.bin")], "can't read"),
        (vec![("location", "data")], "not a regular file"),
        (vec![("location", "w.bin"), ("offset", "3")], "ends beyond the 4 bytes"),
        (vec![("location", "w.bin"), ("offset", "18446744073709551615")], "ends beyond"),
        (vec![("location", "w.bin"), ("offset", "-1")], "no number"),
        (vec![("location", "w.bin"), ("length", "3")], "3 bytes where 2 are needed"),
    ] {
        let error = read(&model, &entries).unwrap_err();
        assert!(error.contains(reason) && error.contains("tensor `w`"), "{error}");
    }
}

#[test]
fn files_outside_the_folder_are_not_read() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir_all(&folder).unwrap();
    let secret = outer.path().join("secret.bin");
    fs::write(&secret, [1, 2]).unwrap();
    let model = folder.join("m.onnx");
    for location in ["../secret.bin", "x/../../secret.bin", &secret.display().to_string()] {
        let error = read(&model, &[("location", location)]).unwrap_err();
        assert!(error.contains("inside the model's folder"), "{error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, folder.join("link.bin")).unwrap();
        std::os::unix::fs::symlink(outer.path(), folder.join("up")).unwrap();
        for location in ["link.bin", "up/secret.bin"] {
            let error = read(&model, &[("location", location)]).unwrap_err();
            assert!(error.contains("leaves the model's folder by a link"), "{error}");
        }
    }
}

#[test]
fn models_from_memory_have_no_files() {
    let mut folder = Folder::none(&MemoryBudget::unlimited());
    let error = tensor(&proto(&[("location", "w.bin")]), &mut folder).unwrap_err();
    assert!(error.to_string().contains("needs a model in a file"), "{error}");
}
