//! How far a rollout may go beyond and below the wanted number of pods.

use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Rollout;
use super::sets::Limits;

impl Rollout<'_> {
    pub(super) fn is_rolling(&self) -> bool {
        let kind = self.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        kind != Some("Recreate")
    }

    /// How many pods more than wanted there may be.
    pub(super) fn max_surge(&self) -> i32 {
        if self.is_rolling() { self.fenceposts().0 } else { 0 }
    }

    /// How many pods fewer than wanted may be available.
    pub(super) fn max_unavailable(&self) -> i32 {
        if self.is_rolling() && self.wanted() > 0 { self.fenceposts().1.min(self.wanted()) } else { 0 }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { desired: self.wanted(), max: self.wanted() + self.max_surge() }
    }

    fn fenceposts(&self) -> (i32, i32) {
        let rolling = self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        fenceposts(surge, unavailable, self.wanted())
    }
}

/// Surge is rounded up, unavailability down; where both come to nothing one may be unavailable, or no rollout would ever
/// move. Source: `ResolveFenceposts`.
fn fenceposts(surge: Option<&IntOrString>, unavailable: Option<&IntOrString>, wanted: i32) -> (i32, i32) {
    let surge = resolve(surge, wanted, true);
    let unavailable = resolve(unavailable, wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// A number, or a percentage of `total`. Nothing and nonsense are 0.
fn resolve(value: Option<&IntOrString>, total: i32, rounds_up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => (*number).max(0),
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.strip_suffix('%').and_then(|text| text.parse().ok()).unwrap_or(0);
            let hundredfold = percent.max(0).saturating_mul(i64::from(total));
            let rounded = if rounds_up { hundredfold.saturating_add(99) } else { hundredfold } / 100;
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_towards_progress() {
        let text = |text: &str| IntOrString::String(text.into());
        for (surge, unavailable, wanted, expected) in [
            (text("25%"), text("25%"), 3, (1, 0)),
            (text("25%"), text("25%"), 10, (3, 2)),
            (text("0%"), text("0%"), 10, (0, 1)),
            (text("1%"), text("0%"), 1, (1, 0)),
            (text("0%"), text("10%"), 5, (0, 1)),
            (IntOrString::Int(2), IntOrString::Int(0), 5, (2, 0)),
            (IntOrString::Int(0), IntOrString::Int(0), 5, (0, 1)),
            (text("200%"), text("100%"), 4, (8, 4)),
            (text("x"), IntOrString::Int(-1), 4, (0, 1)),
        ] {
            assert_eq!(fenceposts(Some(&surge), Some(&unavailable), wanted), expected, "{surge:?} {unavailable:?}");
        }
        assert_eq!(fenceposts(None, None, 3), (0, 1));
    }
}
