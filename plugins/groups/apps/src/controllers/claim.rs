//! Adoption and release: an owner takes in matching objects that nobody controls, and lets go of those that no longer
//! match. Source: `controller_ref_manager`.

use std::sync::Arc;

use sdk_api::k8s_openapi::Metadata;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sdk_api::{Key, LabelSelector, Typed};
use sdk_client::Patch;
use sdk_plugin::{Plan, View};
use serde_json::json;

/// Who claims.
pub(super) struct Owner<'a> {
    pub key: Key,
    pub reference: OwnerReference,
    pub is_deleting: bool,
    pub selector: &'a LabelSelector,
}

impl Owner<'_> {
    /// The objects of a collection that are the owner's, those to be adopted included. Adds the adoptions and releases
    /// to the plan.
    ///
    /// Only objects are adopted that match, that nobody controls, and where neither side is being deleted; and only
    /// after a live read has shown that the owner still is who it was.
    pub fn claim<T: Typed + Metadata<Ty = ObjectMeta>>(&self, view: &View<'_>, plan: &mut Plan) -> Vec<Arc<T>> {
        let uid = &self.reference.uid;
        let mut claimed = Vec::new();
        for object in view.owned_by::<T>(uid) {
            let metadata = object.metadata();
            if !sdk_workload::is_controlled_by(metadata, uid) {
                continue;
            }
            if self.matches(metadata) {
                claimed.push(object);
            } else if !self.is_deleting {
                let body = json!({"metadata": {"uid": metadata.uid,
                    "ownerReferences": [{"$patch": "delete", "uid": uid}]}});
                let released = std::mem::take(plan);
                *plan = released.patch(key_of(&*object), "", Patch::strategic(body));
            }
        }
        if self.is_deleting {
            return claimed;
        }
        let mut is_confirmed = false;
        for object in view.orphans::<T>(&self.key.namespace) {
            let metadata = object.metadata();
            if metadata.deletion_timestamp.is_some() || !self.matches(metadata) {
                continue;
            }
            let mut adopting = std::mem::take(plan);
            if !is_confirmed {
                adopting = adopting.confirm_alive(self.key.clone(), uid);
                is_confirmed = true;
            }
            let body = json!({"metadata": {"uid": metadata.uid, "ownerReferences": [self.reference]}});
            *plan = adopting.patch(key_of(&*object), "", Patch::strategic(body));
            claimed.push(object);
        }
        claimed
    }

    fn matches(&self, metadata: &ObjectMeta) -> bool {
        self.selector.matches(&metadata.labels.clone().unwrap_or_default())
    }
}

/// The key of a typed object.
pub(super) fn key_of<T: Typed + Metadata<Ty = ObjectMeta>>(object: &T) -> Key {
    let metadata = object.metadata();
    Key::of::<T>(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// The owners in an orphan's namespace whose selector matches it: they may want to adopt it.
pub(super) fn suitors<T: Typed + Metadata<Ty = ObjectMeta>>(
    view: &View<'_>,
    orphan: &sdk_api::Object,
    selector_of: impl Fn(&T) -> Option<LabelSelector>,
) -> Vec<Key> {
    let labels = &orphan.meta().labels;
    if labels.is_empty() || orphan.meta().is_deleting() {
        return Vec::new();
    }
    let owners = view.list::<T>(orphan.namespace());
    let matching = owners.iter().filter(|owner| selector_of(owner).is_some_and(|selector| selector.matches(labels)));
    matching.map(|owner| key_of(&**owner)).collect()
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::apps::v1::ReplicaSet;
    use sdk_api::k8s_openapi::api::core::v1::Pod;
    use sdk_plugin::PlannedWrite;
    use sdk_testkit::{Build, FixedCache};

    use super::*;

    #[test]
    fn owners_take_and_let_go() {
        let set = Build::replica_set("n", "web", 1);
        let other = Build::replica_set("n", "other", 1);
        let pod = |name: &str| Build::pod("n", name).label("app", "web");
        let time = "2026-01-01T00:00:00Z";
        let rows: [(&str, Build, bool, &str); 8] = [
            ("owned and matching", pod("p").controlled_by(&set), false, "claim"),
            ("owned, no longer matching", pod("p").label("app", "x").controlled_by(&set), false, "release"),
            ("owned, not matching, owner deleting", pod("p").label("app", "x").controlled_by(&set), true, ""),
            ("orphan that matches", pod("p"), false, "confirm adopt claim"),
            ("orphan that matches, owner deleting", pod("p"), true, ""),
            ("orphan that is being deleted", pod("p").deleting(time), false, ""),
            ("of another", pod("p").controlled_by(&other), false, ""),
            ("orphan elsewhere", Build::pod("m", "p").label("app", "web"), false, ""),
        ];
        for (case, pod, is_deleting, wanted) in rows {
            let cache = FixedCache::new([pod.tree()]);
            let selector = LabelSelector::parse("app=web").unwrap();
            let typed: ReplicaSet = set.clone().typed();
            let reference = sdk_workload::controller_ref(&typed);
            let owner = Owner { key: key_of(&typed), reference, is_deleting, selector: &selector };
            let mut plan = Plan::nothing();
            let claimed = owner.claim::<Pod>(&cache.view("2026-01-01T00:00:00Z".parse().unwrap()), &mut plan);
            let mut did: Vec<&str> = plan
                .writes
                .iter()
                .map(|write| match write {
                    PlannedWrite::Confirm { alive: true, .. } => "confirm",
                    PlannedWrite::Patch { patch, .. } if patch.body.to_string().contains("$patch") => "release",
                    PlannedWrite::Patch { patch, .. } => {
                        assert_eq!(patch.body["metadata"]["uid"], "uid-p", "{case}");
                        assert_eq!(patch.body["metadata"]["ownerReferences"][0]["uid"], "uid-web", "{case}");
                        "adopt"
                    }
                    other => panic!("{case}: {other:?}"),
                })
                .collect();
            did.extend(claimed.iter().map(|_| "claim"));
            assert_eq!(did.join(" "), wanted, "{case}");
        }
    }
}
