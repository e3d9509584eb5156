//! `MutatingWebhookConfiguration` and `ValidatingWebhookConfiguration`: servers that are asked about writes.

use sdk_api::k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use sdk_api::{Violations, names};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Webhooks", |configuration, _| configuration["webhooks"].as_array().map_or(0, Vec::len).into())
        .typed("integer")
        .describe("Webhooks indicates the number of webhooks registered in this configuration"),
    Column::AGE,
];

fn row(kind: Kind) -> Kind {
    kind.categories(&["api-extensions"]).columns(COLUMNS).generation().revision_required()
}

/// The row of those that change.
pub fn mutating() -> Kind {
    row(Kind::of(Mutating))
}

/// The row of those that only refuse.
pub fn validating() -> Kind {
    row(Kind::of(Validating))
}

struct Mutating;
impl Strategy for Mutating {
    type Object = MutatingWebhookConfiguration;

    fn default(&self, configuration: &mut MutatingWebhookConfiguration) {
        for webhook in configuration.webhooks.iter_mut().flatten() {
            webhook.failure_policy.get_or_insert_with(|| "Fail".into());
            webhook.match_policy.get_or_insert_with(|| "Equivalent".into());
            webhook.namespace_selector.get_or_insert_default();
            webhook.object_selector.get_or_insert_default();
            webhook.timeout_seconds.get_or_insert(10);
            webhook.reinvocation_policy.get_or_insert_with(|| "Never".into());
            default_rules(webhook.rules.as_mut(), &mut webhook.client_config);
        }
    }

    fn validate(&self, new: &MutatingWebhookConfiguration, _old: Option<&MutatingWebhookConfiguration>) -> Violations {
        let mut found = Violations::default();
        let webhooks = new.webhooks.as_deref().unwrap_or_default();
        for (at, webhook) in webhooks.iter().enumerate() {
            validate_webhook(&mut found, at, &Common::from(webhook));
            if let Some(policy) = webhook.reinvocation_policy.as_deref()
                && !matches!(policy, "Never" | "IfNeeded")
            {
                found.not_supported(format!("webhooks[{at}].reinvocationPolicy"), policy, &["IfNeeded", "Never"]);
            }
        }
        unique_names(&mut found, webhooks.iter().map(|webhook| webhook.name.as_str()));
        found
    }
}

struct Validating;
impl Strategy for Validating {
    type Object = ValidatingWebhookConfiguration;

    fn default(&self, configuration: &mut ValidatingWebhookConfiguration) {
        for webhook in configuration.webhooks.iter_mut().flatten() {
            webhook.failure_policy.get_or_insert_with(|| "Fail".into());
            webhook.match_policy.get_or_insert_with(|| "Equivalent".into());
            webhook.namespace_selector.get_or_insert_default();
            webhook.object_selector.get_or_insert_default();
            webhook.timeout_seconds.get_or_insert(10);
            default_rules(webhook.rules.as_mut(), &mut webhook.client_config);
        }
    }

    fn validate(
        &self,
        new: &ValidatingWebhookConfiguration,
        _old: Option<&ValidatingWebhookConfiguration>,
    ) -> Violations {
        let mut found = Violations::default();
        let webhooks = new.webhooks.as_deref().unwrap_or_default();
        for (at, webhook) in webhooks.iter().enumerate() {
            validate_webhook(&mut found, at, &Common::from(webhook));
        }
        unique_names(&mut found, webhooks.iter().map(|webhook| webhook.name.as_str()));
        found
    }
}

fn default_rules(rules: Option<&mut Vec<RuleWithOperations>>, client: &mut WebhookClientConfig) {
    for rule in rules.into_iter().flatten() {
        rule.scope.get_or_insert_with(|| "*".into());
    }
    if let Some(service) = &mut client.service {
        service.port.get_or_insert(443);
    }
}

/// What both kinds of webhook say.
struct Common<'a> {
    name: &'a str,
    failure_policy: Option<&'a str>,
    match_policy: Option<&'a str>,
    side_effects: &'a str,
    timeout_seconds: Option<i32>,
    review_versions: &'a [String],
    client: &'a WebhookClientConfig,
    rules: &'a [RuleWithOperations],
}

