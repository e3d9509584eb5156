//! Checks that roles share, and checks that bindings share. Source: Kubernetes documentation, "Using RBAC
//! Authorization".

use sdk_api::k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject};
use sdk_api::{Violations, names};
use sdk_plugin::Column;
use serde_json::{Value, json};

/// The API group of roles, and of users and groups as subjects.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// The columns of roles.
pub const ROLE_COLUMNS: &[Column] =
    &[Column::NAME, Column::path("Created At", ".metadata.creationTimestamp").typed("date")];

/// The columns of bindings; the texts describe users, groups and service accounts.
pub const fn binding_columns([users, groups, accounts]: [&'static str; 3]) -> [Column; 6] {
    [
        Column::NAME,
        Column::compute("Role", |binding, _| {
            let text = |field: &str| binding["roleRef"][field].as_str().unwrap_or_default();
            format!("{}/{}", text("kind"), text("name")).into()
        }),
        Column::AGE,
        Column::compute("Users", |binding, _| subjects(binding, "User")).wide().describe(users),
        Column::compute("Groups", |binding, _| subjects(binding, "Group")).wide().describe(groups),
        Column::compute("ServiceAccounts", |binding, _| subjects(binding, "ServiceAccount")).wide().describe(accounts),
    ]
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let all = binding["subjects"].as_array().into_iter().flatten();
    let named = all.filter(|subject| subject["kind"] == kind).map(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["namespace"].as_str().filter(|namespace| !namespace.is_empty() && kind == "ServiceAccount") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    });
    named.collect::<Vec<_>>().join(", ").into()
}

