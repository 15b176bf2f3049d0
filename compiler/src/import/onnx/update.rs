//! Writes a model with other values for some initialisers. Everything else keeps its bytes, fields that no importer knows included.
//!
//! The messages are taken apart as far as initialisers may lie in them: model → graph → initialiser, and graph → node → attribute → graph. What
//! does not change is a slice of the old file; lengths are written anew around what does. Elements outside the file come into the new one, which may
//! lie in another folder; they and new values go to a file beside it if it would become larger than protobuf allows.

use super::file::Folder;
use super::proto::{NodeProto, TensorProto};
use super::tensor::{dtype_of, external_bytes, number_of};
use crate::emit::file::write_atomically;
use crate::error::{Error, Place};
use bytes::Bytes;
use graven_ir::Tensor;
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Protobuf's messages are smaller than 2 GiB.
const MAX_BYTES: usize = i32::MAX as usize;
/// Where tensors begin in a file of elements.
const ALIGNMENT: usize = 64;
/// Fields of `TensorProto` that hold elements or say where they are.
const ELEMENT_FIELDS: &[u32] = &[4, 5, 6, 7, 9, 10, 11, 13, 14];
const NODE: u32 = 1;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;
const EXTERNAL_DATA: u32 = 13;
const DATA_LOCATION: u32 = 14;

/// Bytes in pieces.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Bytes>,
    length: usize,
}

impl Pieces {
    fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.length += bytes.len();
        self.pieces.push(bytes);
    }

    /// A field of bytes or a message.
    fn field(&mut self, number: u32, contents: Pieces) {
        let mut head = Vec::new();
        encode_varint(u64::from(number) << 3 | 2, &mut head);
        encode_varint(contents.length as u64, &mut head);
        self.push(head);
        self.length += contents.length;
        self.pieces.extend(contents.pieces);
    }

    fn bytes_field(&mut self, number: u32, bytes: impl Into<Bytes>) {
        let mut contents = Pieces::default();
        contents.push(bytes);
        self.field(number, contents);
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::bad_input(
                Place::new(format!("`{}`", path.display())),
                format!("cannot be written: {error}"),
            )
        };
        let written: std::io::Result<()> = write_atomically(path, |writer| {
            self.pieces.iter().try_for_each(|piece| writer.write_all(piece))?;
            writer.flush()?;
            writer.get_ref().sync_all()
        });
        written.map_err(failed)
    }
}

/// A field of a message: its number, all its bytes, and its contents if it is a message, a text or bytes.
struct Field {
    number: u32,
    all: Bytes,
    contents: Option<Bytes>,
}

/// The fields of a message.
fn fields(message: &Bytes) -> Result<Vec<Field>, Error> {
    let broken = || Error::bad_input(Place::new("the model"), "is no valid ONNX file");
    let mut fields = Vec::new();
    let mut rest = message.clone();
    while !rest.is_empty() {
        let start = rest.clone();
        let key = decode_varint(&mut rest).map_err(|_| broken())?;
        let mut contents = None;
        let skipped = match key & 7 {
            0 => {
                decode_varint(&mut rest).map_err(|_| broken())?;
                0
            }
            1 => 8,
            5 => 4,
            2 => {
                let length = decode_varint(&mut rest).map_err(|_| broken())?;
                let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
                let length = length.ok_or_else(broken)?;
                contents = Some(rest.slice(..length));
                length
            }
            _ => return Err(broken()),
        };
        if skipped > rest.len() {
            return Err(broken());
        }
        rest = rest.slice(skipped..);
        let number = u32::try_from(key >> 3).map_err(|_| broken())?;
        let all = start.slice(..start.len() - rest.len());
        fields.push(Field { number, all, contents });
    }
    Ok(fields)
}

/// The kinds of messages on the way to tensors.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    /// A tensor with a name that values may replace.
    Initializer,
    /// Any other tensor.
    Tensor,
}

