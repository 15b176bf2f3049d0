//! The code of hot loops. Operations run in the tests of `codegen::cranelift`, which go through both backends.

mod hot;
