//! `IPAddress`: an address in use, and whose it is. Its name is the address.

use sdk_api::k8s_openapi::api::networking::v1::IPAddress;
use sdk_api::{Violations, checks, domains, names};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("ParentRef", |address, _| {
        let parent = &address["spec"]["parentRef"];
        if parent.is_null() {
            return NONE.into();
        }
        let text = |field: &str| parent[field].as_str().unwrap_or_default();
        let dot = if text("group").is_empty() { "" } else { "." };
        let resource = format!("{}{dot}{}", text("resource"), text("group")).to_lowercase();
        let parts = [resource.as_str(), text("namespace"), text("name")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").into()
    }),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(IpAddressStrategy).short_names(&["ip"]).columns(COLUMNS).name_rule(domains::canonical_ip_address)
}

struct IpAddressStrategy;
impl Strategy for IpAddressStrategy {
    type Object = IPAddress;

    fn validate(&self, new: &IPAddress, old: Option<&IPAddress>) -> Violations {
        let mut found = Violations::default();
        let parent = &new.spec.parent_ref;
        // The group of Services is the empty one.
        if let Some(group) = parent.group.as_deref().filter(|group| !group.is_empty()) {
            domains::each_invalid(&mut found, "spec.parentRef.group", group, names::dns1123_subdomain(group));
        }
        let namespace = parent.namespace.clone().unwrap_or_default();
        for (name, value, is_required) in
            [("resource", &parent.resource, true), ("name", &parent.name, true), ("namespace", &namespace, false)]
        {
            let field = format!("spec.parentRef.{name}");
            if value.is_empty() && is_required {
                found.required(&field, "");
            }
            domains::each_invalid(&mut found, field, value, names::path_segment(value));
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "spec.parentRef", parent, &old.spec.parent_ref);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn address(parent: Value) -> IPAddress {
        serde_json::from_value(json!({"metadata": {"name": "10.96.0.1"}, "spec": {"parentRef": parent}})).unwrap()
    }

    #[test]
    fn addresses_have_an_owner() {
        let service = || json!({"resource": "services", "namespace": "default", "name": "web"});
        for (case, parent, wrong) in [
            ("a service", service(), vec![]),
            ("nobody", json!({}), vec!["spec.parentRef.resource", "spec.parentRef.name"]),
            (
                "a path",
                json!({"group": "A", "resource": "a/b", "name": "n", "namespace": ".."}),
                vec!["spec.parentRef.group", "spec.parentRef.resource", "spec.parentRef.namespace"],
            ),
        ] {
            assert_eq!(IpAddressStrategy.validate(&address(parent), None).fields(), wrong, "{case}");
        }
        let mut other = service();
        other["name"] = json!("db");
        let found = IpAddressStrategy.validate(&address(other), Some(&address(service())));
        assert_eq!(found.fields(), ["spec.parentRef"]);
    }

    #[test]
    fn owners_are_shown_in_full() {
        for (parent, text) in [
            (json!({"resource": "services", "namespace": "default", "name": "web"}), "services/default/web"),
            (json!({"group": "a.io", "resource": "gates", "name": "g"}), "gates.a.io/g"),
        ] {
            let object = json!({"spec": {"parentRef": parent}});
            assert_eq!(COLUMNS[1].value(&object, sdk_api::Timestamp::UNIX_EPOCH), text);
        }
    }
}
