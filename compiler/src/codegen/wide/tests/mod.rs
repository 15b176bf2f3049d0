//! The table of instructions against a disassembler and, executed, against the kernel interpreter; the code of hot loops; the calling convention of Windows. More of what
//! operations compute is tested in `codegen::cranelift::tests`, which goes through both backends.

mod executed;
mod hot;
mod rows;
#[cfg(all(target_arch = "x86_64", unix))]
mod windows;
