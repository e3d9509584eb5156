//! `endpoint`: the Endpoints of each Service with a selector: where its pods are.

mod subsets;

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{GroupResource, Key, Object};
use sdk_client::DeleteOptions;
use sdk_plugin::{Controller, EventNote, EventType, Plan, PlannedWrite, View, Watch, WriteNote};
use serde_json::json;

const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

pub struct EndpointController;

impl Controller for EndpointController {
    type Object = Service;
    const NAME: &'static str = "endpoint";

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::of::<Pod>(services_of),
            Watch::of::<Endpoints>(|view, endpoints| {
                let key = Key::of::<Service>(endpoints.namespace(), endpoints.name());
                // Endpoints without a Service are somebody else's.
                if view.cache.get(&key).is_some() { vec![key] } else { Vec::new() }
            }),
        ]
    }

    fn plan(&self, view: &View<'_>, service: &Service) -> Plan {
        let Some(spec) = &service.spec else { return Plan::nothing() };
        if spec.selector.as_ref().is_none_or(BTreeMap::is_empty) || spec.type_.as_deref() == Some("ExternalName") {
            return Plan::nothing();
        }
        let (namespace, name) = names(&service.metadata);
        if service.metadata.deletion_timestamp.is_some() {
            return Plan::nothing();
        }
        let mut pods = view.list::<Pod>(namespace);
        pods.retain(|pod| pod.metadata.labels.as_ref().is_some_and(|labels| sdk_workload::chooses(service, labels)));
        let (subsets, is_truncated) = subsets::of(service, &pods);

        let known = view.get::<Endpoints>(namespace, name);
        let mut wanted = known.as_deref().cloned().unwrap_or_default();
        wanted.metadata.name = Some(name.into());
        wanted.metadata.namespace = Some(namespace.into());
        wanted.metadata.labels = Some(wanted_labels(service));
        wanted.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
        let annotations = wanted.metadata.annotations.get_or_insert_default();
        if is_truncated {
            annotations.insert(OVER_CAPACITY.into(), "truncated".into());
        } else {
            annotations.remove(OVER_CAPACITY);
        }
        let is_level = known.as_deref().is_some_and(|known| is_same(known, &wanted));
        if is_level {
            return Plan::nothing();
        }
        let annotations = wanted.metadata.annotations.get_or_insert_default();
        match sdk_workload::last_change(service, pods.iter().map(|pod| &**pod)) {
            Some(time) => annotations.insert(TRIGGER_TIME.into(), time.to_string()),
            None => annotations.remove(TRIGGER_TIME),
        };
        write(service, wanted, known.is_some())
    }

    fn plan_gone(&self, view: &View<'_>, key: &Key) -> Plan {
        let left = Key::of::<Endpoints>(&key.namespace, &key.name);
        match view.cache.get(&left) {
            Some(endpoints) => Plan::nothing().delete(left, DeleteOptions::of_uid(endpoints.uid())),
            None => Plan::nothing(),
        }
    }
}

/// The Services that choose a pod.
fn services_of(view: &View<'_>, pod: &Object) -> Vec<Key> {
    let labels = &pod.meta().labels;
    if labels.is_empty() {
        return Vec::new();
    }
    let services = view.list::<Service>(pod.namespace());
    let choosing = services.iter().filter(|service| sdk_workload::chooses(service, labels));
    choosing.map(|service| Key::of::<Service>(pod.namespace(), names(&service.metadata).1)).collect()
}

fn names(metadata: &ObjectMeta) -> (&str, &str) {
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn wanted_labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    let is_headless = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None");
    if is_headless {
        labels.insert(HEADLESS.into(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

/// The trigger time alone is no reason to write.
fn is_same(known: &Endpoints, wanted: &Endpoints) -> bool {
    let notes = |endpoints: &Endpoints| endpoints.metadata.annotations.as_ref()?.get(OVER_CAPACITY).cloned();
    let filled = |endpoints: &Endpoints| endpoints.subsets.clone().filter(|subsets| !subsets.is_empty());
    known.metadata.labels == wanted.metadata.labels && filled(known) == filled(wanted) && notes(known) == notes(wanted)
}

fn write(service: &Service, wanted: Endpoints, exists: bool) -> Plan {
    let (namespace, name) = names(&service.metadata);
    let body = serde_json::to_value(wanted).expect("API types encode as JSON");
    let failed = |reason: &str, verb: &str| WriteNote {
        success: None,
        failure: Some(EventNote {
            regarding: json!({"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": name,
                "uid": service.metadata.uid}),
            kind: EventType::Warning,
            reason: reason.into(),
            message: format!("Failed to {verb} endpoint for service {namespace}/{name}: {{error}}"),
        }),
    };
    Plan::nothing().write(if exists {
        let key = Key::of::<Endpoints>(namespace, name);
        PlannedWrite::Update { key, subresource: "", body, note: failed("FailedToUpdateEndpoint", "update") }
    } else {
        let resource = GroupResource::of::<Endpoints>();
        PlannedWrite::Create {
            resource,
            namespace: namespace.into(),
            body,
            note: failed("FailedToCreateEndpoint", "create"),
        }
    })
}

#[cfg(test)]
mod tests;
