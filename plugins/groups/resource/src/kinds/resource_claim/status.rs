//! What the scheduler and drivers may write into the status of a claim.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, AllocationResult, DeviceAllocationResult, NetworkDeviceData, ResourceClaim,
};
use sdk_api::{Violations, checks, conditions};
use serde_json::{Value, json};

use super::spec::REQUESTS_MAX;
use crate::kinds::configuration::{self, CONFIGURATIONS_MAX};
use crate::kinds::device;
use crate::kinds::names::{self, Requests};

const USERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;
/// Bytes of the data of a driver.
const DATA_MAX: usize = 10 * 1024;
const INTERFACE_MAX: usize = 256;
const HARDWARE_ADDRESS_MAX: usize = 128;
const IPS_MAX: usize = 16;
const SOURCES: [&str; 2] = ["FromClaim", "FromClass"];

/// Takes the status of devices away that the claim was given before and is not any more.
pub fn drop_deallocated(new: &mut Value, old: &Value) {
    let allocated = |claim: &Value| -> BTreeSet<String> {
        let results = claim["status"]["allocation"]["devices"]["results"].as_array();
        results.into_iter().flatten().map(key).collect()
    };
    let kept = allocated(new);
    let gone: BTreeSet<_> = allocated(old).into_iter().filter(|device| !kept.contains(device)).collect();
    let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) else { return };
    let Some(devices) = status.get_mut("devices").and_then(Value::as_array_mut) else { return };
    devices.retain(|device| !gone.contains(&key(device)));
    if devices.is_empty() {
        status.remove("devices");
    }
}

/// Which device something is about.
fn key(device: &Value) -> String {
    ["driver", "pool", "device", "shareID"].map(|field| device[field].as_str().unwrap_or_default()).join("\n")
}

/// Checks the status of `new` against that of `old`.
pub fn validate(found: &mut Violations, new: &ResourceClaim, old: &ResourceClaim) {
    let (status, before) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let users = status.reserved_for.as_deref().unwrap_or_default();
    const USERS: &str = "status.reservedFor";
    if users.len() > USERS_MAX {
        found.too_many(USERS, users.len(), USERS_MAX);
    } else {
        for (at, user) in users.iter().enumerate() {
            for (name, value) in [("resource", &user.resource), ("name", &user.name), ("uid", &user.uid)] {
                if value.is_empty() {
                    found.required(format!("{USERS}[{at}].{name}"), "");
                }
            }
        }
        names::unique(found, USERS, users.iter().map(|user| user.uid.as_str()));
    }
    let results = status.allocation.as_ref().and_then(|given| given.devices.as_ref()?.results.as_ref());
    let allocated: Vec<_> = results.into_iter().flatten().map(|result| key(&json!(result))).collect();
    let devices = status.devices.as_deref().unwrap_or_default();
    for (at, device) in devices.iter().enumerate() {
        validate_device(found, &format!("status.devices[{at}]"), device, &allocated);
    }
    let keys: Vec<_> = devices.iter().map(|device| key(&json!(device))).collect();
    names::unique(found, "status.devices", keys.iter().map(String::as_str));

    let known_before = before.reserved_for.as_deref().unwrap_or_default();
    if !users.is_empty() && status.allocation.is_none() {
        found.forbidden(USERS, "may not be specified when `allocated` is not set");
    } else if new.metadata.deletion_timestamp.is_some() && users.iter().any(|user| !known_before.contains(user)) {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        found.forbidden(USERS, why);
    }
    match (&status.allocation, &before.allocation) {
        (Some(_), Some(_)) => {
            checks::unchanged(found, "status.allocation", &status.allocation, &before.allocation);
        }
        (Some(allocation), None) => {
            let requests = Requests::of(new.spec.devices.as_ref());
            validate_allocation(found, "status.allocation", allocation, &requests);
        }
        (None, _) => {}
    }
}

fn validate_allocation(found: &mut Violations, field: &str, given: &AllocationResult, requests: &Requests<'_>) {
    if let Some(devices) = &given.devices {
        validate_results(found, &format!("{field}.devices"), devices, requests);
    }
    if let Some(selector) = &given.node_selector {
        let field = format!("{field}.nodeSelector");
        sdk_workload::validate::scheduling::node_selector(found, selector, &field, false);
    }
}

