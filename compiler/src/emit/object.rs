//! Objects: a model's code, descriptor and weights for any target's linker.

use super::descriptor::{Blob, Descriptor, Pointee, WeightsFacts};
use super::file::{folder, write_atomically};
use super::identifier;
use super::packed::PackedWeights;
use super::training;
use super::weights::WeightsError;
use crate::codegen::cranelift::entry::{self, EntryError, EntryFunctions, EntryNames};
use crate::codegen::cranelift::isa;
use crate::codegen::program::{CompileThreads, compile_kernels};
use crate::codegen::{CodegenError, KernelCompiler};
use crate::program::{Program, Training};
use crate::target::Target;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, Signature, UserFuncName, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use cranelift_object::object::write::{Object, SymbolSection};
use cranelift_object::object::{BinaryFormat, SectionKind, SymbolScope};
use cranelift_object::{ObjectBuilder, ObjectModule};
use std::io;
use std::path::Path;
use target_lexicon::Endianness;

/// More can't be reached from code by 32-bit distances.
pub const MOST_EMBEDDED: u64 = 1_900_000_000;

/// Where the weights go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightsPlacement {
    /// Into the object.
    #[default]
    Embed,
    /// Into a file, which the caller of the model hands to it.
    File,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Whether the object has a `main` function that calls the runtime's `graven_main`.
    pub main: bool,
    /// Where the weights go.
    pub weights: WeightsPlacement,
    /// On how many threads kernels are compiled.
    pub threads: CompileThreads,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// What the symbols begin with.
    pub prefix: String,
    /// Bytes of the kernels' code.
    pub code_bytes: u64,
    /// Size and hash of the weights.
    pub weights: WeightsFacts,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// No machine code.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// No entry functions.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// No weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Too large to embed: unsupported.
    #[error("{bytes} bytes of weights can't be embedded, the most is {MOST_EMBEDDED}; use --weights file")]
    TooLarge {
        /// Size of the weights.
        bytes: u64,
    },
    /// The file can't be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Our bug.
    #[error("writing the object: {0}; this is a bug in the compiler")]
    Bug(String),
}

impl From<ModuleError> for ObjectError {
    fn from(error: ModuleError) -> ObjectError {
        ObjectError::Bug(error.to_string())
    }
}

/// Compiles a program into an object at `path`.
///
/// # Errors
/// See [`ObjectError`]; the file is written completely or not at all.
pub fn write_object(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    options: ObjectOptions,
    path: &Path,
) -> Result<ObjectFacts, ObjectError> {
    let embed = options.weights == WeightsPlacement::Embed && program.weights_bytes > 0;
    let initial = program.training.as_ref().map_or(0, training::initial_bytes);
    let embedded = initial.saturating_add(if embed { program.weights_bytes } else { 0 });
    if embedded > MOST_EMBEDDED {
        return Err(ObjectError::TooLarge { bytes: embedded });
    }
    let kernels = compile_kernels(program, target, compiler, options.threads)?;
    let packed = PackedWeights::new(program, folder(path), endianness(target))?;
    let weights = WeightsFacts { bytes: program.weights_bytes, hash: packed.hash(), embedded: embed };
    let prefix = identifier::prefix(&program.name);
    let mut parts = Parts::new(target, &prefix)?;
    // Imported as far as the module knows; the symbol is given its place when everything else is in the object.
    let data = match embed {
        true => {
            Some(parts.module.declare_data(&format!("{prefix}.weights"), Linkage::Import, false, false)?)
        }
        false => None,
    };
    let names = EntryNames { prefix: &prefix, exported: true };
    let functions = entry::define(&mut parts.module, program, target, &kernels, &names, data)?;
    let descriptor = Descriptor::new(program, target, weights);
    let model = parts.descriptor(&descriptor, &functions, data)?;
    let training = match &program.training {
        Some(training) => Some(parts.training(training, endianness(target))?),
        None => None,
    };
    if options.main {
        parts.main(model, training)?;
    }
    let product = parts.module.finish();
    let symbol = data.map(|data| product.data_symbol(data));
    let mut object: Object<'_> = product.object;
    if let Some(symbol) = symbol {
        embed_weights(&mut object, symbol, &packed);
    }
    write_atomically(path, |writer| {
        object.write_stream(writer).map_err(|error| ObjectError::Bug(error.to_string()))
    })?;
    let code_bytes = kernels.iter().map(|code| code.bytes.len() as u64).sum();
    Ok(ObjectFacts { prefix, code_bytes, weights })
}

/// Writes the weights of a program to a file of their own.
///
/// # Errors
/// See [`WeightsError`]; the file is written completely or not at all.
pub fn write_weights(program: &Program, target: &Target, path: &Path) -> Result<(), WeightsError> {
    write_atomically(path, |writer| super::weights::stream(program, writer, endianness(target)))
}

fn endianness(target: &Target) -> Endianness {
    target.triple.endianness().unwrap_or(Endianness::Little)
}

/// Puts the weights into a section of their own and the symbol at its start. The object borrows them until it is written.
fn embed_weights<'w>(
    object: &mut Object<'w>,
    symbol: cranelift_object::object::write::SymbolId,
    weights: &'w [u8],
) {
    let (segment, name): (&[u8], &[u8]) = match object.format() {
        BinaryFormat::MachO => (b"__TEXT", b"__weights"),
        BinaryFormat::Coff => (b"", b".rdata"),
        _ => (b"", b".rodata.weights"),
    };
    let section = object.add_section(segment.into(), name.into(), SectionKind::ReadOnlyData);
    object.set_section_data(section, weights, graven_runtime::abi::ALIGNMENT as u64);
    let symbol = object.symbol_mut(symbol);
    symbol.section = SymbolSection::Section(section);
    symbol.scope = SymbolScope::Compilation;
    symbol.kind = cranelift_object::object::SymbolKind::Data;
    symbol.size = weights.len() as u64;
}

