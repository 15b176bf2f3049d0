//! Single kernels, interpreted and compiled.

use graven::codegen::cranelift::CraneliftCompiler;
use graven::codegen::wide::WideCompiler;
use graven::codegen::{CodegenError, KernelCompiler};
use graven::emit::jit::JitError;
use graven::emit::jit::JitKernel;
use graven::kernel::interp::{self, RunLimits};
use graven::kernel::{Access, Kernel, VerifyLimits, verify};
use graven::target::Target;
use graven_ir::{DType, element};

/// Statements that the interpreter may execute in a test.
const LIMITS: RunLimits = RunLimits { statements: 50_000_000 };

/// Numbers of tasks that compiled kernels with a parallel loop are split into.
const TASKS: [i64; 2] = [1, 3];

/// What a kernel leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The contents of all arguments, in order.
    pub buffers: Vec<Vec<u8>>,
    /// The code of the first failed check, or 0.
    pub status: i32,
}

/// Runs a kernel by the interpreter, then compiled by every code generator for every CPU level of the host that has its instructions, with several numbers
/// of tasks. Every run must leave the same bits, but for those of NaNs.
///
/// # Errors
/// What the verifier or the interpreter says, or how a compiled kernel differs.
pub fn run_everywhere(kernel: &Kernel, buffers: &[Vec<u8>], extents: &[i64]) -> Result<Results, String> {
    let mut memory = buffers.to_vec();
    let outcome = interp::run_tasks(kernel, &mut memory, extents, 0..i64::MAX, LIMITS)
        .map_err(|error| error.to_string())?;
    let expected = Results { buffers: memory, status: outcome.status };
    let tasks = if kernel.parallel_loop().is_some() { &TASKS[..] } else { &TASKS[..1] };
    for target in host_levels()? {
        for (name, backend) in backends(&target)? {
            let compiled = match JitKernel::with_compiler(kernel, &target, &*backend) {
                Ok(compiled) => compiled,
                // Lower levels lack instructions; the host itself must do.
                Err(JitError::Codegen(CodegenError::Unsupported { .. })) if target.cpu != "native" => {
                    continue;
                }
                Err(error) => return Err(format!("{name} for {}: {error}", target.cpu)),
            };
            for tasks in tasks {
                let found = call(kernel, &compiled, buffers, extents, *tasks);
                difference(kernel, &expected, &found).map_err(|message| {
                    format!("compiled by {name} for {}, {tasks} tasks: {message}", target.cpu)
                })?;
            }
        }
    }
    Ok(expected)
}

/// A code generator with its name.
type Backend = (&'static str, Box<dyn KernelCompiler>);

/// The code generators of a target.
fn backends(target: &Target) -> Result<Vec<Backend>, String> {
    let portable = CraneliftCompiler::new(target).map_err(|error| error.to_string())?;
    let mut backends: Vec<Backend> = vec![("cranelift", Box::new(portable))];
    if target.widest_vector().is_some() {
        let wide = WideCompiler::new(target).map_err(|error| error.to_string())?;
        backends.push(("wide", Box::new(wide)));
    }
    Ok(backends)
}

/// The CPU levels that this machine can run, itself last.
fn host_levels() -> Result<Vec<Target>, String> {
    let host = Target::host().map_err(|error| error.to_string())?;
    let triple = host.triple.to_string();
    let levels = ["x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"];
    let levels = levels.iter().filter_map(|cpu| Target::new(&triple, Some(cpu)).ok());
    Ok(levels.filter(|target| host.features.contains(target.features)).chain([host.clone()]).collect())
}

/// Calls a compiled kernel that the interpreter has run with the same buffers and extents without a fault.
fn call(kernel: &Kernel, compiled: &JitKernel, buffers: &[Vec<u8>], extents: &[i64], tasks: i64) -> Results {
    // Words of 8 bytes, for the alignment of any element.
    let mut memory: Vec<Vec<u64>> =
        buffers.iter().map(|bytes| vec![0; bytes.len().div_ceil(8) + 1]).collect();
    for (words, bytes) in memory.iter_mut().zip(buffers) {
        bytemuck::cast_slice_mut::<u64, u8>(words)[..bytes.len()].copy_from_slice(bytes);
    }
    let pointers: Vec<*mut u8> = memory.iter_mut().map(|words| words.as_mut_ptr().cast()).collect();
    assert_eq!(pointers.len(), kernel.arguments().count());
    // SAFETY: the interpreter has found every access of the kernel within buffers of these sizes, with the same contents and extents.
    let status = unsafe { compiled.run(&pointers, extents, tasks) };
    let contents =
        |(words, bytes): (&Vec<u64>, &Vec<u8>)| bytemuck::cast_slice(words)[..bytes.len()].to_vec();
    Results { buffers: memory.iter().zip(buffers).map(contents).collect(), status }
}

fn difference(kernel: &Kernel, expected: &Results, found: &Results) -> Result<(), String> {
    // Where several checks fail, either code may be left.
    if (expected.status == 0) != (found.status == 0) {
        return Err(format!("the status is {} instead of {}", found.status, expected.status));
    }
    let arguments = kernel.arguments().zip(expected.buffers.iter().zip(&found.buffers));
    for ((_, buffer), (expected, found)) in arguments {
        let size = buffer.dtype.bytes();
        let elements = expected.chunks(size).zip(found.chunks(size)).enumerate();
        for (place, (expected, found)) in elements {
            if !same_element(buffer.dtype, expected, found) {
                let value = |bytes| element::decode_float(buffer.dtype, bytes);
                return Err(format!(
                    "element {place} of `{}` is {} ({found:02x?}), interpreted {} ({expected:02x?})",
                    buffer.name,
                    value(found),
                    value(expected)
                ));
            }
        }
    }
    Ok(())
}

/// Whether two elements have the same bits, where all NaNs are the same.
pub fn same_element(dtype: DType, a: &[u8], b: &[u8]) -> bool {
    let is_nan = |bytes| dtype.is_float() && element::decode_float(dtype, bytes).is_nan();
    a == b || is_nan(a) && is_nan(b)
}

/// The sizes of a kernel's arguments in bytes, for these extents.
///
/// # Errors
/// The kernel breaks a rule, or the size of a buffer depends on more than the extents.
pub fn argument_sizes(kernel: &Kernel, extents: &[i64]) -> Result<Vec<usize>, String> {
    verify(kernel, &VerifyLimits::NONE).map_err(|errors| errors[0].to_string())?;
    let value = |symbol: &graven_ir::Symbol| {
        let place = kernel.extents.iter().position(|(extent, _)| extent == symbol)?;
        extents.get(place).copied()
    };
    let arguments = kernel.buffers.values().filter(|buffer| buffer.access != Access::Scratch);
    let size = |buffer: &graven::kernel::Buffer| {
        let elements = buffer.elements.evaluate(&value).and_then(|elements| usize::try_from(elements).ok());
        let elements = elements.ok_or_else(|| format!("`{}` has no known size", buffer.name))?;
        elements.checked_mul(buffer.dtype.bytes()).ok_or_else(|| format!("`{}` is too large", buffer.name))
    };
    arguments.map(size).collect()
}
