//! Kernels as text.

use crate::kernel::{
    Access, Address, Block, Buffer, For, If, Kernel, KernelOp, Number, Spread, Stmt, Type, Val,
};
use cranelift_entity::SecondaryMap;
use graven_ir::Symbol;
use graven_ir::text::{LabelName, Quoted, is_word};
use std::fmt::{self, Formatter, Write};

/// Words with a meaning, which can't name values.
pub(super) const RESERVED: &[&str] = &[
    "kernel",
    "extents",
    "dims",
    "as",
    "in",
    "step",
    "carry",
    "for",
    "parallel",
    "if",
    "else",
    "yield",
    "store",
    "load",
    "prefetch",
    "check",
    "where",
    "stride",
    "gather",
    "broadcast",
    "inf",
    "nan",
    "read",
    "write",
    "readwrite",
    "scratch",
];

/// How a value is written.
#[derive(Clone, Debug, Default)]
enum Label {
    /// `v3`.
    #[default]
    Number,
    /// `i3`.
    Loop,
    /// A run-time extent's name.
    Name(String),
    /// An index constant.
    Literal(i64),
}

struct Printer<'k> {
    kernel: &'k Kernel,
    labels: SecondaryMap<Val, Label>,
}

/// The [text form](super).
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Printer::new(self).kernel(f)
    }
}

/// A statement of the kernel as text, without its blocks' statements: for messages.
pub fn display_stmt<'k>(kernel: &'k Kernel, stmt: &'k Stmt) -> impl fmt::Display + 'k {
    fmt::from_fn(move |f| Printer::new(kernel).head(f, stmt))
}

