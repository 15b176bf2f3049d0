//! What can be wrong with a kernel.

use crate::kernel::{Block, Kernel, Stmt, Type, TypeError, Val};
use graven_ir::DType;
use smallvec::SmallVec;
use std::fmt;

/// A step from a block to what is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// The n-th statement of the block.
    Stmt(u32),
    /// The body of a loop.
    Body,
    /// The block of a branch that is taken.
    Then,
    /// The other block of a branch.
    Else,
}

/// The way from the kernel's outermost block to a statement; empty for the kernel itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(pub SmallVec<[PathStep; 8]>);

/// `3.body.0.then.2`; `kernel` where it is empty.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("kernel");
        }
        for (place, step) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            match step {
                PathStep::Stmt(index) => write!(f, "{index}")?,
                PathStep::Body => f.write_str("body")?,
                PathStep::Then => f.write_str("then")?,
                PathStep::Else => f.write_str("else")?,
            }
        }
        Ok(())
    }
}

impl Path {
    /// The statement, if the path leads to one in this kernel.
    pub fn find<'k>(&self, kernel: &'k Kernel) -> Option<&'k Stmt> {
        let mut block: &'k Block = &kernel.body;
        let mut found: Option<&'k Stmt> = None;
        for step in &self.0 {
            match (step, found) {
                (PathStep::Stmt(index), _) => found = Some(block.stmts.get(*index as usize)?),
                (PathStep::Body, Some(Stmt::For(nest))) => block = &nest.body,
                (PathStep::Then, Some(Stmt::If(branch))) => block = &branch.then,
                (PathStep::Else, Some(Stmt::If(branch))) => block = &branch.otherwise,
                _ => return None,
            }
        }
        found
    }
}

/// What is wrong. The letters are those of the [invariants](super).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyErrorKind {
    /// K1.
    #[error("two buffers are named `{0}`")]
    DuplicateBuffer(String),
    /// K1.
    #[error("the argument `{0}` comes after a scratch buffer")]
    ArgumentAfterScratch(String),
    /// K2.
    #[error("the buffer `{0}` has a negative size")]
    NegativeSize(String),
    /// K3.
    #[error("two run-time extents are named `{0}`")]
    DuplicateExtent(String),
    /// K3.
    #[error("the run-time extent `{0}` is no i64 scalar")]
    ExtentType(String),
    /// K3.
    #[error(
        "`{0}` is a loop variable or a value read from memory, used outside of the block that defines it"
    )]
    EscapedLoopVariable(String),
    /// T1 to T3.
    #[error("there are no values of type {ty}: {reason}")]
    TypeForm {
        /// The type.
        ty: Type,
        /// Why not.
        reason: &'static str,
    },
    /// T4, T5.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// T4.
    #[error("{what} must be {expected}, not {found}")]
    WrongType {
        /// What the value is for.
        what: &'static str,
        /// The right type.
        expected: String,
        /// Its type.
        found: Type,
    },
    /// T6.
    #[error("the target has no `{0}`")]
    Feature(&'static str),
    /// V1.
    #[error("{0} has no entry in the kernel's values")]
    UnknownValue(Val),
    /// V1.
    #[error("{0} is defined twice")]
    DefinedTwice(Val),
    /// V2.
    #[error("{0} is used, but not defined before")]
    Undefined(Val),
    /// V2.
    #[error("{0} is used outside of the block that defines it")]
    OutOfScope(Val),
    /// C1.
    #[error("the step of a loop must be at least 1, not {0}")]
    Step(i64),
    /// C2, C4, C5.
    #[error("the block yields {found} values instead of {expected}")]
    YieldCount {
        /// Carried values or results.
        expected: usize,
        /// What the block yields.
        found: usize,
    },
    /// P1.
    #[error("a parallel loop must stand in the outermost block")]
    NestedParallel,
    /// P2.
    #[error("there is a second parallel loop")]
    SecondParallel,
    /// P3.
    #[error("a parallel loop carries no values")]
    ParallelCarries,
    /// P4.
    #[error("beside a parallel loop there may be no {0}: every task executes what stands there")]
    BesideParallel(&'static str),
    /// K1.
    #[error("there is no such buffer")]
    UnknownBuffer,
    /// M3.
    #[error("`{0}` is only written, not read")]
    LoadFromWrite(String),
    /// M3.
    #[error("`{0}` is only read, not written")]
    StoreToRead(String),
    /// M4.
    #[error("`{buffer}` holds {dtype}, which is not {verb} {ty}")]
    MemoryType {
        /// The buffer.
        buffer: String,
        /// Its dtype.
        dtype: DType,
        /// `loaded as` or `stored from`.
        verb: &'static str,
        /// The register's type.
        ty: Type,
    },
    /// M5.
    #[error("a store can't broadcast")]
    BroadcastStore,
    /// M1.
    #[error("a gather takes {lanes} i32 or i64 offsets, not {found}")]
    GatherType {
        /// Lanes of the value.
        lanes: u16,
        /// Type of the offsets.
        found: Type,
    },
    /// M6.
    #[error("`{buffer}` has {elements} elements, but the access reaches element {element}")]
    OutOfBounds {
        /// The buffer.
        buffer: String,
        /// Its size.
        elements: String,
        /// The element, as an expression.
        element: String,
    },
}

/// A violation and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {kind}")]
pub struct VerifyError {
    /// The statement.
    pub path: Path,
    /// What is wrong.
    pub kind: VerifyErrorKind,
}
