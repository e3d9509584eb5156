//! The kinds of `flowcontrol.apiserver.k8s.io`, one file each.

pub mod flow_schema;
pub mod priority_level_configuration;
mod rules;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(flow_schema::kind());
    tables.kind(priority_level_configuration::kind());
}

#[cfg(test)]
mod tests {
    use sdk_plugin::{Plugin, Tables};
    use sdk_testkit::discovery;

    /// The kinds alone.
    struct Kinds;
    impl Plugin for Kinds {
        fn name(&self) -> &'static str {
            "kinds"
        }
        fn register(&self, tables: &mut Tables) {
            super::register(tables);
        }
    }

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::rows(&Kinds).kinds;
        let expected = [
            "flowcontrol.apiserver.k8s.io/v1 flowschemas cluster /status",
            "flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations cluster /status",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["flowcontrol.apiserver.k8s.io"]), Vec::<String>::new());
    }
}