impl Kind {
    /// What a field of such a message holds, as far as it matters here. Numbers are those of `onnx.proto`.
    fn field(self, number: u32) -> Option<Kind> {
        Some(match (self, number) {
            (Kind::Model, 7) | (Kind::Attribute, 6 | 11) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Function, 7) | (Kind::Graph, 1) => Kind::Node,
            (Kind::Graph, 5) => Kind::Initializer,
            (Kind::Graph, 15) | (Kind::Attribute, 22) => Kind::SparseTensor,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Attribute, 5 | 10) | (Kind::SparseTensor, 1 | 2) => Kind::Tensor,
            _ => return None,
        })
    }
}

/// A file of elements beside the model.
struct Beside {
    name: String,
    data: Pieces,
}

struct Update<'v> {
    values: BTreeMap<&'v str, &'v Tensor>,
    /// How often each name was met.
    met: BTreeMap<String, usize>,
    folder: Folder,
    beside: Option<Beside>,
}

impl Update<'_> {
    /// The new message; `None` if nothing in it changes.
    fn message(&mut self, kind: Kind, bytes: &Bytes) -> Result<Option<Pieces>, Error> {
        if matches!(kind, Kind::Initializer | Kind::Tensor) {
            return self.tensor(kind, bytes);
        }
        let mut new = Pieces::default();
        let mut is_changed = false;
        for field in fields(bytes)? {
            if let (Kind::Graph, NODE, Some(contents)) = (kind, field.number, &field.contents)
                && let Some(initializer) = self.identity(contents)?
            {
                is_changed = true;
                new.field(INITIALIZER, initializer);
                continue;
            }
            let changed = match (kind.field(field.number), &field.contents) {
                (Some(kind), Some(contents)) => self.message(kind, contents)?,
                _ => None,
            };
            match changed {
                Some(contents) => {
                    is_changed = true;
                    new.field(field.number, contents);
                }
                None => new.push(field.all),
            }
        }
        Ok(is_changed.then_some(new))
    }

    /// The initialiser in place of an `Identity` whose output has a value: another name of an initialiser, with values of its own from now on.
    fn identity(&mut self, bytes: &Bytes) -> Result<Option<Pieces>, Error> {
        let node = NodeProto::decode(bytes.clone())
            .map_err(|error| Error::bad_input(Place::new("the model"), error.to_string()))?;
        let name = node.output.first().map_or("", String::as_str);
        let Some(value) = self.values.get(name).filter(|_| node.op_type == "Identity") else {
            return Ok(None);
        };
        let elements = value.to_bytes();
        let proto = TensorProto {
            dims: value.shape().iter().map(|extent| *extent as i64).collect(),
            data_type: number_of(value.dtype()),
            name: name.into(),
            ..TensorProto::default()
        };
        *self.met.entry(name.into()).or_insert(0) += 1;
        let mut new = Pieces::default();
        new.push(proto.encode_to_vec());
        self.elements(&mut new, elements);
        Ok(Some(new))
    }

    /// Adds a tensor's elements to it.
    fn elements(&mut self, tensor: &mut Pieces, elements: Bytes) {
        match &mut self.beside {
            None => tensor.bytes_field(RAW_DATA, elements),
            Some(beside) => beside.refer(tensor, elements),
        }
    }

    fn tensor(&mut self, kind: Kind, bytes: &Bytes) -> Result<Option<Pieces>, Error> {
        let proto = TensorProto::decode(bytes.clone())
            .map_err(|error| Error::bad_input(Place::new("the model"), error.to_string()))?;
        let place = || Place::named("tensor", &proto.name);
        let value = match kind {
            Kind::Initializer => self.values.get(proto.name.as_str()).copied(),
            _ => None,
        };
        let elements = match value {
            Some(value) => {
                *self.met.entry(proto.name.clone()).or_insert(0) += 1;
                let shape = value.shape().iter().map(|extent| *extent as i64);
                if dtype_of(proto.data_type) != Ok(value.dtype()) || !shape.eq(proto.dims.iter().copied()) {
                    return Err(Error::bad_input(place(), format!("is no {} in the model", value.ty())));
                }
                value.to_bytes()
            }
            None if proto.data_location == 1 => {
                let found = external_bytes(&proto, None, &mut self.folder);
                found.map_err(|reason| Error::bad_input(place(), reason))?
            }
            None => return Ok(None),
        };
        let mut new = Pieces::default();
        for field in fields(bytes)?.into_iter().filter(|field| !ELEMENT_FIELDS.contains(&field.number)) {
            new.push(field.all);
        }
        self.elements(&mut new, elements);
        Ok(Some(new))
    }

    /// Every value has its initialiser.
    fn check(&self) -> Result<(), Error> {
        for name in self.values.keys() {
            let reason = match self.met.get(*name) {
                Some(1) => continue,
                Some(count) => {
                    format!("stands in the model {count} times; its values can't be written to one")
                }
                None => {
                    "is no dense initialiser of the model, so that its values can't be written there".into()
                }
            };
            return Err(Error::unsupported(Place::named("tensor", name), reason));
        }
        Ok(())
    }
}

