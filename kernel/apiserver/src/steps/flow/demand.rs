//! How many seats a priority level wanted over a time, and the shares that follow from it. Source: KEP-1040, "borrowing".

use std::time::Duration;

/// How much of the smoothed demand stays at each adjustment. Source: KEP-1040.
const SMOOTHING: f64 = 0.977;

/// Follows the number of seats in use and asked for.
#[derive(Debug, Default)]
pub struct Integrator {
    value: f64,
    high: f64,
    seconds: f64,
    area: f64,
    squares: f64,
    since: Duration,
}

/// What was wanted over a period, in seats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    pub high: f64,
    pub average: f64,
    pub deviation: f64,
}

impl Integrator {
    pub fn set(&mut self, now: Duration, value: usize) {
        self.pass(now);
        self.value = value as f64;
        self.high = self.high.max(self.value);
    }

    fn pass(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.since).as_secs_f64();
        self.since = self.since.max(now);
        self.seconds += seconds;
        self.area += self.value * seconds;
        self.squares += self.value * self.value * seconds;
    }

    /// The demand since the last call.
    pub fn take(&mut self, now: Duration) -> Demand {
        self.pass(now);
        let demand = if self.seconds > 0.0 {
            let average = self.area / self.seconds;
            let variance = (self.squares / self.seconds - average * average).max(0.0);
            Demand { high: self.high, average, deviation: variance.sqrt() }
        } else {
            Demand { high: self.high, average: self.value, deviation: 0.0 }
        };
        *self = Self { value: self.value, high: self.value, since: self.since, ..Self::default() };
        demand
    }
}

impl Demand {
    /// What a level is taken to want, from what it was taken to want before: grows at once and shrinks slowly.
    pub fn smoothed(self, before: f64) -> f64 {
        let envelope = self.average + self.deviation;
        envelope.max(SMOOTHING * before + (1.0 - SMOOTHING) * envelope)
    }
}

/// What one level may get, in seats.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub lower: f64,
    pub upper: f64,
    pub target: f64,
}

/// Divides `seats` among claims: each gets the same fraction of its target, within its bounds. Gives that fraction too.
pub fn divide(seats: f64, claims: &[Claim]) -> (Vec<f64>, f64) {
    let share =
        |claim: &Claim, fraction: f64| (claim.target * fraction).max(claim.lower).min(claim.upper.max(claim.lower));
    let total = |fraction: f64| claims.iter().map(|claim| share(claim, fraction)).sum::<f64>();
    let least_target = claims.iter().map(|claim| claim.target).filter(|target| *target > 0.0).fold(f64::MAX, f64::min);
    // At this fraction every claim with a target has all of the seats, or its upper bound.
    let (mut low, mut high) = (0.0, (seats / least_target).max(1.0));
    // The total grows with the fraction: half the interval, to a hundredth of a seat.
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if total(middle) > seats { high = middle } else { low = middle }
    }
    (claims.iter().map(|claim| share(claim, low)).collect(), low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_is_weighed_by_time() {
        let seconds = Duration::from_secs;
        let mut integrator = Integrator::default();
        integrator.set(seconds(0), 10);
        integrator.set(seconds(5), 0);
        let demand = integrator.take(seconds(10));
        assert_eq!(demand, Demand { high: 10.0, average: 5.0, deviation: 5.0 });
        assert_eq!(integrator.take(seconds(20)), Demand::default(), "a new period");
        assert_eq!(demand.smoothed(0.0), 10.0, "grows at once");
        let after = Demand::default().smoothed(10.0);
        assert!((after - 9.77).abs() < 1e-9, "shrinks slowly: {after}");
    }

    #[test]
    fn seats_are_divided_by_what_is_wanted() {
        let claim = |lower: f64, upper: f64, target: f64| Claim { lower, upper, target };
        for (case, claims, expected) in [
            ("all idle", vec![claim(10.0, 100.0, 10.0), claim(20.0, 100.0, 20.0)], vec![33.3, 66.7]),
            ("one wants all", vec![claim(10.0, 1000.0, 90.0), claim(10.0, 100.0, 10.0)], vec![90.0, 10.0]),
            ("within its limit", vec![claim(10.0, 60.0, 90.0), claim(10.0, 100.0, 10.0)], vec![60.0, 40.0]),
            ("nobody below the least", vec![claim(50.0, 1000.0, 500.0), claim(50.0, 100.0, 50.0)], vec![50.0, 50.0]),
            ("nothing wanted", vec![claim(0.0, 100.0, 0.0), claim(10.0, 100.0, 10.0)], vec![0.0, 100.0]),
        ] {
            let (found, _) = divide(100.0, &claims);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 0.1, "{case}: {found} is not {expected}");
            }
        }
    }
}
