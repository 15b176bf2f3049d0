//! An instruction of allocated code as the encoder takes it.

use super::inst::{Code, File, file};
use super::registers::{general, register};
use super::vcode::{Amode, Arg, Base, Inst};
use iced_x86::{Instruction, OpKind, Register};
use regalloc2::Allocation;

/// What addresses depend on.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where the instruction is, from the beginning of the function.
    pub here: usize,
    /// Where the function's own bytes of stack are, from the stack pointer.
    pub own: i32,
}

/// The instruction with its operands. A constant of the code has a distance that is put right when the code is complete.
///
/// # Errors
/// An operand on the stack: our bug.
pub fn instruction(
    inst: &Inst,
    allocations: &[Allocation],
    code: Code,
    form: &str,
    place: Place,
) -> Result<Instruction, String> {
    let number = |operand: u8| {
        let register = allocations[usize::from(operand)].as_reg();
        register.map(|register| register.hw_enc()).ok_or("an operand on the stack")
    };
    let mut instruction = Instruction::new();
    instruction.set_code(code);
    let letters = form.bytes().filter(|letter| *letter != b'F');
    for (count, (arg, letter)) in (0u32..).zip(inst.args.iter().zip(letters)) {
        match arg {
            Arg::Reg(operand) => {
                instruction.set_op_kind(count, OpKind::Register);
                let of = if matches!(letter, b'D' | b'E') { b'N' } else { letter };
                instruction.set_op_register(count, register(file(of, inst.width), number(*operand)?));
            }
            Arg::Imm(value) => set_immediate(&mut instruction, count, *value),
            Arg::Mem(amode) => {
                instruction.set_op_kind(count, OpKind::Memory);
                set_memory(&mut instruction, amode, place, &number)?;
            }
        }
    }
    if inst.broadcast {
        instruction.set_is_broadcast(true);
    }
    if let Some((operand, zero)) = inst.mask {
        instruction.set_op_mask(register(File::Mask, number(operand)?));
        instruction.set_zeroing_masking(zero);
    }
    Ok(instruction)
}

fn set_memory(
    instruction: &mut Instruction,
    amode: &Amode,
    place: Place,
    number: &dyn Fn(u8) -> Result<usize, &'static str>,
) -> Result<(), String> {
    let (base, disp) = match amode.base {
        Base::Reg(operand) => (general(number(operand)?), amode.disp),
        Base::Frame => (Register::RSP, place.own + amode.disp),
        Base::Constant(_) => (Register::RIP, place.here as i32),
    };
    instruction.set_memory_base(base);
    if let Some((operand, scale)) = amode.index {
        instruction.set_memory_index(general(number(operand)?));
        instruction.set_memory_index_scale(scale.into());
    }
    instruction.set_memory_displacement64(disp as i64 as u64);
    let size = if disp == 0 && base != Register::RIP { 0 } else { 8 };
    // rbp and r13 can't be without a displacement.
    let size = if size == 0 && matches!(base, Register::RBP | Register::R13) { 1 } else { size };
    instruction.set_memory_displ_size(size);
    Ok(())
}

/// The immediate in the form that the code wants.
fn set_immediate(instruction: &mut Instruction, operand: u32, value: i64) {
    use Code::*;
    match instruction.code() {
        Mov_r32_imm32 | Add_rm32_imm32 | Sub_rm32_imm32 | And_rm32_imm32 | Or_rm32_imm32 | Xor_rm32_imm32
        | Cmp_rm32_imm32 | Imul_r32_rm32_imm32 => short_immediate(instruction, operand, value, false),
        Mov_r64_imm64 => {
            instruction.set_op_kind(operand, OpKind::Immediate64);
            instruction.set_immediate64(value as u64);
        }
        Mov_rm64_imm32 | Add_rm64_imm32 | Sub_rm64_imm32 | And_rm64_imm32 | Or_rm64_imm32
        | Xor_rm64_imm32 | Cmp_rm64_imm32 | Imul_r64_rm64_imm32 => {
            short_immediate(instruction, operand, value, true)
        }
        _ => {
            instruction.set_op_kind(operand, OpKind::Immediate8);
            instruction.set_immediate8(value as u8);
        }
    }
}

/// One byte where it suffices, else four.
fn short_immediate(instruction: &mut Instruction, operand: u32, value: i64, wide: bool) {
    use Code::*;
    let short = match instruction.code() {
        Add_rm32_imm32 => Some(Add_rm32_imm8),
        Add_rm64_imm32 => Some(Add_rm64_imm8),
        Sub_rm32_imm32 => Some(Sub_rm32_imm8),
        Sub_rm64_imm32 => Some(Sub_rm64_imm8),
        And_rm32_imm32 => Some(And_rm32_imm8),
        And_rm64_imm32 => Some(And_rm64_imm8),
        Or_rm32_imm32 => Some(Or_rm32_imm8),
        Or_rm64_imm32 => Some(Or_rm64_imm8),
        Xor_rm32_imm32 => Some(Xor_rm32_imm8),
        Xor_rm64_imm32 => Some(Xor_rm64_imm8),
        Cmp_rm32_imm32 => Some(Cmp_rm32_imm8),
        Cmp_rm64_imm32 => Some(Cmp_rm64_imm8),
        Imul_r32_rm32_imm32 => Some(Imul_r32_rm32_imm8),
        Imul_r64_rm64_imm32 => Some(Imul_r64_rm64_imm8),
        _ => None,
    };
    if let (Some(short), true) = (short, i8::try_from(value).is_ok()) {
        instruction.set_code(short);
        let kind = if wide { OpKind::Immediate8to64 } else { OpKind::Immediate8to32 };
        instruction.set_op_kind(operand, kind);
        if wide {
            instruction.set_immediate8to64(value);
        } else {
            instruction.set_immediate8to32(value as i32);
        }
    } else if wide {
        instruction.set_op_kind(operand, OpKind::Immediate32to64);
        instruction.set_immediate32to64(value);
    } else {
        instruction.set_op_kind(operand, OpKind::Immediate32);
        instruction.set_immediate32(value as u32);
    }
}
