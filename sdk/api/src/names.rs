//! Rules for names, as upstream's validation words them. Each check returns what is wrong; empty means valid.

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
     must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
     'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn lower_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge) && bytes.iter().all(|b| edge(b) || *b == b'-')
}

fn word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// `my-name`: at most 63 of `[a-z0-9-]`. Source: RFC 1123.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !lower_label(text) {
        wrong.push(if text.len() > SUBDOMAIN_MAX { too_long(LABEL_MAX) } else { LABEL.into() });
    }
    wrong
}

/// `my.name`: labels joined by dots, at most 253 bytes. Source: RFC 1123.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    if !text.split('.').all(lower_label) {
        wrong.push(SUBDOMAIN.into());
    }
    wrong
}

/// A label that starts with a letter, the rule for Service names. Source: RFC 1035.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !lower_label(text) || text.as_bytes()[0].is_ascii_digit() {
        wrong.push(LABEL_1035.into());
    }
    wrong
}

/// A label or annotation key: `name` or `prefix.example/name`.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                &QUALIFIED["name part ".len()..]
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                wrong.extend(dns1123_subdomain(prefix).into_iter().map(|p| format!("prefix part {p}")));
            }
            name
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !word(name) {
        wrong.push(QUALIFIED.into());
    }
    wrong
}

/// The value of a label: empty, or at most 63 of `[A-Za-z0-9_.-]`.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_MAX {
        wrong.push(too_long(LABEL_MAX));
    }
    if !text.is_empty() && !word(text) {
        wrong.push(LABEL_VALUE.into());
    }
    wrong
}

/// A key of a ConfigMap or Secret: a file name of at most 253 bytes.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        wrong.push(too_long(SUBDOMAIN_MAX));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        wrong.push(CONFIG_KEY.into());
    }
    match text {
        "." => wrong.push("must not be '.'".into()),
        ".." => wrong.push("must not be '..'".into()),
        t if t.starts_with("..") => wrong.push("must not start with '..'".into()),
        _ => {}
    }
    wrong
}

/// A name that is one path segment, the rule for RBAC names.
pub fn path_segment(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text == "." || text == ".." {
        wrong.push(format!("may not be '{text}'"));
    }
    for c in ["/", "%"] {
        if text.contains(c) {
            wrong.push(format!("may not contain '{c}'"));
        }
    }
    wrong
}

/// A port name: at most 15 of `[a-z0-9-]` with a letter. Source: RFC 6335 section 5.1.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".into());
    }
    wrong
}

/// A port number, 1 to 65535.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65_535).contains(&port) { vec![] } else { vec!["must be between 1 and 65535, inclusive".into()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_the_good_and_names_the_bad() {
        type Rule = fn(&str) -> Vec<String>;
        for (rule, good, bad) in [
            (dns1123_label as Rule, vec!["a", "a-b", "1"], vec!["", "-a", "a-", "A", "a.b", "a_b"]),
            (dns1123_subdomain, vec!["a.b", "a-1.b"], vec!["", "a..b", ".a", "a.", "A.b"]),
            (dns1035_label, vec!["a1"], vec!["1a", "", "a."]),
            (qualified_name, vec!["a", "A_b.c", "x.io/A"], vec!["", "/a", "x/", "x/y/z", "X.io/a", "-a"]),
            (label_value, vec!["", "A_b"], vec!["-a", "a b"]),
            (config_key, vec!["a", ".hidden", "A_b-c"], vec!["", ".", "..", "..a", "a/b"]),
            (path_segment, vec!["system:node"], vec![".", "..", "a/b", "a%b"]),
            (port_name, vec!["http", "a1"], vec!["", "1", "a--b", "-a", "abcdefghijklmnop", "A"]),
        ] {
            for text in good {
                assert_eq!(rule(text), Vec::<String>::new(), "{text:?}");
            }
            for text in bad {
                assert!(!rule(text).is_empty(), "{text:?}");
            }
        }
    }
}
