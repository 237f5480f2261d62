//! Measurements of the trained models of an experiment, made when all runs have ended.
//!
//! Each is a command of `ldrop` whose JSON is kept in the run folder, so that none is made twice.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// File name, in a run folder, of the measurements of the trained model.
pub const MEASUREMENTS_FILE: &str = "measurements.json";

/// Measurements of the speed of trained models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpeedPlan {
    /// Tokens of a round of `ldrop bench decode`; not measured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<u32>,
    /// Tokens of a round of `ldrop bench prefill`; not measured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<u32>,
    /// Number of rounds; the median counts, and the others say how far it can be trusted.
    pub rounds: u32,
    /// Number of threads; one per processor if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u16>,
    /// Number of seeds, the first ones of each arm, whose models are measured.
    pub seeds: usize,
}

impl Default for SpeedPlan {
    fn default() -> Self {
        Self {
            decode: None,
            prefill: None,
            rounds: 15,
            threads: None,
            seeds: 1,
        }
    }
}

/// Measurements of trained models whose small inputs are taken as 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThresholdPlan {
    /// Names of the arms.
    pub arms: Vec<String>,
    /// Shares of the inputs to be 0, from 0 to 1.
    pub sparsity: Vec<f64>,
    /// The inputs.
    pub inputs: ThresholdedInputs,
    /// Tokens of the validation split that the loss is measured on; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

/// Analyses of trained models' masks for the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskPlan {
    /// Number of tokens.
    pub max_tokens: u64,
    /// Number of seeds, the first ones of each arm, whose models are analysed.
    pub seeds: usize,
}

impl Default for MaskPlan {
    fn default() -> Self {
        Self {
            max_tokens: 4096,
            seeds: 1,
        }
    }
}

/// The planned measurements of trained models.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plans<'a> {
    /// Their speed.
    pub speed: Option<&'a SpeedPlan>,
    /// Their loss and speed with thresholds for small inputs.
    pub threshold: Option<&'a ThresholdPlan>,
    /// Their masks.
    pub masks: Option<&'a MaskPlan>,
}

/// A trained model of an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Trained<'a> {
    /// Name of its arm.
    pub arm: &'a str,
    /// The index of its seed among those of the experiment.
    pub seed: usize,
    /// Whether it has learned masks.
    pub masked: bool,
}

/// Inputs with thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdedInputs {
    /// The hidden units of the feed-forwards.
    #[default]
    Hidden,
    /// The inputs of all linear layers of the blocks.
    All,
}

impl ThresholdedInputs {
    /// The name in an experiment file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::All => "all",
        }
    }
}

/// A measurement: the arguments of the program that made it, without paths, and its output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// For example `["bench", "decode", "--tokens", "64"]`.
    pub arguments: Vec<String>,
    /// The share of inputs that thresholds were to take as 0; none without thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
    /// The arms whose models were timed in alternation, in their order; empty if it was one model alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<String>,
    /// The JSON that the program printed about the model.
    pub result: Value,
}

impl Measurement {
    /// The kind of measurement: `decode`, `prefill`, `eval` or `inspect`.
    pub fn kind(&self) -> &str {
        let mut words = self.arguments.iter().map(String::as_str);
        match words.next() {
            Some("bench") => words.next(),
            first => first,
        }
        .unwrap_or_default()
    }

    /// A number in the result, at a path of keys.
    pub fn number(&self, keys: &[&str]) -> Option<f64> {
        let value = keys.iter().fold(&self.result, |value, key| &value[key]);
        value.as_f64()
    }

    /// The seconds of each round of a benchmark's engine, `dense` or `sparse`; empty if it is none.
    pub fn seconds(&self, engine: &str) -> Vec<f64> {
        let rounds = self.result[engine]["seconds_all"].as_array();
        let rounds = rounds.into_iter().flatten();
        rounds.filter_map(Value::as_f64).collect()
    }
}

/// The file of measurements of a run folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements(pub Vec<Measurement>);

/// The measurements of a run cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct MeasurementsError {
    /// The file.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: std::io::Error,
}

