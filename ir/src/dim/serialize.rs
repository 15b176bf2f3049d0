//! Dims in serde's formats: a constant is an integer, everything else
//! `{"constant": 1, "terms": [{"coefficient": 2, "factors": [{"symbol": {"name": "N", "lower": 1, "upper": 32}}, {"mod": [a, b]}]}]}`.
//!
//! What is read is brought into normal form by the same arithmetic that builds dims elsewhere.

use super::{Atom, Dim, Symbol, SymbolData};
use serde::de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, sync::Arc};

/// A dim with more atoms than this is refused.
const MAX_ATOMS: usize = 1024;

#[derive(Serialize)]
struct WriteSum<'a> {
    constant: i64,
    terms: Vec<WriteTerm<'a>>,
}

#[derive(Serialize)]
struct WriteTerm<'a> {
    coefficient: i64,
    factors: &'a [Atom],
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(constant) = self.as_const() {
            return serializer.serialize_i64(constant);
        }
        let terms = self.terms.iter();
        let terms = terms.map(|(factors, coefficient)| WriteTerm { coefficient: *coefficient, factors });
        WriteSum { constant: self.constant, terms: terms.collect() }.serialize(serializer)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadSum {
    constant: i64,
    terms: Vec<ReadTerm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadTerm {
    coefficient: i64,
    factors: Vec<ReadAtom>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadAtom {
    Symbol(Symbol),
    FloorDiv(Dim, Dim),
    Mod(Dim, Dim),
    Min(Dim, Dim),
    Max(Dim, Dim),
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Dim, D::Error> {
        deserializer.deserialize_any(DimVisitor)
    }
}

struct DimVisitor;

impl<'de> Visitor<'de> for DimVisitor {
    type Value = Dim;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an extent: an integer, or a sum with `constant` and `terms`")
    }

    fn visit_i64<E: Error>(self, constant: i64) -> Result<Dim, E> {
        Ok(Dim::from(constant))
    }

    fn visit_u64<E: Error>(self, constant: u64) -> Result<Dim, E> {
        let constant = i64::try_from(constant);
        constant.map(Dim::from).map_err(|_| E::invalid_value(Unexpected::Other("a larger integer"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Dim, A::Error> {
        let sum = ReadSum::deserialize(MapAccessDeserializer::new(map))?;
        let mut dim = Dim::from(sum.constant);
        for term in sum.terms {
            let mut product = Dim::from(term.coefficient);
            for factor in term.factors {
                product = limited(product * factor.into_dim().map_err(A::Error::custom)?)?;
            }
            dim = limited(dim + product)?;
        }
        Ok(dim)
    }
}

fn limited<E: Error>(dim: Dim) -> Result<Dim, E> {
    match dim.has_more_atoms_than(MAX_ATOMS) {
        true => Err(E::custom("an extent has too many terms")),
        false => Ok(dim),
    }
}

impl ReadAtom {
    fn into_dim(self) -> Result<Dim, &'static str> {
        match self {
            ReadAtom::Symbol(symbol) => Ok(Dim::from(symbol)),
            ReadAtom::FloorDiv(_, divisor) | ReadAtom::Mod(_, divisor) if divisor.upper() < 1 => {
                Err("a divisor must be positive")
            }
            ReadAtom::FloorDiv(a, b) => Ok(a.floor_div(&b)),
            ReadAtom::Mod(a, b) => Ok(a.modulo(&b)),
            ReadAtom::Min(a, b) => Ok(a.minimum(&b)),
            ReadAtom::Max(a, b) => Ok(a.maximum(&b)),
        }
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Symbol, D::Error> {
        let data = SymbolData::deserialize(deserializer)?;
        match data.lower <= data.upper {
            true => Ok(Symbol(Arc::new(data))),
            false => Err(D::Error::custom(format!("the bounds of the symbol `{}` are reversed", data.name))),
        }
    }
}
