//! The pool under load, with more workers than CPUs as well.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize};
use std::time::Duration;
use std::vec::Vec;
use std::{ptr, thread};

use super::*;
use crate::error::Kind;
use crate::sys::float_env;

/// Runs a loop and asserts that each task ran once, by a legal worker, and each worker on one task at a time.
fn check_loop(pool: &Pool, ntasks: usize) {
    let runs: Vec<AtomicU32> = (0..ntasks).map(|_| AtomicU32::new(0)).collect();
    let busy: Vec<AtomicBool> = (0..pool.workers()).map(|_| AtomicBool::new(false)).collect();
    pool.parallel_for(ntasks as i64, |index, worker| {
        let busy = &busy[worker as usize];
        assert!(!busy.swap(true, SeqCst));
        runs[index as usize].fetch_add(1, Relaxed);
        busy.store(false, SeqCst);
    });
    assert!(runs.iter().all(|count| count.load(Relaxed) == 1));
}

#[test]
fn every_task_runs_once() {
    for workers in [1, 2, 3, 4, 9] {
        let pool = Pool::new(workers).expect("a pool");
        assert_eq!(pool.workers(), workers);
        for ntasks in [0, 1, 2, 3, 8, 9, 10, 100, 1000, 5000] {
            check_loop(&pool, ntasks);
        }
    }
}

#[test]
fn many_dispatches() {
    for workers in [2, 5] {
        let pool = Pool::new(workers).expect("a pool");
        let sum = AtomicI64::new(0);
        for round in 0..20_000 {
            let ntasks = round % 13;
            pool.parallel_for(ntasks, |index, _| {
                sum.fetch_add(index + 1, Relaxed);
            });
        }
        let expected: i64 = (0..20_000).map(|round| (round % 13) * (round % 13 + 1) / 2).sum();
        assert_eq!(sum.load(Relaxed), expected);
    }
}

#[test]
fn sleeping_workers_are_woken() {
    let pool = Pool::new(4).expect("a pool");
    for _ in 0..20 {
        // Long enough for every worker to fall asleep.
        thread::sleep(Duration::from_millis(2));
        let seen: Vec<AtomicBool> = (0..4).map(|_| AtomicBool::new(false)).collect();
        // Tasks that wait until all four workers have come, which none could do alone.
        pool.parallel_for(4, |_, worker| {
            seen[worker as usize].store(true, SeqCst);
            while !seen.iter().all(|seen| seen.load(SeqCst)) {
                thread::yield_now();
            }
        });
    }
}

#[test]
fn the_dispatcher_sleeps_while_a_worker_is_slow() {
    let pool = Pool::new(2).expect("a pool");
    for _ in 0..10 {
        let others = AtomicU32::new(0);
        pool.parallel_for(2, |_, worker| {
            if worker == 1 {
                others.fetch_add(1, SeqCst);
                thread::sleep(Duration::from_millis(3));
            } else {
                while others.load(SeqCst) == 0 {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(others.load(SeqCst), 1);
    }
}

#[test]
fn tasks_of_a_slow_worker_are_taken_over() {
    let pool = Pool::new(2).expect("a pool");
    let (mine, others) = (AtomicU32::new(0), AtomicU32::new(0));
    // Worker 0 holds its first task until all the others are done, half of which were meant for it.
    pool.parallel_for(100, |_, worker| {
        if worker == 0 {
            mine.fetch_add(1, SeqCst);
            while others.load(SeqCst) < 99 {
                thread::yield_now();
            }
        } else {
            others.fetch_add(1, SeqCst);
        }
    });
    // None, if the other worker was quicker from the start.
    assert!(mine.load(SeqCst) <= 1, "{mine:?}");
    assert_eq!(mine.load(SeqCst) + others.load(SeqCst), 100);
}

#[test]
fn nested_loops_run_inline_as_the_same_worker() {
    let pool = Pool::new(3).expect("a pool");
    let count = AtomicUsize::new(0);
    for _ in 0..200 {
        pool.parallel_for(7, |_, outer| {
            for ntasks in [1, 5] {
                pool.parallel_for(ntasks, |_, inner| {
                    assert_eq!(outer, inner);
                    count.fetch_add(1, Relaxed);
                });
            }
        });
    }
    assert_eq!(count.load(Relaxed), 200 * 7 * 6);
}

#[test]
fn several_threads_may_dispatch_at_once() {
    let pool = Pool::new(3).expect("a pool");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for ntasks in 0..300 {
                    check_loop(&pool, ntasks);
                }
            });
        }
    });
}

#[test]
fn pools_come_and_go() {
    for round in 0..100 {
        let pool = Pool::new(1 + round % 5).expect("a pool");
        if round % 2 == 0 {
            check_loop(&pool, 10);
        }
        if round % 10 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    for workers in [0, MAX_WORKERS + 1] {
        assert_eq!(Pool::new(workers).map(|_| ()).map_err(|error| error.kind()), Err(Kind::BadInput));
    }
}

#[test]
fn the_c_callback_and_the_float_environment() {
    unsafe extern "C" fn task(arg: *mut c_void, index: i64, _worker: i64) {
        assert_eq!(float_env::read(), float_env::DEFAULT);
        // SAFETY: `arg` is the array below, and `index` is less than its length.
        let value = unsafe { &*arg.cast::<AtomicI64>().add(index as usize) };
        value.fetch_add(index, Relaxed);
    }
    // A pool that is made under another environment.
    #[cfg(target_arch = "x86_64")]
    float_env::write(float_env::DEFAULT | 0x8040);
    let pool = Pool::new(2).expect("a pool");
    let _guard = float_env::DefaultFloatEnv::enter();
    let exec = pool.exec();
    assert_eq!((exec.abi_version, exec.workers), (abi::ABI_VERSION, 2));
    assert_eq!(exec.weights, ptr::null());
    let values: Vec<AtomicI64> = (0..50).map(|_| AtomicI64::new(1)).collect();
    let callback = exec.parallel_for.expect("a callback");
    // SAFETY: the pool lives, and the tasks synchronise by atomics.
    unsafe { callback(exec.context, task, values.as_ptr().cast_mut().cast(), 50) };
    assert!(values.iter().zip(1..).all(|(value, expected)| value.load(Relaxed) == expected));
}
