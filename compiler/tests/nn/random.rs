//! Random numbers are the same for all backends and any number of threads, and are distributed as they should.

use graven::api::{Backend, Compiler, Options, TensorView, TensorViewMut};
use graven::nn::{Mode, ModelBuilder};
use graven::train::random;
use graven_ir::{DType, Dim, Module, Tensor, TensorType};
use graven_runtime::arena::Arena;

const COUNT: usize = 10_007;

/// A function of a key that draws all kinds of numbers.
fn module() -> Module {
    let key = TensorType { dtype: DType::U64, shape: [Dim::from(2)].into_iter().collect() };
    let mut model = ModelBuilder::new("draws", 1);
    let shape = [Dim::from(COUNT as i64)];
    model
        .function("main", Mode::Evaluation, &[("key", key)], |f, x| {
            let bernoulli = random::bernoulli(f, x[0], &shape, 0.3)?;
            let normal = random::normal(f, x[0], &shape)?;
            Ok(vec![
                ("uniform".into(), random::uniform(f, x[0], &shape, DType::F32)?),
                ("double".into(), random::uniform(f, x[0], &shape, DType::F64)?),
                ("bernoulli".into(), f.cast(bernoulli, DType::F32)?),
                ("permutation".into(), random::permutation(f, x[0], &shape[0])?),
                ("normal".into(), f.cast(normal, DType::F32)?),
            ])
        })
        .unwrap();
    model.finish()
}

const DTYPES: [DType; 5] = [DType::F32, DType::F64, DType::F32, DType::I64, DType::F32];

fn draw(backend: Backend, threads: usize) -> Vec<Tensor> {
    let options = Options { backend, threads: Some(threads), ..Options::default() };
    let compiled = Compiler::new(options).module(module()).jit().unwrap();
    let mut session = compiled.session().unwrap();
    let key: Vec<u8> = [5u64, 1 << 40].iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut memory = Arena::new(16).unwrap();
    memory[..16].copy_from_slice(&key);
    let key = TensorView::new(DType::U64, &[2], &memory[..16]).unwrap();
    let mut results: Vec<Arena> =
        DTYPES.iter().map(|dtype| Arena::new(COUNT * dtype.bytes()).unwrap()).collect();
    let mut outputs: Vec<TensorViewMut<'_>> = DTYPES
        .iter()
        .zip(&mut results)
        .map(|(dtype, memory)| {
            TensorViewMut::new(*dtype, &[COUNT], &mut memory[..COUNT * dtype.bytes()]).unwrap()
        })
        .collect();
    session.prepare(&[("key".to_string(), vec![2])].into()).unwrap();
    session.run(&[key], &mut outputs).unwrap();
    DTYPES
        .iter()
        .zip(&results)
        .map(|(dtype, memory)| {
            Tensor::new(*dtype, vec![COUNT], memory[..COUNT * dtype.bytes()].to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn backends_and_threads_draw_the_same_bits() {
    let expected = draw(Backend::Interp, 1);
    for (backend, threads) in [(Backend::Auto, 1), (Backend::Auto, 3), (Backend::Cranelift, 2)] {
        for (place, (found, expected)) in draw(backend, threads).iter().zip(&expected).enumerate() {
            assert!(found.data() == expected.data(), "draw {place} of {backend:?} with {threads} threads");
        }
    }
}

#[test]
fn draws_are_distributed_as_they_should() {
    let draws = draw(Backend::Auto, 1);
    let n = COUNT as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    // Four standard errors of the mean.
    let near = |found: f64, expected: f64, deviation: f64| {
        assert!((found - expected).abs() < 4.0 * deviation / n.sqrt(), "{found} instead of {expected}");
    };
    for uniform in &draws[..2] {
        let values = uniform.to_f64s();
        assert!(values.iter().all(|x| (0.0..1.0).contains(x)));
        near(mean(&values), 0.5, (1.0 / 12.0_f64).sqrt());
    }
    near(mean(&draws[2].to_f64s()), 0.3, (0.3_f64 * 0.7).sqrt());
    let normal = draws[4].to_f64s();
    near(mean(&normal), 0.0, 1.0);
    let squares: Vec<f64> = normal.iter().map(|x| x * x).collect();
    near(mean(&squares), 1.0, 2.0_f64.sqrt());
    let mut order = draws[3].to_i64s().unwrap();
    // Fixed points of a random permutation: 1 on average, with variance 1.
    assert!(order.iter().enumerate().filter(|(place, value)| *place as i64 == **value).count() < 8);
    order.sort_unstable();
    assert!(order.iter().copied().eq(0..COUNT as i64));
}

/// Words of the generator of Random123 1.14, `tests/kat_vectors`, row `philox4x32 10` of zeros: 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
#[test]
fn numbers_come_from_the_words_of_philox() {
    let words = [0x6627_e8d5_u32, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    let key = TensorType { dtype: DType::U64, shape: [Dim::from(2)].into_iter().collect() };
    let mut model = ModelBuilder::new("draws", 1);
    model
        .function("main", Mode::Evaluation, &[("key", key)], |f, x| {
            let drawn = random::uniform(f, x[0], &[Dim::from(4)], DType::F32)?;
            Ok(vec![("y".into(), drawn)])
        })
        .unwrap();
    let results = graven_ir::interp::evaluate(&model.finish(), "main", &[random::key(0, 0)]).unwrap();
    let expected: Vec<f64> = words.iter().map(|word| f64::from(word >> 8) / f64::from(1 << 24)).collect();
    assert_eq!(results[0].to_f64s(), expected);
}
