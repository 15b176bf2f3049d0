//! Encoding: allocated code to bytes.

use super::assemble::{self, Place};
use super::frame::Frame;
use super::inst::{Code, File, Op, Width};
use super::registers::{Level, general, register};
use super::vcode::{Amode, Arg, Base, Inst, Kind, VCode};
use iced_x86::{Encoder, Instruction, MemoryOperand, Register};
use regalloc2::{Allocation, Block, Edit, Function, Inst as InstIndex, InstOrEdit, Output, RegClass};

/// Bytes of a page, each of which a large frame touches in order.
const PAGE: i32 = 4096;

/// Machine code, and for people where each instruction is.
pub struct Encoded {
    /// Instructions and constants.
    pub bytes: Vec<u8>,
    /// The instructions with their places.
    pub listing: Vec<(usize, Instruction)>,
    /// Where each block begins.
    pub blocks: Vec<usize>,
}

/// What refers to a place that is not known yet.
enum Fixup {
    /// A block, from the four bytes at the place.
    Block(usize, Block),
    /// A constant, from the four bytes at the place in the instruction that ends at the other.
    Constant(usize, usize, usize),
}

struct Emitter<'a> {
    code: &'a VCode,
    output: &'a Output,
    frame: Frame,
    level: Level,
    encoder: Encoder,
    bytes: usize,
    fixups: Vec<Fixup>,
    /// For each block, the one that it only jumps to.
    threaded: Vec<Block>,
    listing: Option<Vec<(usize, Instruction)>>,
}

/// Encodes allocated code.
///
/// # Errors
/// What is wrong with an instruction: our bug.
pub fn encode(code: &VCode, output: &Output, level: Level, list: bool) -> Result<Encoded, String> {
    let encoder = Encoder::try_new(64).map_err(|error| error.to_string())?;
    let mut emitter = Emitter {
        code,
        output,
        frame: Frame::of(code, output, level),
        level,
        encoder,
        bytes: 0,
        fixups: Vec::new(),
        threaded: threads(code, output),
        listing: list.then(Vec::new),
    };
    emitter.prologue()?;
    let mut blocks = Vec::with_capacity(code.num_blocks());
    for index in 0..code.num_blocks() {
        let block = Block::new(index);
        if code.aligned[index] {
            emitter.pad();
        }
        blocks.push(emitter.bytes);
        if emitter.threaded[index] == block {
            emitter.block(block)?;
        }
    }
    let mut bytes = emitter.encoder.take_buffer();
    let places = code.constants.append(&mut bytes);
    for fixup in &emitter.fixups {
        let (place, target, end) = match *fixup {
            Fixup::Block(place, block) => (place, blocks[block.index()], place + 4),
            Fixup::Constant(place, constant, end) => (place, places[constant], end),
        };
        let distance = (target as i64 - end as i64) as i32;
        bytes[place..place + 4].copy_from_slice(&distance.to_le_bytes());
    }
    Ok(Encoded { bytes, listing: emitter.listing.unwrap_or_default(), blocks })
}

/// For each block, where a jump to it ends up: blocks of nothing but a jump vanish.
fn threads(code: &VCode, output: &Output) -> Vec<Block> {
    let is_empty = |block: Block| {
        let jump = code.block_insns(block).first();
        code.block_insns(block).len() == 1
            && code.insts[jump.index()].kind == Kind::Jump
            && !output.block_insts_and_edits(code, block).any(|item| matches!(item, InstOrEdit::Edit(_)))
    };
    let mut threaded: Vec<Block> = (0..code.num_blocks()).map(Block::new).collect();
    for index in (1..code.num_blocks()).rev() {
        if is_empty(Block::new(index)) {
            let to = code.block_succs(Block::new(index))[0];
            threaded[index] = if to.index() > index { threaded[to.index()] } else { to };
        }
    }
    threaded
}

fn failed(error: iced_x86::IcedError) -> String {
    error.to_string()
}

