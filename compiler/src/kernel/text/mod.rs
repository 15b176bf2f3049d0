//! The text form of kernels, `.kir`: a parser and a printer that round-trip exactly.
//!
//! ```text
//! kernel @scaled_relu(%x: read f32[64*N], %y: write f32[64*N], %t: scratch f32[8]) extents(N in 1..=32) {
//!   v2: f32x8 = constant 0.0
//!   v3: f32x8 = constant 0.5
//!   parallel for i4 in 0..N {
//!     v5 = mul i4, 64
//!     for i6 in 0..64 step 8 {
//!       v7 = add v5, i6
//!       v8: f32x8 = load %x[v7 + 0]
//!       v9 = mul v8, v3
//!       v10 = max v9, v2
//!       store v10, %y[v7]
//!     }
//!   }
//! }
//! ```
//!
//! **Grammar**, with the tokens of the [graph's text form](graven_ir::text::lexer); `// comments` run to the end of the line:
//!
//! ```text
//! kernel  = "kernel" @name "(" { buffer "," } ")" [ "extents" "(" { extent "," } ")" ] [ "dims" "(" { range "," } ")" ] block
//! buffer  = %name ":" ( "read" | "write" | "readwrite" | "scratch" ) dtype "[" dim "]"
//! extent  = range | string "as" value "in" integer "..=" integer
//! range   = name "in" integer "..=" integer
//! block   = "{" { statement } [ "yield" { operand "," } ] "}"
//! operand = value | integer                                                   an integer is an i64 constant of the kernel
//! statement =
//!     value [ ":" type ] "=" operation
//!   | value ":" type "=" "load" address [ spread ] [ "where" operand ]
//!   | "store" operand "," address [ spread ] [ "where" operand ]
//!   | "prefetch" address
//!   | "check" operand "else" integer
//!   | [ { value "," } "=" ] "for" value "in" operand ".." operand [ "step" integer ] [ "carry" { value "=" operand "," } ] block
//!   | "parallel" "for" value "in" operand ".." operand [ "step" integer ] block
//!   | [ { value "," } "=" ] "if" operand block [ "else" block ]
//! address = %buffer "[" operand [ ( "+" | "-" ) integer ] "]"      or  %buffer "[" integer "]"  for  0 + integer
//! spread  = "stride" integer | "gather" operand | "broadcast"
//! operation =
//!     "constant" ( number | "inf" | "nan" [ "(" bits ")" ] )                  with type
//!   | unary operand | binary operand "," operand | compare operand "," operand
//!   | "fma" operand "," operand "," operand | "select" operand "," operand "," operand
//!   | ( "convert" | "bitcast" | "convert_mask" | "splat" | "tail_mask" ) operand | "lane_ids"         with type
//!   | "extract" operand "[" integer "]" | "insert" operand "[" integer "]" "," operand
//!   | "shuffle" operand "," operand "[" { integer "," } "]"
//!   | "reduce" ( "add" | "mul" | "min" | "max" ) operand | "any" operand
//! ```
//!
//! `extents` are the kernel's run-time extents, in order; their names are values. `dims` gives the bounds of the other symbols in sizes of buffers. Values are visible
//! from their definition to the end of the block. Names of values mean nothing beyond the text: parsing numbers values anew ([`Kernel::renumbered`](super::Kernel::renumbered)),
//! and puts the constants of integer operands before the first statement, in the order of their first use. That is how the builder orders them, so printing and
//! parsing a kernel of the builder gives an equal one.
//!
//! The printer writes `v3` for values, `i3` for loop variables, and the type where it is not implied; the parser takes any words and checks types wherever they stand.

mod parser;
mod printer;

pub use parser::{Parsed, parse, parse_with_spans};
pub use printer::display_stmt;

#[cfg(test)]
mod tests;
