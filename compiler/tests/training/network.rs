//! ResNet-18 and LeNet-5 as ONNX models whose values are computed from names, as `record_networks.py` does.

use bytes::Bytes;
use graven::import::onnx::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto, attribute_type,
};
use graven_ir::DType;
use prost::Message;

/// Numbers in −1..1 from a name: a multiplicative hash of the elements' indices.
pub fn numbers(name: &str, count: usize) -> Vec<f64> {
    let seed = name.bytes().fold(2_166_136_261_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(16_777_619));
    let number = |index: usize| {
        let mut x = (index as u32).wrapping_mul(0x9e37_79b1).wrapping_add(seed);
        x = (x ^ (x >> 15)).wrapping_mul(0x2c1b_3c6d);
        x = (x ^ (x >> 12)).wrapping_mul(0x297a_2d39);
        f64::from(x ^ (x >> 15)) / 2_147_483_648.0 - 1.0
    };
    (0..count).map(number).collect()
}

/// First values of a parameter: weights uniform with deviation √(2 ÷ fan in), scales and variances near 1, the others near 0.
fn first(name: &str, shape: &[usize]) -> Vec<f64> {
    let numbers = numbers(name, shape.iter().product());
    let (base, factor) = match shape {
        [_, rest @ ..] if !rest.is_empty() => (0.0, (6.0 / rest.iter().product::<usize>() as f64).sqrt()),
        _ if name.ends_with(".weight") || name.ends_with("_var") => (1.0, 0.1),
        _ => (0.0, 0.1),
    };
    numbers.into_iter().map(|x| base + factor * x).collect()
}

/// An ONNX model under construction.
pub struct Network {
    dtype: DType,
    graph: GraphProto,
}

fn element_type(dtype: DType) -> i32 {
    if dtype == DType::F64 { 11 } else { 1 }
}

fn value(name: &str, dtype: DType, shape: &[usize]) -> ValueInfoProto {
    let dim = |extent: &usize| Dimension { value: Some(DimensionValue::DimValue(*extent as i64)) };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let ty = TensorTypeProto { elem_type: element_type(dtype), shape };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(TypeValue::TensorType(ty)) }) }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = attribute_type::INTS;
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type, ..AttributeProto::default() }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: attribute_type::FLOAT, ..AttributeProto::default() }
}

impl Network {
    pub fn new(dtype: DType, input: &[usize]) -> Network {
        let graph = GraphProto { input: vec![value("x", dtype, input)], ..GraphProto::default() };
        Network { dtype, graph }
    }

    /// The bytes of the model with this output.
    pub fn finish(mut self, output: &str, shape: &[usize]) -> Vec<u8> {
        self.graph.output.push(value(output, self.dtype, shape));
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
        ModelProto { ir_version: 8, graph: Some(self.graph), opset_import, ..ModelProto::default() }
            .encode_to_vec()
    }

