//! What a claim wishes for, in claims and in their templates.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::resource::v1::{
    DeviceClaim, DeviceConstraint, DeviceRequest, DeviceSubRequest, ExactDeviceRequest, ResourceClaimSpec,
};

use crate::kinds::configuration::{self, CONFIGURATIONS_MAX};
use crate::kinds::names::{self, Requests};

/// How many requests a claim may have, and so how many devices it is given.
pub const REQUESTS_MAX: usize = 32;
const CONSTRAINTS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const MODES: [&str; 2] = ["All", "ExactCount"];

/// Fills in how many devices are wished for, and how taints are compared.
pub fn default(spec: &mut ResourceClaimSpec) {
    for request in spec.devices.iter_mut().flat_map(|claim| claim.requests.iter_mut().flatten()) {
        if let Some(exactly) = &mut request.exactly {
            default_count(&mut exactly.allocation_mode, &mut exactly.count);
            exactly.tolerations.iter_mut().flatten().for_each(default_toleration);
        }
        for alternative in request.first_available.iter_mut().flatten() {
            default_count(&mut alternative.allocation_mode, &mut alternative.count);
            alternative.tolerations.iter_mut().flatten().for_each(default_toleration);
        }
    }
}

fn default_count(mode: &mut Option<String>, count: &mut Option<i64>) {
    if mode.as_deref().is_none_or(str::is_empty) {
        *mode = Some("ExactCount".into());
    }
    if mode.as_deref() == Some("ExactCount") && count.unwrap_or(0) == 0 {
        *count = Some(1);
    }
}

fn default_toleration(toleration: &mut sdk_api::k8s_openapi::api::resource::v1::DeviceToleration) {
    if toleration.operator.as_deref().is_none_or(str::is_empty) {
        toleration.operator = Some("Equal".into());
    }
}

/// Checks the spec at `field`.
pub fn validate(found: &mut Violations, field: &str, spec: &ResourceClaimSpec) {
    let Some(claim) = &spec.devices else { return };
    let field = format!("{field}.devices");
    let known = Requests::of(Some(claim));
    requests(found, &format!("{field}.requests"), claim);
    let constraints = claim.constraints.as_deref().unwrap_or_default();
    if constraints.len() > CONSTRAINTS_MAX {
        found.too_many(format!("{field}.constraints"), constraints.len(), CONSTRAINTS_MAX);
    } else {
        for (at, constraint) in constraints.iter().enumerate() {
            validate_constraint(found, &format!("{field}.constraints[{at}]"), constraint, &known);
        }
    }
    let configurations = claim.config.as_deref().unwrap_or_default();
    if configurations.len() > CONFIGURATIONS_MAX {
        return found.too_many(format!("{field}.config"), configurations.len(), CONFIGURATIONS_MAX);
    }
    for (at, configuration) in configurations.iter().enumerate() {
        let field = format!("{field}.config[{at}]");
        let names = configuration.requests.as_deref().unwrap_or_default();
        known.refer_all(found, &format!("{field}.requests"), names, REQUESTS_MAX);
        configuration::opaque(found, &field, configuration.opaque.as_ref());
    }
}

fn requests(found: &mut Violations, field: &str, claim: &DeviceClaim) {
    let requests = claim.requests.as_deref().unwrap_or_default();
    if requests.len() > REQUESTS_MAX {
        return found.too_many(field, requests.len(), REQUESTS_MAX);
    }
    for (at, request) in requests.iter().enumerate() {
        validate_request(found, &format!("{field}[{at}]"), request);
    }
    names::unique(found, field, requests.iter().map(|request| request.name.as_str()));
}

