//! Machine instructions over virtual registers, in blocks with parameters: what register allocation takes.
//!
//! [`Builder`] appends instructions to blocks in any order; [`Builder::finish`] drops what nobody uses and lays the blocks out in the order in which they
//! were begun, cold ones last. Edges are split where they are made: a conditional branch only ever goes to blocks of one predecessor without parameters.

use super::constants::{ConstantId, Constants};
use super::inst::{Cond, Op, Result as Defines, Width, result};
use regalloc2::{Block, Function, Inst as InstIndex, InstRange, Operand, PReg, PRegSet, RegClass, VReg};
use smallvec::{SmallVec, smallvec};

/// What an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A row of the table.
    Op(Op),
    /// `setcc`.
    Set(Cond),
    /// `cmovcc`: the second value where the condition holds, else the first.
    Select(Cond),
    /// A jump to the first successor where the condition holds, else to the second.
    Branch(Cond),
    /// A jump.
    Jump,
    /// The return.
    Return,
    /// Defines the parameters of the function.
    Params,
    /// A vector register of zeros.
    Zero,
}

/// An operand as it is encoded; registers are numbers of the instruction's operands.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A register.
    Reg(u8),
    /// Memory.
    Mem(Amode),
    /// A number.
    Imm(i64),
}

/// An address as it is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Amode {
    /// Where it begins.
    pub base: Base<u8>,
    /// An index register and its scale.
    pub index: Option<(u8, u8)>,
    /// Distance in bytes.
    pub disp: i32,
}

/// The base of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base<R> {
    /// A register.
    Reg(R),
    /// A constant of the code.
    Constant(ConstantId),
    /// The function's own 64 bytes of stack.
    Frame,
}

/// An address over virtual registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    /// Where it begins.
    pub base: Base<VReg>,
    /// An index and its scale: 1, 2, 4 or 8.
    pub index: Option<(VReg, u8)>,
    /// Distance in bytes.
    pub disp: i32,
    /// Whether one element at the address stands for all lanes.
    pub broadcast: bool,
}

impl Mem {
    /// The address that a register holds, plus a distance.
    pub fn at(base: VReg, disp: i32) -> Mem {
        Mem { base: Base::Reg(base), index: None, disp, broadcast: false }
    }

    /// A constant of the code.
    pub fn constant(id: ConstantId) -> Mem {
        Mem { base: Base::Constant(id), index: None, disp: 0, broadcast: false }
    }

    /// Some bytes further on.
    pub fn advanced(self, bytes: i32) -> Mem {
        Mem { disp: self.disp + bytes, ..self }
    }
}

/// What instruction selection passes as an operand.
#[derive(Clone, Copy, Debug)]
pub enum In {
    /// A register.
    Reg(VReg),
    /// Memory.
    Mem(Mem),
    /// A number.
    Imm(i64),
}

impl From<VReg> for In {
    fn from(register: VReg) -> In {
        In::Reg(register)
    }
}

impl From<Mem> for In {
    fn from(mem: Mem) -> In {
        In::Mem(mem)
    }
}

impl From<i64> for In {
    fn from(number: i64) -> In {
        In::Imm(number)
    }
}

/// An instruction.
#[derive(Clone, Debug)]
pub struct Inst {
    /// What it is.
    pub kind: Kind,
    /// Of which width.
    pub width: Width,
    /// The operands that are encoded.
    pub args: SmallVec<[Arg; 4]>,
    /// The registers, for allocation.
    pub operands: SmallVec<[Operand; 4]>,
    /// The operand that is the writing mask, and whether other lanes become zero.
    pub mask: Option<(u8, bool)>,
    /// Whether memory is one element for all lanes.
    pub broadcast: bool,
}

impl Inst {
    fn new(kind: Kind, width: Width) -> Inst {
        let (args, operands) = (SmallVec::new(), SmallVec::new());
        Inst { kind, width, args, operands, mask: None, broadcast: false }
    }

    fn operand(&mut self, operand: Operand) -> u8 {
        self.operands.push(operand);
        (self.operands.len() - 1) as u8
    }

    fn input(&mut self, input: In) {
        let arg = match input {
            In::Reg(register) => Arg::Reg(self.operand(Operand::reg_use(register))),
            In::Imm(number) => Arg::Imm(number),
            In::Mem(mem) => {
                self.broadcast |= mem.broadcast;
                let base = match mem.base {
                    Base::Reg(register) => Base::Reg(self.operand(Operand::reg_use(register))),
                    Base::Constant(id) => Base::Constant(id),
                    Base::Frame => Base::Frame,
                };
                let index = mem.index.map(|(index, scale)| (self.operand(Operand::reg_use(index)), scale));
                Arg::Mem(Amode { base, index, disp: mem.disp })
            }
        };
        self.args.push(arg);
    }

