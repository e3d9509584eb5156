//! Node selector terms, as node affinity carries them.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use sdk_api::selector::{Operator, Requirement};

/// A term: all its requirements must hold. A term without any matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    /// On the node's name.
    names: Vec<Requirement>,
    /// A requirement that this scheduler cannot read: the term matches nothing.
    broken: bool,
}

impl NodeTerm {
    /// Reads a term of the API.
    pub fn of(term: &NodeSelectorTerm) -> Self {
        let mut out = Self::default();
        let mut read = |from: &Option<Vec<NodeSelectorRequirement>>, fields: bool| {
            let mut into = Vec::new();
            for requirement in from.iter().flatten() {
                let operator = match requirement.operator.as_str() {
                    "In" => Operator::In,
                    "NotIn" => Operator::NotIn,
                    "Exists" => Operator::Exists,
                    "DoesNotExist" => Operator::DoesNotExist,
                    "Gt" => Operator::Gt,
                    "Lt" => Operator::Lt,
                    _ => {
                        out.broken = true;
                        continue;
                    }
                };
                out.broken |= fields
                    && (requirement.key != "metadata.name" || !matches!(operator, Operator::In | Operator::NotIn));
                let values = requirement.values.clone().unwrap_or_default();
                into.push(Requirement { key: requirement.key.clone(), operator, values });
            }
            into
        };
        let labels = read(&term.match_expressions, false);
        let names = read(&term.match_fields, true);
        out.labels = labels;
        out.names = names;
        out
    }

    /// Whether a node of this name and these labels is meant.
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        if self.broken || (self.labels.is_empty() && self.names.is_empty()) {
            return false;
        }
        let named = |requirement: &Requirement| {
            let listed = requirement.values.iter().any(|value| value == name);
            listed == (requirement.operator == Operator::In)
        };
        self.names.iter().all(named) && self.labels.iter().all(|requirement| requirement.matches(labels))
    }

    /// The node names that the term is limited to; `None` where it is not.
    pub fn only_names(&self) -> Option<Vec<&str>> {
        let mut lists = self.names.iter().filter(|requirement| requirement.operator == Operator::In);
        let mut names: Vec<&str> = lists.next()?.values.iter().map(String::as_str).collect();
        for list in lists {
            names.retain(|name| list.values.iter().any(|value| value == name));
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn term(term: Value) -> NodeTerm {
        NodeTerm::of(&serde_json::from_value(term).unwrap())
    }

    #[test]
    fn terms_match_labels_and_names() {
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned()), ("cores".to_owned(), "8".to_owned())]);
        let label = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let name = |operator: &str, values: &[&str]| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": values}]});
        for (case, of, matches) in [
            ("in", label("disk", "In", &["hdd", "ssd"]), true),
            ("not in", label("disk", "NotIn", &["ssd"]), false),
            ("not in, absent", label("gpu", "NotIn", &["a"]), true),
            ("exists", label("disk", "Exists", &[]), true),
            ("does not exist", label("disk", "DoesNotExist", &[]), false),
            ("greater", label("cores", "Gt", &["7"]), true),
            ("not greater", label("cores", "Gt", &["8"]), false),
            ("less", label("cores", "Lt", &["9"]), true),
            ("compared with text", label("disk", "Gt", &["1"]), false),
            ("name", name("In", &["n1"]), true),
            ("another name", name("In", &["n2"]), false),
            ("not that name", name("NotIn", &["n1"]), false),
            ("an empty term", json!({}), false),
            ("an unknown operator", label("disk", "Like", &["s*"]), false),
        ] {
            assert_eq!(term(of).matches("n1", &labels), matches, "{case}");
        }
        assert_eq!(term(name("In", &["a", "b"])).only_names(), Some(vec!["a", "b"]));
        assert_eq!(term(label("disk", "In", &["ssd"])).only_names(), None);
    }
}
