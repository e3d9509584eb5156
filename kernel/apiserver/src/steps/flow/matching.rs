//! Which requests a FlowSchema is about, and what tells its flows apart. Source: KEP-1040.

use sdk_api::k8s_openapi::api::flowcontrol::v1::{
    FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject as RuleSubject,
};
use sdk_client::Subject;

use crate::info::RequestInfo;

const EVERY: &str = "*";

fn holds(list: &[String], one: &str) -> bool {
    list.iter().any(|item| item == EVERY || item == one)
}

/// Whether a request of `user` belongs to the schema.
pub fn matches(spec: &FlowSchemaSpec, user: &Subject, info: &RequestInfo) -> bool {
    spec.rules.iter().flatten().any(|rule| is_by(rule, user) && is_about(rule, info))
}

fn is_by(rule: &PolicyRulesWithSubjects, user: &Subject) -> bool {
    rule.subjects.iter().any(|subject| is(subject, user))
}

fn is(subject: &RuleSubject, user: &Subject) -> bool {
    if let Some(named) = subject.user.as_ref().filter(|_| subject.kind == "User") {
        return named.name == EVERY || named.name == user.name;
    }
    if let Some(group) = subject.group.as_ref().filter(|_| subject.kind == "Group") {
        return group.name == EVERY || user.groups.contains(&group.name);
    }
    let Some(account) = subject.service_account.as_ref().filter(|_| subject.kind == "ServiceAccount") else {
        return false;
    };
    let parts = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(namespace, name)| {
        account.namespace == namespace && (account.name == EVERY || account.name == name)
    })
}

fn is_about(rule: &PolicyRulesWithSubjects, info: &RequestInfo) -> bool {
    if info.is_resource {
        rule.resource_rules.iter().flatten().any(|rule| covers(rule, info))
    } else {
        rule.non_resource_rules.iter().flatten().any(|rule| leads_to(rule, info))
    }
}

fn covers(rule: &ResourcePolicyRule, info: &RequestInfo) -> bool {
    let in_scope = if info.namespace.is_empty() {
        rule.cluster_scope == Some(true)
    } else {
        rule.namespaces.as_ref().is_some_and(|namespaces| holds(namespaces, &info.namespace))
    };
    in_scope && holds(&rule.verbs, info.verb) && holds(&rule.api_groups, &info.group) && names(&rule.resources, info)
}

fn names(resources: &[String], info: &RequestInfo) -> bool {
    resources.iter().any(|resource| match resource.split_once('/') {
        _ if resource == EVERY => true,
        None => info.subresource.is_empty() && *resource == info.resource,
        Some((resource, subresource)) => resource == info.resource && subresource == info.subresource,
    })
}

fn leads_to(rule: &NonResourcePolicyRule, info: &RequestInfo) -> bool {
    holds(&rule.verbs, info.verb)
        && rule.non_resource_urls.iter().any(|url| match url.strip_suffix(EVERY) {
            Some(prefix) => info.path.starts_with(prefix),
            None => *url == info.path,
        })
}

