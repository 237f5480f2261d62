//! Sampling: chooses the next token from the logits.

use kernels::random::Philox;

/// The options for choosing the next token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingOptions {
    /// Divides the logits; with 0 the likeliest token is always chosen. Finite, at least 0.
    pub temperature: f32,
    /// Chooses only among the `top_k` likeliest tokens; at least 1.
    pub top_k: Option<usize>,
    /// Chooses only among the likeliest tokens that together reach this probability (nucleus sampling,
    /// Holtzman et al., 2020); above 0, at most 1. Applied after `top_k`.
    pub top_p: Option<f32>,
    /// Seed of the random numbers. The same seed, model and prompt give the same tokens.
    pub seed: u64,
}

impl Default for SamplingOptions {
    /// The model's own probabilities: temperature 1, without `top_k` and `top_p`, seed 0.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            seed: 0,
        }
    }
}

/// Why no token can be chosen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// The temperature is negative or not a number.
    #[error("the temperature is {0}; expected a finite number of at least 0")]
    Temperature(f32),
    /// `top_k` is 0.
    #[error("top-k is 0; expected at least 1, or leave it out")]
    TopK,
    /// `top_p` is not a probability above 0.
    #[error("top-p is {0}; expected a number above 0 and at most 1")]
    TopP(f32),
    /// Every logit is −∞ or not a number.
    #[error("the model's logits hold no usable value; its weights are damaged or have diverged")]
    NoUsableLogit,
}

/// Chooses tokens, one after another.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplingOptions,
    random: Philox,
    drawn: u64,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    /// The logit, later the probability before normalization.
    weight: f64,
}

impl Sampler {
    /// A sampler at the beginning of its random stream.
    ///
    /// # Errors
    /// An option is out of its range.
    pub fn new(options: SamplingOptions) -> Result<Self, SamplingError> {
        if !(options.temperature >= 0.0 && options.temperature.is_finite()) {
            return Err(SamplingError::Temperature(options.temperature));
        }
        if options.top_k == Some(0) {
            return Err(SamplingError::TopK);
        }
        if let Some(share) = options.top_p
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(SamplingError::TopP(share));
        }
        let random = Philox::new(options.seed, 0);
        Ok(Self {
            options,
            random,
            drawn: 0,
            candidates: Vec::new(),
        })
    }

    /// Chooses the next token. Logits that are NaN have probability 0. Among equal logits, lower tokens come
    /// first.
    ///
    /// # Errors
    /// No logit is usable.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, SamplingError> {
        let likeliest = likeliest(logits).ok_or(SamplingError::NoUsableLogit)?;
        let largest = f64::from(logits[likeliest as usize]);
        // An infinite logit leaves no probability for any other token.
        if self.options.temperature == 0.0 || largest == f64::INFINITY {
            return Ok(likeliest);
        }
        self.collect(logits, largest);
        self.keep_top_k();
        self.keep_top_p();
        let uniform = self.random.uniform(self.drawn);
        self.drawn += 1;
        Ok(draw(&self.candidates, uniform).unwrap_or(likeliest))
    }

    /// Collects all possible tokens with their weights `exp((logit − largest) / temperature)`.
    fn collect(&mut self, logits: &[f32], largest: f64) {
        let temperature = f64::from(self.options.temperature);
        self.candidates.clear();
        self.candidates
            .extend(
                (0..)
                    .zip(logits)
                    .filter(|(_, logit)| !logit.is_nan())
                    .map(|(id, &logit)| Candidate {
                        id,
                        weight: ((f64::from(logit) - largest) / temperature).exp(),
                    }),
            );
        self.candidates.retain(|candidate| candidate.weight > 0.0);
    }

    fn keep_top_k(&mut self) {
        if let Some(count) = self.options.top_k
            && count < self.candidates.len()
        {
            self.candidates.select_nth_unstable_by(count - 1, by_weight);
            self.candidates.truncate(count);
            // The draw depends on the order of the candidates, so restore a fixed one.
            self.candidates
                .sort_unstable_by_key(|candidate| candidate.id);
        }
    }

    fn keep_top_p(&mut self) {
        let Some(share) = self
            .options
            .top_p
            .map(f64::from)
            .filter(|&share| share < 1.0)
        else {
            return;
        };
        let total: f64 = self
            .candidates
            .iter()
            .map(|candidate| candidate.weight)
            .sum();
        // Tokens below this weight add up to less than 1 − share, so none of them is needed. Without them
        // the sort is short.
        let least = (1.0 - share) * total / self.candidates.len() as f64;
        self.candidates
            .retain(|candidate| candidate.weight >= least);
        self.candidates.sort_unstable_by(by_weight);
        let mut sum = 0.0;
        let before = |candidate: &Candidate| {
            let wanted = sum < share * total;
            sum += candidate.weight;
            wanted
        };
        let count = self
            .candidates
            .iter()
            .map(before)
            .take_while(|&wanted| wanted)
            .count();
        self.candidates.truncate(count.max(1));
    }
}

/// Orders by falling weight, then by rising token.
fn by_weight(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best = None;
    for (id, &logit) in (0..).zip(logits) {
        if logit > f32::NEG_INFINITY && best.is_none_or(|(_, most)| logit > most) {
            best = Some((id, logit));
        }
    }
    best.map(|(id, _)| id)
}

