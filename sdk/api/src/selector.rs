//! Label and field selectors, as queries write them and as objects carry them.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as metav1;

use crate::names;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// Integers; node affinity alone allows it.
    Gt,
    /// Integers; node affinity alone allows it.
    Lt,
}

/// One term of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

impl Requirement {
    /// `!=` and `notin` also match objects without the key.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let compare = |f: fn(i64, i64) -> bool| match (value.and_then(|v| v.parse().ok()), self.values.first()) {
            (Some(have), Some(bound)) => bound.parse().is_ok_and(|bound| f(have, bound)),
            _ => false,
        };
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => !value.is_some_and(|v| self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => compare(|have, bound| have > bound),
            Operator::Lt => compare(|have, bound| have < bound),
        }
    }
}

/// A label selector: all requirements must hold. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector(pub Vec<Requirement>);

impl LabelSelector {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }

    /// The selector of equal labels, as Services and ReplicationControllers carry it.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        Self(
            labels
                .iter()
                .map(|(k, v)| Requirement { key: k.clone(), operator: Operator::In, values: vec![v.clone()] })
                .collect(),
        )
    }

    /// The selector of an object's field. Fails on an unknown operator or a wrong number of values.
    pub fn from_typed(selector: &metav1::LabelSelector) -> Result<Self, String> {
        let mut all = Self::from_labels(selector.match_labels.as_ref().unwrap_or(&BTreeMap::new()));
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            if matches!(operator, Operator::In | Operator::NotIn) == values.is_empty() {
                return Err(format!("operator {:?} with {} values", expression.operator, values.len()));
            }
            all.0.push(Requirement { key: expression.key.clone(), operator, values });
        }
        Ok(all)
    }

    /// Reads the query form: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for term in split_terms(text)? {
            requirements.push(parse_requirement(term.trim())?);
        }
        Ok(Self(requirements))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, &self.values);
        match (self.operator, values.as_slice()) {
            (Operator::In, [one]) => write!(f, "{key}={one}"),
            (Operator::NotIn, [one]) => write!(f, "{key}!={one}"),
            (Operator::In, _) => write!(f, "{key} in ({})", values.join(",")),
            (Operator::NotIn, _) => write!(f, "{key} notin ({})", values.join(",")),
            (Operator::Exists, _) => f.write_str(key),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
            (Operator::Gt, _) => write!(f, "{key}>{}", values.join(",")),
            (Operator::Lt, _) => write!(f, "{key}<{}", values.join(",")),
        }
    }
}

