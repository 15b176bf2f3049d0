//! The C header of an object: what its functions take, for C99 and C++.
//!
//! `example` writes the comment that shows how to call them.

mod example;

use super::descriptor::state_bytes;
use super::identifier::{distinct, prefix};
use super::object::ObjectFacts;
use super::training::{initial_bytes, state_offsets};
use crate::codegen::cranelift::entry::extents::ComputedExtents;
use crate::program::{Port, Program};
use crate::target::Target;
use graven_ir::{DType, Dim};
use graven_runtime::abi;
use std::fmt::{self, Write};

/// The text of the header.
pub fn header(program: &Program, target: &Target, facts: &ObjectFacts) -> String {
    let mut text = String::new();
    // Writing to a string doesn't fail.
    let _ = Header::new(program, target, facts).write(&mut text);
    text
}

struct Header<'a> {
    program: &'a Program,
    target: &'a Target,
    facts: &'a ObjectFacts,
    computed: ComputedExtents,
    /// What functions and types begin with.
    prefix: String,
    /// What macros begin with.
    capitals: String,
    /// Members of the struct of pointers: inputs, then outputs.
    io: Vec<String>,
    states: Vec<String>,
    symbols: Vec<String>,
}

/// A text within a comment: one line that can't end it or the line, of letters that look like what they are, and not endless.
struct Comment<'t>(&'t str);

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = ' ';
        for c in self.0.chars().take(COMMENT_LENGTH) {
            // Ends and beginnings of comments, trigraphs.
            if matches!((before, c), ('*', '/') | ('/', '*') | ('?', '?')) {
                f.write_char(' ')?;
            }
            before = match c {
                '"' | '\\' => '_',
                ' '..='~' => c,
                _ if c.is_alphanumeric() => c,
                _ => '_',
            };
            f.write_char(before)?;
        }
        match self.0.chars().nth(COMMENT_LENGTH) {
            Some(_) => f.write_str("..."),
            None => Ok(()),
        }
    }
}

/// The most characters that a comment shows of a name.
const COMMENT_LENGTH: usize = 200;

