//! What the auxiliary loss of a feed-forward is multiplied by.

/// What the auxiliary loss of a feed-forward is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coefficient {
    /// Always the same.
    Constant(f64),
    /// Adapted after every step until the share of what is used is the target.
    Adaptive(AdaptiveCoefficient),
}

/// A coefficient that follows the share of what is used: times `factor` while it is above the
/// target, divided by it while it is below.
///
/// From Wang et al., "ReMoE: fully differentiable mixture-of-experts with ReLU routing" (2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveCoefficient {
    /// The coefficient of the first step.
    pub initial: f64,
    /// What a step multiplies or divides by; above 1.
    pub factor: f64,
    /// The wanted share of what is used.
    pub target_density: f64,
}

impl AdaptiveCoefficient {
    /// The coefficient of the next step, from that of a step and the share that was used in it.
    ///
    /// ```
    /// use learned_dropout_model::feed_forward::AdaptiveCoefficient;
    /// let rule = AdaptiveCoefficient { initial: 1.0, factor: 1.25, target_density: 0.5 };
    /// assert_eq!(rule.next(1.0, 0.75), 1.25);
    /// assert_eq!(rule.next(1.0, 0.25), 0.8);
    /// assert_eq!(rule.next(1.0, 0.5), 1.0);
    /// ```
    pub fn next(&self, coefficient: f64, density: f64) -> f64 {
        let next = if density > self.target_density {
            coefficient * self.factor
        } else if density < self.target_density {
            coefficient / self.factor
        } else {
            coefficient
        };
        // Either end is out of every use; beyond it the number could never come back.
        next.clamp(1e-30, 1e30)
    }
}
