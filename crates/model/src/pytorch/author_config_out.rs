//! Converts our model configuration to the author's.

use serde_json::{Value, json};

use crate::config::TransformerConfig;
use crate::function::Shift;
use crate::mask_config::{MaskConfig, MaskGradient};
use crate::penalty::{Penalty, PenaltyKind};
use crate::rounding::Rounding;
use crate::site::{MaskInput, Site};

/// The author's `model_config`, with its choices as strings, and notes on settings that it cannot express.
pub(super) fn author_config(config: &TransformerConfig) -> (Value, Vec<String>) {
    let mut notes = Vec::new();
    let mut table = json!({
        "context_size": config.context,
        "n_embed": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "dropout_rate": config.dropout,
        "alphabet_size": config.vocabulary,
        "use_bias": false,
        "use_flash": true,
    });
    if let (Some(masks), Some(entries)) = (&config.learned_dropout, table.as_object_mut()) {
        entries.insert(
            "learned_dropout_config".into(),
            mask_config(config, masks, &mut notes),
        );
        entries.extend(penalty_entries(masks.penalty.as_ref()));
    }
    (table, notes)
}

fn mask_config(config: &TransformerConfig, masks: &MaskConfig, notes: &mut Vec<String>) -> Value {
    let rounding = match masks.rounding {
        Rounding::Stochastic => Some("NOISE_AND_LINEAR"),
        Rounding::Threshold => {
            notes.push(
                "the author's code has no threshold in training: the rounding is written as \
                 NOISE_AND_LINEAR, which gives the same results in evaluation"
                    .into(),
            );
            Some("NOISE_AND_LINEAR")
        }
        Rounding::Sigmoid => Some("SIGMOID"),
        Rounding::SigmoidDetached => Some("SIGMOID_DETACH"),
        Rounding::None => None,
        Rounding::Carried => unreachable!("`check` has refused it"),
    };
    let adapts = masks.penalty.as_ref().is_some_and(|penalty| {
        penalty.warmup.is_some() || penalty.target_kept.is_some() || penalty.floor.is_some()
    });
    let fixed = masks.function.shift() == Shift::Fixed;
    let other_gradients = fixed || masks.gradient != MaskGradient::Exact;
    if adapts || masks.noise_steps.is_some() || other_gradients {
        notes.push(
            "the author's code has neither targets, warm-ups and floors of the penalty, nor noise \
             that fades, nor kept-only gradients, nor fixed shifts: they are left out, which changes further training \
             but not evaluation"
                .into(),
        );
    }
    json!({
        "use_bias": false,
        "n_head": config
            .mask_shape(Site::FeedForwardOutput, 0)
            .and_then(|shape| shape.attention)
            .map_or(config.heads, |attention| attention.heads),
        "mask_rounding_type": rounding,
        "sigmoid_scale": masks.sigmoid_scale,
        "shift_init": masks.function.shift_init(),
        "use_detached_input": masks.detach_input,
        "dropout_input_type": match masks.input {
            MaskInput::Embedding => "EMBED",
            // `check` has refused all others.
            _ => "HIDDEN_STATE",
        },
    })
}

fn penalty_entries(penalty: Option<&Penalty>) -> [(String, Value); 5] {
    let kind = penalty.map(|penalty| penalty.kind);
    let course = |wanted: bool| match penalty {
        Some(penalty) if wanted => json!({
            "min_coeff": penalty.minimum,
            "max_coeff": penalty.coefficient,
            "exp_rate": penalty.exponential_rate,
        }),
        _ => Value::Null,
    };
    let entropy = kind == Some(PenaltyKind::Entropy);
    let norm = kind.is_some() && !entropy;
    let norm_kind = match kind {
        Some(PenaltyKind::Squared) => json!("SQUARED"),
        Some(PenaltyKind::Linear) => json!("LINEAR"),
        Some(PenaltyKind::Entropy) | None => Value::Null,
    };
    [
        ("use_dropout_entropy_penalty".into(), json!(entropy)),
        ("use_dropout_l1_norm_penalty".into(), json!(norm)),
        ("l1_norm_penalty_type".into(), norm_kind),
        ("dropout_entropy_coeff_config".into(), course(entropy)),
        ("dropout_l1_norm_coeff_config".into(), course(norm)),
    ]
}
