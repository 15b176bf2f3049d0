//! Buffers with a record of who wrote what.

use super::Fault;
use super::number::{convert, integer_word};
use crate::kernel::{Access, Element};
use graven_ir::DType;

/// The bytes of a buffer.
enum Bytes<'m> {
    Argument(&'m mut [u8]),
    Scratch(Vec<u8>),
}

/// A buffer.
pub(super) struct Memory<'m> {
    dtype: DType,
    access: Access,
    bytes: Bytes<'m>,
    /// The task that wrote each element, from 1; 0 for none.
    writers: Vec<u32>,
    /// Two tasks that read each element of a buffer that is read and written, if there were as many: one of them is another one than any
    /// that writes.
    readers: Vec<[u32; 2]>,
}

/// The current task, from 1.
pub(super) type Task = u32;

impl<'m> Memory<'m> {
    pub fn argument(dtype: DType, access: Access, bytes: &'m mut [u8]) -> Memory<'m> {
        let elements = bytes.len() / dtype.bytes();
        let writers = if access == Access::Read { Vec::new() } else { vec![0; elements] };
        let readers = if access == Access::ReadWrite { vec![[0; 2]; elements] } else { Vec::new() };
        Memory { dtype, access, bytes: Bytes::Argument(bytes), writers, readers }
    }

    pub fn scratch(dtype: DType, elements: usize) -> Memory<'m> {
        let bytes = Bytes::Scratch(vec![0; elements.saturating_mul(dtype.bytes())]);
        Memory { dtype, access: Access::Scratch, bytes, writers: vec![0; elements], readers: Vec::new() }
    }

    pub fn writers(self) -> Vec<u32> {
        self.writers
    }

    fn elements(&self) -> usize {
        let bytes = match &self.bytes {
            Bytes::Argument(bytes) => bytes.len(),
            Bytes::Scratch(bytes) => bytes.len(),
        };
        bytes / self.dtype.bytes()
    }

    fn place(&self, name: &str, element: i128) -> Result<usize, Fault> {
        let elements = self.elements();
        match usize::try_from(element) {
            Ok(place) if place < elements => Ok(place),
            _ => Err(Fault::OutOfBounds { buffer: name.into(), element, elements }),
        }
    }

    /// An element as a word of another element type.
    pub fn load(&mut self, name: &str, element: i128, to: Element, task: Task) -> Result<u64, Fault> {
        let place = self.place(name, element)?;
        let writer = self.writers.get(place).copied().unwrap_or(task);
        if writer != task && self.access == Access::Scratch {
            return Err(Fault::Uninitialised { buffer: name.into(), element: place });
        }
        if writer != task && writer != 0 {
            return Err(Fault::Race { buffer: name.into(), element: place, writer, verb: "read", task });
        }
        if let Some([first, second]) = self.readers.get_mut(place) {
            match *first {
                0 => *first = task,
                other if other != task => *second = task,
                _ => {}
            }
        }
        let size = self.dtype.bytes();
        let bytes = match &self.bytes {
            Bytes::Argument(bytes) => &bytes[place * size..][..size],
            Bytes::Scratch(bytes) => &bytes[place * size..][..size],
        };
        let word = decode(self.dtype, bytes);
        Ok(match to {
            Element::Number(to) if to == self.dtype => word,
            Element::Number(to) => convert(self.dtype, to, word),
            Element::Mask { .. } => word,
        })
    }

    /// Writes a word of another element type.
    pub fn store(
        &mut self,
        name: &str,
        element: i128,
        from: Element,
        word: u64,
        task: Task,
    ) -> Result<(), Fault> {
        let place = self.place(name, element)?;
        let writer = self.writers.get(place).copied().unwrap_or(0);
        if self.access != Access::Scratch && writer != 0 && writer != task {
            return Err(Fault::Race { buffer: name.into(), element: place, writer, verb: "written", task });
        }
        let readers = self.readers.get(place).copied().unwrap_or_default();
        if let Some(reader) = readers.into_iter().find(|reader| *reader != 0 && *reader != task) {
            let (element, verb) = (place, "read");
            return Err(Fault::Race { buffer: name.into(), element, writer: task, verb, task: reader });
        }
        if let Some(writer) = self.writers.get_mut(place) {
            *writer = task;
        }
        let word = match from {
            Element::Number(from) if from != self.dtype => convert(from, self.dtype, word),
            _ => word,
        };
        let size = self.dtype.bytes();
        let bytes = match &mut self.bytes {
            Bytes::Argument(bytes) => &mut bytes[place * size..][..size],
            Bytes::Scratch(bytes) => &mut bytes[place * size..][..size],
        };
        bytes.copy_from_slice(&word.to_le_bytes()[..size]);
        Ok(())
    }
}

/// The word of an element in memory.
fn decode(dtype: DType, bytes: &[u8]) -> u64 {
    let mut word = [0u8; 8];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let word = u64::from_le_bytes(word);
    match dtype.is_float() {
        true => word,
        false => integer_word(dtype, word.into()),
    }
}
