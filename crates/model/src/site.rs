//! The sites of learned masks and the inputs that they are computed from.

use std::fmt;

use serde::de::{IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pass::{OUTSIDE_BLOCKS, Place, Purpose};

/// A place in the model for a learned mask. The mask replaces the ordinary dropout at that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// On the sum of the token and the position embedding.
    Embedding,
    /// One value per key token and head, which multiplies the head's attention probabilities for that
    /// token. This equals masking the head's values of the token.
    AttentionProbabilities,
    /// One value per head, which multiplies the head's output before the output projection.
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
    /// All sites, in the order of the forward pass.
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

    /// Whether a mask at this site has one value per head instead of one per group of channels.
    pub fn is_per_head(self) -> bool {
        matches!(self, Self::AttentionProbabilities | Self::AttentionHeads)
    }

    /// Whether each block has a mask at this site. The embedding has only one mask.
    pub fn is_in_blocks(self) -> bool {
        self != Self::Embedding
    }

    /// The prefix of the names of the mask's tensors. The mask on the embedding ignores `layer`.
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

    /// The place that selects the random numbers of the mask's rounding.
    pub fn place(self, layer: usize) -> Place {
        let purpose = match self {
            Self::Embedding => Purpose::EmbeddingRounding,
            Self::AttentionProbabilities => Purpose::ProbabilityRounding,
            Self::AttentionHeads => Purpose::HeadRounding,
            Self::AttentionOutput => Purpose::AttentionOutputRounding,
            Self::FeedForwardHidden => Purpose::HiddenRounding,
            Self::FeedForwardOutput => Purpose::Rounding,
        };
        self.place_for(purpose, layer)
    }

    /// The place that selects the random numbers of the dropout of the mask's kept values.
    pub fn dropout_place(self, layer: usize) -> Place {
        let purpose = match self {
            Self::Embedding => Purpose::EmbeddingMaskDropout,
            Self::AttentionProbabilities => Purpose::ProbabilityMaskDropout,
            Self::AttentionHeads => Purpose::HeadMaskDropout,
            Self::AttentionOutput => Purpose::AttentionOutputMaskDropout,
            Self::FeedForwardHidden => Purpose::HiddenMaskDropout,
            Self::FeedForwardOutput => Purpose::OutputMaskDropout,
        };
        self.place_for(purpose, layer)
    }

    fn place_for(self, purpose: Purpose, layer: usize) -> Place {
        let layer = if self.is_in_blocks() {
            layer
        } else {
            OUTSIDE_BLOCKS
        };
        Place { purpose, layer }
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

    /// The number of names; a repeated name counts each time.
    pub(crate) fn count_named(&self) -> usize {
        self.0.len()
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

/// The tensor that masks are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskInput {
    /// The tensor that the mask is applied to; for attention probabilities, the values.
    #[default]
    Hidden,
    /// `Linear(attention(token + position embedding))`, computed once per forward pass and
    /// shared by every module ("pre-computed masks"); each module has its own weights.
    Embedding,
    /// The input of the mask's attention or feed-forward, after the norm.
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
