//! The kinds of `policy`, one file each.

pub mod pod_disruption_budget;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(pod_disruption_budget::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["policy/v1 poddisruptionbudgets namespaced pdb /status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["policy"]), Vec::<String>::new());
    }
}
