//! Ends a run before its last step: after evaluations without a new lowest validation loss, or after a
//! time. The settings are `[train.stop]`.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::config::{StopConfig, TrainConfig};

/// What ends a run before its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// `train.stop.patience` evaluations in a row brought no new lowest validation loss.
    Patience,
    /// `train.stop.minutes` have passed.
    Minutes,
}

/// The end of a run before its last step, with the settings that decided it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyEnd {
    /// What ended it.
    pub reason: EndReason,
    /// `train.steps` at that time.
    pub steps: u64,
    /// `[train.stop]` at that time.
    pub stop: StopConfig,
}

impl EarlyEnd {
    /// Whether a run with these settings stays ended. It goes on if the steps or `[train.stop]` were
    /// changed since.
    pub fn holds(&self, train: &TrainConfig) -> bool {
        self.steps == train.steps && self.stop == train.stop
    }
}

impl Display for EarlyEnd {
    /// The reason in words, for example "no new lowest validation loss in 5 evaluations".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |is_one: bool| if is_one { "" } else { "s" };
        match self.reason {
            EndReason::Patience => {
                let patience = self.stop.patience.unwrap_or(0);
                let s = plural(patience == 1);
                let threshold = self.stop.threshold;
                if threshold > 0.0 {
                    write!(
                        formatter,
                        "no validation loss lower by more than {threshold} in {patience} evaluation{s}"
                    )
                } else {
                    write!(
                        formatter,
                        "no new lowest validation loss in {patience} evaluation{s}"
                    )
                }
            }
            EndReason::Minutes => {
                let minutes = self.stop.minutes.unwrap_or(0.0);
                let s = plural(minutes == 1.0);
                write!(formatter, "{minutes} minute{s} of training have passed")
            }
        }
    }
}

/// What a run remembers in order to end early; part of its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopState {
    /// The lowest validation loss that counted; only with a patience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest: Option<f64>,
    /// Evaluations since then.
    pub waited: u64,
    /// Seconds of training when the checkpoint was written; only counted with a bound on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The end of the run; none while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EarlyEnd>,
}

impl StopState {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts an evaluation. `lowest_before` is the lowest validation loss of all earlier ones.
    pub fn evaluated(&mut self, stop: &StopConfig, loss: f64, lowest_before: Option<f64>) {
        if stop.patience.is_none() {
            return;
        }
        // The patience may be newer than the run.
        let lowest = self.lowest.or(lowest_before);
        if lowest.is_none_or(|lowest| loss < lowest - stop.threshold) {
            self.lowest = Some(loss);
            self.waited = 0;
        } else {
            self.lowest = lowest;
            self.waited += 1;
        }
    }

    /// What ends the run now, after so many seconds of training; nothing if it goes on.
    pub fn reason(&self, stop: &StopConfig, seconds: f64) -> Option<EndReason> {
        let has_waited = stop.patience.is_some_and(|most| self.waited >= most);
        let time_is_up = stop.minutes.is_some_and(|most| seconds >= 60.0 * most);
        match (has_waited, time_is_up) {
            (true, _) => Some(EndReason::Patience),
            (_, true) => Some(EndReason::Minutes),
            _ => None,
        }
    }

    /// Prepares for going on with these settings. A run that ended goes on if they changed since; it then
    /// waits anew.
    pub fn resume(&mut self, train: &TrainConfig) {
        if self.ended.as_ref().is_some_and(|end| !end.holds(train)) {
            self.ended = None;
            self.waited = 0;
        }
        if train.stop.patience.is_none() {
            (self.lowest, self.waited) = (None, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of evaluations waited after each of these losses.
    fn waited(stop: &StopConfig, losses: &[f64]) -> Vec<u64> {
        let (mut state, mut lowest) = (StopState::default(), None);
        let evaluate = |&loss: &f64| {
            state.evaluated(stop, loss, lowest);
            lowest = Some(lowest.map_or(loss, |lowest: f64| lowest.min(loss)));
            state.waited
        };
        losses.iter().map(evaluate).collect()
    }

    fn patience(evaluations: u64, threshold: f64) -> StopConfig {
        StopConfig {
            patience: Some(evaluations),
            threshold,
            minutes: None,
        }
    }

    #[test]
    fn waits_for_a_new_lowest_loss() {
        let losses = [3.0, 2.0, 2.5, 2.0, 1.5, 1.75];
        assert_eq!(waited(&patience(2, 0.0), &losses), [0, 0, 1, 2, 0, 1]);
        assert_eq!(waited(&StopConfig::default(), &losses), [0; 6]);
    }

    #[test]
    fn small_gains_count_once_they_add_up_to_the_threshold() {
        let losses = [3.0, 2.75, 2.5, 2.25, 2.125];
        assert_eq!(waited(&patience(2, 0.5), &losses), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn a_patience_that_is_newer_than_the_run_compares_with_what_was_before() {
        let mut state = StopState::default();
        state.evaluated(&patience(2, 0.0), 2.0, Some(1.0));
        assert_eq!((state.lowest, state.waited), (Some(1.0), 1));
    }

    #[test]
    fn patience_and_time_end_a_run() {
        let stop = StopConfig {
            minutes: Some(0.5),
            ..patience(3, 0.0)
        };
        let reason = |waited, seconds| {
            let state = StopState {
                waited,
                ..StopState::default()
            };
            state.reason(&stop, seconds)
        };
        assert_eq!(reason(2, 29.9), None);
        assert_eq!(reason(2, 30.0), Some(EndReason::Minutes));
        assert_eq!(reason(3, 1.0), Some(EndReason::Patience));
        assert_eq!(
            StopState::default().reason(&StopConfig::default(), 1e9),
            None
        );
    }

    #[test]
    fn the_reason_is_told_in_words() {
        let end = |reason, stop| EarlyEnd {
            reason,
            steps: 9,
            stop,
        };
        let words = |reason, stop| end(reason, stop).to_string();
        assert_eq!(
            words(EndReason::Patience, patience(5, 0.0)),
            "no new lowest validation loss in 5 evaluations"
        );
        assert_eq!(
            words(EndReason::Patience, patience(1, 0.01)),
            "no validation loss lower by more than 0.01 in 1 evaluation"
        );
        let minutes = StopConfig {
            minutes: Some(1.5),
            ..StopConfig::default()
        };
        assert_eq!(
            words(EndReason::Minutes, minutes),
            "1.5 minutes of training have passed"
        );
    }
}
