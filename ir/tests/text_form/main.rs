//! The text form on random modules and on damaged texts.
//!
//! * `generate`: random modules
//! * `mutate`: damage

mod generate;
mod mutate;

use generate::{Choices, random_module};
use graven_ir::text::{LargeConstants, ParseOptions, PrintOptions, parse, parse_with, print_with};
use graven_ir::weights::{WeightsFile, write_weights};
use graven_ir::{Module, Tensor};
use proptest::prelude::*;

/// The text of a module, once it is known to round-trip.
fn round_trip(module: &Module) -> String {
    let text = module.to_string();
    let mut parsed = parse(&text).unwrap_or_else(|errors| {
        let places: Vec<String> = errors.0.iter().map(|error| error.located(&text).to_string()).collect();
        panic!("{}\n{text}", places.join("\n"))
    });
    assert_eq!(parsed.to_string(), text);
    let mut module = module.clone();
    module.compact();
    parsed.compact();
    assert_eq!(parsed, module, "{text}");
    text
}

fn choices() -> impl Strategy<Value = Choices> {
    proptest::collection::vec(any::<u32>(), 0..400).prop_map(Choices::new)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_modules_round_trip(mut choices in choices()) {
        round_trip(&random_module(&mut choices));
    }

    #[test]
    fn constants_in_a_file_round_trip(mut choices in choices()) {
        let mut module = random_module(&mut choices);
        let options = PrintOptions { large: LargeConstants::File("weights.safetensors"), large_elements: 2 };
        let printed = print_with(&module, &options);
        let tensors: Vec<(&str, &Tensor)> =
            printed.external.iter().map(|(key, id)| (key.as_str(), &module.constants[*id].tensor)).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write_weights(&path, &tensors).unwrap();
        let file = WeightsFile::parse(std::fs::read(&path).unwrap()).unwrap();
        let read = |name: &str, key: &str| {
            assert_eq!(name, "weights.safetensors");
            file.tensor(key).map_err(|error| error.to_string())
        };
        let options = ParseOptions { weights: Some(&read), ..ParseOptions::default() };
        let mut parsed = parse_with(&printed.text, &options).map_err(|errors| TestCaseError::fail(errors.to_string()))?.module;
        parsed.compact();
        module.compact();
        prop_assert_eq!(parsed, module);
    }

    #[test]
    fn damaged_texts_give_errors_or_modules(text in mutate::damaged_text()) {
        match parse(&text) {
            Ok(module) => drop(round_trip(&module)),
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                for error in &errors.0 {
                    prop_assert!(error.span.start <= error.span.end && error.span.end as usize <= text.len());
                    prop_assert!(!error.located(&text).to_string().is_empty());
                }
            }
        }
    }
}

/// The indented block after a line of the documentation.
fn documented(heading: &str) -> String {
    let text = include_str!("../../../docs/text-form.md");
    let (_, after) = text.split_once(heading).expect("the heading is there");
    let lines = after.lines().skip_while(|line| !line.starts_with("    "));
    let block = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let block: String = block.flat_map(|line| [line.strip_prefix("    ").unwrap_or(line), "\n"]).collect();
    block.trim_end().to_owned() + "\n"
}

#[test]
fn the_documented_example_is_canonical() {
    let text = documented("## An example");
    let read = |file: &str, key: &str| {
        assert_eq!((file, key), ("mnist.safetensors", "fc.weight"));
        let values: Vec<f32> = (0..7840).map(|index| index as f32).collect();
        Tensor::from_f32s(vec![10, 784], &values).map_err(|error| error.to_string())
    };
    let options = ParseOptions { weights: Some(&read), ..ParseOptions::default() };
    let module = parse_with(&text, &options).unwrap().module;
    let options =
        PrintOptions { large: LargeConstants::File("mnist.safetensors"), ..PrintOptions::default() };
    assert_eq!(print_with(&module, &options).text, text);
    let function = documented("a cache.");
    assert_eq!(round_trip(&parse(&function).unwrap()), function);
}

#[test]
fn deep_nesting_is_an_error() {
    const DEPTH: usize = 200_000;
    let function = |body: &str| format!("func @main(%x: f32[2]) -> (y: f32[2]) {{\n{body}");
    let region = "%1 = fuse %x {kind = pointwise} : f32[2] body (%x: f32[2]) {\n";
    let texts = [
        "(".repeat(DEPTH),
        "[".repeat(DEPTH),
        "{".repeat(DEPTH),
        "}".repeat(DEPTH),
        format!("dim N in {}", "-".repeat(DEPTH)),
        format!("dim N in {}", "min(1, ".repeat(DEPTH)),
        format!("constant @w : f32[{}", "(".repeat(DEPTH)),
        format!("constant @w : f32[1] = {}", "[".repeat(DEPTH)),
        function(&region.repeat(DEPTH / 10)),
        function(&format!("%1 = fuse %x {{kind = {}", "[".repeat(DEPTH))),
        function(&format!("%1 = fuse {}", "%x, ".repeat(DEPTH))),
        function(&"%1 = ".repeat(DEPTH)),
        function(&"return\n".repeat(DEPTH)),
    ];
    for text in texts {
        let errors = parse(&text).expect_err("the text is wrong");
        assert!(errors.0.len() <= 100);
    }
}

#[test]
fn long_texts_take_linear_time() {
    let mut text = String::from("func @main(%0 as x: f32[2]) -> (y: f32[2]) {\n");
    for number in 1..50_000 {
        text += &format!("  %{number} = neg %{} : f32[2]\n", number - 1);
    }
    text += "  return %49999\n}\n";
    assert_eq!(round_trip(&parse(&text).unwrap()), text);
}

#[test]
fn places_of_entities() {
    let text = "dim N in 1..=8\n\
                constant @w : f32[] = 0.5\n\
                func @main(%x: f32[N]) -> (y: f32[N]) {\n\
                \x20 %1 = fuse %x {kind = pointwise} : f32[N] body (%p: f32[N]) {\n\
                \x20   %q = neg %p : f32[N]\n\
                \x20   yield %q\n\
                \x20 }\n\
                \x20 return %1\n\
                }\n";
    let parsed = parse_with(text, &ParseOptions::default()).unwrap();
    let (module, map) = (&parsed.module, &parsed.source_map);
    let at = |span: graven_ir::text::Span| &text[span.start as usize..span.end as usize];
    assert_eq!(map.symbol(0).map(at), Some("N"));
    assert_eq!(at(map.constant(module.constants.keys().next().unwrap())), "@w");
    let (graph, spans) = (&module.functions[0].graph, map.function(0).unwrap());
    let (node, contents) = graph.nodes().next().unwrap();
    assert_eq!(at(spans.name), "@main");
    assert_eq!(at(spans.results), "return %1");
    assert_eq!(at(spans.value(graph.params()[0])), "%x");
    assert_eq!(at(spans.value(contents.results[0])), "%1");
    assert_eq!(at(spans.node(node).op), "fuse");
    assert_eq!(spans.node(node).operands.iter().map(|span| at(*span)).collect::<Vec<_>>(), ["%x"]);
    let region = spans.region(node, 0).unwrap();
    assert_eq!(at(region.name), "body");
    assert_eq!(at(region.results), "yield %q");
    let (inner, _) = contents.regions[0].nodes().next().unwrap();
    assert_eq!(at(region.node(inner).op), "neg");
}
