//! Loops, branches, tasks, scratch memory, checks.

use super::harness::*;
use crate::kernel::{Access, Binary, Compare, Horizontal, KernelBuilder, Spread, Type};
use graven_ir::{DType, Dim, Symbol};

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

#[test]
fn carried_values_and_empty_loops() {
    for target in runnable_targets() {
        // Per extent n: the sum of i² for i in 0..n step 3, and twice as much, which starts from 5 if there are no trips.
        let n = Symbol::new("n", 0, 100);
        let mut builder = KernelBuilder::new("loop");
        let result = builder.buffer("z", DType::I64, 2i64, Access::Write);
        let inits = [builder.int(0, Type::INDEX), builder.int(5, Type::INDEX)];
        let sums = builder.for_each((&Dim::ZERO, &Dim::from(&n), 3), &inits, |b, i, sums| {
            let square = b.index(&(i * i));
            let first = b.add(sums[0], square);
            let second = b.add(sums[1], square);
            vec![first, b.add(second, square)]
        });
        builder.store(sums[0], result, &Dim::ZERO, Spread::Contiguous, None);
        builder.store(sums[1], result, &Dim::ONE, Spread::Contiguous, None);
        let kernel = builder.finish();
        for extent in [0i64, 1, 3, 4, 10, 100] {
            let sum: i64 = (0..extent).step_by(3).map(|i| i * i).sum();
            let (results, _) = run(&kernel, &target, &[&[0; 16]], &[extent]);
            let expected: Vec<u8> = [sum, 5 + 2 * sum].into_iter().flat_map(i64::to_le_bytes).collect();
            assert_eq!(results[0], expected, "{extent}");
        }
    }
}

#[test]
fn branches_yield_values() {
    for target in runnable_targets() {
        let mut builder = KernelBuilder::new("branch");
        let source = builder.buffer("x", DType::F32, 8i64, Access::Read);
        let result = builder.buffer("z", DType::F32, 8i64, Access::Write);
        builder.for_each((&Dim::ZERO, &Dim::from(8i64), 4), &[], |b, i, _| {
            let x = b.load(source, i, Type::vector(DType::F32, 4), Spread::Contiguous, None);
            let first = b.extract(x, 0);
            let limit = b.float(3.0, Type::scalar(DType::F32));
            let small = b.compare(Compare::Lt, first, limit);
            b.open_block();
            let sum = b.add(x, x);
            let then = b.close_block(vec![sum, x]);
            b.open_block();
            let product = b.mul(x, x);
            let otherwise = b.close_block(vec![product, x]);
            let values = b.branch(small, then, otherwise);
            let value = b.sub(values[0], values[1]);
            b.store(value, result, i, Spread::Contiguous, None);
            Vec::new()
        });
        let x = floats((0..8).map(|i| i as f32));
        let (results, _) = run(&builder.finish(), &target, &[&x, &[0; 32]], &[]);
        assert_eq!(results[1], floats([0.0, 1.0, 2.0, 3.0, 12.0, 20.0, 30.0, 42.0]));
    }
}

#[test]
fn tasks_cover_all_trips_once() {
    for target in runnable_targets() {
        let n = Symbol::new("n", 0, 50);
        let mut builder = KernelBuilder::new("tasks");
        let result = builder.buffer("z", DType::I32, 50i64, Access::ReadWrite);
        builder.parallel_for(&Dim::from(&n), |b, i| {
            let ty = Type::scalar(DType::I32);
            let old = b.load(result, i, ty, Spread::Contiguous, None);
            let one = b.int(1, ty);
            let new = b.add(old, one);
            b.store(new, result, i, Spread::Contiguous, None);
        });
        let kernel = builder.finish();
        for (trips, tasks) in [(0, 1), (1, 1), (50, 1), (50, 7), (3, 8), (50, 50), (0, 4)] {
            let (results, _) = run_tasks(&kernel, &target, &[&[0; 200]], &[trips], tasks);
            let expected: Vec<u8> = (0..50).flat_map(|i| i32::from(i < trips).to_le_bytes()).collect();
            assert_eq!(results[0], expected, "{trips} trips in {tasks} tasks");
        }
    }
}

