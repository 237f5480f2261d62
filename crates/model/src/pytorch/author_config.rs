//! Converts the author's model configuration to ours.

use std::path::Path;

use super::error::PytorchError;
use super::pickle::Pickle;
use super::pickle_value::{Id, Value};
use crate::config::TransformerConfig;
use crate::function::{Cosine, MaskFunction};
use crate::mask_config::MaskConfig;
use crate::penalty::{Penalty, PenaltyKind};
use crate::rounding::{Rounding, SIGMOID_SCALE};
use crate::site::MaskInput;

/// The author's default coefficient.
const COEFFICIENT: f64 = 0.1;

/// One table of the author's configuration.
#[derive(Clone, Copy)]
struct Table<'a> {
    path: &'a Path,
    pickle: &'a Pickle,
    id: Id,
    /// The path of its key: tables and key, separated by dots.
    key: &'a str,
}

/// Reads the author's `model_config`. `vocabulary` is used where it has no `alphabet_size`.
pub(super) fn read(
    path: &Path,
    pickle: &Pickle,
    vocabulary: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<TransformerConfig, PytorchError> {
    let missing = || PytorchError::Missing {
        path: path.into(),
        key: "model_config".into(),
        expected: "the model's configuration, which the author's training writes beside `model`",
    };
    let id = pickle
        .entry(pickle.root(), "model_config")
        .ok_or_else(missing)?;
    let table = Table {
        path,
        pickle,
        id,
        key: "model_config",
    };
    table.note_unused(notes)?;
    table.refuse_biases()?;
    let vocabulary = match (table.whole("alphabet_size")?, vocabulary) {
        (Some(size), _) => size,
        (None, Some(size)) => {
            notes.push(format!(
                "no alphabet_size: {size} taken from the token embedding"
            ));
            size
        }
        (None, None) => return Err(table.missing("alphabet_size")),
    };
    let needed = |key| table.whole(key)?.ok_or_else(|| table.missing(key));
    Ok(TransformerConfig {
        feed_forward: Default::default(),
        vocabulary,
        context: needed("context_size")?,
        width: needed("n_embed")?,
        heads: needed("n_head")?,
        layers: needed("n_layer")?,
        dropout: table.number("dropout_rate")?.unwrap_or(0.0),
        learned_dropout: match table.get("learned_dropout_config") {
            None => None,
            Some(id) => {
                let masks = Table {
                    id,
                    key: "model_config.learned_dropout_config",
                    ..table
                };
                Some(read_masks(masks, table, notes)?)
            }
        },
    })
}

fn read_masks(
    masks: Table<'_>,
    model: Table<'_>,
    notes: &mut Vec<String>,
) -> Result<MaskConfig, PytorchError> {
    masks.note_unused(notes)?;
    masks.refuse_biases()?;
    let input = masks.choice(
        "dropout_input_type",
        &[
            ("HIDDEN_STATE", MaskInput::Hidden),
            ("EMBED", MaskInput::Embedding),
        ],
    )?;
    let roundings = [
        ("NOISE_AND_LINEAR", Rounding::Stochastic),
        ("SIGMOID", Rounding::Sigmoid),
        ("SIGMOID_DETACH", Rounding::SigmoidDetached),
    ];
    let rounding = match masks.choice("mask_rounding_type", &roundings)? {
        Some(rounding) => rounding,
        // None means that masks are not rounded; a missing key means the author's default.
        None if masks.has("mask_rounding_type") => Rounding::None,
        None => Rounding::Stochastic,
    };
    Ok(MaskConfig {
        input: input.unwrap_or_default(),
        detach_input: masks.truth("use_detached_input")?.unwrap_or(false),
        heads: masks.whole("n_head")?,
        function: MaskFunction::Cosine(Cosine {
            shift_init: masks.number("shift_init")?.unwrap_or(0.0),
            ..Cosine::default()
        }),
        rounding,
        sigmoid_scale: masks.number("sigmoid_scale")?.unwrap_or(SIGMOID_SCALE),
        penalty: read_penalty(model, notes)?,
        ..MaskConfig::default()
    })
}

fn read_penalty(
    model: Table<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<Penalty>, PytorchError> {
    let entropy = model.truth("use_dropout_entropy_penalty")?.unwrap_or(false);
    let norm = model.truth("use_dropout_l1_norm_penalty")?.unwrap_or(false);
    if entropy && norm {
        notes.push(
            "it was trained with two penalties, which one model cannot have here: the entropy \
             penalty is left out; this matters to further training only"
                .into(),
        );
    }
    let kinds = [
        ("SQUARED", PenaltyKind::Squared),
        ("LINEAR", PenaltyKind::Linear),
    ];
    let (kind, key) = match (norm, entropy) {
        (true, _) => {
            let kind = model
                .choice("l1_norm_penalty_type", &kinds)?
                .unwrap_or_default();
            (kind, "dropout_l1_norm_coeff_config")
        }
        (false, true) => (PenaltyKind::Entropy, "dropout_entropy_coeff_config"),
        (false, false) => return Ok(None),
    };
    let full_key = format!("{}.{key}", model.key);
    let Some(id) = model.get(key) else {
        return Ok(Some(Penalty {
            kind,
            coefficient: COEFFICIENT,
            ..Penalty::default()
        }));
    };
    let table = Table {
        id,
        key: &full_key,
        ..model
    };
    table.note_unused(notes)?;
    let exponential_rate = table.number("exp_rate")?;
    Ok(Some(Penalty {
        kind,
        coefficient: table.number("max_coeff")?.unwrap_or(COEFFICIENT),
        exponential_rate,
        // Without a rate the coefficient is constant, and its minimum has no effect.
        minimum: table
            .number("min_coeff")?
            .filter(|_| exponential_rate.is_some()),
        ..Penalty::default()
    }))
}

/// The known keys of all tables. `use_flash` is accepted, since it does not change results.
const KNOWN: [&str; 22] = [
    "alphabet_size",
    "context_size",
    "dropout_entropy_coeff_config",
    "dropout_input_type",
    "dropout_l1_norm_coeff_config",
    "dropout_rate",
    "exp_rate",
    "l1_norm_penalty_type",
    "learned_dropout_config",
    "mask_rounding_type",
    "max_coeff",
    "min_coeff",
    "n_embed",
    "n_head",
    "n_layer",
    "shift_init",
    "sigmoid_scale",
    "use_bias",
    "use_detached_input",
    "use_dropout_entropy_penalty",
    "use_dropout_l1_norm_penalty",
    "use_flash",
];

impl Table<'_> {
    fn missing(&self, key: &str) -> PytorchError {
        PytorchError::Missing {
            path: self.path.into(),
            key: format!("{}.{key}", self.key),
            expected: "a whole number",
        }
    }

    fn wrong(&self, key: &str, id: Id, expected: impl Into<String>) -> PytorchError {
        PytorchError::Value {
            path: self.path.into(),
            key: format!("{}.{key}", self.key),
            found: describe(self.pickle, id),
            expected: expected.into(),
        }
    }

    /// Whether the key is present, even with the value None.
    fn has(&self, key: &str) -> bool {
        self.pickle.entry(self.id, key).is_some()
    }

    fn get(&self, key: &str) -> Option<Id> {
        let id = self.pickle.entry(self.id, key)?;
        (*self.pickle.value(id) != Value::None).then_some(id)
    }

    fn note_unused(&self, notes: &mut Vec<String>) -> Result<(), PytorchError> {
        let entries = self
            .pickle
            .entries(self.id)
            .ok_or_else(|| PytorchError::Value {
                path: self.path.into(),
                key: self.key.into(),
                found: describe(self.pickle, self.id),
                expected: "a dictionary, or an object with attributes".into(),
            })?;
        for (key, _) in entries.filter(|(key, _)| !KNOWN.contains(key)).take(20) {
            notes.push(format!("{}.{} is not used", self.key, shortened(key)));
        }
        Ok(())
    }

    fn refuse_biases(&self) -> Result<(), PytorchError> {
        match (self.truth("use_bias")?, self.get("use_bias")) {
            (Some(true), Some(id)) => {
                Err(self.wrong("use_bias", id, "False: models here have no biases"))
            }
            _ => Ok(()),
        }
    }

    fn whole(&self, key: &str) -> Result<Option<usize>, PytorchError> {
        let Some(id) = self.get(key) else {
            return Ok(None);
        };
        let number = match self.pickle.value(id) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| self.wrong(key, id, "a whole number"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, PytorchError> {
        let Some(id) = self.get(key) else {
            return Ok(None);
        };
        match self.pickle.value(id) {
            Value::Int(number) => Ok(Some(*number as f64)),
            Value::Float(number) => Ok(Some(*number)),
            _ => Err(self.wrong(key, id, "a number")),
        }
    }

    fn truth(&self, key: &str) -> Result<Option<bool>, PytorchError> {
        let Some(id) = self.get(key) else {
            return Ok(None);
        };
        match self.pickle.value(id) {
            Value::Bool(value) => Ok(Some(*value)),
            _ => Err(self.wrong(key, id, "True or False")),
        }
    }

    /// One of some named choices, as text or as a member of any enum class.
    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, PytorchError> {
        let Some(id) = self.get(key) else {
            return Ok(None);
        };
        let name = member_name(self.pickle, id).map(str::to_ascii_uppercase);
        let found = choices
            .iter()
            .find(|(choice, _)| Some(*choice) == name.as_deref());
        found.map(|&(_, value)| Some(value)).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
            self.wrong(
                key,
                id,
                format!("{}; others are not supported", names.join(" or ")),
            )
        })
    }
}

/// The name of a choice: a text, or a member of an enum class. A pickle holds such a member as a call of
/// the class with its value, as `getattr(class, name)`, or as the global `Class.NAME`.
fn member_name(pickle: &Pickle, id: Id) -> Option<&str> {
    let text = |id: Id| match pickle.value(id) {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    };
    match pickle.value(id) {
        Value::Text(text) => Some(text),
        Value::Global(name) => name.rsplit('.').next(),
        Value::Object { arguments, .. } => match pickle.value(*arguments) {
            Value::Sequence(arguments) => match arguments[..] {
                [value] | [_, value] => text(value),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A value as text, for messages.
fn describe(pickle: &Pickle, id: Id) -> String {
    match pickle.value(id) {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("\"{}\"", shortened(text)),
        Value::Sequence(items) => format!("a list of {} values", items.len()),
        Value::Dict(pairs) => format!("a dictionary of {} entries", pairs.len()),
        Value::Global(name) => shortened(name),
        Value::Object { callable, .. } => {
            let class = match pickle.value(*callable) {
                Value::Global(name) => shortened(name),
                _ => "an object".into(),
            };
            match member_name(pickle, id) {
                Some(name) => format!("{class}(\"{}\")", shortened(name)),
                None => format!("an object of {class}"),
            }
        }
        Value::Other(what) => (*what).into(),
    }
}

/// At most 60 characters of a text that comes from a file.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
