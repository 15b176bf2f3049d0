//! Kinds of damage: to the bytes as they are, and to the model that they describe.

use super::proto::{Field, Kind, Value, parse, write};

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers at which sizes and counts go wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    3,
    7,
    255,
    1 << 16,
    i32::MAX as u64,
    1 << 31,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
    u64::MAX - 1,
];

/// A damaged copy, and what was done in words.
pub fn damaged(original: &[u8], random: &mut Random) -> (Vec<u8>, String) {
    let mut bytes = original.to_vec();
    // Half of the cases keep the encoding right: those reach further.
    match random.below(8) {
        0 => {
            let place = random.below(bytes.len());
            bytes.truncate(place);
            (bytes, format!("truncated to {place} bytes"))
        }
        1 | 2 => {
            let flips = 1 + random.below(8);
            // Most of a file is weights, where nothing can go wrong: half of the flips go to its ends.
            for _ in 0..flips {
                let length = bytes.len();
                let place = match random.below(4) {
                    0 => random.below(length.min(2048)),
                    1 => length - 1 - random.below(length.min(4096)),
                    _ => random.below(length),
                };
                bytes[place] ^= 1 << random.below(8);
            }
            (bytes, format!("{flips} flipped bits"))
        }
        3 => {
            let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
            let length = random.below(64).min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + length, to);
            (bytes, format!("{length} bytes copied from {from} to {to}"))
        }
        _ => damaged_structure(original, random),
    }
}

fn damaged_structure(original: &[u8], random: &mut Random) -> (Vec<u8>, String) {
    let Some(mut model) = parse(Kind::Model, original) else {
        return (Vec::new(), "empty".into());
    };
    let mut texts = Vec::new();
    collect_texts(&model, &mut texts);
    let mut done = Vec::new();
    for _ in 0..1 + random.below(3) {
        done.push(damage(&mut model, &texts, random));
    }
    let mut bytes = Vec::new();
    write(&model, &mut bytes);
    (bytes, done.join(", "))
}

/// Names and operators of the model: in the place of others they make cycles and wrong references.
fn collect_texts(fields: &[Field], texts: &mut Vec<Vec<u8>>) {
    for field in fields {
        match &field.value {
            Value::Bytes(bytes) if (1..100).contains(&bytes.len()) => texts.push(bytes.clone()),
            Value::Message(inner) => collect_texts(inner, texts),
            _ => {}
        }
    }
}

/// Goes down into a random message and damages one of its fields.
fn damage(fields: &mut Vec<Field>, texts: &[Vec<u8>], random: &mut Random) -> String {
    if fields.is_empty() {
        return "nothing".into();
    }
    let place = random.below(fields.len());
    if let Value::Message(inner) = &mut fields[place].value
        && !inner.is_empty()
        && random.below(10) > 0
    {
        return damage(inner, texts, random);
    }
    let number = fields[place].number;
    match random.below(8) {
        0 => {
            fields.remove(place);
            format!("field {number} removed")
        }
        1 => {
            let copy = fields[place].clone();
            fields.insert(random.below(fields.len()), copy);
            format!("field {number} repeated")
        }
        2 | 3 => {
            let others: Vec<usize> =
                (0..fields.len()).filter(|other| fields[*other].number == number).collect();
            let other = others[random.below(others.len())];
            fields.swap(place, other);
            format!("fields {number} swapped")
        }
        4 => {
            fields[place].number = 1 + random.below(14) as u32;
            format!("field {number} renumbered")
        }
        _ => change(&mut fields[place], texts, random),
    }
}

fn change(field: &mut Field, texts: &[Vec<u8>], random: &mut Random) -> String {
    let number = field.number;
    match &mut field.value {
        Value::Varint(value) => {
            *value = NUMBERS[random.below(NUMBERS.len())];
            format!("field {number} set to {value}")
        }
        Value::Fixed32(bytes) => {
            *bytes = (random.next() as u32).to_le_bytes();
            format!("field {number} made another number")
        }
        Value::Fixed64(bytes) => {
            *bytes = random.next().to_le_bytes();
            format!("field {number} made another number")
        }
        Value::Bytes(bytes) if random.below(3) == 0 => {
            let length = random.below(2 * bytes.len() + 2);
            bytes.resize(length, b'x');
            format!("field {number} resized to {length}")
        }
        Value::Bytes(bytes) => {
            if let Some(text) = texts.get(random.below(texts.len())) {
                *bytes = text.clone();
            }
            format!("field {number} replaced by another's text")
        }
        Value::Message(fields) => {
            fields.clear();
            format!("field {number} emptied")
        }
    }
}
