//! What an update may change of a pod: very little, since its containers run already.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelectorTerm, Pod, PodSpec, Toleration,
};
use sdk_workload::pod_defaults;
use sdk_workload::validate::pod_annotation_updates;
use serde_json::Value;

use super::super::fields::differences;
use super::validate;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
    to 1 if it was previously negative)";

/// What an update changes that it may not.
pub fn validate(new: &Pod, old: &Pod) -> Violations {
    let annotations = validate::annotations;
    let (spec, mut before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    // What was stored before a default existed has not changed because it has it now.
    pod_defaults(&mut before);
    if spec == before && annotations(new) == annotations(old) {
        return Violations::default();
    }
    let mut found = validate::pod(new, true);
    found.extend(pod_annotation_updates(annotations(new), annotations(old), "metadata.annotations"));
    let init = |spec: &PodSpec| spec.init_containers.as_ref().map_or(0, Vec::len);
    for (field, count, count_before) in
        [("containers", spec.containers.len(), before.containers.len()), ("initContainers", init(&spec), init(&before))]
    {
        if count != count_before {
            found.forbidden(format!("spec.{field}"), "pod updates may not add or remove containers");
            return found;
        }
    }
    if !deadline(&mut found, &spec, &before) {
        return found;
    }
    tolerations(&mut found, &spec, &before);
    gates(&mut found, &spec, &before);

    // The allowed changes are undone; whatever still differs was not allowed.
    let mut undone = spec.clone();
    undo(&mut undone, &before);
    if before.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        undo_of_gated(&mut found, &mut undone, &before);
    }
    if undone != before {
        let changed = differences(&before, &undone, "spec");
        found.forbidden("spec", format!("pod updates may not change fields other than {UPDATABLE}\n{changed}"));
    }
    found
}

/// Whether the rest is worth checking.
fn deadline(found: &mut Violations, spec: &PodSpec, before: &PodSpec) -> bool {
    let path = "spec.activeDeadlineSeconds";
    match (spec.active_deadline_seconds, before.active_deadline_seconds) {
        (None, Some(_)) => found.invalid(path, (), "must not update from a positive integer to nil value"),
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            found.invalid(path, new, "must be between 0 and 2147483647, inclusive");
            return false;
        }
        (Some(new), Some(old)) if new > old => {
            found.invalid(path, new, "must be less than or equal to previous value");
            return false;
        }
        _ => {}
    }
    true
}

fn tolerations(found: &mut Violations, spec: &PodSpec, before: &PodSpec) {
    let timeless = |toleration: &Toleration| Toleration { toleration_seconds: None, ..toleration.clone() };
    let new: Vec<Toleration> = spec.tolerations.iter().flatten().map(timeless).collect();
    if before.tolerations.iter().flatten().any(|old| !new.contains(&timeless(old))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        found.forbidden("spec.tolerations", why);
    }
}

fn gates(found: &mut Violations, spec: &PodSpec, before: &PodSpec) {
    for (i, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        if !before.scheduling_gates.iter().flatten().any(|known| known.name == gate.name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
            found.forbidden(format!("spec.schedulingGates[{i}].name"), why);
        }
    }
}

fn undo(spec: &mut PodSpec, before: &PodSpec) {
    let pairs = |new: &mut [Container], old: &[Container]| {
        for (container, old) in new.iter_mut().zip(old) {
            container.image.clone_from(&old.image);
        }
    };
    pairs(&mut spec.containers, &before.containers);
    pairs(
        spec.init_containers.as_deref_mut().unwrap_or_default(),
        before.init_containers.as_deref().unwrap_or_default(),
    );
    spec.active_deadline_seconds = before.active_deadline_seconds;
    spec.scheduling_gates.clone_from(&before.scheduling_gates);
    spec.tolerations.clone_from(&before.tolerations);
    if before.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0)
        && spec.termination_grace_period_seconds == Some(1)
    {
        spec.termination_grace_period_seconds = before.termination_grace_period_seconds;
    }
}

/// A gated pod has no place yet, so what narrows its choice may still be added. Source: KEP-3838.
fn undo_of_gated(found: &mut Violations, spec: &mut PodSpec, before: &PodSpec) {
    let shown = |value: Option<Value>| value.unwrap_or(Value::Null);
    let selector = spec.node_selector.clone().unwrap_or_default();
    if before.node_selector.iter().flatten().any(|(key, value)| selector.get(key) != Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        found.invalid("spec.nodeSelector", shown(serde_json::to_value(&selector).ok()), why);
    }
    spec.node_selector.clone_from(&before.node_selector);
    let node = |spec: &PodSpec| spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let (new, old) = (node(spec), node(before));
    if new == old {
        return;
    }
    node_affinity(found, new.as_ref(), old.as_ref());
    let pods_too = |affinity: &Affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some();
    match &mut spec.affinity {
        affinity @ None => *affinity = old.map(|old| Affinity { node_affinity: Some(old), ..Affinity::default() }),
        Some(affinity) if before.affinity.is_none() && !pods_too(affinity) => spec.affinity = None,
        Some(affinity) => affinity.node_affinity = old,
    }
}

