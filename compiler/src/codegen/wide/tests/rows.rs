//! Every row of the table in every encoding, with registers from all over the files, memory, broadcasts and masks: GNU `objdump` reads the bytes as the instruction
//! that was meant. Where there is no such program, the test is skipped.

use crate::codegen::wide::assemble::{self, Place};
use crate::codegen::wide::inst::{Code, Cond, File, Op, Width, file};
use crate::codegen::wide::vcode::{Amode, Arg, Base, Inst, Kind};
use iced_x86::{Encoder, Formatter, Instruction, IntelFormatter};
use regalloc2::{Allocation, PReg, RegClass};
use smallvec::SmallVec;
use std::process::Command;

/// Letters of operands that are registers or memory.
const OR_MEMORY: &[u8] = b"ABCOab";

const CONDITIONS: [Cond; 12] = [
    Cond::Below,
    Cond::NotBelow,
    Cond::Equal,
    Cond::NotEqual,
    Cond::NotAbove,
    Cond::Above,
    Cond::Parity,
    Cond::NotParity,
    Cond::Less,
    Cond::NotLess,
    Cond::NotGreater,
    Cond::Greater,
];

/// How the operands of an instruction are chosen.
#[derive(Clone, Copy)]
struct Choice {
    /// The first register of each file; the others follow at some distance.
    first: usize,
    /// Whether vector registers reach beyond the 16 that VEX has.
    evex: bool,
    memory: bool,
    broadcast: bool,
    /// Whether there is a mask, and whether it clears the other lanes.
    mask: Option<bool>,
    immediate: i64,
}

/// Instructions with the text that the encoder's library has for them.
#[derive(Default)]
struct Listing {
    bytes: Vec<u8>,
    lines: Vec<(usize, String)>,
}

impl Listing {
    fn add(&mut self, instruction: &Instruction) {
        let mut encoder = Encoder::new(64);
        let place = self.bytes.len();
        let encoded = encoder.encode(instruction, place as u64);
        encoded.unwrap_or_else(|error| panic!("{:?}: {error}", instruction.code()));
        self.bytes.extend(encoder.take_buffer());
        let mut text = String::new();
        IntelFormatter::new().format(instruction, &mut text);
        self.lines.push((place, text));
    }
}

/// The n-th register of a class; stack and frame pointer are never allocated.
fn allocation(class: RegClass, n: usize, choice: Choice) -> Allocation {
    let general = [0, 3, 6, 7, 8, 12, 13, 1, 2, 9, 15, 10, 11, 14];
    let number = match class {
        RegClass::Int => general[(choice.first + 3 * n) % general.len()],
        RegClass::Float if choice.evex => (choice.first * 5 + 7 * n) % 32,
        RegClass::Float => (choice.first * 5 + 7 * n) % 16,
        RegClass::Vector => 1 + (choice.first + n) % 7,
    };
    Allocation::reg(PReg::new(number, class))
}

fn one(kind: Kind, form: &str, width: Width, code: Code, choice: Choice) -> Instruction {
    let mut allocations: SmallVec<[Allocation; 8]> = SmallVec::new();
    let mut args = SmallVec::new();
    for letter in form.bytes().filter(|letter| *letter != b'F') {
        let mut register = |class| {
            allocations.push(allocation(class, allocations.len(), choice));
            (allocations.len() - 1) as u8
        };
        let in_memory = letter == b'M' || (choice.memory && OR_MEMORY.contains(&letter));
        args.push(match file(if matches!(letter, b'D' | b'E') { b'N' } else { letter }, width) {
            File::Immediate => Arg::Imm(choice.immediate),
            _ if in_memory => {
                let base = Base::Reg(register(RegClass::Int));
                let index = (choice.first % 2 == 1).then(|| (register(RegClass::Int), 4));
                let disp = [0, 64, 0x1234, 5][choice.first % 4];
                Arg::Mem(Amode { base, index, disp })
            }
            File::Vector(_) => Arg::Reg(register(RegClass::Float)),
            File::Mask => Arg::Reg(register(RegClass::Vector)),
            File::General(_) => Arg::Reg(register(RegClass::Int)),
            File::Memory => unreachable!("it is in memory"),
        });
    }
    let mask = choice.mask.map(|zero| {
        allocations.push(allocation(RegClass::Vector, allocations.len(), choice));
        ((allocations.len() - 1) as u8, zero)
    });
    let operands = SmallVec::new();
    let inst = Inst { kind, width, args, operands, mask, broadcast: choice.broadcast };
    assemble::instruction(&inst, &allocations, code, form, Place { here: 0, own: 0 }).unwrap()
}

