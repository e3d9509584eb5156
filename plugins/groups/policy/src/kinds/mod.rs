//! The kinds of `policy`, one file each.

pub mod pod_disruption_budget;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(pod_disruption_budget::kind());
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
        let expected = ["policy/v1 poddisruptionbudgets namespaced pdb /status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["policy"]), Vec::<String>::new());
    }
}