/// The part of a request by which its schema tells flows apart; empty where all are one flow.
pub fn distinguisher<'a>(spec: &FlowSchemaSpec, user: &'a Subject, info: &'a RequestInfo) -> &'a str {
    match spec.distinguisher_method.as_ref().map(|method| method.type_.as_str()) {
        Some("ByUser") => &user.name,
        Some("ByNamespace") => &info.namespace,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::info::query_pairs;

    use super::*;

    fn spec(subject: Value, resource: Value, url: Value) -> FlowSchemaSpec {
        let list = |rule: Value| if rule.is_null() { json!([]) } else { json!([rule]) };
        let rule = json!({"subjects": [subject], "resourceRules": list(resource), "nonResourceRules": list(url)});
        let spec = json!({"priorityLevelConfiguration": {"name": "x"}, "rules": [rule]});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn requests_match_by_subject_and_target() {
        let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
        let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
        let account = |namespace: &str, name: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}});
        let on = |verb: &str, group: &str, resource: &str, namespaces: &[&str], cluster: bool| json!({"verbs": [verb], "apiGroups": [group], "resources": [resource], "namespaces": namespaces, "clusterScope": cluster});
        let url = |verb: &str, url: &str| json!({"verbs": [verb], "nonResourceURLs": [url]});
        let all = on("*", "*", "*", &["*"], true);
        let (ann, bot) = (Subject::new("ann", &["devs"]), Subject::service_account("kube-system", "bot"));
        let (pods, nodes) = ("/api/v1/namespaces/blue/pods", "/api/v1/nodes");
        for (case, by, spec, path, expected) in [
            ("any user", &ann, spec(user("*"), all.clone(), Value::Null), pods, true),
            ("this user", &ann, spec(user("ann"), all.clone(), Value::Null), pods, true),
            ("another user", &ann, spec(user("bob"), all.clone(), Value::Null), pods, false),
            ("its group", &ann, spec(group("devs"), all.clone(), Value::Null), pods, true),
            ("another group", &ann, spec(group("ops"), all.clone(), Value::Null), pods, false),
            (
                "every account of a namespace",
                &bot,
                spec(account("kube-system", "*"), all.clone(), Value::Null),
                pods,
                true,
            ),
            ("an account", &bot, spec(account("kube-system", "bot"), all.clone(), Value::Null), pods, true),
            ("an account elsewhere", &bot, spec(account("blue", "bot"), all.clone(), Value::Null), pods, false),
            ("no account", &ann, spec(account("kube-system", "*"), all.clone(), Value::Null), pods, false),
            ("its verb", &ann, spec(user("*"), on("list", "", "pods", &["blue"], false), Value::Null), pods, true),
            ("another verb", &ann, spec(user("*"), on("get", "", "pods", &["blue"], false), Value::Null), pods, false),
            (
                "another group of kinds",
                &ann,
                spec(user("*"), on("list", "apps", "pods", &["*"], true), Value::Null),
                pods,
                false,
            ),
            (
                "another namespace",
                &ann,
                spec(user("*"), on("list", "", "pods", &["green"], true), Value::Null),
                pods,
                false,
            ),
            ("cluster scope", &ann, spec(user("*"), on("list", "", "nodes", &["*"], true), Value::Null), nodes, true),
            (
                "no cluster scope",
                &ann,
                spec(user("*"), on("list", "", "nodes", &["*"], false), Value::Null),
                nodes,
                false,
            ),
            (
                "a part",
                &ann,
                spec(user("*"), on("get", "", "nodes/status", &[], true), Value::Null),
                "/api/v1/nodes/n/status",
                true,
            ),
            (
                "a part not named",
                &ann,
                spec(user("*"), on("get", "", "nodes", &[], true), Value::Null),
                "/api/v1/nodes/n/status",
                false,
            ),
            ("a path", &ann, spec(user("*"), Value::Null, url("get", "/healthz")), "/healthz", true),
            ("below a path", &ann, spec(user("*"), Value::Null, url("get", "/openapi/*")), "/openapi/v3", true),
            ("any path", &ann, spec(user("*"), Value::Null, url("*", "*")), "/version", true),
            ("another path", &ann, spec(user("*"), Value::Null, url("get", "/healthz")), "/readyz", false),
            ("a path is no resource", &ann, spec(user("*"), all, Value::Null), "/version", false),
        ] {
            let info = RequestInfo::of(&Method::GET, path, &query_pairs(""));
            assert_eq!(matches(&spec, by, &info), expected, "{case}");
        }
    }

    #[test]
    fn flows_are_told_apart() {
        let info = RequestInfo::of(&Method::GET, "/api/v1/namespaces/blue/pods", &[]);
        for (method, expected) in
            [(json!({"type": "ByUser"}), "ann"), (json!({"type": "ByNamespace"}), "blue"), (Value::Null, "")]
        {
            let spec = json!({"priorityLevelConfiguration": {"name": "x"}, "distinguisherMethod": method});
            let spec = serde_json::from_value(spec).unwrap();
            assert_eq!(distinguisher(&spec, &Subject::new("ann", &[]), &info), expected);
        }
    }
}