fn every_row() -> Listing {
    let mut listing = Listing::default();
    for op in Op::ALL {
        let row = op.row();
        let widths = [Width::X, Width::Y, Width::X, Width::Y, Width::Z];
        for (n, (code, width)) in row.codes.iter().zip(widths).enumerate() {
            if *code == Code::INVALID {
                continue;
            }
            let immediate = if *op == Op::IntImm64 { 0x1122_3344_5566_7788 } else { 1 };
            let plain =
                Choice { first: 0, evex: n >= 2, memory: false, broadcast: false, mask: None, immediate };
            let add = |choice| listing.add(&one(Kind::Op(*op), row.form, width, *code, choice));
            choices(plain, row.form, row.element > 0, &format!("{code:?}")).into_iter().for_each(add);
        }
    }
    for cond in CONDITIONS {
        let choice =
            Choice { first: 3, evex: false, memory: false, broadcast: false, mask: None, immediate: 0 };
        for first in 0..14 {
            let choice = Choice { first, ..choice };
            listing.add(&one(Kind::Set(cond), "h", Width::W32, cond.set(), choice));
            listing.add(&one(Kind::Select(cond), "tO", Width::W64, cond.select(), choice));
        }
    }
    listing
}

/// What a row's encoding allows; the encoder's name of it says what masks there are.
fn choices(plain: Choice, form: &str, broadcasts: bool, name: &str) -> Vec<Choice> {
    let mut choices: Vec<Choice> = (0..5).map(|first| Choice { first, ..plain }).collect();
    let takes_memory = form.bytes().any(|letter| OR_MEMORY.contains(&letter));
    if takes_memory {
        choices.extend((0..5).map(|first| Choice { first, memory: true, ..plain }));
    }
    if takes_memory && broadcasts && plain.evex {
        choices.extend((0..5).map(|first| Choice { first, memory: true, broadcast: true, ..plain }));
    }
    let mut masks = Vec::new();
    if name.contains("_k1") {
        masks.push(false);
    }
    // Memory is never cleared.
    if name.contains("_k1z") && !form.starts_with('M') {
        masks.push(true);
    }
    let with_masks = masks.into_iter().flat_map(|zero| {
        choices.clone().into_iter().map(move |choice| Choice { mask: Some(zero), ..choice })
    });
    let with_masks: Vec<Choice> = with_masks.collect();
    choices.extend(with_masks);
    if form.contains('I') && plain.immediate == 1 {
        choices.push(Choice { immediate: 0x1f, ..plain });
        if form.starts_with('t') || form.starts_with('N') || form.starts_with('n') {
            choices.push(Choice { immediate: if name.ends_with("imm8") { 63 } else { 0x12345 }, ..plain });
        }
    }
    choices
}

/// What `objdump` reads: place and text of each instruction; `None` where there is no such program.
fn objdump(bytes: &[u8]) -> Option<Vec<(usize, String)>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let arguments = ["-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--no-show-raw-insn"];
    let output = Command::new("objdump").args(arguments).arg(file.path()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let lines = text.lines().filter_map(|line| {
        let (place, rest) = line.trim_start().split_once(":\t")?;
        Some((usize::from_str_radix(place, 16).ok()?, rest.trim().to_string()))
    });
    Some(lines.collect())
}

/// Sizes of memory operands.
const SIZES: [&str; 7] = ["byte", "word", "dword", "qword", "xmmword", "ymmword", "zmmword"];

/// Mnemonic, registers, sizes and numbers in order, and whether memory is broadcast. Programs differ in how they write hexadecimal numbers and broadcasts, and in whether
/// they write distances of 0.
fn words(text: &str) -> Vec<String> {
    let text = text.trim_start_matches("{evex} ").split('#').next().unwrap_or_default().to_lowercase();
    let mut words = Vec::new();
    let mut is_broadcast = false;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let number = match (word.strip_prefix("0x"), word.strip_suffix('h')) {
            (Some(digits), _) | (None, Some(digits)) => u64::from_str_radix(digits, 16).ok(),
            _ => word.parse().ok(),
        };
        match (word, number) {
            ("" | "ptr", _) | (_, Some(0)) => {}
            (_, Some(number)) => words.push(number.to_string()),
            ("movabs", _) => words.push("mov".into()),
            (word, _) if word == "bcst" || word.starts_with("1to") => is_broadcast = true,
            (word, _) => words.push(word.into()),
        }
    }
    if is_broadcast {
        words.retain(|word| !SIZES.contains(&word.as_str()));
        words.push("broadcast".into());
    }
    words
}

/// Whether both programs read the same. The first writes sizes only where nothing else says them.
fn is_same(ours: &str, theirs: &str) -> bool {
    let (ours, mut theirs) = (words(ours), words(theirs));
    let is_size = |word: &String| SIZES.contains(&word.as_str());
    if !ours.iter().any(is_size) {
        theirs.retain(|word| !is_size(word));
    }
    ours == theirs
}

#[test]
fn rows_are_read_as_they_are_meant() {
    let listing = every_row();
    let Some(decoded) = objdump(&listing.bytes) else {
        println!("skipped: there is no objdump");
        return;
    };
    let mut wrong = Vec::new();
    for (place, ours) in &listing.lines {
        match decoded.iter().find(|(at, _)| at == place) {
            Some((_, theirs)) if is_same(ours, theirs) => {}
            Some((_, theirs)) => wrong.push(format!("{ours} is read as {theirs}")),
            None => wrong.push(format!("{ours} is read as parts of others")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), listing.lines.len(), wrong.join("\n"));
}
