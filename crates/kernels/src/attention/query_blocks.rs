//! Neighbouring query blocks, which go through the keys together.

use std::ops::Range;

use super::scores::QUERIES;
use crate::product::NarrowEngine;

/// The queries of one head of one sequence that attend, in the order of their tokens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queries<'a> {
    /// Those of all tokens of the sequence.
    All(usize),
    /// Those of some tokens, which are counted from the first token of the first sequence.
    These {
        tokens: &'a [u32],
        /// The first token of the sequence.
        first: usize,
    },
}

impl Queries<'_> {
    /// The number of queries.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(time) => *time,
            Self::These { tokens, .. } => tokens.len(),
        }
    }

    /// The token of a query, counted from the first of the sequence.
    pub(super) fn token(&self, query: usize) -> usize {
        match self {
            Self::All(_) => query,
            Self::These { tokens, first } => tokens[query] as usize - first,
        }
    }
}

/// Neighbouring query blocks of [`QUERIES`] queries each. Only the last block may have fewer.
#[derive(Clone, Debug)]
pub(super) struct QueryBlocks<'a> {
    pub(super) queries: Range<usize>,
    all: Queries<'a>,
}

/// One query block.
#[derive(Clone, Debug)]
pub(super) struct QueryBlock<'a> {
    pub(super) queries: Range<usize>,
    all: Queries<'a>,
}

impl<'a> QueryBlock<'a> {
    /// The number of keys that the last query sees: those up to its own.
    pub(super) fn visible(&self) -> usize {
        self.all.token(self.queries.end - 1) + 1
    }

    /// The token of each query.
    pub(super) fn tokens(&self) -> impl Iterator<Item = usize> + use<'a> {
        let all = self.all;
        self.queries.clone().map(move |query| all.token(query))
    }
}

/// The most query blocks that go through the keys together.
pub(super) const MOST: usize = NarrowEngine::MOST_AT_ONCE;

/// All queries, `count` query blocks at a time.
pub(super) fn query_blocks(
    all: Queries<'_>,
    count: usize,
) -> impl Iterator<Item = QueryBlocks<'_>> {
    assert!((1..=MOST).contains(&count), "query blocks at a time");
    let step = count * QUERIES;
    (0..all.len()).step_by(step).map(move |first| QueryBlocks {
        queries: first..all.len().min(first + step),
        all,
    })
}

impl<'a> QueryBlocks<'a> {
    /// The queries of the next `count` query blocks.
    pub(super) fn next(&self, count: usize) -> Range<usize> {
        let first = self.queries.end;
        first..self.all.len().min(first + count * QUERIES)
    }

    /// The number of keys that the last query sees: those up to its own.
    pub(super) fn visible(&self) -> usize {
        self.all.token(self.queries.end - 1) + 1
    }

    /// The number of queries.
    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    /// Each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = QueryBlock<'a>> + use<'a> {
        let Range { start, end } = self.queries;
        let (firsts, all) = ((start..end).step_by(QUERIES), self.all);
        firsts.map(move |first| QueryBlock {
            queries: first..end.min(first + QUERIES),
            all,
        })
    }

    /// For each block the rows of the keys that its last query sees. `values` holds `[keys, QUERIES]`
    /// for each block, `stride` values apart.
    pub(super) fn visible_rows<'b>(&self, values: &'b [f32], stride: usize) -> BlockRows<'b> {
        let mut rows = BlockRows {
            blocks: [&[]; MOST],
            count: 0,
        };
        for (block, values) in self.blocks().zip(values.chunks(stride)) {
            rows.blocks[rows.count] = &values[..block.visible() * QUERIES];
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
                for group in query_blocks(Queries::All(time), count) {
                    assert_eq!(group.queries.start, after);
                    let mut end = after;
                    for block in group.blocks() {
                        assert_eq!(block.queries.start, end);
                        assert!(block.queries.len() == QUERIES || block.queries.end == time);
                        end = block.queries.end;
                        assert_eq!(block.visible(), end);
                    }
                    assert_eq!(
                        (end, group.visible()),
                        (group.queries.end, group.queries.end)
                    );
                    assert!(group.len() == count * QUERIES || end == time);
                    let following = end..time.min(end + count * QUERIES);
                    assert_eq!(group.next(count), following);
                    after = end;
                }
                assert_eq!(after, time);
            }
        }
    }

    #[test]
    fn some_queries_see_the_keys_up_to_their_tokens() {
        // Every third token of a sequence that begins at token 30.
        let tokens: Vec<u32> = (0..20).map(|index| 31 + 3 * index).collect();
        let some = Queries::These {
            tokens: &tokens,
            first: 30,
        };
        let groups: Vec<_> = query_blocks(some, 2).collect();
        let [group] = &groups[..] else {
            panic!("{groups:?}")
        };
        let blocks: Vec<_> = group.blocks().collect();
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].visible(), blocks[1].visible()), (47, 59));
        assert_eq!(blocks[1].tokens().collect::<Vec<_>>(), [49, 52, 55, 58]);
        assert_eq!((group.visible(), group.len()), (59, 20));
    }

    #[test]
    fn rows_end_with_the_last_query_of_a_block() {
        let values: Vec<f32> = (0..2 * 50 * QUERIES).map(|index| index as f32).collect();
        let last = query_blocks(Queries::All(40), MOST).nth(1).unwrap();
        assert_eq!(
            last.visible_rows(&values, 50 * QUERIES)[..],
            [&values[..40 * QUERIES]]
        );
        let first = query_blocks(Queries::All(40), MOST).next().unwrap();
        let second = &values[50 * QUERIES..][..32 * QUERIES];
        let rows = first.visible_rows(&values, 50 * QUERIES);
        assert_eq!(rows[..], [&values[..16 * QUERIES], second]);
    }
}
