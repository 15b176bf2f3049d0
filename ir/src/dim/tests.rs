use super::*;
use proptest::prelude::*;

fn symbol(name: &str, upper: i64) -> Dim {
    Dim::from(Symbol::new(name, 0, upper))
}

#[test]
fn split_indices_rejoin() {
    let (outer, inner) = (symbol("o", 7), symbol("i", 15));
    let merged = &outer * 16 + &inner;
    assert_eq!(merged.floor_div(&Dim::from(16i64)), outer);
    assert_eq!(merged.modulo(&Dim::from(16i64)), inner);
    let x = symbol("x", 127);
    assert_eq!(x.floor_div(&Dim::from(16i64)) * 16 + x.modulo(&Dim::from(16i64)), x);
    assert_eq!(merged.floor_div(&Dim::from(4i64)) * 4 + merged.modulo(&Dim::from(4i64)), merged);
}

#[test]
fn low_parts_drop_out() {
    let (vector, lane) = (symbol("v", 9), symbol("l", 3));
    let channel = &vector * 4 + &lane;
    assert_eq!(channel.floor_div(&Dim::from(8i64)).to_string(), "floordiv(v, 2)");
    assert_eq!(channel.modulo(&Dim::from(8i64)).to_string(), "l + 4*mod(v, 2)");
    assert_eq!(channel.floor_div(&Dim::from(8i64)) * 8 + channel.modulo(&Dim::from(8i64)), channel);
}

#[test]
fn bounds_resolve_min_and_max() {
    let x = symbol("x", 9);
    assert_eq!(x.minimum(&Dim::from(9i64)), x);
    assert_eq!(x.maximum(&Dim::from(-1i64)), x);
    assert_eq!(x.minimum(&Dim::from(5i64)).bounds(), (0, 5));
}

#[test]
fn symbolic_divisors() {
    let (n, m) = (Dim::from(Symbol::new("n", 1, 32)), Dim::from(Symbol::new("m", 1, 8)));
    assert_eq!((&n * &m).floor_div(&m), n);
    assert!((&n * &m * 3).modulo(&m).is(0));
    assert_eq!((&n + 1).ceil_div(&Dim::from(2i64)).to_string(), "floordiv(n, 2) + 1");
}

#[test]
fn random_expressions_keep_their_value() {
    // A fixed linear congruential sequence (Numerical Recipes) picks the operations.
    let mut seed = 12345u32;
    let mut next = move |n: u32| {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        (seed >> 16) % n
    };
    for _ in 0..3000 {
        let (a, b) = (next(13) as i64, next(7) as i64);
        let lookup = |s: &Symbol| Some(if s.name() == "a" { a } else { b });
        let (mut dim, mut value) = (symbol("a", 12), a);
        for _ in 0..6 {
            let (other, v) = match next(3) {
                0 => (symbol("b", 6), b),
                1 => (symbol("a", 12), a),
                _ => {
                    let c = next(9) as i64 + 1;
                    (Dim::from(c), c)
                }
            };
            (dim, value) = match next(7) {
                0 => (dim + other, value + v),
                1 => (dim - other, value - v),
                2 if value.abs() < 1 << 20 => (dim * other, value * v),
                3 => (dim.minimum(&other), value.min(v)),
                4 => (dim.maximum(&other), value.max(v)),
                5 => {
                    let d = next(8) as i64 + 1;
                    (dim.floor_div(&d.into()), value.div_euclid(d))
                }
                _ => {
                    let d = next(8) as i64 + 1;
                    (dim.modulo(&d.into()), value.rem_euclid(d))
                }
            };
            assert_eq!(dim.evaluate(&lookup), Some(value), "{dim} with a = {a}, b = {b}");
            let (low, high) = dim.bounds();
            assert!(low <= value && value <= high, "{dim}: {value} outside {low}..={high}");
        }
    }
}

/// A dim together with how it was built, to compute its value independently.
#[derive(Clone, Debug)]
enum Expression {
    Constant(i64),
    Symbol(usize),
    Binary(Operation, Box<(Expression, Expression)>),
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Add,
    Sub,
    Mul,
    Min,
    Max,
    FloorDiv,
    Mod,
}

/// Symbols with bounds of either sign; the last two are divisors.
const SYMBOLS: [(&str, i64, i64); 5] = [("a", 0, 7), ("b", -5, 3), ("c", 1, 32), ("d", 1, 6), ("e", 4, 8)];

