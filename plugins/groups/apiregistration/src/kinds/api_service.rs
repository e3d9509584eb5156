//! `APIService`: who serves a group and version.

use sdk_api::Violations;
use sdk_api::k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use sdk_plugin::{Column, Kind, Strategy};

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
    Kind::of(ApiServiceStrategy).categories(&["api-extensions"]).columns(COLUMNS).status().revision_required()
}

struct ApiServiceStrategy;
impl Strategy for ApiServiceStrategy {
    type Object = APIService;

    fn default(&self, api: &mut APIService) {
        if let Some(service) = api.spec.as_mut().and_then(|spec| spec.service.as_mut()) {
            service.port.get_or_insert(443);
        }
    }

    fn validate(&self, new: &APIService, _old: Option<&APIService>) -> Violations {
        let mut found = Violations::default();
        let Some(spec) = &new.spec else { return found };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (group, version, name) = (text(&spec.group), text(&spec.version), text(&new.metadata.name));
        if version.is_empty() {
            found.required("spec.version", "");
        }
        let wanted = format!("{version}.{group}");
        if name != wanted {
            found.invalid("metadata.name", name, format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"));
        }
        if !(1..=20_000).contains(&spec.group_priority_minimum) {
            let why = "must be positive and less than 20000";
            found.invalid("spec.groupPriorityMinimum", spec.group_priority_minimum, why);
        }
        if !(1..=1000).contains(&spec.version_priority) {
            found.invalid("spec.versionPriority", spec.version_priority, "must be positive and less than 1000");
        }
        match &spec.service {
            None => {
                if spec.insecure_skip_tls_verify == Some(true) {
                    found.invalid(
                        "spec.insecureSkipTLSVerify",
                        true,
                        "local APIServices may not have an insecureSkipTLSVerify",
                    );
                }
            }
            Some(service) => {
                if service.namespace.as_deref().is_none_or(str::is_empty) {
                    found.required("spec.service.namespace", "");
                }
                if service.name.as_deref().is_none_or(str::is_empty) {
                    found.required("spec.service.name", "");
                }
                if spec.ca_bundle.is_some() && spec.insecure_skip_tls_verify == Some(true) {
                    found.invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present");
                }
            }
        }
        found
    }
}
