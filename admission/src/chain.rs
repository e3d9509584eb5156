//! The order of the chain. One list, since a plugin sees what those before it did.

use std::sync::Arc;

use sdk_plugin::Admission;

/// Names of admission plugins, first to last. One that is not named here comes after all of these, since it cannot know
/// what they change. Source: the recommended order of upstream's API server.
pub const CHAIN: &[&str] = &[
    "NamespaceLifecycle",
    "ServiceAccount",
    "TaintNodesByCondition",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "CertificateRequester",
];

/// Puts plugins in order, wherever they were registered.
pub fn ordered(mut plugins: Vec<Arc<dyn Admission>>) -> Vec<Arc<dyn Admission>> {
    let place = |name: &str| CHAIN.iter().position(|known| *known == name).unwrap_or(CHAIN.len());
    plugins.sort_by_key(|plugin| place(plugin.name()));
    plugins
}

#[cfg(test)]
mod tests {
    use sdk_plugin::{AdmissionRequest, Plugin, Tables};

    use super::*;

    struct Late(&'static str);
    impl Admission for Late {
        fn name(&self) -> &'static str {
            self.0
        }
        fn handles(&self, _request: &AdmissionRequest) -> bool {
            false
        }
    }

    #[test]
    fn the_list_names_every_built_in_plugin_and_orders_them() {
        let mut tables = Tables::default();
        tables.admission(Arc::new(Late("b.example.com")));
        tables.admission(Arc::new(Late("a.example.com")));
        crate::plugin().register(&mut tables);
        tables.admissions.reverse();
        let names: Vec<_> = ordered(tables.admissions).iter().map(|plugin| plugin.name()).collect();
        let expected: Vec<_> = CHAIN.iter().copied().chain(["a.example.com", "b.example.com"]).collect();
        assert_eq!(names, expected);
    }
}
