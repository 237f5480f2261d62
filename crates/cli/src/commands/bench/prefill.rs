//! `ldrop bench prefill`.

use std::num::NonZeroU32;

use inference::{Engine, MaskRule, MaskStatistics, Session, Work};
use kernels::peak::matrix_product_flops;

use super::inference::Workload;
use super::inference_report::Limit;
use crate::arguments::{BenchInferenceArguments, BenchPrefillArguments};
use crate::failure::Failure;

/// One prompt, all its tokens together. Matrix products take most of the time.
impl Workload for BenchPrefillArguments {
    const COMMAND: &'static str = "bench prefill";
    const DEFAULT_TOKENS: usize = 512;

    fn tokens(&self) -> Option<NonZeroU32> {
        self.tokens
    }

    fn arguments(&self) -> &BenchInferenceArguments {
        &self.inference
    }

    fn read(
        &self,
        engine: &Engine,
        rule: MaskRule,
        ids: &[u32],
    ) -> Result<Option<MaskStatistics>, Failure> {
        let mut session = Session::new(engine)?.with_mask_rule(rule);
        session.prefill(ids)?;
        Ok(session.mask_statistics())
    }

    /// Only the last token of the prompt has logits.
    fn outputs_per_token(&self, tokens: usize) -> f64 {
        1.0 / tokens as f64
    }

    fn limiting_work(&self, work: &Work) -> f64 {
        work.operations
    }

    fn limit(&self, dense: &Engine, _operations: f64, _threads: usize) -> Limit {
        let precision = dense.precision();
        Limit::Products {
            flops: matrix_product_flops(precision),
            precision,
        }
    }
}
