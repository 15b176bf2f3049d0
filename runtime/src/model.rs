//! A checked view of a model's descriptor, and the shapes that follow from given inputs.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::slice;

use crate::abi::{self, DType};
use crate::error::Error;
use crate::text::{Piece, Shape, text};

/// A descriptor that doesn't contradict itself.
#[derive(Debug)]
pub struct Model<'a> {
    /// The descriptor.
    pub raw: &'a abi::Model,
    /// The run function.
    pub run: abi::Run,
    /// The model's name.
    pub name: &'a str,
    /// The CPU features that the code needs, in words.
    pub cpu: &'a str,
    /// Inputs, in order.
    pub inputs: Vec<Tensor<'a>>,
    /// Outputs, in order.
    pub outputs: Vec<Tensor<'a>>,
    /// States, in order.
    pub states: Vec<Tensor<'a>>,
    /// Symbols, in order.
    pub symbols: Vec<Symbol<'a>>,
}

/// An input, output or state.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: DType,
    /// Its dimensions, outermost first.
    pub dims: &'a [abi::Dim],
}

/// A symbolic extent.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Smallest legal value.
    pub lower: i64,
    /// Greatest legal value.
    pub upper: i64,
    /// Whether the run sets it, rather than the extent of an input.
    pub is_result: bool,
}

fn malformed(what: &str) -> Error {
    Error::model(text!("the model's descriptor is malformed: %", what))
}

/// # Safety
/// A pointer that isn't null leads to `length` values that live for `'a`.
unsafe fn slice_at<'a, T>(start: *const T, length: u32) -> Result<&'a [T], Error> {
    if length == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return Err(malformed("a table is missing"));
    }
    // SAFETY: not null, and the caller's promise.
    Ok(unsafe { slice::from_raw_parts(start, length as usize) })
}

/// # Safety
/// A pointer that isn't null leads to a string that ends with a zero and lives for `'a`.
unsafe fn string_at<'a>(start: *const c_char) -> Result<&'a str, Error> {
    if start.is_null() {
        return Err(malformed("a name is missing"));
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(start) }.to_str().map_err(|_| malformed("a name is not UTF-8"))
}

impl<'a> Model<'a> {
    /// Checks a descriptor.
    ///
    /// # Safety
    /// Every pointer in `raw` is null or leads to what its documentation says, for `'a`.
    ///
    /// # Errors
    /// `Kind::Model` if it has another version of the interface, or a pointer or number in it can't be right.
    pub unsafe fn new(raw: &'a abi::Model) -> Result<Model<'a>, Error> {
        if raw.abi_version != abi::ABI_VERSION {
            return Err(Error::model(abi::RunError::AbiVersion.message().into()));
        }
        if raw.extent_count > 0 && raw.extents.is_none() {
            return Err(malformed("its extent function is missing"));
        }
        // SAFETY: the caller's promise.
        let table: &[abi::Symbol] = unsafe { slice_at(raw.symbols, raw.symbol_count) }?;
        let mut symbols = Vec::with_capacity(table.len());
        for symbol in table {
            // SAFETY: as above.
            let name = unsafe { string_at(symbol.name) }?;
            let is_result = symbol.source == abi::SYMBOL_RESULT;
            symbols.push(Symbol { name, lower: symbol.lower, upper: symbol.upper, is_result });
        }
        Ok(Model {
            raw,
            run: raw.run.ok_or_else(|| malformed("its run function is missing"))?,
            // SAFETY: the caller's promise, here and below.
            name: unsafe { string_at(raw.name) }?,
            // SAFETY: as above.
            cpu: unsafe { string_at(raw.cpu) }?,
            // SAFETY: as above.
            inputs: unsafe { tensors(raw, raw.inputs, raw.input_count) }?,
            // SAFETY: as above.
            outputs: unsafe { tensors(raw, raw.outputs, raw.output_count) }?,
            // SAFETY: as above.
            states: unsafe { tensors(raw, raw.states, raw.state_count) }?,
            symbols,
        })
    }

    /// The values of the symbols for inputs of these shapes, one per input; those that the run sets get their
    /// greatest value.
    ///
    /// # Errors
    /// `Kind::BadInput` if a shape has another rank or extent than its input, two of them disagree about a
    /// symbol, or a symbol is out of its bounds; `Kind::Model` if no input has the symbol.
    pub fn bind(&self, shapes: &[&[i64]]) -> Result<Vec<i64>, Error> {
        let mut bound: Vec<Option<(i64, &str)>> = vec![None; self.symbols.len()];
        for (input, shape) in self.inputs.iter().zip(shapes) {
            if shape.len() != input.dims.len() {
                return Err(self.mismatch("input", input, shape));
            }
            for (dim, extent) in input.dims.iter().zip(*shape) {
                let Some(symbol) = usize::try_from(dim.symbol).ok() else { continue };
                match bound[symbol] {
                    None => bound[symbol] = Some((*extent, input.name)),
                    Some((value, _)) if value == *extent => {}
                    Some((value, other)) => {
                        let name = self.symbols[symbol].name;
                        return Err(Error::bad_input(text!(
                            "dimension % is % in input '%' and % in input '%'",
                            name,
                            value,
                            other,
                            *extent,
                            input.name
                        )));
                    }
                }
            }
        }
        let mut values = Vec::with_capacity(bound.len());
        for (symbol, bound) in self.symbols.iter().zip(bound) {
            values.push(symbol.value(bound)?);
        }
        let extents = self.extents(&values);
        for (input, shape) in self.inputs.iter().zip(shapes) {
            if input.shape(&values, &extents) != *shape {
                return Err(self.mismatch("input", input, shape));
            }
        }
        Ok(values)
    }

    /// The extents that depend on the symbols.
    pub fn extents(&self, symbols: &[i64]) -> Vec<i64> {
        let mut extents = vec![0; self.raw.extent_count as usize];
        if let Some(function) = self.raw.extents.filter(|_| !extents.is_empty()) {
            debug_assert_eq!(symbols.len(), self.symbols.len());
            // SAFETY: the function reads a value per symbol and writes `extent_count` of them.
            unsafe { function(symbols.as_ptr(), extents.as_mut_ptr()) };
        }
        extents
    }

    /// The error of a tensor that has another shape than the model says.
    pub fn mismatch(&self, what: &str, tensor: &Tensor<'_>, shape: &[i64]) -> Error {
        let declared = self.shape_text(tensor);
        Error::bad_input(text!("% '%' has shape % instead of %", what, tensor.name, Shape(shape), declared))
    }

    /// The declared shape, such as `[N, 3, ?]`; a question mark is an extent that is computed.
    pub fn shape_text(&self, tensor: &Tensor<'_>) -> String {
        let mut shape = String::from("[");
        for (index, dim) in tensor.dims.iter().enumerate() {
            if index > 0 {
                shape.push_str(", ");
            }
            match usize::try_from(dim.symbol).ok().and_then(|symbol| self.symbols.get(symbol)) {
                Some(symbol) => shape.push_str(symbol.name),
                None if dim.extent >= 0 => shape.push('?'),
                None => dim.bound.append(&mut shape),
            }
        }
        shape.push(']');
        shape
    }
}

impl Symbol<'_> {
    fn value(&self, bound: Option<(i64, &str)>) -> Result<i64, Error> {
        match bound {
            Some((value, _)) if (self.lower..=self.upper).contains(&value) => Ok(value),
            Some((value, input)) => Err(Error::bad_input(text!(
                "dimension % of input '%' is %, the model was compiled for %..=%",
                self.name,
                input,
                value,
                self.lower,
                self.upper
            ))),
            None if self.is_result => Ok(self.upper),
            None => Err(malformed("a symbol belongs to no input")),
        }
    }
}

