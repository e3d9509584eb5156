//! Owner references: who controls an object.

use sdk_api::Typed;
use sdk_api::k8s_openapi::Metadata;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// The reference that makes `owner` the controller of another object.
pub fn controller_ref<T: Typed + Metadata<Ty = ObjectMeta>>(owner: &T) -> OwnerReference {
    OwnerReference {
        api_version: T::API_VERSION.into(),
        kind: T::KIND.into(),
        name: owner.metadata().name.clone().unwrap_or_default(),
        uid: owner.metadata().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether the object's controller is the one with this uid. Names do not count: a successor may have the same.
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::apps::v1::ReplicaSet;

    use super::*;

    #[test]
    fn the_controller_is_known_by_its_uid() {
        let mut owner = ReplicaSet::default();
        owner.metadata.name = Some("web".into());
        owner.metadata.uid = Some("u1".into());
        let reference = controller_ref(&owner);
        assert_eq!((reference.api_version.as_str(), reference.kind.as_str()), ("apps/v1", "ReplicaSet"));
        let mut child = ObjectMeta { owner_references: Some(vec![reference]), ..ObjectMeta::default() };
        assert!(is_controlled_by(&child, "u1"));
        assert!(!is_controlled_by(&child, "u2"));
        child.owner_references.as_mut().unwrap()[0].controller = None;
        assert!(!is_controlled_by(&child, "u1"));
    }
}
