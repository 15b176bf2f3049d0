//! Random modules from a list of numbers, so that a failing list shrinks.

use graven_ir::{
    BinaryOp, Constant, DType, Dim, Function, FusionKind, Graph, GraphBuilder, Module, Op, ReduceOp, Symbol,
    Tensor, TensorType, UnaryOp, ValueId,
};

/// The numbers that decide; 0 when they are used up.
#[derive(Clone, Debug)]
pub struct Choices {
    numbers: Vec<u32>,
    next: usize,
}

impl Choices {
    pub fn new(numbers: Vec<u32>) -> Choices {
        Choices { numbers, next: 0 }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.numbers.get(self.next - 1).copied().unwrap_or(0)
    }

    /// A number below `count`, which is not 0.
    fn below(&mut self, count: usize) -> usize {
        self.number() as usize % count
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

const NAMES: &[&str] = &[
    "x",
    "y",
    "f32",
    "0",
    "12",
    "a.b",
    "/layer.0/MatMul:0",
    "with \"quotes\" and \\",
    "line\nbreak",
    "größe",
    "",
    "return",
    "-",
    "true",
    "inf",
    "x#1",
    "%x",
    "//",
    "#0",
    "__metadata__",
];
const FLOATS: &[DType] = &[DType::F32, DType::F64, DType::F16, DType::BF16];

pub fn random_module(choices: &mut Choices) -> Module {
    let mut module = Module { name: choices.pick(NAMES).to_string(), ..Module::default() };
    for _ in 0..choices.below(3) {
        let (key, value) = (choices.pick(NAMES).to_string(), choices.pick(NAMES).to_string());
        module.metadata.insert(key, value);
    }
    for name in NAMES.iter().take(choices.below(NAMES.len())) {
        let lower = choices.below(3) as i64;
        let upper = lower + choices.below(100) as i64;
        module.symbols.push(Symbol::new(*name, lower, upper));
    }
    for name in NAMES.iter().filter(|name| !name.is_empty()).take(choices.below(NAMES.len())) {
        let tensor = random_tensor(choices);
        module.constants.push(Constant { name: (*name).into(), tensor });
    }
    for name in ["main", "7", "a function"].iter().take(choices.below(4)) {
        let function = random_function(choices, &mut module, name);
        module.functions.push(function);
    }
    module
}

fn random_tensor(choices: &mut Choices) -> Tensor {
    let dtype = *choices.pick(DType::ALL);
    let shape: Vec<usize> = (0..choices.below(4)).map(|_| choices.below(4)).collect();
    let count: usize = shape.iter().product();
    let equal = choices.below(3) == 0;
    let element = |choices: &mut Choices| match dtype.is_float() {
        // Any bits, NaNs with payloads too.
        true => choices.number().to_le_bytes().repeat(2)[..dtype.bytes()].to_vec(),
        false => graven_ir::element::encode_int(dtype, i128::from(choices.number()) - (1 << 31)).to_vec(),
    };
    let data = match equal {
        true => element(choices).repeat(count),
        false => (0..count).flat_map(|_| element(choices)).collect(),
    };
    Tensor::new(dtype, shape, data).unwrap()
}

fn random_dim(choices: &mut Choices, symbols: &[Symbol]) -> Dim {
    let constant = Dim::from(1 + choices.below(5));
    if symbols.is_empty() {
        return constant;
    }
    let (a, b) = (Dim::from(choices.pick(symbols)), Dim::from(choices.pick(symbols)));
    match choices.below(9) {
        0..3 => constant,
        3 => a,
        4 => a * b + constant,
        5 => a.floor_div(&constant) + 1,
        6 => a.modulo(&(constant + 1)) + b,
        7 => a.minimum(&b),
        _ => a.maximum(&(b + constant)),
    }
}

fn random_type(choices: &mut Choices, symbols: &[Symbol]) -> TensorType {
    let dtype = match choices.below(4) {
        0 => *choices.pick(DType::ALL),
        _ => *choices.pick(FLOATS),
    };
    TensorType::new(dtype, (0..choices.below(4)).map(|_| random_dim(choices, symbols)).collect::<Vec<Dim>>())
}

fn random_function(choices: &mut Choices, module: &mut Module, name: &str) -> Function {
    let symbols = module.symbols.clone();
    let constants = module.constants.keys().collect::<Vec<_>>();
    let mut builder = GraphBuilder::new(&mut module.constants);
    let (inputs, states) = (choices.below(4), choices.below(3));
    for _ in 0..inputs + states {
        let ty = random_type(choices, &symbols);
        let name = (choices.below(2) == 0).then(|| *choices.pick(NAMES));
        builder.param(ty, name);
    }
    for id in constants {
        if choices.below(2) == 0 {
            builder.op(Op::Constant { id }, &[]).unwrap();
        }
    }
    for _ in 0..choices.below(12) {
        add_node(choices, &mut builder, &symbols, 0);
    }
    let params: Vec<ValueId> = builder.graph().params().to_vec();
    let mut results = unused(builder.graph());
    results.truncate(20);
    // Each state's new value is the old one: only its type counts here.
    let outputs = results.len();
    results.extend(&params[inputs..]);
    let graph = builder.finish(results);
    let names =
        |choices: &mut Choices, count: usize| (0..count).map(|_| (*choices.pick(NAMES)).into()).collect();
    Function {
        name: name.into(),
        graph,
        inputs: names(choices, inputs),
        outputs: names(choices, outputs),
        states: names(choices, states),
    }
}

/// Values that no node uses.
fn unused(graph: &Graph) -> Vec<ValueId> {
    let used: Vec<ValueId> = graph.nodes().flat_map(|(_, node)| node.operands.iter().copied()).collect();
    graph.values().map(|(value, _)| value).filter(|value| !used.contains(value)).collect()
}

fn add_node(choices: &mut Choices, builder: &mut GraphBuilder<'_>, symbols: &[Symbol], depth: usize) {
    let values: Vec<ValueId> = builder.graph().values().map(|(value, _)| value).collect();
    let origin = (choices.below(4) == 0).then(|| (*choices.pick(NAMES)).into());
    builder.set_origin(origin);
    if values.is_empty() || choices.below(6) == 0 {
        let tensor = random_tensor(choices);
        builder.constant(tensor).unwrap();
        return;
    }
    let x = *choices.pick(&values);
    let (op, operands) = random_op(choices, builder, symbols, x);
    let regions = match &op {
        Op::Fuse { .. } if depth < 3 => vec![random_region(choices, builder, symbols, &operands, depth)],
        _ => Vec::new(),
    };
    // Not every op fits every value.
    if let Ok(node) = builder.node(op, &operands, regions) {
        for result in builder.graph().node(node).results.clone() {
            if choices.below(2) == 0 {
                let name = *choices.pick(NAMES);
                builder.set_name(result, name);
            }
        }
    }
}

fn random_op(
    choices: &mut Choices,
    builder: &GraphBuilder<'_>,
    symbols: &[Symbol],
    x: ValueId,
) -> (Op, Vec<ValueId>) {
    let rank = builder.ty(x).rank();
    let axis = choices.below(rank.max(1));
    let dim = random_dim(choices, symbols);
    let op = match choices.below(14) {
        0 => Op::Unary(*choices.pick(UnaryOp::ALL)),
        1 => return (Op::Binary(*choices.pick(BinaryOp::ALL)), vec![x, x]),
        2 => Op::Cast { to: *choices.pick(DType::ALL) },
        3 => Op::Reshape { shape: vec![builder.ty(x).elements()] },
        4 => Op::Transpose { permutation: (0..rank).rev().collect() },
        5 => return (Op::Concat { axis }, vec![x, x, x]),
        6 => Op::Reduce { combine: *choices.pick(ReduceOp::ALL), axes: vec![axis] },
        7 => Op::Sort { axis, descending: choices.below(2) == 0 },
        8 => {
            let epsilon = f64::from_bits(u64::from(choices.number()) << 32).into();
            Op::LayerNorm { axis, epsilon }
        }
        9 => return (Op::Extent { dim }, vec![]),
        10 => {
            let dtype = *choices.pick(FLOATS);
            return (Op::Iota { shape: vec![dim, Dim::from(2usize)], axis: 1, dtype }, vec![]);
        }
        11 => {
            let target = choices.pick(NAMES).to_string();
            let dtypes = vec![*choices.pick(DType::ALL), DType::F32];
            return (Op::CustomCall { target, dtypes, shapes: vec![vec![dim], vec![]] }, vec![x]);
        }
        _ => return (Op::Fuse { kind: *choices.pick(FusionKind::ALL) }, vec![x, x]),
    };
    (op, vec![x])
}

fn random_region(
    choices: &mut Choices,
    builder: &mut GraphBuilder<'_>,
    symbols: &[Symbol],
    operands: &[ValueId],
    depth: usize,
) -> Graph {
    let types: Vec<TensorType> = operands.iter().map(|value| builder.ty(*value).clone()).collect();
    let mut region = builder.region();
    for ty in types {
        let name = (choices.below(2) == 0).then(|| *choices.pick(NAMES));
        region.param(ty, name);
    }
    for _ in 0..choices.below(5) {
        add_node(choices, &mut region, symbols, depth + 1);
    }
    let results = unused(region.graph());
    region.finish(results)
}
