//! Analysis of a trained model's masks for a text: the values that tokens keep, those that are always
//! or never kept, and the overlap between tokens.

mod bits;
mod mean;
mod overlap;
mod token;
mod token_class;

use model::Site;
use serde::Serialize;

use bits::BitRows;
use mean::mean;
pub use overlap::Overlap;
use token::Placed;
pub use token::StudiedToken;
pub use token_class::TokenClass;

/// Number of equal intervals of M in histograms.
const HISTOGRAM_BINS: usize = 20;

/// The values of one mask for the tokens of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskWindow {
    /// The site of the mask.
    pub site: Site,
    /// Its block, from 0; none in front of the blocks.
    pub layer: Option<usize>,
    /// Number of values for each token.
    pub width: usize,
    /// M before its rounding, `[tokens, width]`, from 0 to 1; with the linear mask function also outside.
    pub values: Vec<f32>,
    /// Values of at least this are kept.
    pub kept_from: f32,
}

/// Masks of a text, window by window.
#[derive(Clone, Debug, Default)]
pub struct MaskStudy {
    tokens: Vec<Placed>,
    masks: Vec<StudiedMask>,
}

#[derive(Clone, Debug)]
struct StudiedMask {
    site: Site,
    layer: Option<usize>,
    kept: BitRows,
    histogram: [u64; HISTOGRAM_BINS],
}

/// The results of a study. Shares are from 0 to 1; in means over masks, each mask has the same weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskAnalysis {
    /// Number of tokens.
    pub tokens: usize,
    /// Share of kept values, the mean over the masks.
    pub kept: f64,
    /// Share of values that no token drops, the mean over the masks.
    pub always_kept: f64,
    /// Share of values that no token keeps, the mean over the masks.
    pub never_kept: f64,
    /// Overlap of two tokens, the mean over the masks.
    pub overlap: Overlap,
    /// Share of kept values at each position of a window, the mean over the masks.
    pub by_position: Vec<f64>,
    /// The classes of tokens that occur in the text.
    pub classes: Vec<ClassAnalysis>,
    /// Mean Jaccard index of two tokens of these classes, in the order of `classes`, the mean over
    /// the masks; none if there are no two such tokens that keep anything.
    pub class_overlap: Vec<Vec<Option<f64>>>,
    /// Each mask, in the order of the forward pass.
    pub masks: Vec<OneMask>,
}

/// The tokens of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAnalysis {
    /// The class.
    pub class: TokenClass,
    /// Its number of tokens.
    pub tokens: usize,
    /// Their share of kept values, the mean over the masks.
    pub kept: f64,
}

/// The results for one mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneMask {
    /// Where it stands.
    pub site: &'static str,
    /// Its block, from 0; none in front of the blocks.
    pub layer: Option<usize>,
    /// Number of values for each token.
    pub width: usize,
    /// Share of kept values.
    pub kept: f64,
    /// Share of values that no token drops.
    pub always_kept: f64,
    /// Share of values that no token keeps.
    pub never_kept: f64,
    /// Overlap of two tokens.
    pub overlap: Overlap,
    /// Share of kept values of each class, in the order of the analysis' `classes`.
    pub kept_by_class: Vec<f64>,
    /// Shares of M in twenty equal intervals from 0 to 1; what lies outside is in the first or the last.
    pub histogram: Vec<f64>,
}

impl MaskStudy {
    /// Adds the tokens of a window and their masks, the same masks for every window.
    ///
    /// # Panics
    /// If the masks are not the same as before, or do not have `width` values for each token.
    pub fn add(&mut self, tokens: Vec<StudiedToken>, masks: &[MaskWindow]) {
        if self.masks.is_empty() {
            let empty = |mask: &MaskWindow| StudiedMask {
                site: mask.site,
                layer: mask.layer,
                kept: BitRows::new(mask.width),
                histogram: [0; HISTOGRAM_BINS],
            };
            self.masks = masks.iter().map(empty).collect();
        }
        assert_eq!(self.masks.len(), masks.len(), "the same masks");
        for (studied, mask) in self.masks.iter_mut().zip(masks) {
            assert_eq!(mask.values.len(), tokens.len() * mask.width, "all values");
            studied.kept.extend(&mask.values, mask.kept_from);
            for &value in &mask.values {
                let bin = (value * HISTOGRAM_BINS as f32) as usize;
                studied.histogram[bin.min(HISTOGRAM_BINS - 1)] += 1;
            }
        }
        let place = |(position, token): (usize, StudiedToken)| Placed {
            class: TokenClass::of_text(&token.text),
            token,
            position,
        };
        self.tokens
            .extend(tokens.into_iter().enumerate().map(place));
    }

