//! The main function of executables that hold one model: arguments, files, a run, and the time that it takes.
//!
//! ```text
//! MODEL --inputs in.npz [--outputs out.npz] [--threads N] [--weights FILE] [--bench]
//! ```
//!
//! Exit codes: 0 for success, 2 for bad usage or input and files that can't be read or written, 3 for a CPU or
//! a model that this executable can't run. An error is one line on standard error.

mod arguments;
mod bench;
#[cfg(graven_standalone)]
mod entry;
mod inputs;
mod run;
pub mod train;

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

use crate::abi;
use crate::error::Error;
use crate::model::{Model, Tensor};
use crate::sys::file::print;
use crate::sys::float_env;
use crate::text::text;
use arguments::Arguments;

/// What happens when a user starts an executable; the result is the exit code.
///
/// # Safety
/// `arguments` are `count` strings that end with a zero, the program's name first, and `model` is a descriptor that
/// says the truth; both for as long as the process lives.
pub unsafe fn main(count: i32, arguments: *const *const c_char, model: &'static abi::Model) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { start(count, arguments, model, act) }
}

/// Checks the descriptor, acts, and tells the user what went wrong.
///
/// # Safety
/// As [`main`].
unsafe fn start(
    count: i32,
    arguments: *const *const c_char,
    model: &'static abi::Model,
    act: impl FnOnce(&Model<'_>, &[&CStr]) -> Result<(), Error>,
) -> i32 {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's promise.
    let words: Vec<&CStr> =
        (0..count).map(|index| unsafe { CStr::from_ptr(*arguments.add(index)) }).collect();
    float_env::set_default();
    // SAFETY: the caller's promise.
    match unsafe { Model::new(model) }.and_then(|model| act(&model, &words)) {
        Ok(()) => 0,
        Err(error) => {
            let program = words.first().map_or(&b"graven"[..], |word| word.to_bytes());
            let program = program.rsplit(|byte| *byte == b'/').next().unwrap_or(program);
            let program = core::str::from_utf8(program).unwrap_or("graven");
            print(2, &text!("%: %\n", program, error.message()));
            error.exit_code()
        }
    }
}

fn act(model: &Model<'_>, words: &[&CStr]) -> Result<(), Error> {
    let arguments = Arguments::parse(words.get(1..).unwrap_or(&[]))?;
    if arguments.help {
        print(1, &help(model));
        return Ok(());
    }
    if arguments.version {
        print(1, &version(model));
        return Ok(());
    }
    check_cpu(model)?;
    run::run(model, &arguments)
}

fn version(model: &Model<'_>) -> String {
    let (runtime, interface) = (env!("CARGO_PKG_VERSION"), u64::from(abi::ABI_VERSION));
    text!("% (graven %, interface %)\n", model.name, runtime, interface)
}

/// Whether this CPU can run the model, and nothing else is needed.
fn check_cpu(model: &Model<'_>) -> Result<(), Error> {
    // SAFETY: the function has no preconditions.
    if model.raw.check_cpu.is_some_and(|check| unsafe { check() } != 0) {
        return Err(Error::unsupported(text!("this CPU lacks features that the model needs: %", model.cpu)));
    }
    if model.raw.custom_call_count > 0 {
        return Err(Error::unsupported(text!(
            "the model has custom calls, which only an application can give it"
        )));
    }
    Ok(())
}

const OPTIONS: &str = "  \
  --inputs FILE    npz file with an array per input (or the npy file of a single input)
  --outputs FILE   npz file to write the outputs to
  --threads N      number of threads, by default as many as there are CPUs to use
  --weights FILE   file of weights, by default the executable's name with .weights
  --bench          also run for some seconds and print the median time of a run
  --help           print this
  --version        print name and version
";

fn help(model: &Model<'_>) -> String {
    let mut help = text!("Runs the model '%'.\n\n%", model.name, OPTIONS);
    for (title, tensors) in
        [("Inputs", &model.inputs), ("States", &model.states), ("Outputs", &model.outputs)]
    {
        list(&mut help, model, title, tensors);
    }
    for (index, symbol) in model.symbols.iter().enumerate() {
        help.push_str(if index == 0 { "\nDimensions:\n" } else { "" });
        help.push_str(&text!("  %  %..=%\n", symbol.name, symbol.lower, symbol.upper));
    }
    help
}

fn list(help: &mut String, model: &Model<'_>, title: &str, tensors: &[Tensor<'_>]) {
    if tensors.is_empty() {
        return;
    }
    help.push_str(&text!("\n%:\n", title));
    for tensor in tensors {
        let shape = model.shape_text(tensor);
        help.push_str(&text!("  %  % %\n", tensor.name, tensor.dtype.name(), shape));
    }
}
