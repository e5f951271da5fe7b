//! Samples and what they say.

use serde::Serialize;

/// Measured values of one thing, sorted.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(into = "Summary")]
pub struct Samples(Vec<f64>);

/// What the JSON file holds.
#[derive(Debug, Clone, Serialize)]
struct Summary {
    count: usize,
    median: f64,
    minimum: f64,
    maximum: f64,
}

impl Samples {
    /// From values in any order.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle one; of an even number the lower of the two.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }

    /// The smallest.
    pub fn minimum(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Samples> for Summary {
    fn from(samples: Samples) -> Self {
        let maximum = samples.0.last().copied().unwrap_or(f64::NAN);
        Self { count: samples.0.len(), median: samples.median(), minimum: samples.minimum(), maximum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_minimum_first() {
        let samples = Samples::new(vec![3.0, 1.0, 2.0, 9.0]);
        assert_eq!((samples.median(), samples.minimum()), (2.0, 1.0));
        assert!(Samples::new(Vec::new()).median().is_nan());
    }
}
