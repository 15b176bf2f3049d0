//! Dimension orders of convolutions, in XLA's notation.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a dimension of a convolution's operand or result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DimensionRole {
    /// `b` in input and output; `o`, the output feature, in the kernel.
    Outer,
    /// `f` in input and output; `i`, the input feature within a group, in the kernel.
    Inner,
    /// A digit: the n-th spatial dimension, at most ten.
    Spatial(u8),
}

/// Orders of the input's, the kernel's and the output's dimensions, outermost first: `bf01_oi01_bf01` is NCHW with OIHW weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConvDimensions {
    /// Roles of the input's dimensions.
    pub input: Vec<DimensionRole>,
    /// Roles of the kernel's dimensions.
    pub kernel: Vec<DimensionRole>,
    /// Roles of the output's dimensions.
    pub output: Vec<DimensionRole>,
}

impl ConvDimensions {
    /// Batch, feature, spatial for input and output; output feature, input feature, spatial for the kernel.
    pub fn standard(spatial_rank: usize) -> ConvDimensions {
        let spatial = (0..spatial_rank).map(|n| DimensionRole::Spatial(n as u8));
        let order: Vec<_> = [DimensionRole::Outer, DimensionRole::Inner].into_iter().chain(spatial).collect();
        ConvDimensions { input: order.clone(), kernel: order.clone(), output: order }
    }

    /// Number of spatial dimensions.
    pub fn spatial_rank(&self) -> usize {
        self.input.len().saturating_sub(2)
    }

    /// Whether this is [`ConvDimensions::standard`].
    pub fn is_standard(&self) -> bool {
        *self == ConvDimensions::standard(self.spatial_rank())
    }

    /// The place of `role` in `order`; orders are complete, so it exists for roles of this rank.
    pub fn position(order: &[DimensionRole], role: DimensionRole) -> Option<usize> {
        order.iter().position(|other| *other == role)
    }
}

fn letters(order: &[DimensionRole], outer: char, inner: char) -> String {
    let letter = |role: &DimensionRole| match role {
        DimensionRole::Outer => outer,
        DimensionRole::Inner => inner,
        DimensionRole::Spatial(n) => char::from_digit((*n).into(), 10).unwrap_or('?'),
    };
    order.iter().map(letter).collect()
}

impl fmt::Display for ConvDimensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (input, output) = (letters(&self.input, 'b', 'f'), letters(&self.output, 'b', 'f'));
        write!(f, "{input}_{}_{output}", letters(&self.kernel, 'o', 'i'))
    }
}

fn parse_order(text: &str, outer: char, inner: char) -> Option<Vec<DimensionRole>> {
    let rank = text.len();
    let mut order = Vec::with_capacity(rank);
    for letter in text.chars() {
        let role = match letter {
            c if c == outer => DimensionRole::Outer,
            c if c == inner => DimensionRole::Inner,
            c => DimensionRole::Spatial(u8::try_from(c.to_digit(10)?).ok()?),
        };
        let in_range = !matches!(role, DimensionRole::Spatial(n) if usize::from(n) + 2 >= rank);
        if order.contains(&role) || !in_range {
            return None;
        }
        order.push(role);
    }
    (rank >= 2).then_some(order)
}

impl FromStr for ConvDimensions {
    type Err = ();

    fn from_str(text: &str) -> Result<ConvDimensions, ()> {
        let mut parts = text.split('_');
        let (Some(input), Some(kernel), Some(output), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let input = parse_order(input, 'b', 'f').ok_or(())?;
        let kernel = parse_order(kernel, 'o', 'i').ok_or(())?;
        let output = parse_order(output, 'b', 'f').ok_or(())?;
        match input.len() == kernel.len() && kernel.len() == output.len() {
            true => Ok(ConvDimensions { input, kernel, output }),
            false => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_round_trip() {
        for text in ["bf01_oi01_bf01", "b0f_0io_f0b", "bf_oi_bf"] {
            assert_eq!(text.parse::<ConvDimensions>().unwrap().to_string(), text);
        }
        for text in ["bf01_oi01", "bf02_oi01_bf01", "bb01_oi01_bf01", "bf0_oi01_bf01", ""] {
            assert!(text.parse::<ConvDimensions>().is_err(), "{text}");
        }
    }
}
