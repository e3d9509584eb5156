//! The kinds of `discovery.k8s.io`, one file each.

pub mod endpoint_slice;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(endpoint_slice::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["discovery.k8s.io/v1 endpointslices namespaced"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["discovery.k8s.io"]), Vec::<String>::new());
    }
}
