//! Layers and their composition.

use super::{Built, Forward};
use graven_ir::{BinaryOp, ValueId};

/// A function of one value, with parameters under the path at which it is called.
///
/// Closures are layers, too.
pub trait Layer {
    /// Builds the layer.
    ///
    /// # Errors
    /// See [`NnError`](super::NnError).
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built;
}

impl<F: Fn(&mut Forward<'_>, ValueId) -> Built> Layer for F {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        self(f, x)
    }
}

/// Layers one after the other. Their paths are their names, by default their places: `0`, `1` …, as in PyTorch.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer>)>,
}

impl Sequential {
    /// No layer: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With another layer at the end.
    #[must_use]
    pub fn then(self, layer: impl Layer + 'static) -> Sequential {
        let name = self.layers.len().to_string();
        self.named(name, layer)
    }

    /// With another layer at the end that has a name of its own.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, layer: impl Layer + 'static) -> Sequential {
        self.layers.push((name.into(), Box::new(layer)));
        self
    }
}

impl Layer for Sequential {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let mut value = x;
        for (name, layer) in &self.layers {
            value = f.scope(name, |f| layer.forward(f, value))?;
        }
        Ok(value)
    }
}

/// x + layer(x) (He et al., 2016), or shortcut(x) + layer(x). The paths are those of the layers themselves, so that they must differ.
pub struct Residual<L, S = fn(&mut Forward<'_>, ValueId) -> Built> {
    layer: L,
    shortcut: Option<S>,
}

impl<L: Layer> Residual<L> {
    /// Around a layer that keeps the shape.
    pub fn new(layer: L) -> Residual<L> {
        Residual { layer, shortcut: None }
    }
}

impl<L: Layer, S: Layer> Residual<L, S> {
    /// With a layer in the place of the identity.
    pub fn with_shortcut(layer: L, shortcut: S) -> Residual<L, S> {
        Residual { layer, shortcut: Some(shortcut) }
    }
}

impl<L: Layer, S: Layer> Layer for Residual<L, S> {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let y = self.layer.forward(f, x)?;
        let x = match &self.shortcut {
            Some(shortcut) => f.scope("shortcut", |f| shortcut.forward(f, x))?,
            None => x,
        };
        if f.shape(x) != f.shape(y) {
            let (x, y) = (f.ty(x).clone(), f.ty(y).clone());
            return f.refuse(format!("a residual connection from {x} to {y}"));
        }
        Ok(f.binary(BinaryOp::Add, x, y)?)
    }
}

/// `[n, d…]` to `[n, ∏d]`.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Layer for Flatten {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let shape = f.shape(x);
        let Some((batch, rest)) = shape.split_first() else { return f.refuse("can't flatten a scalar") };
        let features = rest.iter().fold(graven_ir::Dim::ONE, |product, extent| product * extent);
        Ok(f.reshape(x, &[batch.clone(), features])?)
    }
}
