//! The table of operations: one row per op with its name in the text form, category and attributes.
//!
//! A row's doc states operands and results. Broadcasting is always an op of its own, so elementwise operands have equal shapes.
//! Adding a row makes every exhaustive `match` over [`Op`] (inference, evaluation, gradient, lowering) fail to compile until it is
//! handled; `docs/adding-an-op.md` lists them.

use super::category::Category;
use super::elementwise::functions;
use super::error::OpError;
use crate::op::attribute::word_attribute;
use crate::{
    Attribute, AttributeValue, BinaryOp, CompareOp, ConstantId, ConvDimensions, DType, Dim, Real, Symbol,
    UnaryOp,
};
use serde::{Deserialize, Serialize};

functions! {
    /// How elements are combined by reductions and windows. The result has the operand's dtype; integers wrap; bool has no sum and product.
    ReduceOp {
        /// Sum, 0 for no element.
        Sum "sum",
        /// Product, 1 for no element.
        Product "product",
        /// Largest element, NaN if one is NaN; lowest value of the dtype (−∞, false) for no element.
        Max "max",
        /// Smallest element, NaN if one is NaN; highest value of the dtype (∞, true) for no element.
        Min "min",
    }
}

functions! {
    /// How running reductions combine.
    CumulativeOp {
        /// Running sum.
        Sum "sum",
        /// Running product.
        Product "product",
        /// Running maximum.
        Max "max",
        /// Running minimum.
        Min "min",
    }
}

functions! {
    /// How a scatter combines an update with the element that is there; bool has no sum and product.
    ScatterOp {
        /// The update replaces it; with repeated indices the last update in row-major order wins.
        Replace "replace",
        /// Sum.
        Add "add",
        /// Product.
        Mul "mul",
        /// Larger of the two.
        Max "max",
        /// Smaller of the two.
        Min "min",
    }
}

functions! {
    /// What a fusion group is built around; it decides which schedule lowers the group.
    FusionKind {
        /// Elementwise and movement ops only.
        Pointwise "pointwise",
        /// Reductions with pointwise work around them: softmax, norms.
        Reduction "reduction",
        /// One `dot_general` with its prologue and epilogue.
        Dot "dot",
        /// One `conv` with its epilogue.
        Conv "conv",
        /// One window reduction with its epilogue.
        Window "window",
        /// One op with a schedule of its own.
        Single "single",
    }
}

word_attribute!(ReduceOp CumulativeOp ScatterOp FusionKind);

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident $name:literal $category:ident $({ $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })?;)*) => {
        /// An operation with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Op {
            /// A function of one element: `(x) → y`, same shape.
            Unary(UnaryOp),
            /// A function of two elements: `(x, y) → z`, same shapes.
            Binary(BinaryOp),
            /// A comparison: `(x, y) → bool`, same shapes.
            Compare(CompareOp),
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: $ty,)* })?,)*
        }

        impl Op {
            /// The names of all ops, elementwise functions included.
            pub fn names() -> impl Iterator<Item = &'static str> {
                let unary = UnaryOp::ALL.iter().map(|op| op.name());
                let binary = BinaryOp::ALL.iter().map(|op| op.name());
                let compare = CompareOp::ALL.iter().map(|op| op.name());
                unary.chain(binary).chain(compare).chain([$($name),*])
            }

            /// The name in the text form.
            pub fn name(&self) -> &'static str {
                match self {
                    Op::Unary(op) => op.name(),
                    Op::Binary(op) => op.name(),
                    Op::Compare(op) => op.name(),
                    $(Op::$variant { .. } => $name,)*
                }
            }

            /// The family.
            pub fn category(&self) -> Category {
                match self {
                    Op::Unary(_) | Op::Binary(_) | Op::Compare(_) => Category::Elementwise,
                    $(Op::$variant { .. } => Category::$category,)*
                }
            }

            /// The attributes in the order of the row.
            pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
                match self {
                    Op::Unary(_) | Op::Binary(_) | Op::Compare(_) => Vec::new(),
                    $(Op::$variant $({ $($field),* })? => vec![$($((stringify!($field), $field.to_attribute())),*)?],)*
                }
            }

            /// The op of a name with attributes; every field must be given, in any order.
            pub fn from_attributes(name: &str, attributes: &[(String, Attribute)]) -> Result<Op, OpError> {
                if let Some(op) = elementwise(name) {
                    return no_unknown(op, attributes);
                }
                let op = match name {
                    $($name => Op::$variant $({
                        $($field: field::<$ty>($name, stringify!($field), attributes)?,)*
                    })?,)*
                    _ => return Err(OpError::UnknownOp(name.into())),
                };
                no_unknown(op, attributes)
            }
        }
    };
}

