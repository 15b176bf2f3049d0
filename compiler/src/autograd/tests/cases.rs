//! Every row of the op table with the attribute combinations that change its rule.

/// Rows through which no gradient passes: no float operand, an integer or bool result, slope 0 everywhere, or only made by later passes.
pub(super) const WITHOUT_GRADIENT: &[&str] = &[
    "sign",
    "not",
    "floor",
    "ceil",
    "round",
    "trunc",
    "is_nan",
    "is_inf",
    "popcount",
    "and",
    "or",
    "xor",
    "shl",
    "shr",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "constant",
    "extent",
    "iota",
    "random_bits",
    "bitcast",
    "arg_max_window",
    "arg_reduce",
    "quantize",
    "custom_call",
    "relayout",
];

/// A row, parameters, body, results. Parameters are f64.
pub(super) type Case = (&'static str, &'static str, &'static str, &'static str);

pub(super) const ELEMENTWISE: &[Case] = &[
    ("atan2", "%x: f64[4], %y: f64[4]", "%z = atan2 %x, %y", "z: f64[4]"),
    ("add", "%x: f64[4], %y: f64[4]", "%z = add %x, %y", "z: f64[4]"),
    ("add", "%x: f64[4]", "%z = add %x, %x", "z: f64[4]"),
    ("sub", "%x: f64[4], %y: f64[4]", "%z = sub %x, %y", "z: f64[4]"),
    ("mul", "%x: f64[4], %y: f64[4]", "%z = mul %x, %y", "z: f64[4]"),
    ("mul", "%x: f64[4]", "%1 = mul %x, %x\n%z = mul %1, %x", "z: f64[4]"),
    ("div", "%x: f64[4], %y: f64[4]", "%z = div %x, %y", "z: f64[4]"),
    (
        "rem",
        "%x: f64[4], %y: f64[4]",
        "%5 = constant splat(-5.0) : f64[4]\n%1 = mul %x, %5\n%z = rem %1, %y",
        "z: f64[4]",
    ),
    (
        "mod",
        "%x: f64[4], %y: f64[4]",
        "%5 = constant splat(-5.0) : f64[4]\n%1 = mul %x, %5\n%z = mod %1, %y",
        "z: f64[4]",
    ),
    ("pow", "%x: f64[4], %y: f64[4]", "%z = pow %x, %y", "z: f64[4]"),
    ("max", "%x: f64[6], %y: f64[6]", "%z = max %x, %y", "z: f64[6]"),
    ("min", "%x: f64[6], %y: f64[6]", "%z = min %x, %y", "z: f64[6]"),
    ("max", "%x: f64[6]", "%0 = constant splat(0.5) : f64[6]\n%z = max %x, %0", "z: f64[6]"),
    (
        "select",
        "%x: f64[4], %y: f64[4]",
        "%c = gt %x, %y\n%1 = exp %x\n%2 = sin %y\n%z = select %c, %1, %2",
        "z: f64[4]",
    ),
    ("cast", "%x: f64[4]", "%1 = cast %x {to = f64}\n%z = exp %1", "z: f64[4]"),
    (
        "dequantize",
        "%s: f64[2]",
        "%x = constant [[1, 2, 3], [-4, 5, 6]] : i8[2, 3]\n%0 = constant [1, -1] : i8[2]\n%z = dequantize %x, %s, %0 {axis = 0}",
        "z: f64[2, 3]",
    ),
];

