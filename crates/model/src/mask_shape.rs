//! The sizes and the tensors of a transformer's masks.

use crate::config::TransformerConfig;
use crate::generator::Generator;
use crate::initialization::{DEVIATION, scale_preserving_deviation};
use crate::mask_config::MaskConfig;
use crate::mask_control::THRESHOLD;
use crate::site::{MaskInput, Site};
use crate::tensor_spec::{TensorRole, TensorSpec};

/// The sizes of the mask at one site.
///
/// ```text
/// z = attention(input)            from width `input` to width `attention`, only if there is an attention
/// z = output(z)                   from there to `values`, only if `projected`
/// M = f(z + shift)                `values` per token
/// ```
///
/// Value `i` of a token multiplies the channels from `i · group` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskShape {
    /// The site of the mask.
    pub site: Site,
    /// Channels of the mask's input.
    pub input: usize,
    /// The mask's attention; none if a linear layer alone makes the values.
    pub attention: Option<AttentionShape>,
    /// Whether a linear layer makes the values, from the attention's output or from the input.
    pub projected: bool,
    /// Mask values per token.
    pub values: usize,
    /// Neighbouring channels that share a value.
    pub group: usize,
}

/// The sizes of a mask's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Channels.
    pub width: usize,
    /// Heads.
    pub heads: usize,
}

impl MaskShape {
    /// The sizes in a configuration, whose masks have these settings at the site. They are meaningful only if
    /// the configuration is valid.
    pub(crate) fn new(
        config: &TransformerConfig,
        mask: &MaskConfig,
        site: Site,
        layer: usize,
    ) -> Self {
        let channels = channels(site, config, layer);
        let group = if site.is_per_head() {
            config.width / config.heads.max(1)
        } else {
            mask.group
        };
        let input = match mask.input {
            MaskInput::Hidden => channels,
            _ => config.width,
        };
        let attention = match mask.generator {
            Generator::Linear => None,
            Generator::Attention => {
                let width = mask.rank.unwrap_or(input);
                let heads = mask.heads;
                let heads = heads.unwrap_or_else(|| greatest_common_divisor(config.heads, width));
                Some(AttentionShape { width, heads })
            }
        };
        Self {
            site,
            input,
            attention,
            projected: attention.is_none() || mask.rank.is_some(),
            values: channels / group.max(1),
            group,
        }
    }

    /// Channels of what the layer `output` reads, if there is one.
    pub fn output_inputs(&self) -> usize {
        self.attention
            .map_or(self.input, |attention| attention.width)
    }

    /// The mask's tensors. `layer` is the number of the block; masks outside blocks ignore it. `mask` holds the
    /// settings at the site.
    pub(crate) fn tensors(&self, layer: usize, mask: &MaskConfig) -> Vec<TensorSpec> {
        let prefix = self.site.tensor_prefix(layer);
        let spec = |name: &str, shape: &[usize], role: TensorRole| {
            TensorSpec::new(format!("{prefix}.{name}"), shape, role)
        };
        let mut tensors = Vec::new();
        if let Some(attention) = self.attention {
            // A narrow attention has weights that preserve the scale, so that `z` is as large as the input:
            // the slope of the cosine is 0 at its maximum, and a mask that starts there learns slowly.
            let deviation = match self.projected {
                true => scale_preserving_deviation(self.input),
                false => DEVIATION,
            };
            let role = TensorRole::MaskAttention {
                deviation,
                makes_values: !self.projected,
            };
            let shape = [3 * attention.width, self.input];
            tensors.push(spec("query_key_value.weight", &shape, role));
        }
        if self.projected {
            let inputs = self.output_inputs();
            let deviation = match mask.generator {
                Generator::Attention => scale_preserving_deviation(inputs),
                Generator::Linear => DEVIATION,
            };
            let role = TensorRole::MaskProjection { deviation };
            tensors.push(spec("output.weight", &[self.values, inputs], role));
        }
        let parameters = mask.function.parameters(self.values).into_iter();
        tensors.extend(parameters.map(|parameter| {
            let role = TensorRole::MaskFunction(parameter);
            spec(parameter.name, &[parameter.count], role)
        }));
        if mask.control.is_some() {
            tensors.push(spec(THRESHOLD, &[1], TensorRole::MaskThreshold));
        }
        tensors
    }
}

impl TransformerConfig {
    /// The settings of the masks at a site; none if there is no mask.
    pub fn masks_at(&self, site: Site) -> Option<MaskConfig> {
        let mask = self.learned_dropout.as_ref()?;
        mask.site.contains(site).then(|| mask.for_site(site))
    }

    /// The sizes of the mask at a site of a layer; none if there is no mask. The embedding ignores the layer.
    pub fn mask_shape(&self, site: Site, layer: usize) -> Option<MaskShape> {
        let mask = self.masks_at(site)?;
        Some(MaskShape::new(self, &mask, site, layer))
    }

    /// The sizes of all masks of a block and of the embedding, in the order of the forward pass.
    pub fn mask_shapes(&self, layer: usize) -> impl Iterator<Item = MaskShape> + '_ {
        Site::ALL
            .into_iter()
            .filter_map(move |site| self.mask_shape(site, layer))
    }

    /// Whether the masks are computed from the embedding.
    pub fn masks_from_embedding(&self) -> bool {
        self.learned_dropout
            .as_ref()
            .is_some_and(|mask| mask.input == MaskInput::Embedding)
    }
}

/// Channels of the tensor that a mask at a site multiplies.
pub(crate) fn channels(site: Site, config: &TransformerConfig, layer: usize) -> usize {
    match site {
        Site::FeedForwardHidden => config.feed_forward.hidden(config.width, layer),
        _ => config.width,
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}