impl<'a> Header<'a> {
    fn new(program: &'a Program, target: &'a Target, facts: &'a ObjectFacts) -> Header<'a> {
        let names = |ports: &'a [Port]| ports.iter().map(|port| &*port.name);
        let prefix = prefix(&program.name);
        Header {
            program,
            target,
            facts,
            computed: ComputedExtents::of(program),
            capitals: prefix.to_ascii_uppercase(),
            prefix,
            io: distinct(names(&program.inputs).chain(names(&program.outputs)), "tensor"),
            states: distinct(names(&program.states), "state"),
            symbols: distinct(program.symbols.iter().map(|symbol| symbol.name()), "dim"),
        }
    }

    fn write(&self, w: &mut String) -> fmt::Result {
        let (name, target) = (Comment(&self.program.name), self.target);
        let features = match target.features.to_string() {
            none if none.is_empty() => "the base of the architecture".to_string(),
            features => features,
        };
        writeln!(
            w,
            "/* The model {name}, compiled for {} with {features}. */",
            Comment(&target.triple.to_string())
        )?;
        writeln!(w, "#ifndef {}_MODEL_H\n#define {0}_MODEL_H\n", self.capitals)?;
        writeln!(w, "{}", abi::C_DECLARATIONS.trim_end())?;
        writeln!(
            w,
            "\n#if GRAVEN_ABI_VERSION != {}\n#error \"headers of different versions of Graven\"\n#endif",
            abi::ABI_VERSION
        )?;
        writeln!(w, "\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n")?;
        self.sizes(w)?;
        self.pointers(w)?;
        self.state(w)?;
        self.dims(w)?;
        self.custom_calls(w)?;
        self.functions(w)?;
        example::write(w, self)?;
        writeln!(w, "#ifdef __cplusplus\n}}\n#endif\n\n#endif")
    }

    fn sizes(&self, w: &mut String) -> fmt::Result {
        let (m, program, weights) = (&self.capitals, self.program, &self.facts.weights);
        writeln!(
            w,
            "/* Size of the arena, which must be aligned to {}, for a number of workers. */",
            abi::ALIGNMENT
        )?;
        writeln!(
            w,
            "#define {m}_ARENA_BYTES(workers) ((uint64_t){}u + (uint64_t)(workers) * (uint64_t){}u)",
            program.arena_bytes, program.scratch_bytes
        )?;
        writeln!(w, "/* Size of all states, each rounded up to a multiple of {}. */", abi::ALIGNMENT)?;
        writeln!(w, "#define {m}_STATE_BYTES ((uint64_t){}u)", state_bytes(program))?;
        let place = match (weights.bytes, weights.embedded) {
            (0, _) => "there are none",
            (_, true) => "which are embedded",
            (_, false) => "which graven_exec.weights must point to, aligned to 64",
        };
        writeln!(w, "/* Size of the weights, {place}, and their XXH3-128. */")?;
        writeln!(w, "#define {m}_WEIGHTS_BYTES ((uint64_t){}u)", weights.bytes)?;
        let hash: String = weights.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(w, "#define {m}_WEIGHTS_HASH \"{hash}\"")?;
        writeln!(w, "/* Version of the interface, and what the CPU must have. */")?;
        writeln!(w, "#define {m}_ABI_VERSION {}", abi::ABI_VERSION)?;
        writeln!(w, "#define {m}_CPU_FEATURES \"{}\"", self.target.features)?;
        writeln!(w, "/* Sizes of the buffers, at the bounds of the dimensions. */")?;
        for (kind, ports, names) in self.ports() {
            for (port, name) in ports.iter().zip(names) {
                let elements = port.ty.checked_upper_elements().unwrap_or(0) as u64;
                let bytes = elements.saturating_mul(port.ty.dtype.bytes() as u64);
                let name = name.to_ascii_uppercase();
                writeln!(w, "#define {m}_{kind}_{name}_BYTES ((uint64_t){bytes}u)")?;
            }
        }
        writeln!(w)
    }

    fn ports(&self) -> [(&'static str, &[Port], &[String]); 3] {
        let (inputs, outputs) = self.io.split_at(self.program.inputs.len());
        [
            ("INPUT", &self.program.inputs, inputs),
            ("OUTPUT", &self.program.outputs, outputs),
            ("STATE", &self.program.states, &self.states),
        ]
    }

    fn pointers(&self, w: &mut String) -> fmt::Result {
        writeln!(w, "/* Inputs and outputs: dense tensors in row-major order. Outputs alias nothing. */")?;
        if self.io.is_empty() {
            return writeln!(w, "typedef struct {0}_io {0}_io;\n", self.prefix);
        }
        writeln!(w, "typedef struct {}_io {{", self.prefix)?;
        for (kind, ports, names) in &self.ports()[..2] {
            for (port, name) in ports.iter().zip(*names) {
                self.member_comment(w, &kind.to_ascii_lowercase(), port)?;
                let constant = if *kind == "INPUT" { "const " } else { "" };
                writeln!(w, "    {constant}{} *{name};", c_type(port.ty.dtype))?;
            }
        }
        writeln!(w, "}} {}_io;\n", self.prefix)
    }

    fn member_comment(&self, w: &mut String, kind: &str, port: &Port) -> fmt::Result {
        write!(w, "    /* {kind} \"{}\": {}[", Comment(&port.name), port.ty.dtype)?;
        for (place, dim) in port.ty.shape.iter().enumerate() {
            write!(w, "{}{}", if place > 0 { ", " } else { "" }, self.extent(dim))?;
        }
        writeln!(w, "] */")
    }

    /// An extent for people: a number, a member of the dims, or an element of what the extents function writes.
    fn extent(&self, dim: &Dim) -> String {
        if let Some(extent) = dim.as_const() {
            return extent.to_string();
        }
        let symbol = dim.as_symbol().and_then(|symbol| self.program.symbols.iter().position(|s| s == symbol));
        match (symbol, self.computed.place(dim)) {
            (Some(symbol), _) => self.symbols[symbol].clone(),
            (None, Some(place)) => format!("extents[{place}], at most {}", dim.upper()),
            (None, None) => format!("at most {}", dim.upper()),
        }
    }

    fn state(&self, w: &mut String) -> fmt::Result {
        if self.states.is_empty() {
            return writeln!(
                w,
                "/* There are no states: pass a null pointer. */\ntypedef struct {0}_state {0}_state;\n",
                self.prefix
            );
        }
        writeln!(w, "/* Buffers that a run reads and updates. */\ntypedef struct {}_state {{", self.prefix)?;
        for (port, name) in self.program.states.iter().zip(&self.states) {
            self.member_comment(w, "state", port)?;
            writeln!(w, "    {} *{name};", c_type(port.ty.dtype))?;
        }
        writeln!(w, "}} {}_state;\n", self.prefix)?;
        self.initial_states(w)
    }

    /// How the states of a train step begin.
    fn initial_states(&self, w: &mut String) -> fmt::Result {
        let Some(training) = &self.program.training else { return Ok(()) };
        let (m, capitals) = (&self.prefix, &self.capitals);
        writeln!(
            w,
            "/* How the states begin, in one block of {capitals}_STATE_BYTES: these bytes, then zeros. */"
        )?;
        writeln!(w, "#define {capitals}_INITIAL_STATE_BYTES ((uint64_t){}u)", initial_bytes(training))?;
        writeln!(w, "extern const unsigned char {m}_initial_states[];")?;
        writeln!(w, "/* Where each state begins in this block. */")?;
        for (name, offset) in self.states.iter().zip(state_offsets(self.program)) {
            let name = name.to_ascii_uppercase();
            writeln!(w, "#define {capitals}_STATE_{name}_OFFSET ((uint64_t){offset}u)")?;
        }
        writeln!(w)
    }

    fn dims(&self, w: &mut String) -> fmt::Result {
        if self.symbols.is_empty() {
            return writeln!(
                w,
                "/* There are no dimensions to set: pass a null pointer. */\ntypedef struct {0}_dims {0}_dims;\n",
                self.prefix
            );
        }
        writeln!(w, "/* Extents that differ from run to run. */\ntypedef struct {}_dims {{", self.prefix)?;
        for (n, (symbol, name)) in self.program.symbols.iter().zip(&self.symbols).enumerate() {
            writeln!(
                w,
                "    /* \"{}\", from {} to {}, {} */",
                Comment(symbol.name()),
                symbol.lower(),
                symbol.upper(),
                if self.program.is_result(n) { "set by the run" } else { "set by the caller" }
            )?;
            writeln!(w, "    int64_t {name};")?;
        }
        writeln!(w, "}} {}_dims;\n", self.prefix)
    }

    /// The application's functions that the model calls.
    fn custom_calls(&self, w: &mut String) -> fmt::Result {
        let calls = &self.program.custom_calls;
        if calls.is_empty() {
            return Ok(());
        }
        writeln!(w, "/* Functions of yours that the model calls, in the order of graven_exec.custom_calls:")?;
        for (n, call) in calls.iter().enumerate() {
            let types = |types: &[(DType, usize)]| {
                let texts: Vec<String> =
                    types.iter().map(|(dtype, rank)| format!("{dtype} of rank {rank}")).collect();
                texts.join(", ")
            };
            let (name, operands, results) =
                (Comment(&call.name), types(&call.operands), types(&call.results));
            writeln!(w, " *   {n}: \"{name}\" ({operands}) -> ({results})")?;
        }
        writeln!(w, " */\n#define {}_CUSTOM_CALL_COUNT {}\n", self.capitals, calls.len())
    }

    fn functions(&self, w: &mut String) -> fmt::Result {
        let m = &self.prefix;
        writeln!(
            w,
            "/* Runs the model once; 0 or one of GRAVEN_ERROR_*. `exec` {}. */",
            match self.needs_file() {
                true => "must have the weights",
                false if !self.program.custom_calls.is_empty() => "must have the custom calls",
                false => "may be null: one thread",
            }
        )?;
        writeln!(
            w,
            "int32_t {m}_run(const {m}_io *io, {m}_state *state, {m}_dims *dims, void *arena, const graven_exec *exec);\n"
        )?;
        writeln!(
            w,
            "/* 0 if this CPU has every feature that the code uses; otherwise the model must not be run. */"
        )?;
        writeln!(w, "int32_t {m}_check_cpu(void);\n")?;
        if !self.computed.dims.is_empty() {
            writeln!(w, "/* Computes the extents that depend on the dimensions:")?;
            for (place, dim) in self.computed.dims.iter().enumerate() {
                writeln!(w, " *   extents[{place}] = {}", Comment(&dim.to_string()))?;
            }
            writeln!(w, " */\n#define {}_EXTENT_COUNT {}", self.capitals, self.computed.dims.len())?;
            writeln!(w, "void {m}_extents(const {m}_dims *dims, int64_t *extents);\n")?;
        }
        writeln!(w, "/* The model for callers that don't know it in advance. */")?;
        writeln!(w, "extern const graven_model {m}_model;\n")
    }

    /// Whether the caller must hand in the weights.
    fn needs_file(&self) -> bool {
        self.facts.weights.bytes > 0 && !self.facts.weights.embedded
    }
}

/// The C type of an element; halves are passed as their bits.
fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool | DType::U8 | DType::U4 => "uint8_t",
        DType::I8 | DType::I4 => "int8_t",
        DType::I16 => "int16_t",
        DType::I32 => "int32_t",
        DType::I64 => "int64_t",
        DType::U16 | DType::F16 | DType::BF16 => "uint16_t",
        DType::U32 => "uint32_t",
        DType::U64 => "uint64_t",
        DType::F32 => "float",
        DType::F64 => "double",
    }
}