fn validate_request(found: &mut Violations, field: &str, request: &DeviceRequest) {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    names::label(found, &format!("{field}.name"), &request.name);
    let alternatives = request.first_available.as_deref().unwrap_or_default();
    match (&request.exactly, alternatives.is_empty()) {
        (None, true) => found.required(field, ONE),
        (Some(_), false) => {
            found.invalid(field, serde_json::Value::Null, format!("{ONE}, but multiple fields are set"));
        }
        (Some(exactly), true) => validate_exactly(found, &format!("{field}.exactly"), exactly),
        (None, false) => {
            let field = format!("{field}.firstAvailable");
            if alternatives.len() > ALTERNATIVES_MAX {
                return found.too_many(field, alternatives.len(), ALTERNATIVES_MAX);
            }
            for (at, alternative) in alternatives.iter().enumerate() {
                validate_alternative(found, &format!("{field}[{at}]"), alternative);
            }
            names::unique(found, &field, alternatives.iter().map(|alternative| alternative.name.as_str()));
        }
    }
}

fn validate_exactly(found: &mut Violations, field: &str, request: &ExactDeviceRequest) {
    names::class(found, &format!("{field}.deviceClassName"), &request.device_class_name);
    let selectors = request.selectors.as_deref().unwrap_or_default();
    configuration::selectors(found, &format!("{field}.selectors"), selectors);
    count(found, field, request.allocation_mode.as_deref(), request.count);
    let tolerations = request.tolerations.as_deref().unwrap_or_default();
    configuration::tolerations(found, &format!("{field}.tolerations"), tolerations);
    configuration::capacity(found, &format!("{field}.capacity"), request.capacity.as_ref());
}

fn validate_alternative(found: &mut Violations, field: &str, request: &DeviceSubRequest) {
    names::label(found, &format!("{field}.name"), &request.name);
    names::class(found, &format!("{field}.deviceClassName"), &request.device_class_name);
    let selectors = request.selectors.as_deref().unwrap_or_default();
    configuration::selectors(found, &format!("{field}.selectors"), selectors);
    count(found, field, request.allocation_mode.as_deref(), request.count);
    let tolerations = request.tolerations.as_deref().unwrap_or_default();
    configuration::tolerations(found, &format!("{field}.tolerations"), tolerations);
    configuration::capacity(found, &format!("{field}.capacity"), request.capacity.as_ref());
}

