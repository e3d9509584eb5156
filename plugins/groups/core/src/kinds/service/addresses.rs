//! The cluster IPs of a service, their families, and how both may change. Source: KEP-563, dual-stack.

use std::net::IpAddr;

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::ServiceSpec;

use super::super::fields::text;
use super::strategy::is_headless;

const IP_WRONG: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

fn list(field: &Option<Vec<String>>) -> &[String] {
    field.as_deref().unwrap_or_default()
}

/// How `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` go together. Names have none of them.
pub fn cluster_addresses(spec: &ServiceSpec) -> Violations {
    let mut found = Violations::default();
    if text(&spec.type_) == "ExternalName" {
        return found;
    }
    let (ips, families) = (list(&spec.cluster_ips), list(&spec.ip_families));
    match (text(&spec.cluster_ip), ips.first()) {
        ("", Some(_)) => {
            found.invalid("spec.clusterIPs", ips.to_vec(), "must be empty when `clusterIP` is not specified");
        }
        ("", None) => {}
        (_, None) => found.required("spec.clusterIPs", ""),
        (ip, Some(first)) if ip != first => {
            found.invalid("spec.clusterIPs", ips.to_vec(), "first value must match `clusterIP`");
        }
        _ => {}
    }
    for (i, family) in families.iter().enumerate() {
        if !matches!(family.as_str(), "IPv4" | "IPv6") {
            found.not_supported(format!("spec.ipFamilies[{i}]"), family.as_str(), &["IPv4", "IPv6"]);
        }
        if families[..i].contains(family) {
            found.duplicate(format!("spec.ipFamilies[{i}]"), family.as_str());
        }
    }
    if let Some(policy) = spec.ip_family_policy.as_deref().filter(|policy| !POLICIES.contains(policy)) {
        found.not_supported("spec.ipFamilyPolicy", policy, &POLICIES);
    }
    let mut any_wrong = false;
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && ip == "None" {
            if ips.len() > 1 {
                any_wrong = true;
                found.invalid("spec.clusterIPs", ips.to_vec(), "'None' must be the first and only value");
            }
        } else if ip.parse::<IpAddr>().is_err() {
            any_wrong = true;
            found.invalid(format!("spec.clusterIPs[{i}]"), ip.as_str(), IP_WRONG);
        }
    }
    if ips.len() > 2 {
        found.invalid("spec.clusterIPs", ips.to_vec(), "may only hold up to 2 values");
    }
    if any_wrong || is_headless(spec) {
        return found;
    }
    let parsed: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    let both = parsed.iter().any(IpAddr::is_ipv4) && parsed.iter().any(IpAddr::is_ipv6);
    if ips.len() > 1 && !both {
        let why = "may specify no more than one IP for each IP family";
        found.invalid("spec.clusterIPs", ips.to_vec(), why);
    }
    for (i, (ip, family)) in parsed.iter().zip(families).enumerate() {
        if matches!((family.as_str(), ip), ("IPv4", IpAddr::V6(_)) | ("IPv6", IpAddr::V4(_))) {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            found.invalid(format!("spec.clusterIPs[{i}]"), ips[i].as_str(), why);
        }
    }
    found
}

/// An update may add the second address or family, or give it up; the first ones stay, unless there were none.
pub fn changes(found: &mut Violations, new: &ServiceSpec, old: &ServiceSpec) {
    if text(&new.type_) == "ExternalName" || text(&old.type_) == "ExternalName" {
        return;
    }
    let (headless, was_headless) = (is_headless(new), is_headless(old));
    if !(headless && was_headless) {
        ips(found, new, old);
    }
    if !headless && !was_headless {
        families(found, new, old);
    }
}

/// Whether the policy says that one is enough.
fn single(found: &mut Violations, spec: &ServiceSpec, what: &str) {
    if spec.ip_family_policy.as_deref() != Some("SingleStack") {
        let why = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        found.invalid("spec.ipFamilyPolicy", spec.ip_family_policy.clone(), why);
    }
}