impl Emitter<'_> {
    fn emit(&mut self, instruction: &Instruction) -> Result<(), String> {
        if let Some(listing) = &mut self.listing {
            listing.push((self.bytes, *instruction));
        }
        self.bytes += self
            .encoder
            .encode(instruction, self.bytes as u64)
            .map_err(|error| format!("{error} in {:?}", instruction.code()))?;
        Ok(())
    }

    /// Up to the next multiple of 64 bytes, by long `nop`s (Intel 64 Software Developer's Manual, volume 2B, `NOP`).
    fn pad(&mut self) {
        let nops: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0],
            &[0x0f, 0x1f, 0x44, 0, 0],
            &[0x66, 0x0f, 0x1f, 0x44, 0, 0],
            &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
            &[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
            &[0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
        ];
        let mut missing = self.bytes.next_multiple_of(64) - self.bytes;
        let mut buffer = self.encoder.take_buffer();
        self.bytes += missing;
        while missing > 0 {
            let nop = nops[missing.min(nops.len()) - 1];
            buffer.extend_from_slice(nop);
            missing -= nop.len();
        }
        self.encoder.set_buffer(buffer);
    }

    fn block(&mut self, block: Block) -> Result<(), String> {
        let output = self.output;
        for item in output.block_insts_and_edits(self.code, block) {
            match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => self.move_value(*from, *to)?,
                InstOrEdit::Inst(index) => self.inst(block, index)?,
            }
        }
        Ok(())
    }

    fn inst(&mut self, block: Block, index: InstIndex) -> Result<(), String> {
        let code = self.code;
        let inst = &code.insts[index.index()];
        let output = self.output;
        let allocations = output.inst_allocs(index);
        let succs = code.block_succs(block);
        match inst.kind {
            Kind::Params => Ok(()),
            Kind::Jump => self.jump(block, succs[0]),
            Kind::Return => self.epilogue(),
            Kind::Branch(cond) => {
                let [then, otherwise] = [self.threaded[succs[0].index()], self.threaded[succs[1].index()]];
                if self.follows(block, then) {
                    return self.jump_to(cond.negated().jump(), otherwise);
                }
                self.jump_to(cond.jump(), then)?;
                self.jump(block, succs[1])
            }
            Kind::Set(cond) => self.operands(inst, allocations, cond.set(), "h"),
            Kind::Select(cond) => self.operands(inst, allocations, cond.select(), "tO"),
            Kind::Zero => {
                let row = Op::BitXor.row();
                let code = row.code(Width::X, needs_evex(inst, allocations)).ok_or("no encoding of zero")?;
                self.operands(inst, allocations, code, row.form)
            }
            Kind::Op(op) => {
                let row = op.row();
                let code = row.code(inst.width, needs_evex(inst, allocations));
                let code = code.ok_or_else(|| format!("{} has no encoding of {:?}", row.name, inst.width))?;
                self.operands(inst, allocations, code, row.form)
            }
        }
    }

    /// Whether execution falls from one block through to the other.
    fn follows(&self, block: Block, next: Block) -> bool {
        let between = block.index() + 1..next.index();
        next.index() > block.index() && between.into_iter().all(|index| self.threaded[index].index() != index)
    }

    fn jump(&mut self, block: Block, to: Block) -> Result<(), String> {
        let to = self.threaded[to.index()];
        if self.follows(block, to) { Ok(()) } else { self.jump_to(Code::Jmp_rel32_64, to) }
    }

    fn jump_to(&mut self, code: Code, to: Block) -> Result<(), String> {
        let jump = Instruction::with_branch(code, self.bytes as u64).map_err(failed)?;
        self.emit(&jump)?;
        self.fixups.push(Fixup::Block(self.bytes - 4, to));
        Ok(())
    }

    fn operands(
        &mut self,
        inst: &Inst,
        allocations: &[Allocation],
        code: Code,
        form: &str,
    ) -> Result<(), String> {
        let place = Place { here: self.bytes, own: self.frame.own() };
        let instruction = assemble::instruction(inst, allocations, code, form, place)?;
        let mut constants = inst.args.iter().filter_map(|arg| match arg {
            Arg::Mem(Amode { base: Base::Constant(id), .. }) => Some(*id),
            _ => None,
        });
        let constant = constants.next_back();
        let start = self.bytes;
        self.emit(&instruction)?;
        if let Some(id) = constant {
            let place = start + self.encoder.get_constant_offsets().displacement_offset();
            self.fixups.push(Fixup::Constant(place, id.index(), self.bytes));
        }
        Ok(())
    }

    fn prologue(&mut self) -> Result<(), String> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let frame = self.frame.clone();
        self.emit(&Instruction::with1(Code::Push_r64, Register::RBP).map_err(failed)?)?;
        let set = Instruction::with2(Code::Mov_r64_rm64, Register::RBP, Register::RSP).map_err(failed)?;
        self.emit(&set)?;
        for saved in &frame.general {
            self.emit(&Instruction::with1(Code::Push_r64, general(saved.hw_enc())).map_err(failed)?)?;
        }
        if frame.bytes == 0 {
            return Ok(());
        }
        let adjust = |code, value: i32| Instruction::with2(code, Register::RSP, value).map_err(failed);
        self.emit(&adjust(Code::And_rm64_imm8, -64)?)?;
        let mut left = frame.bytes;
        while left >= PAGE {
            self.emit(&adjust(Code::Sub_rm64_imm32, PAGE)?)?;
            let memory = MemoryOperand::with_base(Register::RSP);
            self.emit(&Instruction::with2(Code::Or_rm64_imm8, memory, 0).map_err(failed)?)?;
            left -= PAGE;
        }
        if left > 0 {
            self.emit(&adjust(Code::Sub_rm64_imm32, left)?)?;
        }
        for (n, saved) in frame.vectors.iter().enumerate() {
            let memory = MemoryOperand::with_base_displ(Register::RSP, frame.vector(n).into());
            let value = register(File::Vector(Width::X), saved.hw_enc());
            let store = Instruction::with2(Code::VEX_Vmovups_xmmm128_xmm, memory, value).map_err(failed)?;
            self.emit(&store)?;
        }
        Ok(())
    }

    fn epilogue(&mut self) -> Result<(), String> {
        let frame = self.frame.clone();
        // Mixing 256-bit registers with code that doesn't know them is slow on some CPUs.
        if self.code.widest > Some(Width::X) {
            self.emit(&Instruction::with(Code::VEX_Vzeroupper))?;
        }
        for (n, saved) in frame.vectors.iter().enumerate() {
            let memory = MemoryOperand::with_base_displ(Register::RSP, frame.vector(n).into());
            let value = register(File::Vector(Width::X), saved.hw_enc());
            self.emit(&Instruction::with2(Code::VEX_Vmovups_xmm_xmmm128, value, memory).map_err(failed)?)?;
        }
        if !frame.is_empty() {
            let distance = -8 * frame.general.len() as i64;
            let memory = MemoryOperand::with_base_displ(Register::RBP, distance);
            self.emit(&Instruction::with2(Code::Lea_r64_m, Register::RSP, memory).map_err(failed)?)?;
            for saved in frame.general.iter().rev() {
                self.emit(&Instruction::with1(Code::Pop_r64, general(saved.hw_enc())).map_err(failed)?)?;
            }
            self.emit(&Instruction::with1(Code::Pop_r64, Register::RBP).map_err(failed)?)?;
        }
        self.emit(&Instruction::with(Code::Retnq))
    }

    /// A move between registers, or between a register and a spill slot.
    fn move_value(&mut self, from: Allocation, to: Allocation) -> Result<(), String> {
        let width = match from.as_reg().or(to.as_reg()).map(|register| register.class()) {
            Some(RegClass::Float) => self.code.widest.unwrap_or(Width::X),
            Some(_) => Width::W64,
            None => return Err("a move from stack to stack".into()),
        };
        let class = from.as_reg().or(to.as_reg()).map_or(RegClass::Int, |register| register.class());
        let file = match class {
            RegClass::Int => File::General(64),
            RegClass::Float => File::Vector(width),
            RegClass::Vector => File::Mask,
        };
        let name =
            |allocation: Allocation| allocation.as_reg().map(|allocated| register(file, allocated.hw_enc()));
        let slot = |allocation: Allocation| {
            let place = allocation.as_stack().map_or(0, |slot| slot.index() as i64 * 8);
            MemoryOperand::with_base_displ(Register::RSP, place)
        };
        let [copy, load, store] = match class {
            RegClass::Int => [Op::IntMove, Op::IntLoad, Op::IntStore],
            RegClass::Float => [Op::Move, Op::Load, Op::Store],
            RegClass::Vector => [Op::MaskMove, Op::MaskLoad, Op::MaskStore],
        };
        let mask_width = if class == RegClass::Vector { Width::X } else { width };
        let code = |op: Op| {
            let evex = class == RegClass::Float && self.level.avx512;
            op.row().code(mask_width, evex).ok_or("a move without encoding")
        };
        let instruction = match (name(from), name(to)) {
            (Some(from), Some(to)) => Instruction::with2(code(copy)?, to, from),
            (None, Some(to)) => Instruction::with2(code(load)?, to, slot(from)),
            (Some(from), None) => Instruction::with2(code(store)?, slot(to), from),
            (None, None) => return Err("a move from stack to stack".into()),
        };
        self.emit(&instruction.map_err(failed)?)
    }
}

/// Whether VEX can't say it: a register beyond the first 16, a mask, a broadcast.
fn needs_evex(inst: &Inst, allocations: &[Allocation]) -> bool {
    let high = |allocation: &Allocation| {
        allocation
            .as_reg()
            .is_some_and(|register| register.class() == RegClass::Float && register.hw_enc() > 15)
    };
    inst.mask.is_some() || inst.broadcast || allocations.iter().any(high)
}
