//! `endpointslice`: the EndpointSlices of each Service with a selector: where its pods are, a hundred to a slice.

mod endpoint;
mod pack;

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{Node, Pod, Service};
use sdk_api::k8s_openapi::api::discovery::v1::EndpointSlice;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{GroupResource, Key, Object};
use sdk_client::DeleteOptions;
use sdk_plugin::{Controller, EventNote, EventType, Plan, PlannedWrite, View, Watch, WriteNote};
use serde_json::json;

use endpoint::Group;
use pack::Packing;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

pub struct EndpointSliceController;

impl Controller for EndpointSliceController {
    type Object = Service;
    const NAME: &'static str = "endpointslice";

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::of::<Pod>(services_of),
            Watch::of::<EndpointSlice>(|_, slice| {
                let labels = &slice.meta().labels;
                let service = labels.get(SERVICE_NAME).filter(|_| is_managed(labels));
                service.map(|name| Key::of::<Service>(slice.namespace(), name)).into_iter().collect()
            }),
            Watch::reads::<Node>(),
        ]
    }

    fn plan(&self, view: &View<'_>, service: &Service) -> Plan {
        let Some(spec) = &service.spec else { return Plan::nothing() };
        if spec.selector.as_ref().is_none_or(BTreeMap::is_empty) {
            return Plan::nothing();
        }
        let is_external = spec.type_.as_deref() == Some("ExternalName");
        if is_external || service.metadata.deletion_timestamp.is_some() {
            return Plan::nothing();
        }
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let mut pods = view.list::<Pod>(namespace);
        pods.retain(|pod| pod.metadata.labels.as_ref().is_some_and(|labels| sdk_workload::chooses(service, labels)));

        let (mut owned, strangers) = slices_of(view, service);
        let mut plan = strangers.iter().fold(Plan::nothing(), |plan, slice| delete(plan, slice));
        for address_type in address_types(service) {
            let (here, rest) = owned.into_iter().partition(|slice| slice.address_type == address_type);
            owned = rest;
            plan = self.plan_type(view, service, &pods, &address_type, here, plan);
        }
        // What is left is of a family that the Service no longer has.
        owned.iter().fold(plan, |plan, slice| delete(plan, slice))
    }
}

impl EndpointSliceController {
    fn plan_type(
        &self,
        view: &View<'_>,
        service: &Service,
        pods: &[Arc<Pod>],
        address_type: &str,
        slices: Vec<Arc<EndpointSlice>>,
        mut plan: Plan,
    ) -> Plan {
        let mut groups = endpoint::groups(view, service, pods, address_type);
        let mut by_ports: BTreeMap<String, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in slices {
            by_ports.entry(endpoint::ports_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
        }
        if groups.is_empty() {
            // One empty slice says that there is nothing, which no slice at all would not.
            let ports = by_ports.values().next().and_then(|slices| slices[0].ports.clone()).unwrap_or_default();
            groups.insert(endpoint::ports_key(&ports), Group { ports, endpoints: Vec::new() });
        }
        for (key, group) in groups {
            let slices = by_ports.remove(&key).unwrap_or_default();
            plan = self.plan_group(service, pods, address_type, group, slices, plan);
        }
        by_ports.into_values().flatten().fold(plan, |plan, slice| delete(plan, &slice))
    }

    fn plan_group(
        &self,
        service: &Service,
        pods: &[Arc<Pod>],
        address_type: &str,
        group: Group,
        slices: Vec<Arc<EndpointSlice>>,
        mut plan: Plan,
    ) -> Plan {
        let metadata = Wanted::of(service, pods);
        let packing = Packing::of(group.endpoints, &slices, |slice| metadata.is_kept_by(&slice.metadata));
        for (slice, endpoints) in packing.update {
            let mut new = (*slice).clone();
            new.endpoints = Some(endpoints);
            metadata.put(&mut new.metadata);
            let name = new.metadata.name.clone().unwrap_or_default();
            plan = plan.write(PlannedWrite::Update {
                key: Key::of::<EndpointSlice>(metadata.namespace, &name),
                subresource: "",
                body: serde_json::to_value(new).expect("API types encode as JSON"),
                note: failure_note(service),
            });
        }
        for endpoints in packing.create {
            let mut new = EndpointSlice {
                address_type: address_type.into(),
                endpoints: Some(endpoints),
                ports: Some(group.ports.clone()),
                metadata: ObjectMeta {
                    generate_name: Some(format!("{}-", metadata.name)),
                    namespace: Some(metadata.namespace.into()),
                    owner_references: Some(vec![sdk_workload::controller_ref(service)]),
                    ..ObjectMeta::default()
                },
            };
            metadata.put(&mut new.metadata);
            plan = plan.create_noted(metadata.namespace, &new, failure_note(service));
        }
        packing.delete.iter().fold(plan, |plan, slice| delete(plan, slice))
    }
}

/// The labels and annotations that the slices of a Service have.
struct Wanted<'a> {
    namespace: &'a str,
    name: &'a str,
    labels: BTreeMap<String, String>,
    trigger_time: Option<String>,
}