    /// Whether it may be dropped when nobody uses what it defines.
    fn is_pure(&self) -> bool {
        match self.kind {
            Kind::Op(op) => !matches!(result(op.row().form), Defines::None) || self.defines(),
            Kind::Set(_) | Kind::Select(_) | Kind::Zero => true,
            _ => false,
        }
    }

    fn defines(&self) -> bool {
        self.operands.iter().any(|operand| operand.kind() == regalloc2::OperandKind::Def)
    }

    fn reads_flags(&self) -> bool {
        matches!(self.kind, Kind::Set(_) | Kind::Select(_) | Kind::Branch(_))
    }

    /// Compares: nothing but the flags is written.
    fn only_sets_flags(&self) -> bool {
        use Op::*;
        matches!(self.kind, Kind::Op(IntCmp | IntCmpImm | IntTest | CompareF32 | CompareF64))
    }
}

/// A block while it is built.
#[derive(Debug, Default)]
struct BlockData {
    params: Vec<VReg>,
    insts: Vec<Inst>,
    succs: SmallVec<[usize; 2]>,
    /// What is passed to the only successor.
    args: Vec<VReg>,
    aligned: bool,
    cold: bool,
}

/// A block of the builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(usize);

/// Builds the code of a kernel.
#[derive(Debug, Default)]
pub struct Builder {
    blocks: Vec<BlockData>,
    order: Vec<usize>,
    current: usize,
    registers: usize,
    /// The constants that the code refers to.
    pub constants: Constants,
    /// The widest vector that is written or read.
    pub widest: Option<Width>,
    /// Whether the function's own bytes of stack are used.
    pub uses_frame: bool,
}

impl Builder {
    /// A new register.
    pub fn register(&mut self, class: RegClass) -> VReg {
        self.registers += 1;
        VReg::new(self.registers - 1, class)
    }

    /// A new block.
    pub fn block(&mut self) -> Label {
        self.blocks.push(BlockData::default());
        Label(self.blocks.len() - 1)
    }

    /// A block that is rarely executed.
    pub fn cold_block(&mut self) -> Label {
        let label = self.block();
        self.blocks[label.0].cold = true;
        label
    }

    /// Adds a parameter to a block.
    pub fn param(&mut self, block: Label, class: RegClass) -> VReg {
        let register = self.register(class);
        self.blocks[block.0].params.push(register);
        register
    }

    /// Lets the block begin at a multiple of 64 bytes.
    pub fn align(&mut self, block: Label) {
        self.blocks[block.0].aligned = true;
    }

    /// Appends to this block from now on.
    pub fn begin(&mut self, block: Label) {
        self.current = block.0;
        self.order.push(block.0);
    }

    fn push(&mut self, inst: Inst) {
        self.blocks[self.current].insts.push(inst);
    }

    /// An instruction with a result.
    pub fn def(&mut self, op: Op, width: Width, inputs: &[In]) -> VReg {
        self.masked_def(op, width, inputs, None)
    }

    /// An instruction with a result, of which a mask chooses the lanes: the others are zero, or of the first input if that is tied to the result.
    pub fn masked_def(&mut self, op: Op, width: Width, inputs: &[In], mask: Option<VReg>) -> VReg {
        let form = op.row().form;
        let mut inst = Inst::new(Kind::Op(op), width);
        let (class, mut rest) = match result(form) {
            Defines::Tied(class) => (class, &inputs[1..]),
            Defines::New(class) => (class, inputs),
            Defines::None => (RegClass::Int, &inputs[..0]),
        };
        let defined = self.register(class);
        let tied = matches!(result(form), Defines::Tied(_));
        if tied && let In::Reg(first) = inputs[0] {
            // The tied input is operand 0, the result operand 1.
            inst.operand(Operand::reg_use(first));
            let place = inst.operand(Operand::reg_reuse_def(defined, 0));
            inst.args.push(Arg::Reg(place));
        } else {
            let place = inst.operand(Operand::reg_def(defined));
            inst.args.push(Arg::Reg(place));
        }
        while let Some((first, others)) = rest.split_first() {
            inst.input(*first);
            rest = others;
        }
        if let Some(mask) = mask {
            let merges = tied || form.starts_with('K') || op.row().name.starts_with("MaskBlend");
            inst.mask = Some((inst.operand(Operand::reg_use(mask)), !merges));
        }
        self.note_width(form, width);
        self.push(inst);
        defined
    }

