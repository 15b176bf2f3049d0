//! The descriptor `m_model` of a model as bytes: what `docs/abi.md` lays out.
//!
//! Two runs of bytes: the `graven_model` itself, and the tables that it points to. Pointers are listed apart, for the object to relocate.

use super::dtypes::abi_dtype;
use crate::codegen::cranelift::entry::extents::ComputedExtents;
use crate::program::{Port, Program};
use crate::target::Target;
use graven_runtime::abi;
use std::mem::{offset_of, size_of};
use target_lexicon::Endianness;

/// Where a pointer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointee {
    /// So many bytes into the tables.
    Tables(usize),
    /// `m_run`.
    Run,
    /// `m_check_cpu`.
    CheckCpu,
    /// `m_extents`.
    Extents,
    /// The embedded weights.
    Weights,
    /// The first values of states.
    InitialStates,
}

/// Bytes with pointers to be filled in.
#[derive(Clone, Debug, Default)]
pub struct Blob {
    /// The bytes, zero where a pointer goes.
    pub bytes: Vec<u8>,
    /// Offsets of pointers and where they lead.
    pub pointers: Vec<(usize, Pointee)>,
}

/// A descriptor.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// The `graven_model`.
    pub model: Blob,
    /// What it points to.
    pub tables: Blob,
}

/// What the descriptor says of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightsFacts {
    /// Size in bytes.
    pub bytes: u64,
    /// Their hash.
    pub hash: [u8; 16],
    /// Whether they are part of the object.
    pub embedded: bool,
}

/// Size of the states at their bounds, each rounded up to a multiple of 64.
pub fn state_bytes(program: &Program) -> u64 {
    let bytes = |port: &Port| {
        let elements = port.ty.checked_upper_elements().unwrap_or(i64::MAX);
        let bytes = (elements as u64).saturating_mul(port.ty.dtype.bytes() as u64);
        bytes.checked_next_multiple_of(abi::ALIGNMENT as u64).unwrap_or(u64::MAX)
    };
    program.states.iter().map(bytes).fold(0, u64::saturating_add)
}

impl Descriptor {
    /// The descriptor of a program.
    pub fn new(program: &Program, target: &Target, weights: WeightsFacts) -> Descriptor {
        let big = target.triple.endianness() == Ok(Endianness::Big);
        let computed = ComputedExtents::of(program);
        let mut tables = Writer { blob: Blob::default(), big };
        let name = tables.string(&program.name);
        let cpu = tables.string(&target.features.to_string());
        let ports = [&program.inputs, &program.outputs, &program.states];
        let mut places = [0; 3];
        for (place, ports) in places.iter_mut().zip(ports) {
            *place = tables.tensors(program, ports, &computed);
        }
        let symbols = tables.symbols(program);
        let custom_calls = tables.custom_calls(program);
        let mut model =
            Writer { blob: Blob { bytes: vec![0; size_of::<abi::Model>()], pointers: vec![] }, big };
        let counts = [
            (offset_of!(abi::Model, abi_version), abi::ABI_VERSION as usize),
            (offset_of!(abi::Model, input_count), program.inputs.len()),
            (offset_of!(abi::Model, output_count), program.outputs.len()),
            (offset_of!(abi::Model, state_count), program.states.len()),
            (offset_of!(abi::Model, symbol_count), program.symbols.len()),
            (offset_of!(abi::Model, extent_count), computed.dims.len()),
            (offset_of!(abi::Model, custom_call_count), program.custom_calls.len()),
        ];
        counts.into_iter().for_each(|(place, count)| model.put_u32(place, count as u32));
        let sizes = [
            (offset_of!(abi::Model, arena_bytes), program.arena_bytes),
            (offset_of!(abi::Model, arena_bytes_per_worker), program.scratch_bytes),
            (offset_of!(abi::Model, state_bytes), state_bytes(program)),
            (offset_of!(abi::Model, weights_bytes), weights.bytes),
        ];
        sizes.into_iter().for_each(|(place, size)| model.put_u64(place, size));
        let hash = offset_of!(abi::Model, weights_hash);
        model.blob.bytes[hash..hash + weights.hash.len()].copy_from_slice(&weights.hash);
        let embedded = weights.embedded && weights.bytes > 0;
        let pointers = [
            (offset_of!(abi::Model, name), Some(Pointee::Tables(name))),
            (offset_of!(abi::Model, cpu), Some(Pointee::Tables(cpu))),
            (offset_of!(abi::Model, inputs), Some(Pointee::Tables(places[0]))),
            (offset_of!(abi::Model, outputs), Some(Pointee::Tables(places[1]))),
            (offset_of!(abi::Model, states), Some(Pointee::Tables(places[2]))),
            (offset_of!(abi::Model, symbols), Some(Pointee::Tables(symbols))),
            (offset_of!(abi::Model, custom_calls), Some(Pointee::Tables(custom_calls))),
            (offset_of!(abi::Model, embedded_weights), embedded.then_some(Pointee::Weights)),
            (offset_of!(abi::Model, run), Some(Pointee::Run)),
            (offset_of!(abi::Model, check_cpu), Some(Pointee::CheckCpu)),
            (offset_of!(abi::Model, extents), (!computed.dims.is_empty()).then_some(Pointee::Extents)),
        ];
        let leading = pointers.into_iter().filter_map(|(place, pointee)| Some((place, pointee?)));
        model.blob.pointers = leading.collect();
        Descriptor { model: model.blob, tables: tables.blob }
    }
}

