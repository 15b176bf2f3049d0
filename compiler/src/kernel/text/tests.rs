//! Printing and parsing.

use super::{parse, parse_with_spans};
use graven_ir::text::LineColumn;

const EVERYTHING: &str = r#"kernel @"all of it"(%x: read f32[64*N + 8], %"a b": write f32[64*M], %h: readwrite f16[128], %m: write bool[8], %t: scratch i64[floordiv(N, 2) + 1]) extents(N in 1..=32, "weird name" as v1 in -4..=4, "v7" as v2 in 0..=0) dims(M in 1..=8) {
  v7: f32x8 = constant -0.0
  v8: f32x8 = constant 1.5e-7
  v9: f32 = constant nan
  v10: f64 = constant nan(0x7ff8000000000001)
  v11: f64 = constant -inf
  v12: u64 = constant -1
  v13: mask32x8 = constant 1
  v14: i64 = constant 3
  v15 = add v1, 3
  v16: mask32x8 = tail_mask N
  v17: i32x8 = lane_ids
  parallel for i18 in 0..N {
    v19 = mul i18, 64
    v20: f32x8 = load %x[v19 - 8]
    v21: f32x8 = load %x[v19 + 8] stride -3 where v16
    v22: f32x8 = load %x[3 + 0] gather v17
    v23: f32x8 = load %x[0] broadcast
    v24 = fma v20, v21, v22
    v25 = neg v24
    v26 = max v25, v7
    v27 = lt v26, v8
    v28 = select v27, v26, v23
    v29: i32x8 = convert v28
    v30: u32x8 = bitcast v29
    v31: i32x8 = bitcast v30
    v32 = shuffle v31, v17 [0, 9, 2, 11, 4, 13, 6, 15]
    v33 = reduce add v32
    v34 = extract v32[7]
    v35 = insert v32[0], v34
    v36: i32x8 = splat v33
    v37 = any v27
    v38 = not v27
    check v37 else -7
    prefetch %x[v19 + 512]
    store v38, %m[0]
    v50, v51 = for i39 in v19..N step 16 carry v40 = v28, v41 = v36 {
      v42 = add v40, v8
      v46, v47 = if v37 {
        v43 = mul v42, v8
        yield v43, v41
      } else {
        yield v42, v41
      }
      if v37 {
        v48: f16 = load %h[i39]
        store v48, %h[i39]
      }
      yield v46, v47
    }
    store v50, %"a b"[v19] stride 2 where v27
  }
}
"#;

#[test]
fn everything_round_trips() {
    let kernel = parse(EVERYTHING).unwrap_or_else(|errors| panic!("{errors}"));
    let printed = kernel.to_string();
    let again = parse(&printed).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again, kernel);
    assert_eq!(again.to_string(), printed);
}

/// Each text with the place and a part of its first error.
#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("", "1:1", "`kernel`"),
        ("kernel @k() { v0 = add v1, v2 }", "1:24", "no value `v1`"),
        ("kernel @k(%x: read f99[4]) {}", "1:20", "element type"),
        ("kernel @k(%x: read f32[N]) {}", "1:24", "`N`"),
        ("kernel @k(%x: read f32[4], %x: read f32[4]) {}", "1:28", "defined twice"),
        ("kernel @k() {\n  v0 = constant 5\n}", "2:3", "needs a type"),
        ("kernel @k() {\n  v0: f32x0 = constant 5\n}", "2:7", "no type `f32x0`"),
        ("kernel @k() {\n  v0: f32 = constant 5.5\n  v1 = fma v0, v0, 3\n}", "3:8", "three f32 or f64"),
        ("kernel @k() {\n  v0: i32 = constant 5.5\n}", "2:22", "integer"),
        ("kernel @k() {\n  v0 = frobnicate 3\n}", "2:8", "no operation `frobnicate`"),
        ("kernel @k() {\n  store 3, %y[0]\n}", "2:12", "no buffer `%y`"),
        ("kernel @k() {\n  for i0 in 0..4 {\n", "3:1", "`}`"),
        ("kernel @k() {\n  for i0 in 0..4 { v1 = add i0, 1 }\n  v2 = add v1, 1\n}", "3:12", "no value `v1`"),
        ("kernel @k() {\n  v1 = for i0 in 0..4 { }\n}", "2:8", "results of the loop"),
        (
            "kernel @k() {\n  v0: mask = constant 1\n  v1 = if v0 { yield 3 } else { yield 4 }\n  v1 = add v1, v1\n}",
            "4:3",
            "defined twice",
        ),
        ("kernel @k() {\n  store = add 1, 2\n}", "2:9", "a value"),
        ("kernel @k() {\n  v0 = add 99999999999999999999, 1\n}", "2:12", "64-bit"),
        ("kernel @k() extents(N in 4..=3) {}", "1:26", "no value"),
        ("kernel @k() {} kernel", "1:16", "end of the text"),
        ("kernel @k(%x: read f32[4]) {\n  v0: f32 = load %x[0\n}", "2:22", "]"),
    ];
    for (text, place, message) in cases {
        let errors = parse(text).expect_err(text).0;
        let first = &errors[0];
        let found = LineColumn::of(text, first.span.start as usize).to_string();
        assert_eq!(found, place, "{text}\n{first}");
        assert!(first.to_string().contains(message), "{text}\n{first}");
    }
}

#[test]
fn a_failed_definition_is_reported_once() {
    let text = "kernel @k() {\n  v0 = nonsense 1\n  v1 = add v0, 1\n  v2 = add v1, nothing\n}";
    let errors = parse(text).unwrap_err().0;
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn deep_nesting_is_an_error() {
    let depth = 100_000;
    let text = format!("kernel @k() {{{}", "for i in 0..4 {".repeat(depth));
    assert!(parse(&text).unwrap_err().to_string().contains("nested too deeply"));
}

#[test]
fn damaged_texts_never_panic() {
    // Cut at every place, and every token replaced by another one.
    for end in 0..EVERYTHING.len() {
        if EVERYTHING.is_char_boundary(end) {
            let _ = parse(&EVERYTHING[..end]);
        }
    }
    let words: Vec<&str> = EVERYTHING.split_inclusive([' ', '\n', ',', '(', '[']).collect();
    for place in 0..words.len() {
        for other in
            ["}", "v40", "-", "0x", "for ", "f32x8 ", "%x", "@", "..", "\"", "9223372036854775808 ", "mask "]
        {
            let mut damaged = words.clone();
            damaged[place] = other;
            let _ = parse(&damaged.concat());
        }
    }
}

#[test]
fn statements_have_places() {
    let text =
        "kernel @a() {\n}\nkernel @b(%y: write i64[8]) {\n  for i0 in 0..8 {\n    store 5, %y[i0]\n  }\n}\n";
    let kernels = parse_with_spans(text).unwrap();
    assert_eq!(kernels.len(), 2);
    let kernel = &kernels[1];
    // Three constants come first.
    let path = crate::kernel::verify::Path(
        [crate::kernel::PathStep::Stmt(3), crate::kernel::PathStep::Body, crate::kernel::PathStep::Stmt(0)]
            .into_iter()
            .collect(),
    );
    assert_eq!(LineColumn::of(text, kernel.span(&path).start as usize).to_string(), "5:5");
    assert!(path.find(&kernel.kernel).is_some());
}
