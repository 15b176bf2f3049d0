//! `m_extents`: the extents of inputs, outputs and states that are neither constant nor a symbol.

use super::dims::DimBuilder;
use crate::codegen::CodegenError;
use crate::program::Program;
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, MemFlagsData, Signature, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use graven_ir::Dim;

/// The extents that the function computes, each once, in the order in which it writes them.
#[derive(Clone, Debug, Default)]
pub struct ComputedExtents {
    /// The extents.
    pub dims: Vec<Dim>,
}

impl ComputedExtents {
    /// Those of a program: inputs first, then outputs and states.
    pub fn of(program: &Program) -> ComputedExtents {
        let mut computed = ComputedExtents::default();
        let ports = program.inputs.iter().chain(&program.outputs).chain(&program.states);
        for dim in ports.flat_map(|port| &port.ty.shape) {
            let plain = dim.as_const().is_some() || dim.as_symbol().is_some();
            if !plain && !computed.dims.contains(dim) {
                computed.dims.push(dim.clone());
            }
        }
        computed
    }

    /// Where the function writes an extent.
    pub fn place(&self, dim: &Dim) -> Option<usize> {
        self.dims.iter().position(|other| other == dim)
    }
}

/// `(dims, extents)`.
pub(super) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 2]);
    signature
}

/// Builds the function.
pub(super) fn build(
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
    program: &Program,
    computed: &ComputedExtents,
) -> Result<(), CodegenError> {
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let (dims, extents) = (builder.block_params(entry)[0], builder.block_params(entry)[1]);
    let mut values = DimBuilder::new(&program.symbols, dims);
    for (n, dim) in computed.dims.iter().enumerate() {
        let value = values.value(&mut builder, dim)?;
        builder.ins().store(MemFlagsData::trusted(), value, extents, n as i32 * 8);
    }
    builder.ins().return_(&[]);
    builder.finalize(isa.frontend_config());
    Ok(())
}