impl Beside {
    /// Adds elements to the file, and to the tensor where they are.
    fn refer(&mut self, tensor: &mut Pieces, elements: Bytes) {
        let padding = self.data.length.next_multiple_of(ALIGNMENT) - self.data.length;
        self.data.push(vec![0; padding]);
        let numbers = [("offset", self.data.length), ("length", elements.len())];
        let numbers = numbers.map(|(key, number)| (key, number.to_string()));
        for (key, value) in [("location", self.name.clone())].into_iter().chain(numbers) {
            let mut entry = Pieces::default();
            entry.bytes_field(1, key.as_bytes().to_vec());
            entry.bytes_field(2, value.into_bytes());
            tensor.field(EXTERNAL_DATA, entry);
        }
        let mut location = Vec::new();
        encode_varint(u64::from(DATA_LOCATION) << 3, &mut location);
        encode_varint(1, &mut location);
        tensor.push(location);
        self.data.push(elements);
    }
}

/// Writes the model to `output` with these values for the initialisers of their names, which have the same types. The file takes its name only when it
/// is complete. If it would be larger than 2 GiB, new values and what was external go to the file `output`.data.
///
/// # Errors
/// Bad input for files that can't be read or written, and values that don't fit; unsupported for names that no initialiser has, or several have.
pub(super) fn write_with(
    model: &Bytes,
    folder: Folder,
    values: &[(&str, &Tensor)],
    output: &Path,
) -> Result<(), Error> {
    write_within(MAX_BYTES, model, folder, values, output)
}

/// [`write_with`] for another largest size.
pub(super) fn write_within(
    limit: usize,
    model: &Bytes,
    folder: Folder,
    values: &[(&str, &Tensor)],
    output: &Path,
) -> Result<(), Error> {
    let values: BTreeMap<&str, &Tensor> = values.iter().copied().collect();
    let mut update = Update { values, met: BTreeMap::new(), folder, beside: None };
    let mut new = update.message(Kind::Model, model)?;
    update.check()?;
    if new.as_ref().is_some_and(|new| new.length > limit) {
        let mut name = output.file_name().unwrap_or_default().to_os_string();
        name.push(".data");
        let text = name.to_str().ok_or_else(|| {
            Error::bad_input(Place::new(format!("`{}`", output.display())), "is no name in UTF-8")
        })?;
        update.beside = Some(Beside { name: text.into(), data: Pieces::default() });
        update.met.clear();
        new = update.message(Kind::Model, model)?;
        if let Some(beside) = &update.beside {
            beside.data.write(&output.with_file_name(&name))?;
        }
    }
    let unchanged = || {
        let mut pieces = Pieces::default();
        pieces.push(model.clone());
        pieces
    };
    new.unwrap_or_else(unchanged).write(output)
}