impl Measurements {
    /// Reads the measurements of a run folder; none where there is no file, or a damaged one.
    pub fn read(run: &Path) -> Self {
        let bytes = std::fs::read(run.join(MEASUREMENTS_FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes the measurements into a run folder, whole or not at all.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn write(&self, run: &Path) -> Result<(), MeasurementsError> {
        let path = run.join(MEASUREMENTS_FILE);
        let text =
            serde_json::to_string_pretty(self).expect("strings and numbers serialize") + "\n";
        model::files::write_atomically(&path, text.as_bytes())
            .map_err(|source| MeasurementsError { path, source })
    }

    /// Finds the measurement that was made with these arguments.
    pub fn made_with(&self, arguments: &[String]) -> Option<&Measurement> {
        self.0
            .iter()
            .find(|measurement| measurement.arguments == arguments)
    }

    /// Adds a measurement, in place of one that was made with the same arguments.
    pub fn put(&mut self, measurement: Measurement) {
        self.0.retain(|of| of.arguments != measurement.arguments);
        self.0.push(measurement);
    }
}

/// A measurement that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedMeasurement {
    /// The arguments of the program, without paths.
    pub arguments: Vec<String>,
    /// The share of inputs that thresholds take as 0; none without thresholds.
    pub sparsity: Option<f64>,
}

impl PlannedMeasurement {
    /// A measurement by a command line whose words have spaces between them.
    fn new(command: &str, sparsity: Option<f64>) -> Self {
        let arguments = command.split(' ').map(str::to_string).collect();
        Self {
            arguments,
            sparsity,
        }
    }

    /// Whether it times models, which is fair only in alternation.
    pub fn is_benchmark(&self) -> bool {
        self.arguments.first().is_some_and(|word| word == "bench")
    }

    /// The finished measurement, with what the program printed, and the arms that were timed in alternation.
    pub fn with_result(&self, result: Value, together: &[String]) -> Measurement {
        Measurement {
            arguments: self.arguments.clone(),
            sparsity: self.sparsity,
            together: together.to_vec(),
            result,
        }
    }
}

/// All measurements of a trained model, in the order in which they are made.
pub fn planned_measurements(plans: Plans<'_>, trained: Trained<'_>) -> Vec<PlannedMeasurement> {
    let Trained { arm, seed, masked } = trained;
    let mut all = Vec::new();
    let speed = plans.speed.filter(|speed| seed < speed.seeds);
    let benches = speed.map(SpeedPlan::commands).unwrap_or_default();
    all.extend(
        benches
            .iter()
            .map(|bench| PlannedMeasurement::new(bench, None)),
    );
    if let Some(plan) = plans.masks.filter(|plan| masked && seed < plan.seeds) {
        let command = format!("inspect --max-tokens {}", plan.max_tokens);
        all.push(PlannedMeasurement::new(&command, None));
    }
    let has_arm = |plan: &&ThresholdPlan| plan.arms.iter().any(|name| name == arm);
    if let Some(plan) = plans.threshold.filter(has_arm) {
        for &sparsity in &plan.sparsity {
            let inputs = plan.inputs.name();
            let threshold = format!("--threshold-sparsity {sparsity} --threshold-inputs {inputs}");
            let limit = plan.max_tokens;
            let limit = limit.map_or(String::new(), |limit| format!(" --max-tokens {limit}"));
            let measured = |command: &str| {
                PlannedMeasurement::new(&format!("{command} {threshold}"), Some(sparsity))
            };
            all.push(measured(&format!("eval{limit}")));
            all.extend(benches.iter().map(|bench| measured(bench)));
        }
    }
    all
}

impl SpeedPlan {
    /// The benchmarks that measure the speed.
    fn commands(&self) -> Vec<String> {
        let rounds = self.rounds;
        let threads = self.threads;
        let threads = threads.map_or(String::new(), |threads| format!(" --threads {threads}"));
        [("decode", self.decode), ("prefill", self.prefill)]
            .into_iter()
            .filter_map(|(kind, tokens)| {
                let tokens = tokens?;
                Some(format!(
                    "bench {kind} --tokens {tokens} --rounds {rounds}{threads}"
                ))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measurements_of_a_run_follow_from_the_plans() {
        let speed = SpeedPlan {
            decode: Some(64),
            threads: Some(2),
            ..SpeedPlan::default()
        };
        let threshold = ThresholdPlan {
            arms: vec!["dense".into()],
            sparsity: vec![0.5],
            inputs: ThresholdedInputs::All,
            max_tokens: Some(1000),
        };
        let plans = Plans {
            speed: Some(&speed),
            threshold: Some(&threshold),
            masks: Some(&MaskPlan::default()),
        };
        let lines = |arm: &str, seed: usize| -> Vec<String> {
            let masked = arm == "masked";
            let planned = planned_measurements(plans, Trained { arm, seed, masked });
            let line = |planned: &PlannedMeasurement| planned.arguments.join(" ");
            planned.iter().map(line).collect()
        };
        let bench = "bench decode --tokens 64 --rounds 15 --threads 2";
        let cut = "--threshold-sparsity 0.5 --threshold-inputs all";
        let eval = format!("eval --max-tokens 1000 {cut}");
        let inspect = "inspect --max-tokens 4096";
        assert_eq!(lines("masked", 0), [bench, inspect]);
        assert_eq!(lines("masked", 1), [""; 0]);
        assert_eq!(
            lines("dense", 0),
            [bench.into(), eval.clone(), format!("{bench} {cut}")]
        );
        assert_eq!(lines("dense", 1), [eval]);
    }

    #[test]
    fn kinds_come_from_the_arguments() {
        let kind = |text: &str| {
            let arguments = text.split(' ').map(Into::into).collect();
            let measurement = Measurement {
                arguments,
                sparsity: None,
                together: Vec::new(),
                result: serde_json::json!({"dense": {
                    "tokens_per_second": 3.5, "seconds_all": [0.5, 0.25],
                }}),
            };
            assert_eq!(measurement.seconds("dense"), [0.5, 0.25]);
            assert_eq!(measurement.seconds("sparse"), [0.0; 0]);
            assert_eq!(
                measurement.number(&["dense", "tokens_per_second"]),
                Some(3.5)
            );
            assert_eq!(measurement.number(&["sparse", "tokens_per_second"]), None);
            measurement.kind().to_string()
        };
        assert_eq!(kind("bench decode --tokens 64"), "decode");
        assert_eq!(kind("eval --max-tokens 3"), "eval");
        assert_eq!(kind("eval"), "eval");
        assert_eq!(kind("inspect --max-tokens 3"), "inspect");
    }
}
