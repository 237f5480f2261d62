//! Queries that go through the keys together.

use std::ops::Range;

use super::panel::QUERIES;
use crate::product::PanelEngine;

/// Neighbouring queries, in panels of 16 of which only the last may be narrower.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) queries: Range<usize>,
}

/// The most panels of a block.
pub(super) const MOST: usize = PanelEngine::MOST_TOGETHER;

/// All queries in blocks of so many panels.
pub(super) fn blocks(time: usize, panels: usize) -> impl Iterator<Item = Block> {
    assert!((1..=MOST).contains(&panels), "panels of a block");
    let step = panels * QUERIES;
    (0..time).step_by(step).map(move |first| Block {
        queries: first..time.min(first + step),
    })
}

impl Block {
    /// The queries that follow, as many as a block of so many panels takes.
    pub(super) fn next(&self, time: usize, panels: usize) -> Range<usize> {
        let first = self.queries.end;
        first..time.min(first + panels * QUERIES)
    }

    /// Keys that its last query sees: those up to itself.
    pub(super) fn seen(&self) -> usize {
        self.queries.end
    }

    /// The number of its queries.
    pub(super) fn len(&self) -> usize {
        self.queries.len()
    }

    /// The queries of each panel.
    pub(super) fn panels(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.queries;
        let firsts = (start..end).step_by(QUERIES);
        firsts.map(move |first| first..end.min(first + QUERIES))
    }

    /// Of lines that begin `stride` apart for each panel, `[keys, QUERIES]`, those of the keys that the
    /// panel's last query sees.
    pub(super) fn lines<'a>(&self, values: &'a [f32], stride: usize) -> Lines<'a> {
        let mut lines = Lines {
            panels: [&[]; MOST],
            count: 0,
        };
        for (queries, values) in self.panels().zip(values.chunks(stride)) {
            lines.panels[lines.count] = &values[..queries.end * QUERIES];
            lines.count += 1;
        }
        lines
    }
}

/// Lines of each panel of a block.
pub(super) struct Lines<'a> {
    panels: [&'a [f32]; MOST],
    count: usize,
}

impl<'a> std::ops::Deref for Lines<'a> {
    type Target = [&'a [f32]];

    fn deref(&self) -> &Self::Target {
        &self.panels[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_panels_follow_each_other() {
        for panels in 1..=MOST {
            for time in [1, 15, 16, 17, 32, 33, 48, 110] {
                let mut after = 0;
                for block in blocks(time, panels) {
                    assert_eq!(block.queries.start, after);
                    let mut end = after;
                    for queries in block.panels() {
                        assert_eq!(queries.start, end);
                        assert!(queries.len() == QUERIES || queries.end == time);
                        end = queries.end;
                    }
                    assert_eq!((end, block.seen()), (block.queries.end, block.queries.end));
                    assert!(block.len() == panels * QUERIES || end == time);
                    let following = end..time.min(end + panels * QUERIES);
                    assert_eq!(block.next(time, panels), following);
                    after = end;
                }
                assert_eq!(after, time);
            }
        }
    }

    #[test]
    fn lines_end_with_the_last_query_of_a_panel() {
        let values: Vec<f32> = (0..2 * 50 * QUERIES).map(|index| index as f32).collect();
        let block = blocks(40, MOST).nth(1).unwrap();
        assert_eq!(
            block.lines(&values, 50 * QUERIES)[..],
            [&values[..40 * QUERIES]]
        );
        let block = blocks(40, MOST).next().unwrap();
        let second = &values[50 * QUERIES..][..32 * QUERIES];
        let lines = block.lines(&values, 50 * QUERIES);
        assert_eq!(lines[..], [&values[..16 * QUERIES], second]);
    }
}
