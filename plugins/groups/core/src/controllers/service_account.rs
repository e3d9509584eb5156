//! `serviceaccount`: each active namespace has a `default` ServiceAccount.

use sdk_api::Key;
use sdk_api::k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_plugin::{Controller, Plan, View, Watch};

const NAME: &str = "default";

pub struct ServiceAccountController;

impl Controller for ServiceAccountController {
    type Object = Namespace;
    const NAME: &'static str = "serviceaccount";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<ServiceAccount>(|_, account| {
            if account.name() == NAME { vec![Key::of::<Namespace>("", account.namespace())] } else { Vec::new() }
        })]
    }

    fn plan(&self, view: &View<'_>, namespace: &Namespace) -> Plan {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let is_there = view.cache.get(&Key::of::<ServiceAccount>(name, NAME)).is_some();
        if is_there || namespace.metadata.deletion_timestamp.is_some() {
            return Plan::nothing();
        }
        let metadata = ObjectMeta { name: Some(NAME.into()), namespace: Some(name.into()), ..ObjectMeta::default() };
        Plan::nothing().create(name, &ServiceAccount { metadata, ..ServiceAccount::default() })
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::{Build, FixedCache};

    use super::*;

    #[test]
    fn active_namespaces_get_their_account() {
        let account = |name: &str| Build::of::<ServiceAccount>("a", name);
        for (case, namespace, accounts, writes) in [
            ("none yet", Build::namespace("a"), vec![], 1),
            ("another one", Build::namespace("a"), vec![account("other")], 1),
            ("there", Build::namespace("a"), vec![account("default")], 0),
            ("going", Build::namespace("a").deleting("2026-01-01T00:00:00Z"), vec![], 0),
        ] {
            let cache = FixedCache::new(accounts.into_iter().map(Build::tree));
            let plan = ServiceAccountController.plan(&cache.view(sdk_api::Timestamp::UNIX_EPOCH), &namespace.typed());
            assert_eq!(plan.writes.len(), writes, "{case}");
        }
    }
}
