//! The kinds of `node.k8s.io`, one file each.

pub mod runtime_class;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(runtime_class::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["node.k8s.io/v1 runtimeclasses cluster"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["node.k8s.io"]), Vec::<String>::new());
    }
}
