//! The coefficient of a feed-forward's auxiliary loss.

/// The coefficient of a feed-forward's auxiliary loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coefficient {
    /// The same at every step.
    Constant(f64),
    /// Adapted after every step, to bring the density to a target.
    Adaptive(AdaptiveCoefficient),
}

/// A coefficient that adapts to the density, the share of gates that are positive. A step multiplies it by
/// `factor` if the density is above the target, and divides it if it is below.
///
/// From Wang et al., "ReMoE: fully differentiable mixture-of-experts with ReLU routing" (2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveCoefficient {
    /// The coefficient of the first step.
    pub initial: f64,
    /// The factor of one step; above 1.
    pub factor: f64,
    /// The target of the density.
    pub target_density: f64,
}

impl AdaptiveCoefficient {
    /// The coefficient of the next step, from the coefficient and the density of this step.
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
        // Useful values are far inside these bounds. Without them the coefficient could become 0 or
        // infinite, and then could not change any more.
        next.clamp(1e-30, 1e30)
    }
}