    /// An instruction without a result; a mask chooses the lanes that are stored.
    pub fn effect(&mut self, op: Op, width: Width, inputs: &[In], mask: Option<VReg>) {
        let mut inst = Inst::new(Kind::Op(op), width);
        inputs.iter().for_each(|input| inst.input(*input));
        if let Some(mask) = mask {
            inst.mask = Some((inst.operand(Operand::reg_use(mask)), false));
        }
        self.note_width(op.row().form, width);
        self.push(inst);
    }

    fn note_width(&mut self, form: &str, width: Width) {
        let vector =
            form.bytes().any(|letter| matches!(letter, b'V' | b'A' | b'T' | b'H' | b'B' | b'W' | b'C'));
        let scalar = form.bytes().any(|letter| matches!(letter, b'X' | b'x' | b'R' | b'P'));
        let used = if vector {
            Some(width)
        } else if scalar {
            Some(Width::X)
        } else {
            None
        };
        self.widest = self.widest.max(used);
    }

    /// An instruction whose operands are in fixed registers; `encoded` is the operand that the machine code names.
    pub fn fixed(&mut self, op: Op, width: Width, operands: &[Operand], encoded: Option<usize>) {
        let mut inst = Inst::new(Kind::Op(op), width);
        inst.operands = SmallVec::from_slice(operands);
        inst.args.extend(encoded.map(|operand| Arg::Reg(operand as u8)));
        self.push(inst);
    }

    /// The flags as 0 or 1 in the low byte; the other bits are those that the register had.
    pub fn set(&mut self, cond: Cond) -> VReg {
        let defined = self.register(RegClass::Int);
        let mut inst = Inst::new(Kind::Set(cond), Width::W32);
        let place = inst.operand(Operand::reg_def(defined));
        inst.args.push(Arg::Reg(place));
        self.push(inst);
        self.def(Op::IntExtendU8, Width::W32, &[defined.into()])
    }

    /// `x` where the condition of the flags holds, else `y`.
    pub fn select(&mut self, cond: Cond, x: VReg, y: VReg) -> VReg {
        let defined = self.register(RegClass::Int);
        let mut inst = Inst::new(Kind::Select(cond), Width::W64);
        inst.operand(Operand::reg_use(y));
        let place = inst.operand(Operand::reg_reuse_def(defined, 0));
        inst.args.push(Arg::Reg(place));
        inst.input(x.into());
        self.push(inst);
        defined
    }

    /// A vector of zeros, of any width.
    pub fn zero(&mut self) -> VReg {
        let defined = self.register(RegClass::Float);
        let mut inst = Inst::new(Kind::Zero, Width::X);
        let place = inst.operand(Operand::reg_def(defined));
        inst.args.extend([Arg::Reg(place); 3]);
        self.push(inst);
        self.widest = self.widest.max(Some(Width::X));
        defined
    }

    /// The function's parameters, in these registers.
    pub fn params(&mut self, places: &[PReg]) -> SmallVec<[VReg; 3]> {
        let mut inst = Inst::new(Kind::Params, Width::W64);
        let registers: SmallVec<[VReg; 3]> = places.iter().map(|_| self.register(RegClass::Int)).collect();
        for (register, place) in registers.iter().zip(places) {
            inst.operand(Operand::reg_fixed_def(*register, *place));
        }
        self.push(inst);
        registers
    }

    /// Ends the block with a jump.
    pub fn jump(&mut self, to: Label, args: &[VReg]) {
        self.push(Inst::new(Kind::Jump, Width::X));
        let block = &mut self.blocks[self.current];
        block.succs = smallvec![to.0];
        block.args = args.to_vec();
    }

    /// Ends the block with a conditional branch. Both edges get blocks of their own, which vanish if they stay empty.
    pub fn branch(&mut self, cond: Cond, then: (Label, &[VReg]), otherwise: (Label, &[VReg])) {
        self.push(Inst::new(Kind::Branch(cond), Width::X));
        let edges = [self.block(), self.block()];
        self.blocks[self.current].succs = smallvec![edges[0].0, edges[1].0];
        for (edge, (to, args)) in edges.into_iter().zip([then, otherwise]) {
            self.begin(edge);
            self.jump(to, args);
        }
    }

    /// Ends the function.
    pub fn ret(&mut self) {
        self.push(Inst::new(Kind::Return, Width::X));
    }

