//! The API services of what this server serves itself: which there should be, and what is to be done about it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Tells ours from those that people make: `onstart` for what is built in, `true` for custom resources.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const CONDITION_TIME: &str = "lastTransitionTime";

/// `groupPriorityMinimum` of the groups and `versionPriority` of their first version, each further version of which gets
/// 15 more. Source: `apiVersionPriorities` of the aggregator.
const PRIORITIES: [(&str, u32, u32); 19] = [
    ("", 18_000, 1),
    ("apps", 17_800, 15),
    ("events.k8s.io", 17_750, 15),
    ("authentication.k8s.io", 17_700, 15),
    ("authorization.k8s.io", 17_600, 15),
    ("autoscaling", 17_500, 15),
    ("batch", 17_400, 15),
    ("certificates.k8s.io", 17_300, 15),
    ("networking.k8s.io", 17_200, 15),
    ("policy", 17_100, 15),
    ("rbac.authorization.k8s.io", 17_000, 15),
    ("storage.k8s.io", 16_800, 15),
    ("apiextensions.k8s.io", 16_700, 15),
    ("admissionregistration.k8s.io", 16_700, 15),
    ("scheduling.k8s.io", 16_600, 15),
    ("coordination.k8s.io", 16_500, 15),
    ("node.k8s.io", 16_300, 15),
    ("discovery.k8s.io", 16_200, 15),
    ("flowcontrol.apiserver.k8s.io", 16_100, 21),
];
/// Of groups that the table does not name, custom ones among them.
const OTHER_PRIORITY: (u32, u32) = (1_000, 100);
/// The group that the services themselves are in: the aggregator serves it, and nobody registers it.
const OWN_GROUP: &str = "apiregistration.k8s.io";

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Create(Value),
    /// The object with another spec or label.
    Update(Value),
    /// The object with the condition that it is available.
    Status(Value),
    Delete(String),
}

/// The services of built-in groups and versions.
pub(super) fn built_in(versions: &[(String, String)]) -> BTreeMap<String, Value> {
    let versions = versions.iter().filter(|(group, _)| group != OWN_GROUP);
    versions.map(|(group, version)| service(group, version, "onstart")).collect()
}

/// The services of a custom resource definition: one for each version that is served.
pub(super) fn custom(definition: &Value) -> BTreeMap<String, Value> {
    let established = definition["status"]["conditions"].as_array().into_iter().flatten();
    if !established.into_iter().any(|c| c["type"] == "Established" && c["status"] == "True") {
        return BTreeMap::new();
    }
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true).filter_map(|version| version["name"].as_str());
    served.map(|version| service(group, version, "true")).collect()
}

fn service(group: &str, version: &str, managed: &str) -> (String, Value) {
    let known = PRIORITIES.iter().find(|(name, _, _)| *name == group);
    let (group_priority, first) = known.map_or(OTHER_PRIORITY, |(_, group, version)| (*group, *version));
    let later =
        version.strip_prefix('v').and_then(|number| number.parse::<u32>().ok()).map_or(0, |n| n.saturating_sub(1));
    let priority = if known.is_some() { first + 15 * later.min(10) } else { first };
    let name = format!("{version}.{group}");
    let mut spec = json!({"version": version, "groupPriorityMinimum": group_priority, "versionPriority": priority});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": {AUTOMANAGED: managed}},
        "spec": spec,
    });
    (name, object)
}