fn nth(index: usize) -> Symbol {
    let (name, lower, upper) = SYMBOLS[index];
    Symbol::new(name, lower, upper)
}

impl Expression {
    fn dim(&self) -> Dim {
        match self {
            Expression::Constant(value) => Dim::from(*value),
            Expression::Symbol(index) => Dim::from(nth(*index)),
            Expression::Binary(operation, operands) => {
                let (x, y) = (operands.0.dim(), operands.1.dim());
                match operation {
                    Operation::Add => x + y,
                    Operation::Sub => x - y,
                    Operation::Mul => x * y,
                    Operation::Min => x.minimum(&y),
                    Operation::Max => x.maximum(&y),
                    Operation::FloorDiv => x.floor_div(&y),
                    Operation::Mod => x.modulo(&y),
                }
            }
        }
    }

    fn value(&self, symbols: &[i64]) -> i128 {
        match self {
            Expression::Constant(value) => i128::from(*value),
            Expression::Symbol(index) => i128::from(symbols[*index]),
            Expression::Binary(operation, operands) => {
                let (x, y) = (operands.0.value(symbols), operands.1.value(symbols));
                match operation {
                    Operation::Add => x + y,
                    Operation::Sub => x - y,
                    Operation::Mul => x * y,
                    Operation::Min => x.min(y),
                    Operation::Max => x.max(y),
                    Operation::FloorDiv => x.div_euclid(y),
                    Operation::Mod => x.rem_euclid(y),
                }
            }
        }
    }
}

fn expressions() -> impl Strategy<Value = Expression> {
    let leaf =
        prop_oneof![(-9i64..20).prop_map(Expression::Constant), (0usize..5).prop_map(Expression::Symbol),];
    leaf.prop_recursive(5, 24, 2, |inner| {
        use Operation::*;
        let any = prop_oneof![Just(Add), Just(Sub), Just(Mul), Just(Min), Just(Max)];
        // Divisors are at least 1: a positive constant, a positive symbol, or their product.
        let constant = prop_oneof![Just(2i64), Just(4), Just(8), 1i64..17].prop_map(Expression::Constant);
        let symbol = (2usize..5).prop_map(Expression::Symbol);
        let scaled =
            (constant.clone(), symbol.clone()).prop_map(|pair| Expression::Binary(Mul, Box::new(pair)));
        let divisor = prop_oneof![3 => constant, 1 => symbol, 1 => scaled];
        prop_oneof![
            (any, inner.clone(), inner.clone()).prop_map(|(o, x, y)| Expression::Binary(o, Box::new((x, y)))),
            (prop_oneof![Just(FloorDiv), Just(Mod)], inner, divisor)
                .prop_map(|(o, x, y)| Expression::Binary(o, Box::new((x, y)))),
        ]
    })
}

