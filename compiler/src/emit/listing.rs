//! A program's code as text, for people: kernels, Cranelift's functions, instructions.

use super::identifier;
use super::object::ObjectError;
use crate::codegen::cranelift::entry::table::needs_copy;
use crate::codegen::cranelift::entry::{self, EntryNames};
use crate::codegen::cranelift::{CraneliftCompiler, isa};
use crate::codegen::program::{CompileThreads, compile_kernels};
use crate::codegen::{KernelCompiler, copy};
use crate::kernel::Kernel;
use crate::program::{KernelId, Launch, Program, Step};
use crate::target::Target;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::{Context, ir, isa::TargetIsa};
use cranelift_module::{
    DataDescription, DataId, FuncId, Linkage, Module, ModuleDeclarations, ModuleReloc, ModuleResult,
    default_libcall_names,
};
use cranelift_object::{ObjectBuilder, ObjectModule};
use std::borrow::Cow;
use std::fmt::{self, Display};

/// The kernels of a program in their [text form](crate::kernel), each under a comment that says where it is launched. The text can be parsed again.
pub fn kernels(program: &Program) -> String {
    let kernel = |(id, kernel)| format!("{}{kernel}", Heading::new("//", program, id));
    let texts: Vec<String> = program.kernels.iter().map(kernel).collect();
    texts.join("\n")
}

/// The entry functions and the kernels as Cranelift's intermediate representation.
///
/// # Errors
/// Those of the code generator.
pub fn clif(program: &Program, target: &Target) -> Result<String, ObjectError> {
    let compiler = CraneliftCompiler::new(target)?;
    let mut text = entry_functions(program, target, &compiler, Form::Clif)?;
    for (heading, kernel) in with_copy(program, target) {
        text.push_str(&format!("\n{heading}{}", compiler.clif(&kernel)?));
    }
    Ok(text)
}

/// The entry functions and the kernels as instructions.
///
/// # Errors
/// Those of the code generator.
pub fn assembly(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
) -> Result<String, ObjectError> {
    let mut text = entry_functions(program, target, compiler, Form::Assembly)?;
    for (heading, kernel) in with_copy(program, target) {
        let size = compiler.compile(&kernel)?.bytes.len();
        text.push_str(&format!("\n{heading}; {size} bytes\n{}", compiler.assembly(&kernel)?));
    }
    Ok(text)
}

/// The program's kernels and the one that copies, each with its heading.
fn with_copy<'p>(program: &'p Program, target: &Target) -> Vec<(String, Cow<'p, Kernel>)> {
    let own = program.kernels.iter();
    let own = own.map(|(id, kernel)| (Heading::new(";", program, id).to_string(), Cow::Borrowed(kernel)));
    let copies = needs_copy(program)
        .then(|| ("; kernel copy: copies of buffers\n".to_string(), Cow::Owned(copy::kernel(target))));
    own.chain(copies).collect()
}

/// What a reader wants to know about a kernel, as a comment.
struct Heading<'p> {
    comment: &'static str,
    number: usize,
    name: &'p str,
    launches: Vec<&'p Launch>,
}

/// The most origins that are named.
const ORIGINS: usize = 4;

impl<'p> Heading<'p> {
    fn new(comment: &'static str, program: &'p Program, id: KernelId) -> Heading<'p> {
        let launch = |step: &'p Step| match step {
            Step::Launch(launch) if launch.kernel == id => Some(launch),
            _ => None,
        };
        Heading {
            comment,
            number: cranelift_entity::EntityRef::index(id),
            name: &program.kernels[id].name,
            launches: program.steps.iter().filter_map(launch).collect(),
        }
    }
}

/// `// kernel 3 conv: 2 launches, 1000 operations and 400 bytes each, from node a, node b`.
impl Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heading { comment, number, name, launches } = self;
        let plural = if launches.len() == 1 { "" } else { "es" };
        write!(f, "{comment} kernel {number} {name}: {} launch{plural}", launches.len())?;
        if let Some(first) = launches.first() {
            write!(f, ", {} operations and {} bytes each", first.cost.flops, first.cost.bytes)?;
        }
        let origins = launches.iter().filter_map(|launch| launch.origin.as_deref());
        for (place, origin) in origins.clone().take(ORIGINS).enumerate() {
            // A name from a model must not end the comment.
            let origin: String = origin.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            write!(f, "{}{origin}", if place == 0 { ", from " } else { ", " })?;
        }
        writeln!(f, "{}", if origins.count() > ORIGINS { ", …" } else { "" })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Clif,
    Assembly,
}

