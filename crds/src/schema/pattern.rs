//! Patterns: Go's regular expressions (RE2) as Rust's.

use regex::Regex;

/// A pattern that is searched for anywhere in a text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// The error says what is wrong with the pattern.
    pub fn new(pattern: &str) -> Result<Self, String> {
        Regex::new(&translated(pattern)).map(Self).map_err(|error| format!("error parsing regexp: {error}"))
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// The two dialects differ in little: the short classes are ASCII in RE2, `[` within a class is a character there, and
/// Rust has operators in classes.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let Some(escaped) = rest.next() else {
                    out.push('\\');
                    break;
                };
                let ascii = match escaped.to_ascii_lowercase() {
                    'd' => Some("0-9"),
                    'w' => Some("0-9A-Za-z_"),
                    's' => Some("\\t\\n\\x0C\\r "),
                    _ => None,
                };
                match ascii {
                    Some(set) if in_class && escaped.is_ascii_lowercase() => out.push_str(set),
                    Some(set) => {
                        out.push_str(&format!("[{}{set}]", if escaped.is_ascii_uppercase() { "^" } else { "" }))
                    }
                    None => out.extend(['\\', escaped]),
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that closes at once is a member.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, text, matches) in [
            ("^[a-z]+$", "abc", true),
            ("^[a-z]+$", "abc\n", false),
            ("b", "abc", true),
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w.]+$", "a_1.b", true),
            (r"^[^\s]+$", "a b", false),
            ("^[[]$", "[", true),
            ("^[]a]+$", "]a", true),
            ("^[a&&b]+$", "&", true),
            ("^[[:alpha:]]+$", "ab", true),
            (r"^a\/b$", "a/b", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().is_match(text), matches, "{pattern} {text}");
        }
        assert!(Pattern::new("(").is_err() && Pattern::new("a\\").is_err());
    }
}
