//! Loads and stores: every dtype of memory, spread and mask.

use super::harness::*;
use super::reference;
use crate::kernel::{Access, KernelBuilder, Spread, Type};
use crate::target::Target;
use graven_ir::{DType, Dim, element};

const ELEMENTS: usize = 64;

/// Elements of memory that every dtype holds exactly.
fn memory(dtype: DType) -> Vec<u8> {
    let (low, high) = dtype.int_range().unwrap_or((-100, 100));
    (0..ELEMENTS as i128)
        .flat_map(|i| element::encode_int(dtype, (i * 37 % 201 - 100).clamp(low, high)).to_vec())
        .collect()
}

/// The register dtypes that memory of a dtype can be loaded into in vectors, or only as scalars.
fn registers(memory: DType, lanes: u16) -> Vec<DType> {
    match (memory.bytes(), lanes) {
        (_, 1) => vec![memory, DType::I8, DType::U32, DType::F16, DType::F32, DType::F64],
        (4 | 8, _) => vec![memory],
        _ if memory.is_float() => vec![DType::F32],
        _ => vec![DType::I32, DType::U32, DType::F32],
    }
}

/// The ways in which lanes may lie, with the element of each lane relative to the address.
fn spreads(lanes: u16) -> Vec<(&'static str, Vec<usize>)> {
    let lanes = usize::from(lanes);
    vec![
        ("contiguous", (0..lanes).collect()),
        ("strided", (0..lanes).map(|lane| 3 * lane).collect()),
        ("backwards", (0..lanes).map(|lane| 40 - 2 * lane).collect()),
        ("gathered", (0..lanes).map(|lane| (lane * 7 + 3) % 41).collect()),
        ("broadcast", vec![0; lanes]),
    ]
}

/// The targets with the fewest and the most instructions of this machine, and what is emulated.
fn least_and_most() -> Vec<Target> {
    let host = Target::host().unwrap();
    let mut targets = runnable_targets();
    let native = targets.iter().filter(|target| target.arch == host.arch).count();
    targets.drain(1..native - 1);
    targets
}

struct Case {
    memory: DType,
    register: DType,
    lanes: u16,
    spread: &'static str,
    places: Vec<usize>,
    /// Which lanes are accessed; `None` without a mask.
    mask: Option<u32>,
}

impl Case {
    fn ty(&self) -> Type {
        Type::vector(self.register, self.lanes)
    }

    fn active(&self, lane: usize) -> bool {
        self.mask.is_none_or(|mask| mask >> lane & 1 != 0)
    }

    /// The spread and mask operands. The indices come from memory, as do the bits of the mask.
    fn operands(
        &self,
        builder: &mut KernelBuilder,
        indices: crate::kernel::BufferId,
        bits: crate::kernel::BufferId,
    ) -> (Spread, Option<crate::kernel::Val>) {
        let index_type =
            Type::vector(if self.register.bytes() == 8 { DType::I64 } else { DType::I32 }, self.lanes);
        let spread = match self.spread {
            "contiguous" => Spread::Contiguous,
            "strided" => Spread::Strided(3),
            "backwards" => Spread::Strided(-2),
            "broadcast" => Spread::Broadcast,
            _ => Spread::Gathered(match index_type.dtype() {
                Some(DType::I64) => builder.load(
                    indices,
                    &Dim::ZERO,
                    Type::vector(DType::I64, self.lanes),
                    Spread::Contiguous,
                    None,
                ),
                _ => {
                    let wide = builder.load(
                        indices,
                        &Dim::ZERO,
                        Type::vector(DType::I64, self.lanes),
                        Spread::Contiguous,
                        None,
                    );
                    builder.convert(wide, DType::I32)
                }
            }),
        };
        let mask = self.mask.map(|_| {
            let set = builder.load(
                bits,
                &Dim::ZERO,
                Type::vector(DType::I64, self.lanes),
                Spread::Contiguous,
                None,
            );
            let zero = builder.int(0, builder.ty(set));
            let mask = builder.compare(crate::kernel::Compare::Ne, set, zero);
            builder.convert_mask(mask, self.ty())
        });
        (spread, mask)
    }

    fn address(&self) -> i64 {
        if self.spread == "backwards" { 40 } else { 0 }
    }

    /// The bytes of the index and mask buffers.
    fn operand_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let words = |values: Vec<i64>| values.into_iter().flat_map(i64::to_le_bytes).collect();
        let indices = self.places.iter().enumerate().map(|(lane, place)| match self.active(lane) {
            true => *place as i64,
            // An address that can't be accessed.
            false => i64::MAX / 16,
        });
        let bits = (0..usize::from(self.lanes)).map(|lane| i64::from(self.active(lane)));
        (words(indices.collect()), words(bits.collect()))
    }
}

/// Calls `each` for every case; scalars with scalar masks among them.
fn for_each_case(memory: DType, each: impl Fn(&Case)) {
    for lanes in [1u16, 2, 4, 8] {
        for register in registers(memory, lanes) {
            for (spread, places) in spreads(lanes) {
                let all = (1u32 << lanes) - 1;
                for mask in [None, Some(all), Some(0b0101_0110 & all)] {
                    each(&Case { memory, register, lanes, spread, places: places.clone(), mask });
                }
            }
        }
    }
}

#[test]
fn loads() {
    for target in least_and_most() {
        for dtype in DType::ALL {
            for_each_case(*dtype, |case| check_load(case, &target));
        }
    }
}