fn entry_functions(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    form: Form,
) -> Result<String, ObjectError> {
    let kernels = compile_kernels(program, target, compiler, CompileThreads::One)?;
    let prefix = identifier::prefix(&program.name);
    let builder =
        ObjectBuilder::new(isa::position_independent(target)?, prefix.as_str(), default_libcall_names())?;
    let mut recorder = Recorder { module: ObjectModule::new(builder), form, text: String::new() };
    let names = EntryNames { prefix: &prefix, exported: true };
    entry::define(&mut recorder, program, target, &kernels, &names, None)?;
    Ok(recorder.text)
}

/// A module that keeps the text of the functions that are defined in it.
struct Recorder {
    module: ObjectModule,
    form: Form,
    text: String,
}

impl Recorder {
    fn name(&self, id: FuncId) -> String {
        let declaration = self.module.declarations().get_function_decl(id);
        declaration.linkage_name(id).into_owned()
    }

    fn add(&mut self, id: FuncId, body: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let name = self.name(id);
        self.text.push_str(&format!("{gap}; {name}\n{body}"));
    }
}

impl Module for Recorder {
    fn isa(&self) -> &dyn TargetIsa {
        self.module.isa()
    }

    fn declarations(&self) -> &ModuleDeclarations {
        self.module.declarations()
    }

    fn declare_function(
        &mut self,
        name: &str,
        linkage: Linkage,
        signature: &ir::Signature,
    ) -> ModuleResult<FuncId> {
        self.module.declare_function(name, linkage, signature)
    }

    fn declare_anonymous_function(&mut self, signature: &ir::Signature) -> ModuleResult<FuncId> {
        self.module.declare_anonymous_function(signature)
    }

    fn declare_data(
        &mut self,
        name: &str,
        linkage: Linkage,
        writable: bool,
        tls: bool,
    ) -> ModuleResult<DataId> {
        self.module.declare_data(name, linkage, writable, tls)
    }

    fn declare_anonymous_data(&mut self, writable: bool, tls: bool) -> ModuleResult<DataId> {
        self.module.declare_anonymous_data(writable, tls)
    }

    fn define_function_with_control_plane(
        &mut self,
        id: FuncId,
        context: &mut Context,
        control: &mut ControlPlane,
    ) -> ModuleResult<()> {
        if self.form == Form::Clif {
            let body = context.func.display().to_string();
            self.add(id, &body);
        }
        context.set_disasm(self.form == Form::Assembly);
        self.module.define_function_with_control_plane(id, context, control)?;
        if self.form == Form::Assembly {
            let code = context.compiled_code();
            let body = code.and_then(|code| code.vcode.clone()).unwrap_or_default();
            self.add(id, &body);
        }
        Ok(())
    }

    fn define_function_bytes(
        &mut self,
        id: FuncId,
        alignment: u64,
        bytes: &[u8],
        relocations: &[ModuleReloc],
    ) -> ModuleResult<()> {
        // Kernels, which are local, are listed with their headings.
        if self.module.declarations().get_function_decl(id).linkage == Linkage::Export {
            let lines = bytes.chunks(16).map(|line| {
                let digits: Vec<String> = line.iter().map(|byte| format!("0x{byte:02x}")).collect();
                format!(
                    "  {} {}\n",
                    if self.form == Form::Clif { "; bytes" } else { ".byte" },
                    digits.join(", ")
                )
            });
            let body: String = lines.collect();
            self.add(id, &body);
        }
        self.module.define_function_bytes(id, alignment, bytes, relocations)
    }

    fn define_data(&mut self, id: DataId, data: &DataDescription) -> ModuleResult<()> {
        self.module.define_data(id, data)
    }
}
