//! The kinds of `authentication.k8s.io`, one file each.

pub mod self_subject_review;
pub mod token_review;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(token_review::kind());
    tables.kind(self_subject_review::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = [
            "authentication.k8s.io/v1 tokenreviews cluster answered",
            "authentication.k8s.io/v1 selfsubjectreviews cluster answered",
        ];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["authentication.k8s.io"]), Vec::<String>::new());
    }
}
