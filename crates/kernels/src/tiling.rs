//! How many rows a thread takes at a time.

use crate::product::{Engine, Precision};

/// The fewest rows of a tile: fewer make poor use of the right operand that is read for them.
const LEAST: usize = 24;

/// The most rows of a tile: their intermediate values stay in the second-level cache.
const MOST: usize = 96;

/// The overhead of a tile, in rows.
const COST: usize = 4;

/// Numbers of threads that should share the tiles evenly.
const THREADS: [usize; 3] = [2, 4, 8];

/// The rows of a tile, if `rows` rows are multiplied with a precision.
///
/// Of all multiples of the engine's own tiles, it is the one for which 2, 4 and 8 threads wait
/// least for each other. It does not depend on the number of threads in use, because the order of
/// some sums follows from the tiles.
pub(crate) fn tile_rows(rows: usize, precision: Precision) -> usize {
    let unit = Engine::for_precision(precision).rows();
    let cost = |tile: usize| {
        let tiles = rows.div_ceil(tile);
        let shares = THREADS.map(|threads| tiles.next_multiple_of(threads));
        shares.iter().sum::<usize>() * (tile + COST)
    };
    (LEAST.div_ceil(unit)..=MOST / unit)
        .map(|units| units * unit)
        .min_by_key(|&tile| (cost(tile), std::cmp::Reverse(tile)))
        .unwrap_or(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    #[test]
    fn two_threads_wait_for_less_than_a_sixteenth_of_the_rows() {
        let check = || {
            for rows in [1024, 2000, 2048, 4096, 10_000] {
                for precision in [Precision::F32, Precision::Bf16] {
                    let tile = tile_rows(rows, precision);
                    let busiest = rows.div_ceil(tile).div_ceil(2) * tile;
                    assert!(
                        16 * busiest <= 17 * rows / 2,
                        "{rows} rows in tiles of {tile}"
                    );
                }
            }
        };
        Level::available().for_each(|level| level.run_on(1, check));
    }
}
