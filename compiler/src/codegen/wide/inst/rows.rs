//! What a row holds, and the macro that declares the table.

use super::{Code, Width};

/// A machine instruction.
#[derive(Debug)]
pub struct Row {
    /// Its name in the table.
    pub name: &'static str,
    /// Its operands; see [`super`].
    pub form: &'static str,
    /// Bytes of the elements that a memory operand can broadcast; 0 if it can't.
    pub element: u8,
    /// VEX (or legacy) of 128 and 256 bits, EVEX of 128, 256 and 512 bits; `INVALID` where there is none.
    pub codes: [Code; 5],
}

impl Row {
    /// The encoding for a width: VEX, which is shorter, unless the operands need EVEX.
    pub fn code(&self, width: Width, evex: bool) -> Option<Code> {
        let vex = if width == Width::Z { Code::INVALID } else { self.codes[width as usize] };
        let code = if evex || vex == Code::INVALID { self.codes[2 + width as usize] } else { vex };
        (code != Code::INVALID).then_some(code)
    }
}

macro_rules! rows {
    ($($name:ident $form:literal $element:literal: $vex_x:ident $vex_y:ident $evex_x:ident $evex_y:ident $evex_z:ident;)*) => {
        /// The name of a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Op { $($name,)* }

        impl Op {
            /// Every row's name.
            #[cfg(test)]
            pub const ALL: &[Op] = &[$(Op::$name),*];

            /// Its row.
            pub fn row(self) -> &'static Row {
                &ROWS[self as usize]
            }
        }

        /// Every row, in the order of [`Op`].
        pub static ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            form: $form,
            element: $element,
            codes: [$vex_x, $vex_y, $evex_x, $evex_y, $evex_z],
        },)*];
    };
}