fn count(found: &mut Violations, field: &str, mode: Option<&str>, count: Option<i64>) {
    let count = count.unwrap_or(0);
    let field_of_count = format!("{field}.count");
    match mode.unwrap_or_default() {
        "All" if count != 0 => {
            found.invalid(field_of_count, count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count <= 0 => found.invalid(field_of_count, count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        other => found.not_supported(format!("{field}.allocationMode"), other, &MODES),
    }
}

fn validate_constraint(found: &mut Violations, field: &str, constraint: &DeviceConstraint, known: &Requests<'_>) {
    let names = constraint.requests.as_deref().unwrap_or_default();
    known.refer_all(found, &format!("{field}.requests"), names, REQUESTS_MAX);
    match (&constraint.match_attribute, &constraint.distinct_attribute) {
        (Some(attribute), _) => names::fully_qualified(found, &format!("{field}.matchAttribute"), attribute),
        (None, Some(attribute)) => names::fully_qualified(found, &format!("{field}.distinctAttribute"), attribute),
        (None, None) => found.required(
            field,
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(devices: Value) -> ResourceClaimSpec {
        let mut spec = serde_json::from_value(json!({"devices": devices})).unwrap();
        default(&mut spec);
        spec
    }

    #[test]
    fn numbers_are_filled_in() {
        for (asked, wanted) in [
            (json!({"deviceClassName": "c"}), json!({"allocationMode": "ExactCount", "count": 1})),
            (json!({"deviceClassName": "c", "allocationMode": "All"}), json!({"allocationMode": "All", "count": null})),
            (json!({"deviceClassName": "c", "count": 3}), json!({"allocationMode": "ExactCount", "count": 3})),
        ] {
            let spec = serde_json::to_value(spec(json!({"requests": [{"name": "r", "exactly": asked}]}))).unwrap();
            let exactly = &spec["devices"]["requests"][0]["exactly"];
            for (name, value) in wanted.as_object().unwrap() {
                assert_eq!(exactly[name], *value, "{name}");
            }
        }
    }

    #[test]
    fn wishes_are_checked() {
        let one = |exactly: Value| json!({"requests": [{"name": "r", "exactly": exactly}]});
        let request = "s.devices.requests[0]";
        let class = |more: Value| {
            let mut request = json!({"deviceClassName": "gpu.example.com"});
            for (name, value) in more.as_object().unwrap() {
                request[name] = value.clone();
            }
            request
        };
        let constrained = |constraint: Value| {
            let mut claim = one(class(json!({})));
            claim["constraints"] = json!([constraint]);
            claim
        };
        let configured = |configuration: Value| {
            let mut claim = one(class(json!({})));
            claim["config"] = json!([configuration]);
            claim
        };
        for (case, devices, wrong) in [
            ("nothing", json!({}), vec![]),
            ("one device", one(class(json!({}))), vec![]),
            ("no class", one(json!({})), vec![format!("{request}.exactly.deviceClassName")]),
            ("no way to choose", json!({"requests": [{"name": "r"}]}), vec![request.to_owned()]),
            (
                "two ways to choose",
                json!({"requests": [
                    {"name": "r", "exactly": class(json!({})),
                     "firstAvailable": [{"name": "a", "deviceClassName": "c"}]},
                ]}),
                vec![request.to_owned()],
            ),
            (
                "alternatives",
                json!({"requests": [{"name": "r", "firstAvailable": [
                    {"name": "a", "deviceClassName": "c"}, {"name": "a", "deviceClassName": "c", "count": -1},
                ]}]}),
                vec![format!("{request}.firstAvailable[1].count"), format!("{request}.firstAvailable[1]")],
            ),
            (
                "a request twice, with a bad name",
                json!({"requests": [
                    {"name": "R", "exactly": class(json!({}))}, {"name": "R", "exactly": class(json!({}))},
                ]}),
                vec![
                    "s.devices.requests[0].name".into(),
                    "s.devices.requests[1].name".into(),
                    "s.devices.requests[1]".into(),
                ],
            ),
            (
                "all and a number",
                one(class(json!({"allocationMode": "All", "count": 2}))),
                vec![format!("{request}.exactly.count")],
            ),
            (
                "an unknown mode",
                one(class(json!({"allocationMode": "Some"}))),
                vec![format!("{request}.exactly.allocationMode")],
            ),
            (
                "a selector of nothing, and a long one",
                one(class(json!({"selectors": [{}, {"cel": {"expression": "x".repeat(10 * 1024 + 1)}}]}))),
                vec![
                    format!("{request}.exactly.selectors[0].cel"),
                    format!("{request}.exactly.selectors[1].cel.expression"),
                ],
            ),
            (
                "tolerations",
                one(class(json!({"tolerations": [
                    {"key": "a"}, {"operator": "Exists", "value": "v"}, {"operator": "Like"}, {"effect": "Explode"},
                ]}))),
                vec![
                    format!("{request}.exactly.tolerations[1].value"),
                    format!("{request}.exactly.tolerations[2].operator"),
                    format!("{request}.exactly.tolerations[3].effect"),
                ],
            ),
            (
                "a constraint",
                constrained(json!({"requests": ["r"], "matchAttribute": "gpu.example.com/model"})),
                vec![],
            ),
            ("a constraint of nothing", constrained(json!({})), vec!["s.devices.constraints[0]".into()]),
            (
                "a constraint of strangers",
                constrained(json!({"requests": ["x", "r/a", "r"], "matchAttribute": "model"})),
                vec![
                    "s.devices.constraints[0].requests[0]".into(),
                    "s.devices.constraints[0].requests[1]".into(),
                    "s.devices.constraints[0].matchAttribute".into(),
                ],
            ),
            (
                "parameters",
                configured(json!({"opaque": {"driver": "gpu.example.com", "parameters": {"a": 1}}})),
                vec![],
            ),
            ("no parameters", configured(json!({})), vec!["s.devices.config[0].opaque".into()]),
            (
                "parameters that are a list",
                configured(json!({"opaque": {"driver": "gpu.example.com", "parameters": [1]}})),
                vec!["s.devices.config[0].opaque.parameters".into()],
            ),
        ] {
            let mut found = Violations::default();
            validate(&mut found, "s", &spec(devices));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
