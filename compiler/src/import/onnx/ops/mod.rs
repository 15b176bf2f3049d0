//! The operators: one table of names, one file per family.
//!
//! * [`elementwise`], [`activation`]: functions of elements
//! * [`constant`]: constants and counting
//! * [`reshape`], [`slice`], [`indexing`]: movement
//! * [`reduction`], [`pool`], [`norm`]: reductions, windows, normalisations
//! * [`matmul`], [`conv`], [`einsum`]: contractions
//! * [`attention`], [`flex`]: attention and rotary positions
//! * [`resize`], [`grid`], [`roi`], [`deform`]: resampling
//! * [`boxes`], [`unique`], [`ngrams`]: what is counted or selected
//! * `determinant`: determinants
//! * [`quantize`]: quantised arithmetic
//! * [`control`], [`recurrent`]: control flow
//! * [`sequence`]: sequences and optionals
//! * [`signal`]: Fourier transforms and windows
//! * [`contrib`]: the domain of ONNX Runtime
//! * `loss`, `optimizer`: losses and updates of parameters
//! * `features`: functions of features

mod activation;
mod attention;
mod boxes;
mod constant;
mod contrib;
mod control;
mod conv;
mod deform;
mod determinant;
mod einsum;
mod elementwise;
mod features;
mod flex;
mod grid;
mod indexing;
mod loss;
mod matmul;
mod ngrams;
mod norm;
mod optimizer;
mod pool;
mod quantize;
mod recurrent;
mod reduction;
mod reshape;
mod resize;
mod roi;
mod sequence;
mod signal;
mod slice;
mod unique;

use super::context::Handler;
use graven_ir::{BinaryOp as B, CompareOp as C, CumulativeOp, UnaryOp as U};
use reduction::Kind;
use rustc_hash::FxHashMap;
use std::sync::LazyLock;

/// An operator in some versions of its domain.
struct Row {
    domain: &'static str,
    name: &'static str,
    /// First and last version of the domain.
    versions: (i64, i64),
    handler: Handler,
}

/// An ONNX operator in all versions.
const fn op(name: &'static str, handler: Handler) -> Row {
    Row { domain: "", name, versions: (1, i64::MAX), handler }
}

/// An ONNX operator since a version.
const fn since(version: i64, name: &'static str, handler: Handler) -> Row {
    Row { domain: "", name, versions: (version, i64::MAX), handler }
}

/// An operator of ONNX Runtime's own domain.
const fn contrib(name: &'static str, handler: Handler) -> Row {
    Row { domain: "com.microsoft", name, versions: (1, i64::MAX), handler }
}

/// An ONNX operator that was retired after a version.
const fn until(version: i64, name: &'static str, handler: Handler) -> Row {
    Row { domain: "", name, versions: (1, version), handler }
}

