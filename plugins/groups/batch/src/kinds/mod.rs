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
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["batch/v1 jobs namespaced in all /status", "batch/v1 cronjobs namespaced cj in all /status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["batch"]), Vec::<String>::new());
    }
}
