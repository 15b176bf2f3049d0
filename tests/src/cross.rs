//! Objects of other architectures: compiled, linked with a C program that runs them all, and run, emulated where need be.

use crate::random_graph::Case;
use graven::api::{Backend, Compiler, Options, Product};
use graven_ir::{DType, Tensor};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A machine that runs objects.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The target's triple; the host's if `None`.
    pub triple: Option<&'static str>,
    /// The C compiler, and what it takes to link without libraries of the target at run time.
    pub compiler: &'static [&'static str],
    /// What runs its programs: the first of these that is there; empty for the programs themselves.
    pub emulators: &'static [&'static str],
    /// Whether the highest byte of a number comes first.
    pub is_big_endian: bool,
}

/// The host.
pub const HOST: Machine = Machine { triple: None, compiler: &["cc"], emulators: &[], is_big_endian: false };

/// AArch64, which is tested by everyone who has these tools.
pub const AARCH64: Machine = Machine {
    triple: Some("aarch64-unknown-linux-gnu"),
    compiler: &["aarch64-linux-gnu-gcc", "-static"],
    emulators: &["qemu-aarch64", "qemu-aarch64-static"],
    is_big_endian: false,
};

/// 64-bit RISC-V without vectors.
pub const RISCV64: Machine = Machine {
    triple: Some("riscv64gc-unknown-linux-gnu"),
    compiler: &["riscv64-linux-gnu-gcc", "-static"],
    emulators: &["qemu-riscv64", "qemu-riscv64-static"],
    is_big_endian: false,
};

/// IBM Z.
pub const S390X: Machine = Machine {
    triple: Some("s390x-unknown-linux-gnu"),
    compiler: &["s390x-linux-gnu-gcc", "-static"],
    emulators: &["qemu-s390x", "qemu-s390x-static"],
    is_big_endian: true,
};

fn exists(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

impl Machine {
    fn emulator(&self) -> Option<&'static str> {
        self.emulators.iter().copied().find(|emulator| exists(emulator))
    }

    /// The tools that are missing; empty if programs can be linked and run.
    pub fn missing_tools(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        missing.extend(self.compiler.first().filter(|compiler| !exists(compiler)));
        missing.extend(self.emulators.first().filter(|_| self.emulator().is_none()));
        missing
    }
}

/// Reads the inputs of every model from one file, runs it, and writes its outputs to another.
const MAIN: &str = r#"
static const size_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};

static void *buffer(const graven_tensor *tensor, size_t *bytes) {
    *bytes = sizes[tensor->dtype];
    for (uint32_t i = 0; i < tensor->rank; i++) {
        *bytes *= (size_t)tensor->dims[i].bound;
    }
    return aligned_alloc(64, (*bytes + 64) / 64 * 64);
}

int main(int argc, char **argv) {
    if (argc != 3) return 100;
    FILE *from = fopen(argv[1], "rb"), *to = fopen(argv[2], "wb");
    if (!from || !to) return 101;
    for (size_t m = 0; m < sizeof(models) / sizeof(models[0]); m++) {
        const graven_model *model = models[m];
        void *io[64];
        size_t bytes[64];
        uint32_t inputs = model->input_count, all = inputs + model->output_count;
        for (uint32_t i = 0; i < all; i++) {
            io[i] = buffer(i < inputs ? &model->inputs[i] : &model->outputs[i - inputs], &bytes[i]);
            if (!io[i]) return 102;
            if (i < inputs && fread(io[i], 1, bytes[i], from) != bytes[i]) return 103;
        }
        if (model->check_cpu() != 0) return 104;
        size_t arena = model->arena_bytes + model->arena_bytes_per_worker;
        void *memory = aligned_alloc(64, (arena + 64) / 64 * 64);
        int32_t code = model->run(io, NULL, NULL, memory, NULL);
        if (code != 0) {
            fprintf(stderr, "model %zu: error %d\n", m, (int)code);
            return 105;
        }
        for (uint32_t i = inputs; i < all; i++) {
            if (fwrite(io[i], 1, bytes[i], to) != bytes[i]) return 106;
        }
    }
    return fclose(to) == 0 ? 0 : 107;
}
"#;

/// Compiles the cases for a machine, links and runs them; gives the outputs of each, which have the types of `like`.
///
/// # Errors
/// What failed.
pub fn run(
    machine: Machine,
    backend: Backend,
    cases: &[Case],
    like: &[Vec<Tensor>],
) -> Result<Vec<Vec<Tensor>>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = |name: &str| folder.path().join(name);
    let (mut includes, mut models) = (String::new(), String::new());
    let mut command = Command::new(machine.compiler[0]);
    command
        .current_dir(folder.path())
        .args(&machine.compiler[1..])
        .args(["-O1", "-Wall", "-Werror", "main.c"]);
    let target = machine.triple.map(String::from);
    let options = Options { target, backend, threads: Some(1), ..Options::default() };
    for (n, case) in cases.iter().enumerate() {
        let object = format!("m{n}.o");
        let model = Compiler::new(options.clone()).module(case.module.clone());
        model.write(Product::Object, &path(&object)).map_err(|error| format!("{error}\n{}", case.module))?;
        let _ = writeln!(includes, "#include \"m{n}.h\"");
        let _ = write!(models, "&m{n}_model, ");
        command.arg(object);
    }
    let headers = "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n";
    let code =
        format!("{headers}{includes}\nstatic const graven_model *const models[] = {{{models}}};\n{MAIN}");
    write(&path("main.c"), code.as_bytes())?;
    let inputs: Vec<u8> =
        cases.iter().flat_map(|case| &case.inputs).flat_map(|x| bytes(x, machine)).collect();
    write(&path("inputs"), &inputs)?;
    succeed(command.args(["-o", "program"]))?;
    let mut program = match machine.emulator() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.arg(path("program"));
            command
        }
        None => Command::new(path("program")),
    };
    succeed(program.arg(path("inputs")).arg(path("outputs")))?;
    let outputs = std::fs::read(path("outputs")).map_err(|error| error.to_string())?;
    let mut rest = outputs.as_slice();
    let mut take = |like: &Tensor| {
        let (data, others) = rest.split_at_checked(like.data().len()).ok_or("an output is too short")?;
        rest = others;
        let data = in_order(like.dtype(), data, machine);
        Tensor::new(like.dtype(), like.shape().to_vec(), data).map_err(|error| error.to_string())
    };
    like.iter().map(|outputs| outputs.iter().map(&mut take).collect()).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn bytes(tensor: &Tensor, machine: Machine) -> Vec<u8> {
    in_order(tensor.dtype(), tensor.data(), machine)
}

/// Elements from little-endian to the machine's order, or back.
fn in_order(dtype: DType, data: &[u8], machine: Machine) -> Vec<u8> {
    let mut data = data.to_vec();
    if machine.is_big_endian {
        data.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    data
}
