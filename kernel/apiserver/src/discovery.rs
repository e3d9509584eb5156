//! Discovery: which groups, versions and resources there are; aggregated (v2) and one by one.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel_registry::KindTable;
use sdk_api::{GroupVersionKind, Scope};
use sdk_plugin::{Connect, Kind, Served};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

/// Groups in the order in which clients resolve names that several have. Source: `groupPriorityMinimum` of the API
/// services. Groups not named here follow in the order of their names.
const ORDER: [&str; 21] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// What a subresource can do, and the kind that travels.
pub(crate) fn subresource_of(kind: &Kind, name: &str, served: &Served) -> (Vec<&'static str>, GroupVersionKind) {
    let own = kind.gvk.clone();
    match served {
        // The namespace's finalizers can only be replaced.
        Served::Part(_) if name == "finalize" => (vec!["update"], own),
        Served::Part(part) => (vec!["get", "patch", "update"], part.kind().unwrap_or(own)),
        Served::Scale(_) => (vec!["get", "patch", "update"], GroupVersionKind::new("autoscaling", "v1", "Scale")),
        Served::Action(action) => (vec!["create"], action.kind()),
        Served::Connect(connect) => {
            let options = |name: &str| GroupVersionKind::new("", "v1", name);
            match connect {
                Connect::Log => (vec!["get"], own),
                Connect::Exec => (vec!["create", "get"], options("PodExecOptions")),
                Connect::Attach => (vec!["create", "get"], options("PodAttachOptions")),
                Connect::PortForward => (vec!["create", "get"], options("PodPortForwardOptions")),
                Connect::Proxy => {
                    (vec!["create", "delete", "get", "patch", "update"], options(&format!("{}ProxyOptions", own.kind)))
                }
            }
        }
    }
}

/// All discovery documents of one kind table.
pub struct Discovery {
    aggregated_core: Value,
    aggregated: Value,
    /// Of the two above; they change with what they say.
    digests: [String; 2],
    groups: Value,
    group: BTreeMap<String, Value>,
    resources: BTreeMap<(String, String), Value>,
}

type ByVersion<'a> = BTreeMap<String, Vec<&'a Kind>>;