    /// Analyses the masks; none without masks or tokens.
    pub fn analysis(&self) -> Option<MaskAnalysis> {
        if self.masks.is_empty() || self.tokens.is_empty() {
            return None;
        }
        let classes: Vec<TokenClass> = TokenClass::ALL
            .into_iter()
            .filter(|class| self.tokens.iter().any(|token| token.class == *class))
            .collect();
        let found: Vec<_> = self
            .masks
            .iter()
            .map(|mask| mask.analyse(&self.tokens, &classes))
            .collect();
        let masks: Vec<&OneMask> = found.iter().map(|(mask, _)| mask).collect();
        let over_masks =
            |value: &dyn Fn(&OneMask) -> f64| mean(masks.iter().map(|mask| value(mask)));
        let class = |(index, class): (usize, TokenClass)| ClassAnalysis {
            class,
            tokens: self.tokens.iter().filter(|of| of.class == class).count(),
            kept: over_masks(&|mask| mask.kept_by_class[index]),
        };
        Some(MaskAnalysis {
            tokens: self.tokens.len(),
            kept: over_masks(&|mask| mask.kept),
            always_kept: over_masks(&|mask| mask.always_kept),
            never_kept: over_masks(&|mask| mask.never_kept),
            overlap: Overlap::mean(masks.iter().map(|mask| mask.overlap)),
            by_position: self.by_position(),
            classes: classes.iter().copied().enumerate().map(class).collect(),
            class_overlap: overlap::mean_of_tables(found.iter().map(|(_, table)| table)),
            masks: found.iter().map(|(mask, _)| mask.clone()).collect(),
        })
    }

    fn by_position(&self) -> Vec<f64> {
        let positions = self.tokens.iter().map(|token| token.position).max();
        let mut sums = vec![0.0; positions.map_or(0, |last| last + 1)];
        let mut counts = vec![0.0; sums.len()];
        for (row, token) in self.tokens.iter().enumerate() {
            sums[token.position] += mean(self.masks.iter().map(|mask| mask.kept.share(row)));
            counts[token.position] += 1.0;
        }
        sums.iter()
            .zip(counts)
            .map(|(sum, count)| sum / count)
            .collect()
    }

    /// The first tokens, at most `most`, in the order of the text.
    pub(crate) fn first_tokens(&self, most: usize) -> impl Iterator<Item = &StudiedToken> {
        self.tokens.iter().take(most).map(|placed| &placed.token)
    }

    /// For each mask, the share of its values that each of the first tokens keeps, at most so many.
    pub(crate) fn first_shares(&self, most: usize) -> Vec<Vec<f64>> {
        let shares = |mask: &StudiedMask| {
            let rows = self.tokens.len().min(most);
            (0..rows).map(|row| mask.kept.share(row)).collect()
        };
        self.masks.iter().map(shares).collect()
    }

    /// For each mask, a bit for each value of the first tokens, at most `most`: 1 if it is kept. Each
    /// token begins with a new byte, the lowest bit first.
    pub(crate) fn first_bits(&self, most: usize) -> impl Iterator<Item = Vec<u8>> {
        self.masks.iter().map(move |mask| mask.kept.bytes(most))
    }
}

