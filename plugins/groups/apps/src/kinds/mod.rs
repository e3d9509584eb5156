//! The kinds of `apps`, one file each.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;
mod template;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(deployment::kind());
    tables.kind(replica_set::kind());
    tables.kind(stateful_set::kind());
    tables.kind(daemon_set::kind());
    tables.kind(controller_revision::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "apps/v1 deployments namespaced deploy in all /scale,status",
            "apps/v1 replicasets namespaced rs in all /scale,status",
            "apps/v1 statefulsets namespaced sts in all /scale,status",
            "apps/v1 daemonsets namespaced ds in all /status",
            "apps/v1 controllerrevisions namespaced",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["apps"]), Vec::<String>::new());
    }
}