/// Checks the rules of a role. Those of a namespace cannot be about paths outside the resources.
pub fn validate_rules(found: &mut Violations, rules: &[PolicyRule], is_namespaced: bool) {
    for (at, rule) in rules.iter().enumerate() {
        let field = format!("rules[{at}]");
        let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        if rule.verbs.is_empty() {
            found.required(format!("{field}.verbs"), "verbs must contain at least one value");
        }
        if !is_empty(&rule.non_resource_urls) {
            let (field, value) = (format!("{field}.nonResourceURLs"), json!(rule.non_resource_urls));
            if is_namespaced {
                found.invalid(&field, value.clone(), "namespaced rules cannot apply to non-resource URLs");
            }
            if ![&rule.api_groups, &rule.resources, &rule.resource_names].into_iter().all(is_empty) {
                found.invalid(&field, value, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if is_empty(&rule.api_groups) {
            found.required(format!("{field}.apiGroups"), "resource rules must supply at least one api group");
        }
        if is_empty(&rule.resources) {
            found.required(format!("{field}.resources"), "resource rules must supply at least one resource");
        }
    }
}

/// Fills in the API groups that a binding may leave out.
pub fn default_binding(role: &mut RoleRef, subjects: Option<&mut Vec<Subject>>) {
    if role.api_group.as_deref().is_none_or(str::is_empty) {
        role.api_group = Some(GROUP.into());
    }
    for subject in subjects.into_iter().flatten() {
        if subject.api_group.as_deref().is_none_or(str::is_empty) && matches!(subject.kind.as_str(), "User" | "Group") {
            subject.api_group = Some(GROUP.into());
        }
    }
}

/// Checks what a binding binds to whom. One for the whole cluster cannot bind a role of a namespace.
pub fn validate_binding(
    found: &mut Violations,
    role: &RoleRef,
    old: Option<&RoleRef>,
    subjects: &[Subject],
    is_namespaced: bool,
) {
    let group = role.api_group.as_deref().unwrap_or_default();
    if group != GROUP {
        found.not_supported("roleRef.apiGroup", group, &[GROUP]);
    }
    let kinds: &[&str] = if is_namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&role.kind.as_str()) {
        found.not_supported("roleRef.kind", role.kind.as_str(), kinds);
    }
    if role.name.is_empty() {
        found.required("roleRef.name", "");
    } else {
        for problem in names::path_segment(&role.name) {
            found.invalid("roleRef.name", role.name.as_str(), problem);
        }
    }
    for (at, subject) in subjects.iter().enumerate() {
        validate_subject(found, &format!("subjects[{at}]"), subject, is_namespaced);
    }
    if old.is_some_and(|old| old != role) {
        found.invalid("roleRef", json!(role), "cannot change roleRef");
    }
}

fn validate_subject(found: &mut Violations, field: &str, subject: &Subject, is_namespaced: bool) {
    if subject.name.is_empty() {
        found.required(format!("{field}.name"), "");
    }
    let group = subject.api_group.as_deref().unwrap_or_default();
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                for problem in names::dns1123_subdomain(&subject.name) {
                    found.invalid(format!("{field}.name"), subject.name.as_str(), problem);
                }
            }
            if !group.is_empty() {
                found.not_supported(format!("{field}.apiGroup"), group, &[""]);
            }
            if !is_namespaced && subject.namespace.as_deref().is_none_or(str::is_empty) {
                found.required(format!("{field}.namespace"), "");
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                found.not_supported(format!("{field}.apiGroup"), group, &[GROUP]);
            }
        }
        other => found.not_supported(format!("{field}.kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_about_resources_or_about_paths() {
        for (case, rule, is_namespaced, wrong) in [
            ("resources", json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), true, vec![]),
            ("a path", json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}), false, vec![]),
            (
                "a path in a namespace",
                json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}),
                true,
                vec!["rules[0].nonResourceURLs"],
            ),
            (
                "both",
                json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}),
                false,
                vec!["rules[0].nonResourceURLs"],
            ),
            ("nothing", json!({}), false, vec!["rules[0].verbs", "rules[0].apiGroups", "rules[0].resources"]),
        ] {
            let mut found = Violations::default();
            validate_rules(&mut found, &[serde_json::from_value(rule).unwrap()], is_namespaced);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn bindings_name_a_role_and_subjects() {
        let role = |kind: &str, name: &str| -> RoleRef {
            serde_json::from_value(json!({"kind": kind, "name": name})).unwrap()
        };
        for (case, mut role, subject, is_namespaced, wrong) in [
            ("a user", role("ClusterRole", "r"), json!({"kind": "User", "name": "u"}), false, vec![]),
            (
                "a namespace's role",
                role("Role", "r"),
                json!({"kind": "User", "name": "u"}),
                false,
                vec!["roleRef.kind"],
            ),
            ("no role", role("Role", ""), json!({"kind": "Group", "name": "g"}), true, vec!["roleRef.name"]),
            (
                "an account of nowhere",
                role("ClusterRole", "r"),
                json!({"kind": "ServiceAccount", "name": "s"}),
                false,
                vec!["subjects[0].namespace"],
            ),
            ("an account", role("Role", "r"), json!({"kind": "ServiceAccount", "name": "s"}), true, vec![]),
            ("a robot", role("Role", "r"), json!({"kind": "Robot", "name": "s"}), true, vec!["subjects[0].kind"]),
            ("nobody", role("Role", "r"), json!({"kind": "User"}), true, vec!["subjects[0].name"]),
        ] {
            let mut subjects: Vec<Subject> = vec![serde_json::from_value(subject).unwrap()];
            default_binding(&mut role, Some(&mut subjects));
            let mut found = Violations::default();
            validate_binding(&mut found, &role, None, &subjects, is_namespaced);
            assert_eq!(found.fields(), wrong, "{case}");
        }
        let (mut new, mut old) = (role("Role", "a"), role("Role", "b"));
        default_binding(&mut new, None);
        default_binding(&mut old, None);
        let mut found = Violations::default();
        validate_binding(&mut found, &new, Some(&old), &[], true);
        assert_eq!(found.fields(), ["roleRef"]);
    }

    #[test]
    fn columns_name_the_subjects() {
        let binding = json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "a"}, {"kind": "User", "name": "b"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
        ]});
        let now = sdk_api::Timestamp::UNIX_EPOCH;
        let cells: Vec<_> = binding_columns([""; 3]).iter().map(|column| column.value(&binding, now)).collect();
        assert_eq!(cells[3..], ["a, b", "", "n/s"].map(Value::from));
        assert_eq!(cells[1], "Role/r");
    }
}
