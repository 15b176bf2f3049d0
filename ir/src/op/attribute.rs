//! Attribute values: what stands between braces in the text form.

use crate::{BinaryOp, ConvDimensions, DType, Dim, Symbol};
use ordered_float::OrderedFloat;

/// A float attribute; hashes and compares by value, NaN equal to itself.
pub type Real = OrderedFloat<f64>;

/// An attribute value without its op: what the parser reads and the printer writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// `12`, `N + 1`.
    Dim(Dim),
    /// `0.5`, `1e-5`, `inf`, `nan`; printed with a point or exponent.
    Real(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A bare word: a dtype, a mode, `bf01_oi01_bf01`.
    Word(String),
    /// `"…"`.
    Text(String),
    /// `[a, b]`.
    List(Vec<Attribute>),
}

impl Attribute {
    /// Calls `visit` for every extent in the value.
    pub fn for_each_dim(&self, visit: &mut dyn FnMut(&Dim)) {
        match self {
            Attribute::Dim(dim) => visit(dim),
            Attribute::List(items) => items.iter().for_each(|item| item.for_each_dim(visit)),
            Attribute::Real(_) | Attribute::Bool(_) | Attribute::Word(_) | Attribute::Text(_) => {}
        }
    }
}

/// A type that an op's attribute field may have.
pub trait AttributeValue: Sized {
    /// What the field expects, for error messages.
    const EXPECTED: &'static str;
    /// What a list of these expects, for error messages.
    const EXPECTED_LIST: &'static str = "a list";

    /// The printable value.
    fn to_attribute(&self) -> Attribute;

    /// The value, or `None` if `attribute` has another form.
    fn from_attribute(attribute: &Attribute) -> Option<Self>;
}

macro_rules! integer_attribute {
    ($($ty:ty)*) => {$(
        impl AttributeValue for $ty {
            const EXPECTED: &'static str = "an integer";
            const EXPECTED_LIST: &'static str = "a list of integers";

            fn to_attribute(&self) -> Attribute {
                Attribute::Dim(Dim::from(i64::try_from(*self).unwrap_or(i64::MAX)))
            }

            fn from_attribute(attribute: &Attribute) -> Option<Self> {
                match attribute {
                    Attribute::Dim(dim) => Self::try_from(dim.as_const()?).ok(),
                    _ => None,
                }
            }
        }
    )*};
}
integer_attribute!(i64 usize u32);

impl AttributeValue for Dim {
    const EXPECTED: &'static str = "an extent";
    const EXPECTED_LIST: &'static str = "a list of extents";

    fn to_attribute(&self) -> Attribute {
        Attribute::Dim(self.clone())
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Dim(dim) => Some(dim.clone()),
            _ => None,
        }
    }
}

impl AttributeValue for Symbol {
    const EXPECTED: &'static str = "a symbol";

    fn to_attribute(&self) -> Attribute {
        Attribute::Dim(Dim::from(self))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Dim(dim) => dim.as_symbol().cloned(),
            _ => None,
        }
    }
}

impl AttributeValue for Real {
    const EXPECTED: &'static str = "a number";

    fn to_attribute(&self) -> Attribute {
        Attribute::Real(self.0)
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Real(value) => Some(OrderedFloat(*value)),
            Attribute::Dim(dim) => Some(OrderedFloat(dim.as_const()? as f64)),
            _ => None,
        }
    }
}

impl AttributeValue for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn to_attribute(&self) -> Attribute {
        Attribute::Bool(*self)
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl AttributeValue for String {
    const EXPECTED: &'static str = "a quoted text";

    fn to_attribute(&self) -> Attribute {
        Attribute::Text(self.clone())
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl AttributeValue for DType {
    const EXPECTED: &'static str = "an element type";
    const EXPECTED_LIST: &'static str = "a list of element types";

    fn to_attribute(&self) -> Attribute {
        Attribute::Word(self.name().into())
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Word(word) => word.parse().ok(),
            _ => None,
        }
    }
}

impl AttributeValue for ConvDimensions {
    const EXPECTED: &'static str = "a dimension order such as `bf01_oi01_bf01`";

    fn to_attribute(&self) -> Attribute {
        Attribute::Word(self.to_string())
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Word(word) => word.parse().ok(),
            _ => None,
        }
    }
}

impl<T: AttributeValue> AttributeValue for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED_LIST;
    const EXPECTED_LIST: &'static str = "a list of lists";

    fn to_attribute(&self) -> Attribute {
        Attribute::List(self.iter().map(AttributeValue::to_attribute).collect())
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::List(items) => items.iter().map(T::from_attribute).collect(),
            _ => None,
        }
    }
}

/// Enums made by `functions!` are bare words.
macro_rules! word_attribute {
    ($($ty:ty)*) => {$(
        impl $crate::AttributeValue for $ty {
            const EXPECTED: &'static str = <$ty>::NAMES;

            fn to_attribute(&self) -> $crate::Attribute {
                $crate::Attribute::Word(self.name().into())
            }

            fn from_attribute(attribute: &$crate::Attribute) -> Option<Self> {
                match attribute {
                    $crate::Attribute::Word(word) => Self::ALL.iter().copied().find(|item| item.name() == word),
                    _ => None,
                }
            }
        }
    )*};
}
pub(crate) use word_attribute;
word_attribute!(BinaryOp);
