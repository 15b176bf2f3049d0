//! Damaged models: whatever the bytes are, `graven compile` ends in time, within its memory, with code 0, 2 or 3 and, unless it is 0, a sentence that
//! names a place.
//!
//! A case is a number, from which its model and its damage follow. `GRAVEN_MUTATIONS` says how many cases are run, and `GRAVEN_MUTATIONS_FROM` with which number
//! they begin; without them it is a short run over the small model of the repository. With `GRAVEN_TEST_DATA` the real models of up to 12 MB are damaged too.
//! What fails is kept in the folder of temporary files for the tests of this build (`target/tmp/mutations`), and the message has the command.

mod mutate;
mod proto;

use mutate::{Random, damaged};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Cases of a short run.
const SHORT: u64 = 60;
/// Files above this size are left out: copying and hashing them is most of the time.
const LARGEST: u64 = 12 << 20;
/// What the command is given.
const LIMITS: [&str; 4] = ["--max-memory", "2GB", "--max-seconds", "5"];
/// Address space in KiB: the limit, stacks that are reserved, the program and the model's file. Who takes more than the limit without noticing
/// is refused memory here and aborts.
const ADDRESS_SPACE: u64 = 3_500_000;
/// Time after which it hangs: the limit, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A model to be damaged.
struct Original {
    name: String,
    bytes: Vec<u8>,
    /// Arrays whose shapes give open extents their values.
    inputs: Option<PathBuf>,
}

fn original(path: &Path, name: &str, inputs: PathBuf) -> Option<Original> {
    let small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    let bytes = std::fs::read(path).ok().filter(|_| small)?;
    Some(Original { name: name.into(), bytes, inputs: inputs.exists().then_some(inputs) })
}

fn originals() -> Vec<Original> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models");
    let mut found: Vec<Original> =
        original(&repository.join("digits.onnx"), "digits", PathBuf::new()).into_iter().collect();
    if let Some(data) = std::env::var_os("GRAVEN_TEST_DATA") {
        let folders = std::fs::read_dir(data).expect("GRAVEN_TEST_DATA is a folder");
        let mut folders: Vec<PathBuf> = folders.filter_map(|entry| Some(entry.ok()?.path())).collect();
        folders.sort();
        found.extend(folders.iter().filter_map(|folder| {
            let name = folder.file_name()?.to_str()?;
            original(&folder.join("model.onnx"), name, folder.join("inputs.npz"))
        }));
    }
    found
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn main() {
    // `cargo test` hands its arguments to all tests; this one has no parts to choose from.
    let lists = std::env::args().any(|argument| argument == "--list");
    let filtered = std::env::args().skip(1).any(|argument| !argument.starts_with('-'));
    if lists || filtered {
        return;
    }
    let originals = originals();
    assert!(!originals.is_empty(), "there is no model");
    let count = number("GRAVEN_MUTATIONS").unwrap_or(SHORT);
    let from = number("GRAVEN_MUTATIONS_FROM").unwrap_or(0);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    std::fs::create_dir_all(&folder).expect("the folder is writable");
    let results: Vec<(String, Result<i32, String>)> = (from..from + count)
        .into_par_iter()
        .map(|case| {
            let original = &originals[case as usize % originals.len()];
            (original.name.clone(), run(case, original, &folder))
        })
        .collect();
    let mut codes: BTreeMap<i32, usize> = BTreeMap::new();
    let mut failures = 0;
    for (name, result) in &results {
        match result {
            Ok(code) => *codes.entry(*code).or_default() += 1,
            Err(message) => {
                failures += 1;
                eprintln!("{name}: {message}");
            }
        }
    }
    println!(
        "{} damaged copies of {} models: exit codes {codes:?}, {failures} failures",
        results.len(),
        originals.len()
    );
    assert_eq!(failures, 0, "damaged models were not treated as they should be");
}

/// The exit code of a case, or what is wrong.
fn run(case: u64, original: &Original, folder: &Path) -> Result<i32, String> {
    let mut random = Random::new(case);
    let (bytes, damage) = damaged(&original.bytes, &mut random);
    let path = folder.join(format!("{case}.onnx"));
    std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
    let output = path.with_extension("o");
    let graven = env!("CARGO_BIN_EXE_graven");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\""), "sh", graven, "compile"]);
    command.arg(&path).args(["--emit", "obj", "--threads", "1", "-o"]).arg(&output).args(LIMITS);
    if let Some(inputs) = &original.inputs {
        command.arg("--inputs").arg(inputs);
    }
    let log = path.with_extension("log");
    let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let child = command.spawn().map_err(|error| error.to_string())?;
    let ended = wait(child);
    let message = std::fs::read(&log).map_err(|error| error.to_string())?;
    let verdict = judge(ended, &String::from_utf8_lossy(&message), output.exists());
    for written in [output.with_extension("h"), output, log] {
        // Not all of them are there.
        let _ = std::fs::remove_file(written);
    }
    match verdict {
        Ok(code) => {
            let _ = std::fs::remove_file(path);
            Ok(code)
        }
        Err(reason) => Err(format!("case {case} ({damage}): {reason}\n  {command:?}")),
    }
}

/// The exit code; `None` for a signal or the end of patience.
fn wait(mut child: Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code(),
            Ok(None) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Whether the command ended as it should.
fn judge(code: Option<i32>, message: &str, written: bool) -> Result<i32, String> {
    let described = |reason: &str| Err(format!("{reason}: {code:?} {}", message.trim()));
    // ``error: node `conv` (Conv): …``, or a list of nodes after a number.
    let sentence = message.strip_prefix("error: ").and_then(|text| text.split_once(": "));
    match code {
        Some(0) if !written => described("nothing was written"),
        Some(0) => Ok(0),
        Some(2 | 3) if written => described("a failure wrote a file"),
        Some(2 | 3) if message.contains("internal error") || message.contains("panicked") => {
            described("a bug")
        }
        Some(2 | 3)
            if sentence.is_none_or(|(place, _)| place.is_empty())
                && !message.contains(" nodes are not supported:") =>
        {
            described("no sentence with a place")
        }
        Some(code @ (2 | 3)) => Ok(code),
        _ => described("ended otherwise"),
    }
}