pub(super) const MOVEMENT: &[Case] = &[
    (
        "bind_extent",
        "%x: f64[4]",
        "%c = constant 3 : i64[]\n%1 = bind_extent %c, %x {symbol = N, axes = [0]} : f64[N]\n%2 = exp %1\n%z = reduce %2 {combine = sum, axes = [0]}",
        "z: f64[]",
    ),
    ("reshape", "%x: f64[2, 3]", "%1 = reshape %x {shape = [3, 2]}\n%z = exp %1", "z: f64[3, 2]"),
    (
        "transpose",
        "%x: f64[2, 3, 4]",
        "%1 = transpose %x {permutation = [2, 0, 1]}\n%z = exp %1",
        "z: f64[4, 2, 3]",
    ),
    (
        "broadcast",
        "%x: f64[1, 3]",
        "%1 = broadcast %x {shape = [2, 4, 3], dimensions = [1, 2]}\n%z = exp %1",
        "z: f64[2, 4, 3]",
    ),
    (
        "broadcast",
        "%x: f64[]",
        "%1 = broadcast %x {shape = [2, 2], dimensions = []}\n%z = exp %1",
        "z: f64[2, 2]",
    ),
    (
        "slice",
        "%x: f64[7, 4]",
        "%1 = slice %x {start = [1, 0], limit = [6, 4], stride = [2, 3]}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "slice",
        "%x: f64[4]",
        "%1 = slice %x {start = [2], limit = [2], stride = [1]}\n%2 = exp %x",
        "z: f64[4]",
    ),
    (
        "pad",
        "%x: f64[3, 2], %v: f64[]",
        "%1 = pad %x, %v {low = [1, 0], high = [0, 2], interior = [2, 0]}\n%z = exp %1",
        "z: f64[8, 4]",
    ),
    (
        "pad",
        "%x: f64[4], %v: f64[]",
        "%1 = pad %x, %v {low = [-1], high = [2], interior = [1]}\n%z = exp %1",
        "z: f64[8]",
    ),
    (
        "pad",
        "%x: f64[4], %v: f64[]",
        "%1 = pad %x, %v {low = [2], high = [-3], interior = [1]}\n%z = exp %1",
        "z: f64[6]",
    ),
    (
        "concat",
        "%x: f64[2, 2], %y: f64[2, 3]",
        "%1 = concat %x, %y, %x {axis = 1}\n%z = exp %1",
        "z: f64[2, 7]",
    ),
    ("reverse", "%x: f64[2, 3]", "%1 = reverse %x {axes = [1]}\n%z = exp %1", "z: f64[2, 3]"),
];

pub(super) const INDEXING: &[Case] = &[
    (
        "gather",
        "%x: f64[2, 5, 3]",
        "%i = constant [[0, 4], [4, 1]] : i64[2, 2]\n%1 = gather %x, %i {axis = 1}\n%z = exp %1",
        "z: f64[2, 2, 2, 3]",
    ),
    (
        "gather",
        "%x: f64[5]",
        "%i = constant 3 : i32[]\n%1 = gather %x, %i {axis = 0}\n%z = exp %1",
        "z: f64[]",
    ),
    (
        "gather_elements",
        "%x: f64[3, 4]",
        "%i = constant [[0, 2, 2], [1, 1, 0]] : i64[2, 3]\n%1 = gather_elements %x, %i {axis = 0}\n%z = exp %1",
        "z: f64[2, 3]",
    ),
    (
        "gather_nd",
        "%x: f64[3, 4, 2]",
        "%i = constant [[0, 1], [2, 3], [0, 1]] : i64[3, 2]\n%1 = gather_nd %x, %i {batch_dimensions = 0}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "gather_nd",
        "%x: f64[2, 4, 2]",
        "%i = constant [[[3], [0], [3]], [[1], [1], [2]]] : i64[2, 3, 1]\n%1 = gather_nd %x, %i {batch_dimensions = 1}\n%z = exp %1",
        "z: f64[2, 3, 2]",
    ),
    (
        "scatter_elements",
        "%x: f64[3, 2], %u: f64[2, 2]",
        "%i = constant [[0, 2], [0, 1]] : i64[2, 2]\n%1 = scatter_elements %x, %i, %u {axis = 0, combine = add}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_elements",
        "%x: f64[3, 2], %u: f64[2, 2]",
        "%i = constant [[0, 2], [0, 1]] : i64[2, 2]\n%1 = scatter_elements %x, %i, %u {axis = 0, combine = replace}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_elements",
        "%x: f64[3, 2], %u: f64[2, 2]",
        "%i = constant [[0, 2], [0, 1]] : i64[2, 2]\n%1 = scatter_elements %x, %i, %u {axis = 0, combine = mul}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_elements",
        "%x: f64[3, 2], %u: f64[2, 2]",
        "%i = constant [[0, 2], [0, 1]] : i64[2, 2]\n%1 = scatter_elements %x, %i, %u {axis = 0, combine = max}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_elements",
        "%x: f64[3, 2], %u: f64[2, 2]",
        "%i = constant [[0, 2], [0, 1]] : i64[2, 2]\n%1 = scatter_elements %x, %i, %u {axis = 0, combine = min}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_nd",
        "%x: f64[3, 2], %u: f64[3, 2]",
        "%i = constant [[0], [2], [0]] : i64[3, 1]\n%1 = scatter_nd %x, %i, %u {combine = add}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_nd",
        "%x: f64[3, 2], %u: f64[3]",
        "%i = constant [[0, 0], [2, 1], [0, 0]] : i64[3, 2]\n%1 = scatter_nd %x, %i, %u {combine = replace}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "scatter_nd",
        "%x: f64[3, 2], %u: f64[3]",
        "%i = constant [[0, 0], [2, 1], [0, 0]] : i64[3, 2]\n%1 = scatter_nd %x, %i, %u {combine = mul}\n%z = exp %1",
        "z: f64[3, 2]",
    ),
    (
        "dynamic_slice",
        "%x: f64[4, 3]",
        "%s = constant [1, 2] : i64[2]\n%1 = dynamic_slice %x, %s {shape = [2, 2]}\n%z = exp %1",
        "z: f64[2, 2]",
    ),
    (
        "dynamic_update_slice",
        "%x: f64[4, 3], %u: f64[2, 2]",
        "%s = constant [1, 2] : i64[2]\n%1 = dynamic_update_slice %x, %u, %s\n%z = exp %1",
        "z: f64[4, 3]",
    ),
    ("sort", "%x: f64[2, 5]", "%1, %2 = sort %x {axis = 1, descending = true}\n%z = exp %1", "z: f64[2, 5]"),
    (
        "top_k",
        "%x: f64[5, 2]",
        "%1, %2 = top_k %x {axis = 0, k = 2, largest = false}\n%z = exp %1",
        "z: f64[2, 2]",
    ),
];

