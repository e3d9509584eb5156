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
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
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
