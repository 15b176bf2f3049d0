//! Constants in the code: after the last instruction, each once.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A constant of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConstantId(u32);

/// The constants of a kernel.
#[derive(Debug, Default)]
pub struct Constants {
    values: Vec<SmallVec<[u8; 64]>>,
    known: FxHashMap<SmallVec<[u8; 64]>, ConstantId>,
}

impl Constants {
    /// The constant with these bytes, whose number is a power of two.
    pub fn insert(&mut self, bytes: &[u8]) -> ConstantId {
        let value = SmallVec::from_slice(bytes);
        if let Some(id) = self.known.get(&value) {
            return *id;
        }
        let id = ConstantId(self.values.len() as u32);
        self.known.insert(value.clone(), id);
        self.values.push(value);
        id
    }

    /// Appends the constants to the code, the largest first, each aligned to its size. Gives the place of each.
    pub fn append(&self, code: &mut Vec<u8>) -> Vec<usize> {
        let mut places = vec![0; self.values.len()];
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by_key(|id| std::cmp::Reverse(self.values[*id].len()));
        for id in order {
            let value = &self.values[id];
            code.resize(code.len().next_multiple_of(value.len().max(1)), 0);
            places[id] = code.len();
            code.extend_from_slice(value);
        }
        places
    }
}

impl ConstantId {
    /// Its number.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
