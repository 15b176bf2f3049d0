//! Executables from end to end: the runtime's object, a model written by hand in C, and `cc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use graven_runtime::abi::DType;
use graven_runtime::npz::{Archive, Writer};
use graven_runtime::weights;

#[path = "../standalone_object.rs"]
mod standalone_object;

/// The model's only weight.
const SCALE: f32 = -2.5;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn runtime() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The object, built once for all tests.
fn object() -> &'static Path {
    static OBJECT: OnceLock<PathBuf> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let target_dir = folder().join("runtime-object");
        standalone_object::build(&runtime(), &target_dir, None).unwrap_or_else(|error| panic!("{error}"))
    })
}

fn link(source: &Path, executable: &Path, arguments: &[&str]) {
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]).args(arguments);
    command.arg("-I").arg(runtime().join("include")).arg(source).arg(object());
    command.args(standalone_object::LINK_ARGUMENTS).arg("-o").arg(executable);
    assert!(command.status().expect("a C compiler called cc").success(), "{command:?}");
}

/// A folder with the executable, its weights and inputs that it takes.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
        let executable = EXECUTABLE.get_or_init(|| {
            let executable = folder().join("by_hand");
            let hash: Vec<String> =
                weights::hash(&SCALE.to_ne_bytes()).iter().map(|byte| byte.to_string()).collect();
            let define = format!("-DWEIGHTS_HASH={}", hash.join(","));
            link(&runtime().join("tests/model.c"), &executable, &[&define]);
            executable
        });
        let place = Place(folder().join(format!("place-{name}")));
        fs::create_dir_all(&place.0).expect("a folder");
        fs::copy(executable, place.path("model")).expect("a copy");
        fs::write(place.path("model.weights"), SCALE.to_ne_bytes()).expect("a file");
        place.write("in.npz", &[x(4), k(-1)]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, arrays: &[(&str, DType, Vec<i64>, Vec<u8>)]) {
        let mut writer = Writer::new(Vec::new());
        for (name, dtype, shape, data) in arrays {
            writer.add(name, *dtype, shape, data).expect("an array");
        }
        fs::write(self.path(name), writer.finish().expect("memory")).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.path("model"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("the executable")
    }

    /// Runs and gives the only line of standard error, with the expected exit code.
    fn error(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let line = message.strip_prefix("model: ").and_then(|line| line.strip_suffix('\n'));
        let line = line.unwrap_or_else(|| panic!("not one line of the program's: {message}"));
        assert!(!line.contains('\n'), "{message}");
        line.to_string()
    }
}

/// The first `3 * rows` elements of 0, -1, 2, -3 …
fn x(rows: i64) -> (&'static str, DType, Vec<i64>, Vec<u8>) {
    ("x", DType::F32, vec![rows, 3], values(rows).iter().flat_map(|value| value.to_ne_bytes()).collect())
}

fn values(rows: i64) -> Vec<f32> {
    (0..3 * rows).map(|index| if index % 2 == 0 { index as f32 } else { -index as f32 }).collect()
}

fn k(value: i64) -> (&'static str, DType, Vec<i64>, Vec<u8>) {
    ("k", DType::I64, vec![], value.to_ne_bytes().to_vec())
}

/// Checks the outputs for `x(rows)` and `k(-1)`.
fn check(file: &Path, rows: i64, count: i64) {
    let file = fs::read(file).expect("outputs");
    let archive = Archive::open(&file).expect("an archive");
    assert_eq!(archive.names().collect::<Vec<_>>(), ["y", "flat", "positive", "small", "count"]);
    let array = |name: &str| archive.get(name).expect(name).expect(name);
    let scaled: Vec<u8> = values(rows).iter().flat_map(|value| (SCALE * value).to_ne_bytes()).collect();
    assert_eq!((array("y").shape, array("y").data.to_vec()), (vec![rows, 3], scaled.clone()));
    assert_eq!((array("flat").shape, array("flat").data.to_vec()), (vec![3 * rows], scaled));
    let positive: Vec<i64> = (1..3 * rows).filter(|index| index % 2 == 0).collect();
    assert_eq!(array("positive").shape, [positive.len() as i64]);
    let positive: Vec<u8> = positive.iter().flat_map(|index| index.to_ne_bytes()).collect();
    assert_eq!(array("positive").data.to_vec(), positive);
    assert_eq!((array("small").dtype, array("small").data.to_vec()), (DType::I8, vec![255, 0, 1]));
    assert_eq!(array("count").data.to_vec(), count.to_ne_bytes());
}

#[test]
fn runs_with_any_number_of_threads() {
    let place = Place::new("threads");
    for (rows, threads) in [(4, None), (1, Some("1")), (64, Some("2")), (63, Some("5"))] {
        place.write("in.npz", &[x(rows), k(-1)]);
        let mut arguments = vec!["--inputs", "in.npz", "--outputs=out.npz"];
        arguments.extend(threads.iter().flat_map(|threads| ["--threads", threads]));
        let output = place.run(&arguments);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty());
        check(&place.path("out.npz"), rows, 1);
    }
}

