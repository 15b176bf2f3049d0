//! `Resize` and `Upsample`: each axis is resized on its own.
//!
//! * [`taps`]: which elements an output takes with which weights, for known extents
//! * [`apply`]: builds the graph for one axis

mod apply;
mod taps;

pub(super) use apply::kernel_weight;

use crate::import::onnx::context::{NodeContext, Outputs, normalize_axis};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use crate::import::onnx::symbolic::Fraction;
use graven_ir::{DType, Dim, UnaryOp};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// How outputs map to places in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

/// How the nearest element is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Nearest(Rounding),
    Linear,
    /// With the coefficient a of the cubic convolution kernel (Keys, 1981).
    Cubic(f64),
}

impl Mode {
    /// The coefficient of the cubic kernel.
    fn coefficient(self) -> Option<f64> {
        match self {
            Mode::Cubic(a) => Some(a),
            Mode::Nearest(_) | Mode::Linear => None,
        }
    }
}

/// The attributes that all axes share.
#[derive(Clone, Copy, Debug)]
struct Settings {
    mode: Mode,
    coordinates: Coordinates,
    antialias: bool,
    exclude_outside: bool,
    extrapolation: f64,
}

/// What happens along one axis.
#[derive(Clone, Debug)]
struct Axis {
    axis: usize,
    input: Dim,
    output: Dim,
    /// Output ÷ input before rounding; `None` where it is the quotient of symbolic extents.
    scale: Option<f64>,
    /// Start and end of the region of interest, as fractions.
    roi: (f64, f64),
}