    /// Drops instructions without use and lays the blocks out.
    pub fn finish(mut self) -> VCode {
        self.drop_unused();
        let blocks = &self.blocks;
        let warm = self.order.iter().copied().filter(|block| !blocks[*block].cold);
        let order: Vec<usize> =
            warm.chain(self.order.iter().copied().filter(|block| blocks[*block].cold)).collect();
        let mut places = vec![usize::MAX; self.blocks.len()];
        order.iter().enumerate().for_each(|(place, block)| places[*block] = place);
        let mut code = VCode { registers: self.registers, ..VCode::default() };
        for block in &order {
            let data = std::mem::take(&mut self.blocks[*block]);
            let first = code.insts.len();
            code.insts.extend(data.insts);
            code.ranges.push((first, code.insts.len()));
            code.params.push(data.params);
            code.args.push(data.args);
            code.aligned.push(data.aligned);
            code.succs.push(data.succs.iter().map(|succ| Block::new(places[*succ])).collect());
            code.preds.push(SmallVec::new());
        }
        for block in 0..order.len() {
            for succ in code.succs[block].clone() {
                code.preds[succ.index()].push(Block::new(block));
            }
        }
        code.constants = self.constants;
        code.widest = self.widest;
        code.uses_frame = self.uses_frame;
        code
    }

    /// Uses are counted first; blocks are visited last to first, so that all users of a value are seen before it, but for those around a loop.
    fn drop_unused(&mut self) {
        let mut uses = vec![0u32; self.registers];
        for block in &self.blocks {
            let operands = block.insts.iter().flat_map(|inst| &inst.operands);
            let used = operands.filter(|operand| operand.kind() == regalloc2::OperandKind::Use);
            used.map(|operand| operand.vreg()).chain(block.args.iter().copied()).for_each(|vreg| {
                uses[vreg.vreg()] += 1;
            });
        }
        for block in self.order.iter().rev() {
            let insts = &mut self.blocks[*block].insts;
            let mut kept = Vec::with_capacity(insts.len());
            let mut flags = false;
            while let Some(inst) = insts.pop() {
                let defs = inst.operands.iter().filter(|o| o.kind() == regalloc2::OperandKind::Def);
                let unused = defs.clone().all(|def| uses[def.vreg().vreg()] == 0);
                if (inst.is_pure() && unused) || (inst.only_sets_flags() && !flags) {
                    let used = inst.operands.iter().filter(|o| o.kind() == regalloc2::OperandKind::Use);
                    used.for_each(|operand| uses[operand.vreg().vreg()] -= 1);
                    continue;
                }
                if inst.reads_flags() {
                    flags = true;
                } else if inst.only_sets_flags() {
                    flags = false;
                }
                kept.push(inst);
            }
            kept.reverse();
            *insts = kept;
        }
    }
}

/// The code of a kernel before register allocation.
#[derive(Debug, Default)]
pub struct VCode {
    /// All instructions, block after block.
    pub insts: Vec<Inst>,
    ranges: Vec<(usize, usize)>,
    params: Vec<Vec<VReg>>,
    args: Vec<Vec<VReg>>,
    succs: Vec<SmallVec<[Block; 2]>>,
    preds: Vec<SmallVec<[Block; 2]>>,
    /// Blocks that begin at multiples of 64 bytes.
    pub aligned: Vec<bool>,
    registers: usize,
    /// Constants that it refers to.
    pub constants: Constants,
    /// The widest vector.
    pub widest: Option<Width>,
    /// Whether the function's own bytes of stack are used.
    pub uses_frame: bool,
}

impl VCode {
    /// Whether a block is in a loop that holds no other: between its aligned beginning and the jump back.
    pub fn is_innermost(&self, block: Block) -> bool {
        (0..=block.index()).rev().any(|begin| {
            self.aligned[begin] && self.preds[begin].iter().any(|latch| latch.index() >= block.index())
        })
    }
}

impl Function for VCode {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.ranges.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let (first, end) = self.ranges[block.index()];
        InstRange::new(InstIndex::new(first), InstIndex::new(end))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.succs[block.index()]
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.preds[block.index()]
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.params[block.index()]
    }

    fn is_ret(&self, inst: InstIndex) -> bool {
        self.insts[inst.index()].kind == Kind::Return
    }

    fn is_branch(&self, inst: InstIndex) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Branch(_) | Kind::Jump)
    }

    fn branch_blockparams(&self, block: Block, _inst: InstIndex, _succ: usize) -> &[VReg] {
        &self.args[block.index()]
    }

    fn inst_operands(&self, inst: InstIndex) -> &[Operand] {
        &self.insts[inst.index()].operands
    }

    fn inst_clobbers(&self, _inst: InstIndex) -> PRegSet {
        PRegSet::empty()
    }

    fn num_vregs(&self) -> usize {
        self.registers
    }

    /// In words of 8 bytes.
    fn spillslot_size(&self, class: RegClass) -> usize {
        match class {
            RegClass::Float => self.widest.map_or(2, |width| width.bytes() / 8),
            _ => 1,
        }
    }
}
