//! Values and gradients of single layers, interpreted and compiled.

use crate::record::{Case, cases};
use graven::api::{Compiler, Options, TensorView, TensorViewMut};
use graven::autograd::grad;
use graven::nn::{
    Activation, BatchNorm, Built, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
    Dense, Embedding, Forward, GlobalAveragePool, GroupNorm, Layer, LayerNorm, Mode, ModelBuilder,
    MultiHeadAttention, Pool, Recurrent, Residual, TransformerDecoderLayer, TransformerEncoderLayer,
};
use graven_ir::interp::evaluate;
use graven_ir::{BinaryOp, DType, Module, ReduceOp, Tensor, TensorType, ValueId};
use graven_runtime::arena::Arena;

/// The layer of a case.
fn layer(name: &str, f: &mut Forward<'_>, x: &[ValueId]) -> Built {
    match (name, x) {
        ("attention_cross", [x, y]) => MultiHeadAttention::new(2).attend(f, *x, *y, None),
        ("decoder_layer", [x, y]) => TransformerDecoderLayer::new(2, 6).dropout(0.0).decode(f, *x, *y),
        (_, [x]) => single(name).forward(f, *x),
        _ => f.refuse(format!("{name} with {} inputs", x.len())),
    }
}

fn single(name: &str) -> Box<dyn Layer> {
    match name {
        "dense" => Box::new(Dense::new(2)),
        "dense_without_bias" => Box::new(Dense::new(2).without_bias()),
        "embedding" => Box::new(Embedding::new(5, 3).of(DType::F64)),
        "conv1d" => Box::new(Conv1d::new(3, [3]).stride([2]).padding([1])),
        "conv2d" => {
            Box::new(Conv2d::new(6, [3, 2]).stride([2, 1]).padding([1, 0]).dilation([1, 2]).groups(2))
        }
        "conv3d" => Box::new(Conv3d::new(2, [2; 3]).padding([1; 3])),
        "conv_transpose1d" => Box::new(ConvTranspose1d::new(3, [4]).stride([2]).padding([1])),
        "conv_transpose2d" => {
            Box::new(ConvTranspose2d::new(2, [3, 3]).stride([2, 2]).padding([1, 1]).output_padding([1, 1]))
        }
        "conv_transpose3d" => Box::new(ConvTranspose3d::new(2, [2; 3]).stride([2; 3])),
        "batch_norm" | "batch_norm_evaluation" => Box::new(BatchNorm::new()),
        "layer_norm" => Box::new(LayerNorm::new()),
        "group_norm" => Box::new(GroupNorm::new(2)),
        "rnn" => Box::new(Recurrent::rnn(4)),
        "lstm" => Box::new(Recurrent::lstm(4)),
        "lstm_deep" => Box::new(Recurrent::lstm(2).layers(2).bidirectional().batch_first()),
        "gru" => Box::new(Recurrent::gru(4)),
        "gru_bidirectional" => Box::new(Recurrent::gru(3).bidirectional()),
        "attention" => Box::new(MultiHeadAttention::new(2)),
        "attention_causal" => Box::new(MultiHeadAttention::new(2).causal()),
        "encoder_layer" => Box::new(TransformerEncoderLayer::new(2, 6).dropout(0.0)),
        "encoder_layer_norm_first" => {
            let layer = TransformerEncoderLayer::new(2, 6).dropout(0.0);
            Box::new(layer.norm_first().activation(Activation::Gelu))
        }
        "max_pool" => Box::new(Pool::max([2, 2]).stride([1, 1]).padding([1, 1])),
        "average_pool" => Box::new(Pool::average([2, 3]).padding([1, 1])),
        "global_average_pool" => Box::new(GlobalAveragePool),
        "residual" => Box::new(Residual::new(Dense::new(3))),
        other => Box::new(activation(other)),
    }
}