pub(super) const REDUCTION: &[Case] = &[
    ("reduce", "%x: f64[2, 3, 2]", "%1 = reduce %x {combine = sum, axes = [0, 2]}\n%z = exp %1", "z: f64[3]"),
    (
        "reduce",
        "%x: f64[2, 3, 2]",
        "%1 = reduce %x {combine = product, axes = [0, 2]}\n%z = exp %1",
        "z: f64[3]",
    ),
    ("reduce", "%x: f64[2, 3]", "%1 = reduce %x {combine = max, axes = [1]}\n%z = exp %1", "z: f64[2]"),
    ("reduce", "%x: f64[2, 3]", "%1 = reduce %x {combine = min, axes = [0]}\n%z = exp %1", "z: f64[3]"),
    (
        "cumulative",
        "%x: f64[2, 4]",
        "%1 = cumulative %x {combine = sum, axis = 1, exclusive = false, reverse = false}\n%z = exp %1",
        "z: f64[2, 4]",
    ),
    (
        "cumulative",
        "%x: f64[4]",
        "%1 = cumulative %x {combine = sum, axis = 0, exclusive = true, reverse = true}\n%z = exp %1",
        "z: f64[4]",
    ),
    (
        "cumulative",
        "%x: f64[2, 4]",
        "%1 = cumulative %x {combine = product, axis = 1, exclusive = false, reverse = false}\n%z = exp %1",
        "z: f64[2, 4]",
    ),
    (
        "cumulative",
        "%x: f64[4, 2]",
        "%1 = cumulative %x {combine = product, axis = 0, exclusive = true, reverse = false}\n%z = exp %1",
        "z: f64[4, 2]",
    ),
    (
        "cumulative",
        "%x: f64[4]",
        "%1 = cumulative %x {combine = product, axis = 0, exclusive = true, reverse = true}\n%z = exp %1",
        "z: f64[4]",
    ),
    (
        "cumulative",
        "%x: f64[2, 5]",
        "%1 = cumulative %x {combine = max, axis = 1, exclusive = false, reverse = true}\n%z = exp %1",
        "z: f64[2, 5]",
    ),
    (
        "cumulative",
        "%x: f64[5]",
        "%1 = cumulative %x {combine = min, axis = 0, exclusive = false, reverse = false}\n%z = exp %1",
        "z: f64[5]",
    ),
    (
        "cumulative",
        "%x: f64[5]",
        "%0 = constant 9.0 : f64[]\n%1 = cumulative %x {combine = max, axis = 0, exclusive = true, reverse = false}\n%2 = slice %1 {start = [1], limit = [5], stride = [1]}\n%z = exp %2",
        "z: f64[4]",
    ),
];

