//! `namespace`: empties a namespace that is being deleted, pods first, and lets it go once nothing is left.
//!
//! What is left, and why, is told in the namespace's conditions. Source: `namespaced_resources_deleter`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, Pod};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::time::whole_seconds;
use sdk_api::{GroupResource, Key, Object};
use sdk_client::{DeleteOptions, Propagation, Verb};
use sdk_plugin::{Controller, Plan, View, Watch};

const FINALIZER: &str = "kubernetes";

/// The most objects deleted by one plan; the rest follow in the next.
const BATCH_MAX: usize = 500;

pub struct NamespaceController;

impl Controller for NamespaceController {
    type Object = Namespace;
    const NAME: &'static str = "namespace";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::everything(|view, object| {
            if object.namespace().is_empty() {
                return Vec::new();
            }
            let key = Key::of::<Namespace>("", object.namespace());
            let is_going = view.cache.get(&key).is_some_and(|namespace| namespace.meta().is_deleting());
            if is_going { vec![key] } else { Vec::new() }
        })]
    }

    fn plan(&self, view: &View<'_>, namespace: &Namespace) -> Plan {
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        let is_ours = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        if namespace.metadata.deletion_timestamp.is_none() || !is_ours {
            return Plan::nothing();
        }
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let content = Content::of(view, name);
        let was_never_told = namespace.status.as_ref().is_none_or(|status| status.conditions.is_none());
        if content.is_empty() && was_never_told {
            return finalize(namespace, name);
        }

        let mut plan = Plan::nothing();
        let told = told(view, namespace, &content);
        if told.status != namespace.status {
            plan = plan.update(Key::of::<Namespace>("", name), "status", &told);
        } else if content.is_empty() {
            return finalize(namespace, name);
        }
        for object in content.next_to_delete() {
            let options =
                DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::of_uid(object.uid()) };
            plan = plan.delete(object.key().clone(), options);
        }
        plan
    }
}

fn finalize(namespace: &Namespace, name: &str) -> Plan {
    let mut new = namespace.clone();
    if let Some(finalizers) = new.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    Plan::nothing().update(Key::of::<Namespace>("", name), "finalize", &new)
}

/// What is left in a namespace, by collection.
struct Content {
    collections: BTreeMap<GroupResource, Vec<Arc<Object>>>,
}

impl Content {
    fn of(view: &View<'_>, namespace: &str) -> Self {
        let with_objects = view.cache.resources().into_iter().filter_map(|resource| {
            let objects = view.cache.list(&resource, namespace);
            (!objects.is_empty()).then_some((resource, objects))
        });
        Self { collections: with_objects.collect() }
    }

    fn is_empty(&self) -> bool {
        self.collections.is_empty()
    }

    /// Pods alone while there are any, since what they use should outlive them. Source: KEP-5080.
    fn next_to_delete(&self) -> impl Iterator<Item = &Arc<Object>> {
        let pods = self.collections.get(&GroupResource::of::<Pod>());
        let all = self.collections.values().flatten();
        let rest = all.filter(move |_| pods.is_none());
        let candidates = pods.into_iter().flatten().chain(rest);
        candidates.filter(|object| !object.meta().is_deleting()).take(BATCH_MAX)
    }

    /// `pods. has 2 resource instances`, in upstream's words.
    fn counts(&self) -> String {
        let rows = self.collections.iter().map(|(resource, objects)| {
            format!("{}.{} has {} resource instances", resource.resource(), resource.group(), objects.len())
        });
        rows.collect::<Vec<_>>().join(", ")
    }

    /// `a.b/c in 1 resource instances`.
    fn finalizers(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for finalizer in self.collections.values().flatten().flat_map(|object| &object.meta().finalizers) {
            *counts.entry(finalizer).or_default() += 1;
        }
        let rows = counts.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
        rows.collect::<Vec<_>>().join(", ")
    }
}

