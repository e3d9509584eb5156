//! Reads a node document.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::{Object, Quantity};
use serde::Deserialize;

use crate::class::{Effect, Taint};
use crate::pod::{normalised_image, or_default};

/// A node, as far as scheduling is concerned with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub storage_bytes: i64,
    pub pods: i64,
    /// Whole units of everything else.
    pub other: BTreeMap<String, i64>,
    /// Bytes by normalised name.
    pub images: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Metadata {
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "or_default")]
    unschedulable: bool,
    #[serde(deserialize_with = "or_default")]
    taints: Vec<RawTaint>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTaint {
    #[serde(deserialize_with = "or_default")]
    key: String,
    #[serde(deserialize_with = "or_default")]
    value: String,
    #[serde(deserialize_with = "or_default")]
    effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "or_default")]
    allocatable: BTreeMap<String, ApiQuantity>,
    #[serde(deserialize_with = "or_default")]
    images: Vec<Image>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Image {
    #[serde(deserialize_with = "or_default")]
    names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    size_bytes: i64,
}

impl Node {
    /// Reads only the fields that scheduling needs.
    pub fn read(object: &Object) -> Result<Self, serde_json::Error> {
        let Document { metadata, spec, status } = serde_json::from_slice(object.raw())?;
        let mut node = Self { name: object.name().to_owned(), labels: metadata.labels, ..Self::default() };
        node.unschedulable = spec.unschedulable;
        let taint =
            |taint: RawTaint| Some(Taint { effect: Effect::parse(&taint.effect)?, key: taint.key, value: taint.value });
        node.taints = spec.taints.into_iter().filter_map(taint).collect();
        for (name, amount) in status.allocatable {
            let amount = Quantity::of(&amount);
            match name.as_str() {
                "cpu" => node.cpu_milli = amount.milli(),
                "memory" => node.memory_bytes = amount.units(),
                "ephemeral-storage" => node.storage_bytes = amount.units(),
                "pods" => node.pods = amount.units(),
                _ => drop(node.other.insert(name, amount.units())),
            }
        }
        for image in status.images {
            let names = image.names.iter().map(|name| (normalised_image(name), image.size_bytes));
            node.images.extend(names);
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_read() {
        let node = Build::node("n1")
            .set("spec.taints", json!([{"key": "k", "effect": "NoSchedule"}, {"key": "l", "effect": "Odd"}]))
            .set("spec.unschedulable", json!(true))
            .set("status.images", json!([{"names": ["nginx"], "sizeBytes": 5}]));
        let node = Node::read(&node.object()).unwrap();
        assert_eq!((node.cpu_milli, node.memory_bytes, node.pods), (4000, 16 << 30, 110));
        assert_eq!(node.taints.len(), 1, "an effect that nobody knows has none");
        assert!(node.unschedulable);
        assert_eq!(node.images["nginx:latest"], 5);
    }
}
