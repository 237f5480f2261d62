//! `ldrop bench decode`.

use std::num::NonZeroU32;

use inference::{Batch, Engine, MaskRule, MaskStatistics, Work};
use kernels::peak::read_bytes_per_second;
use kernels::team::Team;

use super::inference::Workload;
use super::inference_report::Limit;
use crate::arguments::{BenchDecodeArguments, BenchInferenceArguments};
use crate::failure::Failure;

/// Several sequences together, token by token. Reading the weights takes most of the time.
impl Workload for BenchDecodeArguments {
    const COMMAND: &'static str = "bench decode";
    const DEFAULT_TOKENS: usize = 64;

    fn batch(&self) -> usize {
        self.batch.into()
    }

    fn tokens(&self) -> Option<NonZeroU32> {
        self.tokens
    }

    fn arguments(&self) -> &BenchInferenceArguments {
        &self.inference
    }

    /// The first tokens of all sequences, then the second ones, and so on.
    fn in_reading_order(&self, sequences: Vec<u32>) -> Vec<u32> {
        let tokens = sequences.len() / self.batch();
        let step = |position| sequences.iter().skip(position).step_by(tokens).copied();
        (0..tokens).flat_map(step).collect()
    }

    fn read(
        &self,
        engine: &Engine,
        rule: MaskRule,
        ids: &[u32],
    ) -> Result<Option<MaskStatistics>, Failure> {
        let mut sequences = Batch::new(engine, self.batch())?.with_mask_rule(rule);
        for ids in ids.chunks_exact(self.batch()) {
            sequences.decode(ids)?;
        }
        Ok(sequences.mask_statistics())
    }

    fn outputs_per_token(&self, _tokens: usize) -> f64 {
        1.0
    }

    fn limiting_work(&self, work: &Work) -> f64 {
        work.bytes
    }

    fn limit(&self, _dense: &Engine, bytes: f64, threads: usize) -> Limit {
        let team = Team::new(threads);
        Limit::Reading {
            bandwidth: read_bytes_per_second(&team, (bytes / 4.0) as usize),
        }
    }
}