fn activation(name: &str) -> Activation {
    match name {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { slope: 0.1 },
        "elu" => Activation::Elu { alpha: 1.0 },
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "softplus" => Activation::Softplus,
        "hard_sigmoid" => Activation::HardSigmoid,
        "hard_swish" => Activation::HardSwish,
        "softmax" => Activation::Softmax,
        "log_softmax" => Activation::LogSoftmax,
        other => panic!("no layer for {other}"),
    }
}

impl Case {
    /// A function of inputs, cotangent and parameters (and states, in training): the output and the gradients of Σ output · cotangent.
    fn module(&self) -> Module {
        let ty = |tensor: &Tensor| -> TensorType { tensor.ty() };
        let named: Vec<String> = (0..self.inputs.len()).map(|place| format!("x{place}")).collect();
        let mut inputs: Vec<(&str, TensorType)> =
            named.iter().map(String::as_str).zip(self.inputs.iter().map(ty)).collect();
        inputs.push(("cotangent", self.cotangent.ty()));
        inputs.extend(self.parameters.iter().map(|(name, value)| (name.as_str(), value.ty())));
        if !self.training {
            inputs.extend(self.states.iter().map(|(name, value)| (name.as_str(), value.ty())));
        }
        let mode = if self.training { Mode::Training } else { Mode::Evaluation };
        let mut model = ModelBuilder::new(&self.name, 1);
        model
            .function("main", mode, &inputs, |f, params| {
                let (x, rest) = params.split_at(self.inputs.len());
                let weights = &rest[1..];
                let names = inputs[self.inputs.len() + 1..].iter().map(|(name, _)| name.to_string());
                let substitutes = names.zip(weights.iter().copied()).collect();
                let y = f.with_parameters(substitutes, |f| layer(&self.name, f, x))?;
                let product = f.binary(BinaryOp::Mul, y, rest[0])?;
                let axes: Vec<usize> = (0..f.ty(product).rank()).collect();
                let sum = f.reduce(ReduceOp::Sum, product, &axes, false)?;
                let floats = x.iter().filter(|x| f.dtype(**x).is_float());
                let wrt: Vec<ValueId> = floats.chain(&weights[..self.parameters.len()]).copied().collect();
                let gradients = grad(f, sum, &wrt)?;
                let values = std::iter::once(y).chain(gradients);
                Ok(values.enumerate().map(|(place, value)| (format!("y{place}"), value)).collect())
            })
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        model.finish()
    }

    fn arguments(&self) -> Vec<Tensor> {
        let mut arguments = self.inputs.clone();
        arguments.push(self.cotangent.clone());
        arguments.extend(self.parameters.values().cloned());
        if !self.training {
            arguments.extend(self.states.values().cloned());
        }
        arguments
    }

    fn expected(&self) -> Vec<(String, &Tensor)> {
        let mut expected = vec![("output".to_string(), &self.output)];
        expected.extend(self.input_gradients.iter().map(|g| ("an input's gradient".to_string(), g)));
        expected.extend(self.gradients.iter().map(|(name, g)| (format!("gradient of {name}"), g)));
        expected
    }

    fn compare(&self, what: &str, found: &[Tensor], expected: &[(String, &Tensor)], tolerance: f64) {
        assert_eq!(found.len(), expected.len(), "{} {what}", self.name);
        for (found, (part, expected)) in found.iter().zip(expected) {
            assert_eq!(found.shape(), expected.shape(), "{} {what}: {part}", self.name);
            for (found, expected) in found.to_f64s().iter().zip(expected.to_f64s()) {
                assert!(
                    (found - expected).abs() <= tolerance * expected.abs().max(1.0),
                    "{} {what}: {part} is {found} instead of {expected}",
                    self.name
                );
            }
        }
    }
}