fn settings(c: &Context<'_, '_, '_>) -> Result<Settings> {
    let is_old = c.opset < 11;
    let coordinates = match c
        .text_or("coordinate_transformation_mode", if is_old { "asymmetric" } else { "half_pixel" })?
    {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return bad_input(format!("there is no coordinate transformation `{other}`")),
    };
    let rounding = match c.text_or("nearest_mode", if is_old { "floor" } else { "round_prefer_floor" })? {
        "round_prefer_floor" => Rounding::PreferFloor,
        "round_prefer_ceil" => Rounding::PreferCeil,
        "floor" => Rounding::Floor,
        "ceil" => Rounding::Ceil,
        other => return bad_input(format!("there is no rounding mode `{other}`")),
    };
    let mode = match c.text_or("mode", "nearest")? {
        "nearest" => Mode::Nearest(rounding),
        "linear" | "bilinear" => Mode::Linear,
        "cubic" => Mode::Cubic(c.float_or("cubic_coeff_a", -0.75)?),
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    Ok(Settings {
        mode,
        coordinates,
        antialias: c.flag("antialias", false)?,
        exclude_outside: c.flag("exclude_outside", false)?,
        extrapolation: c.float_or("extrapolation_value", 0.0)?,
    })
}

/// The input of scales, if it is there and not empty.
fn scales(c: &mut Context<'_, '_, '_>) -> Result<Option<Vec<Fraction>>> {
    if let Some(scales) = c.floats("scales")? {
        return Ok(Some(scales.iter().map(|scale| Fraction::approximate((*scale).into())).collect()));
    }
    let place = if c.opset < 11 { 1 } else { 2 };
    if !c.has(place) || c.input_shape(place)?.iter().any(|extent| extent.is(0)) {
        return Ok(None);
    }
    if let Some(known) = c.symbolic(place)? {
        return Ok(Some(known.elements.clone()));
    }
    let values = c.constant_input(place, "the scale")?.to_f64s();
    Ok(Some(values.into_iter().map(Fraction::approximate).collect()))
}

/// `Resize` and `Upsample`.
pub(super) fn resize(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let settings = settings(c)?;
    let x = c.value(0)?;
    let dtype = c.dtype(x);
    let shape = c.shape(x);
    let places: Vec<usize> = match c.ints("axes")? {
        Some(axes) => axes.iter().map(|axis| normalize_axis(*axis, shape.len())).collect::<Result<_>>()?,
        None => (0..shape.len()).collect(),
    };
    let inputs: Vec<Dim> = places.iter().map(|axis| shape[*axis].clone()).collect();
    let (outputs, scales) = extents(c, &inputs)?;
    let regions = regions(c, settings.coordinates, places.len())?;
    let axes: Vec<Axis> = (0..places.len())
        .map(|place| Axis {
            axis: places[place],
            input: inputs[place].clone(),
            output: outputs[place].clone(),
            scale: scales[place],
            roi: regions[place],
        })
        .filter(|axis| !axis.is_identity())
        .collect();
    super::constant::check_extents(&outputs)?;
    // Weighted sums of integers are rounded to nearest at the end.
    let weighs = !matches!(settings.mode, Mode::Nearest(_)) && !dtype.is_float();
    let mut y = if weighs { c.cast(x, DType::F32)? } else { x };
    for axis in &axes {
        y = apply::resize_axis(c, y, axis, &settings)?;
    }
    if weighs {
        y = c.unary(UnaryOp::Round, y)?;
        y = c.cast(y, dtype)?;
    }
    Ok(y.into())
}

impl Axis {
    /// Whether every output is the input at its own place.
    fn is_identity(&self) -> bool {
        self.input == self.output && self.scale.is_none_or(|scale| scale == 1.0) && self.roi == (0.0, 1.0)
    }
}

/// Start and end of the region of interest of each axis.
fn regions(c: &mut Context<'_, '_, '_>, coordinates: Coordinates, count: usize) -> Result<Vec<(f64, f64)>> {
    if coordinates != Coordinates::TfCropAndResize {
        return Ok(vec![(0.0, 1.0); count]);
    }
    let roi = c.constant_input(1, "the region of interest")?.to_f64s();
    match roi.len() == 2 * count {
        true => Ok((0..count).map(|place| (roi[place], roi[place + count])).collect()),
        false => bad_input(format!("the region of interest has {} numbers for {count} axes", roi.len())),
    }
}

/// Output extents, and scales where they are numbers.
fn extents(c: &mut Context<'_, '_, '_>, inputs: &[Dim]) -> Result<(Vec<Dim>, Vec<Option<f64>>)> {
    let quotient = |output: &Dim, input: &Dim| match (output.as_const(), input.as_const()) {
        (Some(output), Some(input)) if input > 0 => Some(output as f64 / input as f64),
        _ => None,
    };
    if c.opset >= 11 && c.has(3) && !c.input_shape(3)?.iter().any(|extent| extent.is(0)) {
        let sizes = c.dims(3, "the size")?;
        if sizes.len() != inputs.len() {
            return bad_input(format!("has {} sizes for {} axes", sizes.len(), inputs.len()));
        }
        let quotients: Vec<Option<f64>> = sizes.iter().zip(inputs).map(|(o, i)| quotient(o, i)).collect();
        return match c.text_or("keep_aspect_ratio_policy", "stretch")? {
            "stretch" => Ok((sizes, quotients)),
            "not_larger" => keep_aspect_ratio(inputs, &quotients, f64::min),
            "not_smaller" => keep_aspect_ratio(inputs, &quotients, f64::max),
            other => bad_input(format!("there is no aspect ratio policy `{other}`")),
        };
    }
    let Some(scales) = scales(c)? else { return bad_input("has neither scales nor sizes") };
    if scales.len() != inputs.len() {
        return bad_input(format!("has {} scales for {} axes", scales.len(), inputs.len()));
    }
    let mut outputs = Vec::with_capacity(inputs.len());
    for (scale, input) in scales.iter().zip(inputs) {
        outputs.push(match (scale.as_f64(), input.as_const()) {
            (Some(number), _) if !(number > 0.0 && number < 1e9) => {
                return bad_input(format!("the scale {number} is not possible"));
            }
            (Some(number), Some(input)) => Dim::from((number * input as f64).floor() as i64),
            _ => match Fraction::bounded(&scale.numerator * input, scale.denominator) {
                Some(product) => product.floor(),
                None => return unsupported("the size depends on data"),
            },
        });
    }
    let numbers = scales.iter().map(Fraction::as_f64).collect();
    Ok((outputs, numbers))
}

/// One scale for all axes.
fn keep_aspect_ratio(
    inputs: &[Dim],
    quotients: &[Option<f64>],
    choose: fn(f64, f64) -> f64,
) -> Result<(Vec<Dim>, Vec<Option<f64>>)> {
    let known: Option<Vec<f64>> = quotients.iter().copied().collect();
    let extents: Option<Vec<i64>> = inputs.iter().map(Dim::as_const).collect();
    let (Some(known), Some(extents)) = (known, extents) else {
        return unsupported("keeping the aspect ratio of symbolic extents");
    };
    let Some(scale) = known.into_iter().reduce(choose) else { return bad_input("has no axes") };
    let outputs =
        extents.iter().map(|extent| Dim::from((scale * *extent as f64 + 0.5).floor() as i64)).collect();
    Ok((outputs, vec![Some(scale); inputs.len()]))
}
