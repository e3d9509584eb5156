//! `MutatingWebhookConfiguration` and `ValidatingWebhookConfiguration`: servers that are asked about writes.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sdk_api::{Violations, checks, domains, names};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::json;

use super::shared::{client, conditions, one_of, one_of_if_set, rules};

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
/// The versions of AdmissionReview that a server speaks.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

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

    fn validate(&self, new: &MutatingWebhookConfiguration, old: Option<&MutatingWebhookConfiguration>) -> Violations {
        let mut found = Violations::default();
        let common = |c: &MutatingWebhookConfiguration| -> Vec<Common> {
            c.webhooks.iter().flatten().map(Common::from).collect()
        };
        validate(&mut found, &common(new), old.map(common).as_deref());
        for (at, webhook) in new.webhooks.iter().flatten().enumerate() {
            let field = format!("webhooks[{at}].reinvocationPolicy");
            one_of_if_set(&mut found, field, webhook.reinvocation_policy.as_deref(), &REINVOCATION_POLICIES);
        }
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
        old: Option<&ValidatingWebhookConfiguration>,
    ) -> Violations {
        let mut found = Violations::default();
        let common = |c: &ValidatingWebhookConfiguration| -> Vec<Common> {
            c.webhooks.iter().flatten().map(Common::from).collect()
        };
        validate(&mut found, &common(new), old.map(common).as_deref());
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
struct Common {
    name: String,
    failure_policy: Option<String>,
    match_policy: Option<String>,
    side_effects: String,
    timeout_seconds: Option<i32>,
    review_versions: Vec<String>,
    client: WebhookClientConfig,
    rules: Vec<RuleWithOperations>,
    selectors: [Option<LabelSelector>; 2],
    conditions: Vec<MatchCondition>,
}

impl From<&MutatingWebhook> for Common {
    fn from(webhook: &MutatingWebhook) -> Self {
        Self {
            name: webhook.name.clone(),
            failure_policy: webhook.failure_policy.clone(),
            match_policy: webhook.match_policy.clone(),
            side_effects: webhook.side_effects.clone(),
            timeout_seconds: webhook.timeout_seconds,
            review_versions: webhook.admission_review_versions.clone(),
            client: webhook.client_config.clone(),
            rules: webhook.rules.clone().unwrap_or_default(),
            selectors: [webhook.namespace_selector.clone(), webhook.object_selector.clone()],
            conditions: webhook.match_conditions.clone().unwrap_or_default(),
        }
    }
}

impl From<&ValidatingWebhook> for Common {
    fn from(webhook: &ValidatingWebhook) -> Self {
        Self {
            name: webhook.name.clone(),
            failure_policy: webhook.failure_policy.clone(),
            match_policy: webhook.match_policy.clone(),
            side_effects: webhook.side_effects.clone(),
            timeout_seconds: webhook.timeout_seconds,
            review_versions: webhook.admission_review_versions.clone(),
            client: webhook.client_config.clone(),
            rules: webhook.rules.clone().unwrap_or_default(),
            selectors: [webhook.namespace_selector.clone(), webhook.object_selector.clone()],
            conditions: webhook.match_conditions.clone().unwrap_or_default(),
        }
    }
}

/// Match conditions that an update leaves as they are need not be good ones.
fn validate(found: &mut Violations, webhooks: &[Common], old: Option<&[Common]>) {
    let conditions = |all: &[Common]| all.iter().map(|webhook| webhook.conditions.clone()).collect::<Vec<_>>();
    let same_conditions = old.is_some_and(|old| conditions(old) == conditions(webhooks));
    let mut seen = BTreeSet::new();
    for (at, webhook) in webhooks.iter().enumerate() {
        let field = format!("webhooks[{at}]");
        validate_webhook(found, &field, webhook);
        if !same_conditions {
            conditions::match_conditions(found, &format!("{field}.matchConditions"), &webhook.conditions);
        }
        review_versions(found, &format!("{field}.admissionReviewVersions"), &webhook.review_versions);
        if !webhook.name.is_empty() && !seen.insert(&webhook.name) {
            found.duplicate(format!("{field}.name"), webhook.name.as_str());
        }
    }
}

fn validate_webhook(found: &mut Violations, path: &str, webhook: &Common) {
    let field = |name: &str| format!("{path}.{name}");
    domains::fully_qualified_name(found, field("name"), &webhook.name);
    for (at, rule) in webhook.rules.iter().enumerate() {
        rules::rule(found, &format!("{path}.rules[{at}]"), rule);
    }
    one_of_if_set(found, field("failurePolicy"), webhook.failure_policy.as_deref(), &FAILURE_POLICIES);
    one_of_if_set(found, field("matchPolicy"), webhook.match_policy.as_deref(), &MATCH_POLICIES);
    match webhook.side_effects.as_str() {
        "" => found.required(field("sideEffects"), "must specify one of None, NoneOnDryRun"),
        other => one_of(found, field("sideEffects"), Some(other), &SIDE_EFFECTS),
    }
    if let Some(seconds) = webhook.timeout_seconds.filter(|seconds| !(1..=30).contains(seconds)) {
        found.invalid(field("timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds");
    }
    for (name, selector) in ["namespaceSelector", "objectSelector"].into_iter().zip(&webhook.selectors) {
        if let Some(selector) = selector {
            checks::label_selector(found, field(name), selector);
        }
    }
    client::client(found, &field("clientConfig"), &webhook.client);
}

fn review_versions(found: &mut Violations, field: &str, versions: &[String]) {
    if versions.is_empty() {
        return found.required(field, format!("must specify one of {}", REVIEW_VERSIONS.join(", ")));
    }
    for (at, version) in versions.iter().enumerate() {
        let field = format!("{field}[{at}]");
        if versions[..at].contains(version) {
            found.invalid(field, version.as_str(), "duplicate version");
            continue;
        }
        for problem in names::dns1035_label(version) {
            found.invalid(&field, version.as_str(), problem);
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str())) {
        let why = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        found.invalid(field, json!(versions), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
            (
                "unknown versions",
                json!({"admissionReviewVersions": ["v2"]}),
                vec!["webhooks[0].admissionReviewVersions"],
            ),
            (
                "a version twice",
                json!({"admissionReviewVersions": ["v1", "v1"]}),
                vec!["webhooks[0].admissionReviewVersions[1]"],
            ),
            (
                "a bad selector",
                json!({"objectSelector": {"matchLabels": {"a": "b c"}}}),
                vec!["webhooks[0].objectSelector.matchLabels"],
            ),
            (
                "a condition without a name",
                json!({"matchConditions": [{"name": "", "expression": "true"}]}),
                vec!["webhooks[0].matchConditions[0].name"],
            ),
            ("no name", json!({"name": ""}), vec!["webhooks[0].name"]),
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
        let stored = configuration(json!({"matchConditions": [{"name": "", "expression": "true"}]}));
        assert_eq!(Validating.validate(&stored, Some(&stored)).fields(), Vec::<&str>::new());
        let webhook = &configuration(json!({})).webhooks.unwrap()[0];
        assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));
        assert_eq!(webhook.client_config.service.as_ref().unwrap().port, Some(443));
    }
}
