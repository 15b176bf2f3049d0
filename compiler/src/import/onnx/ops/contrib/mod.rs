//! The domain `com.microsoft`: what ONNX Runtime's optimiser and quantiser write. Specification: ONNX Runtime, `ContribOperators.md`.
//!
//! * [`attention`]: attention and rotary positions
//! * [`fused`]: products with what follows them
//! * [`norm`]: normalisations of sums, embeddings
//! * [`quantized`]: functions of quantised tensors

mod attention;
mod fused;
mod norm;
mod quantized;

pub(super) use attention::{attention, multi_head_attention, rotary_embedding};
pub(super) use fused::{activated_gelu, fused_conv, fused_gemm, fused_matmul, quick_gelu};
pub(super) use norm::{embed_layer_norm, skip_layer_norm, skip_rms_norm};
pub(super) use quantized::{binary, concat, dynamic_matmul, float_matmul, unary};

use crate::import::onnx::context::{Handler, NodeContext, Output};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::ValueId;

/// What an operator of ONNX's own domain gives for other inputs, with the attributes of this node.
fn through(c: &mut NodeContext<'_, '_, '_>, inputs: &[ValueId], handler: Handler) -> Result<ValueId> {
    let args = inputs.iter().map(|value| Some(c.scope.add_value(*value))).collect();
    let inputs = std::mem::replace(&mut c.inputs, args);
    let opset = std::mem::replace(&mut c.opset, c.frame.call.opset(""));
    let outputs = handler(c);
    (c.inputs, c.opset) = (inputs, opset);
    match outputs?.0.into_iter().next() {
        Some(Output::Value(value)) => Ok(value),
        Some(Output::Same(arg)) => c.value_of(arg),
        Some(Output::Constant(tensor)) => Ok(c.scope.builder.constant(tensor)?),
        _ => bad_input("gives no tensor"),
    }
}
