//! Checks every row of the op table with its cases.

use super::cases::{
    COMPOSITE, CONTRACTION, CONTROL, CONVOLUTIONS, Case, ELEMENTWISE, INDEXING, MOVEMENT, REDUCTION, UNARY,
    WINDOWS, WITHOUT_GRADIENT,
};
use super::difference::check;
use graven_ir::Op;

fn names(results: &str) -> String {
    let names =
        results.split(", ").filter_map(|result| result.split_once(':').map(|(name, _)| format!("%{name}")));
    names.collect::<Vec<_>>().join(", ")
}

fn check_all(cases: &[Case]) {
    for (op, params, body, results) in cases {
        // `slice` of nothing has its result under another name.
        let returned = if body.contains("%z") { names(results) } else { "%2".into() };
        let dims = if body.contains("symbol = N") { "dim N in 0..=4\n" } else { "" };
        let text = format!("{dims}func @main({params}) -> ({results}) {{\n{body}\nreturn {returned}\n}}");
        check(&format!("{op}: {body}"), &text, 0.3, 1.7);
    }
}

fn convolution_cases() -> impl Iterator<Item = String> {
    CONVOLUTIONS.iter().map(|(x, kernel, attributes, result)| {
        format!(
            "func @main(%x: f64[{x}], %w: f64[{kernel}]) -> (y: f64[{result}]) {{\n%y = conv %x, %w {{dimensions = {attributes}}}\nreturn %y\n}}"
        )
    })
}

#[test]
fn unary_functions() {
    for (op, low, high) in UNARY {
        let text = format!("func @main(%x: f64[5]) -> (y: f64[5]) {{\n%y = {op} %x\nreturn %y\n}}");
        check(op, &text, *low, *high);
    }
}

#[test]
fn elementwise_ops() {
    check_all(ELEMENTWISE);
}

#[test]
fn movement_ops() {
    check_all(MOVEMENT);
}

#[test]
fn indexing_ops() {
    check_all(INDEXING);
}

#[test]
fn reductions() {
    check_all(REDUCTION);
}

#[test]
fn contractions() {
    check_all(CONTRACTION);
}

#[test]
fn convolutions() {
    for text in convolution_cases() {
        check(&text, &text, -1.0, 1.0);
    }
}

#[test]
fn windows() {
    for (attributes, result) in WINDOWS {
        for combine in ["sum", "max", "min", "product"] {
            let text = format!(
                "func @main(%x: f64[5, 6]) -> (y: f64[{result}]) {{\n%1 = reduce_window %x {{combine = {combine}, {attributes}}}\n%y = sin %1\nreturn %y\n}}"
            );
            check(&text, &text, 0.3, 1.7);
        }
    }
}

#[test]
fn control_flow() {
    check_all(CONTROL);
}

#[test]
fn composites() {
    check_all(COMPOSITE);
}

#[test]
fn every_row_has_a_case_or_no_gradient() {
    let tables = [ELEMENTWISE, MOVEMENT, INDEXING, REDUCTION, CONTRACTION, CONTROL, COMPOSITE];
    let mut covered: Vec<&str> = tables.iter().copied().flatten().map(|case| case.0).collect();
    covered.extend(UNARY.iter().map(|case| case.0));
    covered.extend(["conv", "reduce_window"]);
    for name in Op::names() {
        let listed = WITHOUT_GRADIENT.contains(&name);
        assert!(
            covered.contains(&name) != listed,
            "`{name}` needs a case, or a place in the list of ops without gradient"
        );
    }
}
