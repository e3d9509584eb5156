//! Whether a rule allows what is asked. Source: Kubernetes documentation, "Using RBAC Authorization", referring to
//! resources.

use sdk_api::k8s_openapi::api::rbac::v1::PolicyRule;
use sdk_plugin::Attributes;

const ALL: &str = "*";

fn has(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.into_iter().flatten().any(|word| word == ALL || word == wanted)
}

/// Whether one rule allows what is asked.
pub fn allows(rule: &PolicyRule, asked: &Attributes) -> bool {
    if !has(Some(&rule.verbs), &asked.verb) {
        return false;
    }
    if !asked.is_resource() {
        return rule.non_resource_urls.iter().flatten().any(|pattern| path_matches(pattern, &asked.path));
    }
    has(rule.api_groups.as_ref(), &asked.group)
        && rule.resources.iter().flatten().any(|word| resource_matches(word, &asked.resource, &asked.subresource))
        && name_matches(rule.resource_names.as_ref(), &asked.name)
}

/// `*` is everything, `pods` the resource without its parts, `pods/log` one part, `*/scale` that part of everything.
fn resource_matches(word: &str, resource: &str, subresource: &str) -> bool {
    if word == ALL {
        return true;
    }
    match word.split_once('/') {
        None => subresource.is_empty() && word == resource,
        Some((of, part)) => !subresource.is_empty() && part == subresource && (of == ALL || of == resource),
    }
}

/// No names are all names; else the request must be about one of them.
fn name_matches(names: Option<&Vec<String>>, name: &str) -> bool {
    match names {
        Some(names) if !names.is_empty() => names.iter().any(|known| known == name),
        _ => true,
    }
}

/// A path, or the beginning of one before a `*` at the end.
fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|start| path.starts_with(start.trim_end_matches('*')))
}

/// Whether everything that one rule allows is allowed by others together.
pub fn covers(rules: &[PolicyRule], wanted: &PolicyRule) -> bool {
    let or_empty = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let paths = or_empty(&wanted.non_resource_urls);
    let resources = or_empty(&wanted.resources);
    let mut names = or_empty(&wanted.resource_names);
    if names.is_empty() {
        names.push(String::new());
    }
    wanted.verbs.iter().all(|verb| {
        paths.iter().all(|path| rules.iter().any(|rule| covers_path(rule, verb, path)))
            && or_empty(&wanted.api_groups).iter().all(|group| {
                resources.iter().all(|resource| {
                    names.iter().all(|name| rules.iter().any(|rule| covers_resource(rule, verb, group, resource, name)))
                })
            })
    })
}

fn covers_path(rule: &PolicyRule, verb: &str, path: &str) -> bool {
    has(Some(&rule.verbs), verb) && rule.non_resource_urls.iter().flatten().any(|pattern| path_matches(pattern, path))
}

fn covers_resource(rule: &PolicyRule, verb: &str, group: &str, word: &str, name: &str) -> bool {
    let (resource, part) = word.split_once('/').unwrap_or((word, ""));
    let is_word = |known: &String| known == word || resource_matches(known, resource, part);
    has(Some(&rule.verbs), verb)
        && has(rule.api_groups.as_ref(), group)
        && rule.resources.iter().flatten().any(is_word)
        && match rule.resource_names.as_deref() {
            Some(names) if !names.is_empty() => !name.is_empty() && names.iter().any(|known| known == name),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(value: Value) -> PolicyRule {
        serde_json::from_value(value).unwrap()
    }

    /// `verb resource[/part][.group] [name]`, or `verb /path`.
    fn asked(text: &str) -> Attributes {
        let mut words = text.split(' ');
        let (verb, what) = (words.next().unwrap().to_owned(), words.next().unwrap());
        if what.starts_with('/') {
            return Attributes { verb, path: what.into(), ..Attributes::default() };
        }
        let (resource, group) = what.split_once('.').unwrap_or((what, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb,
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: words.next().unwrap_or_default().into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn rules_allow_what_they_say() {
        let pods = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]});
        let named = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a", "b"]});
        let parts = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods/log", "*/scale"]});
        let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]});
        for (rule_value, text, allowed) in [
            (&pods, "get pods", true),
            (&pods, "list pods x", true),
            (&pods, "delete pods", false),
            (&pods, "get pods/log", false),
            (&pods, "get nodes", false),
            (&pods, "get pods.metrics.k8s.io", false),
            (&pods, "get /pods", false),
            (&named, "get pods a", true),
            (&named, "get pods c", false),
            (&named, "get pods", false),
            (&parts, "get pods/log", true),
            (&parts, "get pods", false),
            (&parts, "update deployments/scale.apps", true),
            (&parts, "update deployments/status.apps", false),
            (&parts, "get pods/exec", false),
            (&all, "create pods/exec", true),
            (&all, "get /metrics", false),
            (&paths, "get /healthz", true),
            (&paths, "get /healthz/etcd", false),
            (&paths, "get /api/v1", true),
            (&paths, "get /apis", false),
            (&paths, "post /healthz", false),
        ] {
            assert_eq!(allows(&rule(rule_value.clone()), &asked(text)), allowed, "{text} by {rule_value}");
        }
    }

    #[test]
    fn rules_cover_each_other() {
        let two = json!({"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods", "deployments"]});
        for (case, rules, wanted, covered) in [
            ("itself", vec![two.clone()], two.clone(), true),
            (
                "by two halves",
                vec![
                    json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods", "deployments"]}),
                    json!({"verbs": ["list"], "apiGroups": ["*"], "resources": ["*"]}),
                ],
                two.clone(),
                true,
            ),
            ("not by a part", vec![json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"]})], two, false),
            (
                "not by some names",
                vec![json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]})],
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
                false,
            ),
            (
                "some names by all",
                vec![json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]})],
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}),
                true,
            ),
            ("nothing by nothing", vec![], json!({"verbs": ["get"], "nonResourceURLs": ["/x"]}), false),
        ] {
            let rules: Vec<_> = rules.into_iter().map(rule).collect();
            assert_eq!(covers(&rules, &rule(wanted)), covered, "{case}");
        }
    }
}
