//! The kinds of `resource.k8s.io`, one file each.

mod capacity;
mod configuration;
mod device;
pub mod device_class;
mod names;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_slice;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(device_class::kind());
    tables.kind(resource_claim::kind());
    tables.kind(resource_claim_template::kind());
    tables.kind(resource_slice::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "resource.k8s.io/v1 deviceclasses cluster",
            "resource.k8s.io/v1 resourceclaims namespaced /status",
            "resource.k8s.io/v1 resourceclaimtemplates namespaced",
            "resource.k8s.io/v1 resourceslices cluster",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["resource.k8s.io"]), Vec::<String>::new());
    }
}
