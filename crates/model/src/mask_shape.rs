//! The sizes and the tensors of a transformer's masks.

use crate::config::TransformerConfig;
use crate::function::MaskFunction;
use crate::mask_config::MaskConfig;
use crate::site::{MaskInput, Site};
use crate::tensor_spec::{TensorRole, TensorSpec};

/// The sizes of the mask at one site.
///
/// ```text
/// z = attention(input)            from width `input` to width `attention`
/// z = output(z)                   from width `attention` to `values`, only if `projected`
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
    /// Channels of the mask's attention.
    pub attention: usize,
    /// Heads of the mask's attention.
    pub heads: usize,
    /// Whether a linear layer projects the attention's output to the values.
    pub projected: bool,
    /// Mask values per token.
    pub values: usize,
    /// Neighbouring channels that share a value.
    pub group: usize,
}

impl MaskShape {
    /// The sizes in a configuration. They are meaningful only if the configuration is valid.
    pub(crate) fn new(config: &TransformerConfig, mask: &MaskConfig, site: Site) -> Self {
        let channels = channels(site, config);
        let group = if site.is_per_head() {
            config.width / config.heads.max(1)
        } else {
            mask.group
        };
        let input = match mask.input {
            MaskInput::Hidden => channels,
            _ => config.width,
        };
        let attention = mask.rank.unwrap_or(input);
        Self {
            site,
            input,
            attention,
            heads: mask
                .heads
                .unwrap_or_else(|| greatest_common_divisor(config.heads, attention)),
            projected: mask.rank.is_some(),
            values: channels / group.max(1),
            group,
        }
    }

    /// The mask's tensors. `layer` is the number of the block; masks outside blocks ignore it.
    pub(crate) fn tensors(&self, layer: usize, function: &MaskFunction) -> Vec<TensorSpec> {
        let prefix = self.site.tensor_prefix(layer);
        let spec = |name: &str, shape: &[usize], role: TensorRole| {
            TensorSpec::new(format!("{prefix}.{name}"), shape, role)
        };
        let mut tensors = vec![spec(
            "query_key_value.weight",
            &[3 * self.attention, self.input],
            TensorRole::MaskAttention,
        )];
        if self.projected {
            let shape = [self.values, self.attention];
            tensors.push(spec("output.weight", &shape, TensorRole::MaskProjection));
        }
        let learned = function.parameters(self.values).into_iter();
        tensors.extend(learned.map(|parameter| {
            let role = TensorRole::MaskFunction(parameter);
            spec(parameter.name, &[parameter.count], role)
        }));
        tensors
    }
}

impl TransformerConfig {
    /// The sizes of the mask at a site; none if there is no mask.
    pub fn mask_shape(&self, site: Site) -> Option<MaskShape> {
        let mask = self.learned_dropout.as_ref()?;
        let here = mask.site.contains(site);
        here.then(|| MaskShape::new(self, mask, site))
    }

    /// The sizes of all masks of a block and of the embedding, in the order of the forward pass.
    pub fn mask_shapes(&self) -> impl Iterator<Item = MaskShape> + '_ {
        Site::ALL
            .into_iter()
            .filter_map(|site| self.mask_shape(site))
    }

    /// Whether the masks are computed from the embedding.
    pub fn masks_from_embedding(&self) -> bool {
        self.learned_dropout
            .as_ref()
            .is_some_and(|mask| mask.input == MaskInput::Embedding)
    }
}

/// Channels of the tensor that a mask at a site multiplies.
pub(crate) fn channels(site: Site, config: &TransformerConfig) -> usize {
    match site {
        Site::FeedForwardHidden => config.feed_forward.hidden(config.width),
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
