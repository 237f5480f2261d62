//! What a run spent its time on.

use std::time::Duration;

use serde::Serialize;

/// Time since the process began or resumed the run. It serializes to seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Optimizer steps.
    #[serde(serialize_with = "as_seconds")]
    pub training: Duration,
    /// Evaluations, with their text samples.
    #[serde(serialize_with = "as_seconds")]
    pub evaluations: Duration,
    /// Writing of checkpoints.
    #[serde(serialize_with = "as_seconds")]
    pub checkpoints: Duration,
}

impl Spent {
    /// The share of the time that was spent on evaluations, from 0 to 1; 0 if no time was spent.
    pub fn evaluation_share(&self) -> f64 {
        let all = self.training + self.evaluations + self.checkpoints;
        match all.is_zero() {
            true => 0.0,
            false => self.evaluations.as_secs_f64() / all.as_secs_f64(),
        }
    }
}

fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_worked_by_hand() {
        let spent = Spent {
            training: Duration::from_secs(6),
            evaluations: Duration::from_secs(3),
            checkpoints: Duration::from_secs(3),
        };
        assert_eq!(spent.evaluation_share(), 0.25);
        assert_eq!(Spent::default().evaluation_share(), 0.0);
        let json = serde_json::to_string(&spent).unwrap();
        assert_eq!(
            json,
            r#"{"training":6.0,"evaluations":3.0,"checkpoints":3.0}"#
        );
    }
}
