//! Code for Windows, called here as Windows would: arguments in its registers, room of 32 bytes above the return address; what callers want back must come back.

use super::hot::tile;
use crate::codegen::wide::WideCompiler;
use crate::emit::jit::JitKernel;
use crate::kernel::{Access, Kernel, KernelBuilder, Spread, Type};
use crate::target::Target;
use graven_ir::{DType, Dim};

/// What is in the registers that callers want back, before and after a call: xmm6 to xmm15; rbx, rbp, rdi, rsi, r12 to r15.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    vectors: [[u64; 2]; 10],
    general: [u64; 8],
}

#[repr(C)]
struct Call {
    before: Saved,
    after: Saved,
}

/// Calls a function of Windows' calling convention with `before` in the registers, and leaves in `after` what is in them then.
///
/// # Safety
/// The function must be one that may be called with these arguments.
#[unsafe(naked)]
unsafe extern "sysv64" fn call(
    state: *mut Call,
    function: *const u8,
    words: *const u64,
    task: i64,
    worker: i64,
) {
    std::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        // The room for the function, and the stack aligned to 16 bytes.
        "sub rsp, 32",
        "mov rax, rsi",
        "mov r9, rdi",
        // The third argument to the first place, the fourth to the second; the fifth is in the third one's already.
        "xchg rcx, rdx",
        "movups xmm6, [r9]",
        "movups xmm7, [r9 + 16]",
        "movups xmm8, [r9 + 32]",
        "movups xmm9, [r9 + 48]",
        "movups xmm10, [r9 + 64]",
        "movups xmm11, [r9 + 80]",
        "movups xmm12, [r9 + 96]",
        "movups xmm13, [r9 + 112]",
        "movups xmm14, [r9 + 128]",
        "movups xmm15, [r9 + 144]",
        "mov rbx, [r9 + 160]",
        "mov rbp, [r9 + 168]",
        "mov rdi, [r9 + 176]",
        "mov rsi, [r9 + 184]",
        "mov r12, [r9 + 192]",
        "mov r13, [r9 + 200]",
        "mov r14, [r9 + 208]",
        "mov r15, [r9 + 216]",
        "call rax",
        "mov r9, [rsp + 32]",
        "add r9, {size}",
        "movups [r9], xmm6",
        "movups [r9 + 16], xmm7",
        "movups [r9 + 32], xmm8",
        "movups [r9 + 48], xmm9",
        "movups [r9 + 64], xmm10",
        "movups [r9 + 80], xmm11",
        "movups [r9 + 96], xmm12",
        "movups [r9 + 112], xmm13",
        "movups [r9 + 128], xmm14",
        "movups [r9 + 144], xmm15",
        "mov [r9 + 160], rbx",
        "mov [r9 + 168], rbp",
        "mov [r9 + 176], rdi",
        "mov [r9 + 184], rsi",
        "mov [r9 + 192], r12",
        "mov [r9 + 200], r13",
        "mov [r9 + 208], r14",
        "mov [r9 + 216], r15",
        "add rsp, 32",
        "pop rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        size = const size_of::<Saved>(),
    )
}

/// The wide targets that this machine can run, as they are here and as on Windows.
fn targets() -> Vec<(Target, Target)> {
    let host = Target::host().unwrap();
    let on = |triple: &str, cpu| Target::new(triple, Some(cpu)).unwrap().widened().unwrap();
    ["x86-64-v3", "x86-64-v4"]
        .into_iter()
        .map(|cpu| (on(&host.triple.to_string(), cpu), on("x86_64-pc-windows-msvc", cpu)))
        .filter(|(here, _)| host.features.contains(here.features))
        .collect()
}

fn patterns() -> Saved {
    let number = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut saved = Saved { vectors: [[0; 2]; 10], general: [0; 8] };
    saved.vectors.iter_mut().flatten().chain(&mut saved.general).zip(0..).for_each(|(x, n)| *x = number(n));
    saved
}

/// Runs all tasks with memory for the scratch buffers; gives the buffers.
fn run(
    kernel: &Kernel,
    (here, windows): &(Target, Target),
    buffers: &[Vec<f32>],
    tasks: u64,
) -> Vec<Vec<f32>> {
    let compiler = WideCompiler::new(windows).unwrap();
    let compiled = JitKernel::with_compiler(kernel, here, &compiler).unwrap();
    let mut buffers = buffers.to_vec();
    let mut scratch = vec![[0u64; 8]; 64];
    let start = scratch.as_mut_ptr() as u64;
    let (start, mut status) = (start.next_multiple_of(64), 0i32);
    let mut words: Vec<u64> = buffers.iter_mut().map(|buffer| buffer.as_mut_ptr() as u64).collect();
    words.extend([tasks, start, 1024, (&raw mut status) as u64]);
    for task in 0..tasks {
        let before = patterns();
        let mut state = Call { before, after: Saved { vectors: [[0; 2]; 10], general: [0; 8] } };
        let function = compiled.function() as *const u8;
        // SAFETY: the function has Windows' calling convention, and its arguments are what the kernel of these buffers wants; tasks take turns with two workers'
        // scratch memory.
        unsafe { call(&raw mut state, function, words.as_ptr(), task as i64, task as i64 % 2) };
        assert_eq!(state.after, before, "{} of {tasks} tasks for {}", kernel.name, here.cpu);
    }
    buffers
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|n| (n * 7 % 23) as f32 - 11.0).collect()
}

#[test]
fn kernels_for_windows_keep_the_registers() {
    for targets in targets() {
        let lanes = targets.0.lanes(4);
        let (rows, vectors) = if lanes == 16 { (12, 2) } else { (6, 2) };
        let kernel = tile(rows, vectors, lanes);
        let columns = vectors as usize * usize::from(lanes);
        let (a, b) = (numbers(rows as usize * 64), numbers(64 * columns));
        let results = run(&kernel, &targets, &[a.clone(), b.clone(), vec![0.0; rows as usize * columns]], 1);
        // Small whole numbers, so sums are exact in any order.
        for row in 0..rows as usize {
            for column in 0..columns {
                let sum: f32 = (0..64).map(|k| a[row * 64 + k] * b[k * columns + column]).sum();
                assert_eq!(results[2][row * columns + column], sum, "{row} {column}");
            }
        }
    }
}

/// The task is the second argument, the worker the third.
#[test]
fn kernels_for_windows_take_its_arguments() {
    for targets in targets() {
        let mut builder = KernelBuilder::new("scratch");
        let source = builder.buffer("x", DType::F32, 50i64, Access::Read);
        let result = builder.buffer("z", DType::F32, 50i64, Access::Write);
        let own = builder.buffer("s", DType::F32, 50i64, Access::Scratch);
        let ty = Type::scalar(DType::F32);
        builder.parallel_for(&Dim::from(50i64), |b, i| {
            let x = b.load(source, i, ty, Spread::Contiguous, None);
            let twice = b.add(x, x);
            b.store(twice, own, i, Spread::Contiguous, None);
            let twice = b.load(own, i, ty, Spread::Contiguous, None);
            let thrice = b.add(twice, x);
            b.store(thrice, result, i, Spread::Contiguous, None);
        });
        let kernel = builder.finish();
        let x = numbers(50);
        let results = run(&kernel, &targets, &[x.clone(), vec![0.0; 50]], 7);
        assert_eq!(results[1], x.iter().map(|x| 3.0 * x).collect::<Vec<_>>());
    }
}
