//! Kernels of other architectures, run by QEMU.
//!
//! A small C program (`server.c`) is compiled for the architecture and run by its emulator; it takes machine code and buffers and gives the buffers back.
//! Needs, on Debian, `qemu-user` or `qemu-user-static`, and `gcc-aarch64-linux-gnu`, `gcc-riscv64-linux-gnu`, `gcc-s390x-linux-gnu`. An architecture whose tools are
//! missing is left out, unless the variable `GRAVEN_REQUIRE_QEMU` is set; AArch64 is left out unless `GRAVEN_REQUIRE_CROSS` is set.

use crate::codegen::KernelCompiler;
use crate::codegen::abi::scratch_bytes;
use crate::codegen::cranelift::CraneliftCompiler;
use crate::kernel::Kernel;
use crate::target::{Arch, Target};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The targets that an emulator is there for.
pub fn targets() -> &'static [Target] {
    static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();
    TARGETS.get_or_init(|| {
        let all = [
            ("aarch64-unknown-linux-gnu", "generic"),
            ("riscv64gc-unknown-linux-gnu", "generic"),
            ("s390x-unknown-linux-gnu", "z14"),
            ("s390x-unknown-linux-gnu", "z15"),
        ];
        let all = all.iter().filter_map(|(triple, cpu)| Target::new(triple, Some(cpu)).ok());
        let host = Target::host().map(|host| host.arch).ok();
        let foreign = all.filter(|target| Some(target.arch) != host);
        let available = foreign.filter(|target| {
            let there = server(target.arch).is_some();
            let is_set = |variable| std::env::var_os(variable).is_some();
            let required = is_set("GRAVEN_REQUIRE_QEMU")
                || (target.arch == Arch::Aarch64 && is_set("GRAVEN_REQUIRE_CROSS"));
            assert!(there || !required, "no emulator for {}", target.triple);
            there
        });
        available.collect()
    })
}

struct Server {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// The emulator of an architecture, started when it is first wanted.
fn server(arch: Arch) -> Option<&'static Mutex<Server>> {
    type Servers = HashMap<&'static str, Option<&'static Mutex<Server>>>;
    static SERVERS: OnceLock<Mutex<Servers>> = OnceLock::new();
    let servers = SERVERS.get_or_init(Default::default);
    let mut servers = servers.lock().unwrap();
    *servers
        .entry(arch.name())
        .or_insert_with(|| start(arch.name()).map(|s| &*Box::leak(Box::new(Mutex::new(s)))))
}

fn start(arch: &str) -> Option<Server> {
    let folder = tempfile::tempdir().ok()?;
    let (source, program) = (folder.path().join("server.c"), folder.path().join("server"));
    std::fs::write(&source, include_str!("server.c")).ok()?;
    let compiler = format!("{arch}-linux-gnu-gcc");
    let compiled =
        Command::new(compiler).args(["-O1", "-static", "-o"]).arg(&program).arg(&source).status().ok()?;
    if !compiled.success() {
        return None;
    }
    let spawn = |emulator: String| {
        Command::new(emulator).arg(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()
    };
    let mut child = spawn(format!("qemu-{arch}")).or_else(|| spawn(format!("qemu-{arch}-static")))?;
    // The emulator has opened the program before it answers, so wait for that before the folder goes.
    let (mut input, mut output) = (child.stdin.take()?, child.stdout.take()?);
    request(&mut input, &[], 0, &[], &[], 0).ok()?;
    output.read_exact(&mut [0; 4]).ok()?;
    Some(Server { _child: child, input, output })
}

fn request(
    input: &mut ChildStdin,
    code: &[u8],
    scratch: u64,
    extents: &[i64],
    buffers: &[Vec<u8>],
    tasks: i64,
) -> std::io::Result<()> {
    // An empty mapping would be refused.
    let code = if code.is_empty() { &[0] } else { code };
    for count in [code.len() as u64, buffers.len() as u64, extents.len() as u64, scratch] {
        input.write_all(&(count as u32).to_le_bytes())?;
    }
    input.write_all(&tasks.to_le_bytes())?;
    input.write_all(code)?;
    extents.iter().try_for_each(|extent| input.write_all(&extent.to_le_bytes()))?;
    for buffer in buffers {
        input.write_all(&(buffer.len() as u32).to_le_bytes())?;
        input.write_all(buffer)?;
    }
    input.flush()
}

/// Runs a kernel on little-endian buffers.
pub fn run(
    kernel: &Kernel,
    target: &Target,
    buffers: &[&[u8]],
    extents: &[i64],
    tasks: i64,
) -> (Vec<Vec<u8>>, i32) {
    let code = CraneliftCompiler::new(target).unwrap().compile(kernel);
    let code = code.unwrap_or_else(|error| panic!("{error} on {}", target.triple));
    let sizes: Vec<usize> = kernel.arguments().map(|(_, buffer)| buffer.dtype.bytes()).collect();
    let mut memory: Vec<Vec<u8>> = buffers.iter().map(|bytes| bytes.to_vec()).collect();
    let swap = |memory: &mut [Vec<u8>]| {
        if target.arch == Arch::S390x {
            for (bytes, size) in memory.iter_mut().zip(&sizes) {
                bytes.chunks_exact_mut(*size).for_each(<[u8]>::reverse);
            }
        }
    };
    swap(&mut memory);
    let mut server = server(target.arch).unwrap().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Server { input, output, .. } = &mut *server;
    let mut exchange = || {
        request(input, &code.bytes, scratch_bytes(kernel), extents, &memory, tasks)?;
        let mut status = [0; 4];
        output.read_exact(&mut status)?;
        memory.iter_mut().try_for_each(|bytes| output.read_exact(bytes))?;
        Ok::<i32, std::io::Error>(i32::from_le_bytes(status))
    };
    let status = exchange()
        .unwrap_or_else(|error| panic!("{error} from the emulator of {}\n{kernel:?}", target.triple));
    swap(&mut memory);
    (memory, status)
}
