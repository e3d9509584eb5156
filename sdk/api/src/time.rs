//! Times as the API writes them.

use jiff::Timestamp;

/// RFC 3339 in UTC with whole seconds, as `metav1.Time` is written: `2026-01-02T03:04:05Z`.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 3339 in UTC with microseconds, as `metav1.MicroTime` is written.
pub fn rfc3339_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Cuts a time to whole seconds, the resolution of `metav1.Time`.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a whole second of a valid time is valid")
}

/// An age as kubectl shows it: `5s`, `3m20s`, `7h`, `2d5h`, `340d`, `3y`.
pub fn age(from: Timestamp, now: Timestamp) -> String {
    human_duration(now.as_second() - from.as_second())
}

/// A number of seconds in the form of the AGE column.
///
/// Source: `k8s.io/apimachinery/pkg/util/duration.HumanDuration`, whose thresholds users know from kubectl.
pub fn human_duration(seconds: i64) -> String {
    let pair = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        s if s < -1 => "<invalid>".into(),
        s if s <= 0 => "0s".into(),
        s if s < 120 => format!("{s}s"),
        s if s < 600 => pair(minutes, "m", s % 60, "s"),
        s if s < 10_800 => format!("{minutes}m"),
        s if s < 28_800 => pair(hours, "h", minutes % 60, "m"),
        s if s < 172_800 => format!("{hours}h"),
        s if s < 691_200 => pair(days, "d", hours % 24, "h"),
        s if s < 63_072_000 => format!("{days}d"),
        s if s < 252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (86_400, "24h"),
            (190_800, "2d5h"),
            (800_000, "9d"),
            (63_072_000, "2y"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }
}
