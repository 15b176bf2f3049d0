//! How to call a model, as a comment.

use super::{Header, c_type};
use crate::program::Port;
use std::fmt::{self, Write};

/// Writes the example: a C11 function that runs the model once, on one thread, with all dimensions at their bounds.
pub(super) fn write(w: &mut String, header: &Header<'_>) -> fmt::Result {
    let Header { prefix: m, capitals, program, .. } = header;
    writeln!(w, "/* Example (C11): runs the model once, on one thread.\n *")?;
    let mut lines = Lines(w);
    let parameters = if header.needs_file() { "const void *weights" } else { "void" };
    lines.push(0, format_args!("int32_t example({parameters}) {{"))?;
    let arena = program.arena_bytes > 0 || program.scratch_bytes > 0;
    if arena {
        lines.push(1, format_args!("static _Alignas(64) unsigned char arena[{capitals}_ARENA_BYTES(1)];"))?;
    }
    let io: Vec<&Port> = program.inputs.iter().chain(&program.outputs).collect();
    lines.buffers("io", &format!("{m}_io"), &io, &header.io)?;
    let states: Vec<&Port> = program.states.iter().collect();
    match program.training {
        None => lines.buffers("state", &format!("{m}_state"), &states, &header.states)?,
        Some(_) => lines.initial_states(header)?,
    }
    if !program.symbols.is_empty() {
        lines.push(1, format_args!("{m}_dims dims = {{0}};"))?;
    }
    for (n, (symbol, name)) in program.symbols.iter().zip(&header.symbols).enumerate() {
        if !program.is_result(n) {
            lines.push(1, format_args!("dims.{name} = {};", symbol.upper()))?;
        }
    }
    if header.needs_file() {
        lines.push(1, format_args!("graven_exec exec = {{0}};"))?;
        for (member, value) in
            [("abi_version", "GRAVEN_ABI_VERSION"), ("workers", "1"), ("weights", "weights")]
        {
            lines.push(1, format_args!("exec.{member} = {value};"))?;
        }
    }
    lines.push(1, format_args!("if ({m}_check_cpu() != 0) return -1;"))?;
    let or_null = |present: bool, name: &'static str| if present { name } else { "0" };
    let arguments = [
        or_null(!io.is_empty(), "&io"),
        or_null(!states.is_empty(), "&state"),
        or_null(!program.symbols.is_empty(), "&dims"),
        or_null(arena, "arena"),
        or_null(header.needs_file(), "&exec"),
    ];
    lines.push(1, format_args!("return {m}_run({});", arguments.join(", ")))?;
    lines.push(0, format_args!("}}"))?;
    writeln!(w, " */\n")
}

/// Lines of a comment.
struct Lines<'w>(&'w mut String);

impl Lines<'_> {
    fn push(&mut self, level: usize, line: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(self.0, " *     {:1$}{line}", "", level * 4)
    }

    /// The block of states of a train step, which begins with their first values, and the struct with pointers into it.
    fn initial_states(&mut self, header: &Header<'_>) -> fmt::Result {
        let Header { prefix: m, capitals, .. } = header;
        self.push(1, format_args!("static _Alignas(64) unsigned char states[{capitals}_STATE_BYTES];"))?;
        let bytes = format!("{capitals}_INITIAL_STATE_BYTES");
        self.push(
            1,
            format_args!("for (uint64_t k = 0; k < {bytes}; ++k) states[k] = {m}_initial_states[k];"),
        )?;
        self.push(1, format_args!("{m}_state state;"))?;
        for (port, name) in header.program.states.iter().zip(&header.states) {
            let (ty, offset) = (c_type(port.ty.dtype), name.to_ascii_uppercase());
            self.push(
                1,
                format_args!("state.{name} = ({ty} *)(states + {capitals}_STATE_{offset}_OFFSET);"),
            )?;
        }
        Ok(())
    }

    /// Buffers of the largest size, and the struct with pointers to them.
    fn buffers(&mut self, variable: &str, ty: &str, ports: &[&Port], names: &[String]) -> fmt::Result {
        for (place, port) in ports.iter().enumerate() {
            // C has no arrays without elements.
            let elements = port.ty.checked_upper_elements().unwrap_or(0).max(1);
            self.push(1, format_args!("static {} {variable}{place}[{elements}];", c_type(port.ty.dtype)))?;
        }
        if !ports.is_empty() {
            self.push(1, format_args!("{ty} {variable};"))?;
        }
        for (place, name) in names.iter().enumerate() {
            self.push(1, format_args!("{variable}.{name} = {variable}{place};"))?;
        }
        Ok(())
    }
}
