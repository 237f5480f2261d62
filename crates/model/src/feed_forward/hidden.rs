//! The number of hidden units of a feed-forward, for all layers or layer by layer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::{Checks, LARGEST_DIMENSION};

/// The hidden units of a feed-forward: in a configuration, one number or a list with one for each layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a whole number, or a list of one for each layer"
)]
pub enum Hidden {
    /// The same number in every layer.
    Every(usize),
    /// One number for each layer, from the first.
    OfLayers(Vec<usize>),
}

impl Hidden {
    /// The hidden units of a layer; none if the list is too short.
    pub(super) fn of_layer(&self, layer: usize) -> Option<usize> {
        match self {
            Self::Every(hidden) => Some(*hidden),
            Self::OfLayers(hidden) => hidden.get(layer).copied(),
        }
    }

    /// Records every problem of the hidden units of a model with this many layers.
    pub(super) fn check(&self, layers: usize, checks: &mut Checks) {
        let sizes = 1..=LARGEST_DIMENSION;
        match self {
            Self::Every(hidden) => checks.range("hidden", *hidden, sizes),
            Self::OfLayers(list) => {
                if let Some(&wrong) = list.iter().find(|&hidden| !sizes.contains(hidden)) {
                    checks.range("hidden", wrong, sizes);
                }
                let expected = format!(
                    "expected one number for each of the {layers} layers, found {}",
                    list.len()
                );
                checks.ensure(list.len() == layers, "hidden", self, expected);
            }
        }
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(hidden) => hidden.fmt(formatter),
            Self::OfLayers(hidden) => {
                let numbers: Vec<String> = hidden.iter().map(ToString::to_string).collect();
                write!(formatter, "[{}]", numbers.join(", "))
            }
        }
    }
}

impl From<usize> for Hidden {
    fn from(hidden: usize) -> Self {
        Self::Every(hidden)
    }
}

impl From<Vec<usize>> for Hidden {
    fn from(hidden: Vec<usize>) -> Self {
        Self::OfLayers(hidden)
    }
}
