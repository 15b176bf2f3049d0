//! The memory that messages take once they are decoded, measured before they are: an empty node has two bytes in a file, and
//! hundreds in memory. Encoding: Protocol Buffers documentation, "Encoding".

use super::proto::{
    AttributeProto, Dimension, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    TensorProto, ValueInfoProto,
};
use std::mem::size_of;

/// Messages within each other; the decoder gives up at fewer.
const MAX_DEPTH: usize = 100;
/// What lists allocate for each element, at most: they grow to twice their length.
const GROWTH: u64 = 2;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Training,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Sparse,
    /// A value's name and type; small messages in each other.
    Value,
    /// Two texts, or a text and a number.
    Entry,
    /// Text or numbers.
    Plain,
    /// Bytes that stay where they are.
    Shared,
}

impl Kind {
    /// What the field `number` of a message of this kind holds.
    fn field(self, number: u64) -> Kind {
        match (self, number) {
            (Kind::Model, 7) | (Kind::Training, 1 | 2) | (Kind::Attribute, 6 | 11) => Kind::Graph,
            (Kind::Model, 8 | 14) | (Kind::Training, 3 | 4) | (Kind::Function, 9) | (Kind::Tensor, 13) => {
                Kind::Entry
            }
            (Kind::Model, 20) => Kind::Training,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
            (Kind::Graph, 11..=13) | (Kind::Attribute, 14) => Kind::Value,
            (Kind::Graph, 15) | (Kind::Attribute, 22) => Kind::Sparse,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Tensor, 9) | (Kind::Attribute, 4 | 9) => Kind::Shared,
            _ => Kind::Plain,
        }
    }

    /// Bytes of a message itself.
    fn size(self) -> u64 {
        let size = match self {
            Kind::Model | Kind::Training | Kind::Shared => 64,
            Kind::Graph => size_of::<GraphProto>(),
            Kind::Function => size_of::<FunctionProto>(),
            Kind::Node => size_of::<NodeProto>(),
            Kind::Attribute => size_of::<AttributeProto>(),
            Kind::Tensor => size_of::<TensorProto>(),
            Kind::Sparse => size_of::<SparseTensorProto>(),
            Kind::Value => size_of::<ValueInfoProto>(),
            Kind::Entry => size_of::<OperatorSetIdProto>() * 2,
            Kind::Plain => size_of::<String>(),
        };
        size as u64 * GROWTH
    }
}

/// Bytes that a decoded model takes at most, but for elements that are shared with the file. What is no valid message counts up to the
/// place where it goes wrong.
pub(super) fn decoded_bytes(model: &[u8]) -> u64 {
    message(Kind::Model, model, 0)
}

/// A number of seven bits per byte; `None` at the end of the bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip<'b>(bytes: &mut &'b [u8], count: u64) -> Option<&'b [u8]> {
    let (skipped, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(skipped)
}

fn message(kind: Kind, mut bytes: &[u8], depth: usize) -> u64 {
    let mut total = kind.size();
    if depth == MAX_DEPTH {
        return total;
    }
    while !bytes.is_empty() {
        match field(kind, &mut bytes, depth) {
            Some(size) => total = total.saturating_add(size),
            None => break,
        }
    }
    total
}

/// The size of the next field; `None` where there is none.
fn field(kind: Kind, bytes: &mut &[u8], depth: usize) -> Option<u64> {
    let key = varint(bytes)?;
    let single = size_of::<u64>() as u64 * GROWTH;
    match key & 7 {
        0 => varint(bytes).map(|_| single),
        1 => skip(bytes, 8).map(|_| single),
        5 => skip(bytes, 4).map(|_| single),
        2 => {
            let length = varint(bytes)?;
            let content = skip(bytes, length)?;
            Some(match kind.field(key >> 3) {
                Kind::Plain => plain(kind, key >> 3, content),
                Kind::Shared => Kind::Shared.size(),
                // A dimension has two bytes at least.
                Kind::Value => {
                    let dimensions = length.saturating_mul(size_of::<Dimension>() as u64 * GROWTH / 2);
                    Kind::Value.size().saturating_add(dimensions)
                }
                inner => message(inner, content, depth + 1),
            })
        }
        // Groups are unknown fields, which the decoder skips; what stands in them counts as if it stood outside.
        3 | 4 => Some(0),
        _ => None,
    }
}

/// Texts take their own length, lists of floats too; lists of integers have one element for each byte without the upper bit.
fn plain(kind: Kind, number: u64, content: &[u8]) -> u64 {
    let length = content.len() as u64;
    let is_integers =
        matches!((kind, number), (Kind::Tensor, 1 | 5 | 7 | 11) | (Kind::Attribute, 8) | (Kind::Sparse, 3));
    match is_integers {
        true => content.iter().filter(|byte| **byte & 0x80 == 0).count() as u64 * 8 * GROWTH,
        false => Kind::Plain.size() + length * GROWTH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::onnx::proto::ModelProto;
    use prost::Message;

    fn model(graph: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn empty_nodes_count_with_their_size_in_memory() {
        let bytes = model(GraphProto { node: vec![NodeProto::default(); 1000], ..GraphProto::default() });
        assert!(bytes.len() < 3000);
        assert!(decoded_bytes(&bytes) >= 1000 * size_of::<NodeProto>() as u64);
    }

    #[test]
    fn raw_data_stay_in_the_file_and_integers_are_counted() {
        let raw = TensorProto { raw_data: vec![0x80; 1 << 20].into(), ..TensorProto::default() };
        let bytes = model(GraphProto { initializer: vec![raw], ..GraphProto::default() });
        assert!(decoded_bytes(&bytes) < 10_000);
        let ints = TensorProto { int64_data: vec![1; 1 << 16], ..TensorProto::default() };
        let bytes = model(GraphProto { initializer: vec![ints], ..GraphProto::default() });
        assert!(bytes.len() < 70_000);
        assert!(decoded_bytes(&bytes) >= 8 << 16);
    }

    #[test]
    fn broken_bytes_end() {
        for bytes in [&[0xFF; 64][..], &[0x3A, 0x80], &[0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], &[3, 3, 3]] {
            assert!(decoded_bytes(bytes) < 10_000);
        }
        // Graphs in attributes in nodes in graphs.
        let mut nested = Vec::new();
        for _ in 0..1000 {
            for key in [0x32u8, 0x2A, 0x0A] {
                let mut outer = vec![key];
                prost::encoding::encode_varint(nested.len() as u64, &mut outer);
                outer.extend(&nested);
                nested = outer;
            }
        }
        assert!(decoded_bytes(&nested) < 1 << 20);
    }
}