fn ips(found: &mut Violations, spec: &ServiceSpec, before: &ServiceSpec) {
    let (new, old) = (list(&spec.cluster_ips), list(&before.cluster_ips));
    let once_set = "may not change once set";
    if new.len() == old.len() {
        for (i, _) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old) {
            found.invalid(format!("spec.clusterIPs[{i}]"), new.to_vec(), once_set);
        }
        return;
    }
    if new.is_empty() {
        found.invalid("spec.clusterIPs[0]", new.to_vec(), "primary clusterIP can not be unset");
    }
    if let (Some(first), Some(first_before)) = (new.first(), old.first())
        && first != first_before
    {
        found.invalid("spec.clusterIPs[0]", new.to_vec(), once_set);
    }
    if old.len() > new.len() && new.len() == 1 {
        single(found, spec, "clusterIP");
    }
}

fn families(found: &mut Violations, spec: &ServiceSpec, before: &ServiceSpec) {
    let (new, old) = (list(&spec.ip_families), list(&before.ip_families));
    let (path, once_set) = ("spec.ipFamilies[0]", "may not change once set");
    if new.len() == old.len() {
        for _ in new.iter().zip(old).filter(|(new, old)| new != old) {
            found.invalid(path, new.to_vec(), once_set);
        }
        return;
    }
    if old.len() > new.len() && list(&spec.cluster_ips).is_empty() {
        found.invalid(path, new.to_vec(), "primary ipFamily can not be unset");
    }
    if let (Some(first), Some(first_before)) = (new.first(), old.first())
        && first != first_before
    {
        found.invalid(path, list(&spec.cluster_ips).to_vec(), once_set);
    }
    if old.len() > new.len() && new.len() == 1 {
        single(found, spec, "ipFamily");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: &Value) -> ServiceSpec {
        let mut value = value.clone();
        if value.get("type").is_none() {
            value["type"] = json!("ClusterIP");
        }
        serde_json::from_value(value).unwrap()
    }

    fn text_of(found: &Violations) -> String {
        if found.is_empty() { String::new() } else { found.summary() }
    }

    #[test]
    fn addresses_and_families_go_together() {
        for (spec_, wrong) in [
            (json!({}), ""),
            (json!({"clusterIP": "None", "clusterIPs": ["None"]}), ""),
            (json!({"clusterIP": "10.0.0.1"}), "spec.clusterIPs: Required value"),
            (
                json!({"clusterIPs": ["10.0.0.1"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty when `clusterIP` is not specified",
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["None", "10.0.0.1"]}),
                "spec.clusterIPs: Invalid value: [\"None\",\"10.0.0.1\"]: 'None' must be the first and only value",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
            ),
            (json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]}), ""),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}),
                "spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ),
            (json!({"ipFamilies": ["IPv4", "IPv4"]}), "spec.ipFamilies[1]: Duplicate value: \"IPv4\""),
            (
                json!({"ipFamilyPolicy": "Both"}),
                "spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \"PreferDualStack\", \"RequireDualStack\", \
                 \"SingleStack\"",
            ),
        ] {
            assert_eq!(text_of(&cluster_addresses(&spec(&spec_))), wrong, "{spec_}");
        }
    }

    #[test]
    fn first_ones_stay() {
        let one = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"});
        let two = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack"});
        let headless = json!({"clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"]});
        let name = json!({"type": "ExternalName"});
        let with = |base: &Value, field: &str, value: Value| {
            let mut changed = base.clone();
            changed[field] = value;
            changed
        };
        for (case, old, new, wrong) in [
            ("the same", &one, one.clone(), String::new()),
            ("a second one", &one, two.clone(), String::new()),
            ("one less", &two, one.clone(), String::new()),
            (
                "one less, without saying so",
                &two,
                with(&one, "ipFamilyPolicy", json!("PreferDualStack")),
                "[spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary \
                 clusterIP, spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing \
                 the secondary ipFamily]"
                    .into(),
            ),
            (
                "another address",
                &one,
                with(&one, "clusterIPs", json!(["10.0.0.2"])),
                "spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set".into(),
            ),
            (
                "no address",
                &one,
                with(&one, "clusterIPs", json!([])),
                "spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset".into(),
            ),
            (
                "made headless",
                &one,
                headless.clone(),
                "spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set".into(),
            ),
            ("headless families are free", &headless, with(&headless, "ipFamilies", json!(["IPv6"])), String::new()),
            ("to a name", &one, name.clone(), String::new()),
            ("from a name", &name, one.clone(), String::new()),
        ] {
            let mut found = Violations::default();
            changes(&mut found, &spec(&new), &spec(old));
            assert_eq!(text_of(&found), wrong, "{case}");
        }
    }
}
