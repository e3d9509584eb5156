//! JSON paths of columns and selectable fields: `.spec.size`, `.status.conditions[?(@.type=="Ready")].status`.
//! Source: `k8s.io/client-go/util/jsonpath`, as far as definitions use it.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Negative counts from the end.
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    /// Items whose field compares so with a value.
    Where(Vec<Step>, Operator, Value),
    /// Items that have the field.
    Has(Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path that starts with a dot.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            rest = match rest.chars().next() {
                Some('.') if rest.starts_with(".*") => {
                    steps.push(Step::All);
                    &rest[2..]
                }
                Some('.') => {
                    let (name, after) = field(&rest[1..]);
                    // A dot alone, or before a bracket, is the value itself.
                    if !name.is_empty() {
                        steps.push(Step::Field(name));
                    } else if !after.is_empty() && !after.starts_with('[') {
                        return Err(format!("unexpected {after:?} in {text:?}"));
                    }
                    after
                }
                Some('[') => {
                    let end = closing(rest).ok_or_else(|| format!("unterminated array in {text:?}"))?;
                    steps.push(bracket(&rest[1..end])?);
                    &rest[end + 1..]
                }
                _ => return Err(format!("unexpected {rest:?} in {text:?}")),
            };
        }
        Ok(Self(steps))
    }

    /// Whether it is field names alone; gives them.
    pub fn names(&self) -> Option<Vec<&str>> {
        let name = |step: &'_ Step| matches!(step, Step::Field(_));
        self.0.iter().all(name).then(|| {
            let names = self.0.iter().filter_map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            });
            names.collect()
        })
    }

    /// The values at the path; none where something on it is missing.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        find(&self.0, value)
    }
}

fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// The bracket that closes the first one; quotes hide brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Result<Step, String> {
    let inner = inner.trim();
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return condition(filter);
    }
    if let Some(name) = unquoted(inner) {
        return Ok(Step::Field(name.to_owned()));
    }
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("invalid array index {inner}"));
    let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { number(text).map(Some) };
    match inner.split_once(':') {
        Some((from, to)) => Ok(Step::Slice(bound(from)?, bound(to)?)),
        None => number(inner).map(Step::Index),
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

fn condition(text: &str) -> Result<Step, String> {
    let steps = |text: &str| JsonPath::parse(text.trim().strip_prefix('@').unwrap_or(text.trim())).map(|path| path.0);
    for (word, operator) in [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ] {
        let Some((left, right)) = text.split_once(word) else { continue };
        let right = right.trim();
        let value = match unquoted(right) {
            Some(text) => Value::from(text),
            None => serde_json::from_str(right).map_err(|_| format!("unrecognized value {right} in filter"))?,
        };
        return Ok(Step::Where(steps(left)?, operator, value));
    }
    Ok(Step::Has(steps(text)?))
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return vec![value] };
    let next: Vec<&Value> = match (step, value) {
        (Step::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
        (Step::Index(at), Value::Array(items)) => items.get(place(*at, items.len())).into_iter().collect(),
        (Step::Slice(from, to), Value::Array(items)) => {
            let from = from.map_or(0, |from| place(from, items.len()));
            let to = to.map_or(items.len(), |to| place(to, items.len())).min(items.len());
            items.get(from..to).unwrap_or_default().iter().collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(fields)) => fields.values().collect(),
        (Step::Where(path, operator, wanted), Value::Array(items)) => items
            .iter()
            .filter(|item| find(path, item).iter().any(|found| compares(found, *operator, wanted)))
            .collect(),
        (Step::Has(path), Value::Array(items)) => items.iter().filter(|item| !find(path, item).is_empty()).collect(),
        _ => Vec::new(),
    };
    next.into_iter().flat_map(|value| find(rest, value)).collect()
}

fn place(at: i64, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    usize::try_from(if at < 0 { length + at } else { at }).unwrap_or(usize::MAX)
}

fn compares(found: &Value, operator: Operator, wanted: &Value) -> bool {
    let order = match (found, wanted) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a.is_number() && b.is_number() => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match operator {
        Operator::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Operator::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
        Operator::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Operator::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let object = json!({"a": {"b.c": 1, "l": [{"t": "Ready", "s": "True"}, {"t": "Other", "n": 3}]}});
        for (path, values) in [
            (".a.l[0].s", json!(["True"])),
            (".a.l[-1].n", json!([3])),
            (r".a.b\.c", json!([1])),
            (".a['b.c']", json!([1])),
            (r#".a.l[?(@.t=="Ready")].s"#, json!(["True"])),
            (".a.l[?(@.n>2)].t", json!(["Other"])),
            (".a.l[?(@.s)].t", json!(["Ready"])),
            (".a.l[*].t", json!(["Ready", "Other"])),
            (".a.l[0:1].t", json!(["Ready"])),
            (".a.missing.b", json!([])),
            (".", json!([object])),
        ] {
            assert_eq!(json!(JsonPath::parse(path).unwrap().find(&object)), values, "{path}");
        }
        for path in ["a", ".a[", ".a[x]", ".a..b"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
        assert_eq!(JsonPath::parse(".a.b").unwrap().names(), Some(vec!["a", "b"]));
        assert_eq!(JsonPath::parse(".a[0]").unwrap().names(), None);
    }
}
