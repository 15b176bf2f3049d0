//! Inputs and outputs in words.

use graven::api::{LoadedModel, Signature};
use graven::emit::dtypes::abi_dtype;
use graven::error::Error;
use graven::import::onnx::InputInfo;
use graven::program::Port;
use std::ffi::{CString, c_char};

/// `graven_jit_port`.
#[repr(C)]
pub struct JitPort {
    name: *const c_char,
    dtype: u32,
    rank: i32,
    extents: *const i64,
}

/// What a [`JitPort`] points to.
pub struct OwnedPort {
    name: CString,
    dtype: u32,
    extents: Option<Vec<i64>>,
}

/// An extent that the model leaves open.
const OPEN: i64 = -1;

impl OwnedPort {
    fn new(name: &str, dtype: u32, extents: Option<Vec<i64>>) -> OwnedPort {
        let name = CString::new(name.replace('\0', "?")).unwrap_or_default();
        OwnedPort { name, dtype, extents }
    }

    /// A port of a compiled model, whose symbolic extents are open.
    fn of(port: &Port) -> OwnedPort {
        let extents = port.ty.shape.iter().map(|dim| dim.as_const().unwrap_or(OPEN));
        OwnedPort::new(&port.name, abi_dtype(port.ty.dtype) as u32, Some(extents.collect()))
    }

    /// A port of a prepared session.
    pub fn with_shape(port: &Port, shape: &[usize]) -> OwnedPort {
        let extents = shape.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX));
        OwnedPort::new(&port.name, abi_dtype(port.ty.dtype) as u32, Some(extents.collect()))
    }

    fn described(info: &InputInfo) -> OwnedPort {
        let extents = info.shape.as_ref();
        let extents =
            extents.map(|shape| shape.iter().map(|extent| extent.parse().unwrap_or(OPEN)).collect());
        OwnedPort::new(&info.name, info.dtype.map_or(0, |dtype| abi_dtype(dtype) as u32), extents)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// The port for C.
    pub fn view(&self) -> JitPort {
        let rank = self.extents.as_ref().map(|extents| i32::try_from(extents.len()).unwrap_or(i32::MAX));
        JitPort {
            name: self.name.as_ptr(),
            dtype: self.dtype,
            rank: rank.unwrap_or(-1),
            extents: self.extents.as_ref().map_or(std::ptr::null(), |extents| extents.as_ptr()),
        }
    }
}

/// Inputs and outputs of a model: what it is compiled for, or what it says about itself where extents are open.
pub fn ports(
    signature: Option<&Signature>,
    loaded: &LoadedModel,
) -> Result<(Vec<OwnedPort>, Vec<OwnedPort>), Error> {
    let owned = |signature: &Signature| {
        let ports = |ports: &[Port]| ports.iter().map(OwnedPort::of).collect();
        (ports(&signature.inputs), ports(&signature.outputs))
    };
    if let Some(signature) = signature {
        return Ok(owned(signature));
    }
    if let Some(info) = loaded.describe()? {
        let ports = |infos: &[InputInfo]| infos.iter().map(OwnedPort::described).collect();
        return Ok((ports(&info.inputs), ports(&info.outputs)));
    }
    let module = loaded.module()?.module;
    Ok(owned(&module.functions.first().map(Signature::of).unwrap_or_default()))
}
