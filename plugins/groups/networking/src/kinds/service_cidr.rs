//! `ServiceCIDR`: the ranges that addresses of Services come from.

use ipnet::IpNet;
use sdk_api::k8s_openapi::api::networking::v1::ServiceCIDR;
use sdk_api::{Timestamp, Violations, checks};
use sdk_plugin::cells::strings;
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("CIDRs", |range, _| strings(&range["spec"]["cidrs"], "").collect::<Vec<_>>().join(",").into()),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ServiceCidrStrategy).columns(COLUMNS).status()
}

struct ServiceCidrStrategy;
impl Strategy for ServiceCidrStrategy {
    type Object = ServiceCIDR;

    fn prepare_create(&self, new: &mut ServiceCIDR, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &ServiceCIDR, old: Option<&ServiceCIDR>) -> Violations {
        let mut found = Violations::default();
        let cidrs = new.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
        if cidrs.is_empty() {
            found.required("spec.cidrs", "at least one CIDR required");
        } else if cidrs.len() > 2 {
            let why = "may only hold up to 2 values";
            found.invalid("spec", serde_json::json!(cidrs), why);
        }
        let mut families = Vec::new();
        for (at, cidr) in cidrs.iter().enumerate() {
            match cidr.parse::<IpNet>() {
                Ok(net) if net.trunc() == net => families.push(net.network().is_ipv4()),
                _ => found.invalid(
                    format!("spec.cidrs[{at}]"),
                    cidr.as_str(),
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                ),
            }
        }
        if families.len() == 2 && families[0] == families[1] {
            let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            found.invalid("spec.cidrs", serde_json::json!(cidrs), why);
        }
        if let Some(old) = old {
            let before = old.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
            let grows = before.len() == 1 && cidrs.len() == 2 && cidrs[0] == before[0];
            if !grows {
                checks::unchanged(&mut found, "spec.cidrs", &cidrs, &before);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_are_checked_and_may_gain_a_family() {
        for (case, cidrs, old, wrong) in [
            ("one", vec!["10.96.0.0/16"], vec![], vec![]),
            ("none", vec![], vec![], vec!["spec.cidrs"]),
            ("host bits", vec!["10.96.0.1/16"], vec![], vec!["spec.cidrs[0]"]),
            ("one family twice", vec!["10.96.0.0/16", "10.97.0.0/16"], vec![], vec!["spec.cidrs"]),
            ("a second family", vec!["10.96.0.0/16", "fd00::/108"], vec!["10.96.0.0/16"], vec![]),
            ("another range", vec!["10.97.0.0/16"], vec!["10.96.0.0/16"], vec!["spec.cidrs"]),
        ] {
            let range = |cidrs: &[&str]| -> ServiceCIDR {
                serde_json::from_value(json!({"metadata": {"name": "r"}, "spec": {"cidrs": cidrs}})).unwrap()
            };
            let old = (!old.is_empty()).then(|| range(&old));
            assert_eq!(ServiceCidrStrategy.validate(&range(&cidrs), old.as_ref()).fields(), wrong, "{case}");
        }
    }
}
