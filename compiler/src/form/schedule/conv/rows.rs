//! How a dense convolution reads its input.

use super::problem::Problem;
use super::split::Split;
use crate::form::FormError;
use crate::form::element::Source;
use crate::form::schedule::Draft;
use crate::form::schedule::contraction::tile::Tile;
use crate::form::view::View;
use crate::kernel::{Access, BufferId, Spread, Type};
use graven_ir::Dim;

/// Blocks of input channels from which on pixels of one tile lie so far apart in memory that a copy pays.
const COPIED_BLOCKS: i64 = 8;

/// Columns that a task computes at least for a copy to pay.
pub const COPIED_COLUMNS: i64 = 48;

/// The source of the input's elements.
pub enum Rows {
    /// The input itself.
    InPlace(Box<View>),
    /// The pixels of a task in scratch memory, tile by tile: `[first pixel of a tile][input block][pixel][channel]`. Only for windows of one place.
    Copied {
        /// The pixels.
        buffer: BufferId,
        /// The input.
        input: Box<View>,
    },
}

/// A pixel of a tile.
pub struct Pixel<'p> {
    /// The tile's first pixel within the task.
    pub start: &'p Dim,
    /// The pixel within the tile.
    pub number: i64,
    /// Pixels of the tile.
    pub count: i64,
    /// Its output place.
    pub place: &'p [Dim],
}

impl Rows {
    /// A copy where a tile's pixels are spread over many blocks and are read for many columns; else in place.
    pub fn choose(
        draft: &mut Draft,
        problem: &Problem,
        tile: &Tile,
        split: &Split,
    ) -> Result<Rows, FormError> {
        let Source::Memory(view) = draft.evaluator.source(problem.input).clone() else {
            return Err(FormError::internal("the input of a convolution is not in memory"));
        };
        let lanes = i64::from(tile.lanes);
        let blocks = problem.group_inputs / problem.input_block;
        let pays = problem.taps() == 1
            && problem.input_block % lanes == 0
            && problem.group_inputs % problem.input_block == 0
            && blocks >= COPIED_BLOCKS
            && split.channel_tiles * tile.columns() >= COPIED_COLUMNS;
        if !pays {
            return Ok(Rows::InPlace(view));
        }
        let elements = split.pixels_per_task(problem) * problem.group_inputs;
        let buffer = draft.builder.buffer("pixels", problem.dtype, elements, Access::Scratch);
        Ok(Rows::Copied { buffer, input: view })
    }

    /// Whether [`Rows::copy_tile`] fills the scratch memory.
    pub fn is_copied(&self) -> bool {
        matches!(self, Rows::Copied { .. })
    }

    /// Copies the pixels of a tile, whose output places are `places`, for the channels of a group.
    pub fn copy_tile(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        lanes: u16,
        (batch, group, start): (&Dim, &Dim, &Dim),
        places: &[Vec<Dim>],
    ) {
        let Rows::Copied { buffer, input } = self else { return };
        let b = &mut draft.builder;
        let ty = Type::vector(problem.dtype, lanes);
        let block = problem.input_block;
        let nest = b.open_loop((&Dim::ZERO, &Dim::from(problem.group_inputs / block), 1), &[]);
        let window = vec![Dim::ZERO; problem.window.len()];
        for (number, place) in places.iter().enumerate() {
            for channel in (0..block).step_by(usize::from(lanes)) {
                let inner = group * problem.group_inputs + &nest.index * block + channel;
                let index = problem.input_index(batch, inner, place, &window);
                let vector = b.load(input.buffer, &input.address(&index), ty, Spread::Contiguous, None);
                let pixel = Pixel { start, number: number as i64, count: places.len() as i64, place };
                let to = copied_place(problem, &pixel, &nest.index, &Dim::from(channel));
                b.store(vector, *buffer, &to, Spread::Contiguous, None);
            }
        }
        b.close_loop(nest, Vec::new());
    }

    /// Where an element lies: the pixel, the block of channels and the channel in it, the place of the window.
    pub fn place(
        &self,
        problem: &Problem,
        (batch, group): (&Dim, &Dim),
        pixel: &Pixel,
        (block, channel): (&Dim, &Dim),
        window: &[Dim],
    ) -> (BufferId, Dim) {
        match self {
            Rows::Copied { buffer, .. } => (*buffer, copied_place(problem, pixel, block, channel)),
            Rows::InPlace(view) => {
                let size = problem.input_block.min(problem.group_inputs);
                let channel = group * problem.group_inputs + block * size + channel;
                let index = problem.input_index(batch, channel, pixel.place, window);
                (view.buffer, view.address(&index))
            }
        }
    }
}

fn copied_place(problem: &Problem, pixel: &Pixel, block: &Dim, channel: &Dim) -> Dim {
    pixel.start * problem.group_inputs + (block * pixel.count + pixel.number) * problem.input_block + channel
}
