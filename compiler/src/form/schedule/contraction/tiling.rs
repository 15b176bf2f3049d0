//! How a dimension is cut into tiles.

use graven_ir::Dim;

/// A dimension in tiles of nearly equal size: a last tile of a few places would take as long as a whole one.
#[derive(Clone, Debug)]
pub struct Tiling {
    extent: Dim,
    /// Places of the larger tiles, which come first.
    size: i64,
    /// Tiles of `size` places, where the others have one less; `None` if the extent is not known and what is left is taken place by place.
    larger: Option<i64>,
}

impl Tiling {
    /// Tiles of at most `most` places.
    pub fn new(extent: &Dim, most: i64) -> Tiling {
        let known = extent.as_const().filter(|places| *places > 0);
        let Some(places) = known else { return Tiling { extent: extent.clone(), size: most, larger: None } };
        let count = (places + most - 1) / most;
        let size = (places + count - 1) / count;
        Tiling { extent: extent.clone(), size, larger: Some(places - (size - 1) * count) }
    }

    /// Places of a tile at most.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// The number of tiles.
    pub fn count(&self) -> Dim {
        match (self.larger, self.extent.as_const()) {
            (Some(_), Some(places)) => Dim::from((places + self.size - 1) / self.size),
            _ => self.extent.ceil_div(&Dim::from(self.size)),
        }
    }

    /// The first place of a tile; the extent for a tile behind the last.
    pub fn start(&self, tile: &Dim) -> Dim {
        match self.larger {
            Some(larger) if self.count().as_const() != Some(larger) => {
                tile * (self.size - 1) + tile.minimum(&Dim::from(larger))
            }
            _ => (tile * self.size).minimum(&self.extent),
        }
    }

    /// The loops (first, end, step) over the tiles of a part that begins and ends with a tile, each with the extent of its tiles.
    pub fn pieces(&self, (first, last): (&Dim, &Dim)) -> Vec<((Dim, Dim, i64), i64)> {
        let Some(larger) = self.larger else {
            let whole = first + (last - first).floor_div(&Dim::from(self.size)) * self.size;
            let mut pieces = vec![((first.clone(), whole.clone(), self.size), self.size)];
            if self.size > 1 {
                pieces.push(((whole, last.clone(), 1), 1));
            }
            return pieces;
        };
        if self.count().as_const() == Some(larger) {
            return vec![((first.clone(), last.clone(), self.size), self.size)];
        }
        let smaller = Dim::from(larger * self.size);
        vec![
            ((first.clone(), last.minimum(&smaller), self.size), self.size),
            ((first.maximum(&smaller), last.clone(), self.size - 1), self.size - 1),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place is in one tile, whatever part of the tiles a task takes.
    #[test]
    fn tiles_cover_each_part_once() {
        for (extent, most) in [(1, 1), (7, 14), (14, 14), (15, 14), (49, 12), (197, 14), (1024, 14), (5, 2)] {
            let tiling = Tiling::new(&Dim::from(extent), most);
            let count = tiling.count().as_const().unwrap();
            assert_eq!(count, (extent + most - 1) / most);
            for part in [1, 2, count] {
                let mut next = 0;
                for first in (0..count).step_by(part as usize) {
                    let place = |tile: i64| tiling.start(&Dim::from(tile.min(count)));
                    for ((first, last, step), size) in tiling.pieces((&place(first), &place(first + part))) {
                        let (first, last) = (first.as_const().unwrap(), last.as_const().unwrap());
                        for start in (first..last).step_by(step as usize) {
                            assert_eq!((start, size <= most), (next, true));
                            next += size;
                        }
                    }
                }
                assert_eq!(next, extent, "{extent} in {most}, {part} at a time");
            }
        }
    }
}
