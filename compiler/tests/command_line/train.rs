//! `graven train` and `graven compile --train`.

use crate::graven::{Ended, graven_in, models, write, write_npz};
use graven_ir::weights::WeightsFile;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Two classes by the sign of a sum, learned by a small network that ends with `last`.
fn network(last: &str) -> String {
    format!(
        "constant @w1 : f32[8, 4] = splat(0.3)
constant @b1 : f32[8] = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8]
constant @w2 : f32[2, 8] = [[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0]]
dim N in 1..=64
func @main(%x: f32[N, 4]) -> (y: f32[N, 2]) {{
  %w1 = constant @w1 : f32[8, 4]
  %1 = dot_general %x, %w1 {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]}} : f32[N, 8]
  %b1 = constant @b1 : f32[8]
  %2 = broadcast %b1 {{shape = [N, 8], dimensions = [1]}} : f32[N, 8]
  %3 = add %1, %2 : f32[N, 8]
  %4 = tanh %3 : f32[N, 8]
  %w2 = constant @w2 : f32[2, 8]
  %5 = dot_general %4, %w2 {{lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [1]}} : f32[N, 2]
{last}
}}
"
    )
}

const LOGITS: &str = "  return %5";
const PROBABILITIES: &str = "  %6 = softmax %5 {axis = 1} : f32[N, 2]\n  return %6";

/// The network and 50 samples for it.
fn samples(folder: &Path) {
    write(folder, "net.gir", &network(LOGITS));
    let values: Vec<f32> = (0..200).map(|k| ((k * 37 % 101) as f32 - 50.0) / 25.0).collect();
    write_npz(folder, "x.npz", &[("x", &[50, 4], &values)]);
    let classes: Vec<String> =
        values.chunks(4).map(|sample| i32::from(sample.iter().sum::<f32>() > 0.0).to_string()).collect();
    write(folder, "y.csv", &classes.join("\n"));
    let labels: Vec<u8> = classes.iter().map(|class| class.parse().expect("a class")).collect();
    std::fs::write(folder.join("y.idx"), [&[0, 0, 8, 1, 0, 0, 0, 50][..], &labels].concat())
        .expect("a folder");
}

const DATA: &str = "--train-x x.npz --train-y y.csv --loss cross-entropy --batch 10";

fn succeeds(folder: &Path, arguments: &str) -> Ended {
    let ended = graven_in(folder, arguments);
    assert_eq!(ended.code, Some(0), "{arguments}: {}", ended.stderr);
    ended
}

fn fails(folder: &Path, arguments: &str, code: i32, reason: &str) {
    let ended = graven_in(folder, arguments);
    assert_eq!(ended.code, Some(code), "{arguments}: {}", ended.stderr);
    assert!(ended.stderr.contains(reason), "{arguments}: {}", ended.stderr);
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn it_learns_and_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    samples(folder);
    let train = format!("train net.gir {DATA} --optimizer adam --lr 0.02 --valid-x x.npz --valid-y y.csv");
    let whole =
        succeeds(folder, &format!("{train} --epochs 12 --log log.jsonl --plot curve.svg -o a.safetensors"));
    let last = whole.stdout.lines().last().unwrap().to_string();
    let accuracy = last.rsplit("accuracy ").next().and_then(|text| text.split(' ').next());
    assert!(accuracy.unwrap().parse::<f64>().unwrap() >= 90.0, "{}", whole.stdout);
    assert_eq!(String::from_utf8(read(folder, "log.jsonl")).unwrap().lines().count(), 12 * 5 + 12);
    assert!(read(folder, "curve.svg").starts_with(b"<svg"));
    succeeds(folder, &format!("{train} --epochs 4 --checkpoint state -o b.safetensors"));
    succeeds(folder, &format!("{train} --epochs 12 --resume state --threads 2 -o b.safetensors"));
    assert!(read(folder, "a.safetensors") == read(folder, "b.safetensors"), "resuming changes the result");
}

#[test]
fn a_softmax_is_part_of_the_loss_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    samples(folder);
    write(folder, "softmax.gir", &network(PROBABILITIES));
    for model in ["net", "softmax"] {
        succeeds(
            folder,
            &format!("train {model}.gir {DATA} --optimizer sgd --epochs 2 -o {model}.safetensors"),
        );
    }
    assert!(read(folder, "net.safetensors") == read(folder, "softmax.safetensors"), "the losses differ");
    let nll = DATA.replace("cross-entropy", "nll");
    let refused = format!("train softmax.gir {nll} --optimizer sgd --epochs 2 -o out.safetensors");
    fails(folder, &refused, 2, "output `y` is a softmax, but nll takes logarithms");
}

#[test]
fn misuse() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    samples(folder);
    let out = "--epochs 1 -o out.safetensors";
    fails(folder, &format!("train net.gir {DATA} {out}"), 2, "--optimizer NAME is missing");
    fails(
        folder,
        &format!("train net.gir {DATA} --optimizer sgd {out} --onnx out.onnx"),
        2,
        "is an ONNX file",
    );
    fails(
        folder,
        &format!("train net.gir {DATA} --optimizer sgd {out} --freeze w3"),
        2,
        "there are w1, b1, w2",
    );
    fails(folder, &format!("train net.gir {DATA} --optimizer sgd {out} --plot curve.jpg"), 2, ".svg");
    fails(folder, "compile net.gir --loss mse -o t", 2, "need --train");
    fails(folder, "compile net.gir --train --loss mse -o t", 2, "--batch");
    fails(folder, "compile net.gir --train --batch 5 -o t", 2, "--loss NAME");
    let cosine = "compile net.gir --train --batch 5 --loss mse --optimizer sgd --schedule cosine -o t";
    fails(folder, cosine, 2, "give --steps N");
    assert!(!folder.join("out.safetensors").exists());
}

