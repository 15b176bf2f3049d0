//! Why a name and attributes are no op.

/// Why a name and attributes are no op.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// No row has this name.
    #[error("there is no op `{0}`")]
    UnknownOp(String),
    /// A field of the row has no value.
    #[error("`{op}` needs the attribute `{attribute}`: {expected}")]
    MissingAttribute {
        /// The op's name.
        op: &'static str,
        /// The field's name.
        attribute: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The value has another type than the field.
    #[error("the attribute `{attribute}` of `{op}` must be {expected}")]
    WrongAttribute {
        /// The op's name.
        op: &'static str,
        /// The field's name.
        attribute: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The row has no such field.
    #[error("`{op}` has no attribute `{attribute}`")]
    UnknownAttribute {
        /// The op's name.
        op: &'static str,
        /// The given name.
        attribute: String,
    },
}
