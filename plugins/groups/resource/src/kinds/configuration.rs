//! What classes and claims say alike: selectors of devices, and parameters that only a driver understands.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::resource::v1::{
    CapacityRequirements, DeviceSelector, DeviceToleration, OpaqueDeviceConfiguration,
};
use sdk_api::{domains::each_invalid, names as rules};
use serde_json::Value;

use super::names;

/// How many selectors a request or a class may have.
const SELECTORS_MAX: usize = 32;
/// How many configurations a claim or a class may have.
pub const CONFIGURATIONS_MAX: usize = 32;
/// Bytes of a CEL expression.
const EXPRESSION_MAX: usize = 10 * 1024;
/// Bytes of a driver's parameters.
const PARAMETERS_MAX: usize = 10 * 1024;
const TOLERATIONS_MAX: usize = 16;
const OPERATORS: [&str; 2] = ["Equal", "Exists"];
/// What a taint does to claims that do not tolerate it.
pub const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// Selectors of devices. Expressions are checked for their size; nothing compiles CEL here yet.
pub fn selectors(found: &mut Violations, field: &str, selectors: &[DeviceSelector]) {
    if selectors.len() > SELECTORS_MAX {
        return found.too_many(field, selectors.len(), SELECTORS_MAX);
    }
    for (at, selector) in selectors.iter().enumerate() {
        let field = format!("{field}[{at}].cel");
        match &selector.cel {
            None => found.required(field, ""),
            Some(cel) if cel.expression.len() > EXPRESSION_MAX => {
                found.too_long(format!("{field}.expression"), EXPRESSION_MAX);
            }
            Some(_) => {}
        }
    }
}

/// The configuration at `field` must have parameters for a driver.
pub fn opaque(found: &mut Violations, field: &str, opaque: Option<&OpaqueDeviceConfiguration>) {
    let field = format!("{field}.opaque");
    let Some(opaque) = opaque else { return found.required(field, "") };
    names::driver(found, &format!("{field}.driver"), &opaque.driver);
    object(found, &format!("{field}.parameters"), &opaque.parameters.0, PARAMETERS_MAX);
}

/// A document that only a driver understands: an object of at most so many bytes.
pub fn object(found: &mut Violations, field: &str, document: &Value, bytes_max: usize) {
    match document {
        Value::Null => found.required(field, ""),
        document if document.to_string().len() > bytes_max => found.too_long(field, bytes_max),
        Value::Object(_) => {}
        _ => found.invalid(field, "<value omitted>", "must be a valid JSON object"),
    }
}

/// Which taints of devices a request, or an allocation, puts up with.
pub fn tolerations(found: &mut Violations, field: &str, tolerations: &[DeviceToleration]) {
    if tolerations.len() > TOLERATIONS_MAX {
        return found.too_many(field, tolerations.len(), TOLERATIONS_MAX);
    }
    for (at, toleration) in tolerations.iter().enumerate() {
        let at = |name: &str| format!("{field}[{at}].{name}");
        if let Some(key) = toleration.key.as_deref().filter(|key| !key.is_empty()) {
            each_invalid(found, at("key"), key, rules::qualified_name(key));
        }
        let value = toleration.value.as_deref().unwrap_or_default();
        match toleration.operator.as_deref().unwrap_or_default() {
            "Exists" if !value.is_empty() => {
                found.invalid(at("value"), value, "must be empty for operator `Exists`");
            }
            "Exists" => {}
            "Equal" => each_invalid(found, at("value"), value, rules::label_value(value)),
            "" => found.required(at("operator"), ""),
            other => found.not_supported(at("operator"), other, &OPERATORS),
        }
        if let Some(effect) = toleration.effect.as_deref().filter(|effect| !effect.is_empty())
            && !EFFECTS.contains(&effect)
        {
            found.not_supported(at("effect"), effect, &EFFECTS);
        }
    }
}

/// How much of each capacity a request wants.
pub fn capacity(found: &mut Violations, field: &str, capacity: Option<&CapacityRequirements>) {
    for name in capacity.iter().flat_map(|capacity| capacity.requests.iter().flatten()).map(|(name, _)| name) {
        names::qualified(found, &format!("{field}.requests[{name}]"), name);
    }
}
