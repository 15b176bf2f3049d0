//! Models: training, evaluation, random numbers, weights.

use graven::api::{Backend, Evaluator, Options, TensorView, Trainer};
use graven::nn::{
    self, Activation, BatchNorm, Dense, Dropout, Embedding, Forward, Layer, Recurrent, Sequential,
};
use graven::train::{Loss, Optimizer, StepOptions, trainable};
use graven_ir::interp::evaluate;
use graven_ir::{DType, Dim, Module, Op, Tensor, TensorType, ValueId};
use std::collections::BTreeMap;

fn ty(dtype: DType, shape: &[i64]) -> TensorType {
    TensorType { dtype, shape: shape.iter().map(|extent| Dim::from(*extent)).collect() }
}

fn mlp() -> Module {
    let layers = Sequential::new()
        .then(Dense::new(8))
        .then(BatchNorm::new())
        .then(Activation::Relu)
        .then(Dropout::new(0.25))
        .named("head", Dense::new(3));
    nn::model("mlp", 3, &[("x", ty(DType::F32, &[6, 4]))], |f, x| layers.forward(f, x[0])).unwrap()
}

fn options(model: &Module) -> StepOptions {
    StepOptions {
        optimizer: Optimizer::ADAM,
        learning_rate: 0.02,
        seed: 11,
        ..StepOptions::new(Loss::CrossEntropy, trainable(model))
    }
}

fn batch() -> (Vec<f32>, Vec<i64>) {
    ((0..24).map(|n| ((n * 7 % 11) as f32 - 5.0) / 4.0).collect(), vec![0, 1, 2, 2, 1, 0])
}

fn train(trainer: &mut Trainer, steps: usize) -> Vec<f64> {
    let (x, y) = batch();
    let x = TensorView::f32(&[6, 4], &x).unwrap();
    let y = TensorView::new(DType::I64, &[6], bytemuck::cast_slice(&y)).unwrap();
    (0..steps).map(|_| trainer.step(&[x], y).unwrap().loss).collect()
}

#[test]
fn names_are_paths() {
    let model = mlp();
    let names: Vec<String> = nn::state_dict(&model).iter().map(|(name, _)| name.to_string()).collect();
    let expected = [
        "0.weight",
        "0.bias",
        "1.running_mean",
        "1.running_var",
        "1.weight",
        "1.bias",
        "head.weight",
        "head.bias",
    ];
    assert_eq!(names, expected);
    let functions: Vec<&str> = model.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(functions, ["main", "train"]);
    let states: Vec<&str> = model.functions[1].states.iter().map(|name| &**name).collect();
    assert_eq!(states, ["1.running_mean", "1.running_var", "random.key"]);
    assert_eq!(trainable(&model).len(), 6);
    let again = graven_ir::text::parse(&model.to_string()).unwrap();
    assert_eq!(again.to_string(), model.to_string());
}

#[test]
fn a_model_that_does_not_depend_on_the_mode_has_one_function() {
    let x = [("x", ty(DType::F32, &[2, 4]))];
    let model = nn::model("dense", 1, &x, |f, x| Dense::new(2).forward(f, x[0])).unwrap();
    assert_eq!(model.functions.len(), 1);
}

#[test]
fn training_does_not_depend_on_threads_or_interruption() {
    let model = mlp();
    let trainer = |threads| {
        let compile = Options { threads: Some(threads), ..Options::default() };
        Trainer::new(&model, &options(&model), compile).unwrap()
    };
    let mut whole = trainer(1);
    let losses = train(&mut whole, 12);
    assert!(losses[11] < losses[0], "{losses:?}");
    let mut parallel = trainer(3);
    assert_eq!(train(&mut parallel, 12), losses);
    let mut first = trainer(1);
    train(&mut first, 5);
    let states: BTreeMap<String, Tensor> =
        first.states().unwrap().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let mut second = trainer(1);
    second.set_states(&states).unwrap();
    assert_eq!(train(&mut second, 7), losses[5..]);
    for ((name, one), (_, two)) in whole.states().unwrap().iter().zip(second.states().unwrap()) {
        assert_eq!(one.data(), two.data(), "{name}");
    }
}

#[test]
fn backends_drop_the_same_elements() {
    let model = mlp();
    let run = |backend| {
        let compile = Options { backend, threads: Some(1), ..Options::default() };
        train(&mut Trainer::new(&model, &options(&model), compile).unwrap(), 4)
    };
    let compiled = run(Backend::Auto);
    for (found, expected) in run(Backend::Interp).iter().zip(&compiled) {
        assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
    }
}

#[test]
fn evaluation_uses_running_statistics_and_drops_nothing() {
    let mut model = mlp();
    let mut trainer = Trainer::new(&model, &options(&model), Options::default()).unwrap();
    train(&mut trainer, 6);
    let mut evaluator = Evaluator::new(&model, &options(&model), Options::default()).unwrap();
    evaluator.set_states(&trainer.state_dict().unwrap()).unwrap();
    let (x, y) = batch();
    let view = TensorView::f32(&[6, 4], &x).unwrap();
    let target = TensorView::new(DType::I64, &[6], bytemuck::cast_slice(&y)).unwrap();
    let first = evaluator.evaluate(&[view], target).unwrap();
    assert_eq!(evaluator.evaluate(&[view], target).unwrap(), first);

    // The same as the function for evaluation with the trained weights, and cross-entropy by hand.
    nn::load_state_dict(&mut model, &trainer.state_dict().unwrap(), true).unwrap();
    let scores =
        evaluate(&model, "main", &[Tensor::from_f32s(vec![6, 4], &x).unwrap()]).unwrap()[0].to_f64s();
    let loss: f64 = scores
        .chunks(3)
        .zip(&y)
        .map(|(row, class)| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[*class as usize])
        .sum();
    assert!((first.loss - loss / 6.0).abs() < 1e-5, "{} instead of {}", first.loss, loss / 6.0);
}