pub(super) const CONTRACTION: &[Case] = &[
    (
        "dot_general",
        "%x: f64[2, 3], %y: f64[3, 4]",
        "%z = dot_general %x, %y {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]}",
        "z: f64[2, 4]",
    ),
    (
        "dot_general",
        "%x: f64[3, 2, 5], %y: f64[4, 5, 2]",
        "%z = dot_general %x, %y {lhs_batch = [1], rhs_batch = [2], lhs_contract = [2], rhs_contract = [1]}",
        "z: f64[2, 3, 4]",
    ),
    (
        "dot_general",
        "%x: f64[3, 2, 5], %y: f64[2, 4, 3]",
        "%z = dot_general %x, %y {lhs_batch = [], rhs_batch = [], lhs_contract = [0, 1], rhs_contract = [2, 0]}",
        "z: f64[5, 4]",
    ),
    (
        "dot_general",
        "%x: f64[3]",
        "%z = dot_general %x, %x {lhs_batch = [], rhs_batch = [], lhs_contract = [0], rhs_contract = [0]}",
        "z: f64[]",
    ),
];

/// Attributes of convolutions: shapes of x and kernel, the op's attributes, the result's shape.
pub(super) const CONVOLUTIONS: &[(&str, &str, &str, &str)] = &[
    (
        "2, 3, 7",
        "4, 3, 3",
        "bf0_oi0_bf0, stride = [1], padding_low = [0], padding_high = [0], base_dilation = [1], kernel_dilation = [1], feature_groups = 1, batch_groups = 1",
        "2, 4, 5",
    ),
    (
        "1, 2, 7",
        "3, 2, 3",
        "bf0_oi0_bf0, stride = [2], padding_low = [1], padding_high = [1], base_dilation = [1], kernel_dilation = [1], feature_groups = 1, batch_groups = 1",
        "1, 3, 4",
    ),
    (
        "1, 2, 8",
        "2, 2, 3",
        "bf0_oi0_bf0, stride = [3], padding_low = [1], padding_high = [0], base_dilation = [1], kernel_dilation = [2], feature_groups = 1, batch_groups = 1",
        "1, 2, 2",
    ),
    (
        "1, 2, 4",
        "2, 2, 3",
        "bf0_oi0_bf0, stride = [1], padding_low = [2], padding_high = [1], base_dilation = [2], kernel_dilation = [1], feature_groups = 1, batch_groups = 1",
        "1, 2, 8",
    ),
    (
        "1, 2, 4",
        "2, 2, 2",
        "bf0_oi0_bf0, stride = [2], padding_low = [1], padding_high = [2], base_dilation = [3], kernel_dilation = [2], feature_groups = 1, batch_groups = 1",
        "1, 2, 6",
    ),
    (
        "2, 4, 5",
        "6, 2, 2",
        "bf0_oi0_bf0, stride = [1], padding_low = [0], padding_high = [1], base_dilation = [1], kernel_dilation = [1], feature_groups = 2, batch_groups = 1",
        "2, 6, 5",
    ),
    (
        "1, 3, 5",
        "3, 1, 3",
        "bf0_oi0_bf0, stride = [2], padding_low = [1], padding_high = [1], base_dilation = [1], kernel_dilation = [1], feature_groups = 3, batch_groups = 1",
        "1, 3, 3",
    ),
    (
        "4, 2, 5",
        "6, 2, 2",
        "bf0_oi0_bf0, stride = [2], padding_low = [0], padding_high = [1], base_dilation = [1], kernel_dilation = [1], feature_groups = 1, batch_groups = 2",
        "2, 6, 3",
    ),
    (
        "1, 2, 6",
        "2, 2, 3",
        "bf0_oi0_bf0, stride = [1], padding_low = [-1], padding_high = [-1], base_dilation = [1], kernel_dilation = [1], feature_groups = 1, batch_groups = 1",
        "1, 2, 2",
    ),
    (
        "1, 4, 5, 2",
        "3, 2, 2, 3",
        "b01f_01io_b01f, stride = [1, 2], padding_low = [1, 0], padding_high = [0, 1], base_dilation = [1, 1], kernel_dilation = [1, 2], feature_groups = 1, batch_groups = 1",
        "1, 3, 2, 3",
    ),
    (
        "2, 3",
        "4, 3",
        "bf_oi_bf, stride = [], padding_low = [], padding_high = [], base_dilation = [], kernel_dilation = [], feature_groups = 1, batch_groups = 1",
        "2, 4",
    ),
];

