//! A compiled model and its specialisations.

use super::cache::Cache;
use super::executable::Specialised;
use super::{LoadedModel, Session, Signature};
use crate::error::{Error, Place};
use graven_ir::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many specialisations a model keeps: models are called with a few batch sizes or sequence lengths in turn.
const SPECIALISATIONS: usize = 16;

/// A compiled model. It is immutable and can be shared between threads; clones share the code, which is freed with the last of them and of
/// their sessions.
///
/// A model with open extents is compiled anew for each combination of input shapes; the last 16 are kept.
#[derive(Clone)]
pub struct CompiledModel {
    inner: Arc<Inner>,
}

struct Inner {
    loaded: LoadedModel,
    /// The only specialisation of a model without open extents.
    fixed: Option<Arc<Specialised>>,
    cache: Cache<Vec<(String, Vec<usize>)>, Specialised>,
}

impl CompiledModel {
    pub(super) fn new(loaded: LoadedModel) -> Result<CompiledModel, Error> {
        let compiled =
            loaded.module().and_then(|imported| Specialised::new(imported.module, &loaded.options));
        let fixed = match compiled {
            Ok(specialised) => Some(Arc::new(specialised)),
            // An open extent is no error here: the inputs will tell it.
            Err(Error::BadInput { .. }) if loaded.open_extents().is_ok_and(|open| !open.is_empty()) => None,
            Err(error) => return Err(error),
        };
        let inner = Inner { loaded, fixed, cache: Cache::new(SPECIALISATIONS) };
        Ok(CompiledModel { inner: Arc::new(inner) })
    }

    /// Compiles the model for inputs of these shapes, unless it is there already.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn specialise(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
        self.specialised(shapes).map(|_| ())
    }

    pub(super) fn specialised(
        &self,
        shapes: &BTreeMap<String, Vec<usize>>,
    ) -> Result<Arc<Specialised>, Error> {
        if let Some(fixed) = &self.inner.fixed {
            return Ok(fixed.clone());
        }
        let key = shapes.iter().map(|(name, shape)| (name.clone(), shape.clone())).collect();
        self.inner.cache.get(key, || {
            let imported = self.inner.loaded.module_for(shapes)?;
            Specialised::new(imported.module, &self.inner.loaded.options)
        })
    }

    /// Inputs, outputs and states; `None` for a model with open extents, whose [`Session::signature`] has them.
    pub fn signature(&self) -> Option<&Signature> {
        self.inner.fixed.as_ref().map(|fixed| fixed.signature())
    }

    /// What can run the model, one run at a time.
    ///
    /// # Errors
    /// Bad input for an impossible number of threads.
    pub fn session(&self) -> Result<Session, Error> {
        let threads = self.inner.loaded.options.threads()?;
        Session::new(self.clone(), threads)
    }

    /// Runs the model once on inputs by name and gives the outputs by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run_tensors(&self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Error> {
        let outputs = self.session()?.run_tensors(inputs)?;
        Ok(outputs.into_iter().collect())
    }
}

/// The error of an input that the model does not have.
pub(super) fn unknown_input(signature: &Signature, name: &str) -> Error {
    let names: Vec<&str> = signature.inputs.iter().map(|port| &*port.name).collect();
    let reason = format!("the model has no such input; it has {}", names.join(", "));
    Error::bad_input(Place::named("input", name), reason)
}

/// Checks that inputs are those of a signature and puts them in its order.
pub(super) fn in_order<'t>(
    signature: &Signature,
    inputs: &'t BTreeMap<String, Tensor>,
) -> Result<Vec<&'t Tensor>, Error> {
    let known = |name: &str| signature.inputs.iter().any(|port| &*port.name == name);
    if let Some(name) = inputs.keys().find(|name| !known(name)) {
        return Err(unknown_input(signature, name));
    }
    let find = |port: &crate::program::Port| {
        let place = || Place::named("input", &port.name);
        let tensor = inputs.get(&*port.name);
        let tensor = tensor.ok_or_else(|| Error::bad_input(place(), format!("is missing ({})", port.ty)))?;
        match tensor.dtype() == port.ty.dtype {
            true => Ok(tensor),
            false => {
                Err(Error::bad_input(place(), format!("must be {}, not {}", port.ty.dtype, tensor.dtype())))
            }
        }
    };
    signature.inputs.iter().map(find).collect()
}