impl Discovery {
    pub fn of(table: &KindTable) -> Self {
        let mut groups: BTreeMap<String, ByVersion<'_>> = BTreeMap::new();
        for row in table.rows() {
            let versions = groups.entry(row.gvk.group.clone()).or_default();
            versions.entry(row.gvk.version.clone()).or_default().push(row);
        }
        let rank = |group: &str| ORDER.iter().position(|known| *known == group).unwrap_or(ORDER.len());
        let mut order: Vec<&String> = groups.keys().collect();
        order.sort_by_key(|group| (rank(group), (*group).clone()));

        let mut aggregated = Vec::new();
        let mut listed = Vec::new();
        let (mut group_documents, mut resources) = (BTreeMap::new(), BTreeMap::new());
        for group in order {
            let versions = &groups[group];
            let mut names: Vec<&String> = versions.keys().collect();
            names.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
            aggregated.push((group.clone(), aggregated_group(group, &names, versions)));
            for (version, rows) in versions {
                resources.insert((group.clone(), version.clone()), resource_list(group, version, rows));
            }
            if !group.is_empty() {
                let document = group_document(group, &names);
                listed.push(document.clone());
                group_documents.insert(group.clone(), with_type("APIGroup", "v1", document));
            }
        }
        let items = |core: bool| -> Vec<Value> {
            aggregated.iter().filter(|(group, _)| group.is_empty() == core).map(|(_, value)| value.clone()).collect()
        };
        let [aggregated_core, aggregated] = [true, false].map(|core| json!({"metadata": {}, "items": items(core)}));
        Self {
            digests: [digest(&aggregated_core), digest(&aggregated)],
            aggregated_core,
            aggregated,
            groups: json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}),
            group: group_documents,
            resources,
        }
    }

    /// `/api`; `server` is the address that clients are told to use.
    pub fn core(&self, server: &str) -> Value {
        json!({"kind": "APIVersions", "versions": ["v1"],
               "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}]})
    }

    /// `/apis`
    pub fn groups(&self) -> Value {
        self.groups.clone()
    }

    /// `/api` and `/apis` with all resources; `version` of `apidiscovery.k8s.io`.
    pub fn aggregated(&self, core: bool, version: &str) -> Value {
        let list = if core { &self.aggregated_core } else { &self.aggregated };
        with_type("APIGroupDiscoveryList", &format!("apidiscovery.k8s.io/{version}"), list.clone())
    }

    /// The entity tag of an aggregated document. Source: KEP-3352.
    pub fn etag(&self, core: bool) -> String {
        format!("\"{}\"", self.digests[usize::from(!core)])
    }

    /// `/apis/GROUP`
    pub fn group(&self, group: &str) -> Option<Value> {
        self.group.get(group).cloned()
    }

    /// `/api/v1` and `/apis/GROUP/VERSION`
    pub fn resources(&self, group: &str, version: &str) -> Option<Value> {
        self.resources.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    pub fn group_versions(&self) -> impl Iterator<Item = &(String, String)> {
        self.resources.keys()
    }
}

/// SHA-512 in upper-case hexadecimal digits, as upstream's tags are.
fn digest(document: &Value) -> String {
    let hash = Sha512::digest(document.to_string());
    hash.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn with_type(kind: &str, api_version: &str, mut document: Value) -> Value {
    document["kind"] = kind.into();
    document["apiVersion"] = api_version.into();
    document
}

/// GA before beta before alpha, then the larger number. Source: `version.CompareKubeAwareVersionStrings`.
fn version_rank(version: &str) -> (u8, u32, u32) {
    let numbers = version.trim_start_matches('v');
    let read = |text: &str| text.parse().unwrap_or(0);
    for (word, stage) in [("beta", 1), ("alpha", 0)] {
        if let Some((major, minor)) = numbers.split_once(word) {
            return (stage, read(major), read(minor));
        }
    }
    (2, read(numbers), 0)
}

fn group_document(group: &str, versions: &[&String]) -> Value {
    let version = |version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({
        "name": group,
        "versions": versions.iter().map(|v| version(v)).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(|v| version(v)),
    })
}

/// A kind of the group and version at hand goes without their names. Source: `ConvertGroupVersionIntoToDiscovery`.
fn kind_json(gvk: &GroupVersionKind, group: &str, version: &str) -> Value {
    if (gvk.group.as_str(), gvk.version.as_str()) == (group, version) {
        return json!({"group": "", "version": "", "kind": gvk.kind});
    }
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

/// Tells clients when the version changes that objects are stored in: the first eight bytes of a digest of its name.
/// Source: `discovery.StorageVersionHash`.
fn storage_version_hash(stored: &GroupVersionKind) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", stored.group, stored.version, stored.kind));
    STANDARD.encode(&digest[..8])
}

fn aggregated_group(group: &str, names: &[&String], versions: &ByVersion<'_>) -> Value {
    let resource = |kind: &&Kind| {
        let mut resource = json!({
            "resource": kind.plural, "singularResource": kind.singular, "responseKind": kind_json(&kind.gvk, group, &kind.gvk.version),
            "scope": if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" }, "verbs": kind.verbs,
        });
        for (field, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
            if !names.is_empty() {
                resource[field] = json!(names);
            }
        }
        let mut subresources: Vec<_> = kind.subresources.iter().collect();
        subresources.sort_by_key(|(name, _)| *name);
        let subresources: Vec<Value> = subresources
            .into_iter()
            .map(|(name, served)| {
                let (verbs, gvk) = subresource_of(kind, name, served);
                json!({"subresource": name, "responseKind": kind_json(&gvk, group, &kind.gvk.version), "verbs": verbs})
            })
            .collect();
        if !subresources.is_empty() {
            resource["subresources"] = subresources.into();
        }
        resource
    };
    let version = |version: &&String| {
        let mut rows = versions[*version].clone();
        rows.sort_by_key(|kind| kind.plural.clone());
        json!({"version": version, "freshness": "Current", "resources": rows.iter().map(resource).collect::<Vec<_>>()})
    };
    let metadata = if group.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": names.iter().map(version).collect::<Vec<_>>()})
}

fn resource_list(group: &str, version: &str, rows: &[&Kind]) -> Value {
    let mut resources = Vec::new();
    for kind in rows {
        let namespaced = kind.scope == Scope::Namespaced;
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": namespaced, "kind": kind.gvk.kind,
            "verbs": kind.verbs,
        });
        for (field, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
            if !names.is_empty() {
                resource[field] = json!(names);
            }
        }
        if kind.answer.is_none() {
            let stored = kind.stored_as.as_ref().map_or(&kind.gvk, |stored| &stored.kind);
            resource["storageVersionHash"] = storage_version_hash(stored).into();
        }
        resources.push(resource);
        for (name, served) in &kind.subresources {
            let (verbs, gvk) = subresource_of(kind, name, served);
            let mut resource = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": namespaced,
                "kind": gvk.kind, "verbs": verbs,
            });
            if (gvk.group.as_str(), gvk.version.as_str()) != (group, version) {
                resource["group"] = gvk.group.into();
                resource["version"] = gvk.version.into();
            }
            resources.push(resource);
        }
    }
    resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_versions_have_upstreams_hashes() {
        for (group, version, kind, hash) in
            [("", "v1", "Pod", "xPOwRZ+Yhw8="), ("apps", "v1", "Deployment", "8aSe+NMegvE=")]
        {
            assert_eq!(storage_version_hash(&GroupVersionKind::new(group, version, kind)), hash, "{kind}");
        }
    }

    #[test]
    fn stable_and_larger_versions_come_first() {
        let mut versions = ["v1", "v2", "v1beta1", "v2alpha1", "v1beta2"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v2alpha1"]);
    }
}
