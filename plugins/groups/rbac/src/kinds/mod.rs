//! The kinds of `rbac.authorization.k8s.io`, one file each.

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
pub mod rules;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(role::kind());
    tables.kind(cluster_role::kind());
    tables.kind(role_binding::kind());
    tables.kind(cluster_role_binding::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "rbac.authorization.k8s.io/v1 roles namespaced",
            "rbac.authorization.k8s.io/v1 clusterroles cluster",
            "rbac.authorization.k8s.io/v1 rolebindings namespaced",
            "rbac.authorization.k8s.io/v1 clusterrolebindings cluster",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["rbac.authorization.k8s.io"]), Vec::<String>::new());
    }
}
