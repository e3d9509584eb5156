//! The kinds of `authorization.k8s.io`, one file each.

pub mod local_subject_access_review;
pub mod self_subject_access_review;
pub mod self_subject_rules_review;
pub mod subject_access_review;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(subject_access_review::kind());
    tables.kind(self_subject_access_review::kind());
    tables.kind(local_subject_access_review::kind());
    tables.kind(self_subject_rules_review::kind());
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
            "authorization.k8s.io/v1 subjectaccessreviews cluster answered",
            "authorization.k8s.io/v1 selfsubjectaccessreviews cluster answered",
            "authorization.k8s.io/v1 localsubjectaccessreviews namespaced answered",
            "authorization.k8s.io/v1 selfsubjectrulesreviews cluster answered",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["authorization.k8s.io"]), Vec::<String>::new());
    }
}
