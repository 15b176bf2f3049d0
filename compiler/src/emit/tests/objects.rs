//! What is in an object, read by the `object` crate.

use crate::codegen::cranelift::CraneliftCompiler;
use crate::emit::object::{ObjectError, ObjectFacts, ObjectOptions, WeightsPlacement, write_object};
use crate::emit::samples::{affine, checked};
use crate::program::Program;
use crate::target::Target;
use cranelift_object::object::read::{File, Object, ObjectSection, ObjectSymbol};
use cranelift_object::object::{BinaryFormat, SectionKind};
use graven_runtime::abi;
use std::mem::{offset_of, size_of};

const TARGETS: &[(&str, Option<&str>)] = &[
    ("x86_64-unknown-linux-gnu", Some("x86-64-v1")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v2")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v3")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v4")),
    ("x86_64-apple-darwin", None),
    ("x86_64-pc-windows-msvc", None),
    ("aarch64-unknown-linux-gnu", None),
    ("aarch64-apple-darwin", Some("apple-m1")),
    ("riscv64gc-unknown-linux-gnu", None),
    ("s390x-unknown-linux-gnu", None),
];

fn write(
    program: &Program,
    target: &Target,
    options: ObjectOptions,
) -> Result<(Vec<u8>, ObjectFacts), ObjectError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.o");
    let compiler = CraneliftCompiler::new(target).unwrap();
    let facts = write_object(program, target, &compiler, options, &path)?;
    Ok((std::fs::read(&path).unwrap(), facts))
}

/// Names of symbols without Mach-O's underscore.
fn names(file: &File<'_>, which: impl Fn(&cranelift_object::object::Symbol<'_, '_>) -> bool) -> Vec<String> {
    let plain = |name: &str| match file.format() {
        BinaryFormat::MachO => name.trim_start_matches('_').to_string(),
        _ => name.to_string(),
    };
    let mut names: Vec<String> =
        file.symbols().filter(which).map(|symbol| plain(symbol.name().unwrap())).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names
}

#[test]
fn objects_define_what_they_promise_and_need_nothing() {
    for (triple, cpu) in TARGETS {
        let target = Target::new(triple, *cpu).unwrap();
        let (bytes, facts) = write(&affine(1 << 40), &target, ObjectOptions::default()).unwrap();
        let file = File::parse(&*bytes).unwrap();
        assert_eq!(names(&file, |symbol| symbol.is_undefined()), [""; 0], "{triple}");
        let exported = names(&file, |symbol| symbol.is_global() && symbol.is_definition());
        assert_eq!(
            exported,
            ["affine_check_cpu", "affine_extents", "affine_model", "affine_run"],
            "{triple}"
        );
        for section in file.sections() {
            let writable = matches!(
                section.kind(),
                SectionKind::Data
                    | SectionKind::UninitializedData
                    | SectionKind::Tls
                    | SectionKind::UninitializedTls
            );
            // Constant data with pointers, which are filled in when it is loaded.
            let relocated = section.name() == Ok(".data.rel.ro")
                || section.segment_name().ok().flatten().is_some_and(|name| name == "__DATA_CONST");
            assert!(!writable || section.size() == 0 || relocated, "{triple}: {:?}", section.name());
        }
        assert_eq!(facts.prefix, "affine");
        assert!(facts.code_bytes > 0);
    }
}

#[test]
fn embedded_weights_are_aligned_and_as_packed() {
    for (triple, cpu) in TARGETS {
        let target = Target::new(triple, *cpu).unwrap();
        let (bytes, facts) = write(&affine(0), &target, ObjectOptions::default()).unwrap();
        let file = File::parse(&*bytes).unwrap();
        let big = triple.starts_with("s390x");
        let scale =
            [1.0f32, 2.0, -1.0, 0.5].map(|x| if big { x.to_be_bytes() } else { x.to_le_bytes() }).concat();
        let mut packed = vec![0; 64];
        packed.extend(scale);
        let section = file.sections().find(|section| section.data() == Ok(&packed)).unwrap();
        assert_eq!(section.align(), 64, "{triple}");
        assert_eq!(facts.weights.hash, graven_runtime::weights::hash(&packed));
        assert!(facts.weights.embedded && facts.weights.bytes == 80);
    }
}

