//! How many rows a thread takes at a time.

use crate::product::{Engine, Precision};

/// Rows from which on a tile makes good use of the right operand that it goes through.
const LEAST: usize = 24;

/// Rows of the largest tile: as many as stay in the second-level cache with what is made of them.
const MOST: usize = 96;

/// What a tile costs beside its rows, in rows.
const COST: usize = 4;

/// Numbers of threads that the tiles are to be shared out evenly among.
const THREADS: [usize; 3] = [2, 4, 8];

/// Rows of a tile where products of a precision are made of `rows` rows: of all whole numbers of the
/// engine's own tiles, the one that lets few and many threads wait least for each other. It follows
/// from the number of rows alone, not from that of the threads, because some sums are made by tile.
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
