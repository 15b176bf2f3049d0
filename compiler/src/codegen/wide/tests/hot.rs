//! Loops that must not spill.

use crate::codegen::KernelCompiler;
use crate::codegen::wide::WideCompiler;
use crate::kernel::{Access, Kernel, KernelBuilder, Spread, Type};
use crate::target::Target;
use graven_ir::{DType, Dim};

/// The tile of a matrix product, as schedules build it: per step some vectors of columns and for each row one element times all of them.
pub fn tile(rows: i64, vectors: i64, lanes: u16) -> Kernel {
    let mut builder = KernelBuilder::new("tile");
    let (depth, columns) = (64i64, vectors * i64::from(lanes));
    let ty = Type::vector(DType::F32, lanes);
    let a = builder.buffer("a", DType::F32, rows * depth, Access::Read);
    let b = builder.buffer("b", DType::F32, depth * columns, Access::Read);
    let c = builder.buffer("c", DType::F32, rows * columns, Access::Write);
    let zero = builder.float(0.0, ty);
    let sums = vec![zero; (rows * vectors) as usize];
    let sums = builder.for_each((&Dim::ZERO, &Dim::from(depth), 1), &sums, |builder, k, sums| {
        let right: Vec<_> = (0..vectors)
            .map(|v| builder.load(b, &(k * columns + v * i64::from(lanes)), ty, Spread::Contiguous, None))
            .collect();
        let mut next = Vec::new();
        for row in 0..rows {
            let left = builder.load(a, &(k + row * depth), ty, Spread::Broadcast, None);
            for (v, right) in right.iter().enumerate() {
                next.push(builder.fma(left, *right, sums[row as usize * right_count(vectors) + v]));
            }
        }
        next
    });
    for (n, sum) in sums.iter().enumerate() {
        builder.store(*sum, c, &Dim::from(n as i64 * i64::from(lanes)), Spread::Contiguous, None);
    }
    builder.finish()
}

fn right_count(vectors: i64) -> usize {
    vectors as usize
}

fn compiler(cpu: &str) -> WideCompiler {
    WideCompiler::new(&Target::new("x86_64-unknown-linux-gnu", Some(cpu)).unwrap()).unwrap()
}

#[test]
fn tiles_of_products_stay_in_registers() {
    let tiles = [
        ("x86-64-v4", 16, vec![(14, 2), (12, 2), (8, 3), (28, 1), (6, 4)]),
        ("x86-64-v3", 8, vec![(6, 2), (4, 3), (12, 1)]),
    ];
    for (cpu, lanes, tiles) in tiles {
        for (rows, vectors) in tiles {
            let kernel = tile(rows, vectors, lanes);
            let statistics = compiler(cpu).statistics(&kernel).unwrap();
            assert_eq!(statistics.innermost_spills, 0, "{rows} × {vectors} on {cpu}");
        }
    }
}

#[test]
fn the_loop_of_a_product_is_nothing_but_the_product() {
    let text = compiler("x86-64-v4").assembly(&tile(12, 2, 16)).unwrap();
    let start = text.lines().position(|line| line.contains("vfmadd")).unwrap();
    let count = |name: &str| text.lines().skip(start).filter(|line| line.contains(name)).count();
    // Accumulators are overwritten, so nothing is moved.
    assert_eq!((count("vfmadd231ps"), count("vmovaps")), (24, 0), "{text}");
    let text = compiler("x86-64-v4").assembly(&tile(28, 1, 16)).unwrap();
    // One row's element meets one vector only: it is broadcast by the multiply-add itself.
    let broadcasts = text.lines().filter(|line| line.contains("vfmadd231ps") && line.contains("{1to16}"));
    assert_eq!(broadcasts.count(), 28, "{text}");
}
