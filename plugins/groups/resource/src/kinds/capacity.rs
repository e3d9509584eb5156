//! How much of a device there is, and in what portions it is shared. Source: KEP-5075.

use sdk_api::k8s_openapi::api::resource::v1::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::{Quantity, Violations};

use super::names;

const OPTIONS_MAX: usize = 10;

/// Checks a capacity. Portions are for devices that several claims share.
pub fn validate(found: &mut Violations, field: &str, capacity: &DeviceCapacity, is_shared: bool) {
    let Some(policy) = &capacity.request_policy else { return };
    let field = format!("{field}.requestPolicy");
    if !is_shared {
        return found.forbidden(field, "allowMultipleAllocations must be true");
    }
    let values = policy.valid_values.as_deref().unwrap_or_default();
    match (values.is_empty(), &policy.valid_range) {
        (false, Some(_)) => found.forbidden(
            field,
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
        ),
        (false, None) => {
            if let Some(default) = default_of(found, &field, policy, "validValues") {
                validate_values(found, &format!("{field}.validValues"), default, values, &capacity.value);
            }
        }
        (true, Some(range)) => {
            if let Some(default) = default_of(found, &field, policy, "validRange") {
                validate_range(found, &format!("{field}.validRange"), default, range, &capacity.value);
            }
        }
        (true, None) => {}
    }
}

fn default_of<'a>(
    found: &mut Violations,
    field: &str,
    policy: &'a CapacityRequestPolicy,
    with: &str,
) -> Option<&'a ApiQuantity> {
    if policy.default.is_none() {
        found.required(format!("{field}.default"), format!("required when {with} is defined"));
    }
    policy.default.as_ref()
}

fn validate_values(
    found: &mut Violations,
    field: &str,
    default: &ApiQuantity,
    values: &[ApiQuantity],
    all: &ApiQuantity,
) {
    let amounts: Vec<_> = values.iter().map(Quantity::of).collect();
    for at in 1..amounts.len() {
        if amounts[at - 1] > amounts[at] {
            let value = values[at].0.as_str();
            found.invalid(format!("{field}[{at}]"), value, "values must be sorted in ascending order");
        }
    }
    if values.len() > OPTIONS_MAX {
        found.too_many(field, values.len(), OPTIONS_MAX);
    } else {
        for (at, amount) in amounts.iter().enumerate().filter(|(_, amount)| **amount > Quantity::of(all)) {
            let why = format!("option is larger than capacity value: {}", all.0);
            found.invalid(format!("{field}[{at}]"), amount.to_string(), why);
        }
        let units: Vec<_> = amounts.iter().map(|amount| amount.units().to_string()).collect();
        names::unique(found, field, units.iter().map(String::as_str));
    }
    if values.len() > OPTIONS_MAX || !amounts.contains(&Quantity::of(default)) {
        found.invalid(field, default.0.as_str(), "default value is not valid according to the requestPolicy");
    }
}

fn validate_range(
    found: &mut Violations,
    field: &str,
    default: &ApiQuantity,
    range: &CapacityRequestPolicyRange,
    all: &ApiQuantity,
) {
    let at = |name: &str| format!("{field}.{name}");
    let of = Quantity::of;
    let min = &range.min;
    let mut check = |name: &str, wrong: bool, value: &ApiQuantity, why: &str, limit: &ApiQuantity| {
        if wrong {
            found.invalid(at(name), value.0.as_str(), format!("{why}: {}", limit.0));
        }
    };
    check("min", of(min) > of(all), min, "min is larger than capacity value", all);
    check("min", of(default) < of(min), default, "default is less than min", min);
    if let Some(max) = &range.max {
        check("max", of(min) > of(max), min, "min is larger than max", max);
        check("max", of(max) > of(all), max, "max is larger than capacity value", all);
        check("max", of(default) > of(max), default, "default is more than max", max);
    }
    let Some(step) = &range.step else { return };
    let one_step = of(min) + of(step);
    if one_step > of(all) {
        let why = format!("one step {one_step} is larger than capacity value: {}", all.0);
        found.invalid(at("step"), step.0.as_str(), why);
    }
    for value in [Some(default), range.max.as_ref()].into_iter().flatten() {
        let above = of(value).units() - of(min).units();
        // Upstream divides by zero here.
        if above.checked_rem(of(step).units()) != Some(0) {
            let why = format!("value is not a multiple of a given step ({}) from ({})", step.0, min.0);
            found.invalid(at("step"), value.0.as_str(), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn portions_fit_into_the_whole() {
        let range = |range: Value, default: &str| json!({"default": default, "validRange": range});
        let values = |values: Value, default: &str| json!({"default": default, "validValues": values});
        for (case, policy, is_shared, wrong) in [
            ("none", json!(null), false, vec![]),
            ("one owner", json!({}), false, vec!["c.requestPolicy"]),
            ("values", values(json!(["1Gi", "2Gi"]), "1Gi"), true, vec![]),
            ("a default of nothing", values(json!(["1Gi"]), "2Gi"), true, vec!["c.requestPolicy.validValues"]),
            ("no default", json!({"validValues": ["1Gi"]}), true, vec!["c.requestPolicy.default"]),
            (
                "unsorted, twice, too much",
                values(json!(["2Gi", "1Gi", "1Gi", "20Gi"]), "1Gi"),
                true,
                vec![
                    "c.requestPolicy.validValues[1]",
                    "c.requestPolicy.validValues[3]",
                    "c.requestPolicy.validValues[2]",
                ],
            ),
            ("a range", range(json!({"min": "1Gi", "max": "5Gi", "step": "2Gi"}), "3Gi"), true, vec![]),
            (
                "outside",
                range(json!({"min": "2Gi", "max": "20Gi"}), "1Gi"),
                true,
                vec!["c.requestPolicy.validRange.min", "c.requestPolicy.validRange.max"],
            ),
            (
                "between two steps",
                range(json!({"min": "1Gi", "step": "2Gi"}), "2Gi"),
                true,
                vec!["c.requestPolicy.validRange.step"],
            ),
            (
                "steps of nothing",
                range(json!({"min": "1Gi", "step": "0"}), "2Gi"),
                true,
                vec!["c.requestPolicy.validRange.step"],
            ),
            (
                "both ways",
                json!({"default": "1", "validValues": ["1"], "validRange": {"min": "1"}}),
                true,
                vec!["c.requestPolicy"],
            ),
        ] {
            let capacity = serde_json::from_value(json!({"value": "10Gi", "requestPolicy": policy})).unwrap();
            let mut found = Violations::default();
            validate(&mut found, "c", &capacity, is_shared);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