/// Every operator that the importer translates.
static OPS: &[Row] = &[
    // Functions of one element.
    op("Abs", |c| elementwise::unary(c, U::Abs)),
    op("Acos", |c| elementwise::unary(c, U::Acos)),
    op("Acosh", |c| elementwise::unary(c, U::Acosh)),
    op("Asin", |c| elementwise::unary(c, U::Asin)),
    op("Asinh", |c| elementwise::unary(c, U::Asinh)),
    op("Atan", |c| elementwise::unary(c, U::Atan)),
    op("Atanh", |c| elementwise::unary(c, U::Atanh)),
    op("Ceil", |c| elementwise::unary(c, U::Ceil)),
    op("Cos", |c| elementwise::unary(c, U::Cos)),
    op("Cosh", |c| elementwise::unary(c, U::Cosh)),
    op("Erf", |c| elementwise::float_unary(c, U::Erf)),
    op("Exp", |c| elementwise::unary(c, U::Exp)),
    op("Floor", |c| elementwise::unary(c, U::Floor)),
    op("IsNaN", |c| elementwise::unary(c, U::IsNan)),
    op("Log", |c| elementwise::unary(c, U::Log)),
    op("Neg", |c| elementwise::unary(c, U::Neg)),
    op("Not", |c| elementwise::unary(c, U::Not)),
    op("Reciprocal", |c| elementwise::unary(c, U::Reciprocal)),
    op("Round", |c| elementwise::unary(c, U::Round)),
    op("Sigmoid", |c| elementwise::unary(c, U::Sigmoid)),
    op("Sign", |c| elementwise::unary(c, U::Sign)),
    op("Sin", |c| elementwise::unary(c, U::Sin)),
    op("Sinh", |c| elementwise::unary(c, U::Sinh)),
    op("Sqrt", |c| elementwise::unary(c, U::Sqrt)),
    op("Tan", |c| elementwise::unary(c, U::Tan)),
    op("Tanh", |c| elementwise::unary(c, U::Tanh)),
    op("IsInf", elementwise::is_inf),
    op("BitwiseNot", |c| elementwise::unary(c, U::Not)),
    op("Cast", elementwise::cast),
    op("CastLike", elementwise::cast_like),
    op("BitCast", elementwise::bit_cast),
    op("Identity", elementwise::identity),
    // Functions of several elements.
    op("Add", |c| elementwise::binary(c, B::Add)),
    op("Sub", |c| elementwise::binary(c, B::Sub)),
    op("Mul", |c| elementwise::binary(c, B::Mul)),
    op("Div", |c| elementwise::binary(c, B::Div)),
    op("Pow", elementwise::pow),
    op("Mod", elementwise::modulo),
    op("And", |c| elementwise::binary(c, B::And)),
    op("Or", |c| elementwise::binary(c, B::Or)),
    op("Xor", |c| elementwise::binary(c, B::Xor)),
    op("BitwiseAnd", |c| elementwise::binary(c, B::And)),
    op("BitwiseOr", |c| elementwise::binary(c, B::Or)),
    op("BitwiseXor", |c| elementwise::binary(c, B::Xor)),
    op("BitShift", elementwise::bit_shift),
    op("Max", |c| elementwise::variadic(c, B::Max)),
    op("Min", |c| elementwise::variadic(c, B::Min)),
    op("Sum", |c| elementwise::variadic(c, B::Add)),
    op("Mean", elementwise::mean),
    op("Clip", elementwise::clip),
    op("Equal", |c| elementwise::compare(c, C::Eq)),
    op("Less", |c| elementwise::compare(c, C::Lt)),
    op("LessOrEqual", |c| elementwise::compare(c, C::Le)),
    op("Greater", |c| elementwise::compare(c, C::Gt)),
    op("GreaterOrEqual", |c| elementwise::compare(c, C::Ge)),
    op("Where", elementwise::select),
    // Activations.
    op("Relu", activation::relu),
    op("LeakyRelu", activation::leaky_relu),
    op("PRelu", activation::prelu),
    op("Elu", activation::elu),
    op("Selu", activation::selu),
    op("Celu", activation::celu),
    op("Gelu", activation::gelu),
    op("HardSigmoid", activation::hard_sigmoid),
    op("HardSwish", activation::hard_swish),
    op("Mish", activation::mish),
    op("Softplus", activation::softplus),
    op("Softsign", activation::softsign),
    op("Swish", activation::swish),
    op("SwiGLU", activation::swiglu),
    op("ThresholdedRelu", activation::thresholded_relu),
    op("Shrink", activation::shrink),
    // Constants and counting.
    op("Constant", constant::constant),
    op("ConstantOfShape", constant::constant_of_shape),
    op("Range", constant::range),
    op("EyeLike", constant::eye_like),
    // `Shape` and `Size` are always known; see `shape_rules`.
    op("Shape", elementwise::identity),
    op("Size", elementwise::identity),
    // Movement.
    op("Reshape", reshape::reshape),
    op("Flatten", reshape::flatten),
    op("Squeeze", reshape::squeeze),
    op("Unsqueeze", reshape::unsqueeze),
    op("Transpose", reshape::transpose),
    op("Expand", reshape::expand),
    op("Tile", reshape::tile),
    op("Dropout", reshape::dropout),
    op("DepthToSpace", reshape::depth_to_space),
    op("SpaceToDepth", reshape::space_to_depth),
    op("Slice", slice::slice),
    op("Split", slice::split),
    op("Concat", slice::concat),
    op("Pad", slice::pad),
    op("CenterCropPad", slice::center_crop_pad),
    op("ReverseSequence", slice::reverse_sequence),
    op("Gather", indexing::gather),
    op("GatherElements", indexing::gather_elements),
    op("GatherND", indexing::gather_nd),
    until(10, "Scatter", indexing::scatter_elements),
    op("ScatterElements", indexing::scatter_elements),
    op("ScatterND", indexing::scatter_nd),
    op("TensorScatter", indexing::tensor_scatter),
    op("Compress", indexing::compress),
    op("NonZero", indexing::non_zero),
    op("OneHot", indexing::one_hot),
    op("Trilu", indexing::trilu),
    op("TopK", indexing::top_k),
    op("Unique", unique::unique),
    op("NonMaxSuppression", boxes::non_max_suppression),
    op("TfIdfVectorizer", ngrams::tf_idf),
    // Reductions.
    op("ReduceSum", |c| reduction::reduce(c, Kind::Sum)),
    op("ReduceProd", |c| reduction::reduce(c, Kind::Product)),
    op("ReduceMax", |c| reduction::reduce(c, Kind::Max)),
    op("ReduceMin", |c| reduction::reduce(c, Kind::Min)),
    op("ReduceMean", |c| reduction::reduce(c, Kind::Mean)),
    op("ReduceL1", |c| reduction::reduce(c, Kind::L1)),
    op("ReduceL2", |c| reduction::reduce(c, Kind::L2)),
    op("ReduceLogSum", |c| reduction::reduce(c, Kind::LogSum)),
    op("ReduceLogSumExp", |c| reduction::reduce(c, Kind::LogSumExp)),
    op("ReduceSumSquare", |c| reduction::reduce(c, Kind::SumSquare)),
    op("ArgMax", |c| reduction::arg_reduce(c, true)),
    op("ArgMin", |c| reduction::arg_reduce(c, false)),
    op("CumSum", |c| reduction::cumulative(c, CumulativeOp::Sum)),
    op("CumProd", |c| reduction::cumulative(c, CumulativeOp::Product)),
    // Contractions.
    op("MatMul", matmul::matmul),
    op("Gemm", matmul::gemm),
    op("Conv", conv::conv),
    op("ConvTranspose", conv::conv_transpose),
    op("CausalConvWithState", conv::causal_conv),
    op("Einsum", einsum::einsum),
    op("DeformConv", deform::deform_conv),
    op("Col2Im", deform::col2im),
    op("Det", determinant::det),
    // Attention.
    op("Attention", attention::attention),
    op("RotaryEmbedding", attention::rotary_embedding),
    Row { domain: "ai.onnx.preview", ..op("FlexAttention", flex::flex_attention) },
    // Pools.
    op("MaxPool", pool::max_pool),
    op("AveragePool", pool::average_pool),
    op("LpPool", pool::lp_pool),
    op("GlobalMaxPool", |c| pool::global(c, Kind::Max)),
    op("GlobalAveragePool", |c| pool::global(c, Kind::Mean)),
    op("GlobalLpPool", pool::global_lp),
    op("MaxUnpool", pool::max_unpool),
    // Normalisations.
    op("BatchNormalization", norm::batch_norm),
    op("InstanceNormalization", norm::instance_norm),
    op("GroupNormalization", norm::group_norm),
    op("LayerNormalization", norm::layer_norm),
    op("RMSNormalization", norm::rms_norm),
    op("LpNormalization", norm::lp_norm),
    op("MeanVarianceNormalization", norm::mean_variance_norm),
    op("LRN", norm::lrn),
    op("Softmax", |c| norm::softmax(c, false)),
    op("LogSoftmax", |c| norm::softmax(c, true)),
    op("Hardmax", norm::hardmax),
    // Resampling.
    since(10, "Resize", resize::resize),
    until(10, "Upsample", resize::resize),
    since(16, "GridSample", grid::grid_sample),
    op("AffineGrid", grid::affine_grid),
    op("RoiAlign", roi::roi_align),
    op("MaxRoiPool", roi::max_roi_pool),
    // Quantised arithmetic.
    op("QuantizeLinear", quantize::quantize_linear),
    op("DequantizeLinear", quantize::dequantize_linear),
    op("DynamicQuantizeLinear", quantize::dynamic_quantize),
    op("MatMulInteger", quantize::matmul_integer),
    op("QLinearMatMul", quantize::qlinear_matmul),
    op("ConvInteger", conv::conv_integer),
    op("QLinearConv", quantize::qlinear_conv),
    // Control flow.
    op("If", control::conditional),
    op("Loop", control::loop_node),
    op("Scan", control::scan),
    // Recurrent networks.
    op("RNN", recurrent::rnn),
    op("GRU", recurrent::gru),
    op("LSTM", recurrent::lstm),
    op("LinearAttention", recurrent::linear_attention),
    // Sequences and optionals.
    op("SequenceConstruct", sequence::construct),
    op("SequenceEmpty", sequence::empty),
    op("SequenceLength", sequence::length),
    op("SequenceAt", sequence::at),
    op("SequenceInsert", sequence::insert),
    op("SequenceErase", sequence::erase),
    op("SequenceMap", sequence::map),
    op("SplitToSequence", sequence::split),
    op("ConcatFromSequence", sequence::concat),
    op("Optional", sequence::optional),
    op("OptionalHasElement", sequence::has_element),
    op("OptionalGetElement", sequence::get_element),
    // Signals.
    op("DFT", signal::dft),
    op("STFT", signal::stft),
    op("HannWindow", |c| signal::window(c, &[0.5, 0.5])),
    op("HammingWindow", |c| signal::window(c, &[25.0 / 46.0, 21.0 / 46.0])),
    op("BlackmanWindow", |c| signal::window(c, &[0.42, 0.5, 0.08])),
    op("MelWeightMatrix", signal::mel_weight_matrix),
    // Losses.
    op("NegativeLogLikelihoodLoss", loss::negative_log_likelihood),
    op("SoftmaxCrossEntropyLoss", loss::softmax_cross_entropy),
    Row { domain: "ai.onnx.preview.training", ..op("Adagrad", optimizer::adagrad) },
    Row { domain: "ai.onnx.preview.training", ..op("Adam", optimizer::adam) },
    Row { domain: "ai.onnx.preview.training", ..op("Momentum", optimizer::momentum) },
    // Features.
    Row { domain: "ai.onnx.ml", ..op("Binarizer", features::binarizer) },
    Row { domain: "ai.onnx.ml", ..op("ArrayFeatureExtractor", features::array_feature_extractor) },
    // ONNX Runtime's fused and quantised operators. `SimplifiedLayerNormalization` has ONNX's domain in its files.
    op("SimplifiedLayerNormalization", norm::rms_norm),
    contrib("Attention", contrib::attention),
    contrib("MultiHeadAttention", contrib::multi_head_attention),
    contrib("RotaryEmbedding", contrib::rotary_embedding),
    contrib("Gelu", |c| contrib::activated_gelu(c, false)),
    contrib("BiasGelu", |c| contrib::activated_gelu(c, false)),
    contrib("FastGelu", |c| contrib::activated_gelu(c, true)),
    contrib("QuickGelu", contrib::quick_gelu),
    contrib("FusedMatMul", contrib::fused_matmul),
    contrib("FusedGemm", contrib::fused_gemm),
    contrib("FusedConv", contrib::fused_conv),
    contrib("SkipLayerNormalization", contrib::skip_layer_norm),
    contrib("SkipSimplifiedLayerNormalization", contrib::skip_rms_norm),
    contrib("EmbedLayerNormalization", contrib::embed_layer_norm),
    contrib("QuantizeLinear", quantize::quantize_linear),
    contrib("DequantizeLinear", quantize::dequantize_linear),
    contrib("QLinearAdd", |c| contrib::binary(c, B::Add)),
    contrib("QLinearMul", |c| contrib::binary(c, B::Mul)),
    contrib("QLinearSigmoid", |c| contrib::unary(c, |c| elementwise::unary(c, U::Sigmoid))),
    contrib("QLinearLeakyRelu", |c| contrib::unary(c, activation::leaky_relu)),
    contrib("QLinearSoftmax", |c| contrib::unary(c, |c| norm::softmax(c, false))),
    contrib("QLinearAveragePool", |c| contrib::unary(c, pool::average_pool)),
    contrib("QLinearGlobalAveragePool", |c| contrib::unary(c, |c| pool::global(c, Kind::Mean))),
    contrib("QLinearConcat", contrib::concat),
    contrib("MatMulIntegerToFloat", contrib::float_matmul),
    contrib("DynamicQuantizeMatMul", contrib::dynamic_matmul),
];

static INDEX: LazyLock<FxHashMap<(&str, &str), Vec<&Row>>> = LazyLock::new(|| {
    let mut index: FxHashMap<(&str, &str), Vec<&Row>> = FxHashMap::default();
    for row in OPS {
        index.entry((row.domain, row.name)).or_default().push(row);
    }
    index
});

/// The handler of an operator, or why there is none.
pub(super) fn find(domain: &str, name: &str, opset: i64) -> Result<Handler, String> {
    let Some(rows) = INDEX.get(&(domain, name)) else {
        return Err(match domain {
            "" => "the operator is not supported".into(),
            _ => format!("the operator of the domain `{domain}` is not supported"),
        });
    };
    let fits = |row: &&&Row| (row.versions.0..=row.versions.1).contains(&opset) || opset == 0;
    match rows.iter().find(fits) {
        Some(row) => Ok(row.handler),
        None => Err(format!("the operator does not exist in opset {opset}")),
    }
}
