//! The names, shapes and roles of all tensors of a transformer.

use crate::config::TransformerConfig;
use crate::tensor_spec::TensorRole::{MaskEmbedding, NormScale, ResidualProjection, Weight};
use crate::tensor_spec::TensorSpec;

/// All tensors of a transformer in the order of the forward pass, except that the masks of a block come
/// after its other tensors.
pub fn layout(config: &TransformerConfig) -> impl Iterator<Item = TensorSpec> + '_ {
    let (vocabulary, context, width) = (config.vocabulary, config.context, config.width);
    let spec = TensorSpec::new;
    let embeddings = [
        spec("token_embedding.weight", &[vocabulary, width], Weight),
        spec("positional_embedding.weight", &[context, width], Weight),
    ];
    let mask_embedding = config.masks_from_embedding().then(|| {
        let matrix = |name: &str, outputs| {
            let name = format!("mask_embedding.{name}.weight");
            TensorSpec::new(name, &[outputs, width], MaskEmbedding)
        };
        [
            matrix("query_key_value", 3 * width),
            matrix("output", width),
        ]
    });
    let masks = move |layer: usize, in_blocks: bool| {
        let shapes = config.mask_shapes(layer);
        shapes
            .filter(move |mask| mask.site.is_in_blocks() == in_blocks)
            .zip(config.learned_dropout.iter().cycle())
            .flat_map(move |(shape, masks)| shape.tensors(layer, &masks.for_site(shape.site)))
    };
    let blocks = (0..config.layers).flat_map(move |layer| {
        let spec = |name: &str, shape: &[usize], role| {
            TensorSpec::new(format!("blocks.{layer}.{name}"), shape, role)
        };
        let attention = "attention.query_key_value.weight";
        let mut specs = vec![
            spec("attention_norm.weight", &[width], NormScale),
            spec(attention, &[3 * width, width], Weight),
            spec(
                "attention.output.weight",
                &[width, width],
                ResidualProjection,
            ),
            spec("feed_forward_norm.weight", &[width], NormScale),
        ];
        let feed_forward = config.feed_forward.layout(width, layer).into_iter();
        specs.extend(feed_forward.map(|one| {
            let name = format!("feed_forward.{}", one.name);
            spec(&name, &one.shape, one.role)
        }));
        specs.extend(masks(layer, true));
        specs
    });
    let norm = spec("final_norm.weight", &[width], NormScale);
    embeddings
        .into_iter()
        .chain(mask_embedding.into_iter().flatten())
        .chain(masks(0, false))
        .chain(blocks)
        .chain([norm])
}
