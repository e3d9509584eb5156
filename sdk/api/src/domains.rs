//! Names that carry a domain, addresses, and other formats that several groups check alike, in upstream's words.

use std::fmt::Display;
use std::net::IpAddr;

use crate::names;
use crate::violations::Violations;

const PATH: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
     consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. \
     '*.example.com', regex used for validation is \
     '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
     alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is \
     '[A-Za-z_][A-Za-z0-9_]*')";
const ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Adds an `Invalid` for each thing that a name rule found.
pub fn each_invalid(found: &mut Violations, field: impl Display, value: &str, problems: Vec<String>) {
    for problem in problems {
        found.invalid(&field, value, problem);
    }
}

/// `hook.example.com`: a subdomain of at least three labels. Source: names of admission webhooks.
pub fn fully_qualified_name(found: &mut Violations, field: impl Display, name: &str) {
    let problems = names::dns1123_subdomain(name);
    if name.is_empty() {
        found.required(field, "");
    } else if !problems.is_empty() {
        found.invalid(field, name, problems.join(","));
    } else if name.split('.').count() < 3 {
        found.invalid(field, name, "should be a domain with at least three segments separated by dots");
    }
}

/// `acme.io/foo`: a domain, and a path of RFC 3986 after it. Source: controllers of IngressClasses, `managedBy` of Jobs.
pub fn domain_prefixed_path(found: &mut Violations, field: impl Display, text: &str) {
    if text.is_empty() {
        return found.required(field, "");
    }
    let Some((host, path)) = text.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) else {
        return found.invalid(field, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    each_invalid(found, &field, host, names::dns1123_subdomain(host));
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        found.invalid(field, path, format!("Invalid path (regex used for validation is '{PATH}')"));
    }
}

/// `*.example.com`: all hosts of a domain.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    match text.strip_prefix("*.") {
        Some(rest) if names::dns1123_subdomain(rest).is_empty() => vec![],
        _ => vec![WILDCARD.into()],
    }
}

/// `my_name`: an identifier as in C. Its length is not checked.
pub fn c_identifier(text: &str) -> Vec<String> {
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let good = starts && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if good { vec![] } else { vec![C_IDENTIFIER.into()] }
}

/// An address, written in any way that has one meaning.
pub fn ip_address(text: &str) -> Vec<String> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".into()]
        }
        Ok(_) => vec![],
        Err(_) if has_leading_zeros(text) => vec!["must not have leading 0s".into()],
        Err(_) => vec![ADDRESS.into()],
    }
}

/// An address, written in the one way of RFC 5952.
pub fn canonical_ip_address(text: &str) -> Vec<String> {
    let problems = ip_address(text);
    match text.parse::<IpAddr>() {
        Ok(ip) if problems.is_empty() && ip.to_string() != text => {
            vec![format!("must be in canonical form ({:?})", ip.to_string())]
        }
        _ => problems,
    }
}

/// Whether a text would be an IPv4 address without the zeros at the start of its numbers.
fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    let short = |part: &&str| part.trim_start_matches('0').len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| part.parse::<u32>().is_ok_and(|number| number <= 255);
    parts.len() == 4 && parts.iter().all(short) && parts.iter().all(|part| number(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_the_good_and_names_the_bad() {
        type Rule = fn(&mut Violations, &str);
        let hook: Rule = |found, text| fully_qualified_name(found, "f", text);
        let path: Rule = |found, text| domain_prefixed_path(found, "f", text);
        for (rule, good, bad) in [
            (hook, vec!["a.b.c"], vec!["", "a.b", "A.b.c"]),
            (path, vec!["acme.io/foo", "a/b/c%20"], vec!["", "acme.io", "acme.io/", "/x", "A.io/x", "a/b c"]),
        ] {
            for (texts, wrong) in [(good, 0), (bad, 1)] {
                for text in texts {
                    let mut found = Violations::default();
                    rule(&mut found, text);
                    assert_eq!(found.fields().len(), wrong, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn texts_of_other_formats() {
        type Rule = fn(&str) -> Vec<String>;
        for (rule, good, bad) in [
            (wildcard_subdomain as Rule, vec!["*.a.b"], vec!["*", "a.*.b", "*.", "**.a", "*.A"]),
            (c_identifier, vec!["_", "a1"], vec!["", "1a", "a-b"]),
            (ip_address, vec!["10.0.0.1", "fd00:0::1"], vec!["", "10.0.0", "010.0.0.1", "::ffff:10.0.0.1"]),
            (canonical_ip_address, vec!["10.0.0.1", "fd00::1"], vec!["fd00:0::1", "FD00::1", "x"]),
        ] {
            for text in good {
                assert_eq!(rule(text), Vec::<String>::new(), "{text:?}");
            }
            for text in bad {
                assert_eq!(rule(text).len(), 1, "{text:?}");
            }
        }
        assert_eq!(ip_address("010.0.0.1"), ["must not have leading 0s"]);
    }
}