fn validate_results(found: &mut Violations, field: &str, given: &DeviceAllocationResult, requests: &Requests<'_>) {
    let results = given.results.as_deref().unwrap_or_default();
    if results.len() > RESULTS_MAX {
        found.too_many(format!("{field}.results"), results.len(), RESULTS_MAX);
    } else {
        for (at, result) in results.iter().enumerate() {
            let field = format!("{field}.results[{at}]");
            requests.refer(found, &format!("{field}.request"), &result.request);
            names::driver(found, &format!("{field}.driver"), &result.driver);
            names::pool(found, &format!("{field}.pool"), &result.pool);
            names::label(found, &format!("{field}.device"), &result.device);
            device::bindings(
                found,
                &field,
                result.binding_conditions.as_deref().unwrap_or_default(),
                result.binding_failure_conditions.as_deref().unwrap_or_default(),
            );
            if let Some(share) = &result.share_id {
                names::uid(found, &format!("{field}.shareID"), share);
            }
        }
    }
    let configurations = given.config.as_deref().unwrap_or_default();
    // Those of the class and those of the claim.
    let max = 2 * CONFIGURATIONS_MAX;
    if configurations.len() > max {
        return found.too_many(format!("{field}.config"), configurations.len(), max);
    }
    for (at, configuration) in configurations.iter().enumerate() {
        let field = format!("{field}.config[{at}]");
        match configuration.source.as_str() {
            "" => found.required(format!("{field}.source"), ""),
            source if SOURCES.contains(&source) => {}
            other => found.not_supported(format!("{field}.source"), other, &SOURCES),
        }
        let names = configuration.requests.as_deref().unwrap_or_default();
        requests.refer_all(found, &format!("{field}.requests"), names, REQUESTS_MAX);
        configuration::opaque(found, &field, configuration.opaque.as_ref());
    }
}

fn validate_device(found: &mut Violations, field: &str, device: &AllocatedDeviceStatus, allocated: &[String]) {
    names::driver(found, &format!("{field}.driver"), &device.driver);
    names::pool(found, &format!("{field}.pool"), &device.pool);
    names::label(found, &format!("{field}.device"), &device.device);
    if let Some(share) = &device.share_id {
        names::uid(found, &format!("{field}.shareID"), share);
    }
    if !allocated.contains(&key(&json!(device))) {
        let id = json!({"driver": device.driver, "pool": device.pool, "device": device.device});
        found.invalid(field, id, "must be an allocated device in the claim");
    }
    let list = device.conditions.as_deref().unwrap_or_default();
    if list.len() > CONDITIONS_MAX {
        found.too_many(format!("{field}.conditions"), list.len(), CONDITIONS_MAX);
    }
    conditions::conditions(found, format!("{field}.conditions"), list);
    if let Some(data) = &device.data {
        configuration::object(found, &format!("{field}.data"), &data.0, DATA_MAX);
    }
    if let Some(data) = &device.network_data {
        validate_network(found, &format!("{field}.networkData"), data);
    }
}

