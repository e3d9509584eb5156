//! The kinds of `batch`, one file each.

pub mod cron_job;
pub mod job;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(job::kind());
    tables.kind(cron_job::kind());
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
        let expected = ["batch/v1 jobs namespaced in all /status", "batch/v1 cronjobs namespaced cj in all /status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["batch"]), Vec::<String>::new());
    }
}
