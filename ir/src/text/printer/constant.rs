//! Which constants are declared, and under which names.
//!
//! A constant with a name is declared. One without is written in the place of its use if that is the only one and it is small; otherwise it
//! is declared under a number, its place among the declarations. Unused ones without a name are left out.

use super::literal::write_literal;
use super::{LargeConstants, PrintOptions};
use crate::text::LabelName;
use crate::{ConstantId, Constants, Graph, Module, Op, Tensor};
use cranelift_entity::SecondaryMap;
use std::fmt::{self, Write};

/// How a constant is written where it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ConstantName {
    /// It is not used and has no name.
    #[default]
    Absent,
    /// By its literal.
    Literal,
    /// By its name.
    Named,
    /// By its place among the declarations.
    Number(u32),
}

pub(super) struct ConstantNames(SecondaryMap<ConstantId, ConstantName>);

impl ConstantNames {
    pub fn of_module(module: &Module, options: &PrintOptions<'_>) -> ConstantNames {
        let mut uses = SecondaryMap::new();
        module.functions.iter().for_each(|function| count_uses(&function.graph, &mut uses));
        let mut names = SecondaryMap::new();
        let mut declared = 0;
        for (id, constant) in &module.constants {
            names[id] = match (constant.name.is_empty(), uses[id]) {
                (true, 0) => ConstantName::Absent,
                (true, 1) if !is_large(&constant.tensor, options) => ConstantName::Literal,
                (true, _) => ConstantName::Number(declared),
                (false, _) => ConstantName::Named,
            };
            declared += u32::from(matches!(names[id], ConstantName::Named | ConstantName::Number(_)));
        }
        ConstantNames(names)
    }

    /// Names for a graph on its own: small constants are literals wherever they are used.
    pub fn of_graph(constants: &Constants) -> ConstantNames {
        let mut names = SecondaryMap::new();
        for (id, constant) in constants {
            names[id] = match constant.name.is_empty() {
                true if !is_large(&constant.tensor, &PrintOptions::default()) => ConstantName::Literal,
                true => ConstantName::Number(id.as_u32()),
                false => ConstantName::Named,
            };
        }
        ConstantNames(names)
    }

    pub fn get(&self, id: ConstantId) -> ConstantName {
        self.0[id]
    }

    pub fn any_declared(&self) -> bool {
        self.0.values().any(|name| matches!(name, ConstantName::Named | ConstantName::Number(_)))
    }

    /// The constants that stand in a file, with their keys.
    pub fn external(&self, module: &Module, options: &PrintOptions<'_>) -> Vec<(String, ConstantId)> {
        if !matches!(options.large, LargeConstants::File(_)) {
            return Vec::new();
        }
        let large = module.constants.iter().filter(|(_, constant)| is_large(&constant.tensor, options));
        let keys = large.filter_map(|(id, constant)| match self.get(id) {
            ConstantName::Named => Some((constant.name.to_string(), id)),
            ConstantName::Number(number) => Some((format!("#{number}"), id)),
            ConstantName::Absent | ConstantName::Literal => None,
        });
        keys.collect()
    }
}

fn is_large(tensor: &Tensor, options: &PrintOptions<'_>) -> bool {
    tensor.len() > options.large_elements && tensor.splat_value().is_none()
}

/// Counts the uses of constants by live nodes.
fn count_uses(graph: &Graph, uses: &mut SecondaryMap<ConstantId, u32>) {
    for id in graph.order() {
        let node = graph.node(id);
        if let Op::Constant { id } = node.op {
            uses[id] += 1;
        }
        node.regions.iter().for_each(|region| count_uses(region, uses));
    }
}

/// `constant @name : f32[2] = [1.0, 2.0]`, one per declared constant.
pub(super) fn write_declarations(
    out: &mut dyn Write,
    constants: &Constants,
    names: &ConstantNames,
    options: &PrintOptions<'_>,
) -> fmt::Result {
    for (id, constant) in constants {
        match names.get(id) {
            ConstantName::Absent | ConstantName::Literal => continue,
            ConstantName::Named => write!(out, "constant @{}", LabelName(&constant.name))?,
            ConstantName::Number(number) => write!(out, "constant @{number}")?,
        }
        write!(out, " : {} =", constant.tensor.ty())?;
        match options.large {
            LargeConstants::File(file) if is_large(&constant.tensor, options) => {
                write!(out, " file {}", crate::text::Quoted(file))?;
            }
            LargeConstants::Omit if is_large(&constant.tensor, options) => out.write_str(" ...")?,
            _ => write_literal(out, &constant.tensor)?,
        }
        out.write_char('\n')?;
    }
    Ok(())
}
