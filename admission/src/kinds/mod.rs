//! The kinds of `admissionregistration.k8s.io`, one file each. They are stored; the chain does not evaluate them yet.

pub mod binding;
pub mod policy;
mod shared;
pub mod webhooks;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(webhooks::mutating());
    tables.kind(webhooks::validating());
    tables.kind(policy::validating());
    tables.kind(policy::mutating());
    tables.kind(binding::validating());
    tables.kind(binding::mutating());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::rows(&crate::plugin()).kinds;
        let expected = [
            "admissionregistration.k8s.io/v1 mutatingwebhookconfigurations cluster in api-extensions",
            "admissionregistration.k8s.io/v1 validatingwebhookconfigurations cluster in api-extensions",
            "admissionregistration.k8s.io/v1 validatingadmissionpolicies cluster in api-extensions /status",
            "admissionregistration.k8s.io/v1 mutatingadmissionpolicies cluster in api-extensions",
            "admissionregistration.k8s.io/v1 validatingadmissionpolicybindings cluster in api-extensions",
            "admissionregistration.k8s.io/v1 mutatingadmissionpolicybindings cluster in api-extensions",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["admissionregistration.k8s.io"]), Vec::<String>::new());
    }
}
