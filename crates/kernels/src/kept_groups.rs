//! Which tokens keep which groups of hidden units, and with which factors.

use std::ops::Range;

/// The tokens that keep each group, in ascending order, and their factors.
///
/// Kernels compute the kept groups only, and multiply the units of a group by the factor of the
/// token. Without factors, all are 1 and nothing is multiplied.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptGroups {
    tokens: usize,
    /// The start of each group in `kept`, and the end of the last group.
    starts: Vec<usize>,
    kept: Vec<u32>,
    /// The factor of each pair of `kept`; empty if all are 1.
    factors: Vec<f32>,
}

impl KeptGroups {
    /// From mask values `[tokens, groups]`: a group is kept, with the factor 1, where its value is
    /// not 0.
    ///
    /// # Panics
    /// If the mask has another length, or if there are 2³² tokens or more.
    pub fn new(mask: &[f32], tokens: usize, groups: usize) -> Self {
        assert_eq!(mask.len(), tokens * groups, "mask");
        Self::from_fn(tokens, groups, false, |token, group| {
            mask[token * groups + group]
        })
    }

    /// From factors `[tokens, groups]`: a group is kept where its factor is not 0.
    ///
    /// # Panics
    /// If there is another number of factors, or if there are 2³² tokens or more.
    pub fn with_factors(factors: &[f32], tokens: usize, groups: usize) -> Self {
        assert_eq!(factors.len(), tokens * groups, "factors");
        let mut kept = Self::from_fn(tokens, groups, true, |token, group| {
            factors[token * groups + group]
        });
        if kept.factors.iter().all(|&factor| factor == 1.0) {
            kept.factors = Vec::new();
        }
        kept
    }

    /// All groups for all tokens, with the factor 1.
    ///
    /// # Panics
    /// If there are 2³² tokens or more.
    pub fn all(tokens: usize, groups: usize) -> Self {
        Self::from_fn(tokens, groups, false, |_, _| 1.0)
    }

    /// From the factor of each pair of a token and a group. Lists the factors if `lists_factors`.
    fn from_fn(
        tokens: usize,
        groups: usize,
        lists_factors: bool,
        factor: impl Fn(usize, usize) -> f32,
    ) -> Self {
        assert!(u32::try_from(tokens).is_ok(), "fewer than 2^32 tokens");
        // Reads the factors in their order twice: counts the tokens of each group, then lists them.
        let mut starts = vec![0; groups + 1];
        for token in 0..tokens {
            for (group, count) in starts[1..].iter_mut().enumerate() {
                *count += usize::from(factor(token, group) != 0.0);
            }
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let pairs = starts[groups];
        let mut next = starts.clone();
        let mut kept = vec![0; pairs];
        let mut factors = vec![0.0; if lists_factors { pairs } else { 0 }];
        for token in 0..tokens {
            for (group, next) in next[..groups].iter_mut().enumerate() {
                let factor = factor(token, group);
                if factor == 0.0 {
                    continue;
                }
                kept[*next] = token as u32;
                if lists_factors {
                    factors[*next] = factor;
                }
                *next += 1;
            }
        }
        Self {
            tokens,
            starts,
            kept,
            factors,
        }
    }

    /// The number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    /// The tokens that keep a group.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn tokens_of(&self, group: usize) -> &[u32] {
        &self.kept[self.pairs_of(group)]
    }

    /// The factors of the tokens that keep a group; none if the factors of all groups are 1.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn factors_of(&self, group: usize) -> Option<&[f32]> {
        let pairs = self.pairs_of(group);
        (!self.factors.is_empty()).then(|| &self.factors[pairs])
    }

    fn pairs_of(&self, group: usize) -> Range<usize> {
        self.starts[group]..self.starts[group + 1]
    }

    /// The number of pairs of a token and a group that it keeps.
    pub fn pairs(&self) -> usize {
        self.kept.len()
    }

    /// The number of pairs of all groups before a group.
    pub(crate) fn pairs_before(&self, group: usize) -> usize {
        self.starts[group]
    }

    /// The share of all pairs that are kept; 1 if there are no pairs.
    pub fn share(&self) -> f64 {
        let all = self.tokens * self.groups();
        if all == 0 {
            1.0
        } else {
            self.pairs() as f64 / all as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_listed_by_group() {
        let mask = [1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.0];
        let kept = KeptGroups::new(&mask, 3, 3);
        let lists: Vec<&[u32]> = (0..3).map(|group| kept.tokens_of(group)).collect();
        assert_eq!(lists, [&[0, 2][..], &[1, 2], &[]]);
        assert_eq!((kept.pairs(), kept.tokens(), kept.groups()), (4, 3, 3));
        assert_eq!(kept.share(), 4.0 / 9.0);
        assert_eq!(KeptGroups::all(0, 2).share(), 1.0);
        assert_eq!(KeptGroups::all(2, 2).tokens_of(1), [0, 1]);
        assert_eq!(kept.factors_of(1), None);
    }

    #[test]
    fn factors_are_listed_by_group() {
        let factors = [1.0, 0.0, 0.0, 0.0, 0.5, -2.0];
        let kept = KeptGroups::with_factors(&factors, 2, 3);
        let lists: Vec<&[f32]> = (0..3).filter_map(|group| kept.factors_of(group)).collect();
        assert_eq!(lists, [&[1.0][..], &[0.5], &[-2.0]]);
        assert_eq!(kept.tokens_of(2), [1]);
        let ones = KeptGroups::with_factors(&[1.0, 0.0], 1, 2);
        assert_eq!(ones, KeptGroups::new(&[1.0, 0.0], 1, 2));
    }
}