impl<'a> Wanted<'a> {
    fn of(service: &'a Service, pods: &[Arc<Pod>]) -> Self {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let mut labels = service.metadata.labels.clone().unwrap_or_default();
        labels.insert(SERVICE_NAME.into(), name.into());
        labels.insert(MANAGED_BY.into(), MANAGER.into());
        let cluster_ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
        if matches!(cluster_ip, "" | "None") {
            labels.insert(HEADLESS.into(), String::new());
        } else {
            labels.remove(HEADLESS);
        }
        let trigger_time =
            sdk_workload::last_change(service, pods.iter().map(|pod| &**pod)).map(|time| time.to_string());
        Self { namespace: service.metadata.namespace.as_deref().unwrap_or_default(), name, labels, trigger_time }
    }

    fn put(&self, metadata: &mut ObjectMeta) {
        metadata.labels = Some(self.labels.clone());
        let annotations = metadata.annotations.get_or_insert_default();
        match &self.trigger_time {
            Some(time) => annotations.insert(TRIGGER_TIME.into(), time.clone()),
            None => annotations.remove(TRIGGER_TIME),
        };
    }

    /// The trigger time alone is no reason to write.
    fn is_kept_by(&self, metadata: &ObjectMeta) -> bool {
        metadata.labels.as_ref() == Some(&self.labels)
    }
}

/// The slices that are the Service's, and those that only say so: of a Service of the same name that is gone.
fn slices_of(view: &View<'_>, service: &Service) -> (Vec<Arc<EndpointSlice>>, Vec<Arc<EndpointSlice>>) {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let mut slices = view.list::<EndpointSlice>(namespace);
    slices.retain(|slice| {
        let labels = slice.metadata.labels.as_ref();
        let is_of_service = labels.and_then(|labels| labels.get(SERVICE_NAME)) == service.metadata.name.as_ref();
        is_of_service && labels.is_some_and(is_managed) && slice.metadata.deletion_timestamp.is_none()
    });
    let uid = service.metadata.uid.as_deref().unwrap_or_default();
    slices.into_iter().partition(|slice| {
        slice.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Service" && owner.uid == uid)
    })
}

fn is_managed(labels: &BTreeMap<String, String>) -> bool {
    labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

fn address_types(service: &Service) -> Vec<String> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if families.is_empty() { vec!["IPv4".into()] } else { families }
}

fn delete(plan: Plan, slice: &EndpointSlice) -> Plan {
    let metadata = &slice.metadata;
    let key = Key::of::<EndpointSlice>(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    );
    plan.delete(key, DeleteOptions::of_uid(metadata.uid.as_deref().unwrap_or_default()))
}

fn failure_note(service: &Service) -> WriteNote {
    let (namespace, name) = (service.metadata.namespace.as_deref(), service.metadata.name.as_deref());
    let failure = EventNote {
        regarding: json!({"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": name,
            "uid": service.metadata.uid}),
        kind: EventType::Warning,
        reason: "FailedToUpdateEndpointSlices".into(),
        message: format!(
            "Error updating Endpoint Slices for Service {}/{}: {{error}}",
            namespace.unwrap_or_default(),
            name.unwrap_or_default()
        ),
    };
    WriteNote { success: None, failure: Some(failure) }
}

/// The Services that choose a pod.
fn services_of(view: &View<'_>, pod: &Object) -> Vec<Key> {
    let labels = &pod.meta().labels;
    if labels.is_empty() {
        return Vec::new();
    }
    let services = view.cache.list(&GroupResource::of::<Service>(), pod.namespace());
    let choosing = services
        .into_iter()
        .filter(|service| service.typed::<Service>().is_ok_and(|service| sdk_workload::chooses(&service, labels)));
    choosing.map(|service| service.key().clone()).collect()
}

#[cfg(test)]
mod tests;