#[test]
fn only_main_refers_to_the_runtime() {
    for (triple, cpu) in TARGETS {
        let target = Target::new(triple, *cpu).unwrap();
        let options = ObjectOptions { main: true, ..ObjectOptions::default() };
        let (bytes, _) = write(&checked(), &target, options).unwrap();
        let file = File::parse(&*bytes).unwrap();
        assert_eq!(names(&file, |symbol| symbol.is_undefined()), ["graven_main"], "{triple}");
        assert!(
            names(&file, |symbol| symbol.is_global() && symbol.is_definition()).contains(&"main".to_string())
        );
    }
}

/// The bytes of a symbol in an ELF object.
fn symbol_bytes<'d>(file: &File<'d>, name: &str, length: usize) -> &'d [u8] {
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
    let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
    let start = (symbol.address() - section.address()) as usize;
    &section.data().unwrap()[start..start + length]
}

#[test]
fn the_descriptor_states_sizes_in_the_targets_byte_order() {
    for (triple, big) in [("x86_64-unknown-linux-gnu", false), ("s390x-unknown-linux-gnu", true)] {
        let target = Target::new(triple, None).unwrap();
        let (bytes, _) = write(&affine(0), &target, ObjectOptions::default()).unwrap();
        let file = File::parse(&*bytes).unwrap();
        let model = symbol_bytes(&file, "affine_model", size_of::<abi::Model>());
        let number = |place: usize, length: usize| {
            let bytes = model[place..place + length].iter();
            let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            if big { bytes.fold(0, fold) } else { bytes.rev().fold(0, fold) }
        };
        assert_eq!(number(offset_of!(abi::Model, abi_version), 4), u64::from(abi::ABI_VERSION));
        assert_eq!(number(offset_of!(abi::Model, input_count), 4), 1);
        assert_eq!(number(offset_of!(abi::Model, output_count), 4), 2);
        assert_eq!(number(offset_of!(abi::Model, state_count), 4), 1);
        assert_eq!(number(offset_of!(abi::Model, symbol_count), 4), 1);
        assert_eq!(number(offset_of!(abi::Model, extent_count), 4), 1);
        assert_eq!(number(offset_of!(abi::Model, arena_bytes), 8), 2048);
        assert_eq!(number(offset_of!(abi::Model, state_bytes), 8), 64);
        assert_eq!(number(offset_of!(abi::Model, weights_bytes), 8), 80);
        let section = file.section_by_name(".data.rel.ro").unwrap();
        assert!(section.relocations().count() >= 9);
    }
}

#[test]
fn weights_in_a_file_are_not_in_the_object() {
    let target = Target::new("x86_64-unknown-linux-gnu", None).unwrap();
    let options = ObjectOptions { weights: WeightsPlacement::File, ..ObjectOptions::default() };
    let (bytes, facts) = write(&affine(0), &target, options).unwrap();
    let file = File::parse(&*bytes).unwrap();
    assert!(file.section_by_name(".rodata.weights").is_none());
    assert!(!facts.weights.embedded);
    assert_eq!(names(&file, |symbol| symbol.is_undefined()), [""; 0]);
}

#[test]
fn too_much_to_embed_is_refused() {
    let target = Target::new("x86_64-unknown-linux-gnu", None).unwrap();
    let program = Program { weights_bytes: 2_000_000_000, ..affine(0) };
    let error = write(&program, &target, ObjectOptions::default()).unwrap_err();
    assert!(error.to_string().contains("--weights file"), "{error}");
}
