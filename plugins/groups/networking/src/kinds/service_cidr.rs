//! `ServiceCIDR`: the ranges that addresses of Services come from.

use ipnet::IpNet;
use sdk_api::k8s_openapi::api::networking::v1::ServiceCIDR;
use sdk_api::{Timestamp, Violations};
use sdk_plugin::cells::strings;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::json;

use super::cidr;

const FIELD: &str = "spec.cidrs";
const ONE_A_FAMILY: &str = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";

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
        let cidrs_of =
            |range: &ServiceCIDR| range.spec.as_ref().and_then(|spec| spec.cidrs.clone()).unwrap_or_default();
        match old {
            None => validate_new(&mut found, &cidrs_of(new)),
            Some(old) => validate_change(&mut found, &cidrs_of(new), &cidrs_of(old)),
        }
        found
    }
}

fn validate_new(found: &mut Violations, cidrs: &[String]) {
    match cidrs {
        [] => return found.required(FIELD, "at least one CIDR required"),
        [_] => {}
        [first, second] => {
            let is_v4 = |text: &str| text.parse::<IpNet>().ok().map(|net| net.network().is_ipv4());
            let families = (is_v4(first), is_v4(second));
            if families.0.is_none() || families.1.is_none() || families.0 == families.1 {
                return found.invalid(FIELD, json!({"cidrs": cidrs}), ONE_A_FAMILY);
            }
        }
        _ => return found.invalid(FIELD, json!({"cidrs": cidrs}), "may only hold up to 2 values"),
    }
    for (at, text) in cidrs.iter().enumerate() {
        validate_range(found, at, text);
    }
}

/// A range of the other family may come to the one that is there; nothing else may change.
fn validate_change(found: &mut Violations, cidrs: &[String], before: &[String]) {
    const IMMUTABLE: &str = "field is immutable";
    match (cidrs, before) {
        ([first, second], [only]) => {
            if first != only {
                found.invalid(format!("{FIELD}[0]"), first.as_str(), IMMUTABLE);
            }
            validate_range(found, 1, second);
            let is_v4 = |text: &str| text.parse::<IpNet>().ok().map(|net| net.network().is_ipv4());
            if is_v4(first) == is_v4(second) {
                found.invalid(FIELD, json!({"cidrs": cidrs}), ONE_A_FAMILY);
            }
        }
        _ if cidrs.len() != before.len() => found.invalid(FIELD, json!(cidrs), IMMUTABLE),
        _ => {
            for (at, (new, _)) in cidrs.iter().zip(before).enumerate().filter(|(_, (new, old))| new != old) {
                found.invalid(format!("{FIELD}[{at}]"), new.as_str(), IMMUTABLE);
            }
        }
    }
}

fn validate_range(found: &mut Violations, at: usize, text: &str) {
    if let Err(why) = cidr::canonical(text) {
        found.invalid(format!("{FIELD}[{at}]"), text, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_and_may_gain_a_family() {
        for (case, cidrs, old, wrong) in [
            ("one", vec!["10.96.0.0/16"], vec![], vec![]),
            ("none", vec![], vec![], vec!["spec.cidrs"]),
            ("host bits", vec!["10.96.0.1/16"], vec![], vec!["spec.cidrs[0]"]),
            ("one family twice", vec!["10.96.0.0/16", "10.97.0.0/16"], vec![], vec!["spec.cidrs"]),
            ("a second family", vec!["10.96.0.0/16", "fd00::/108"], vec!["10.96.0.0/16"], vec![]),
            ("a second range", vec!["10.96.0.0/16", "10.97.0.0/16"], vec!["10.96.0.0/16"], vec!["spec.cidrs"]),
            ("another range", vec!["10.97.0.0/16"], vec!["10.96.0.0/16"], vec!["spec.cidrs[0]"]),
            ("one less", vec!["10.96.0.0/16"], vec!["10.96.0.0/16", "fd00::/108"], vec!["spec.cidrs"]),
            ("three", vec!["10.96.0.0/16", "fd00::/108", "10.97.0.0/16"], vec![], vec!["spec.cidrs"]),
            ("not the shortest form", vec!["fd00:0::/108"], vec![], vec!["spec.cidrs[0]"]),
        ] {
            let range = |cidrs: &[&str]| -> ServiceCIDR {
                serde_json::from_value(json!({"metadata": {"name": "r"}, "spec": {"cidrs": cidrs}})).unwrap()
            };
            let old = (!old.is_empty()).then(|| range(&old));
            assert_eq!(ServiceCidrStrategy.validate(&range(&cidrs), old.as_ref()).fields(), wrong, "{case}");
        }
    }
}
