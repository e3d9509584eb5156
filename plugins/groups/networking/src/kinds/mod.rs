//! The kinds of `networking.k8s.io`, one file each.

mod cidr;
pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod network_policy;
pub mod service_cidr;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(ingress::kind());
    tables.kind(ingress_class::kind());
    tables.kind(network_policy::kind());
    tables.kind(service_cidr::kind());
    tables.kind(ip_address::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "networking.k8s.io/v1 ingresses namespaced ing /status",
            "networking.k8s.io/v1 ingressclasses cluster",
            "networking.k8s.io/v1 networkpolicies namespaced netpol",
            "networking.k8s.io/v1 servicecidrs cluster /status",
            "networking.k8s.io/v1 ipaddresses cluster ip",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["networking.k8s.io"]), Vec::<String>::new());
    }
}