/// The compiled training gives the bytes of `graven train`.
#[cfg(target_os = "linux")]
#[test]
fn an_executable_trains_as_the_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    samples(folder);
    let step = "--batch 10 --loss cross-entropy --optimizer adam --lr 0.02 --weight-decay 0.1 --freeze b1";
    let files = "--train-x x.npz --x-scale 0.5 --seed 3 --epochs 3";
    let command = succeeds(folder, &format!("train net.gir {step} {files} --train-y y.csv -o a.safetensors"));
    succeeds(folder, &format!("compile net.gir --train {step} -o trainer"));
    let run = |arguments: &str| -> Ended {
        let mut command = Command::new(folder.join("trainer"));
        command.args(arguments.split_whitespace()).current_dir(folder).output().expect("it starts").into()
    };
    let executable = run(&format!("{files} --train-y y.idx --threads 2 --output b.safetensors"));
    assert_eq!(executable.code, Some(0), "{}", executable.stderr);
    assert_eq!(executable.stdout, command.stdout);
    assert!(read(folder, "a.safetensors") == read(folder, "b.safetensors"), "the results differ");
    let help = run("--help").stdout;
    assert!(help.contains("in steps of 10 samples") && help.contains("input f32 [4]"), "{help}");
    for (arguments, reason) in [
        ("--train-x x.npz --epochs 1 -o c", "--train-y FILE is missing"),
        ("--train-x x.npz --train-y y.idx -o c", "--epochs N or --steps N is missing"),
        ("--train-x y.idx --train-y y.idx --epochs 1 -o c", "a sample has 1 elements, the model takes 4"),
        ("--train-x x.npz --train-y x.npz --epochs 1 -o c", "'x.npz': a sample has 4 elements"),
        ("--batch 10", "unknown argument '--batch'"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{arguments}: {}", ended.stderr);
    }
    succeeds(folder, &format!("compile net.gir --train {step} --emit obj -o step.o"));
    let header = String::from_utf8(read(folder, "step.h")).unwrap();
    for text in ["step_initial_states[]", "STEP_INITIAL_STATE_BYTES", "STEP_STATE_W1_OFFSET ((uint64_t)0u)"] {
        assert!(header.contains(text), "{header}");
    }
}

#[test]
fn the_result_as_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let images: Vec<f32> = (0..4 * 784).map(|k| (k * 31 % 97) as f32 / 97.0).collect();
    write_npz(folder, "x.npz", &[("x", &[4, 784], &images)]);
    write(folder, "y.csv", "3\n1\n4\n1\n");
    let model = models().join("digits.onnx").display().to_string();
    let data = "--train-x x.npz --train-y y.csv --loss cross-entropy --optimizer momentum";
    let output = "-o out.safetensors --onnx out.onnx";
    succeeds(folder, &format!("train {model} {data} --batch 1 --epochs 2 {output}"));
    let trained = WeightsFile::parse(read(folder, "out.safetensors")).unwrap();
    let loaded = graven::api::Compiler::default().load(folder.join("out.onnx")).unwrap();
    let module = loaded.module().unwrap().module;
    let mut compared = 0;
    for name in trained.names() {
        let constant = module.constants.values().find(|constant| *constant.name == *name).unwrap();
        assert_eq!(constant.tensor, trained.tensor(&name).unwrap(), "{name}");
        compared += 1;
    }
    assert!(compared > 0);
    assert!(read(folder, "out.onnx") != std::fs::read(&model).unwrap(), "training changes something");
}

#[cfg(unix)]
#[test]
fn kill_never_leaves_an_unreadable_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    samples(folder);
    let arguments = format!(
        "train net.gir {DATA} --optimizer adam --epochs 1000000 --checkpoint state -o out.safetensors"
    );
    let checkpoint = folder.join("state/checkpoint.safetensors");
    for round in 0..12 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graven"));
        let resume = if round > 0 { " --resume state" } else { "" };
        command.args(format!("{arguments}{resume}").split_whitespace()).current_dir(folder);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = std::fs::metadata(&checkpoint).ok().and_then(|metadata| metadata.modified().ok());
        // Until it writes checkpoints, then some time of its own for each round.
        let written = || std::fs::metadata(&checkpoint).ok().and_then(|metadata| metadata.modified().ok());
        while written() == before {
            assert!(child.try_wait().unwrap().is_none(), "the training ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let file = WeightsFile::parse(std::fs::read(&checkpoint).unwrap()).unwrap();
        assert_eq!(file.names().len(), 3 * 3 + 1);
    }
    let steps = |path: &Path| {
        let file = WeightsFile::parse(std::fs::read(path).unwrap()).unwrap();
        file.tensor("train.step").unwrap().to_i64s().unwrap()[0]
    };
    assert!(steps(&checkpoint) >= 12 * 5, "resumed trainings go on");
}
