//! `IPAddress`: an address in use, and whose it is. Its name is the address.

use std::net::IpAddr;

use sdk_api::k8s_openapi::api::networking::v1::IPAddress;
use sdk_api::{Violations, checks};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("ParentRef", |address, _| {
        let parent = &address["spec"]["parentRef"];
        if parent.is_null() {
            return NONE.into();
        }
        let parts = ["group", "resource", "namespace", "name"].map(|field| parent[field].as_str().unwrap_or_default());
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").into()
    }),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(IpAddressStrategy).short_names(&["ip"]).columns(COLUMNS).name_rule(canonical_address)
}

/// The one way to write an address, since the name must be unique.
fn canonical_address(name: &str) -> Vec<String> {
    match name.parse::<IpAddr>() {
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()],
        Ok(ip) if ip.to_string() != name => vec![format!("not a valid IP address in canonical form (should be {ip})")],
        Ok(_) => vec![],
    }
}

struct IpAddressStrategy;
impl Strategy for IpAddressStrategy {
    type Object = IPAddress;

    fn validate(&self, new: &IPAddress, old: Option<&IPAddress>) -> Violations {
        let mut found = Violations::default();
        let parent = &new.spec.parent_ref;
        for (name, value) in [("resource", &parent.resource), ("name", &parent.name)] {
            if value.is_empty() {
                found.required(format!("spec.parentRef.{name}"), "");
            }
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "spec.parentRef", parent, &old.spec.parent_ref);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_addresses_written_one_way() {
        for (name, good) in
            [("10.96.0.1", true), ("fd00::1", true), ("fd00:0::1", false), ("010.96.0.1", false), ("web", false)]
        {
            assert_eq!(canonical_address(name).is_empty(), good, "{name}");
        }
    }
}
