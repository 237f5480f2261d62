//! Times the kernels that leave out dropped heads of an attention, in training.

use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::{attention, kept_linear, linear};

use super::kernel_timing::{Amount, Shape, Stopwatch, operations, random};
use super::sparse_timing::random_mask;

impl Stopwatch<'_> {
    /// The attention and its output projection with masks on heads. Beside the lines of the attention stand
    /// those of the projection without a mask.
    pub(super) fn heads(&mut self, shape: Shape, precision: Precision) {
        let Shape {
            width,
            heads,
            tokens,
            time,
            ..
        } = shape;
        let size = width / heads;
        let of_heads = attention::Shape {
            batch: tokens / time,
            time,
            heads,
            size,
        };
        let layer = linear::Shape {
            tokens,
            inputs: width,
            outputs: width,
        };
        let packed = random(3 * tokens * width, 1.0, 1);
        let (x, gradient) = (shape.activations(2), shape.activations(3));
        let weight = Shape::weight(width, width, 4);
        let product = operations(&[tokens, width, width]);
        self.time("projection forward", Amount::Operations(product), || {
            linear::forward(&x, None, &weight, layer, precision)
        });
        self.time(
            "projection backward",
            Amount::Operations(2.0 * product),
            || linear::backward(&gradient, &x, None, &weight, layer, precision),
        );
        for (percent, [forward, backward, project, project_backward]) in [
            (
                50,
                [
                    "attention forward, 50% kept",
                    "attention backward, 50% kept",
                    "projection forward, 50% kept",
                    "projection backward, 50% kept",
                ],
            ),
            (
                25,
                [
                    "attention forward, 25% kept",
                    "attention backward, 25% kept",
                    "projection forward, 25% kept",
                    "projection backward, 25% kept",
                ],
            ),
        ] {
            let mask = random_mask(tokens, heads, percent, 5);
            let kept = KeptGroups::new(&mask, tokens, heads);
            // A token sees itself and those before it.
            let seen = (0..heads).flat_map(|head| kept.tokens_of(head));
            let seen: usize = seen.map(|&token| token as usize % time + 1).sum();
            let product = operations(&[seen, size]);
            self.time(forward, Amount::Operations(2.0 * product), || {
                attention::forward_masked(&packed, &mask, of_heads, None, precision)
            });
            self.time(backward, Amount::Operations(4.0 * product), || {
                attention::backward_masked(&gradient, &packed, &mask, of_heads, None, precision)
            });
            let product = operations(&[kept.pairs(), size, width]);
            self.time(project, Amount::Operations(product), || {
                kept_linear::forward(&x, &weight, &kept, layer, precision)
            });
            self.time(project_backward, Amount::Operations(2.0 * product), || {
                kept_linear::backward(&gradient, &x, &weight, &kept, layer, precision)
            });
        }
    }
}