/// Attributes of window reductions over f64[5, 6], and the result's shape.
pub(super) const WINDOWS: &[(&str, &str)] = &[
    (
        "size = [2, 3], stride = [1, 1], dilation = [1, 1], padding_low = [0, 0], padding_high = [0, 0]",
        "4, 4",
    ),
    (
        "size = [2, 2], stride = [2, 2], dilation = [1, 1], padding_low = [0, 0], padding_high = [0, 0]",
        "2, 3",
    ),
    (
        "size = [3, 2], stride = [2, 1], dilation = [1, 2], padding_low = [1, 0], padding_high = [1, 1]",
        "3, 5",
    ),
    (
        "size = [1, 2], stride = [1, 3], dilation = [1, 1], padding_low = [0, 1], padding_high = [0, 0]",
        "5, 2",
    ),
];

pub(super) const CONTROL: &[Case] = &[
    (
        "if",
        "%x: f64[3], %y: f64[3]",
        "%c = constant true : bool[]\n%z, %w = if %c, %x, %y then (%x: f64[3], %y: f64[3]) {\n%1 = mul %x, %y\n%2 = exp %x\nyield %1, %2\n} else (%x: f64[3], %y: f64[3]) {\nyield %x, %y\n}",
        "z: f64[3], w: f64[3]",
    ),
    (
        "if",
        "%x: f64[3], %y: f64[3]",
        "%c = constant false : bool[]\n%z = if %c, %x, %y then (%x: f64[3], %y: f64[3]) {\n%1 = mul %x, %y\nyield %1\n} else (%x: f64[3], %y: f64[3]) {\n%1 = sin %y\nyield %1\n}",
        "z: f64[3]",
    ),
    (
        "scan",
        "%h: f64[2], %x: f64[3, 2], %w: f64[2]",
        "%z, %s = scan %h, %x, %w {carried = 1, scanned = 1, length = 3, reverse = false} body (%h: f64[2], %x: f64[2], %w: f64[2]) {\n%1 = mul %h, %w\n%2 = add %1, %x\n%3 = tanh %2\n%4 = mul %3, %x\nyield %3, %4\n}",
        "z: f64[2], s: f64[3, 2]",
    ),
    (
        "scan",
        "%x: f64[4, 2], %w: f64[2]",
        "%0 = constant splat(0.0) : f64[2]\n%i = constant 0 : i64[]\n%z, %n, %s = scan %0, %i, %x, %w {carried = 2, scanned = 1, length = 4, reverse = true} body (%h: f64[2], %i: i64[], %x: f64[2], %w: f64[2]) {\n%c = constant 1 : i64[]\n%j = add %i, %c\n%f = cast %j {to = f64}\n%b = broadcast %f {shape = [2], dimensions = []}\n%1 = mul %h, %w\n%2 = mul %x, %b\n%3 = add %1, %2\nyield %3, %j, %h\n}",
        "z: f64[2], n: i64[], s: f64[4, 2]",
    ),
    (
        "while",
        "%x: f64[2], %w: f64[2]",
        "%i = constant 0 : i64[]\n%n, %z = while %i, %x, %w {carried = 2, trip_limit = 5} condition (%i: i64[], %x: f64[2], %w: f64[2]) {\n%3 = constant 3 : i64[]\n%c = lt %i, %3\nyield %c\n} body (%i: i64[], %x: f64[2], %w: f64[2]) {\n%1 = constant 1 : i64[]\n%j = add %i, %1\n%2 = mul %x, %w\n%3 = sin %2\nyield %j, %3\n}",
        "n: i64[], z: f64[2]",
    ),
    (
        "fuse",
        "%x: f64[3], %y: f64[3]",
        "%z = fuse %x, %y {kind = pointwise} body (%x: f64[3], %y: f64[3]) {\n%1 = mul %x, %y\n%2 = exp %1\nyield %2\n}",
        "z: f64[3]",
    ),
];

