//! What was optimised and what was not, with the reason: the lines of `--remarks`.

use graven_ir::Node;
use std::fmt;
use std::sync::Arc;

/// Whether an optimisation took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemarkKind {
    /// It did.
    Applied,
    /// It did not, though the node looks as if it could have.
    Missed,
}

/// One line about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The pass or stage.
    pub pass: &'static str,
    /// Whether it did something.
    pub kind: RemarkKind,
    /// The model's node, or the op if the node has no name.
    pub place: Arc<str>,
    /// What was done, or why it was not.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RemarkKind::Applied => "applied",
            RemarkKind::Missed => "missed",
        };
        write!(f, "{} {kind}: {}: {}", self.pass, self.place, self.message)
    }
}

/// Collects remarks, if somebody wants them.
#[derive(Debug, Default)]
pub struct Remarks {
    wanted: bool,
    list: Vec<Remark>,
}

impl Remarks {
    /// A collector that forgets everything unless `wanted`.
    pub fn new(wanted: bool) -> Remarks {
        Remarks { wanted, list: Vec::new() }
    }

    /// What was collected since the last call.
    pub fn take(&mut self) -> Vec<Remark> {
        std::mem::take(&mut self.list)
    }

    /// An optimisation of a node.
    pub fn applied(&mut self, pass: &'static str, node: &Node, message: impl FnOnce() -> String) {
        self.add(pass, RemarkKind::Applied, || place(node), message);
    }

    /// An optimisation of a node that could not be.
    pub fn missed(&mut self, pass: &'static str, node: &Node, message: impl FnOnce() -> String) {
        self.add(pass, RemarkKind::Missed, || place(node), message);
    }

    /// An optimisation of what has this name.
    pub fn applied_at(&mut self, pass: &'static str, place: Arc<str>, message: impl FnOnce() -> String) {
        self.add(pass, RemarkKind::Applied, || place, message);
    }

    /// An optimisation of what has this name that could not be.
    pub fn missed_at(&mut self, pass: &'static str, place: Arc<str>, message: impl FnOnce() -> String) {
        self.add(pass, RemarkKind::Missed, || place, message);
    }

    fn add(
        &mut self,
        pass: &'static str,
        kind: RemarkKind,
        place: impl FnOnce() -> Arc<str>,
        message: impl FnOnce() -> String,
    ) {
        if self.wanted {
            self.list.push(Remark { pass, kind, place: place(), message: message() });
        }
    }
}

fn place(node: &Node) -> Arc<str> {
    node.origin.clone().unwrap_or_else(|| node.op.name().into())
}
