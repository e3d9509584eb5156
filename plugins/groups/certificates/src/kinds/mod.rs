//! The kinds of `certificates.k8s.io`, one file each.

pub mod certificate_signing_request;

use sdk_plugin::Tables;

/// Adds a row for each kind.
pub fn register(tables: &mut Tables) {
    tables.kind(certificate_signing_request::kind());
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::kinds(super::register);
        let expected = ["certificates.k8s.io/v1 certificatesigningrequests cluster csr /approval,status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["certificates.k8s.io"]), Vec::<String>::new());
    }
}