fn assignments() -> impl Strategy<Value = Vec<i64>> {
    SYMBOLS.iter().map(|(_, lower, upper)| *lower..=*upper).collect::<Vec<_>>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn normal_forms_keep_the_value(expression in expressions(), symbols in assignments()) {
        let expected = expression.value(&symbols);
        prop_assume!(expected.abs() < 1 << 60);
        let dim = expression.dim();
        let lookup = |s: &Symbol| SYMBOLS.iter().position(|(name, ..)| *name == s.name()).map(|i| symbols[i]);
        let value = dim.evaluate(&lookup);
        // Intermediate products may leave `i64` where the result does not.
        prop_assume!(value.is_some());
        prop_assert_eq!(value.map(i128::from), Some(expected), "{}", dim);
        let (low, high) = dim.bounds();
        prop_assert!(i128::from(low) <= expected && expected <= i128::from(high), "{dim} in {low}..={high}");

        // Binding the symbols gives the constant; binding some and then the rest, too.
        let bound = dim.substitute(&|s| lookup(s).map(Dim::from));
        prop_assert_eq!(bound.as_const().map(i128::from), Some(expected), "{}", dim);
        let partly = dim.substitute(&|s| lookup(s).filter(|_| s.name() < "c").map(Dim::from));
        prop_assert_eq!(partly.evaluate(&lookup).map(i128::from), Some(expected), "{} of {}", partly, dim);
    }

    #[test]
    fn normal_forms_survive_serde(expression in expressions()) {
        let dim = expression.dim();
        prop_assume!(!dim.has_more_atoms_than(1024));
        let text = serde_json::to_string(&dim).unwrap();
        let again: Dim = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(again, dim, "{}", text);
    }

    #[test]
    fn polynomials_are_equal_where_they_agree(
        x in prop::collection::vec((0usize..5, 0usize..5, -3i64..4), 0..4),
        y in prop::collection::vec((0usize..5, 0usize..5, -3i64..4), 0..4),
        z in prop::collection::vec((0usize..5, 0usize..5, -3i64..4), 0..4),
    ) {
        let polynomial = |terms: &[(usize, usize, i64)]| {
            let terms = terms.iter().map(|(i, j, c)| Dim::from(nth(*i)) * Dim::from(nth(*j)) * *c);
            terms.fold(Dim::ONE, |sum, term| sum + term)
        };
        let (x, y, z) = (polynomial(&x), polynomial(&y), polynomial(&z));
        prop_assert_eq!(&x + &y, &y + &x);
        prop_assert_eq!(&x * &y, &y * &x);
        prop_assert_eq!((&x + &y) + &z, &x + (&y + &z));
        prop_assert_eq!((&x * &y) * &z, &x * (&y * &z));
        prop_assert_eq!((&x + &y) * &z, &x * &z + &y * &z);
        prop_assert_eq!(&x - &x, Dim::ZERO);
        prop_assert_eq!(x.minimum(&y) , y.minimum(&x));
        prop_assert_eq!(x.maximum(&y) , y.maximum(&x));
    }
}

#[test]
fn damaged_dims_are_refused_or_normalised() {
    let read = |text: &str| serde_json::from_str::<Dim>(text).map_err(|error| error.to_string());
    let n = r#"{"symbol": {"name": "N", "lower": 1, "upper": 32}}"#;
    let term = |c: i64, factors: &str| format!(r#"{{"coefficient": {c}, "factors": [{factors}]}}"#);
    let sum = |terms: &str| format!(r#"{{"constant": 1, "terms": [{terms}]}}"#);
    let twice = sum(&format!("{}, {}, {}", term(3, n), term(0, n), term(-1, n)));
    let symbol = Dim::from(Symbol::new("N", 1, 32));
    assert_eq!(read(&twice), Ok(&symbol * 2 + 1));
    assert_eq!(read(&sum(&term(4, ""))), Ok(Dim::from(5)));
    let divided = |by: &str| sum(&term(1, &format!(r#"{{"floor_div": [{}, {by}]}}"#, sum(&term(8, n)))));
    assert_eq!(read(&divided("8")), Ok(&symbol + 1));
    assert!(read(&divided("0")).unwrap_err().contains("a divisor must be positive"));
    assert!(read(&n.replace("\"lower\": 1", "\"lower\": 99")).is_err());
    let reversed = sum(&term(1, &n.replace("\"lower\": 1", "\"lower\": 99")));
    assert!(read(&reversed).unwrap_err().contains("the bounds of the symbol `N` are reversed"));
    assert!(read("1.5").is_err());
    assert!(read(r#"{"constant": 1}"#).is_err());
    // A product of sums that would have 4²⁰ terms.
    let sums: Vec<String> = (0..20)
        .map(|factor| {
            let symbols = (0..4).map(|k| term(1, &n.replace("\"N\"", &format!("\"s{factor}_{k}\""))));
            let inner = sum(&symbols.collect::<Vec<_>>().join(", "));
            format!(r#"{{"min": [{inner}, {inner}]}}"#)
        })
        .collect();
    assert!(read(&sum(&term(1, &sums.join(", ")))).unwrap_err().contains("too many terms"));
}

#[test]
fn extreme_coefficients_do_not_overflow() {
    let n = Dim::from(Symbol::new("N", 1, 32));
    let least = &n * i64::MIN;
    for divisor in [-1, 1, 2, i64::MAX] {
        let _ = least.floor_div(&(&n * divisor));
        let _ = least.modulo(&(&n * divisor));
    }
    for divisor in [1, 2, i64::MAX] {
        let _ = (&least + i64::MIN).floor_div(&Dim::from(divisor));
        let _ = (&least + i64::MAX).modulo(&Dim::from(divisor));
        let _ = (&least * &least).ceil_div(&Dim::from(divisor)).bounds();
    }
}