pub(super) const COMPOSITE: &[Case] = &[
    ("softmax", "%x: f64[2, 3]", "%z = softmax %x {axis = 1}", "z: f64[2, 3]"),
    ("softmax", "%x: f64[3, 2]", "%z = softmax %x {axis = 0}", "z: f64[3, 2]"),
    ("log_softmax", "%x: f64[2, 3]", "%z = log_softmax %x {axis = 1}", "z: f64[2, 3]"),
    (
        "layer_norm",
        "%x: f64[2, 4], %s: f64[4], %b: f64[4]",
        "%z = layer_norm %x, %s, %b {axis = 1, epsilon = 0.01}",
        "z: f64[2, 4]",
    ),
    ("layer_norm", "%x: f64[2, 2, 2]", "%z = layer_norm %x {axis = 1, epsilon = 0.01}", "z: f64[2, 2, 2]"),
    (
        "rms_norm",
        "%x: f64[2, 4], %s: f64[4]",
        "%z = rms_norm %x, %s {axis = 1, epsilon = 0.01}",
        "z: f64[2, 4]",
    ),
    ("gelu", "%x: f64[4]", "%z = gelu %x {tanh = false}", "z: f64[4]"),
    ("gelu", "%x: f64[4]", "%z = gelu %x {tanh = true}", "z: f64[4]"),
    ("silu", "%x: f64[4]", "%z = silu %x", "z: f64[4]"),
    (
        "attention",
        "%q: f64[2, 3, 2], %k: f64[2, 4, 2], %v: f64[2, 4, 3], %m: f64[2, 3, 4]",
        "%z = attention %q, %k, %v, %m {scale = 0.7, causal = false}",
        "z: f64[2, 3, 3]",
    ),
    (
        "attention",
        "%q: f64[3, 2], %k: f64[4, 2], %v: f64[4, 3]",
        "%z = attention %q, %k, %v {scale = 0.7, causal = true}",
        "z: f64[3, 3]",
    ),
];

/// Functions of one element with an interval in which they and two derivatives are smooth.
pub(super) const UNARY: &[(&str, f64, f64)] = &[
    ("neg", -2.0, 2.0),
    ("abs", 0.5, 2.0),
    ("abs", -2.0, -0.5),
    ("reciprocal", 0.5, 2.0),
    ("sqrt", 0.5, 2.0),
    ("rsqrt", 0.5, 2.0),
    ("exp", -1.0, 1.0),
    ("expm1", -1.0, 1.0),
    ("log", 0.5, 2.0),
    ("log1p", -0.5, 1.0),
    ("sin", -3.0, 3.0),
    ("cos", -3.0, 3.0),
    ("tan", -1.0, 1.0),
    ("asin", -0.7, 0.7),
    ("acos", -0.7, 0.7),
    ("atan", -2.0, 2.0),
    ("sinh", -1.0, 1.0),
    ("cosh", -1.0, 1.0),
    ("tanh", -1.5, 1.5),
    ("asinh", -2.0, 2.0),
    ("acosh", 1.5, 3.0),
    ("atanh", -0.7, 0.7),
    ("erf", -1.5, 1.5),
    ("sigmoid", -2.0, 2.0),
];