struct Parts<'p> {
    module: ObjectModule,
    prefix: &'p str,
}

impl<'p> Parts<'p> {
    fn new(target: &Target, prefix: &'p str) -> Result<Parts<'p>, ObjectError> {
        let isa = isa::position_independent(target)?;
        let names = cranelift_module::default_libcall_names();
        let mut builder = ObjectBuilder::new(isa, prefix, names)?;
        builder.unwind_info(false);
        Ok(Parts { module: ObjectModule::new(builder), prefix })
    }

    /// Defines `m_model` and the tables that it points to.
    fn descriptor(
        &mut self,
        descriptor: &Descriptor,
        functions: &EntryFunctions,
        weights: Option<DataId>,
    ) -> Result<DataId, ObjectError> {
        let tables = format!("{}.tables", self.prefix);
        let tables = self.module.declare_data(&tables, Linkage::Local, false, false)?;
        let model = format!("{}_model", self.prefix);
        let model = self.module.declare_data(&model, Linkage::Export, false, false)?;
        for (id, blob) in [(tables, &descriptor.tables), (model, &descriptor.model)] {
            self.blob(id, blob, tables, functions, weights)?;
        }
        Ok(model)
    }

    /// Defines `m_initial_states`, and what an executable's main function takes beside the descriptor.
    fn training(&mut self, training: &Training, endianness: Endianness) -> Result<DataId, ObjectError> {
        let name = format!("{}_initial_states", self.prefix);
        let initial = self.module.declare_data(&name, Linkage::Export, false, false)?;
        let mut description = DataDescription::new();
        description.define(training::initial_states(training, endianness).into_boxed_slice());
        description.set_align(graven_runtime::abi::ALIGNMENT as u64);
        self.module.define_data(initial, &description)?;
        let blob = training::description(training, endianness);
        let name = format!("{}.training", self.prefix);
        let id = self.module.declare_data(&name, Linkage::Local, false, false)?;
        let mut description = DataDescription::new();
        description.define(blob.bytes.into_boxed_slice());
        description.set_align(8);
        let initial = self.module.declare_data_in_data(initial, &mut description);
        for (place, _) in blob.pointers {
            description.write_data_addr(place as u32, initial, 0);
        }
        self.module.define_data(id, &description)?;
        Ok(id)
    }

    fn blob(
        &mut self,
        id: DataId,
        blob: &Blob,
        tables: DataId,
        functions: &EntryFunctions,
        weights: Option<DataId>,
    ) -> Result<(), ObjectError> {
        let mut description = DataDescription::new();
        description.define(blob.bytes.clone().into_boxed_slice());
        description.set_align(8);
        let tables = self.module.declare_data_in_data(tables, &mut description);
        let weights = weights.map(|id| self.module.declare_data_in_data(id, &mut description));
        let mut function = |id: FuncId| self.module.declare_func_in_data(id, &mut description);
        let run = function(functions.run);
        let check_cpu = function(functions.check_cpu);
        let extents = functions.extents.map(function);
        for (place, pointee) in &blob.pointers {
            let place = *place as u32;
            match pointee {
                Pointee::Tables(offset) => description.write_data_addr(place, tables, *offset as i64),
                Pointee::Run => description.write_function_addr(place, run),
                Pointee::CheckCpu => description.write_function_addr(place, check_cpu),
                Pointee::Extents => {
                    extents.into_iter().for_each(|function| description.write_function_addr(place, function));
                }
                Pointee::Weights => {
                    weights.into_iter().for_each(|data| description.write_data_addr(place, data, 0));
                }
                Pointee::InitialStates => {
                    return Err(ObjectError::Bug("the descriptor has no initial states".into()));
                }
            }
        }
        Ok(self.module.define_data(id, &description)?)
    }

    /// `int main(int argc, char **argv) { return graven_main(argc, argv, &m_model); }`; a train step calls `graven_train_main`, which takes the
    /// training as well.
    fn main(&mut self, model: DataId, training: Option<DataId>) -> Result<(), ObjectError> {
        let pointer = AbiParam::new(types::I64);
        let mut main = Signature::new(self.module.isa().default_call_conv());
        main.params.extend([AbiParam::new(types::I32), pointer]);
        main.returns.push(AbiParam::new(types::I32));
        let mut callee = main.clone();
        let described: Vec<DataId> = [model].into_iter().chain(training).collect();
        callee.params.extend(described.iter().map(|_| pointer));
        let id = self.module.declare_function("main", Linkage::Export, &main)?;
        let name = if training.is_some() { "graven_train_main" } else { "graven_main" };
        let callee = self.module.declare_function(name, Linkage::Import, &callee)?;
        let mut function = Function::with_name_signature(UserFuncName::default(), main);
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut function, &mut context);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        builder.seal_block(entry);
        let callee = self.module.declare_func_in_func(callee, builder.func);
        let mut values = builder.block_params(entry).to_vec();
        for data in described {
            let data = self.module.declare_data_in_func(data, builder.func);
            values.push(builder.ins().symbol_value(types::I64, data));
        }
        let call = builder.ins().call(callee, &values);
        let code = builder.inst_results(call)[0];
        builder.ins().return_(&[code]);
        builder.finalize(self.module.isa().frontend_config());
        let mut context = Context::for_function(function);
        Ok(self.module.define_function(id, &mut context)?)
    }
}
