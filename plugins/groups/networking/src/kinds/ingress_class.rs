//! `IngressClass`: which controller serves an Ingress.

use sdk_api::k8s_openapi::api::networking::v1::IngressClass;
use sdk_api::{Violations, checks, names};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, Kind, Strategy};

/// The longest name of a controller, in bytes.
const CONTROLLER_MAX: usize = 250;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Controller", ".spec.controller").describe("Controller that is responsible for handling this class"),
    Column::compute("Parameters", |class, _| {
        let parameters = &class["spec"]["parameters"];
        let Some(kind) = parameters["kind"].as_str() else { return NONE.into() };
        let group = parameters["apiGroup"].as_str().map(|group| format!(".{group}")).unwrap_or_default();
        format!("{kind}{group}/{}", parameters["name"].as_str().unwrap_or_default()).into()
    })
    .describe("A reference to a resource with additional parameters"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(IngressClassStrategy).columns(COLUMNS).generation()
}

struct IngressClassStrategy;
impl Strategy for IngressClassStrategy {
    type Object = IngressClass;

    fn default(&self, class: &mut IngressClass) {
        if let Some(parameters) = class.spec.as_mut().and_then(|spec| spec.parameters.as_mut()) {
            parameters.scope.get_or_insert_with(|| "Cluster".into());
        }
    }

    fn validate(&self, new: &IngressClass, old: Option<&IngressClass>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        let controller = spec.controller.as_deref().unwrap_or_default();
        if controller.len() > CONTROLLER_MAX {
            found.too_long("spec.controller", CONTROLLER_MAX);
        }
        match controller.split_once('/') {
            _ if controller.is_empty() => found.required("spec.controller", ""),
            Some((domain, path)) if !path.is_empty() => {
                for problem in names::dns1123_subdomain(domain) {
                    found.invalid("spec.controller", controller, problem);
                }
            }
            _ => {
                found.invalid("spec.controller", controller, "must be a domain-prefixed path (such as \"acme.io/foo\")")
            }
        }
        if let Some(parameters) = &spec.parameters {
            const FIELD: &str = "spec.parameters";
            for (name, value) in [("kind", &parameters.kind), ("name", &parameters.name)] {
                if value.is_empty() {
                    found.required(format!("{FIELD}.{name}"), format!("{name} is required"));
                }
                for problem in names::path_segment(value) {
                    found.invalid(format!("{FIELD}.{name}"), value.as_str(), problem);
                }
            }
            let namespace = parameters.namespace.as_deref();
            match parameters.scope.as_deref() {
                Some("Cluster") if namespace.is_some() => {
                    found.forbidden(
                        format!("{FIELD}.namespace"),
                        "parameters.namespace is forbidden when scope is 'Cluster'",
                    );
                }
                Some("Namespace") if namespace.is_none() => {
                    found.required(
                        format!("{FIELD}.namespace"),
                        "parameters.namespace is required when scope is 'Namespace'",
                    );
                }
                Some("Cluster" | "Namespace") | None => {}
                Some(other) => found.not_supported(format!("{FIELD}.scope"), other, &["Cluster", "Namespace"]),
            }
        }
        if let Some(old) = old {
            let controller_of = |class: &IngressClass| class.spec.as_ref().and_then(|spec| spec.controller.clone());
            checks::unchanged(&mut found, "spec.controller", &controller_of(new), &controller_of(old));
        }
        found
    }
}
