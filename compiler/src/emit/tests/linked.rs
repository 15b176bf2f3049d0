//! Libraries, headers and executables, linked by `cc` and run.

use crate::codegen::cranelift::CraneliftCompiler;
use crate::emit::executable::write_executable;
use crate::emit::jit::{CompiledModel, JitOptions, Session, TensorView, TensorViewMut};
use crate::emit::library::{BuildError, write_object_and_header, write_shared_library, write_static_library};
use crate::emit::object::{ObjectOptions, WeightsPlacement, write_weights};
use crate::emit::samples::{affine, affine_expected, checked};
use crate::program::Program;
use crate::target::Target;
use graven_ir::DType;
use graven_runtime::abi;
use graven_runtime::npz::{Archive, Writer};
use std::path::Path;
use std::process::{Command, Output};

fn host() -> (Target, CraneliftCompiler) {
    let target = Target::host().unwrap();
    let compiler = CraneliftCompiler::new(&target).unwrap();
    (target, compiler)
}

fn command(program: &str, arguments: &[&str], folder: &Path) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = command(program, arguments, folder);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A program whose names try to break out of identifiers and comments.
fn hostile() -> Program {
    let mut program = affine(0);
    program.name = "3*/ int x; /* ??/\n\\".into();
    program.inputs[0].name = "int".into();
    program.outputs[0].name = "*/ }; /*".into();
    program.outputs[1].name = "日本\0語".into();
    program.states[0].name = "".into();
    program
}

const C_STRICT: [&str; 6] = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-x"];

#[test]
fn headers_compile_as_c_and_cpp() {
    let (target, compiler) = host();
    for program in [affine(0), checked(), hostile()] {
        let folder = tempfile::tempdir().unwrap();
        let object = folder.path().join("m.o");
        write_object_and_header(&program, &target, &compiler, ObjectOptions::default(), &object).unwrap();
        // Twice, for the include guard.
        std::fs::write(folder.path().join("use.c"), "#include \"m.h\"\n#include \"m.h\"\n").unwrap();
        for (language, standard) in
            [("c", "-std=c99"), ("c", "-std=c17"), ("c++", "-std=c++11"), ("c++", "-std=c++20")]
        {
            let arguments = C_STRICT.iter().copied().chain([language, standard, "use.c"]);
            succeed("cc", &arguments.collect::<Vec<_>>(), folder.path());
        }
    }
}

/// Runs [`affine`] twice with three rows of numbers that count up and prints the outputs as integers.
const C_PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include "m.h"
int main(void) {
    float in[12], out[12], twice[6] = {0}, total[4] = {0};
    int64_t extents[1];
    affine_io io = {in, out, twice};
    affine_state state = {total};
    affine_dims dims = {3};
    void *arena = aligned_alloc(64, AFFINE_ARENA_BYTES(1));
    for (int i = 0; i < 12; i++) in[i] = (float)i;
    if (affine_check_cpu() != 0 || affine_model.weights_bytes != AFFINE_WEIGHTS_BYTES) return 1;
    affine_extents(&dims, extents);
    printf("%d %d %s\n", (int)extents[0], (int)AFFINE_OUTPUT_TWICE_BYTES, affine_model.inputs[0].name);
    for (int run = 0; run < 2; run++) {
        int32_t code = affine_run(&io, &state, &dims, arena, NULL);
        if (code != 0) return 2;
        for (int i = 0; i < 12; i++) printf("%g ", out[i]);
        printf("\n");
    }
    dims.N = 65;
    return affine_run(&io, &state, &dims, arena, NULL) == GRAVEN_ERROR_DIM_OUT_OF_RANGE ? 0 : 3;
}
"#;

fn expected_text() -> String {
    let line = |run: usize| affine_expected(3, run).iter().map(|x| format!("{x} ")).collect::<String>();
    format!("6 512 in\n{}\n{}\n", line(1), line(2))
}

