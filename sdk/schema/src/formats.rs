//! The formats of strings that Go types read themselves: times, base64.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sdk_api::Timestamp;
use sdk_api::time::{rfc3339, rfc3339_micro};

/// How precisely a time is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Seconds,
    Micros,
}

/// Reads RFC 3339 and gives the form in which the API writes it; an error is in the words of Go's `time.Parse`.
pub(crate) fn canonical_time(text: &str, precision: Precision) -> Result<String, String> {
    let layout = match precision {
        Precision::Seconds => "2006-01-02T15:04:05Z07:00",
        Precision::Micros => "2006-01-02T15:04:05.000000Z07:00",
    };
    if let Err((rest, element)) = scan_time(text) {
        return Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"));
    }
    let out_of_range = |what: &str| format!("parsing time {text:?}: {what} out of range");
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    for (value, max, min, what) in [
        (number(5, 7), 12, 1, "month"),
        (number(8, 10), 31, 1, "day"),
        (number(11, 13), 23, 0, "hour"),
        (number(14, 16), 59, 0, "minute"),
        (number(17, 19), 59, 0, "second"),
    ] {
        if value < min || value > max {
            return Err(out_of_range(what));
        }
    }
    let time: Timestamp = text.parse().map_err(|_| out_of_range("day"))?;
    Ok(match precision {
        Precision::Seconds => rfc3339(time),
        Precision::Micros => rfc3339_micro(time),
    })
}

/// Where `text` stops following RFC 3339, and the element of Go's layout that is expected there.
fn scan_time(text: &str) -> Result<(), (&str, &'static str)> {
    let mut rest = text;
    for (element, digits) in [
        ("2006", 4),
        ("-", 0),
        ("01", 2),
        ("-", 0),
        ("02", 2),
        ("T", 0),
        ("15", 2),
        (":", 0),
        ("04", 2),
        (":", 0),
        ("05", 2),
    ] {
        rest = if digits == 0 {
            rest.strip_prefix(element).ok_or((rest, element))?
        } else if rest.len() >= digits && rest.as_bytes()[..digits].iter().all(u8::is_ascii_digit) {
            &rest[digits..]
        } else {
            return Err((rest, element));
        };
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
        if end == 0 {
            return Err((rest, "Z07:00"));
        }
        rest = &fraction[end..];
    }
    let zone = rest.as_bytes();
    let ends = rest == "Z"
        || (zone.len() == 6
            && matches!(zone[0], b'+' | b'-')
            && zone[3] == b':'
            && [1, 2, 4, 5].iter().all(|i| zone[*i].is_ascii_digit()));
    if ends { Ok(()) } else { Err((rest, "Z07:00")) }
}

/// Go's decoder looks at neither the last unused bits nor line breaks.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Reads base64 and gives its canonical form; an error is in the words of Go's `encoding/base64`.
pub(crate) fn canonical_base64(text: &str) -> Result<String, String> {
    let breaks = text.contains(['\r', '\n']);
    let plain = if breaks { text.replace(['\r', '\n'], "") } else { text.to_owned() };
    let offset = match BASE64.decode(&plain) {
        Ok(bytes) => return Ok(BASE64.encode(bytes)),
        Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => at,
        Err(base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding) => plain.len() / 4 * 4,
    };
    Err(format!("illegal base64 data at input byte {offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, written) in [
            ("2026-01-02T03:04:05Z", Ok("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05+02:00", Ok("2026-01-02T01:04:05Z")),
            ("2026-01-02T03:04:05.75Z", Ok("2026-01-02T03:04:05Z")),
            (
                "yesterday",
                Err(r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#),
            ),
            ("2026-01-02", Err(r#"parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#)),
            (
                "2026-01-02 03:04:05Z",
                Err(
                    r#"parsing time "2026-01-02 03:04:05Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 03:04:05Z" as "T""#,
                ),
            ),
            ("2026-13-02T03:04:05Z", Err(r#"parsing time "2026-13-02T03:04:05Z": month out of range"#)),
            ("2026-02-30T03:04:05Z", Err(r#"parsing time "2026-02-30T03:04:05Z": day out of range"#)),
            ("", Err(r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#)),
            ("ä", Err(r#"parsing time "ä" as "2006-01-02T15:04:05Z07:00": cannot parse "ä" as "2006""#)),
        ] {
            let got = canonical_time(text, Precision::Seconds);
            assert_eq!(got.as_deref().map_err(String::as_str), written, "{text}");
        }
        let micro = canonical_time("2026-01-02T03:04:05.123456Z", Precision::Micros);
        assert_eq!(micro.as_deref(), Ok("2026-01-02T03:04:05.123456Z"));
    }

    #[test]
    fn base64_is_read_as_go_reads_it() {
        for (text, written) in [
            ("", Ok("")),
            ("aGk=", Ok("aGk=")),
            ("aG\nk=\n", Ok("aGk=")),
            ("aGl=", Ok("aGk=")),
            ("aGk", Err("illegal base64 data at input byte 0")),
            ("aGkaGk", Err("illegal base64 data at input byte 4")),
            ("a!k=", Err("illegal base64 data at input byte 1")),
            ("plain text", Err("illegal base64 data at input byte 5")),
        ] {
            assert_eq!(canonical_base64(text).as_deref().map_err(String::as_str), written, "{text}");
        }
    }
}
