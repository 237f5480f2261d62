//! What a run or an experiment wrote, as reports and resumed runs read it.
//!
//! Reports of any metrics can be made, and are not much longer than the metrics. Resuming keeps the
//! beginning of the metrics: whole lines about steps that are done.

use training::experiments::{MEASUREMENTS_FILE, OUTLINE_FILE};
use training::metrics::{Metrics, MetricsFile};
use training::report::{Format, Report, Theme};
use training::run_folder::{CONFIG_FILE, METRICS_FILE};

use crate::{parts, place};

const CONFIG: &str =
    include_str!("../../../docs/results/dense-to-masked/runs/masked-25/seed-1/config.toml");

/// The last step that a resumed run has done.
const STEP: u64 = 20;

/// Bytes of a report for each byte of its input, and those of every report.
const LONGEST: usize = 200;
const ALWAYS: usize = 64 << 20;

/// Makes reports: up to the first zero byte `metrics.jsonl`, then `measurements.json`, then
/// `experiment.json`. With the last one, the run is that of the arm `arm` with seed 1.
pub fn run(bytes: &[u8]) {
    let [metrics, measurements, outline] = parts::split(bytes);
    place::clear();
    let folder = place::folder();
    let run = if outline.is_empty() {
        folder.clone()
    } else {
        place::file(OUTLINE_FILE, outline);
        folder.join("runs/arm/seed-1")
    };
    place::file(run.join(CONFIG_FILE), CONFIG.as_bytes());
    place::file(run.join(METRICS_FILE), metrics);
    if !measurements.is_empty() {
        place::file(run.join(MEASUREMENTS_FILE), measurements);
    }
    match Report::read(std::slice::from_ref(&folder)) {
        Ok(report) => {
            for format in [
                Format::Html,
                Format::Markdown { all_columns: true },
                Format::Csv,
            ] {
                assert!(report.write(format).len() <= LONGEST * bytes.len() + ALWAYS);
            }
            if let Some(picture) = report.picture(None, Theme::Light) {
                assert!(picture.len() <= LONGEST * bytes.len() + ALWAYS);
                assert!(
                    !picture.contains("NaN"),
                    "a picture with a place that is no number"
                );
            }
        }
        Err(error) => {
            let message = error.to_string();
            let named = message.contains(&*folder.to_string_lossy());
            assert!(named, "no file name in: {message}");
        }
    }
    resume(metrics);
}

fn resume(metrics: &[u8]) {
    let path = place::file("resumed.jsonl", metrics);
    drop(MetricsFile::open(&path, STEP).expect("the file can be read and written"));
    let kept = std::fs::read(&path).expect("the file is there");
    assert!(metrics.starts_with(&kept));
    for line in kept.split_inclusive(|&byte| byte == b'\n') {
        assert!(line.ends_with(b"\n"));
        let line: Metrics = serde_json::from_slice(line).expect("lines that stay are metrics");
        assert!(line.step() <= STEP);
    }
}
