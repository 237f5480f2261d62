//! Neighbouring query blocks, which go through the keys together.

use std::ops::Range;

use super::scores::QUERIES;
use crate::product::NarrowEngine;

/// Neighbouring query blocks of [`QUERIES`] queries each. Only the last block may have fewer.
#[derive(Clone, Debug)]
pub(super) struct QueryBlocks {
    pub(super) queries: Range<usize>,
}

/// The most query blocks that go through the keys together.
pub(super) const MOST: usize = NarrowEngine::MOST_AT_ONCE;

/// All queries, `count` query blocks at a time.
pub(super) fn query_blocks(time: usize, count: usize) -> impl Iterator<Item = QueryBlocks> {
    assert!((1..=MOST).contains(&count), "query blocks at a time");
    let step = count * QUERIES;
    (0..time).step_by(step).map(move |first| QueryBlocks {
        queries: first..time.min(first + step),
    })
}

impl QueryBlocks {
    /// The queries of the next `count` query blocks.
    pub(super) fn next(&self, time: usize, count: usize) -> Range<usize> {
        let first = self.queries.end;
        first..time.min(first + count * QUERIES)
    }

    /// The number of keys that the last query sees: those up to its own.
    pub(super) fn visible(&self) -> usize {
        self.queries.end
    }

    /// The number of queries.
    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    /// The queries of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.queries;
        let firsts = (start..end).step_by(QUERIES);
        firsts.map(move |first| first..end.min(first + QUERIES))
    }

    /// For each block the rows of the keys that its last query sees. `values` holds `[keys, QUERIES]`
    /// for each block, `stride` values apart.
    pub(super) fn visible_rows<'a>(&self, values: &'a [f32], stride: usize) -> BlockRows<'a> {
        let mut rows = BlockRows {
            blocks: [&[]; MOST],
            count: 0,
        };
        for (queries, values) in self.blocks().zip(values.chunks(stride)) {
            rows.blocks[rows.count] = &values[..queries.end * QUERIES];
            rows.count += 1;
        }
        rows
    }
}

/// A slice for each query block.
pub(super) struct BlockRows<'a> {
    blocks: [&'a [f32]; MOST],
    count: usize,
}

impl<'a> std::ops::Deref for BlockRows<'a> {
    type Target = [&'a [f32]];

    fn deref(&self) -> &Self::Target {
        &self.blocks[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_blocks_follow_each_other() {
        for count in 1..=MOST {
            for time in [1, 15, 16, 17, 32, 33, 48, 110] {
                let mut after = 0;
                for group in query_blocks(time, count) {
                    assert_eq!(group.queries.start, after);
                    let mut end = after;
                    for queries in group.blocks() {
                        assert_eq!(queries.start, end);
                        assert!(queries.len() == QUERIES || queries.end == time);
                        end = queries.end;
                    }
                    assert_eq!(
                        (end, group.visible()),
                        (group.queries.end, group.queries.end)
                    );
                    assert!(group.len() == count * QUERIES || end == time);
                    let following = end..time.min(end + count * QUERIES);
                    assert_eq!(group.next(time, count), following);
                    after = end;
                }
                assert_eq!(after, time);
            }
        }
    }

    #[test]
    fn rows_end_with_the_last_query_of_a_block() {
        let values: Vec<f32> = (0..2 * 50 * QUERIES).map(|index| index as f32).collect();
        let last = query_blocks(40, MOST).nth(1).unwrap();
        assert_eq!(
            last.visible_rows(&values, 50 * QUERIES)[..],
            [&values[..40 * QUERIES]]
        );
        let first = query_blocks(40, MOST).next().unwrap();
        let second = &values[50 * QUERIES..][..32 * QUERIES];
        let rows = first.visible_rows(&values, 50 * QUERIES);
        assert_eq!(rows[..], [&values[..16 * QUERIES], second]);
    }
}
