//! The kinds of `coordination.k8s.io`, one file each.

pub mod lease;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(lease::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["coordination.k8s.io/v1 leases namespaced"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["coordination.k8s.io"]), Vec::<String>::new());
    }
}