#[test]
fn the_interpreter_equals_pytorch() {
    for case in cases() {
        let module = case.module();
        let mut arguments = case.arguments();
        let states = &module.functions[0].states;
        arguments.extend(states.iter().map(|name| case.states[&**name].clone()));
        let results = evaluate(&module, "main", &arguments).unwrap();
        let mut expected = case.expected();
        expected.extend(states.iter().map(|name| (name.to_string(), &case.states_after[&**name])));
        case.compare("interpreted", &results, &expected, 1e-11);
    }
}

#[test]
fn parameters_have_the_names_and_shapes_of_pytorch() {
    for case in cases() {
        let mode = if case.training { Mode::Training } else { Mode::Evaluation };
        let named: Vec<String> = (0..case.inputs.len()).map(|place| format!("x{place}")).collect();
        let inputs: Vec<(&str, TensorType)> =
            named.iter().map(String::as_str).zip(case.inputs.iter().map(Tensor::ty)).collect();
        let mut model = ModelBuilder::new(&case.name, 1);
        model
            .function("main", mode, &inputs, |f, x| Ok(vec![("y".into(), layer(&case.name, f, x)?)]))
            .unwrap();
        let module = model.finish();
        let mut found: Vec<(String, Vec<usize>)> = graven::nn::state_dict(&module)
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.shape().to_vec()))
            .collect();
        found.sort();
        let all = case.parameters.iter().chain(&case.states);
        let mut expected: Vec<(String, Vec<usize>)> =
            all.map(|(name, value)| (name.clone(), value.shape().to_vec())).collect();
        expected.sort();
        assert_eq!(found, expected, "{}", case.name);
    }
}

#[test]
fn compiled_layers_equal_pytorch() {
    for case in cases() {
        let compiled = Compiler::new(Options { threads: Some(1), ..Options::default() });
        let compiled =
            compiled.module(case.module()).jit().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let mut session = compiled.session().unwrap();
        let arguments = case.arguments();
        let memory: Vec<Arena> = arguments.iter().map(aligned).collect();
        let views: Vec<TensorView<'_>> = arguments
            .iter()
            .zip(&memory)
            .map(|(tensor, memory)| {
                TensorView::new(tensor.dtype(), tensor.shape(), &memory[..tensor.data().len()]).unwrap()
            })
            .collect();
        let shapes = compiled.signature().unwrap().inputs.iter().zip(&arguments);
        let shapes = shapes.map(|(port, value)| (port.name.to_string(), value.shape().to_vec())).collect();
        session.prepare(&shapes).unwrap();
        for (place, name) in case.module().functions[0].states.iter().enumerate() {
            session.set_state(place, &case.states[&**name]).unwrap();
        }
        let expected = case.expected();
        let mut results: Vec<Arena> =
            expected.iter().map(|(_, tensor)| Arena::new(tensor.data().len()).unwrap()).collect();
        let mut outputs: Vec<TensorViewMut<'_>> = expected
            .iter()
            .zip(&mut results)
            .map(|((_, tensor), memory)| {
                let bytes = tensor.data().len();
                TensorViewMut::new(tensor.dtype(), tensor.shape(), &mut memory[..bytes]).unwrap()
            })
            .collect();
        session.run(&views, &mut outputs).unwrap();
        let found: Vec<Tensor> = expected
            .iter()
            .zip(&results)
            .map(|((_, tensor), memory)| {
                let bytes = memory[..tensor.data().len()].to_vec();
                Tensor::new(tensor.dtype(), tensor.shape().to_vec(), bytes).unwrap()
            })
            .collect();
        case.compare("compiled", &found, &expected, 1e-9);
        for (place, name) in case.module().functions[0].states.iter().enumerate() {
            let after = session.state(place).unwrap();
            case.compare("compiled", &[after], &[(name.to_string(), &case.states_after[&**name])], 1e-9);
        }
    }
}

/// A tensor's bytes at the alignment of compiled code.
fn aligned(tensor: &Tensor) -> Arena {
    let mut memory = Arena::new(tensor.data().len()).unwrap();
    memory[..tensor.data().len()].copy_from_slice(tensor.data());
    memory
}