struct Writer {
    blob: Blob,
    big: bool,
}

impl Writer {
    fn put_u32(&mut self, place: usize, value: u32) {
        let bytes = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.blob.bytes[place..place + 4].copy_from_slice(&bytes);
    }

    fn put_u64(&mut self, place: usize, value: u64) {
        let bytes = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.blob.bytes[place..place + 8].copy_from_slice(&bytes);
    }

    fn pointer(&mut self, place: usize, to: usize) {
        self.blob.pointers.push((place, Pointee::Tables(to)));
    }

    /// Room for so many bytes, aligned for pointers.
    fn room(&mut self, bytes: usize) -> usize {
        let place = self.blob.bytes.len().next_multiple_of(8);
        self.blob.bytes.resize(place + bytes, 0);
        place
    }

    /// A string that ends with a zero; zeros within become question marks.
    fn string(&mut self, text: &str) -> usize {
        let place = self.room(text.len() + 1);
        let bytes = text.bytes().map(|byte| if byte == 0 { b'?' } else { byte });
        self.blob.bytes[place..].iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        place
    }

    fn tensors(&mut self, program: &Program, ports: &[Port], computed: &ComputedExtents) -> usize {
        let table = self.room(ports.len() * size_of::<abi::Tensor>());
        for (n, port) in ports.iter().enumerate() {
            let place = table + n * size_of::<abi::Tensor>();
            let name = self.string(&port.name);
            let dims = self.dims(program, port, computed);
            self.pointer(place + offset_of!(abi::Tensor, name), name);
            self.pointer(place + offset_of!(abi::Tensor, dims), dims);
            self.put_u32(place + offset_of!(abi::Tensor, dtype), abi_dtype(port.ty.dtype) as u32);
            self.put_u32(place + offset_of!(abi::Tensor, rank), port.ty.rank() as u32);
        }
        table
    }

    fn dims(&mut self, program: &Program, port: &Port, computed: &ComputedExtents) -> usize {
        let table = self.room(port.ty.rank() * size_of::<abi::Dim>());
        for (n, dim) in port.ty.shape.iter().enumerate() {
            let place = table + n * size_of::<abi::Dim>();
            let symbol = dim.as_symbol().and_then(|symbol| program.symbols.iter().position(|s| s == symbol));
            let extent = computed.place(dim).filter(|_| symbol.is_none());
            let index = |index: Option<usize>| index.map_or(u32::MAX, |index| index as u32);
            self.put_u64(place + offset_of!(abi::Dim, bound), dim.upper() as u64);
            self.put_u32(place + offset_of!(abi::Dim, symbol), index(symbol));
            self.put_u32(place + offset_of!(abi::Dim, extent), index(extent));
        }
        table
    }

    /// Pointers to the names of the custom calls.
    fn custom_calls(&mut self, program: &Program) -> usize {
        let table = self.room(program.custom_calls.len() * size_of::<usize>());
        for (n, call) in program.custom_calls.iter().enumerate() {
            let name = self.string(&call.name);
            self.pointer(table + n * size_of::<usize>(), name);
        }
        table
    }

    fn symbols(&mut self, program: &Program) -> usize {
        let table = self.room(program.symbols.len() * size_of::<abi::Symbol>());
        for (n, symbol) in program.symbols.iter().enumerate() {
            let place = table + n * size_of::<abi::Symbol>();
            let name = self.string(symbol.name());
            let source = if program.is_result(n) { abi::SYMBOL_RESULT } else { abi::SYMBOL_INPUT };
            self.pointer(place + offset_of!(abi::Symbol, name), name);
            self.put_u64(place + offset_of!(abi::Symbol, lower), symbol.lower() as u64);
            self.put_u64(place + offset_of!(abi::Symbol, upper), symbol.upper() as u64);
            self.put_u32(place + offset_of!(abi::Symbol, source), source);
        }
        table
    }
}
