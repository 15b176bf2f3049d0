//! The `graven` command line; see [`graven::cli`].

use graven_runtime::budget::BudgetAllocator;
use std::alloc::System;

/// What `--max-memory` bounds.
#[global_allocator]
static ALLOCATOR: BudgetAllocator<System> = BudgetAllocator(System);

fn main() -> std::process::ExitCode {
    graven::cli::run_command_line()
}
