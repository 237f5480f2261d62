//! Inspection of given tokens: the model's predictions, its masks and its loss.

use crate::engine::Engine;
use crate::error::EngineError;
use crate::mask_statistics::{MaskStatistics, MaskValues};
use crate::session::Session;

/// Number of tokens whose logits are computed at a time: the logits of a whole sequence would be by far the
/// largest tensor.
const LOGITS_TOKENS: usize = 16;

/// What a model predicts after some tokens, and statistics of its masks.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The logits after the last token, one for each token of the vocabulary.
    pub logits: Vec<f32>,
    /// Statistics of the masks of all tokens that the model saw; none without learned masks.
    pub masks: Option<MaskStatistics>,
    /// Number of tokens at the beginning that did not fit into the context.
    pub dropped: usize,
}

/// How well a model predicts some tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Mean cross-entropy, in nats.
    pub mean: f64,
    /// Number of predicted tokens.
    pub tokens: usize,
    /// Statistics of the masks of all tokens; none without learned masks.
    pub masks: Option<MaskStatistics>,
}

impl Inspection {
    /// The `count` likeliest next tokens and their probabilities, the likeliest first. Equally likely tokens
    /// are in the order of their ids.
    pub fn likeliest(&self, count: usize) -> Vec<(u32, f64)> {
        let logits = &self.logits;
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| f64::from(logit - largest).exp();
        let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&left, &right| logits[right].total_cmp(&logits[left]));
        order
            .into_iter()
            .take(count)
            .map(|id| (id as u32, weight(logits[id]) / total))
            .collect()
    }
}

impl Engine {
    /// Runs the model on tokens; if there are more than `context`, on the last `context` of them.
    ///
    /// # Errors
    /// There are no tokens, or the model does not know one of them.
    pub fn inspect(&self, ids: &[u32]) -> Result<Inspection, EngineError> {
        let mut session = Session::new(self)?;
        let dropped = session.prefill(ids)?;
        let masks = session.mask_statistics();
        Ok(Inspection {
            logits: session.logits().to_vec(),
            masks,
            dropped,
        })
    }

    /// The values of all masks for some tokens at the start of a sequence, in the order of the forward pass.
    /// Empty without learned masks.
    ///
    /// # Errors
    /// There are no tokens or more than the context, or the model does not know one of them.
    pub fn mask_values(&self, ids: &[u32]) -> Result<Vec<MaskValues>, EngineError> {
        self.check_window(ids)?;
        let mut session = Session::new(self)?;
        Ok(session.read_masks(ids))
    }

    /// Checks that there are tokens, that they fit into the context and that they are in the vocabulary.
    fn check_window(&self, ids: &[u32]) -> Result<(), EngineError> {
        if ids.is_empty() {
            return Err(EngineError::NoTokens);
        }
        let context = self.config().context;
        if ids.len() > context {
            return Err(EngineError::TooLong {
                found: ids.len(),
                context,
            });
        }
        self.check_tokens(ids)
    }

    /// The mean cross-entropy of predicting `targets[i]` after `ids[..=i]`.
    ///
    /// # Errors
    /// There are no tokens, more tokens than the context, or not one target for each token; or a token is
    /// outside the vocabulary.
    pub fn loss(&self, ids: &[u32], targets: &[u32]) -> Result<Loss, EngineError> {
        self.check_window(ids)?;
        if ids.len() != targets.len() {
            return Err(EngineError::Targets {
                inputs: ids.len(),
                targets: targets.len(),
            });
        }
        self.check_tokens(targets)?;
        let (vocabulary, width) = (self.config().vocabulary, self.config().width);
        let mut session = Session::new(self)?;
        let mut logits = vec![0.0; LOGITS_TOKENS * vocabulary];
        let (mut sum, mut expected) = (0.0, targets.iter());
        session.read_all(ids, |hidden| {
            for hidden in hidden.chunks(LOGITS_TOKENS * width) {
                let logits = &mut logits[..hidden.len() / width * vocabulary];
                self.workers.multiply(&self.token_embedding, hidden, logits);
                for (logits, &target) in logits.chunks_exact(vocabulary).zip(&mut expected) {
                    sum += cross_entropy(logits, target as usize);
                }
            }
        });
        let masks = session.mask_statistics();
        Ok(Loss {
            mean: sum / ids.len() as f64,
            tokens: ids.len(),
            masks,
        })
    }
}

/// `ln Σ exp(logits) − logits[target]`, in nats.
fn cross_entropy(logits: &[f32], target: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - largest).exp())
        .sum();
    sum.ln() + largest - f64::from(logits[target])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeliest_tokens_worked_by_hand() {
        let inspection = Inspection {
            // Probabilities 2/10, 4/10, 2/10, 2/10.
            logits: [2.0f32, 4.0, 2.0, 2.0].map(f32::ln).into(),
            masks: None,
            dropped: 0,
        };
        let likeliest = inspection.likeliest(3);
        let ids: Vec<u32> = likeliest.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 0, 2]);
        for ((_, probability), expected) in likeliest.iter().zip([0.4, 0.2, 0.2]) {
            assert!((probability - expected).abs() < 1e-6);
        }
        assert_eq!(inspection.likeliest(9).len(), 4);
    }

    #[test]
    fn cross_entropy_worked_by_hand() {
        // Probabilities 1/10, 4/10, 2/10, 3/10.
        let logits = [1.0f32, 4.0, 2.0, 3.0].map(f32::ln);
        assert!((cross_entropy(&logits, 1) - 2.5f64.ln()).abs() < 1e-6);
        assert!((cross_entropy(&[1000.0, 1000.0], 0) - 2.0f64.ln()).abs() < 1e-9);
    }
}