fn check_load(case: &Case, target: &crate::target::Target) {
    let mut builder = KernelBuilder::new("load");
    let source = builder.buffer("x", case.memory, ELEMENTS as i64, Access::Read);
    let indices = builder.buffer("i", DType::I64, i64::from(case.lanes), Access::Read);
    let bits = builder.buffer("m", DType::I64, i64::from(case.lanes), Access::Read);
    let result = builder.buffer("z", case.register, i64::from(case.lanes), Access::Write);
    let (spread, mask) = case.operands(&mut builder, indices, bits);
    let value = builder.load(source, &Dim::from(case.address()), case.ty(), spread, mask);
    if case.register.bytes() >= 4 || case.lanes == 1 {
        builder.store(value, result, &Dim::ZERO, Spread::Contiguous, None);
    }
    let x = memory(case.memory);
    let (index_bytes, bit_bytes) = case.operand_bytes();
    let zeros = vec![0; usize::from(case.lanes) * case.register.bytes()];
    let (results, _) = run(&builder.finish(), target, &[&x, &index_bytes, &bit_bytes, &zeros], &[]);
    let expected: Vec<u8> = case
        .places
        .iter()
        .enumerate()
        .flat_map(|(lane, place)| {
            // A broadcast reads its element if any lane wants it; lanes that the mask clears are 0 all the same.
            match case.active(lane) {
                true => reference::convert(
                    case.memory,
                    case.register,
                    &x[place * case.memory.bytes()..][..case.memory.bytes()],
                ),
                false => vec![0; case.register.bytes()],
            }
        })
        .collect();
    let what = format!(
        "{} load of {} as {}x{} with mask {:?} on {}",
        case.spread, case.memory, case.register, case.lanes, case.mask, target.cpu
    );
    assert_elements(case.register, &results[3], &expected, &what);
}

#[test]
fn stores() {
    // Only masks are stored as bool.
    let dtypes = DType::ALL.iter().filter(|dtype| **dtype != DType::Bool);
    for target in least_and_most() {
        for dtype in dtypes.clone() {
            for_each_case(*dtype, |case| {
                if case.spread != "broadcast" {
                    check_store(case, &target);
                }
            });
        }
    }
}

/// The registers that are stored: extremes, to see wrapping and saturation.
fn stored(case: &Case) -> Vec<u8> {
    let elements = interesting(case.register);
    (0..usize::from(case.lanes))
        .flat_map(|lane| elements[(lane * 5 + case.places[0]) % elements.len()].clone())
        .collect()
}

fn check_store(case: &Case, target: &crate::target::Target) {
    let mut builder = KernelBuilder::new("store");
    let source = builder.buffer("x", case.register, i64::from(case.lanes), Access::Read);
    let indices = builder.buffer("i", DType::I64, i64::from(case.lanes), Access::Read);
    let bits = builder.buffer("m", DType::I64, i64::from(case.lanes), Access::Read);
    let result = builder.buffer("z", case.memory, ELEMENTS as i64, Access::Write);
    let (spread, mask) = case.operands(&mut builder, indices, bits);
    let value = builder.load(source, &Dim::ZERO, case.ty(), Spread::Contiguous, None);
    builder.store(value, result, &Dim::from(case.address()), spread, mask);
    let (x, z) = (stored(case), memory(case.memory));
    let (index_bytes, bit_bytes) = case.operand_bytes();
    let (results, _) = run(&builder.finish(), target, &[&x, &index_bytes, &bit_bytes, &z], &[]);
    let mut expected = z.clone();
    for (lane, place) in case.places.iter().enumerate().filter(|(lane, _)| case.active(*lane)) {
        let element = &x[lane * case.register.bytes()..][..case.register.bytes()];
        let bytes = case.memory.bytes();
        expected[place * bytes..][..bytes].copy_from_slice(&reference::convert(
            case.register,
            case.memory,
            element,
        ));
    }
    let what = format!(
        "{} store of {}x{} as {} with mask {:?} on {}",
        case.spread, case.register, case.lanes, case.memory, case.mask, target.cpu
    );
    assert_elements(case.memory, &results[3], &expected, &what);
}

#[test]
fn bools_load_as_masks() {
    for target in runnable_targets() {
        for lanes in [1u16, 2, 4, 8] {
            let mut builder = KernelBuilder::new("mask");
            let source = builder.buffer("x", DType::Bool, 8i64, Access::Read);
            let result = builder.buffer("z", DType::I64, 8i64, Access::Write);
            let ty = Type::vector(DType::I64, lanes);
            let mask = builder.load(source, &Dim::ZERO, ty.mask(), Spread::Contiguous, None);
            let (one, two) = (builder.int(1, ty), builder.int(2, ty));
            let value = builder.select(mask, one, two);
            builder.store(value, result, &Dim::ZERO, Spread::Contiguous, None);
            let x = [1, 0, 0, 1, 1, 1, 0, 1];
            let (results, _) = run(&builder.finish(), &target, &[&x, &[0; 64]], &[]);
            let expected: Vec<u8> =
                x[..usize::from(lanes)].iter().flat_map(|bit| (2 - i64::from(*bit)).to_le_bytes()).collect();
            assert_eq!(results[1][..expected.len()], expected[..], "{lanes} lanes on {}", target.cpu);
        }
    }
}
