//! Errors of the compiler: bad input, unsupported, our bug.

use std::fmt;

/// Where in the user's material an error stands: ``node `conv1` (Conv)``, ``input `x` ``, a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(String);

impl Place {
    /// A place in words.
    pub fn new(text: impl Into<String>) -> Place {
        Place(text.into())
    }

    /// ``kind `name` ``.
    pub fn named(kind: &str, name: &str) -> Place {
        Place(format!("{kind} `{name}`"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node that can't be compiled, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// The node's name, or that of its first output if it has none.
    pub node: String,
    /// Operator domain; empty for ONNX's own.
    pub domain: String,
    /// Operator name.
    pub op_type: String,
    /// Version of the domain that the model asks for.
    pub opset: i64,
    /// What is not supported.
    pub reason: String,
}

/// ``node `name` (domain.Op, opset 17): reason``.
impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnsupportedNode { node, domain, op_type, opset, reason } = self;
        let dot = if domain.is_empty() { "" } else { "." };
        write!(f, "node `{node}` ({domain}{dot}{op_type}, opset {opset}): {reason}")
    }
}

/// Why a model was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The model, a file or an option is wrong: exit code 2.
    #[error("{place}: {reason}")]
    BadInput {
        /// Where.
        place: Place,
        /// One sentence.
        reason: String,
    },
    /// Something that this version can't do: exit code 3.
    #[error("{place}: {reason}")]
    Unsupported {
        /// Where.
        place: Place,
        /// One sentence.
        reason: String,
    },
    /// All nodes of a model that this version can't compile: exit code 3.
    #[error("{}", list(.0))]
    UnsupportedNodes(Vec<UnsupportedNode>),
    /// A bug of the compiler: exit code 3.
    #[error("internal error at {place}: {reason}; please report it")]
    Internal {
        /// Where.
        place: Place,
        /// One sentence.
        reason: String,
    },
}

fn list(nodes: &[UnsupportedNode]) -> String {
    match nodes {
        [node] => format!("not supported: {node}"),
        _ => {
            let lines: Vec<String> = nodes.iter().map(|node| format!("\n  {node}")).collect();
            format!("{} nodes are not supported:{}", nodes.len(), lines.concat())
        }
    }
}

impl Error {
    /// [`Error::BadInput`] from its parts.
    pub fn bad_input(place: Place, reason: impl Into<String>) -> Error {
        Error::BadInput { place, reason: reason.into() }
    }

    /// [`Error::Unsupported`] from its parts.
    pub fn unsupported(place: Place, reason: impl Into<String>) -> Error {
        Error::Unsupported { place, reason: reason.into() }
    }

    /// [`Error::Internal`] from its parts.
    pub fn internal(place: Place, reason: impl Into<String>) -> Error {
        Error::Internal { place, reason: reason.into() }
    }

    /// The exit code of the command line.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::BadInput { .. } => 2,
            Error::Unsupported { .. } | Error::UnsupportedNodes(_) | Error::Internal { .. } => 3,
        }
    }
}
