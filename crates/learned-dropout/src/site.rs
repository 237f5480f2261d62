//! Where learned masks stand, what they are computed from, and how large they are.

use std::fmt;

use serde::de::{IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{ConfigProblem, LARGEST_DIMENSION, MaskConfig, TransformerConfig};
use crate::feed_forward::FeedForwardConfig;
use crate::function::MaskFunction;
use crate::pass::{OUTSIDE_BLOCKS, Place, Purpose};

/// A place where a learned mask can stand; the ordinary dropout of that place goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// On the sum of the token and the position embedding.
    Embedding,
    /// One value per key token and head, times that head's attention probabilities for the token:
    /// the same as to mask the head's values of the token.
    AttentionProbabilities,
    /// One value per head, times the head's output, before the output projection.
    AttentionHeads,
    /// On the attention output: after the output projection, before the residual addition.
    AttentionOutput,
    /// On the hidden units of the dense feed-forward, after the GELU. A dropped unit needs neither
    /// its row of the up projection nor its column of the down projection.
    FeedForwardHidden,
    /// On the feed-forward output: after the down projection, before the residual addition.
    FeedForwardOutput,
}

impl Site {
    /// All of them, in the order of the forward pass.
    pub const ALL: [Self; 6] = [
        Self::Embedding,
        Self::AttentionProbabilities,
        Self::AttentionHeads,
        Self::AttentionOutput,
        Self::FeedForwardHidden,
        Self::FeedForwardOutput,
    ];

    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::AttentionProbabilities => "attention-probabilities",
            Self::AttentionHeads => "attention-heads",
            Self::AttentionOutput => "attention-output",
            Self::FeedForwardHidden => "feed-forward-hidden",
            Self::FeedForwardOutput => "feed-forward-output",
        }
    }

    /// Whether a mask here has one value per head instead of one per group of channels.
    pub fn is_per_head(self) -> bool {
        matches!(self, Self::AttentionProbabilities | Self::AttentionHeads)
    }

    /// Whether the mask stands in each block, not just once in front of them.
    pub fn is_in_blocks(self) -> bool {
        self != Self::Embedding
    }

    /// The beginning of the names of the mask's tensors in a block (the layer counts only there).
    pub fn tensor_prefix(self, layer: usize) -> String {
        let place = match self {
            Self::Embedding => return "embedding_learned_dropout".into(),
            Self::AttentionProbabilities => "attention.probability_learned_dropout",
            Self::AttentionHeads => "attention.head_learned_dropout",
            Self::AttentionOutput => "attention.learned_dropout",
            Self::FeedForwardHidden => "feed_forward.hidden_learned_dropout",
            Self::FeedForwardOutput => "feed_forward.learned_dropout",
        };
        format!("blocks.{layer}.{place}")
    }

    /// Which random numbers round the mask.
    pub fn place(self, layer: usize) -> Place {
        let purpose = match self {
            Self::Embedding => Purpose::EmbeddingRounding,
            Self::AttentionProbabilities => Purpose::ProbabilityRounding,
            Self::AttentionHeads => Purpose::HeadRounding,
            Self::AttentionOutput => Purpose::AttentionOutputRounding,
            Self::FeedForwardHidden => Purpose::HiddenRounding,
            Self::FeedForwardOutput => Purpose::Rounding,
        };
        let layer = if self.is_in_blocks() {
            layer
        } else {
            OUTSIDE_BLOCKS
        };
        Place { purpose, layer }
    }

    /// Channels that a mask here is applied to.
    fn channels(self, config: &TransformerConfig) -> usize {
        match self {
            Self::FeedForwardHidden => config.feed_forward.hidden(config.width),
            _ => config.width,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The sites of a model's masks: in a configuration, one name or a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sites(Vec<Site>);

impl Sites {
    /// Whether there is a mask at a site.
    pub fn contains(&self, site: Site) -> bool {
        self.0.contains(&site)
    }

    /// The sites in the order of the forward pass.
    pub fn iter(&self) -> impl Iterator<Item = Site> + '_ {
        Site::ALL.into_iter().filter(|&site| self.contains(site))
    }
}

impl Default for Sites {
    fn default() -> Self {
        Self(vec![Site::FeedForwardOutput])
    }
}

impl From<Site> for Sites {
    fn from(site: Site) -> Self {
        Self(vec![site])
    }
}

impl From<Vec<Site>> for Sites {
    fn from(sites: Vec<Site>) -> Self {
        Self(sites)
    }
}

impl fmt::Display for Sites {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|site| site.name()).collect();
        match names[..] {
            [name] => formatter.write_str(name),
            _ => write!(formatter, "[{}]", names.join(", ")),
        }
    }
}

