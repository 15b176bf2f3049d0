//! `graven info`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::Outcome;
use super::model::load;
use super::output::say;
use crate::api::{LoadedModel, Signature};
use crate::error::UnsupportedNode;
use crate::import::onnx::{InputInfo, ModelInfo};
use crate::program::Port;
use graven_ir::{Dim, Module};
use serde::Serialize;
use std::collections::BTreeMap;

/// Describe a model: inputs, outputs, operators, and all that can't be compiled
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is printed; the names of the fields are those of the JSON and stay.
#[derive(Serialize)]
struct Report {
    name: String,
    producer: String,
    opsets: BTreeMap<String, i64>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// Occurrences of each operator.
    ops: BTreeMap<String, u64>,
    /// Elements of all weights.
    params: u64,
    /// Arithmetic operations of a run, a multiply-add counted as two; null where extents are open or the model can't be compiled.
    flops: Option<u64>,
    unsupported: Vec<Unsupported>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    /// Null where the type is none that tensors have.
    dtype: Option<String>,
    /// Numbers, and names of open extents; null where even the rank is open.
    shape: Option<Vec<Extent>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Extent {
    Known(i64),
    Open(String),
}

#[derive(Serialize)]
struct Unsupported {
    node: String,
    op: String,
    opset: i64,
    reason: String,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        let options = self.model.options(BackendName::Auto)?;
        let _limits = self.model.limits();
        let loaded = load(&self.model.model, options)?;
        let report = match loaded.describe()? {
            Some(info) => Report::of_model(info, &loaded),
            None => Report::of_module(&loaded.module()?.module),
        };
        match self.json {
            true => say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
            false => report.print(),
        }
        Ok(())
    }
}

impl Report {
    fn of_model(info: ModelInfo, loaded: &LoadedModel) -> Report {
        let flops = if info.unsupported.is_empty() { loaded.module().ok() } else { None };
        Report {
            name: info.name,
            producer: info.producer,
            opsets: info.opsets,
            inputs: info.inputs.into_iter().map(Tensor::from).collect(),
            outputs: info.outputs.into_iter().map(Tensor::from).collect(),
            ops: info.ops,
            params: info.params,
            flops: flops.and_then(|imported| crate::api::flops(&imported.module)),
            unsupported: info.unsupported.into_iter().map(Unsupported::from).collect(),
        }
    }

    fn of_module(module: &Module) -> Report {
        let signature = module.functions.first().map(Signature::of).unwrap_or_default();
        let mut ops: BTreeMap<String, u64> = BTreeMap::new();
        for function in &module.functions {
            for node in function.graph.order() {
                *ops.entry(function.graph.node(node).op.name().to_string()).or_default() += 1;
            }
        }
        Report {
            name: module.name.clone(),
            producer: module.metadata.get("producer_name").cloned().unwrap_or_default(),
            opsets: BTreeMap::new(),
            inputs: signature.inputs.iter().map(Tensor::from).collect(),
            outputs: signature.outputs.iter().map(Tensor::from).collect(),
            ops,
            params: module.constants.values().map(|constant| constant.tensor.len() as u64).sum(),
            flops: crate::api::flops(module),
            unsupported: Vec::new(),
        }
    }

    fn print(&self) {
        let title = if self.name.is_empty() { "(no name)" } else { &self.name };
        say!("{title}");
        if !self.producer.is_empty() {
            say!("  made by {}", self.producer);
        }
        for (domain, version) in &self.opsets {
            say!("  {domain} opset {version}");
        }
        for (heading, tensors) in [("Inputs", &self.inputs), ("Outputs", &self.outputs)] {
            say!("\n{heading}");
            tensors.iter().for_each(|tensor| say!("  {}  {}", tensor.name, tensor.type_text()));
        }
        say!("\nOperators");
        let mut ops: Vec<_> = self.ops.iter().collect();
        ops.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        ops.iter().for_each(|(name, count)| say!("  {count:>6}  {name}"));
        say!("\nParameters  {}", grouped(self.params));
        if let Some(flops) = self.flops {
            say!("FLOPs       {}", grouped(flops));
        }
        if !self.unsupported.is_empty() {
            say!("\nNot supported");
            for node in &self.unsupported {
                say!("  {} ({}, opset {}): {}", node.node, node.op, node.opset, node.reason);
            }
        }
    }
}

impl Tensor {
    fn type_text(&self) -> String {
        let dtype = self.dtype.as_deref().unwrap_or("no tensor");
        let Some(shape) = &self.shape else { return format!("{dtype}[…]") };
        let extent = |extent: &Extent| match extent {
            Extent::Known(value) => value.to_string(),
            Extent::Open(name) => name.clone(),
        };
        let extents: Vec<String> = shape.iter().map(extent).collect();
        format!("{dtype}[{}]", extents.join(", "))
    }
}

impl From<InputInfo> for Tensor {
    fn from(info: InputInfo) -> Tensor {
        let extent = |text: String| text.parse().map_or(Extent::Open(text), Extent::Known);
        Tensor {
            name: info.name,
            dtype: info.dtype.map(|dtype| dtype.to_string()),
            shape: info.shape.map(|shape| shape.into_iter().map(extent).collect()),
        }
    }
}

impl From<&Port> for Tensor {
    fn from(port: &Port) -> Tensor {
        let extent = |dim: &Dim| dim.as_const().map_or_else(|| Extent::Open(dim.to_string()), Extent::Known);
        Tensor {
            name: port.name.to_string(),
            dtype: Some(port.ty.dtype.to_string()),
            shape: Some(port.ty.shape.iter().map(extent).collect()),
        }
    }
}

impl From<UnsupportedNode> for Unsupported {
    fn from(node: UnsupportedNode) -> Unsupported {
        let dot = if node.domain.is_empty() { "" } else { "." };
        let op = format!("{}{dot}{}", node.domain, node.op_type);
        Unsupported { node: node.node, op, opset: node.opset, reason: node.reason }
    }
}

/// `25 557 032`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped_from_the_right() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (25557032, "25 557 032")] {
            assert_eq!(super::grouped(number), text);
        }
    }
}
