//! Small tensors whose elements are known as formulas over the symbolic extents.
//!
//! ONNX computes shapes with tensors: `Shape → Gather → Mul → Concat → Reshape`. The importer follows such chains symbolically,
//! so that shapes end up in attributes and the chain itself is never built. Exporters also scale extents in floating point
//! (`Floor(Cast(n) · 0.5)`), so an element is a fraction: a [`Dim`] over a positive constant.

use graven_ir::{BinaryOp, DType, Dim, GraphBuilder, Op, Tensor, ValueId, element, infer::InferError};

/// Tensors with more elements are not followed.
pub(super) const MAX_ELEMENTS: usize = 1024;

/// Formulas with more terms are not followed: products of sums grow exponentially.
const MAX_TERMS: usize = 64;

/// `numerator ÷ denominator`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    /// Above the line.
    pub(super) numerator: Dim,
    /// Below the line, ≥ 1; 1 in integer tensors.
    pub(super) denominator: i64,
}

impl From<Dim> for Fraction {
    fn from(numerator: Dim) -> Fraction {
        Fraction { numerator, denominator: 1 }
    }
}

impl Fraction {
    /// The fraction of a float that has a short binary expansion.
    fn from_f64(value: f64) -> Option<Fraction> {
        let mut denominator = 1i64;
        while denominator <= 1 << 20 {
            let scaled = value * denominator as f64;
            if scaled == scaled.trunc() && scaled.abs() < 9e15 {
                return Some(Fraction { numerator: Dim::from(scaled as i64), denominator });
            }
            denominator *= 2;
        }
        None
    }

    /// The fraction of a float, with a denominator of up to 2³⁰ where it has no short binary expansion.
    pub(super) fn approximate(value: f64) -> Fraction {
        let rounded = || {
            let denominator = 1i64 << 30;
            let numerator = Dim::from((value * denominator as f64).round() as i64);
            Fraction { numerator, denominator }
        };
        Fraction::from_f64(value).unwrap_or_else(rounded)
    }

    /// `value`, unless it has grown too large to be followed.
    pub(super) fn bounded(numerator: Dim, denominator: i64) -> Option<Fraction> {
        let small = numerator.terms().len() <= MAX_TERMS && denominator > 0 && denominator < 1 << 40;
        small.then_some(Fraction { numerator, denominator }.reduced())
    }

    fn reduced(self) -> Fraction {
        let divisor = Dim::from(self.denominator);
        match self.denominator != 1 && self.numerator.modulo(&divisor).is(0) {
            true => Fraction::from(self.numerator.floor_div(&divisor)),
            false => self,
        }
    }

    /// The value, where it is constant.
    pub(super) fn as_f64(&self) -> Option<f64> {
        Some(self.numerator.as_const()? as f64 / self.denominator as f64)
    }

    /// The largest integer that is not larger.
    pub(super) fn floor(&self) -> Dim {
        self.numerator.floor_div(&Dim::from(self.denominator))
    }

    /// The smallest integer that is not smaller.
    pub(super) fn ceil(&self) -> Dim {
        self.numerator.ceil_div(&Dim::from(self.denominator))
    }

    /// Both numerators over a common denominator.
    pub(super) fn aligned(&self, other: &Fraction) -> (Dim, Dim, i64) {
        if self.denominator == other.denominator {
            return (self.numerator.clone(), other.numerator.clone(), self.denominator);
        }
        let common = self.denominator.saturating_mul(other.denominator);
        (
            &self.numerator * &Dim::from(other.denominator),
            &other.numerator * &Dim::from(self.denominator),
            common,
        )
    }
}

/// A small tensor of known elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SymbolicTensor {
    /// Element type. Bool elements are the constants 0 and 1.
    pub(super) dtype: DType,
    /// Extents.
    pub(super) shape: Vec<usize>,
    /// Elements in row-major order.
    pub(super) elements: Vec<Fraction>,
}

impl SymbolicTensor {
    /// A rank-1 tensor of i64.
    pub(super) fn vector(dims: impl IntoIterator<Item = Dim>) -> SymbolicTensor {
        let elements: Vec<Fraction> = dims.into_iter().map(Fraction::from).collect();
        SymbolicTensor { dtype: DType::I64, shape: vec![elements.len()], elements }
    }

    /// A rank-0 tensor of i64.
    pub(super) fn scalar(dim: Dim) -> SymbolicTensor {
        SymbolicTensor { dtype: DType::I64, shape: Vec::new(), elements: vec![dim.into()] }
    }

    /// The elements of a small tensor, if all are short fractions.
    pub(super) fn from_tensor(tensor: &Tensor) -> Option<SymbolicTensor> {
        if tensor.len() > MAX_ELEMENTS {
            return None;
        }
        let elements: Option<Vec<Fraction>> = match tensor.to_i64s() {
            Some(values) => Some(values.into_iter().map(|value| Dim::from(value).into()).collect()),
            None if tensor.dtype().is_float() => {
                tensor.to_f64s().into_iter().map(Fraction::from_f64).collect()
            }
            None => None,
        };
        Some(SymbolicTensor { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), elements: elements? })
    }

    /// The tensor, if every element is constant.
    pub(super) fn to_tensor(&self) -> Option<Tensor> {
        let mut data = Vec::with_capacity(self.elements.len() * self.dtype.bytes());
        for value in &self.elements {
            match self.dtype.is_float() {
                true => data.extend(element::encode_float(self.dtype, value.as_f64()?)),
                false => data.extend(element::encode_int(self.dtype, value.numerator.as_const()?.into())),
            }
        }
        Tensor::new(self.dtype, self.shape.clone(), data).ok()
    }

    /// The elements, if all are integers.
    pub(super) fn to_dims(&self) -> Option<Vec<Dim>> {
        self.elements.iter().map(|value| (value.denominator == 1).then(|| value.numerator.clone())).collect()
    }

    /// Builds the tensor from run-time extents.
    pub(super) fn build(&self, builder: &mut GraphBuilder<'_>) -> Result<ValueId, InferError> {
        if let Some(tensor) = self.to_tensor() {
            return builder.constant(tensor);
        }
        let mut parts = Vec::with_capacity(self.elements.len());
        for value in &self.elements {
            let part = build_element(builder, self.dtype, value)?;
            parts.push(builder.reshape(part, &[Dim::ONE])?);
        }
        let joined = match parts.as_slice() {
            [part] => *part,
            _ => builder.op(Op::Concat { axis: 0 }, &parts)?,
        };
        let shape: Vec<Dim> = self.shape.iter().map(|extent| Dim::from(*extent)).collect();
        builder.reshape(joined, &shape)
    }
}

fn build_element(
    builder: &mut GraphBuilder<'_>,
    dtype: DType,
    value: &Fraction,
) -> Result<ValueId, InferError> {
    if let Some(constant) = value.numerator.as_const().filter(|_| value.denominator == 1) {
        let tensor = Tensor::new(dtype, Vec::new(), element::encode_int(dtype, constant.into()).into_vec());
        if let Ok(tensor) = tensor {
            return builder.constant(tensor);
        }
    }
    let extent = builder.op(Op::Extent { dim: value.numerator.clone() }, &[])?;
    let extent = builder.cast(extent, dtype)?;
    match value.denominator {
        1 => Ok(extent),
        denominator => builder.binary_scalar(BinaryOp::Div, extent, denominator as f64),
    }
}