/// From what there is to what there should be. Services that somebody else made are left alone; `now` is the time that
/// a condition is set at.
pub(super) fn steps(wanted: &BTreeMap<String, Value>, present: &[Value], now: &str) -> Vec<Step> {
    let name_of = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let present: BTreeMap<String, &Value> = present.iter().map(|object| (name_of(object), object)).collect();
    let mut steps = Vec::new();
    for (name, object) in wanted {
        let Some(found) = present.get(name) else {
            steps.push(Step::Create(object.clone()));
            continue;
        };
        if !found["spec"]["service"].is_null() {
            // Somebody serves the group elsewhere on purpose.
            continue;
        }
        let mut next = Value::clone(found);
        next["metadata"]["labels"][AUTOMANAGED] = object["metadata"]["labels"][AUTOMANAGED].clone();
        next["spec"] = object["spec"].clone();
        if next != **found {
            steps.push(Step::Update(next));
        } else if !is_available(found) {
            next["status"]["conditions"] = json!([{
                "type": "Available", "status": "True", "reason": "Local",
                "message": "Local APIServices are always available", CONDITION_TIME: now,
            }]);
            steps.push(Step::Status(next));
        }
    }
    let ours = |object: &Value| !object["metadata"]["labels"][AUTOMANAGED].is_null();
    let gone = present.into_iter().filter(|(name, object)| ours(object) && !wanted.contains_key(name));
    steps.extend(gone.map(|(name, _)| Step::Delete(name)));
    steps
}

fn is_available(object: &Value) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Available" && condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn wanted() -> BTreeMap<String, Value> {
        built_in(&[("".into(), "v1".into()), ("autoscaling".into(), "v2".into()), (OWN_GROUP.into(), "v1".into())])
    }

    #[test]
    fn built_in_versions_have_upstreams_priorities() {
        let wanted = wanted();
        let names: Vec<_> = wanted.keys().map(String::as_str).collect();
        assert_eq!(names, ["v1.", "v2.autoscaling"], "the group of the services themselves has none");
        assert_eq!(
            wanted["v1."]["spec"],
            json!({"version": "v1", "groupPriorityMinimum": 18_000, "versionPriority": 1})
        );
        assert_eq!(wanted["v2.autoscaling"]["spec"]["versionPriority"], 30);
    }

    #[test]
    fn custom_resources_have_a_service_for_each_served_version() {
        let mut definition = json!({
            "spec": {"group": "x.io", "versions": [{"name": "v1", "served": true}, {"name": "v1beta1", "served": false}]},
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        });
        let services = custom(&definition);
        assert_eq!(services.keys().collect::<Vec<_>>(), ["v1.x.io"]);
        assert_eq!(services["v1.x.io"]["spec"]["groupPriorityMinimum"], 1_000);
        definition["status"] = json!({});
        assert!(custom(&definition).is_empty(), "not before its names are accepted");
    }

    #[test]
    fn what_is_there_becomes_what_should_be() {
        let wanted = wanted();
        let (core, scaling) = (wanted["v1."].clone(), wanted["v2.autoscaling"].clone());
        let available = |object: &Value| {
            let mut object = object.clone();
            object["status"] = json!({"conditions": [{"type": "Available", "status": "True"}]});
            object
        };
        let mut other_priority = available(&core);
        other_priority["spec"]["versionPriority"] = 7.into();
        let foreign = json!({"metadata": {"name": "v1.metrics"}, "spec": {"service": {"name": "m"}}});
        let (_, gone) = service("old.io", "v1", "true");
        let settled = [available(&core), available(&scaling)];
        for (case, present, want) in [
            ("nothing", vec![], vec![Step::Create(core.clone()), Step::Create(scaling.clone())]),
            ("all", settled.to_vec(), vec![]),
            ("changed by hand", vec![other_priority, settled[1].clone()], vec![Step::Update(settled[0].clone())]),
            ("somebody else's", [&settled[..], &[foreign]].concat(), vec![]),
            ("no longer served", [&settled[..], &[gone]].concat(), vec![Step::Delete("v1.old.io".into())]),
        ] {
            assert_eq!(steps(&wanted, &present, NOW), want, "{case}");
        }
        let [Step::Status(told)] = &steps(&wanted, &[core, settled[1].clone()], NOW)[..] else { panic!("one step") };
        assert_eq!(told["status"]["conditions"][0]["reason"], "Local");
    }
}
