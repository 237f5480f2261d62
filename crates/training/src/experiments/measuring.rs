//! The measurements of an experiment that are still to be made.
//!
//! A machine's speed changes from minute to minute. So the models of all arms with the same seed are timed by
//! one process, in alternation, and speeds of models that were timed apart are not kept for a comparison.

use serde_json::Value;

use super::measurements::{
    Measurements, MeasurementsError, PlannedMeasurement, Trained, planned_measurements,
};
use super::{Experiment, PlannedRun, Status, status};

/// A process that measures: one run, or with a benchmark several runs in alternation.
#[derive(Clone, Debug)]
pub struct Measuring<'r> {
    /// What is measured.
    pub planned: PlannedMeasurement,
    /// The runs whose models are measured, in the order of the arms.
    pub runs: Vec<&'r PlannedRun>,
    /// The names of their arms, if they are several.
    together: Vec<String>,
}

impl Measuring<'_> {
    /// Keeps the results, one for each run, in the run folders.
    ///
    /// # Errors
    /// A file of measurements cannot be written.
    pub fn keep(&self, results: Vec<Value>) -> Result<(), MeasurementsError> {
        for (run, result) in self.runs.iter().zip(results) {
            let mut made = Measurements::read(&run.folder);
            made.put(self.planned.with_result(result, &self.together));
            made.write(&run.folder)?;
        }
        Ok(())
    }

    /// Whether every run has the measurement already, made with the same models in alternation.
    fn is_made(&self) -> bool {
        self.runs.iter().all(|run| {
            let made = Measurements::read(&run.folder);
            let made = made.made_with(&self.planned.arguments);
            made.is_some_and(|made| made.together == self.together)
        })
    }
}

impl Experiment {
    /// The measurements of these runs that are still to be made. A run that is not finished has none.
    ///
    /// Measurements in the run folders that the experiment no longer plans are removed from there, so
    /// that reports do not show them.
    ///
    /// # Errors
    /// A file of measurements cannot be written.
    pub fn remaining_measurements<'r>(
        &self,
        runs: &'r [PlannedRun],
    ) -> Result<Vec<Measuring<'r>>, MeasurementsError> {
        let mut all: Vec<Measuring<'r>> = Vec::new();
        for run in runs {
            for planned in self.planned_of_run(run)? {
                let is_same = |of: &&mut Measuring<'r>| {
                    planned.is_benchmark() && of.planned == planned && of.runs[0].seed == run.seed
                };
                match all.iter_mut().find(is_same) {
                    Some(measuring) => measuring.runs.push(run),
                    None => all.push(Measuring {
                        planned,
                        runs: vec![run],
                        together: Vec::new(),
                    }),
                }
            }
        }
        for measuring in &mut all {
            if measuring.runs.len() > 1 {
                let name = |run: &&PlannedRun| self.outline.arms[run.arm].name.clone();
                measuring.together = measuring.runs.iter().map(name).collect();
            }
        }
        all.retain(|measuring| !measuring.is_made());
        Ok(all)
    }

    /// The measurements of a run, made or not; none before it is finished. Removes others from its folder.
    fn planned_of_run(
        &self,
        run: &PlannedRun,
    ) -> Result<Vec<PlannedMeasurement>, MeasurementsError> {
        if status(&run.folder, &run.config.train) != Status::Finished {
            return Ok(Vec::new());
        }
        let outline = &self.outline;
        let seed = outline.seeds.iter().position(|&seed| seed == run.seed);
        let trained = Trained {
            arm: &outline.arms[run.arm].name,
            seed: seed.unwrap_or(usize::MAX),
            masked: run.config.model.learned_dropout.is_some(),
        };
        let planned = planned_measurements(outline.plans(), trained);
        let mut made = Measurements::read(&run.folder);
        let before = made.0.len();
        made.0.retain(|measurement| {
            planned
                .iter()
                .any(|planned| planned.arguments == measurement.arguments)
        });
        if made.0.len() < before {
            made.write(&run.folder)?;
        }
        Ok(planned)
    }
}
