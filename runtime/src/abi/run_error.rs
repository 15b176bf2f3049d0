//! What a run function reports.

/// Why a run function failed. The discriminants are the stable codes that it returns.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunError {
    /// The caller's [`super::Exec::abi_version`] is not the model's.
    AbiVersion = 1,
    /// An index in the data points outside the tensor that it indexes.
    IndexOutOfRange = 2,
    /// A loop whose trip count depends on data went on for longer than its budget.
    TripBudget = 3,
    /// A symbolic extent lies outside its bounds.
    DimOutOfRange = 4,
    /// The weights are not embedded and the caller gave none.
    NoWeights = 5,
    /// A custom call is missing or failed.
    CustomCall = 6,
}

impl RunError {
    /// Every error, in the order of the codes.
    pub const ALL: [RunError; 6] = [
        RunError::AbiVersion,
        RunError::IndexOutOfRange,
        RunError::TripBudget,
        RunError::DimOutOfRange,
        RunError::NoWeights,
        RunError::CustomCall,
    ];

    /// The error with this code; `None` for 0, which is success, and for codes of no known meaning.
    pub fn from_code(code: i32) -> Option<RunError> {
        RunError::ALL.into_iter().find(|error| *error as i32 == code)
    }

    /// One sentence without its full stop.
    pub fn message(self) -> &'static str {
        match self {
            RunError::AbiVersion => "the model was compiled for another version of the calling interface",
            RunError::IndexOutOfRange => "an index in the data is outside the tensor that it indexes",
            RunError::TripBudget => "a loop exceeded its budget of iterations",
            RunError::DimOutOfRange => "a symbolic dimension is outside its bounds",
            RunError::NoWeights => "the model's weights are not embedded and were not given",
            RunError::CustomCall => "a custom call is missing or failed",
        }
    }
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for RunError {}