impl fmt::Display for LabelSelector {
    /// The query form, which `parse` reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.0.iter().enumerate() {
            write!(f, "{}{requirement}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Splits at commas outside parentheses.
fn split_terms(text: &str) -> Result<Vec<&str>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let (mut terms, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if !(0..=1).contains(&depth) {
            return Err(format!("unable to parse requirement: unbalanced parentheses in {text:?}"));
        }
    }
    if depth != 0 {
        return Err(format!("unable to parse requirement: unbalanced parentheses in {text:?}"));
    }
    terms.push(&text[start..]);
    Ok(terms)
}

fn parse_requirement(term: &str) -> Result<Requirement, String> {
    let requirement = |key: &str, operator, values: Vec<&str>| {
        let key = key.trim();
        if let Some(problem) = names::qualified_name(key).first() {
            return Err(format!("unable to parse requirement: key: Invalid value: {key:?}: {problem}"));
        }
        let values: Vec<String> = values.into_iter().map(|v| v.trim().to_owned()).collect();
        for value in &values {
            if let Some(problem) = names::label_value(value).first() {
                return Err(format!("unable to parse requirement: values: Invalid value: {value:?}: {problem}"));
            }
        }
        Ok(Requirement { key: key.to_owned(), operator, values })
    };
    if let Some(key) = term.strip_prefix('!') {
        return requirement(key, Operator::DoesNotExist, vec![]);
    }
    for (sign, operator) in [("!=", Operator::NotIn), ("==", Operator::In), ("=", Operator::In)] {
        if let Some((key, value)) = term.split_once(sign) {
            return requirement(key, operator, vec![value]);
        }
    }
    for (sign, operator) in [(">", Operator::Gt), ("<", Operator::Lt)] {
        if let Some((key, value)) = term.split_once(sign) {
            if value.trim().parse::<i64>().is_err() {
                return Err(format!(
                    "unable to parse requirement: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                ));
            }
            return requirement(key, operator, vec![value]);
        }
    }
    if let Some((head, set)) = term.split_once('(') {
        let values = set.strip_suffix(')').ok_or_else(|| format!("unable to parse requirement: {term:?}"))?;
        let mut words = head.split_whitespace();
        let operator = match (words.next(), words.next(), words.next()) {
            (Some(_), Some("in"), None) => Operator::In,
            (Some(_), Some("notin"), None) => Operator::NotIn,
            _ => {
                return Err(format!(
                    "unable to parse requirement: found {head:?}, expected: in, notin, =, ==, !=, gt, lt"
                ));
            }
        };
        let key = head.split_whitespace().next().unwrap_or_default();
        return requirement(key, operator, values.split(',').collect());
    }
    let mut words = term.split_whitespace().skip(1);
    match (words.next(), words.next().unwrap_or_default()) {
        (None, _) => requirement(term, Operator::Exists, vec![]),
        (Some("in" | "notin"), next) => Err(format!("unable to parse requirement: found '{next}', expected: '('")),
        (Some(word), _) => {
            Err(format!("unable to parse requirement: found '{word}', expected: in, notin, =, ==, !=, gt, lt"))
        }
    }
}

/// One term of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: String,
    pub equal: bool,
    pub value: String,
}

/// A field selector: `metadata.name=a,status.phase!=Running`. Only `=`, `==` and `!=` exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(pub Vec<FieldTerm>);

impl FieldSelector {
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that a field must equal, if the selector says so.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }

    /// `value_of` gives the object's value of a field; a missing field is the empty string.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> std::borrow::Cow<'a, str>) -> bool {
        self.0.iter().all(|term| (value_of(&term.field) == term.value.as_str()) == term.equal)
    }

    /// Reads the query form; `\\`, `\,` and `\=` escape.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for raw in split_escaped(text) {
            if raw.is_empty() {
                continue;
            }
            let invalid = || format!("invalid selector: '{text}'; can't understand '{raw}'");
            let at = find_sign(raw).ok_or_else(invalid)?;
            let (field, rest) = raw.split_at(at);
            let (equal, value) = match rest {
                r if r.starts_with("!=") => (false, &r[2..]),
                r if r.starts_with("==") => (true, &r[2..]),
                r => (true, &r[1..]),
            };
            terms.push(FieldTerm { field: field.trim().into(), equal, value: unescape(value).ok_or_else(invalid)? });
        }
        Ok(Self(terms))
    }
}

fn split_escaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if !escaped && c == ',' {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn find_sign(term: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in term.char_indices() {
        if !escaped && (c == '=' || term[at..].starts_with("!=")) {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                escaped @ ('\\' | ',' | '=') => out.push(escaped),
                _ => return None,
            },
            ',' | '=' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn label_selectors_match() {
        let web = labels(&[("app", "web"), ("tier", "front")]);
        for (text, matches) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("absent!=x", true),
            ("app in (web, db)", true),
            ("app notin (web)", false),
            ("absent notin (x)", true),
            ("tier", true),
            ("!tier", false),
            ("!absent", true),
            ("app=web,tier=back", false),
            ("app in (db),tier", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&web), matches, "{text}");
        }
        for wrong in ["a b", "app in (web", "app in web)", "app notin web", "=x", "a=b=c", "app gt (1)", "a>x"] {
            assert!(LabelSelector::parse(wrong).is_err(), "{wrong}");
        }
        for (wrong, words) in [
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in b", "unable to parse requirement: found 'b', expected: '('"),
            ("a notin", "unable to parse requirement: found '', expected: '('"),
        ] {
            assert_eq!(LabelSelector::parse(wrong).unwrap_err(), words);
        }
    }

    #[test]
    fn field_selectors_know_three_signs() {
        let value = |field: &str| match field {
            "metadata.name" => "a,b".into(),
            _ => std::borrow::Cow::Borrowed(""),
        };
        for (text, matches) in
            [("metadata.name=a\\,b", true), ("metadata.name!=c", true), ("metadata.name==c", false), ("spec.x=", true)]
        {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(value), matches, "{text}");
        }
        for wrong in ["metadata.name", "a in (b)", "a=b=c", "a=\\x"] {
            assert!(FieldSelector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