impl Serialize for Sites {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [site] => site.serialize(serializer),
            sites => sites.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sites {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Sites;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a site or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Sites, E> {
                Site::deserialize(name.into_deserializer()).map(Sites::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Sites, A::Error> {
                let mut sites = Vec::new();
                while let Some(site) = names.next_element()? {
                    sites.push(site);
                }
                Ok(Sites(sites))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// What masks are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskInput {
    /// The tensor that the mask is applied to; for attention probabilities the values.
    #[default]
    Hidden,
    /// `Linear(attention(token + position embedding))`, computed once per forward pass and
    /// shared by every module ("pre-computed masks"); each module has weights of its own.
    Embedding,
    /// The input of the mask's half of the block, after its norm.
    LayerInput,
    /// The residual stream as it entered the block.
    Residual,
}

impl MaskInput {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Embedding => "embedding",
            Self::LayerInput => "layer-input",
            Self::Residual => "residual",
        }
    }
}

/// The sizes of the mask at one site.
///
/// ```text
/// z = attention(input)            of width `input` to width `attention`; `[attention, output]`
/// z = output(z)                   only where it is `projected`, to `values`
/// M = f(z + shift)                `values` of them per token
/// ```
///
/// Value `i` of a token multiplies the channels from `i · group` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskShape {
    /// Where the mask stands.
    pub site: Site,
    /// Channels of what the mask is computed from.
    pub input: usize,
    /// Channels of the mask's attention.
    pub attention: usize,
    /// Heads of the mask's attention.
    pub heads: usize,
    /// Whether a linear layer makes the values from the attention's output.
    pub projected: bool,
    /// Mask values per token.
    pub values: usize,
    /// Neighbouring channels that share a value.
    pub group: usize,
}

impl MaskShape {
    /// The sizes that a configuration asks for; they are sound only where it is valid.
    pub(crate) fn new(config: &TransformerConfig, mask: &MaskConfig, site: Site) -> Self {
        let channels = site.channels(config);
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

    /// The names and shapes of the mask's tensors.
    pub(crate) fn tensors(
        &self,
        layer: usize,
        function: &MaskFunction,
    ) -> Vec<(String, Vec<usize>)> {
        let prefix = self.site.tensor_prefix(layer);
        let mut tensors = vec![(
            format!("{prefix}.query_key_value.weight"),
            vec![3 * self.attention, self.input],
        )];
        if self.projected {
            let shape = vec![self.values, self.attention];
            tensors.push((format!("{prefix}.output.weight"), shape));
        }
        let learned = function.parameters(self.values).into_iter();
        tensors.extend(learned.map(|it| (format!("{prefix}.{}", it.name), vec![it.count])));
        tensors
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Records why there can be no masks like this; keys are relative to the model's table.
pub(crate) fn validate(
    config: &TransformerConfig,
    mask: &MaskConfig,
    problems: &mut Vec<ConfigProblem>,
) {
    let mut problem = |key: &str, found: &dyn fmt::Display, expected: String| {
        let key = format!("learned_dropout.{key}");
        problems.push(ConfigProblem::new(key, found, expected));
    };
    let sites: Vec<Site> = mask.site.iter().collect();
    if sites.is_empty() {
        let expected = "expected at least one site; leave out the table `learned_dropout` for none";
        problem("site", &mask.site, expected.into());
    } else if sites.len() < mask.site.0.len() {
        problem("site", &mask.site, "expected each site only once".into());
    }
    let input_too_late = matches!(mask.input, MaskInput::LayerInput | MaskInput::Residual);
    if input_too_late && mask.site.contains(Site::Embedding) {
        let expected = "the mask on the embedding stands before all blocks, so it can be computed \
                        only from \"hidden\", the embedding itself, or from \"embedding\"";
        problem("input", &mask.input.name(), expected.into());
    }
    let feed_forward = &config.feed_forward;
    let dense = matches!(feed_forward, FeedForwardConfig::Dense(_));
    if mask.site.contains(Site::FeedForwardHidden) && !dense {
        let expected = format!(
            "only the dense feed-forward has hidden units for a mask; \"{}\" decides by itself what \
             it computes: choose another site or feed_forward.kind = \"dense\"",
            feed_forward.name()
        );
        problem("site", &mask.site, expected);
    }
    if mask.group == 0 || mask.group > LARGEST_DIMENSION {
        let expected = format!("expected a whole number from 1 to {LARGEST_DIMENSION}");
        problem("group", &mask.group, expected);
        return;
    }
    if mask.group > 1 && !sites.is_empty() && sites.iter().all(|site| site.is_per_head()) {
        let expected = format!("expected 1: masks at {} have one value per head", mask.site);
        problem("group", &mask.group, expected);
    }
    if let Some(rank) = mask
        .rank
        .filter(|rank| !(1..=LARGEST_DIMENSION).contains(rank))
    {
        let expected = format!("expected a whole number from 1 to {LARGEST_DIMENSION}");
        problem("rank", &rank, expected);
        return;
    }
    for site in sites {
        let channels = site.channels(config);
        if !site.is_per_head() && !channels.is_multiple_of(mask.group) {
            let expected = format!("expected a divisor of the {channels} channels at {site}");
            problem("group", &mask.group, expected);
            continue;
        }
        let shape = MaskShape::new(config, mask, site);
        if !shape.projected && shape.input != shape.values {
            let expected = format!(
                "give the width of the masks' attention, for example {}: without it the attention \
                 is as wide as its input and makes the values itself, but at {site} the input \
                 (\"{}\") has {} channels and the mask {} values",
                (config.width / 16).max(1),
                mask.input.name(),
                shape.input,
                shape.values
            );
            problem("rank", &"missing", expected);
        }
        let heads = shape.heads;
        if mask.heads.is_some() && (heads == 0 || !shape.attention.is_multiple_of(heads)) {
            let expected = format!(
                "expected a divisor of {}, the width of the masks' attention at {site}",
                shape.attention
            );
            problem("heads", &heads, expected);
        }
    }
}