ops! {
    /// `() → y`: a constant of the module.
    Constant "constant" Leaf {
        /// Which.
        id: ConstantId,
    };
    /// `() → i64[]`: the run-time value of a dim.
    Extent "extent" Leaf {
        /// The dim.
        dim: Dim,
    };
    /// `() → y`: y\[…, i, …\] = i along `axis`, in integer or float `dtype`.
    Iota "iota" Leaf {
        /// Extents of the result.
        shape: Vec<Dim>,
        /// The counted axis.
        axis: usize,
        /// Element type of the result.
        dtype: DType,
    };
    /// `(key: u64[2]) → u32[shape]`: Philox 4×32-10 (Salmon et al., SC'11) keyed by `key[0]`, counting from `key[1]`: the
    /// element with linear index n is word n mod 4 of block `key[1]` + ⌊n ÷ 4⌋ (mod 2⁶⁴). Key and block number are two words each, the low
    /// one first; the upper two words of the counter are 0.
    RandomBits "random_bits" Leaf {
        /// Extents of the result.
        shape: Vec<Dim>,
    };

    /// `(condition: bool, x, y) → z`: x where the condition holds, else y; same shapes.
    Select "select" Elementwise;
    /// `(x) → y`: conversion by value. Float to integer truncates and saturates, NaN gives 0; integer to integer wraps; to bool is
    /// `x ≠ 0`; to float rounds to nearest, ties to even.
    Cast "cast" Elementwise {
        /// Element type of the result.
        to: DType,
    };
    /// `(x) → y`: the same bits as another dtype with as many value bits: `i4` becomes `u4`, bool nothing else.
    Bitcast "bitcast" Elementwise {
        /// Element type of the result.
        to: DType,
    };

    /// `(x) → y`: the same elements in row-major order under another shape.
    Reshape "reshape" Movement {
        /// Extents of the result; their product is that of the operand's.
        shape: Vec<Dim>,
    };
    /// `(x) → y`: dimension i of the result is dimension `permutation[i]` of x.
    Transpose "transpose" Movement {
        /// A permutation of the dimensions.
        permutation: Vec<usize>,
    };
    /// `(x) → y`: dimension i of x becomes dimension `dimensions[i]` of the result; extent 1 is repeated; others too are repeated.
    Broadcast "broadcast" Movement {
        /// Extents of the result.
        shape: Vec<Dim>,
        /// Strictly increasing.
        dimensions: Vec<usize>,
    };
    /// `(x) → y`: y\[i\] = x\[start + i·stride\] per dimension, ⌈(limit − start) ÷ stride⌉ elements.
    Slice "slice" Movement {
        /// First index per dimension, ≥ 0.
        start: Vec<Dim>,
        /// End per dimension, exclusive, ≤ the extent.
        limit: Vec<Dim>,
        /// Step per dimension, ≥ 1.
        stride: Vec<i64>,
    };
    /// `(x, value: scalar) → y`: `value` before, after and between the elements of each dimension; negative amounts cut.
    Pad "pad" Movement {
        /// Elements before, per dimension; may be negative.
        low: Vec<Dim>,
        /// Elements after, per dimension; may be negative.
        high: Vec<Dim>,
        /// Elements between two neighbours, per dimension, ≥ 0.
        interior: Vec<i64>,
    };
    /// `(x₀, x₁, …) → y`: joined along `axis`; the other extents are equal.
    Concat "concat" Movement {
        /// The joined dimension.
        axis: usize,
    };
    /// `(x) → y`: reversed order along the axes.
    Reverse "reverse" Movement {
        /// Distinct dimensions.
        axes: Vec<usize>,
    };
    /// `(x, indices: integer) → y`: y\[a…, i…, b…\] = x\[a…, indices\[i…\], b…\], the index at `axis`. An index outside 0..extent is a run-time error.
    Gather "gather" Movement {
        /// The indexed dimension of x.
        axis: usize,
    };
    /// `(x, indices: integer) → y`: y\[…, i, …\] = x\[…, indices\[…, i, …\], …\] at `axis`; y has the shape of the indices, which is at most x's in the
    /// other dimensions. An index outside 0..extent is a run-time error.
    GatherElements "gather_elements" Movement {
        /// The indexed dimension.
        axis: usize,
    };
    /// `(x, indices: integer[b…, i…, k]) → y[b…, i…, rest…]`: the last dimension of the indices holds coordinates of the k dimensions of x after the
    /// batch dimensions. An index outside 0..extent is a run-time error.
    GatherNd "gather_nd" Movement {
        /// Leading dimensions that x and the indices share.
        batch_dimensions: usize,
    };
    /// `(x, indices: integer, updates) → y`: x with updates\[…, i, …\] combined into \[…, indices\[…, i, …\], …\] at `axis`; the updates have the shape of the indices.
    ScatterElements "scatter_elements" Movement {
        /// The indexed dimension.
        axis: usize,
        /// How to combine.
        combine: ScatterOp,
    };
    /// `(x, indices: integer[i…, k], updates[i…, rest…]) → y`: x with the updates combined into the places that the coordinates name.
    ScatterNd "scatter_nd" Movement {
        /// How to combine.
        combine: ScatterOp,
    };
    /// `(x, starts: i64[rank]) → y`: `shape` elements from run-time `starts`, each clamped so that the slice lies within x.
    DynamicSlice "dynamic_slice" Movement {
        /// Extents of the result.
        shape: Vec<Dim>,
    };
    /// `(x, update, starts: i64[rank]) → y`: x with `update` at run-time `starts`, each clamped so that the update lies within x.
    DynamicUpdateSlice "dynamic_update_slice" Movement;

    /// `(count: i64[], x₀, x₁, …) → (y₀, y₁, …)`: gives `symbol` its value, which data decide; yᵢ is the first `count` elements of xᵢ along `axes[i]`. A count that is
    /// outside the symbol's bounds or above an xᵢ's extent is a run-time error. Only the graph of a function may have this op, not a region; it stays even if no result is used.
    BindExtent "bind_extent" Movement {
        /// The extent: not one of a parameter, bound by one op only.
        symbol: Symbol,
        /// The dimension of each x.
        axes: Vec<usize>,
    };

    /// `(a, b) → y`: sums of products over the contracted dimensions. The result's dimensions are the batch dimensions, then a's free ones, then b's. Equal dtypes;
    /// integers wrap.
    DotGeneral "dot_general" Contraction {
        /// Batch dimensions of a.
        lhs_batch: Vec<usize>,
        /// Batch dimensions of b, in the same order.
        rhs_batch: Vec<usize>,
        /// Contracted dimensions of a.
        lhs_contract: Vec<usize>,
        /// Contracted dimensions of b, in the same order.
        rhs_contract: Vec<usize>,
    };
    /// `(x, kernel) → y`: convolution as machine learning means it (no kernel flip). With base dilation d the input has d − 1 zeros between neighbours before padding.
    /// Output extent: ⌊(dilated input + low + high − dilated kernel) ÷ stride⌋ + 1. Output feature o belongs to feature group ⌊o ÷ (O ÷ feature_groups)⌋;
    /// with batch groups g the input's batch splits into g parts, and output feature o convolves part ⌊o ÷ (O ÷ g)⌋.
    Conv "conv" Contraction {
        /// Dimension orders.
        dimensions: ConvDimensions,
        /// Step per spatial dimension, ≥ 1.
        stride: Vec<i64>,
        /// Zeros before each spatial dimension; negative cuts.
        padding_low: Vec<Dim>,
        /// Zeros after each spatial dimension; negative cuts.
        padding_high: Vec<Dim>,
        /// Base dilation per spatial dimension, ≥ 1.
        base_dilation: Vec<i64>,
        /// Kernel dilation per spatial dimension, ≥ 1.
        kernel_dilation: Vec<i64>,
        /// Groups of features, ≥ 1.
        feature_groups: i64,
        /// Groups of batches, ≥ 1; one of the two is 1.
        batch_groups: i64,
    };

    /// `(x) → y`: the reduction of each window; places in the padding do not take part. One entry per dimension of x in every list.
    ReduceWindow "reduce_window" Window {
        /// How to combine.
        combine: ReduceOp,
        /// Window extents, ≥ 1.
        size: Vec<i64>,
        /// Steps, ≥ 1.
        stride: Vec<i64>,
        /// Window dilations, ≥ 1.
        dilation: Vec<i64>,
        /// Padding before.
        padding_low: Vec<Dim>,
        /// Padding after.
        padding_high: Vec<Dim>,
    };
    /// `(x) → i64`: for each window the row-major index in x of its largest element (NaN counts as largest), the first of equals; −1 for a window
    /// that sees only padding. Attributes as of `reduce_window`; not for bool.
    ArgMaxWindow "arg_max_window" Window {
        /// Window extents, ≥ 1.
        size: Vec<i64>,
        /// Steps, ≥ 1.
        stride: Vec<i64>,
        /// Window dilations, ≥ 1.
        dilation: Vec<i64>,
        /// Padding before.
        padding_low: Vec<Dim>,
        /// Padding after.
        padding_high: Vec<Dim>,
    };

    /// `(x) → y`: the axes are reduced and disappear.
    Reduce "reduce" Reduction {
        /// How to combine.
        combine: ReduceOp,
        /// Distinct dimensions, increasing.
        axes: Vec<usize>,
    };
    /// `(x) → i64`: index of the largest (or smallest) element along `axis`, which disappears. NaN counts as largest (or smallest);
    /// not for bool.
    ArgReduce "arg_reduce" Reduction {
        /// The largest rather than the smallest.
        largest: bool,
        /// The reduced dimension.
        axis: usize,
        /// Of equal elements take the last instead of the first.
        last: bool,
    };
    /// `(x) → y`: running reduction along `axis`; not for bool.
    Cumulative "cumulative" Reduction {
        /// How to combine.
        combine: CumulativeOp,
        /// The dimension to run along.
        axis: usize,
        /// The element itself does not take part (the first result is the identity).
        exclusive: bool,
        /// From the end to the start.
        reverse: bool,
    };

    /// `(x) → (values, indices: i64)`: stable sort along `axis`. NaN counts as larger than every number; not for bool.
    Sort "sort" Sorting {
        /// The sorted dimension.
        axis: usize,
        /// Largest first.
        descending: bool,
    };
    /// `(x) → (values, indices: i64)`: the first `k` of the sorted elements along `axis`; of equal elements the lower index comes first; not for bool.
    TopK "top_k" Sorting {
        /// The dimension.
        axis: usize,
        /// How many, at most the extent.
        k: Dim,
        /// The largest rather than the smallest.
        largest: bool,
    };

    /// `(condition: bool[], captures…) → results…`; regions then and else, both `(captures…) → results…`.
    If "if" Control;
    /// `(carried…, captures…) → carried…`; regions condition `(carried…, captures…) → bool[]` and body `(carried…, captures…) → carried…`. More than `trip_limit` trips are a
    /// run-time error.
    While "while" Control {
        /// Number of carried values.
        carried: usize,
        /// Trip budget.
        trip_limit: Dim,
    };
    /// `(carried…, scanned…, captures…) → (carried…, stacked…)`; region body `(carried…, slices…, captures…) → (carried…, outputs…)`. Trip t sees slice t of the leading dimension
    /// of each scanned value, and its outputs become slice t of the stacked results.
    Scan "scan" Control {
        /// Number of carried values.
        carried: usize,
        /// Number of scanned values.
        scanned: usize,
        /// Number of trips: the leading extent of scanned and stacked values.
        length: Dim,
        /// From the last slice to the first.
        reverse: bool,
    };
    /// `(operands…) → results…`; one region `(operands…) → results…` with the same meaning, compiled as one kernel.
    Fuse "fuse" Control {
        /// What the group is built around.
        kind: FusionKind,
    };
    /// `(x) → x`: the same value in another layout of the side table.
    Relayout "relayout" Movement;

    /// `(x: float, scale, zero_point: dtype of y) → y`: saturate(round(x ÷ scale) + zero_point), ties to even, NaN gives 0; the quotient is rounded to the
    /// dtype of x first, as in ONNX. Scale and zero point are both scalars or both vectors along
    /// `axis`; the scale has the dtype of x.
    Quantize "quantize" Elementwise {
        /// The dimension of vector scales.
        axis: usize,
    };
    /// `(x: integer, scale: float, zero_point: dtype of x) → y`: (x − zero_point) · scale in the dtype of the scale; scale and zero point are both scalars or both vectors along
    /// `axis`.
    Dequantize "dequantize" Elementwise {
        /// The dimension of vector scales.
        axis: usize,
    };

    /// `(x) → y`: eˣ ÷ Σ eˣ along `axis`, computed after subtraction of the maximum.
    Softmax "softmax" Composite {
        /// The normalised dimension.
        axis: usize,
    };
    /// `(x) → y`: x − max − ln Σ e^(x − max) along `axis`.
    LogSoftmax "log_softmax" Composite {
        /// The normalised dimension.
        axis: usize,
    };
    /// `(x[, scale[, bias]]) → y`: (x − mean) ÷ √(variance + ε) · scale + bias over the dimensions from `axis` on (Ba et al., 2016); scale and bias have the shape of these.
    LayerNorm "layer_norm" Composite {
        /// First normalised dimension.
        axis: usize,
        /// ε.
        epsilon: Real,
    };
    /// `(x[, scale]) → y`: x ÷ √(mean(x²) + ε) · scale over the dimensions from `axis` on (Zhang and Sennrich, 2019).
    RmsNorm "rms_norm" Composite {
        /// First normalised dimension.
        axis: usize,
        /// ε.
        epsilon: Real,
    };
    /// `(x) → y`: x · Φ(x) (Hendrycks and Gimpel, 2016).
    Gelu "gelu" Composite {
        /// The tanh form ½x(1 + tanh(√(2/π)(x + 0.044715x³))) instead of the exact ½x(1 + erf(x ÷ √2)).
        tanh: bool,
    };
    /// `(x) → y`: x · sigmoid(x).
    Silu "silu" Composite;
    /// `(q[b…, l, d], k[b…, s, d], v[b…, s, e][, mask[b…, l, s]]) → y[b…, l, e]`: softmax(scale · q kᵀ + mask) v over s (Vaswani et al., 2017). A query for
    /// which no key takes part gives NaN.
    Attention "attention" Composite {
        /// Factor of the scores.
        scale: Real,
        /// Key j takes part for query i only if j ≤ i + (s − l).
        causal: bool,
    };

    /// `(operands…) → results…`: code that the application registers under `target`.
    CustomCall "custom_call" Custom {
        /// The registered name.
        target: String,
        /// Element types of the results.
        dtypes: Vec<DType>,
        /// Shapes of the results.
        shapes: Vec<Vec<Dim>>,
    };
}

