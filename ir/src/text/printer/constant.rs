//! Which constants are declared, and under which names.
//!
//! A constant with a name is declared. One without is written in the place of its use if that is the only one and it is small; otherwise it
//! is declared under a number, its place among the declarations. Unused ones without a name are left out.

use super::literal::write_literal;
use super::{LargeConstants, PrintOptions};
use crate::text::{LabelName, Quoted};
use crate::weights::RESERVED_NAME;
use crate::{Constant, ConstantId, Constants, Graph, Module, Op, Tensor};
use cranelift_entity::SecondaryMap;
use rustc_hash::{FxHashMap, FxHashSet};
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

    /// The constants that stand in a file, with their keys, which are unique.
    pub fn external(&self, module: &Module, options: &PrintOptions<'_>) -> Vec<(String, ConstantId)> {
        if !matches!(options.large, LargeConstants::File(_)) {
            return Vec::new();
        }
        let mut taken: FxHashSet<String> = FxHashSet::from_iter([RESERVED_NAME.to_owned()]);
        let mut keys = Vec::new();
        // Names keep their keys, so they come first.
        for named in [true, false] {
            for (id, constant) in &module.constants {
                let Some((is_named, key)) = self.default_key(id, constant) else { continue };
                if is_named == named && is_large(&constant.tensor, options) {
                    let mut key = key;
                    while !taken.insert(key.clone()) {
                        key.push('#');
                    }
                    keys.push((key, id));
                }
            }
        }
        keys
    }

    /// The key that a `file` without a key stands for, and whether it is the constant's name.
    fn default_key(&self, id: ConstantId, constant: &Constant) -> Option<(bool, String)> {
        match self.get(id) {
            ConstantName::Named => Some((true, constant.name.to_string())),
            ConstantName::Number(number) => Some((false, format!("#{number}"))),
            ConstantName::Absent | ConstantName::Literal => None,
        }
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

/// `constant @name : f32[2] = [1.0, 2.0]`, one per declared constant; `external` are those that stand in a file.
pub(super) fn write_declarations(
    out: &mut dyn Write,
    constants: &Constants,
    names: &ConstantNames,
    options: &PrintOptions<'_>,
    external: &[(String, ConstantId)],
) -> fmt::Result {
    let keys: FxHashMap<ConstantId, &str> = external.iter().map(|(key, id)| (*id, key.as_str())).collect();
    for (id, constant) in constants {
        let Some((is_named, default_key)) = names.default_key(id, constant) else { continue };
        match is_named {
            true => write!(out, "constant @{}", LabelName(&constant.name))?,
            false => write!(out, "constant @{}", default_key.trim_start_matches('#'))?,
        }
        write!(out, " : {} =", constant.tensor.ty())?;
        match (options.large, keys.get(&id)) {
            (LargeConstants::File(file), Some(key)) => {
                write!(out, " file {}", Quoted(file))?;
                if *key != default_key {
                    write!(out, " {}", Quoted(key))?;
                }
            }
            (LargeConstants::Omit, _) if is_large(&constant.tensor, options) => out.write_str(" ...")?,
            _ => write_literal(out, &constant.tensor)?,
        }
        out.write_char('\n')?;
    }
    Ok(())
}
