//! The syntax of schedules: five fields, or one of the names such as `@daily`. Source: Kubernetes documentation,
//! "CronJob", schedule syntax; the words of errors are those of `robfig/cron` and of Go's `time`.

struct Field {
    low: u64,
    high: u64,
    /// Words for values, from `low` on.
    words: &'static [&'static str],
}

/// Minute, hour, day of month, month, day of week.
const FIELDS: [Field; 5] = [
    Field { low: 0, high: 59, words: &[] },
    Field { low: 0, high: 23, words: &[] },
    Field { low: 1, high: 31, words: &[] },
    Field {
        low: 1,
        high: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { low: 0, high: 6, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

const NAMES: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];

/// Whether a text is a schedule; the error says why not. A zone in front, as in `TZ=UTC @daily`, is passed over.
pub fn check(text: &str) -> Result<(), String> {
    let text = match text.split_once(' ') {
        Some((zone, rest)) if zone.starts_with("TZ=") || zone.starts_with("CRON_TZ=") => rest.trim(),
        _ => text,
    };
    if let Some(interval) = text.strip_prefix("@every ") {
        return check_duration(interval).map_err(|why| format!("failed to parse duration {text}: time: {why}"));
    }
    if text.starts_with('@') {
        let known = NAMES.contains(&text);
        return if known { Ok(()) } else { Err(format!("unrecognized descriptor: {text}")) };
    }
    let parts: Vec<_> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
    }
    for (part, field) in parts.iter().zip(&FIELDS) {
        for range in part.split(',').filter(|range| !range.is_empty()) {
            check_range(range, field)?;
        }
    }
    Ok(())
}

fn check_range(text: &str, field: &Field) -> Result<(), String> {
    let steps: Vec<_> = text.split('/').collect();
    let limits: Vec<_> = steps[0].split('-').collect();
    let (start, mut end) = match limits.as_slice() {
        ["*" | "?", ..] => (field.low, field.high),
        [single] => (value(single, field)?, value(single, field)?),
        [start, end] => (value(start, field)?, value(end, field)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match steps.as_slice() {
        [_] => 1,
        [_, step] => {
            // A step without an end runs to the end of the field.
            if limits.len() == 1 {
                end = field.high;
            }
            number(step)?
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < field.low {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", field.low));
    }
    if end > field.high {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", field.high));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn value(text: &str, field: &Field) -> Result<u64, String> {
    let word = field.words.iter().position(|word| word.eq_ignore_ascii_case(text));
    match word.and_then(|at| u64::try_from(at).ok()) {
        Some(at) => Ok(field.low + at),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let fails = |why: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fails("invalid syntax"));
    }
    text.parse::<i64>().map(i64::unsigned_abs).map_err(|_| fails("value out of range"))
}

/// Numbers with units, as in `1h30m`; a sign in front, and 0 without a unit.
fn check_duration(text: &str) -> Result<(), String> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    if rest.is_empty() {
        return Err(format!("invalid duration {text:?}"));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (amount, tail) = rest.split_at(digits);
        if amount.matches('.').count() > 1 || !amount.bytes().any(|b| b.is_ascii_digit()) {
            return Err(format!("invalid duration {text:?}"));
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        if unit.is_empty() {
            return Err(format!("missing unit in duration {text:?}"));
        }
        if !UNITS.contains(&unit) {
            return Err(format!("unknown unit {unit:?} in duration {text:?}"));
        }
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_told_from_nonsense() {
        for good in [
            "* * * * *",
            "*/5 0-6 1,15 jan-MAR 1-5",
            "0 0 ? * sun",
            "5/15 * * * *",
            "@daily",
            "@every 1h30m",
            "@every -1.5s",
            "TZ=UTC 0 0 * * *",
            "1,,2 * * * *",
            "59 23 31 12 6",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "x * * * *",
            "@sometimes",
            "@every",
            "@every x",
            "-1 * * * *",
            "99999999999 * * * *",
            "@every 5é",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for (bad, why) in [
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\""),
            ("@every 5d", "failed to parse duration @every 5d: time: unknown unit \"d\" in duration \"5d\""),
        ] {
            assert_eq!(check(bad), Err(why.into()));
        }
    }
}