fn elementwise(name: &str) -> Option<Op> {
    let unary = UnaryOp::ALL.iter().find(|op| op.name() == name).map(|op| Op::Unary(*op));
    let binary = || BinaryOp::ALL.iter().find(|op| op.name() == name).map(|op| Op::Binary(*op));
    let compare = || CompareOp::ALL.iter().find(|op| op.name() == name).map(|op| Op::Compare(*op));
    unary.or_else(binary).or_else(compare)
}

fn field<T: AttributeValue>(
    op: &'static str,
    attribute: &'static str,
    attributes: &[(String, Attribute)],
) -> Result<T, OpError> {
    let expected = T::EXPECTED;
    let Some((_, value)) = attributes.iter().find(|(name, _)| name == attribute) else {
        return Err(OpError::MissingAttribute { op, attribute, expected });
    };
    T::from_attribute(value).ok_or(OpError::WrongAttribute { op, attribute, expected })
}

fn no_unknown(op: Op, attributes: &[(String, Attribute)]) -> Result<Op, OpError> {
    let known = op.attributes();
    match attributes.iter().find(|(name, _)| known.iter().all(|(field, _)| field != name)) {
        None => Ok(op),
        Some((name, _)) => Err(OpError::UnknownAttribute { op: op.name(), attribute: name.clone() }),
    }
}

impl AttributeValue for ConstantId {
    const EXPECTED: &'static str = "a constant";

    fn to_attribute(&self) -> Attribute {
        Attribute::Word(self.to_string())
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Word(word) => word.strip_prefix('@')?.parse().ok().map(ConstantId::from_u32),
            _ => None,
        }
    }
}

impl Op {
    /// Whether a second evaluation could be left out or an unused one dropped: all ops but custom calls and those that bind extents. Regions are not looked at.
    pub fn is_pure(&self) -> bool {
        !matches!(self, Op::BindExtent { .. } | Op::CustomCall { .. })
    }

    /// The regions that a node with this op has, by their labels in the text form.
    pub fn region_names(&self) -> &'static [&'static str] {
        match self {
            Op::If => &["then", "else"],
            Op::While { .. } => &["condition", "body"],
            Op::Scan { .. } | Op::Fuse { .. } => &["body"],
            _ => &[],
        }
    }

    /// Number of regions that a node with this op has.
    pub fn region_count(&self) -> usize {
        self.region_names().len()
    }
}