impl Tensor<'_> {
    /// The extents for these values of the symbols and what [`Model::extents`] makes of them.
    pub fn shape(&self, symbols: &[i64], extents: &[i64]) -> Vec<i64> {
        let value = |dim: &abi::Dim| {
            let find =
                |table: &[i64], index: i32| usize::try_from(index).ok().and_then(|i| table.get(i).copied());
            find(symbols, dim.symbol).or_else(|| find(extents, dim.extent)).unwrap_or(dim.bound)
        };
        self.dims.iter().map(value).collect()
    }

    /// The greatest extents.
    pub fn bounds(&self) -> Vec<i64> {
        self.dims.iter().map(|dim| dim.bound).collect()
    }
}

/// # Safety
/// As [`Model::new`].
unsafe fn tensors<'a>(
    raw: &abi::Model,
    start: *const abi::Tensor,
    count: u32,
) -> Result<Vec<Tensor<'a>>, Error> {
    let below = |index: i32, count: u32| index < 0 || index.unsigned_abs() < count;
    // SAFETY: the caller's promise.
    let table: &[abi::Tensor] = unsafe { slice_at(start, count) }?;
    let mut tensors = Vec::with_capacity(table.len());
    for tensor in table {
        // SAFETY: the caller's promise.
        let name = unsafe { string_at(tensor.name) }?;
        let dtype = DType::from_code(tensor.dtype).ok_or_else(|| malformed("an element type is unknown"))?;
        // SAFETY: the caller's promise.
        let dims: &[abi::Dim] = unsafe { slice_at(tensor.dims, tensor.rank) }?;
        for dim in dims {
            if dim.bound < 0 || !below(dim.symbol, raw.symbol_count) || !below(dim.extent, raw.extent_count) {
                return Err(malformed("a dimension refers to nothing"));
            }
        }
        tensors.push(Tensor { name, dtype, dims });
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use core::ffi::c_void;
    use core::ptr;

    unsafe extern "C" fn run(
        _: *const *mut c_void,
        _: *const *mut c_void,
        _: *mut i64,
        _: *mut c_void,
        _: *const abi::Exec,
    ) -> i32 {
        0
    }

    /// Twice the first symbol.
    unsafe extern "C" fn twice(dims: *const i64, extents: *mut i64) {
        // SAFETY: there is a symbol and an extent.
        unsafe { *extents = 2 * *dims };
    }

    const fn dim(bound: i64, symbol: i32, extent: i32) -> abi::Dim {
        abi::Dim { bound, symbol, extent }
    }

    fn tensor(name: &'static CStr, dims: &'static [abi::Dim]) -> abi::Tensor {
        let rank = dims.len() as u32;
        abi::Tensor { name: name.as_ptr(), dtype: DType::F32 as u32, rank, dims: dims.as_ptr() }
    }

    fn descriptor(inputs: &[abi::Tensor], symbols: &[abi::Symbol]) -> abi::Model {
        abi::Model {
            abi_version: abi::ABI_VERSION,
            input_count: inputs.len() as u32,
            output_count: 0,
            state_count: 0,
            symbol_count: symbols.len() as u32,
            extent_count: 1,
            custom_call_count: 0,
            reserved: 0,
            name: c"test".as_ptr(),
            cpu: c"".as_ptr(),
            inputs: inputs.as_ptr(),
            outputs: ptr::null(),
            states: ptr::null(),
            symbols: symbols.as_ptr(),
            custom_calls: ptr::null(),
            arena_bytes: 0,
            arena_bytes_per_worker: 0,
            state_bytes: 0,
            weights_bytes: 0,
            weights_hash: [0; 16],
            embedded_weights: ptr::null(),
            run: Some(run),
            check_cpu: None,
            extents: Some(twice),
        }
    }

    const N: abi::Symbol = abi::Symbol { name: c"N".as_ptr(), lower: 2, upper: 8, source: abi::SYMBOL_INPUT };

    #[test]
    fn inputs_bind_symbols_and_must_agree() {
        let inputs = [
            tensor(c"a", const { &[dim(8, 0, -1), dim(3, -1, -1)] }),
            tensor(c"b", const { &[dim(16, -1, 0), dim(8, 0, -1)] }),
        ];
        let raw = descriptor(&inputs, &[N]);
        // SAFETY: the tables above outlive the view.
        let model = unsafe { Model::new(&raw) }.expect("a good descriptor");
        assert_eq!(
            (model.shape_text(&model.inputs[0]), model.inputs[1].bounds()),
            ("[N, 3]".into(), vec![16, 8])
        );
        assert_eq!(model.bind(&[&[5, 3], &[10, 5]]), Ok(vec![5]));
        for (shapes, message) in [
            ([&[5, 3][..], &[10, 6]], "dimension N is 5 in input 'a' and 6 in input 'b'"),
            ([&[5, 3], &[9, 5]], "input 'b' has shape [9, 5] instead of [?, N]"),
            ([&[5, 4], &[10, 5]], "input 'a' has shape [5, 4] instead of [N, 3]"),
            ([&[5], &[10, 5]], "input 'a' has shape [5] instead of [N, 3]"),
            ([&[1, 3], &[2, 1]], "dimension N of input 'a' is 1, the model was compiled for 2..=8"),
        ] {
            let error = model.bind(&shapes).unwrap_err();
            assert_eq!((error.kind(), error.message()), (Kind::BadInput, message));
        }
    }

    #[test]
    fn malformed_descriptors_are_refused() {
        let inputs = [tensor(c"a", const { &[dim(8, 0, -1)] })];
        let good = descriptor(&inputs, &[N]);
        let nameless = [abi::Tensor { name: ptr::null(), ..inputs[0] }];
        let no_utf_8 = [abi::Tensor { name: c"\xff".as_ptr(), ..inputs[0] }];
        let unknown_type = [abi::Tensor { dtype: 16, ..inputs[0] }];
        let far_symbol = [tensor(c"a", const { &[dim(8, 1, -1)] })];
        let far_extent = [tensor(c"a", const { &[dim(8, -1, 1)] })];
        let negative = [tensor(c"a", const { &[dim(-1, -1, -1)] })];
        let with = |inputs: &[abi::Tensor]| abi::Model { inputs: inputs.as_ptr(), ..good };
        for raw in [
            abi::Model { abi_version: 2, ..good },
            abi::Model { inputs: ptr::null(), ..good },
            abi::Model { symbols: ptr::null(), ..good },
            abi::Model { run: None, ..good },
            abi::Model { extents: None, ..good },
            abi::Model { name: ptr::null(), ..good },
            with(&nameless),
            with(&no_utf_8),
            with(&unknown_type),
            with(&far_symbol),
            with(&far_extent),
            with(&negative),
        ] {
            // SAFETY: every pointer is null or leads to a table above.
            let error = unsafe { Model::new(&raw) }.map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), Kind::Model, "{error}");
        }
        let unbound = [tensor(c"a", const { &[dim(8, -1, -1)] })];
        let raw = with(&unbound);
        // SAFETY: as above.
        let model = unsafe { Model::new(&raw) }.expect("a good descriptor");
        assert_eq!(model.bind(&[&[8]]).unwrap_err().kind(), Kind::Model);
    }
}