impl<'a> From<&'a MutatingWebhook> for Common<'a> {
    fn from(webhook: &'a MutatingWebhook) -> Self {
        Self {
            name: &webhook.name,
            failure_policy: webhook.failure_policy.as_deref(),
            match_policy: webhook.match_policy.as_deref(),
            side_effects: &webhook.side_effects,
            timeout_seconds: webhook.timeout_seconds,
            review_versions: &webhook.admission_review_versions,
            client: &webhook.client_config,
            rules: webhook.rules.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a ValidatingWebhook> for Common<'a> {
    fn from(webhook: &'a ValidatingWebhook) -> Self {
        Self {
            name: &webhook.name,
            failure_policy: webhook.failure_policy.as_deref(),
            match_policy: webhook.match_policy.as_deref(),
            side_effects: &webhook.side_effects,
            timeout_seconds: webhook.timeout_seconds,
            review_versions: &webhook.admission_review_versions,
            client: &webhook.client_config,
            rules: webhook.rules.as_deref().unwrap_or_default(),
        }
    }
}

fn validate_webhook(found: &mut Violations, at: usize, webhook: &Common<'_>) {
    let field = |name: &str| format!("webhooks[{at}].{name}");
    for problem in names::dns1123_subdomain(webhook.name) {
        found.invalid(field("name"), webhook.name, problem);
    }
    if webhook.name.split('.').count() < 3 {
        found.invalid(field("name"), webhook.name, "should be a domain with at least three segments separated by dots");
    }
    if !matches!(webhook.failure_policy, None | Some("Fail" | "Ignore")) {
        found.not_supported(field("failurePolicy"), webhook.failure_policy.unwrap_or_default(), &["Fail", "Ignore"]);
    }
    if !matches!(webhook.match_policy, None | Some("Exact" | "Equivalent")) {
        found.not_supported(field("matchPolicy"), webhook.match_policy.unwrap_or_default(), &["Equivalent", "Exact"]);
    }
    match webhook.side_effects {
        "" => found.required(field("sideEffects"), "must specify one of None, NoneOnDryRun"),
        "None" | "NoneOnDryRun" => {}
        other => found.not_supported(field("sideEffects"), other, &["None", "NoneOnDryRun"]),
    }
    if let Some(seconds) = webhook.timeout_seconds.filter(|seconds| !(1..=30).contains(seconds)) {
        found.invalid(field("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds");
    }
    if webhook.review_versions.is_empty() {
        found.required(field("admissionReviewVersions"), "must specify one of v1, v1beta1");
    }
    match (&webhook.client.url, &webhook.client.service) {
        (Some(_), Some(_)) | (None, None) => {
            found.required(field("clientConfig"), "exactly one of url or service is required");
        }
        (Some(url), None) if !url.starts_with("https://") => {
            found.invalid(field("clientConfig.url"), url.as_str(), "'https' is the only allowed URL scheme");
        }
        (None, Some(service)) => {
            for (name, value) in [("name", &service.name), ("namespace", &service.namespace)] {
                if value.is_empty() {
                    found.required(field(&format!("clientConfig.service.{name}")), "");
                }
            }
        }
        _ => {}
    }
    for (at, rule) in webhook.rules.iter().enumerate() {
        for (name, list) in [
            ("operations", &rule.operations),
            ("apiGroups", &rule.api_groups),
            ("apiVersions", &rule.api_versions),
            ("resources", &rule.resources),
        ] {
            if list.as_ref().is_none_or(Vec::is_empty) {
                found.required(field(&format!("rules[{at}].{name}")), "");
            }
        }
    }
}

fn unique_names<'a>(found: &mut Violations, names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            found.duplicate(format!("webhooks[{at}].name"), *name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration(changes: Value) -> ValidatingWebhookConfiguration {
        let mut webhook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n"}},
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        });
        for (name, value) in changes.as_object().unwrap() {
            webhook[name] = value.clone();
        }
        let mut configuration =
            serde_json::from_value(json!({"metadata": {"name": "c"}, "webhooks": [webhook]})).unwrap();
        Validating.default(&mut configuration);
        configuration
    }

    #[test]
    fn webhooks_are_checked() {
        for (case, changes, wrong) in [
            ("plain", json!({}), vec![]),
            ("a short name", json!({"name": "a"}), vec!["webhooks[0].name"]),
            ("side effects", json!({"sideEffects": "Some"}), vec!["webhooks[0].sideEffects"]),
            ("too long", json!({"timeoutSeconds": 31}), vec!["webhooks[0].timeoutSeconds"]),
            ("no versions", json!({"admissionReviewVersions": []}), vec!["webhooks[0].admissionReviewVersions"]),
            ("nowhere", json!({"clientConfig": {}}), vec!["webhooks[0].clientConfig"]),
            ("in the clear", json!({"clientConfig": {"url": "http://x"}}), vec!["webhooks[0].clientConfig.url"]),
            (
                "no rule",
                json!({"rules": [{"operations": ["*"]}]}),
                vec![
                    "webhooks[0].rules[0].apiGroups",
                    "webhooks[0].rules[0].apiVersions",
                    "webhooks[0].rules[0].resources",
                ],
            ),
        ] {
            assert_eq!(Validating.validate(&configuration(changes), None).fields(), wrong, "{case}");
        }
        let webhook = &configuration(json!({})).webhooks.unwrap()[0];
        assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));
        assert_eq!(webhook.client_config.service.as_ref().unwrap().port, Some(443));
    }
}