    fn parameter(&mut self, name: &str, shape: &[usize]) {
        let values = first(name, shape);
        let raw_data: Bytes = match self.dtype {
            DType::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        };
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.iter().map(|extent| *extent as i64).collect(),
            data_type: element_type(self.dtype),
            raw_data,
            ..TensorProto::default()
        });
    }

    /// A node whose output is called after the number of nodes.
    pub fn node(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = format!("v{}", self.graph.node.len());
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.clone()],
            attribute,
            ..NodeProto::default()
        });
        output
    }

    /// A square convolution with or without bias.
    pub fn conv(
        &mut self,
        x: &str,
        name: &str,
        shape: [usize; 3],
        [stride, pad]: [i64; 2],
        bias: bool,
    ) -> String {
        let [out, input, kernel] = shape;
        let (weight, offset) = (format!("{name}.weight"), format!("{name}.bias"));
        self.parameter(&weight, &[out, input, kernel, kernel]);
        let mut inputs = vec![x, &weight];
        if bias {
            self.parameter(&offset, &[out]);
            inputs.push(&offset);
        }
        self.node("Conv", &inputs, vec![ints("strides", &[stride; 2]), ints("pads", &[pad; 4])])
    }

    /// Batch normalisation, in inference mode as in exported models.
    pub fn batch_norm(&mut self, x: &str, name: &str, features: usize) -> String {
        let names = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{name}.{part}"));
        names.iter().for_each(|name| self.parameter(name, &[features]));
        let inputs = [x, &names[0], &names[1], &names[2], &names[3]];
        let attributes = vec![float("epsilon", 1e-5), float("momentum", 0.9)];
        self.node("BatchNormalization", &inputs, attributes)
    }

    pub fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], Vec::new())
    }

    pub fn max_pool(&mut self, x: &str, [size, stride, pad]: [i64; 3]) -> String {
        let attributes =
            vec![ints("kernel_shape", &[size; 2]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])];
        self.node("MaxPool", &[x], attributes)
    }

    pub fn linear(&mut self, x: &str, name: &str, [out, input]: [usize; 2]) -> String {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.parameter(&weight, &[out, input]);
        self.parameter(&bias, &[out]);
        let r#type = attribute_type::INT;
        let transposed = AttributeProto { name: "transB".into(), i: 1, r#type, ..AttributeProto::default() };
        self.node("Gemm", &[x, &weight, &bias], vec![transposed])
    }

    /// Two convolutions around which the input goes (He et al., 2016).
    fn block(&mut self, x: &str, name: &str, [out, input]: [usize; 2], stride: i64) -> String {
        let y = self.conv(x, &format!("{name}.conv1"), [out, input, 3], [stride, 1], false);
        let y = self.batch_norm(&y, &format!("{name}.bn1"), out);
        let y = self.relu(&y);
        let y = self.conv(&y, &format!("{name}.conv2"), [out, out, 3], [1, 1], false);
        let y = self.batch_norm(&y, &format!("{name}.bn2"), out);
        let mut around = x.to_string();
        if out != input {
            around = self.conv(x, &format!("{name}.downsample.0"), [out, input, 1], [stride, 0], false);
            around = self.batch_norm(&around, &format!("{name}.downsample.1"), out);
        }
        let sum = self.node("Add", &[&y, &around], Vec::new());
        self.relu(&sum)
    }
}

/// ResNet-18 for ten classes.
pub fn resnet18(dtype: DType, batch: usize, size: usize) -> Vec<u8> {
    let mut n = Network::new(dtype, &[batch, 3, size, size]);
    let x = n.conv("x", "conv1", [64, 3, 7], [2, 3], false);
    let x = n.batch_norm(&x, "bn1", 64);
    let x = n.relu(&x);
    let mut x = n.max_pool(&x, [3, 2, 1]);
    let mut input = 64;
    for (layer, out) in [64, 128, 256, 512].into_iter().enumerate() {
        let stride = if layer == 0 { 1 } else { 2 };
        x = n.block(&x, &format!("layer{}.0", layer + 1), [out, input], stride);
        x = n.block(&x, &format!("layer{}.1", layer + 1), [out, out], 1);
        input = out;
    }
    let x = n.node("GlobalAveragePool", &[&x], Vec::new());
    let x = n.node("Flatten", &[&x], Vec::new());
    let y = n.linear(&x, "fc", [10, 512]);
    n.finish(&y, &[batch, 10])
}

/// LeNet-5 with ReLU and maximum pooling (LeCun et al., 1998, with today's functions).
pub fn lenet5(dtype: DType, batch: usize) -> Vec<u8> {
    let mut n = Network::new(dtype, &[batch, 1, 28, 28]);
    let x = n.conv("x", "conv1", [6, 1, 5], [1, 2], true);
    let x = n.relu(&x);
    let x = n.max_pool(&x, [2, 2, 0]);
    let x = n.conv(&x, "conv2", [16, 6, 5], [1, 0], true);
    let x = n.relu(&x);
    let x = n.max_pool(&x, [2, 2, 0]);
    let x = n.node("Flatten", &[&x], Vec::new());
    let x = n.linear(&x, "fc1", [120, 400]);
    let x = n.relu(&x);
    let x = n.linear(&x, "fc2", [84, 120]);
    let x = n.relu(&x);
    let y = n.linear(&x, "fc3", [10, 84]);
    n.finish(&y, &[batch, 10])
}