fn node_affinity(found: &mut Violations, new: Option<&NodeAffinity>, old: Option<&NodeAffinity>) {
    let terms = |affinity: Option<&NodeAffinity>| -> Vec<NodeSelectorTerm> {
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        required.map(|required| required.node_selector_terms.clone()).unwrap_or_default()
    };
    let (new, old) = (terms(new), terms(old));
    let path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    if !old.is_empty() && old.len() != new.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return found.invalid(path, serde_json::to_value(&new).unwrap_or_default(), why);
    }
    for (i, (new, _)) in new.iter().zip(&old).enumerate().filter(|(_, (new, old))| !only_adds(new, old)) {
        let why = "only additions are allowed (no mutations or deletions)";
        found.invalid(format!("{path}[{i}]"), serde_json::to_value(new).unwrap_or_default(), why);
    }
}

/// Whether a term only grew. An empty one matches nothing, so that any addition would widen it.
fn only_adds(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let expressions = |term: &NodeSelectorTerm| term.match_expressions.clone().unwrap_or_default();
    let fields = |term: &NodeSelectorTerm| term.match_fields.clone().unwrap_or_default();
    let nothing = |term: &NodeSelectorTerm| expressions(term).is_empty() && fields(term).is_empty();
    if nothing(old) && !nothing(new) {
        return false;
    }
    expressions(new).starts_with(&expressions(old)) && fields(new).starts_with(&fields(old))
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Strategy;
    use serde_json::{Value, json};

    use super::super::strategy::PodStrategy;
    use super::*;

    fn pod(change: &Value) -> Pod {
        let mut spec = json!({"containers": [{"name": "c", "image": "a"}]});
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let mut pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        PodStrategy.default(&mut pod);
        pod
    }

    #[test]
    fn few_things_may_change() {
        let image = |image: &str| json!({"containers": [{"name": "c", "image": image}]});
        let tolerate = |seconds: i64| json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let (a, b) = (json!({"key": "a", "operator": "Exists"}), json!({"key": "b", "operator": "Exists"}));
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let gated = |expressions: Value| {
            json!({"schedulingGates": [{"name": "g"}],
                "affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}}})
        };
        let terms = format!("spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0]");
        for (case, old, new, wrong) in [
            ("nothing", json!({}), json!({}), vec![]),
            ("an image", image("a:1"), image("b:1"), vec![]),
            ("no image", image("a:1"), image(""), vec!["spec.containers[0].image"]),
            (
                "a container more",
                json!({}),
                json!({"containers": [{"name": "c", "image": "a"}, {"name": "d", "image": "a"}]}),
                vec!["spec.containers"],
            ),
            ("a host name", json!({}), json!({"hostname": "h"}), vec!["spec"]),
            ("a deadline", json!({}), json!({"activeDeadlineSeconds": 5}), vec![]),
            (
                "a later deadline",
                json!({"activeDeadlineSeconds": 5}),
                json!({"activeDeadlineSeconds": 6}),
                vec!["spec.activeDeadlineSeconds"],
            ),
            (
                "no deadline any more",
                json!({"activeDeadlineSeconds": 5}),
                json!({}),
                vec!["spec.activeDeadlineSeconds"],
            ),
            ("a toleration more", json!({}), json!({"tolerations": [tolerate(5)]}), vec![]),
            ("for longer", json!({"tolerations": [tolerate(5)]}), json!({"tolerations": [tolerate(9)]}), vec![]),
            ("a toleration less", json!({"tolerations": [tolerate(5)]}), json!({}), vec!["spec.tolerations"]),
            ("longer grace", json!({}), json!({"terminationGracePeriodSeconds": 60}), vec!["spec"]),
            (
                "grace made positive",
                json!({"terminationGracePeriodSeconds": -1}),
                json!({"terminationGracePeriodSeconds": 1}),
                vec![],
            ),
            ("a gate less", json!({"schedulingGates": [{"name": "g"}]}), json!({}), vec![]),
            (
                "a gate more",
                json!({}),
                json!({"schedulingGates": [{"name": "g"}]}),
                vec!["spec.schedulingGates[0].name"],
            ),
            (
                "narrowed while gated",
                json!({"schedulingGates": [{"name": "g"}]}),
                json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}),
                vec![],
            ),
            (
                "loosened while gated",
                json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}),
                json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "c"}}),
                vec!["spec.nodeSelector"],
            ),
            ("more of a node while gated", gated(json!([a])), gated(json!([a, b])), vec![]),
            ("less of a node while gated", gated(json!([a, b])), gated(json!([b])), vec![&*terms]),
            ("narrowed later", json!({}), json!({"nodeSelector": {"a": "b"}}), vec!["spec"]),
        ] {
            assert_eq!(PodStrategy.validate(&pod(&new), Some(&pod(&old))).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn the_message_names_what_may_change_and_what_did() {
        let message = validate(&pod(&json!({"hostname": "h"})), &pod(&json!({}))).summary();
        assert!(
            message.starts_with(
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            )
        );
        assert!(message.ends_with("\n  spec.hostname: null -> \"h\""), "{message}");
    }
}