/// The namespace with conditions that say how far its deletion is.
fn told(view: &View<'_>, namespace: &Namespace, content: &Content) -> Namespace {
    let failure = view.cache.last_failure().filter(|failure| failure.verb == Verb::Delete);
    let (counts, finalizers) = (content.counts(), content.finalizers());
    let rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            ("DiscoveryFailed", "ResourcesDiscovered"),
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("GroupVersionParsingFailed", "ParsedGroupVersions"),
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            failure.map(|failure| format!("Failed to delete all resource types, 1 remaining: {}", failure.message)),
            ("ContentDeletionFailed", "ContentDeleted"),
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            (!counts.is_empty()).then(|| format!("Some resources are remaining: {counts}")),
            ("SomeResourcesRemain", "ContentRemoved"),
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty())
                .then(|| format!("Some content in the namespace has finalizers remaining: {finalizers}")),
            ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
            "All content-preserving finalizers finished",
        ),
    ];
    let mut new = namespace.clone();
    let status = new.status.get_or_insert_default();
    status.phase = Some("Terminating".into());
    let conditions = status.conditions.get_or_insert_default();
    for (type_, problem, (bad, good), fine) in rows {
        let (is, reason) = if problem.is_some() { ("True", bad) } else { ("False", good) };
        let mut condition = NamespaceCondition {
            type_: type_.into(),
            status: is.into(),
            reason: Some(reason.into()),
            message: Some(problem.unwrap_or_else(|| fine.into())),
            last_transition_time: Some(Time(whole_seconds(view.now))),
        };
        match conditions.iter_mut().find(|known| known.type_ == type_) {
            None => conditions.push(condition),
            Some(known) => {
                if known.status == condition.status {
                    condition.last_transition_time = known.last_transition_time.clone();
                }
                *known = condition;
            }
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::ConfigMap;
    use sdk_plugin::{Failure, PlannedWrite};
    use sdk_testkit::{Build, FixedCache};
    use serde_json::Value;

    use super::*;

    const TIME: &str = "2026-01-01T00:00:00Z";

    fn going() -> Build {
        Build::namespace("a").deleting(TIME).phase("Terminating")
    }

    fn plan(namespace: Build, content: Vec<Build>, failure: Option<Failure>) -> (String, Value) {
        let mut cache = FixedCache::new(content.into_iter().map(Build::tree));
        cache.failure = failure;
        let plan = NamespaceController.plan(&cache.view(TIME.parse().unwrap()), &namespace.typed());
        let mut conditions = Value::Null;
        let words: Vec<String> = plan
            .writes
            .iter()
            .map(|write| match write {
                PlannedWrite::Delete { key, options, .. } => {
                    assert!(options.uid.is_some());
                    format!("delete {}", key.name)
                }
                PlannedWrite::Update { subresource: "status", body, .. } => {
                    conditions = body["status"]["conditions"].clone();
                    "status".into()
                }
                PlannedWrite::Update { subresource, body, .. } => {
                    assert_eq!(body["spec"]["finalizers"], serde_json::json!([]));
                    (*subresource).into()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        (words.join(", "), conditions)
    }

    #[test]
    fn pods_go_first_then_the_rest_then_the_namespace() {
        let pod = |name: &str| Build::pod("a", name);
        let map = |name: &str| Build::of::<ConfigMap>("a", name);
        for (case, namespace, content, wanted) in [
            ("not being deleted", Build::namespace("a"), vec![pod("p")], ""),
            ("already let go", going().set("spec.finalizers", serde_json::json!([])), vec![pod("p")], ""),
            ("empty", going(), vec![], "finalize"),
            ("elsewhere", going(), vec![Build::pod("b", "p")], "finalize"),
            ("pods and others", going(), vec![map("m"), pod("p"), pod("q")], "status, delete p, delete q"),
            ("pods that are going", going(), vec![map("m"), pod("p").deleting(TIME)], "status"),
            ("no pods", going(), vec![map("m"), map("n")], "status, delete m, delete n"),
            ("held by a finalizer", going(), vec![map("m").deleting(TIME).finalizer("a/b")], "status"),
        ] {
            assert_eq!(plan(namespace, content, None).0, wanted, "{case}");
        }
    }

    #[test]
    fn what_is_left_is_told_in_upstreams_words() {
        let held = Build::of::<ConfigMap>("a", "m").deleting(TIME).finalizer("a/b");
        let refused = Failure { verb: Verb::Delete, resource: GroupResource::of::<Pod>(), message: "no".into() };
        let (_, conditions) = plan(going(), vec![held, Build::pod("a", "p")], Some(refused));
        let text = |type_: &str| {
            let found = conditions.as_array().unwrap().iter().find(|c| c["type"] == type_).unwrap();
            ["status", "reason", "message"].map(|field| found[field].as_str().unwrap()).join("|")
        };
        for (type_, wanted) in [
            (
                "NamespaceContentRemaining",
                "True|SomeResourcesRemain|Some resources are remaining: configmaps. has 1 resource instances, \
                 pods. has 1 resource instances",
            ),
            (
                "NamespaceFinalizersRemaining",
                "True|SomeFinalizersRemain|Some content in the namespace has finalizers remaining: a/b in 1 resource \
                 instances",
            ),
            (
                "NamespaceDeletionContentFailure",
                "True|ContentDeletionFailed|Failed to delete all resource types, 1 remaining: no",
            ),
            ("NamespaceDeletionDiscoveryFailure", "False|ResourcesDiscovered|All resources successfully discovered"),
        ] {
            assert_eq!(text(type_), wanted);
        }
        // Once everything is gone that is told too, and then the namespace goes.
        let told = going().set("status.conditions", conditions);
        let (did, conditions) = plan(told, vec![], None);
        assert_eq!(did, "status");
        assert_eq!(plan(going().set("status.conditions", conditions), vec![], None).0, "finalize");
    }
}
