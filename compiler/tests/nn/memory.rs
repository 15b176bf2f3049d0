//! Training within a memory budget: a smaller arena, the same bits.

use graven::api::{Options, TensorView, Trainer};
use graven::nn::{self, Activation, BatchNorm, Conv2d, Dense, GlobalAveragePool, Layer, Sequential};
use graven::train::{Loss, Optimizer, StepOptions, trainable};
use graven_ir::{DType, Dim, Module, TensorType};

const BATCH: usize = 4;

/// Eight convolutions of equal size, with normalisation: most memory is activations.
fn deep() -> Module {
    let mut layers = Sequential::new();
    for _ in 0..8 {
        layers =
            layers.then(Conv2d::new(8, [3, 3]).padding([1, 1])).then(BatchNorm::new()).then(Activation::Relu);
    }
    let layers = layers.then(GlobalAveragePool).then(Dense::new(3));
    let shape = [BATCH as i64, 2, 16, 16].map(Dim::from).into_iter().collect();
    let x = TensorType { dtype: DType::F32, shape };
    nn::model("deep", 2, &[("x", x)], |f, x| layers.forward(f, x[0])).unwrap()
}

fn trainer(model: &Module, max_arena: Option<u64>) -> Result<Trainer, graven::error::Error> {
    let options = StepOptions {
        optimizer: Optimizer::ADAM,
        learning_rate: 0.01,
        ..StepOptions::new(Loss::CrossEntropy, trainable(model))
    };
    Trainer::new(model, &options, Options { max_arena, threads: Some(1), ..Options::default() })
}

/// Losses of some steps and the bytes of all states after them.
fn train(trainer: &mut Trainer) -> (Vec<f64>, Vec<u8>) {
    let x: Vec<f32> = (0..BATCH * 512).map(|n| ((n * 37 % 101) as f32 - 50.0) / 30.0).collect();
    let y = [0i64, 1, 2, 1];
    let x = TensorView::f32(&[BATCH, 2, 16, 16], &x).unwrap();
    let y = TensorView::new(DType::I64, &[BATCH], bytemuck::cast_slice(&y)).unwrap();
    let losses = (0..4).map(|_| trainer.step(&[x], y).unwrap().loss).collect();
    let states = trainer.states().unwrap();
    (losses, states.iter().flat_map(|(_, value)| value.data().to_vec()).collect())
}

#[test]
fn less_memory_and_the_same_bits() {
    let model = deep();
    let mut whole = trainer(&model, None).unwrap();
    let arena = whole.statistics().arena_bytes;
    let expected = train(&mut whole);
    assert!(expected.0[3] < expected.0[0], "{:?}", expected.0);
    for budget in [arena * 3 / 4, arena * 3 / 5] {
        let mut small = trainer(&model, Some(budget)).unwrap();
        let found = small.statistics().arena_bytes;
        assert!(found <= budget, "{found} of {budget}");
        assert_eq!(train(&mut small), expected, "with {found} of {arena} bytes");
    }
}

#[test]
fn a_budget_that_changes_nothing() {
    let model = deep();
    let arena = trainer(&model, None).unwrap().statistics().arena_bytes;
    assert_eq!(trainer(&model, Some(arena)).unwrap().statistics().arena_bytes, arena);
}

#[test]
fn too_little_memory_is_an_error() {
    let error = match trainer(&deep(), Some(10_000)) {
        Ok(_) => panic!("10 kB can't suffice"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("the limit is 10000"), "{error}");
}