impl Printer<'_> {
    fn new(kernel: &Kernel) -> Printer<'_> {
        let mut printer = Printer { kernel, labels: SecondaryMap::new() };
        for (symbol, value) in &kernel.extents {
            if is_plain(kernel, symbol) {
                printer.labels[*value] = Label::Name(symbol.name().into());
            }
        }
        for (value, number) in literals(kernel) {
            printer.labels[value] = Label::Literal(number);
        }
        printer.loops(&kernel.body);
        printer
    }

    fn loops(&mut self, block: &Block) {
        for stmt in &block.stmts {
            if let Stmt::For(nest) = stmt {
                self.labels[nest.var] = Label::Loop;
            }
            stmt.blocks().into_iter().for_each(|block| self.loops(block));
        }
    }

    fn value(&self, value: Val) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| match &self.labels[value] {
            Label::Number => write!(f, "{value}"),
            Label::Loop => write!(f, "i{}", value.as_u32()),
            Label::Name(name) => f.write_str(name),
            Label::Literal(number) => write!(f, "{number}"),
        })
    }

    fn values(&self, values: impl IntoIterator<Item = Val>) -> String {
        values.into_iter().map(|value| self.value(value).to_string()).collect::<Vec<_>>().join(", ")
    }

    fn ty(&self, value: Val) -> Type {
        self.kernel.values.get(value).copied().unwrap_or(Type::INDEX)
    }

    fn kernel(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kernel = self.kernel;
        write!(f, "kernel @{}(", LabelName(&kernel.name))?;
        for (place, buffer) in kernel.buffers.values().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}", display_buffer(buffer))?;
        }
        f.write_char(')')?;
        if !kernel.extents.is_empty() {
            let extents: Vec<String> = kernel.extents.iter().map(|extent| self.extent(extent)).collect();
            write!(f, " extents({})", extents.join(", "))?;
        }
        let others = other_symbols(kernel);
        if !others.is_empty() {
            let dims: Vec<String> = others.iter().map(display_range).collect();
            write!(f, " dims({})", dims.join(", "))?;
        }
        f.write_char(' ')?;
        self.block(f, &kernel.body, 0, true)?;
        f.write_char('\n')
    }

    fn extent(&self, (symbol, value): &(Symbol, Val)) -> String {
        match &self.labels[*value] {
            Label::Name(_) => display_range(symbol),
            _ => {
                let (name, value) = (Quoted(symbol.name()), self.value(*value));
                format!("{name} as {value} in {}..={}", symbol.lower(), symbol.upper())
            }
        }
    }

    fn block(&self, f: &mut Formatter<'_>, block: &Block, depth: usize, outermost: bool) -> fmt::Result {
        f.write_str("{\n")?;
        for stmt in &block.stmts {
            let hidden = |value: Val| outermost && matches!(self.labels[value], Label::Literal(_));
            if matches!(stmt, Stmt::Op { result, .. } if hidden(*result)) {
                continue;
            }
            write!(f, "{:1$}", "", 2 * depth + 2)?;
            self.head(f, stmt)?;
            match stmt {
                Stmt::For(nest) => {
                    f.write_char(' ')?;
                    self.block(f, &nest.body, depth + 1, false)?;
                }
                Stmt::If(branch) => {
                    f.write_char(' ')?;
                    self.block(f, &branch.then, depth + 1, false)?;
                    if branch.otherwise != Block::default() {
                        f.write_str(" else ")?;
                        self.block(f, &branch.otherwise, depth + 1, false)?;
                    }
                }
                _ => {}
            }
            f.write_char('\n')?;
        }
        if !block.yields.is_empty() {
            let yields = self.values(block.yields.iter().copied());
            writeln!(f, "{:1$}yield {yields}", "", 2 * depth + 2)?;
        }
        write!(f, "{:1$}}}", "", 2 * depth)
    }

    /// A statement up to its blocks.
    fn head(&self, f: &mut Formatter<'_>, stmt: &Stmt) -> fmt::Result {
        match stmt {
            Stmt::Op { result, op, args } => self.op(f, *result, op, args),
            Stmt::Load { result, address, spread, mask } => {
                let (name, ty) = (self.value(*result), self.ty(*result));
                write!(f, "{name}: {ty} = load {}", self.address(address))?;
                self.access(f, spread, *mask)
            }
            Stmt::Store { value, address, spread, mask } => {
                write!(f, "store {}, {}", self.value(*value), self.address(address))?;
                self.access(f, spread, *mask)
            }
            Stmt::Prefetch { address } => write!(f, "prefetch {}", self.address(address)),
            Stmt::Check { condition, code } => write!(f, "check {} else {code}", self.value(*condition)),
            Stmt::For(nest) => self.nest(f, nest),
            Stmt::If(branch) => self.branch(f, branch),
        }
    }

    fn nest(&self, f: &mut Formatter<'_>, nest: &For) -> fmt::Result {
        if !nest.carried.is_empty() {
            write!(f, "{} = ", self.values(nest.carried.iter().map(|carried| carried.result)))?;
        }
        if nest.parallel {
            f.write_str("parallel ")?;
        }
        let (lower, upper) = (self.value(nest.lower), self.value(nest.upper));
        write!(f, "for {} in {lower}..{upper}", self.value(nest.var))?;
        if nest.step != 1 {
            write!(f, " step {}", nest.step)?;
        }
        for (place, carried) in nest.carried.iter().enumerate() {
            f.write_str(if place == 0 { " carry " } else { ", " })?;
            write!(f, "{} = {}", self.value(carried.param), self.value(carried.init))?;
        }
        Ok(())
    }

    fn branch(&self, f: &mut Formatter<'_>, branch: &If) -> fmt::Result {
        if !branch.results.is_empty() {
            write!(f, "{} = ", self.values(branch.results.iter().copied()))?;
        }
        write!(f, "if {}", self.value(branch.condition))
    }

    fn address(&self, address: &Address) -> impl fmt::Display + '_ {
        let Address { buffer, index, offset } = *address;
        fmt::from_fn(move |f| {
            let name = self.kernel.buffers.get(buffer).map_or("?", |buffer| &buffer.name);
            write!(f, "%{}[", LabelName(name))?;
            match (&self.labels[index], offset) {
                (Label::Literal(0), offset) => write!(f, "{offset}]"),
                (Label::Literal(number), offset) => {
                    write!(f, "{number} {} {}]", sign(offset), offset.unsigned_abs())
                }
                (_, 0) => write!(f, "{}]", self.value(index)),
                _ => write!(f, "{} {} {}]", self.value(index), sign(offset), offset.unsigned_abs()),
            }
        })
    }

    fn access(&self, f: &mut Formatter<'_>, spread: &Spread, mask: Option<Val>) -> fmt::Result {
        match spread {
            Spread::Contiguous => {}
            Spread::Strided(stride) => write!(f, " stride {stride}")?,
            Spread::Gathered(lanes) => write!(f, " gather {}", self.value(*lanes))?,
            Spread::Broadcast => f.write_str(" broadcast")?,
        }
        match mask {
            Some(mask) => write!(f, " where {}", self.value(mask)),
            None => Ok(()),
        }
    }

    fn op(&self, f: &mut Formatter<'_>, result: Val, op: &KernelOp, args: &[Val]) -> fmt::Result {
        write!(f, "{}", self.value(result))?;
        if needs_type(op) {
            write!(f, ": {}", self.ty(result))?;
        }
        write!(f, " = {}", op.name())?;
        match op {
            KernelOp::Constant(number) => return write!(f, " {}", display_number(*number)),
            KernelOp::Reduce(function) => write!(f, " {}", function.name())?,
            _ => {}
        }
        for (place, arg) in args.iter().enumerate() {
            f.write_str(if place == 0 { " " } else { ", " })?;
            write!(f, "{}", self.value(*arg))?;
            match op {
                KernelOp::Extract { lane } | KernelOp::Insert { lane } if place == 0 => {
                    write!(f, "[{lane}]")?;
                }
                _ => {}
            }
        }
        if let KernelOp::Shuffle { lanes } = op {
            let lanes: Vec<String> = lanes.iter().map(u16::to_string).collect();
            write!(f, " [{}]", lanes.join(", "))?;
        }
        Ok(())
    }
}