#[test]
fn draws_differ_from_each_other_and_from_run_to_run() {
    let model = nn::model("draws", 1, &[], |f, _| {
        let shape = [Dim::from(5)];
        let (one, two) = (f.uniform(&shape, DType::F32)?, f.uniform(&shape, DType::F32)?);
        Ok(f.op(Op::Concat { axis: 0 }, &[one, two])?)
    })
    .unwrap();
    let run = |key: Tensor| {
        let mut results = evaluate(&model, "main", &[key]).unwrap();
        let key = results.pop().unwrap();
        (results.pop().unwrap().to_f64s(), key)
    };
    let (first, key) = run(graven::train::random::key(9, 0));
    // Five words take two blocks.
    assert_eq!(key.to_ints().unwrap(), [9, 4]);
    let (second, _) = run(key);
    let mut all: Vec<f64> = first.iter().chain(&second).copied().collect();
    assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
    all.sort_by(f64::total_cmp);
    all.dedup();
    assert_eq!(all.len(), 20);
}

/// A character model: the loop of the LSTM is native, forwards and backwards.
#[test]
fn an_lstm_learns_a_sequence() {
    let characters = |f: &mut Forward<'_>, x: &[ValueId]| {
        let embedded = f.scope("embedding", |f| Embedding::new(3, 4).forward(f, x[0]))?;
        let hidden = f.scope("lstm", |f| Recurrent::lstm(8).batch_first().forward(f, embedded))?;
        let scores = f.scope("head", |f| Dense::new(3).forward(f, hidden))?;
        Ok(f.transpose(scores, &[0, 2, 1])?)
    };
    let model = nn::model("characters", 5, &[("x", ty(DType::I64, &[2, 6]))], characters).unwrap();
    let loops =
        model.functions[0].graph.nodes().filter(|(_, node)| matches!(node.op, Op::Scan { .. })).count();
    assert_eq!(loops, 1);
    let options = StepOptions {
        optimizer: Optimizer::ADAM,
        learning_rate: 0.05,
        ..StepOptions::new(Loss::CrossEntropy, trainable(&model))
    };
    let mut trainer = Trainer::new(&model, &options, Options::default()).unwrap();
    // 0 0 1 2 0 0 1 2 …: what follows a 0 depends on what was before it.
    let sequence = |offset: usize| (0..7).map(move |place| [0i64, 0, 1, 2][(place + offset) % 4]);
    let rows: Vec<Vec<i64>> = [0, 2].map(|offset| sequence(offset).collect()).to_vec();
    let x: Vec<i64> = rows.iter().flat_map(|row| row[..6].to_vec()).collect();
    let y: Vec<i64> = rows.iter().flat_map(|row| row[1..].to_vec()).collect();
    let x = TensorView::new(DType::I64, &[2, 6], bytemuck::cast_slice(&x)).unwrap();
    let y = TensorView::new(DType::I64, &[2, 6], bytemuck::cast_slice(&y)).unwrap();
    let mut report = trainer.step(&[x], y).unwrap();
    for _ in 0..80 {
        report = trainer.step(&[x], y).unwrap();
    }
    assert!(report.loss < 0.15, "{report:?}");
    assert!(report.correct >= Some(11), "{report:?}");
}

#[test]
fn weights_go_through_files() {
    let mut model = mlp();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlp.safetensors");
    let before = nn::state_dict(&model);
    nn::save(&path, &before).unwrap();
    let mut other = {
        let layers = Sequential::new()
            .then(Dense::new(8))
            .then(BatchNorm::new())
            .then(Activation::Relu)
            .then(Dropout::new(0.25))
            .named("head", Dense::new(3));
        nn::model("mlp", 4, &[("x", ty(DType::F32, &[6, 4]))], |f, x| layers.forward(f, x[0])).unwrap()
    };
    assert_ne!(nn::state_dict(&other), before);
    let loaded = nn::load(std::fs::read(&path).unwrap()).unwrap();
    nn::load_state_dict(&mut other, &loaded, true).unwrap();
    assert_eq!(nn::state_dict(&other), before);
    let missing = nn::load_state_dict(&mut model, &loaded[1..], true).unwrap_err().to_string();
    assert!(missing.contains("has no value"), "{missing}");
    let unknown = [("nowhere".into(), Tensor::from_i64s(&[1]))];
    let unknown = nn::load_state_dict(&mut model, &unknown, false).unwrap_err().to_string();
    assert!(unknown.contains("`nowhere`"), "{unknown}");
}

#[test]
fn misfits_name_the_layer() {
    let x = [("x", ty(DType::F32, &[2, 4]))];
    let layers = Sequential::new().named("first", Dense::new(6)).named("norm", nn::GroupNorm::new(4));
    let error = nn::model("wrong", 1, &x, |f, x| layers.forward(f, x[0])).unwrap_err().to_string();
    assert_eq!(error, "norm: 6 features in 4 groups");
    let twice = |f: &mut Forward<'_>, x: &[ValueId]| {
        let y = f.scope("shared", |f| Dense::new(3).forward(f, x[0]))?;
        f.scope("shared", |f| Dense::new(3).forward(f, y))
    };
    let error = nn::model("wrong", 1, &x, twice).unwrap_err().to_string();
    assert!(error.contains("`shared.weight` is f32[3, 4] elsewhere"), "{error}");
}
