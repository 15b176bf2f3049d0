//! How far results may be from those of the operations as the model states them.

/// Which rewrites of floating-point arithmetic passes and schedules may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accuracy {
    /// Only those within the error bound of plain summation: passes leave the order of operations as it is.
    Strict,
    /// Those with a documented bound too.
    #[default]
    Default,
    /// Everything that networks tolerate.
    Fast,
}

impl Accuracy {
    /// Whether sums and products may be computed in another order, (a + b) + c as a + (b + c), a · (b · c) as (a · b) · c.
    pub fn reassociates(self) -> bool {
        self != Accuracy::Strict
    }
}
