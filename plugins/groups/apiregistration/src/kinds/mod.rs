//! The kinds of `apiregistration.k8s.io`, one file each.

pub mod api_service;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(api_service::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["apiregistration.k8s.io/v1 apiservices cluster in api-extensions /status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["apiregistration.k8s.io"]), Vec::<String>::new());
    }
}
