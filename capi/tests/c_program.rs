//! A C program against the header and the libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library of this package that Cargo made last.
fn library(suffix: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its place");
    let deps = test.parent().expect("a folder");
    let entries = std::fs::read_dir(deps).expect("the folder is readable");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let ours = paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libgraven_c") && name.ends_with(suffix)
    });
    let made = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    ours.max_by_key(made).unwrap_or_else(|| panic!("no libgraven_c{suffix} in {}", deps.display()))
}

/// Compiles and runs the program.
#[track_caller]
fn check(name: &str, link: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(name);
    let compiled = Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"])
        .args(["include", "../runtime/include"].map(|place| format!("-I{}", root.join(place).display())))
        .arg(root.join("tests/embed.c"))
        .args(link)
        .args(["-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler is installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let module = folder.path().join("double.gir");
    let text = "dim N in 1..=8\n\nfunc @main(%x: f32[N, 2]) -> (y: f32[N, 2]) {\n  %1 = add %x, %x : f32[N, 2]\n  return %1\n}\n";
    std::fs::write(&module, text).unwrap();
    let model = root.join("../examples/models/digits.onnx");
    let ran = Command::new(&program).arg(model).arg(&module).output().expect("the program starts");
    let (out, error) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out == "ok\n", "{}: {out}{error}", ran.status);
}

#[test]
fn static_library() {
    check("static", &[&library(".a").display().to_string()]);
}

#[test]
fn shared_library() {
    let library = library(".so");
    let folder = library.parent().expect("a folder").display();
    check("shared", &[&library.display().to_string(), &format!("-Wl,-rpath,{folder}")]);
}

#[test]
fn the_header_is_cpp_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .args(["-x", "c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .arg(format!("-I{}", root.join("../runtime/include").display()))
        .arg(root.join("include/graven.h"))
        .status();
    assert!(status.expect("a C compiler is installed").success());
}
