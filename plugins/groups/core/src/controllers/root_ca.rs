//! `root-ca-cert-publisher`: each namespace has the API server's CA in a ConfigMap, for pods to trust.

use std::collections::BTreeMap;

use sdk_api::Key;
use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_plugin::{Controller, Plan, View, Watch};

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
     distributions of Kubernetes clusters.";

pub struct RootCaCertPublisher {
    /// PEM.
    pub root_ca: String,
}

impl Controller for RootCaCertPublisher {
    type Object = Namespace;
    const NAME: &'static str = "root-ca-cert-publisher";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<ConfigMap>(|_, map| {
            if map.name() == NAME { vec![Key::of::<Namespace>("", map.namespace())] } else { Vec::new() }
        })]
    }

    fn plan(&self, view: &View<'_>, namespace: &Namespace) -> Plan {
        if namespace.metadata.deletion_timestamp.is_some() {
            return Plan::nothing();
        }
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let data = BTreeMap::from([("ca.crt".to_owned(), self.root_ca.clone())]);
        let Some(map) = view.get::<ConfigMap>(name, NAME) else {
            let metadata = ObjectMeta {
                name: Some(NAME.into()),
                namespace: Some(name.into()),
                annotations: Some(BTreeMap::from([(DESCRIPTION.into(), DESCRIPTION_TEXT.into())])),
                ..ObjectMeta::default()
            };
            return Plan::nothing().create(name, &ConfigMap { metadata, data: Some(data), ..ConfigMap::default() });
        };
        let mut wanted = (*map).clone();
        wanted.metadata.annotations.get_or_insert_default().insert(DESCRIPTION.into(), DESCRIPTION_TEXT.into());
        wanted.data = Some(data);
        if wanted == *map {
            return Plan::nothing();
        }
        Plan::nothing().update(Key::of::<ConfigMap>(name, NAME), "", &wanted)
    }
}

#[cfg(test)]
mod tests {
    use sdk_plugin::PlannedWrite;
    use sdk_testkit::{Build, FixedCache};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bundle_is_published_and_kept() {
        let map = |text: &str| {
            Build::of::<ConfigMap>("a", NAME)
                .annotation(DESCRIPTION, DESCRIPTION_TEXT)
                .set("data", json!({"ca.crt": text}))
        };
        let deleting = Build::namespace("a").deleting("2026-01-01T00:00:00Z");
        for (case, namespace, map, wanted) in [
            ("none yet", Build::namespace("a"), None, "create"),
            ("as it should be", Build::namespace("a"), Some(map("PEM")), ""),
            ("changed", Build::namespace("a"), Some(map("other")), "update"),
            ("more in it", Build::namespace("a"), Some(map("PEM").set("data.x", json!("y"))), "update"),
            ("going", deleting, None, ""),
        ] {
            let cache = FixedCache::new(map.map(Build::tree));
            let publisher = RootCaCertPublisher { root_ca: "PEM".into() };
            let plan = publisher.plan(&cache.view(sdk_api::Timestamp::UNIX_EPOCH), &namespace.typed());
            let did = match plan.writes.as_slice() {
                [] => "",
                [PlannedWrite::Create { body, .. }] if body["data"] == json!({"ca.crt": "PEM"}) => "create",
                [PlannedWrite::Update { body, .. }] if body["data"] == json!({"ca.crt": "PEM"}) => "update",
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(did, wanted, "{case}");
        }
    }
}
