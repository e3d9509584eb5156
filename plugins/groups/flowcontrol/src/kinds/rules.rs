//! What is wrong with the rules of a FlowSchema, and with conditions. Source: the validation of the `flowcontrol` group.

use sdk_api::k8s_openapi::api::flowcontrol::v1::{
    NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, ServiceAccountSubject, Subject,
};
use sdk_api::{Violations, names};

const EVERY: &str = "*";
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub fn check(found: &mut Violations, at: &str, rule: &PolicyRulesWithSubjects) {
    if rule.subjects.is_empty() {
        found.required(format_args!("{at}.subjects"), "subjects must contain at least one value");
    }
    for (index, subject) in rule.subjects.iter().enumerate() {
        check_subject(found, &format!("{at}.subjects[{index}]"), subject);
    }
    let (resources, paths) = (rule.resource_rules.as_deref(), rule.non_resource_rules.as_deref());
    let (resources, paths) = (resources.unwrap_or_default(), paths.unwrap_or_default());
    if resources.is_empty() && paths.is_empty() {
        found.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (index, rule) in resources.iter().enumerate() {
        check_resources(found, &format!("{at}.resourceRules[{index}]"), rule);
    }
    for (index, rule) in paths.iter().enumerate() {
        check_paths(found, &format!("{at}.nonResourceRules[{index}]"), rule);
    }
}

fn check_subject(found: &mut Violations, at: &str, subject: &Subject) {
    const KINDS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
    let kind = subject.kind.as_str();
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return found.not_supported(format_args!("{at}.kind"), kind, &KINDS.map(|(known, _)| known));
    };
    let present = |field: &str| match field {
        "group" => subject.group.is_some(),
        "user" => subject.user.is_some(),
        _ => subject.service_account.is_some(),
    };
    if !present(own) {
        found.required(format_args!("{at}.{own}"), format_args!("{own} is required when subject kind is '{kind}'"));
    }
    match (kind, &subject.user, &subject.group, &subject.service_account) {
        ("User", Some(user), ..) => check_name(found, &format!("{at}.user"), &user.name),
        ("Group", _, Some(group), _) => check_name(found, &format!("{at}.group"), &group.name),
        ("ServiceAccount", .., Some(account)) => check_account(found, &format!("{at}.serviceAccount"), account),
        _ => {}
    }
    for (kind, field) in KINDS.iter().filter(|(known, field)| *known != kind && present(field)) {
        found.forbidden(
            format_args!("{at}.{field}"),
            format_args!("{field} is forbidden when subject kind is not '{kind}'"),
        );
    }
}

fn check_name(found: &mut Violations, at: &str, name: &str) {
    if name.is_empty() {
        found.required(format_args!("{at}.name"), "");
    }
}

fn check_account(found: &mut Violations, at: &str, account: &ServiceAccountSubject) {
    check_name(found, at, &account.name);
    if !account.name.is_empty() && account.name != EVERY {
        for message in names::dns1123_subdomain(&account.name) {
            found.invalid(format_args!("{at}.name"), account.name.as_str(), message);
        }
    }
    if account.namespace.is_empty() {
        found.required(format_args!("{at}.namespace"), "must specify namespace for service account");
        return;
    }
    for message in names::dns1123_label(&account.namespace) {
        found.invalid(format_args!("{at}.namespace"), account.namespace.as_str(), message);
    }
}

/// A list must name something, and `*` alone or not at all. Says whether its items are to be looked at.
fn check_list(found: &mut Violations, at: &str, list: &[String], missing: &str, others: &str) -> bool {
    if list.is_empty() {
        found.required(at, missing);
        return false;
    }
    let has_every = list.iter().any(|item| item == EVERY);
    if has_every && list.len() > 1 {
        found.invalid(at, list, format_args!("if '*' is present, must not specify other {others}"));
    }
    !has_every
}

fn check_verbs(found: &mut Violations, at: &str, verbs: &[String]) {
    let at = format!("{at}.verbs");
    let each = check_list(found, &at, verbs, "verbs must contain at least one value", "verbs");
    if each && verbs.iter().any(|verb| !VERBS.contains(&verb.as_str())) {
        found.not_supported(at, verbs, &VERBS);
    }
}

fn check_resources(found: &mut Violations, at: &str, rule: &ResourcePolicyRule) {
    check_verbs(found, at, &rule.verbs);
    let missing = |what: &str| format!("resource rules must supply at least one {what}");
    check_list(found, &format!("{at}.apiGroups"), &rule.api_groups, &missing("api group"), "api groups");
    check_list(found, &format!("{at}.resources"), &rule.resources, &missing("resource"), "resources");
    let namespaces = rule.namespaces.as_deref().unwrap_or_default();
    if namespaces.is_empty() && rule.cluster_scope == Some(true) {
        return;
    }
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    if !check_list(found, &format!("{at}.namespaces"), namespaces, missing, "namespaces") {
        return;
    }
    for (index, namespace) in namespaces.iter().enumerate() {
        for message in names::dns1123_label(namespace) {
            let why = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
            found.invalid(format_args!("{at}.namespaces[{index}]"), namespace.as_str(), why);
        }
    }
}

fn check_paths(found: &mut Violations, at: &str, rule: &NonResourcePolicyRule) {
    check_verbs(found, at, &rule.verbs);
    let (at, missing) = (format!("{at}.nonResourceURLs"), "nonResourceURLs must contain at least one value");
    if !check_list(found, &at, &rule.non_resource_urls, missing, "non-resource URLs") {
        return;
    }
    for (index, path) in rule.non_resource_urls.iter().enumerate() {
        if let Some(why) = wrong_path(path) {
            found.invalid(format_args!("{at}[{index}]"), path.as_str(), why);
        }
    }
}

fn wrong_path(path: &str) -> Option<&'static str> {
    match path.matches(EVERY).count() {
        _ if path.is_empty() => Some("must not be empty"),
        _ if path == "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        0 => None,
        1 if path.ends_with("/*") => None,
        _ => Some("wildcard can only do suffix matching"),
    }
}

/// Conditions have a type each, and each type once.
pub fn check_condition_types<'a>(found: &mut Violations, types: impl Iterator<Item = &'a str>) {
    let mut seen = Vec::new();
    for (at, kind) in types.enumerate() {
        let field = format!("status.conditions[{at}].type");
        if seen.contains(&kind) {
            found.duplicate(&field, kind);
        }
        if kind.is_empty() {
            found.required(&field, "must not be empty");
        }
        seen.push(kind);
    }
}
