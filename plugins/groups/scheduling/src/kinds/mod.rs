//! The kinds of `scheduling.k8s.io`, one file each.

pub mod priority_class;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(priority_class::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["scheduling.k8s.io/v1 priorityclasses cluster pc"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["scheduling.k8s.io"]), Vec::<String>::new());
    }
}
