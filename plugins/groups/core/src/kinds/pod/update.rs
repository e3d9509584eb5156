//! What an update may change of a pod: very little, since its containers run already.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Toleration};
use sdk_workload::{Options, pod_defaults, validate_spec};

use super::super::fields::{differences, text};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
    to 1 if it was previously negative)";

/// What an update changes that it may not.
pub fn validate(new: &Pod, old: &Pod) -> Violations {
    let mut found = Violations::default();
    let (spec, mut before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    // What was stored before a default existed has not changed because it has it now.
    pod_defaults(&mut before);
    if spec == before {
        return found;
    }
    let init = |spec: &PodSpec| spec.init_containers.as_ref().map_or(0, Vec::len);
    for (field, count, count_before) in
        [("containers", spec.containers.len(), before.containers.len()), ("initContainers", init(&spec), init(&before))]
    {
        if count != count_before {
            found.forbidden(format!("spec.{field}"), "pod updates may not add or remove containers");
        }
    }
    if !found.is_empty() {
        return found;
    }
    images(&mut found, &spec.containers, "spec.containers");
    images(&mut found, spec.init_containers.as_deref().unwrap_or_default(), "spec.initContainers");
    deadline(&mut found, &spec, &before);
    tolerations(&mut found, &spec, &before);
    gates(&mut found, &spec, &before);

    // The allowed changes are undone; whatever still differs was not allowed.
    let mut undone = spec.clone();
    undo(&mut undone, &before);
    if undone != before {
        let changed = differences(&before, &undone, "spec");
        found.forbidden("spec", format!("pod updates may not change fields other than {UPDATABLE}\n{changed}"));
    }
    if found.is_empty() {
        found.extend(validate_spec(&spec, "spec", Options { label_values_unchecked: true }));
    }
    found
}

fn images(found: &mut Violations, containers: &[Container], path: &str) {
    for (i, container) in containers.iter().enumerate() {
        let image = text(&container.image);
        if image.is_empty() {
            found.required(format!("{path}[{i}].image"), "");
        } else if image.trim() != image {
            found.invalid(format!("{path}[{i}].image"), image, "must not have leading or trailing whitespace");
        }
    }
}

fn deadline(found: &mut Violations, spec: &PodSpec, before: &PodSpec) {
    let path = "spec.activeDeadlineSeconds";
    match (spec.active_deadline_seconds, before.active_deadline_seconds) {
        (None, Some(_)) => found.invalid(path, (), "must not update from a positive integer to nil value"),
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            found.invalid(path, new, "must be between 0 and 2147483647, inclusive");
        }
        (Some(new), Some(old)) if new > old => {
            found.invalid(path, new, "must be less than or equal to previous value");
        }
        _ => {}
    }
}

fn tolerations(found: &mut Violations, spec: &PodSpec, before: &PodSpec) {
    let timeless = |toleration: &Toleration| Toleration { toleration_seconds: None, ..toleration.clone() };
    let new: Vec<Toleration> = spec.tolerations.iter().flatten().map(timeless).collect();
    for old in before.tolerations.iter().flatten() {
        let kept = if old.effect.as_deref() == Some("NoExecute") {
            new.contains(&timeless(old))
        } else {
            spec.tolerations.iter().flatten().any(|toleration| toleration == old)
        };
        if !kept {
            let why = "existing toleration can not be modified except its tolerationSeconds";
            return found.forbidden("spec.tolerations", why);
        }
    }
}

fn gates(found: &mut Violations, spec: &PodSpec, before: &PodSpec) {
    for gate in spec.scheduling_gates.iter().flatten() {
        if !before.scheduling_gates.iter().flatten().any(|known| known.name == gate.name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
            found.forbidden("spec.schedulingGates", why);
        }
    }
}

fn undo(spec: &mut PodSpec, before: &PodSpec) {
    for (container, old) in spec.containers.iter_mut().zip(&before.containers) {
        container.image.clone_from(&old.image);
    }
    let init = spec.init_containers.iter_mut().flatten().zip(before.init_containers.iter().flatten());
    for (container, old) in init {
        container.image.clone_from(&old.image);
    }
    spec.active_deadline_seconds = before.active_deadline_seconds;
    spec.tolerations.clone_from(&before.tolerations);
    if before.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0)
        && spec.termination_grace_period_seconds == Some(1)
    {
        spec.termination_grace_period_seconds = before.termination_grace_period_seconds;
    }
    // A gated pod has no place yet, so what narrows its choice may still be added. Source: KEP-3838.
    let gated = before.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    spec.scheduling_gates.clone_from(&before.scheduling_gates);
    if gated {
        let kept = |key: &String, value: &String| spec.node_selector.as_ref().and_then(|s| s.get(key)) == Some(value);
        if before.node_selector.iter().flatten().all(|(key, value)| kept(key, value)) {
            spec.node_selector.clone_from(&before.node_selector);
        }
        let node = |spec: &PodSpec| spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
        if node(before).is_none() && node(spec).is_some() {
            match (&mut spec.affinity, before.affinity.is_some()) {
                (Some(affinity), true) => affinity.node_affinity = None,
                (affinity, false) => {
                    // Only the node part was added.
                    if affinity.as_ref().is_some_and(|a| a.pod_affinity.is_none() && a.pod_anti_affinity.is_none()) {
                        *affinity = None;
                    }
                }
                (None, true) => {}
            }
        }
    }
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
        let mut pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        PodStrategy.default(&mut pod);
        pod
    }

    #[test]
    fn few_things_may_change() {
        let image = |image: &str| json!({"containers": [{"name": "c", "image": image}]});
        let tolerate = |seconds: i64| json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        for (case, old, new, wrong) in [
            ("nothing", json!({}), json!({}), vec![]),
            ("an image", image("a:1"), image("b:1"), vec![]),
            ("no image", image("a:1"), image(""), vec!["spec.containers[0].image"]),
            (
                "a container more",
                json!({}),
                json!({"containers": [{"name": "c"}, {"name": "d"}]}),
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
            ("a gate more", json!({}), json!({"schedulingGates": [{"name": "g"}]}), vec!["spec.schedulingGates"]),
            (
                "narrowed while gated",
                json!({"schedulingGates": [{"name": "g"}]}),
                json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}),
                vec![],
            ),
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
