//! Formats of strings. One that is not known here fits everything. Source: `format` of `JSONSchemaProps`, and
//! `k8s.io/kube-openapi/pkg/validation/strfmt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk_api::{Timestamp, names};

/// Whether a text has the format.
pub fn fits(format: &str, text: &str) -> bool {
    match format {
        "date" => is_date(text),
        "date-time" | "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "byte" => STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok() && !text.is_empty(),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uri" => is_uri(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        }
        "rgbcolor" => is_rgb(text),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "isbn" => is_isbn(text, 10) || is_isbn(text, 13),
        "isbn10" => is_isbn(text, 10),
        "isbn13" => is_isbn(text, 13),
        "creditcard" => is_credit_card(text),
        "ssn" => is_ssn(text),
        "k8s-short-name" => names::dns1123_label(text).is_empty(),
        "k8s-long-name" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// RFC 3339, with a `T` of either case and fractions of any length.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && matches!(bytes[10], b'T' | b't') && text.to_ascii_uppercase().parse::<Timestamp>().is_ok()
}

/// As Go's `time.ParseDuration` reads it (`1h30m`), or Scala's form (`22 ns`, `3 days`).
fn is_duration(text: &str) -> bool {
    const GO: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];
    const SCALA: [&str; 25] = [
        "ns",
        "nano",
        "nanosecond",
        "nanoseconds",
        "us",
        "µs",
        "micro",
        "microsecond",
        "microseconds",
        "ms",
        "milli",
        "millisecond",
        "milliseconds",
        "s",
        "sec",
        "second",
        "seconds",
        "m",
        "min",
        "minute",
        "minutes",
        "h",
        "hr",
        "hour",
        "hours",
    ];
    const LONG: [&str; 7] = ["d", "day", "days", "w", "wk", "week", "weeks"];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return true;
    }
    let split = |text: &str| -> (usize, usize) {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let unit = text[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(text.len(), |at| digits + at);
        (digits, unit)
    };
    let mut rest = unsigned;
    let go = loop {
        let (digits, unit) = split(rest);
        let number = &rest[..digits];
        if !number.bytes().any(|b| b.is_ascii_digit())
            || number.matches('.').count() > 1
            || !GO.contains(&&rest[digits..unit])
        {
            break false;
        }
        rest = &rest[unit..];
        if rest.is_empty() {
            break true;
        }
    };
    let (digits, _) = split(unsigned);
    let unit = unsigned[digits..].trim();
    let scala = digits > 0 && unsigned[..digits].bytes().all(|b| b.is_ascii_digit());
    go || (scala && (SCALA.contains(&unit) || LONG.contains(&unit)))
}

fn is_email(text: &str) -> bool {
    let address = match (text.rfind('<'), text.ends_with('>')) {
        (Some(open), true) => &text[open + 1..text.len() - 1],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii())
    };
    let quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    (quoted || local.split('.').all(atom)) && domain.split('.').all(atom)
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
    };
    !text.is_empty() && text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let max = if address.is_ipv4() { 32 } else { 128 };
    !bits.starts_with('+') && bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

fn is_mac(text: &str) -> bool {
    let parts = |separator: char, digits: usize| {
        let parts: Vec<_> = text.split(separator).collect();
        matches!(parts.len() * digits / 2, 6 | 8 | 20)
            && parts.iter().all(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    parts(':', 2) || parts('-', 2) || parts('.', 4)
}

/// As Go's `url.ParseRequestURI`: with a scheme, or a path that starts at the root.
fn is_uri(text: &str) -> bool {
    let clean = text.bytes().all(|b| b > b' ' && b != 0x7f);
    let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && rest.starts_with('/')
    });
    clean && (has_scheme || text.starts_with('/'))
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let dashes_fit =
        text.char_indices().filter(|(_, c)| *c == '-').count() <= 4 && !text.starts_with('-') && !text.ends_with('-');
    let variant = matches!(version, Some('4' | '5'));
    digits.len() == 32
        && dashes_fit
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
        && version.is_none_or(|version| digits.chars().nth(12) == Some(version))
        && (!variant || digits.chars().nth(16).is_some_and(|c| "89abAB".contains(c)))
}

fn is_rgb(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<_> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

fn is_isbn(text: &str, length: usize) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    if digits.len() != length {
        return false;
    }
    let value = |at: usize, c: char| match c {
        'X' | 'x' if length == 10 && at == 9 => Some(10),
        c => c.to_digit(10),
    };
    let weighted = digits.iter().enumerate().map(|(at, c)| {
        let at_weight = if length == 10 { 10 - at } else { [1, 3][at % 2] };
        Some(value(at, *c)? * u32::try_from(at_weight).unwrap_or(0))
    });
    let sum: Option<u32> = weighted.sum();
    sum.is_some_and(|sum| sum % if length == 10 { 11 } else { 10 } == 0)
}

/// The digits of a number that the Luhn check accepts.
fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    (13..=16).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn is_ssn(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 11
        && bytes.iter().enumerate().all(|(at, b)| match at {
            3 | 6 => matches!(b, b'-' | b' '),
            _ => b.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_upstreams() {
        for (format, good, bad) in [
            ("date", "2026-01-31", "2026-02-30"),
            ("date-time", "2026-01-31T10:00:00.5Z", "2026-01-31"),
            ("date-time", "2026-01-31t10:00:00+02:00", "2026-01-31 10:00:00Z"),
            ("duration", "1h30m", "1x"),
            ("duration", "1.5s", "1"),
            ("duration", "22 ns", "ns"),
            ("duration", "3 days", "three days"),
            ("byte", "aGk=", "a!"),
            ("email", "a.b@example.com", "a@"),
            ("hostname", "a.example.com", "-a"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "::1", "1.2.3.4"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:11:22:33:44:55", "00:11:22:33:44"),
            ("uri", "https://example.com/a", "example"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
            ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
            ("hexcolor", "#FFaa00", "#FFaa0"),
            ("rgbcolor", "rgb(1, 2, 255)", "rgb(1,2,256)"),
            ("isbn", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "978-0321751042"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("ssn", "123-45-6789", "12-345-6789"),
            ("k8s-short-name", "a-b", "a.b"),
            ("unheard-of", "anything", ""),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad) || bad.is_empty(), "{format} {bad}");
        }
    }
}
