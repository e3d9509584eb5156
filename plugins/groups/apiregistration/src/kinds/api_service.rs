//! `APIService`: who serves a group and version.

use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition};
use sdk_api::{Timestamp, Violations, names, time};
use sdk_plugin::{Column, Kind, PartOf, Strategy};

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Service", |api, _| {
        let service = &api["spec"]["service"];
        match (service["namespace"].as_str(), service["name"].as_str()) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}").into(),
            _ => "Local".into(),
        }
    })
    .describe("The reference to the service that hosts this API endpoint."),
    Column::compute("Available", |api, _| {
        let conditions = api["status"]["conditions"].as_array().into_iter().flatten();
        match conditions.into_iter().find(|condition| condition["type"] == "Available") {
            None => "Unknown".into(),
            Some(condition) if condition["status"] == "True" => "True".into(),
            Some(condition) => {
                let text = |field: &str| condition[field].as_str().unwrap_or_default();
                format!("{} ({})", text("status"), text("reason")).into()
            }
        }
    })
    .describe("Whether this service is available."),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ApiServiceStrategy)
        .categories(&["api-extensions"])
        .columns(COLUMNS)
        .name_rule(names::path_segment)
        .part("status", PartOf { fields: &["status"], metadata: false })
        .revision_required()
}

struct ApiServiceStrategy;
impl Strategy for ApiServiceStrategy {
    type Object = APIService;

    fn default(&self, api: &mut APIService) {
        if let Some(service) = api.spec.as_mut().and_then(|spec| spec.service.as_mut()) {
            service.port.get_or_insert(443);
        }
    }

    /// What the server serves itself is there from the start.
    fn prepare_create(&self, new: &mut APIService, now: Timestamp) {
        new.status = None;
        if new.spec.as_ref().is_some_and(|spec| spec.service.is_none()) {
            let local = APIServiceCondition {
                type_: "Available".into(),
                status: "True".into(),
                reason: Some("Local".into()),
                message: Some("Local APIServices are always available".into()),
                last_transition_time: Some(time::whole_seconds(now).into()),
            };
            new.status.get_or_insert_default().conditions = Some(vec![local]);
        }
    }

    fn validate(&self, new: &APIService, _old: Option<&APIService>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (group, version, name) = (text(&spec.group), text(&spec.version), text(&new.metadata.name));
        let wanted = format!("{version}.{group}");
        if name != wanted && names::path_segment(&name).is_empty() {
            let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            found.invalid("metadata.name", name, why);
        }
        if group.is_empty() && version != "v1" {
            found.required("spec.group", "only v1 may have an empty group and it better be legacy kube");
        }
        if !group.is_empty() {
            each_invalid(&mut found, "spec.group", &group, names::dns1123_subdomain(&group));
        }
        each_invalid(&mut found, "spec.version", &version, names::dns1035_label(&version));
        for (field, value, max) in [
            ("groupPriorityMinimum", spec.group_priority_minimum, 20_000),
            ("versionPriority", spec.version_priority, 1000),
        ] {
            if !(1..=max).contains(&value) {
                found.invalid(format!("spec.{field}"), value, format!("must be positive and less than {max}"));
            }
        }
        let is_insecure = spec.insecure_skip_tls_verify == Some(true);
        let bundle = spec.ca_bundle.as_ref().map_or(0, |bundle| bundle.0.len());
        let Some(service) = &spec.service else {
            if bundle > 0 {
                found.invalid("spec.caBundle", format!("{bundle} bytes"), "local APIServices may not have a caBundle");
            }
            if is_insecure {
                let why = "local APIServices may not have insecureSkipTLSVerify";
                found.invalid("spec.insecureSkipTLSVerify", true, why);
            }
            return found;
        };
        for (field, value) in [("namespace", &service.namespace), ("name", &service.name)] {
            if value.as_deref().is_none_or(str::is_empty) {
                found.required(format!("spec.service.{field}"), "");
            }
        }
        let port = service.port.unwrap_or(0);
        let problems = names::port_number(port.into());
        if !problems.is_empty() {
            found.invalid("spec.service.port", port, format!("port is not valid: {}", problems.join(", ")));
        }
        if is_insecure && bundle > 0 {
            found.invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present");
        }
        found
    }

    fn validate_status(&self, new: &APIService, _old: &APIService) -> Violations {
        let mut found = Violations::default();
        let conditions = new.status.iter().flat_map(|status| status.conditions.iter().flatten());
        for (at, condition) in conditions.enumerate() {
            if !STATUSES.contains(&condition.status.as_str()) {
                let field = format!("status.conditions[{at}].status");
                found.not_supported(field, condition.status.as_str(), &STATUSES);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(name: &str, change: Value) -> APIService {
        let mut spec = json!({"group": "a.io", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10});
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let mut service = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        ApiServiceStrategy.default(&mut service);
        service
    }

    #[test]
    fn services_are_checked() {
        let there = || json!({"namespace": "n", "name": "s"});
        for (case, name, change, wrong) in [
            ("local", "v1.a.io", json!({}), vec![]),
            ("a service", "v1.a.io", json!({"service": there(), "caBundle": "YQ=="}), vec![]),
            ("another name", "v2.a.io", json!({}), vec!["metadata.name"]),
            ("no group", "v1.", json!({"group": ""}), vec![]),
            ("no group but not the first", "v2.", json!({"group": "", "version": "v2"}), vec!["spec.group"]),
            ("bad names", "1.A", json!({"group": "A", "version": "1"}), vec!["spec.group", "spec.version"]),
            (
                "no priority",
                "v1.a.io",
                json!({"groupPriorityMinimum": 0, "versionPriority": 1001}),
                vec!["spec.groupPriorityMinimum", "spec.versionPriority"],
            ),
            (
                "local with a certificate",
                "v1.a.io",
                json!({"caBundle": "YQ==", "insecureSkipTLSVerify": true}),
                vec!["spec.caBundle", "spec.insecureSkipTLSVerify"],
            ),
            (
                "nowhere, and both ways",
                "v1.a.io",
                json!({"service": {"port": 70_000}, "caBundle": "YQ==", "insecureSkipTLSVerify": true}),
                vec!["spec.service.namespace", "spec.service.name", "spec.service.port", "spec.insecureSkipTLSVerify"],
            ),
        ] {
            assert_eq!(ApiServiceStrategy.validate(&service(name, change), None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn what_is_local_is_available() {
        let mut local = service("v1.a.io", json!({}));
        ApiServiceStrategy.prepare_create(&mut local, Timestamp::UNIX_EPOCH);
        let document = serde_json::to_value(&local).unwrap();
        assert_eq!(COLUMNS[1].value(&document, Timestamp::UNIX_EPOCH), "Local");
        assert_eq!(COLUMNS[2].value(&document, Timestamp::UNIX_EPOCH), "True");
        assert!(ApiServiceStrategy.validate_status(&local, &local).is_empty());
        let mut remote = service("v1.a.io", json!({"service": {"namespace": "n", "name": "s"}}));
        ApiServiceStrategy.prepare_create(&mut remote, Timestamp::UNIX_EPOCH);
        assert_eq!(remote.status, None);
        let condition = json!({"conditions": [{"type": "Available", "status": "Perhaps"}]});
        remote.status = serde_json::from_value(condition).unwrap();
        assert_eq!(ApiServiceStrategy.validate_status(&remote, &remote).fields(), ["status.conditions[0].status"]);
    }
}
