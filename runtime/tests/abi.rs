//! The Rust and the C declarations of the interface, compared by a C compiler.

use std::fmt::Write;
use std::io::Write as _;
use std::mem::{offset_of, size_of};
use std::process::{Command, Stdio};

use graven_runtime::abi::{self, DType, RunError};

/// Compiles a C source as strictly as its users may.
fn compile_c(source: &str, arguments: &[&str]) {
    let mut child = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .expect("a C compiler called cc");
    child.stdin.take().expect("a pipe").write_all(source.as_bytes()).expect("a pipe");
    assert!(child.wait().expect("the compiler").success(), "{source}");
}

macro_rules! assert_layout {
    ($source:ident, $c:literal, $rust:ty, $($field:ident),*) => {
        writeln!($source, "_Static_assert(sizeof({}) == {}, \"size\");", $c, size_of::<$rust>()).unwrap();
        $(writeln!(
            $source,
            "_Static_assert(offsetof({}, {}) == {}, \"{1}\");",
            $c, stringify!($field), offset_of!($rust, $field)
        ).unwrap();)*
    };
}

#[test]
fn both_languages_agree() {
    let mut source = format!("#include <stddef.h>\n{}", abi::C_DECLARATIONS);
    writeln!(source, "_Static_assert(GRAVEN_ABI_VERSION == {}, \"version\");", abi::ABI_VERSION).unwrap();
    for dtype in DType::ALL {
        let name = dtype.name().to_uppercase();
        writeln!(source, "_Static_assert(GRAVEN_{name} == {}, \"code\");", dtype as u32).unwrap();
    }
    for error in RunError::ALL {
        let mut name = String::new();
        for character in format!("{error:?}").chars() {
            if character.is_uppercase() {
                name.push('_');
            }
            name.extend(character.to_uppercase());
        }
        writeln!(source, "_Static_assert(GRAVEN_ERROR{name} == {}, \"code\");", error as i32).unwrap();
    }
    for (name, value) in [("INPUT", abi::SYMBOL_INPUT), ("RESULT", abi::SYMBOL_RESULT)] {
        writeln!(source, "_Static_assert(GRAVEN_SYMBOL_{name} == {value}, \"code\");").unwrap();
    }
    assert_layout!(source, "graven_custom_call", abi::CustomCall, call, context);
    assert_layout!(
        source,
        "graven_exec",
        abi::Exec,
        abi_version,
        workers,
        context,
        parallel_for,
        weights,
        custom_calls,
        custom_call_count
    );
    assert_layout!(source, "graven_symbol", abi::Symbol, name, lower, upper, source);
    assert_layout!(source, "graven_dim", abi::Dim, bound, symbol, extent);
    assert_layout!(source, "graven_tensor", abi::Tensor, name, dtype, rank, dims);
    assert_layout!(
        source,
        "graven_model",
        abi::Model,
        abi_version,
        input_count,
        output_count,
        state_count,
        symbol_count,
        extent_count,
        custom_call_count,
        reserved,
        name,
        cpu,
        inputs,
        outputs,
        states,
        symbols,
        custom_calls,
        arena_bytes,
        arena_bytes_per_worker,
        state_bytes,
        weights_bytes,
        weights_hash,
        embedded_weights,
        run,
        check_cpu,
        extents
    );
    compile_c(&source, &["-x", "c", "-std=c11"]);
}

#[test]
fn the_declarations_are_plain_c_and_cpp_and_can_be_repeated() {
    let twice = format!("{0}{0}", abi::C_DECLARATIONS);
    compile_c(&twice, &["-x", "c", "-std=c99"]);
    compile_c(&twice, &["-x", "c++", "-std=c++11"]);
}

#[test]
fn the_documentation_shows_the_declarations() {
    let page = include_str!("../../docs/abi.md");
    for line in
        abi::C_DECLARATIONS.lines().filter(|line| line.starts_with("    ") || line.starts_with("typedef"))
    {
        assert!(page.contains(line.trim_end()), "docs/abi.md lacks `{line}`");
    }
}