fn validate_network(found: &mut Violations, field: &str, data: &NetworkDeviceData) {
    let too_long = |text: &Option<String>, max: usize| text.as_ref().is_some_and(|text| text.len() > max);
    if too_long(&data.interface_name, INTERFACE_MAX) {
        found.too_long(format!("{field}.interfaceName"), INTERFACE_MAX);
    }
    if too_long(&data.hardware_address, HARDWARE_ADDRESS_MAX) {
        found.too_long(format!("{field}.hardwareAddress"), HARDWARE_ADDRESS_MAX);
    }
    let (field, ips) = (format!("{field}.ips"), data.ips.as_deref().unwrap_or_default());
    if ips.len() > IPS_MAX {
        return found.too_many(field, ips.len(), IPS_MAX);
    }
    for (at, ip) in ips.iter().enumerate() {
        match ip.parse::<ipnet::IpNet>() {
            Err(_) => found.invalid(
                format!("{field}[{at}]"),
                ip.as_str(),
                "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)",
            ),
            Ok(net) if net.to_string() != *ip => {
                let why = format!("must be in canonical form ({:?})", net.to_string());
                found.invalid(format!("{field}[{at}]"), ip.as_str(), why);
            }
            Ok(_) => {}
        }
    }
    names::unique(found, &field, ips.iter().map(String::as_str));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(status: Value) -> ResourceClaim {
        let exactly = json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1});
        let spec = json!({"devices": {"requests": [{"name": "r", "exactly": exactly}]}});
        serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec, "status": status})).unwrap()
    }

    fn allocation(device: &str) -> Value {
        json!({"devices": {"results": [{"request": "r", "driver": "d.io", "pool": "p", "device": device}]}})
    }

    #[test]
    fn a_status_is_about_what_was_given() {
        let user = |uid: &str| json!({"resource": "pods", "name": "p", "uid": uid});
        let device = |change: Value| {
            let mut device = json!({"driver": "d.io", "pool": "p", "device": "gpu-0"});
            for (name, value) in change.as_object().unwrap() {
                device[name] = value.clone();
            }
            json!({"allocation": allocation("gpu-0"), "devices": [device]})
        };
        let given = || json!({"allocation": allocation("gpu-0")});
        for (case, old, new, wrong) in [
            ("given", json!({}), given(), vec![]),
            ("taken back", given(), json!({}), vec![]),
            ("another", given(), json!({"allocation": allocation("gpu-1")}), vec!["status.allocation"]),
            (
                "given to a stranger",
                json!({}),
                json!({"allocation": {"devices": {"results": [
                    {"request": "x", "driver": "", "pool": "p", "device": "A"},
                ]}}}),
                vec![
                    "status.allocation.devices.results[0].request",
                    "status.allocation.devices.results[0].driver",
                    "status.allocation.devices.results[0].driver",
                    "status.allocation.devices.results[0].device",
                ],
            ),
            ("used by none", json!({}), json!({"reservedFor": [user("u")]}), vec!["status.reservedFor"]),
            (
                "used twice",
                json!({}),
                json!({"allocation": allocation("gpu-0"), "reservedFor": [user("u"), user("u")]}),
                vec!["status.reservedFor[1]"],
            ),
            ("a device", json!({}), device(json!({"data": {"a": 1}, "networkData": {"ips": ["10.0.0.1/24"]}})), vec![]),
            ("a device not given", json!({}), device(json!({"device": "gpu-1"})), vec!["status.devices[0]"]),
            (
                "addresses",
                json!({}),
                device(json!({"networkData": {"ips": ["10.0.0.1", "fd00:0::1/64"]}})),
                vec!["status.devices[0].networkData.ips[0]", "status.devices[0].networkData.ips[1]"],
            ),
            (
                "an unknown source",
                json!({}),
                json!({"allocation": {"devices": {"config": [
                    {"source": "FromHeaven", "opaque": {"driver": "d.io", "parameters": {}}},
                ]}}}),
                vec!["status.allocation.devices.config[0].source"],
            ),
        ] {
            let mut found = Violations::default();
            validate(&mut found, &claim(new), &claim(old));
            assert_eq!(found.fields(), wrong, "{case}");
        }
        let mut deleting = claim(json!({"allocation": allocation("gpu-0"), "reservedFor": [user("u")]}));
        deleting.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        let mut found = Violations::default();
        validate(&mut found, &deleting, &claim(given()));
        assert_eq!(found.fields(), ["status.reservedFor"]);
    }

    #[test]
    fn devices_that_were_taken_back_lose_their_status() {
        let status = |device: &str| json!({"driver": "d.io", "pool": "p", "device": device});
        let old = json!({"status": {"allocation": allocation("gpu-0"), "devices": [status("gpu-0")]}});
        let mut new = json!({"status": {"devices": [status("gpu-0")]}});
        drop_deallocated(&mut new, &old);
        assert_eq!(new, json!({"status": {}}));
        let mut same = old.clone();
        drop_deallocated(&mut same, &old);
        assert_eq!(same, old);
    }
}
