//! Label selectors inside specs.

use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sdk_api::{Violations, names};

use super::{each_invalid, metadata};

/// Checks a label selector. Source: API reference, "LabelSelector".
pub fn label_selector(found: &mut Violations, selector: &LabelSelector, path: &str, values_unchecked: bool) {
    metadata::labels(found, selector.match_labels.as_ref(), &format!("{path}.matchLabels"));
    for (i, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}.matchExpressions[{i}].{field}");
        let values = requirement.values.as_deref().unwrap_or_default();
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                found.required(at("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                found.forbidden(at("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            operator => found.invalid(at("operator"), operator, "not a valid selector operator"),
        }
        each_invalid(found, &at("key"), &requirement.key, names::qualified_name(&requirement.key));
        for (n, value) in values.iter().enumerate().filter(|_| !values_unchecked) {
            each_invalid(found, &format!("{}[{n}]", at("values")), value, names::label_value(value));
        }
    }
}
