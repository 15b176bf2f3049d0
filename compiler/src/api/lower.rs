//! From a module to a lowered program, within the user's limits.

use super::Options;
use crate::codegen::CodegenError;
use crate::emit::jit::JitError;
use crate::error::{Error, Place};
use crate::form::FormError;
use crate::pipeline::{self, LowerError};
use crate::program::{Port, Program};
use crate::remarks::Remarks;
use crate::target::Target;
use graven_ir::{Constants, Graph, Module};
use std::time::Instant;

/// The program of a module's first function.
///
/// # Errors
/// Bad input where the program would exceed the limits of the options; unsupported and internal errors of the compiler.
pub(crate) fn lower(module: &Module, target: &Target, options: &Options) -> Result<Program, Error> {
    let begin = Instant::now();
    let mut start = begin;
    let mut observe = |name: &str, constants: &Constants, graph: &Graph| {
        options.stage(name, start.elapsed());
        if let Some(observer) = &options.observer {
            observer.graph(name, constants, graph);
        }
        start = Instant::now();
    };
    let mut remarks =
        Remarks::new(options.observer.as_ref().is_some_and(|observer| observer.wants_remarks()));
    let lowered = match options.max_arena {
        None => pipeline::lower(module, target, options.accuracy, &mut remarks, &mut observe),
        Some(budget) => {
            pipeline::lower_within(budget, module, target, options.accuracy, &mut remarks, &mut observe)
        }
    };
    if let Some(observer) = &options.observer {
        remarks.take().iter().for_each(|remark| observer.remark(remark));
    }
    let program = lowered.map_err(lower_error)?;
    options.stage("form", start.elapsed());
    check_memory(&program, options)?;
    match options.max_time {
        Some(limit) if begin.elapsed() > limit => {
            let reason = format!("compiling takes longer than {} seconds", limit.as_secs_f64());
            Err(Error::bad_input(Place::new("the model"), reason))
        }
        _ => Ok(program),
    }
}

/// What running the program takes must not exceed the limit.
fn check_memory(program: &Program, options: &Options) -> Result<(), Error> {
    let Some(limit) = options.max_memory else { return Ok(()) };
    let threads = options.threads()? as u64;
    let tensor = |port: &Port| {
        let elements = port.ty.checked_upper_elements().and_then(|elements| u64::try_from(elements).ok());
        elements.unwrap_or(u64::MAX).saturating_mul(port.ty.dtype.bytes() as u64)
    };
    let ports = program.inputs.iter().chain(&program.outputs).chain(&program.states);
    let parts = [program.weights_bytes, program.arena_bytes, program.scratch_bytes.saturating_mul(threads)];
    let needed = ports.map(tensor).chain(parts).fold(0, u64::saturating_add);
    match needed <= limit {
        true => Ok(()),
        false => {
            let reason = format!("needs {needed} bytes for weights and tensors, the limit is {limit}");
            Err(Error::bad_input(Place::new("the model"), reason))
        }
    }
}

fn lower_error(error: LowerError) -> Error {
    match error {
        LowerError::NoFunction => Error::bad_input(Place::new("the model"), "has no function"),
        LowerError::Form(FormError::Unsupported { place, reason }) => {
            Error::unsupported(Place::new(place), reason)
        }
        LowerError::Form(FormError::Internal(reason)) => Error::internal(Place::new("lowering"), reason),
        LowerError::Arena { .. } => Error::bad_input(Place::new("the model"), error.to_string()),
        LowerError::Pass(error) => Error::internal(Place::new("a pass"), error.0),
    }
}

pub(super) fn jit_error(error: JitError) -> Error {
    let reason = error.to_string();
    match error {
        JitError::Codegen(CodegenError::Unsupported { .. }) => {
            Error::unsupported(Place::new("code generation"), reason)
        }
        JitError::OtherMachine { .. } => Error::bad_input(Place::new("target"), reason),
        JitError::Memory(_) => Error::bad_input(Place::new("memory"), reason),
        _ => Error::internal(Place::new("code generation"), reason),
    }
}
