//! Rounds, medians and ratios.

/// The middle of the values (of the two middle ones, the mean).
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// One thing measured on two sides, round by round, so that each ratio is of neighbours in time.
#[derive(Default)]
pub struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Takes one round: both numbers are "more is better".
    pub fn round(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// Median of the rounds' ratios, ours over theirs.
    pub fn ratio(&self) -> f64 {
        let ratios: Vec<f64> =
            self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect();
        median(&ratios)
    }

    /// Medians of both sides.
    pub fn medians(&self) -> (f64, f64) {
        (median(&self.ours), median(&self.theirs))
    }

    /// A line for people.
    pub fn line(&self, name: &str) -> String {
        let (ours, theirs) = self.medians();
        format!("{name:<34} ours {ours:>9.0}/s   direct {theirs:>9.0}/s   ratio {:.3}", self.ratio())
    }
}

/// Rounds to three digits after the point.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let mut pairs = Pairs::default();
        for (ours, theirs) in [(1.0, 2.0), (9.0, 10.0), (30.0, 10.0)] {
            pairs.round(ours, theirs);
        }
        assert_eq!(pairs.ratio(), 0.9);
    }
}