#[test]
fn objects_and_libraries_work_from_c() {
    let (target, compiler) = host();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("main.c"), C_PROGRAM).unwrap();
    let (program, options) = (affine(0), ObjectOptions::default());
    write_object_and_header(&program, &target, &compiler, options, &path("m.o")).unwrap();
    write_static_library(&program, &target, &compiler, options, &path("libm1.a")).unwrap();
    write_shared_library(&program, &target, &compiler, options, &path("libm2.so")).unwrap();
    std::fs::copy(path("libm1.h"), path("m.h")).unwrap();
    let run_path = format!("-Wl,-rpath,{}", folder.path().display());
    for (name, inputs) in [
        ("by_object", vec!["m.o"]),
        ("by_static", vec!["libm1.a"]),
        ("by_shared", vec!["libm2.so", &run_path]),
    ] {
        let mut arguments = vec!["-std=c11", "-Wall", "-Wextra", "-Werror", "main.c"];
        arguments.extend(inputs);
        arguments.extend(["-o", name]);
        succeed("cc", &arguments, folder.path());
        assert_eq!(succeed(&format!("./{name}"), &[], folder.path()), expected_text(), "{name}");
    }
    // Written once more, they are the same.
    let first = std::fs::read(path("libm1.a")).unwrap();
    write_static_library(&program, &target, &compiler, options, &path("libm1.a")).unwrap();
    assert_eq!(std::fs::read(path("libm1.a")).unwrap(), first);
    assert!(succeed("ar", &["t", "libm1.a"], folder.path()).contains("model.o"));
}

/// Inputs for [`affine`] in an npz file.
fn write_inputs(path: &Path, rows: usize) -> Vec<f32> {
    let values: Vec<f32> = (0..rows * 4).map(|i| i as f32 / 3.0 - 1.0).collect();
    let mut writer = Writer::new(Vec::new());
    writer.add("in", abi::DType::F32, &[rows as i64, 4], bytemuck::cast_slice(&values)).unwrap();
    std::fs::write(path, writer.finish().unwrap()).unwrap();
    values
}

/// What a session computes.
fn by_session(program: &Program, target: &Target, x: &[f32]) -> Vec<u8> {
    let model = CompiledModel::new(program, target, JitOptions::default()).unwrap();
    let mut session = Session::new(&model, 1).unwrap();
    let rows = x.len() / 4;
    let (mut out, mut twice) = (vec![0f32; x.len()], vec![0f32; rows * 2]);
    let (shape, length) = ([rows, 4], [rows * 2]);
    let input = TensorView::new(DType::F32, &shape, bytemuck::cast_slice(x)).unwrap();
    let mut outputs = [
        TensorViewMut::new(DType::F32, &shape, bytemuck::cast_slice_mut(&mut out)).unwrap(),
        TensorViewMut::new(DType::F32, &length, bytemuck::cast_slice_mut(&mut twice)).unwrap(),
    ];
    session.run(&[input], &mut outputs).unwrap();
    bytemuck::cast_slice(&out).to_vec()
}

#[test]
fn executables_give_the_bits_of_the_jit() {
    let (target, compiler) = host();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let x = write_inputs(&path("in.npz"), 7);
    let program = affine(1 << 40);
    let expected = by_session(&program, &target, &x);
    for (name, weights) in [("embedded", WeightsPlacement::Embed), ("beside", WeightsPlacement::File)] {
        let options = ObjectOptions { weights, ..ObjectOptions::default() };
        write_executable(&program, &target, &compiler, options, &path(name)).unwrap();
        if weights == WeightsPlacement::File {
            let missing = command("./beside", &["--inputs", "in.npz"], folder.path());
            assert_eq!(missing.status.code(), Some(2));
            write_weights(&program, &target, &path("beside.weights")).unwrap();
        }
        for threads in ["1", "2"] {
            let arguments = ["--inputs", "in.npz", "--outputs", "out.npz", "--threads", threads];
            succeed(&format!("./{name}"), &arguments, folder.path());
            let bytes = std::fs::read(path("out.npz")).unwrap();
            let archive = Archive::open(&bytes).unwrap();
            let out = archive.get("out").unwrap().unwrap();
            assert_eq!(out.data[..], expected, "{name} with {threads} threads");
        }
        let size = std::fs::metadata(path(name)).unwrap().len();
        assert!(size < 100 << 10, "{size} bytes");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5, "nothing temporary is left");
}

#[test]
fn other_systems_are_refused() {
    let target = Target::new("aarch64-apple-darwin", None).unwrap();
    let compiler = CraneliftCompiler::new(&target).unwrap();
    let path = Path::new("never-written");
    let error = write_executable(&checked(), &target, &compiler, ObjectOptions::default(), path).unwrap_err();
    assert!(matches!(error, BuildError::Foreign { .. }), "{error}");
    let error =
        write_shared_library(&checked(), &target, &compiler, ObjectOptions::default(), path).unwrap_err();
    assert!(matches!(error, BuildError::Foreign { .. }), "{error}");
}
