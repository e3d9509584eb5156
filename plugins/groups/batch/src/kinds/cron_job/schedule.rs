//! The syntax of schedules: five fields, or one of the names such as `@daily`. Source: Kubernetes documentation,
//! "CronJob", schedule syntax; the words of errors are those of `robfig/cron`.

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    /// Words for values, from `low` on.
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, words: &[] },
    Field { name: "hour", low: 0, high: 23, words: &[] },
    Field { name: "day of month", low: 1, high: 31, words: &[] },
    Field {
        name: "month",
        low: 1,
        high: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { name: "day of week", low: 0, high: 6, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

const NAMES: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Whether a text is a schedule; the error says why not.
pub fn check(text: &str) -> Result<(), String> {
    if let Some(interval) = text.strip_prefix("@every ") {
        return check_duration(interval).map_err(|why| format!("failed to parse duration {text}: {why}"));
    }
    if text.starts_with('@') {
        let known = NAMES.contains(&text);
        return if known { Ok(()) } else { Err(format!("unrecognized descriptor: {text}")) };
    }
    let parts: Vec<_> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: {parts:?}", parts.len()));
    }
    for (part, field) in parts.iter().zip(&FIELDS) {
        for range in part.split(',') {
            check_range(range, field)?;
        }
    }
    Ok(())
}

fn check_range(text: &str, field: &Field) -> Result<(), String> {
    let (range, step) = match text.split_once('/') {
        Some((_, step)) if step.contains('/') => return Err(format!("too many slashes: {text}")),
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let (start, end) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (field.low, field.high),
        Some((_, end)) if end.contains('-') => return Err(format!("too many hyphens: {text}")),
        Some((start, end)) => (value(start, field)?, value(end, field)?),
        None => {
            let start = value(range, field)?;
            // A step without an end runs to the end of the field.
            (start, if step.is_some() { field.high } else { start })
        }
    };
    if step.map(number).transpose()? == Some(0) {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    if start < field.low {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", field.low));
    }
    if end > field.high {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", field.high));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text} in {}", field.name));
    }
    Ok(())
}

fn value(text: &str, field: &Field) -> Result<u32, String> {
    let word = field.words.iter().position(|word| word.eq_ignore_ascii_case(text));
    match word.and_then(|at| u32::try_from(at).ok()) {
        Some(at) => Ok(field.low + at),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("failed to parse int from {text}: value out of range"))
}

/// Numbers with units, as in `1h30m`.
fn check_duration(text: &str) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = ["ms", "us", "ns", "h", "m", "s"].into_iter().find(|unit| rest[digits..].starts_with(unit));
        match unit {
            Some(unit) if digits > 0 => rest = &rest[digits + unit.len()..],
            _ => return Err(format!("time: invalid duration {text:?}")),
        }
    }
    if text.is_empty() { Err("time: invalid duration \"\"".into()) } else { Ok(()) }
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
    }
}
