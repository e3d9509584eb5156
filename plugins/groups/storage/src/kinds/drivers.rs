//! What the kinds of this group check alike: names of drivers, and parameters that only a driver understands.

use std::collections::BTreeMap;

use sdk_api::{Violations, domains::each_invalid, names};

const DRIVER_MAX: usize = 63;
const PARAMETERS_MAX: usize = 512;
/// Bytes of all keys and values.
const PARAMETERS_BYTES_MAX: usize = 256 << 10;

/// The name of a CSI driver: a domain, in any case.
pub fn driver(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        found.required(field, "");
    }
    if name.len() > DRIVER_MAX {
        found.too_long(field, DRIVER_MAX);
    }
    each_invalid(found, field, name, names::dns1123_subdomain(&name.to_lowercase()));
}

/// The name of whoever makes volumes: a name with or without a domain, in any case.
pub fn provisioner(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        return found.required(field, "");
    }
    let lower = name.to_lowercase();
    each_invalid(found, field, &lower, names::qualified_name(&lower));
}

/// Parameters of a class.
pub fn parameters(found: &mut Violations, parameters: Option<&BTreeMap<String, String>>, are_required: bool) {
    const FIELD: &str = "parameters";
    let all = parameters.into_iter().flatten();
    let count = all.clone().count();
    if count > PARAMETERS_MAX {
        return found.too_long(FIELD, PARAMETERS_MAX);
    }
    if all.clone().any(|(key, _)| key.is_empty()) {
        found.invalid(FIELD, "", "field can not be empty.");
    }
    if all.map(|(key, value)| key.len() + value.len()).sum::<usize>() > PARAMETERS_BYTES_MAX {
        found.too_long(FIELD, PARAMETERS_BYTES_MAX);
    }
    if are_required && count == 0 {
        found.required(FIELD, "must contain at least one key/value pair");
    }
}