impl StudiedMask {
    fn analyse(
        &self,
        tokens: &[Placed],
        classes: &[TokenClass],
    ) -> (OneMask, Vec<Vec<Option<f64>>>) {
        let rows = tokens.len();
        let shares = self.kept.column_shares();
        let width = shares.len() as f64;
        let count = |is: fn(f64) -> bool| shares.iter().filter(|&&share| is(share)).count() as f64;
        let kept_by_class = |class: &TokenClass| {
            let of_class = (0..rows).filter(|&row| tokens[row].class == *class);
            mean(of_class.map(|row| self.kept.share(row)))
        };
        let (overlap, table) = overlap::between_tokens(&self.kept, tokens, classes, &shares);
        let values = rows as f64 * width;
        let mask = OneMask {
            site: self.site.name(),
            layer: self.layer,
            width: shares.len(),
            kept: shares.iter().sum::<f64>() / width,
            always_kept: count(|share| share == 1.0) / width,
            never_kept: count(|share| share == 0.0) / width,
            overlap,
            kept_by_class: classes.iter().map(kept_by_class).collect(),
            histogram: self
                .histogram
                .iter()
                .map(|&of| of as f64 / values)
                .collect(),
        };
        (mask, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, text: &str) -> StudiedToken {
        StudiedToken {
            id,
            text: text.into(),
        }
    }

    fn window(layer: usize, values: &[f32]) -> MaskWindow {
        MaskWindow {
            site: Site::FeedForwardHidden,
            layer: Some(layer),
            width: 4,
            values: values.to_vec(),
            kept_from: 0.5,
        }
    }

    /// Two windows of two tokens; the first value is always kept, the last one never.
    fn study() -> MaskStudy {
        let mut study = MaskStudy::default();
        let values = [1.0, 1.0, 0.0, 0.0, 0.5, 0.0, 0.6, 0.2];
        study.add(
            vec![token(1, " the"), token(2, "7")],
            &[window(0, &values), window(1, &[0.0; 8])],
        );
        let values = [1.0, 0.9, 0.0, 0.0, 0.8, 0.49, 0.9, 0.0];
        study.add(
            vec![token(1, " the"), token(3, "8")],
            &[window(0, &values), window(1, &[1.0; 8])],
        );
        study
    }

    #[test]
    fn a_study_worked_by_hand() {
        let found = study().analysis().expect("masks and tokens");
        let mask = &found.masks[0];
        assert_eq!(found.tokens, 4);
        assert_eq!(
            (mask.kept, mask.always_kept, mask.never_kept),
            (0.5, 0.25, 0.25)
        );
        // Tokens keep {0, 1}, {0, 2}, {0, 1}, {0, 2}: two of six pairs are equal, four share one of three.
        let any = (2.0 + 4.0 / 3.0) / 6.0;
        assert!((mask.overlap.any.expect("kept") - any).abs() < 1e-12);
        assert_eq!(mask.overlap.same_token, Some(1.0));
        assert!((mask.overlap.neighbours.expect("kept") - 1.0 / 3.0).abs() < 1e-12);
        // Shares 1, 1/2, 1/2, 0: Σ p² = 1.5 of Σ (2 p − p²) = 2.5.
        assert!((mask.overlap.chance.expect("kept") - 0.6).abs() < 1e-12);
        assert_eq!(mask.kept_by_class, [0.5, 0.5]);
        assert_eq!(mask.histogram[0], 6.0 / 16.0);
        assert_eq!(mask.histogram[19], 3.0 / 16.0);
    }

    #[test]
    fn means_over_masks_worked_by_hand() {
        let found = study().analysis().expect("masks and tokens");
        assert_eq!(found.kept, 0.5);
        assert_eq!((found.always_kept, found.never_kept), (0.125, 0.125));
        assert_eq!(found.by_position, [0.5, 0.5]);
        let classes: Vec<_> = found
            .classes
            .iter()
            .map(|of| (of.class, of.tokens))
            .collect();
        let expected = [(TokenClass::WordBeginning, 2), (TokenClass::Number, 2)];
        assert_eq!(classes, expected);
        // With the second mask the two tokens of the second window keep everything and those of the
        // first nothing: five of six pairs count, and one of these overlaps.
        assert_eq!(found.class_overlap[0][0], Some(f64::midpoint(1.0, 0.0)));
        assert_eq!(found.masks[1].overlap.any, Some(1.0 / 5.0));
    }

    #[test]
    fn nothing_to_study_is_no_analysis() {
        assert_eq!(MaskStudy::default().analysis(), None);
        let mut study = MaskStudy::default();
        study.add(vec![token(1, "a")], &[]);
        assert_eq!(study.analysis(), None);
    }

    #[test]
    fn bits_come_token_by_token() {
        let bits: Vec<_> = study().first_bits(3).collect();
        assert_eq!(bits[0], [0b0011, 0b0101, 0b0011]);
        assert_eq!(study().first_tokens(3).count(), 3);
    }
}
