//! What `--passes` names: passes of the pipeline, and the gradient.
//!
//! `fold,cse` are passes in this order. `grad{wrt=x,y of=loss}` adds the gradients of the output `loss` with respect to the inputs or states `x` and `y` as
//! further outputs; without `wrt` those of all float inputs and states, without `of` the first output's.

use crate::autograd::value_and_grad;
use crate::passes::pipeline::{PIPELINE, Pass, apply};
use crate::passes::{Context, PassError};
use graven_ir::Function;

/// Something to be done to a function.
#[derive(Clone)]
pub enum Stage {
    /// A pass.
    Pass(&'static Pass),
    /// Gradients as further outputs.
    Grad(Gradient),
}

/// Which gradients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gradient {
    /// With respect to these inputs and states; all that are floats if there are none.
    pub wrt: Vec<String>,
    /// Of this output; the first if not given.
    pub of: Option<String>,
}

/// Why a stage failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The function has no such gradient: bad usage.
    #[error("{0}")]
    Gradient(String),
    /// Our bug.
    #[error(transparent)]
    Pass(#[from] PassError),
}

impl Stage {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Stage::Pass(pass) => pass.name,
            Stage::Grad(_) => "grad",
        }
    }

    /// Changes the function.
    ///
    /// # Errors
    /// See [`StageError`].
    pub fn apply(&self, context: &mut Context, function: &mut Function) -> Result<(), StageError> {
        match self {
            Stage::Pass(pass) => function.graph = apply(pass, context, &function.graph)?,
            Stage::Grad(gradient) => *function = gradient.apply(context, function)?,
        }
        Ok(())
    }
}

impl Gradient {
    fn apply(&self, context: &mut Context, function: &Function) -> Result<Function, StageError> {
        let names: Vec<&str> = function.inputs.iter().chain(&function.states).map(|name| &**name).collect();
        let find = |all: &[&str], name: &str, what: &str| {
            let place = all.iter().position(|other| *other == name);
            place.ok_or_else(|| {
                let reason = format!("`{}` has no {what} `{name}`; it has {}", function.name, all.join(", "));
                StageError::Gradient(reason)
            })
        };
        let outputs: Vec<&str> = function.outputs.iter().map(|name| &**name).collect();
        let of = self.of.as_deref().map_or(Ok(0), |name| find(&outputs, name, "output"))?;
        let is_float = |place: &usize| function.graph.ty(function.graph.params()[*place]).dtype.is_float();
        let wrt = match self.wrt.is_empty() {
            true => (0..function.graph.params().len()).filter(is_float).collect(),
            false => self
                .wrt
                .iter()
                .map(|name| find(&names, name, "input or state"))
                .collect::<Result<Vec<_>, _>>()?,
        };
        value_and_grad(context.constants, function, of, &wrt)
            .map_err(|error| StageError::Gradient(error.to_string()))
    }
}

/// The stages of a text such as `grad{wrt=x,y},fold,cse`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_stages(text: &str) -> Result<Vec<Stage>, String> {
    split(text)?.into_iter().map(parse_stage).collect()
}

/// The parts between commas outside of braces.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (place, letter) in text.char_indices() {
        match (letter, inside) {
            ('{', false) => inside = true,
            ('}', true) => inside = false,
            ('{' | '}', _) => return Err(format!("`{text}` has an unpaired `{letter}`")),
            (',', false) => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    match inside {
        true => Err(format!("`{text}` has a `{{` that is not closed")),
        false => {
            parts.push(&text[start..]);
            Ok(parts)
        }
    }
}

fn parse_stage(text: &str) -> Result<Stage, String> {
    let text = text.trim();
    let (name, options) = match text.split_once('{') {
        None => (text, None),
        Some((name, rest)) => (name, Some(rest.strip_suffix('}').ok_or("text after `}`")?)),
    };
    if name == "grad" {
        return parse_gradient(options.unwrap_or("")).map(Stage::Grad);
    }
    let names = || PIPELINE.iter().map(|pass| pass.name).collect::<Vec<_>>().join(", ");
    let pass = PIPELINE.iter().find(|pass| pass.name == name);
    let pass =
        pass.ok_or_else(|| format!("there is no pass `{name}`; the passes are grad{{…}}, {}", names()))?;
    match options {
        None => Ok(Stage::Pass(pass)),
        Some(_) => Err(format!("the pass `{name}` takes no options")),
    }
}

fn parse_gradient(text: &str) -> Result<Gradient, String> {
    let mut gradient = Gradient::default();
    for option in text.split_whitespace() {
        match option.split_once('=') {
            Some(("wrt", names)) => gradient.wrt = names.split(',').map(str::to_string).collect(),
            Some(("of", name)) => gradient.of = Some(name.to_string()),
            _ => return Err(format!("`grad{{{text}}}`: expected grad{{wrt=NAME,… of=OUTPUT}}")),
        }
    }
    Ok(gradient)
}