/// Draws a candidate by inverse transform sampling: the first one whose cumulative share of the weights is
/// above `uniform`, in [0, 1).
fn draw(candidates: &[Candidate], uniform: f64) -> Option<u32> {
    let total: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
    let mut rest = uniform * total;
    for candidate in candidates {
        rest -= candidate.weight;
        if rest < 0.0 {
            return Some(candidate.id);
        }
    }
    candidates.last().map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SamplingOptions {
        SamplingOptions::default()
    }

    /// How often each of the tokens is drawn, as shares.
    fn shares(options: SamplingOptions, logits: &[f32]) -> Vec<f64> {
        let mut sampler = Sampler::new(options).unwrap();
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.sample(logits).unwrap() as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    /// Five deviations of a share of 20,000 draws, at most sqrt(0.25 / 20,000) = 0.0035 each.
    fn assert_shares(found: &[f64], expected: &[f64]) {
        for (found_share, expected_share) in found.iter().zip(expected) {
            let exact = *expected_share == 0.0;
            let close = (found_share - expected_share).abs() < if exact { 1e-12 } else { 0.018 };
            assert!(close, "{found:?}, expected {expected:?}");
        }
    }

    /// Probabilities 0.1, 0.4, 0.2, 0.3.
    fn logits() -> [f32; 4] {
        [1.0f32, 4.0, 2.0, 3.0].map(f32::ln)
    }

    #[test]
    fn draws_follow_the_probabilities() {
        assert_shares(&shares(options(), &logits()), &[0.1, 0.4, 0.2, 0.3]);
        // Temperature 1/2 squares the weights: 1, 16, 4, 9 of 30.
        let colder = SamplingOptions {
            temperature: 0.5,
            ..options()
        };
        assert_shares(
            &shares(colder, &logits()),
            &[1.0 / 30.0, 16.0 / 30.0, 4.0 / 30.0, 0.3],
        );
    }

    #[test]
    fn top_k_keeps_the_likeliest() {
        let two = SamplingOptions {
            top_k: Some(2),
            ..options()
        };
        assert_shares(&shares(two, &logits()), &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
        // Of equal logits the lower tokens stay.
        assert_shares(&shares(two, &[1.0; 4]), &[0.5, 0.5, 0.0, 0.0]);
        let many = SamplingOptions {
            top_k: Some(9),
            ..options()
        };
        assert_shares(&shares(many, &logits()), &[0.1, 0.4, 0.2, 0.3]);
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_it() {
        let nucleus = |share| SamplingOptions {
            top_p: Some(share),
            ..options()
        };
        assert_shares(&shares(nucleus(0.39), &logits()), &[0.0, 1.0, 0.0, 0.0]);
        assert_shares(
            &shares(nucleus(0.5), &logits()),
            &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0],
        );
        assert_shares(
            &shares(nucleus(0.75), &logits()),
            &[0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0],
        );
        assert_shares(&shares(nucleus(0.95), &logits()), &[0.1, 0.4, 0.2, 0.3]);
        assert_shares(&shares(nucleus(1.0), &logits()), &[0.1, 0.4, 0.2, 0.3]);
        assert_shares(&shares(nucleus(1e-9), &logits()), &[0.0, 1.0, 0.0, 0.0]);
        // After top-k the probabilities are 4/7 and 3/7: 0.5 needs one of them only.
        let both = SamplingOptions {
            top_k: Some(2),
            ..nucleus(0.5)
        };
        assert_shares(&shares(both, &logits()), &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut sampler = Sampler::new(SamplingOptions {
            temperature: 0.0,
            ..options()
        })
        .unwrap();
        assert_eq!(sampler.sample(&[1.0, 3.0, 3.0, -1.0]), Ok(1));
        assert_eq!(sampler.sample(&[f32::NAN, -5.0, f32::NEG_INFINITY]), Ok(1));
    }

    #[test]
    fn unusable_logits_never_panic_and_are_never_chosen() {
        for temperature in [0.0, 1e-30, 1.0, 1e30] {
            let all = SamplingOptions {
                temperature,
                top_k: Some(2),
                top_p: Some(0.9),
                seed: 0,
            };
            let mut sampler = Sampler::new(all).unwrap();
            for _ in 0..50 {
                assert_eq!(sampler.sample(&[f32::NAN, 7.0, f32::NEG_INFINITY]), Ok(1));
                assert_eq!(sampler.sample(&[f32::INFINITY, 7.0, f32::NAN]), Ok(0));
            }
            let unusable = Err(SamplingError::NoUsableLogit);
            assert_eq!(sampler.sample(&[f32::NAN, f32::NEG_INFINITY]), unusable);
            assert_eq!(sampler.sample(&[]), unusable);
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draws = |seed| {
            let mut sampler = Sampler::new(SamplingOptions { seed, ..options() }).unwrap();
            (0..40)
                .map(|_| sampler.sample(&[0.0; 50]).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let error = |options| Sampler::new(options).err();
        for temperature in [-0.1, f32::NAN, f32::INFINITY] {
            assert!(
                error(SamplingOptions {
                    temperature,
                    ..options()
                })
                .is_some()
            );
        }
        for share in [0.0, -0.5, 1.1, f32::NAN] {
            assert!(
                error(SamplingOptions {
                    top_p: Some(share),
                    ..options()
                })
                .is_some()
            );
        }
        let none = SamplingOptions {
            top_k: Some(0),
            ..options()
        };
        assert_eq!(error(none), Some(SamplingError::TopK));
    }
}