#[test]
fn prints_a_line_per_output() {
    let place = Place::new("summary");
    let output = place.run(&["--inputs", "in.npz"]);
    let expected = "\
y  f32 [4, 3]  min -25  max 27.5  mean 1.25
flat  f32 [12]  min -25  max 27.5  mean 1.25
positive  i64 [5]  min 2  max 10  mean 6
small  i4 [3]  min -1  max 1  mean 0
";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn a_state_goes_from_run_to_run() {
    let place = Place::new("state");
    place.write("in.npz", &[x(4), k(-1), ("count", DType::I64, vec![1], 41i64.to_ne_bytes().to_vec())]);
    assert!(place.run(&["--inputs", "in.npz", "--outputs", "out.npz"]).status.success());
    check(&place.path("out.npz"), 4, 42);
    place.write("in.npz", &[x(4), k(-1), ("count", DType::I64, vec![2], vec![0; 16])]);
    assert_eq!(place.error(2, &["--inputs=in.npz"]), "state 'count' has shape [2] instead of [1]");
}

#[test]
fn bench_prints_times() {
    let place = Place::new("bench");
    let output = place.run(&["--inputs", "in.npz", "--bench", "--threads=2"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.lines().last().expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        [words[0], words[2], words[3], words[5], words[6]],
        ["median", "ms", "p95", "ms", "runs"],
        "{line}"
    );
    assert_eq!(words[8..], ["threads", "2"]);
    let number = |index: usize| words[index].parse::<f64>().expect("a number");
    assert!(number(1) <= number(4) && number(7) >= 5.0, "{line}");
}

#[test]
fn help_and_version() {
    let place = Place::new("help");
    let help = place.run(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    for part in [
        "Runs the model 'by_hand'.\n\n  --inputs FILE ",
        "\n\nInputs:\n  x  f32 [N, 3]\n  k  i64 []\n\nStates:\n  count  i64 [1]\n\nOutputs:\n  y  f32 [N, 3]\n  flat  f32 [?]\n",
        "\n\nDimensions:\n  N  1..=64\n  P  0..=192\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let version = place.run(&["--version"]);
    let expected = format!("by_hand (graven {}, interface 1)\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
}

#[test]
fn wrong_inputs_are_named() {
    let place = Place::new("inputs");
    let check = |arrays: &[(&'static str, DType, Vec<i64>, Vec<u8>)], message: &str| {
        place.write("in.npz", arrays);
        assert_eq!(place.error(2, &["--inputs", "in.npz"]), message);
    };
    check(&[x(4)], "'in.npz': there is no array 'k' for the input of that name (i64 [])");
    check(&[k(0)], "'in.npz': there is no array 'x' for the input of that name (f32 [N, 3])");
    let narrow = ("k", DType::I32, vec![], vec![0; 4]);
    check(&[x(4), narrow], "input 'k' has element type i32 instead of i64");
    let x_of = |shape: &[i64]| {
        let count = shape.iter().product::<i64>() as usize;
        ("x", DType::F32, shape.to_vec(), vec![0; 4 * count])
    };
    check(&[x_of(&[4]), k(0)], "input 'x' has shape [4] instead of [N, 3]");
    check(&[x_of(&[4, 2]), k(0)], "input 'x' has shape [4, 2] instead of [N, 3]");
    check(&[x_of(&[65, 3]), k(0)], "dimension N of input 'x' is 65, the model was compiled for 1..=64");
    check(&[x_of(&[0, 3]), k(0)], "dimension N of input 'x' is 0, the model was compiled for 1..=64");
    check(&[x(4), k(-9)], "an index in the data is outside the tensor that it indexes");
    fs::write(place.path("in.npz"), b"not an archive at all").expect("a file");
    assert_eq!(place.error(2, &["--inputs", "in.npz"]), "'in.npz': not a valid npz file: it is too short");
    fs::copy(runtime().join("tests/data/c_order.npy"), place.path("in.npy")).expect("a copy");
    assert_eq!(
        place.error(2, &["--inputs", "in.npy"]),
        "'in.npy': an npy file does for a model with one input only, this needs an npz file"
    );
}

#[test]
fn wrong_usage_is_explained() {
    let place = Place::new("usage");
    for (arguments, message) in [
        (&[][..], "--inputs FILE is missing, see --help"),
        (&["--inputs", "none.npz"], "cannot read 'none.npz': No such file or directory"),
        (&["--inputs", "."], "cannot read '.': Is a directory"),
        (&["--inputs", "in.npz", "--threads", "no"], "--threads must be a number in 1..=1024"),
        (&["--inputs", "in.npz", "--output", "x"], "unknown argument '--output', see --help"),
        (
            &["--inputs", "in.npz", "--outputs", "no/out.npz"],
            "cannot write 'no/out.npz': No such file or directory",
        ),
        (
            &["--inputs", "in.npz", "--weights", "in.npz"],
            "the weights file 'in.npz' has 498 bytes, the model's weights have 4",
        ),
    ] {
        if arguments.contains(&"--weights") {
            let bytes = fs::metadata(place.path("in.npz")).expect("a file").len();
            let message = message.replace("498", &bytes.to_string());
            assert_eq!(place.error(2, arguments), message);
        } else {
            assert_eq!(place.error(2, arguments), message);
        }
    }
    fs::write(place.path("other.weights"), 1f32.to_ne_bytes()).expect("a file");
    assert_eq!(
        place.error(2, &["--inputs", "in.npz", "--weights=other.weights"]),
        "the weights file 'other.weights' is damaged or belongs to another model: its hash is wrong"
    );
    fs::remove_file(place.path("model.weights")).expect("the weights");
    assert!(place.error(2, &["--inputs", "in.npz"]).ends_with("model.weights': No such file or directory"));
}

#[test]
fn another_cpu_is_refused() {
    let place = Place::new("cpu");
    let mut command = Command::new(place.path("model"));
    let output =
        command.args(["--inputs", "in.npz"]).env("GRAVEN_TEST_OLD_CPU", "1").output().expect("a run");
    assert_eq!(output.status.code(), Some(3));
    let expected = "model: this CPU lacks features that the model needs: a newer one\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
}

#[test]
fn a_failure_leaves_the_old_output() {
    let place = Place::new("old");
    fs::write(place.path("out.npz"), b"old").expect("a file");
    place.write("in.npz", &[x(4), k(-9)]);
    place.error(2, &["--inputs", "in.npz", "--outputs", "out.npz"]);
    assert_eq!(fs::read(place.path("out.npz")).expect("the file"), b"old");
    let mut names: Vec<_> = fs::read_dir(&place.0)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["in.npz", "model", "model.weights", "out.npz"]);
    // A full disk, as far as one can have it in a test.
    place.write("in.npz", &[x(4), k(-1)]);
    let output = place.run(&["--inputs", "in.npz", "--outputs", "/dev/full"]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "model: cannot write '/dev/full': No space left on device\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
}

/// A model of one input and embedded weights, which negates bytes. It needs a header and nothing else.
const SMALL_MODEL: &str = r#"
#include "graven_abi.h"
static const int8_t factor = -1;
static int32_t run(void *const *io, void *const *state, int64_t *dims, void *arena, const graven_exec *exec) {
    (void)state, (void)dims, (void)arena;
    for (int i = 0; i < 4; i++) ((int8_t *)io[1])[i] = (int8_t)(factor * ((const int8_t *)io[0])[i]);
    return exec->weights == 0 ? 0 : 99;
}
static const graven_dim dims[] = {{4, -1, -1}};
static const graven_tensor input = {"in", GRAVEN_I8, 1, dims}, output = {"out", GRAVEN_I8, 1, dims};
static const graven_model model = {
    .abi_version = VERSION, .input_count = 1, .output_count = 1, .name = "small", .cpu = "", .inputs = &input,
    .outputs = &output, .weights_bytes = 1, .embedded_weights = &factor, .run = run,
};
int graven_main(int argc, char **argv, const graven_model *model);
int main(int argc, char **argv) { return graven_main(argc, argv, &model); }
"#;

fn small_model(name: &str, version: u32) -> PathBuf {
    let source = folder().join(format!("{name}.c"));
    fs::write(&source, SMALL_MODEL).expect("a file");
    let executable = folder().join(name);
    link(&source, &executable, &[&format!("-DVERSION={version}")]);
    executable
}

#[test]
fn a_single_input_may_be_an_npy_file() {
    let executable = small_model("single", 1);
    let input = folder().join("single.npy");
    let mut npy = graven_runtime::npy::write_header(DType::I8, &[4]);
    npy.extend_from_slice(&[1, 2, 3, 0xfc]);
    fs::write(&input, npy).expect("a file");
    let output = Command::new(&executable).arg("--inputs").arg(&input).output().expect("a run");
    let expected = "out  i8 [4]  min -3  max 4  mean -0.5\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    let output = Command::new(&executable).arg("--inputs").arg(&input).args(["--weights", "x"]).output();
    let message = "single: this executable has its weights inside and takes no --weights\n";
    assert_eq!(String::from_utf8_lossy(&output.expect("a run").stderr), message);
}

#[test]
fn another_interface_is_refused() {
    let executable = small_model("newer", 2);
    let output = Command::new(&executable).arg("--version").output().expect("a run");
    assert_eq!(output.status.code(), Some(3));
    let message = "newer: the model was compiled for another version of the calling interface\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), message);
}

#[test]
fn the_runtime_is_small() {
    let with = folder().join("size-with");
    let without = folder().join("size-without");
    let source = folder().join("empty.c");
    fs::write(
        &source,
        "int graven_main(int, char **, void *); int main(int c, char **v) { return graven_main(c, v, 0); }",
    )
    .expect("a file");
    link(&source, &with, &["-std=c2x"]);
    fs::write(&source, "int main(void) { return 0; }").expect("a file");
    link(&source, &without, &[]);
    let size = |path: &Path| fs::metadata(path).expect("an executable").len();
    let added = size(&with) - size(&without);
    assert!(added < 60 << 10, "the runtime adds {added} bytes to an executable");
}