#[test]
fn scratch_memory_is_separate() {
    for target in runnable_targets() {
        let mut builder = KernelBuilder::new("scratch");
        let source = builder.buffer("x", DType::F32, 16i64, Access::Read);
        let result = builder.buffer("z", DType::F32, 16i64, Access::Write);
        let first = builder.buffer("s", DType::F32, 5i64, Access::Scratch);
        let second = builder.buffer("t", DType::F32, 16i64, Access::Scratch);
        let ty = Type::vector(DType::F32, 4);
        for place in 0..4i64 {
            let x = builder.load(source, &Dim::from(place * 4), ty, Spread::Contiguous, None);
            let y = builder.add(x, x);
            builder.store(y, second, &Dim::from(12 - place * 4), Spread::Contiguous, None);
        }
        let one = builder.float(1.0, Type::scalar(DType::F32));
        (0..5i64).for_each(|i| builder.store(one, first, &Dim::from(i), Spread::Contiguous, None));
        for place in 0..4i64 {
            let x = builder.load(second, &Dim::from(place * 4), ty, Spread::Contiguous, None);
            let one = builder.load(first, &Dim::from(place), ty, Spread::Broadcast, None);
            let y = builder.add(x, one);
            builder.store(y, result, &Dim::from(place * 4), Spread::Contiguous, None);
        }
        let x = floats((0..16).map(|i| i as f32));
        let (results, _) = run(&builder.finish(), &target, &[&x, &[0; 64]], &[]);
        let expected = (0..16).map(|i| 2.0 * ((12 - i / 4 * 4) + i % 4) as f32 + 1.0);
        assert_eq!(results[1], floats(expected));
    }
}

#[test]
fn failed_checks_report_their_code() {
    for target in runnable_targets() {
        let mut builder = KernelBuilder::new("check");
        let source = builder.buffer("x", DType::I64, 4i64, Access::Read);
        builder.for_each((&Dim::ZERO, &Dim::from(4i64), 1), &[], |b, i, _| {
            let x = b.load(source, i, Type::INDEX, Spread::Contiguous, None);
            let limit = b.int(10, Type::INDEX);
            let inside = b.compare(Compare::Lt, x, limit);
            b.check(inside, 2);
            Vec::new()
        });
        let kernel = builder.finish();
        let status = |values: [i64; 4]| {
            let bytes: Vec<u8> = values.into_iter().flat_map(i64::to_le_bytes).collect();
            run(&kernel, &target, &[&bytes], &[]).1
        };
        assert_eq!((status([1, 2, 3, 9]), status([1, 10, 3, 9])), (0, 2));
    }
}

/// Sums of rows by vectors with a masked tail, over two run-time extents.
#[test]
fn a_reduction_with_tails() {
    for target in runnable_targets() {
        let (rows, columns) = (Symbol::new("rows", 1, 4), Symbol::new("columns", 1, 9));
        let mut builder = KernelBuilder::new("sums");
        let elements = Dim::from(&rows) * Dim::from(&columns);
        let source = builder.buffer("x", DType::F32, elements, Access::Read);
        let result = builder.buffer("z", DType::F32, Dim::from(&rows), Access::Write);
        let ty = Type::vector(DType::F32, 4);
        builder.parallel_for(&Dim::from(&rows), |b, row| {
            let zero = b.float(0.0, ty);
            let sums = b.for_each((&Dim::ZERO, &Dim::from(&columns), 4), &[zero], |b, column, sums| {
                let left = Dim::from(&columns) - column;
                let mask = b.tail_mask(&left, ty);
                let place = row * Dim::from(&columns) + column;
                let x = b.load(source, &place, ty, Spread::Contiguous, Some(mask));
                vec![b.binary(Binary::Add, sums[0], x)]
            });
            let sum = b.horizontal(Horizontal::Add, sums[0]);
            b.store(sum, result, row, Spread::Contiguous, None);
        });
        let kernel = builder.finish();
        let extents: Vec<(String, i64)> = [("rows".to_string(), 3), ("columns".to_string(), 7)].into();
        let order: Vec<i64> = kernel
            .extents
            .iter()
            .map(|(symbol, _)| extents.iter().find(|(name, _)| name == symbol.name()).unwrap().1)
            .collect();
        let x = floats((0..36).map(|i| i as f32));
        let (results, _) = run_tasks(&kernel, &target, &[&x, &[0; 16]], &order, 2);
        let expected = (0..3).map(|row| (0..7).map(|column| (row * 7 + column) as f32).sum());
        assert_eq!(results[1][..12], floats(expected)[..]);
    }
}
