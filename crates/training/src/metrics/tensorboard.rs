//! TensorBoard event files: protocol buffers in TFRecord framing.
//!
//! Only the fields that are written are declared. Their numbers are those of TensorFlow's
//! `event.proto` and `summary.proto`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::{EvaluationMetrics, LayerMetrics, MaskMetrics, Metrics, MetricsError, StepMetrics};

/// The version of the format, in the first event of a file.
const FILE_VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`.
const SESSION_START: i32 = 1;
/// `DataType.DT_STRING`.
const STRING: i32 = 7;

/// An event file that is open for appending. Each event is written at once.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Creates a new event file in `folder`, for a run that continues after `step` completed
    /// steps (0: a new run).
    ///
    /// TensorBoard reads all files of the folder in the order of their names. The new file of a resumed
    /// run begins with a session start: it makes TensorBoard ignore later steps in older files.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn create(folder: &Path, step: u64) -> Result<Self, MetricsError> {
        std::fs::create_dir_all(folder).map_err(MetricsError::at(folder))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // Two processes of one run never overlap, but may begin within the same second.
        let name = format!(
            "events.out.tfevents.{:010}.{:09}.ldrop",
            now.as_secs(),
            now.subsec_nanos()
        );
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(MetricsError::at(&path))?;
        let mut events = Self { path, file };
        events.record(&Event {
            file_version: Some(FILE_VERSION.into()),
            ..Event::now(0)
        })?;
        if step > 0 {
            let start = SessionLog {
                status: SESSION_START,
            };
            events.record(&Event {
                session_log: Some(start),
                ..Event::now(step + 1)
            })?;
        }
        Ok(events)
    }

    /// Adds an event with all values of a line of metrics.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, metrics: &Metrics) -> Result<(), MetricsError> {
        let values = match metrics {
            Metrics::Step(step) => step_values(step),
            Metrics::Evaluation(evaluation) => evaluation_values(evaluation),
            Metrics::Sample(sample) => {
                return self.append_text(sample.step, "sample", &sample.text);
            }
            Metrics::Changes(change) => {
                return self.append_text(change.step, "changes", &change.to_string());
            }
            Metrics::End(end) => return self.append_text(end.step, "end", &end.to_string()),
            // TensorBoard has no event for this.
            Metrics::Environment(_) => return Ok(()),
        };
        let value = values
            .into_iter()
            .map(|(tag, value)| SummaryValue {
                tag,
                simple_value: Some(value as f32),
                ..SummaryValue::default()
            })
            .collect();
        self.summary(metrics.step(), value)
    }

    /// Adds a text.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append_text(&mut self, step: u64, tag: &str, text: &str) -> Result<(), MetricsError> {
        let plugin = PluginData {
            plugin_name: "text".into(),
        };
        let tensor = TensorProto {
            dtype: STRING,
            string_val: vec![text.as_bytes().to_vec()],
        };
        let value = SummaryValue {
            tag: tag.into(),
            tensor: Some(tensor),
            metadata: Some(SummaryMetadata {
                plugin_data: Some(plugin),
            }),
            ..SummaryValue::default()
        };
        self.summary(step, vec![value])
    }

    fn summary(&mut self, step: u64, value: Vec<SummaryValue>) -> Result<(), MetricsError> {
        self.record(&Event {
            summary: Some(Summary { value }),
            ..Event::now(step)
        })
    }

    /// Writes one record: its length, a checksum of the length, the event, a checksum of the
    /// event; all little-endian.
    fn record(&mut self, event: &Event) -> Result<(), MetricsError> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_checksum(&length).to_le_bytes());
        record.extend(&data);
        record.extend(masked_checksum(&data).to_le_bytes());
        self.file
            .write_all(&record)
            .map_err(MetricsError::at(&self.path))
    }
}

/// CRC-32C, rotated and shifted as TFRecord asks, so that a checksum of data that holds
/// checksums stays sound.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn step_values(metrics: &StepMetrics) -> Vec<(String, f64)> {
    let mut values = vec![
        ("train/loss".to_string(), metrics.loss),
        ("train/learning_rate".into(), metrics.learning_rate),
        ("train/gradient_norm".into(), metrics.gradient_norm),
        ("speed/tokens_per_second".into(), metrics.tokens_per_second),
    ];
    values.extend(
        metrics
            .model_flops_utilization
            .map(|value| ("speed/model_flops_utilization".into(), value)),
    );
    values.extend(
        metrics
            .penalty_coefficient
            .map(|value| ("mask/penalty_coefficient".into(), value)),
    );
    let control = [
        ("mask/target_kept", metrics.target_kept),
        ("mask/kept_at_inference", metrics.kept_at_inference),
    ];
    values.extend(
        control
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_string(), value?))),
    );
    values.extend(
        metrics
            .mask
            .iter()
            .flat_map(|mask| mask_values("mask", mask)),
    );
    values.extend(controlled_values(metrics));
    let feed_forward = metrics.feed_forward.iter();
    values.extend(feed_forward.flat_map(|used| used.chart_values("feed_forward")));
    values
}

fn evaluation_values(metrics: &EvaluationMetrics) -> Vec<(String, f64)> {
    let mut values = vec![
        ("evaluation/train_loss".to_string(), metrics.train_loss),
        ("validation/loss".into(), metrics.validation_loss),
    ];
    let sets = metrics.sets.iter();
    values.extend(sets.map(|(name, &loss)| (format!("{name}/loss"), loss)));
    values.extend(
        metrics
            .mask
            .iter()
            .flat_map(|mask| mask_values("validation_mask", mask)),
    );
    let feed_forward = metrics.feed_forward.iter();
    values.extend(feed_forward.flat_map(|used| used.chart_values("validation_feed_forward")));
    values
}

fn mask_values(group: &str, mask: &MaskMetrics) -> Vec<(String, f64)> {
    let named = |layer: &LayerMetrics| {
        [
            ("kept", Some(layer.kept)),
            ("penalty", Some(layer.penalty)),
            ("near_one", Some(layer.near_one)),
            ("near_zero", Some(layer.near_zero)),
            ("entropy", Some(layer.entropy)),
            ("never_kept", Some(layer.never_kept)),
            ("always_kept", Some(layer.always_kept)),
            ("changed", layer.changed),
            ("threshold", layer.threshold),
        ]
    };
    let total = named(&mask.mean)
        .into_iter()
        .filter_map(|(name, value)| Some((format!("{group}/{name}"), value?)));
    let layers = mask.layers.iter().zip(mask_names(mask));
    let layers = layers.flat_map(|(layer, which)| {
        named(layer)
            .into_iter()
            .filter_map(move |(name, value)| Some((format!("{group}/{name}/{which}"), value?)))
    });
    total.chain(layers).collect()
}

/// What the tags call each mask. If all masks are at one site, the number alone identifies a mask.
fn mask_names(mask: &MaskMetrics) -> Vec<String> {
    let one_site = mask
        .layers
        .iter()
        .all(|layer| layer.site == mask.layers[0].site);
    let name = |(index, layer): (usize, &LayerMetrics)| match (layer.site, layer.block) {
        (Some(site), Some(block)) if !one_site => format!("{site}/layer_{block:02}"),
        (Some(site), None) if !one_site => site.to_string(),
        _ => format!("layer_{index:02}"),
    };
    mask.layers.iter().enumerate().map(name).collect()
}

/// The share that each mask with a control kept, under the mask's name; nothing if the masks were not measured.
fn controlled_values(metrics: &StepMetrics) -> Vec<(String, f64)> {
    let Some(mask) = &metrics.mask else {
        return Vec::new();
    };
    let names = mask.layers.iter().zip(mask_names(mask));
    // Masks with a control are those with a threshold.
    let controlled = names.filter(|(layer, _)| layer.threshold.is_some());
    controlled
        .zip(&metrics.kept_by_controlled)
        .map(|((_, which), &kept)| (format!("mask/kept_by_controlled/{which}"), kept))
        .collect()
}

/// One record of an event file. The last three fields are alternatives.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

impl Event {
    fn now(step: u64) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall_time: now.as_secs_f64(),
            step: step as i64,
            ..Self::default()
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<SummaryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(bytes = "vec", repeated, tag = "8")]
    string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, Message)]
struct PluginData {
    #[prost(string, tag = "1")]
    plugin_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}