/// Whether the operation and its operands don't tell the type of the result.
pub(super) fn needs_type(op: &KernelOp) -> bool {
    matches!(
        op,
        KernelOp::Constant(_)
            | KernelOp::Convert(_)
            | KernelOp::Bitcast(_)
            | KernelOp::ConvertMask { .. }
            | KernelOp::Splat { .. }
            | KernelOp::TailMask { .. }
            | KernelOp::LaneIds { .. }
    )
}

fn sign(offset: i64) -> char {
    if offset < 0 { '-' } else { '+' }
}

/// Whether an extent's name can stand for its value: a word without another meaning, and the name of one extent only.
fn is_plain(kernel: &Kernel, symbol: &Symbol) -> bool {
    let name = symbol.name();
    let is_numbered =
        name.strip_prefix(['v', 'i']).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let same = kernel.extents.iter().filter(|(other, _)| other.name() == name).count();
    is_word(name) && !is_numbered && !RESERVED.contains(&name) && same == 1
}

/// The index constants at the start of the body, if they stand in the order of their first use, as the parser puts those of integer operands.
fn literals(kernel: &Kernel) -> Vec<(Val, i64)> {
    let mut found: Vec<(Val, i64)> = Vec::new();
    for stmt in &kernel.body.stmts {
        match stmt {
            Stmt::Op { result, op: KernelOp::Constant(Number::Int(number)), .. }
                if kernel.values.get(*result) == Some(&Type::INDEX)
                    && found.iter().all(|(_, other)| other != number) =>
            {
                found.push((*result, *number));
            }
            _ => break,
        }
    }
    let mut places: SecondaryMap<Val, Option<usize>> = SecondaryMap::new();
    for (place, (value, _)) in found.iter().enumerate() {
        places[*value] = Some(place);
    }
    let (mut next, mut in_order) = (0, true);
    kernel.body.for_each_use(&mut |value| {
        if let Some(place) = places.get(value).copied().flatten() {
            places[value] = None;
            in_order &= place == next;
            next += 1;
        }
    });
    if in_order && next == found.len() { found } else { Vec::new() }
}

fn other_symbols(kernel: &Kernel) -> Vec<Symbol> {
    let mut others: Vec<Symbol> = Vec::new();
    for buffer in kernel.buffers.values() {
        buffer.elements.for_each_symbol(&mut |symbol| {
            let is_extent = kernel.extents.iter().any(|(extent, _)| extent == symbol);
            if !is_extent && !others.contains(symbol) {
                others.push(symbol.clone());
            }
        });
    }
    others
}

fn display_range(symbol: &Symbol) -> String {
    format!("{symbol} in {}..={}", symbol.lower(), symbol.upper())
}

fn display_buffer(buffer: &Buffer) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        let access = access_name(buffer.access);
        write!(f, "%{}: {access} {}[{}]", LabelName(&buffer.name), buffer.dtype, buffer.elements)
    })
}

pub(super) fn access_name(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::ReadWrite => "readwrite",
        Access::Scratch => "scratch",
    }
}

/// The shortest decimal that gives the same f64; `nan` has its bits where they are not the usual ones.
fn display_number(number: Number) -> String {
    match number {
        Number::Int(value) => value.to_string(),
        Number::Float(bits) => match f64::from_bits(bits) {
            value if value.is_nan() && bits == f64::NAN.to_bits() => "nan".into(),
            value if value.is_nan() => format!("nan({bits:#x})"),
            value => format!("{value:?}"),
        },
    }
}

/// The dtype of a type's name: `f32` of `f32x8`.
pub(super) fn split_type(word: &str) -> Option<(&str, u16)> {
    match word.rsplit_once('x') {
        Some((element, lanes)) => lanes.parse().ok().filter(|lanes| *lanes > 1).map(|lanes| (element, lanes)),
        None => Some((word, 1)),
    }
}
