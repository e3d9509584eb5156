//! `IngressClass`: which controller serves an Ingress.

use sdk_api::k8s_openapi::api::core::v1::TypedLocalObjectReference;
use sdk_api::k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference};
use sdk_api::{Violations, checks, domains, names};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, Kind, Strategy};

use super::ingress;

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
        domains::domain_prefixed_path(&mut found, "spec.controller", controller);
        if let Some(parameters) = &spec.parameters {
            validate_parameters(&mut found, "spec.parameters", parameters);
        }
        if let Some(old) = old {
            let controller_of = |class: &IngressClass| class.spec.as_ref().and_then(|spec| spec.controller.clone());
            checks::unchanged(&mut found, "spec.controller", &controller_of(new), &controller_of(old));
        }
        found
    }
}

fn validate_parameters(found: &mut Violations, field: &str, parameters: &IngressClassParametersReference) {
    let reference = TypedLocalObjectReference {
        api_group: parameters.api_group.clone(),
        kind: parameters.kind.clone(),
        name: parameters.name.clone(),
    };
    ingress::reference(found, field, &reference);
    let at = format!("{field}.namespace");
    match (parameters.scope.as_deref(), parameters.namespace.as_deref()) {
        (None, _) => found.required(format!("{field}.scope"), ""),
        (Some("Namespace"), None) => found.required(at, "`parameters.scope` is set to 'Namespace'"),
        (Some("Namespace"), Some(name)) => domains::each_invalid(found, at, name, names::dns1123_label(name)),
        (Some("Cluster"), Some(_)) => found.forbidden(at, "`parameters.scope` is set to 'Cluster'"),
        (Some("Cluster"), None) => {}
        (Some(other), _) => found.not_supported(format!("{field}.scope"), other, &["Cluster", "Namespace"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(spec: Value) -> IngressClass {
        let mut class = serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
        IngressClassStrategy.default(&mut class);
        class
    }

    #[test]
    fn classes_are_checked() {
        let with = |more: Value| {
            let mut parameters = json!({"kind": "K", "name": "n"});
            for (name, value) in more.as_object().unwrap() {
                parameters[name] = value.clone();
            }
            json!({"controller": "a.io/b", "parameters": parameters})
        };
        for (case, spec, wrong) in [
            ("plain", json!({"controller": "a.io/b"}), vec![]),
            ("no controller", json!({}), vec!["spec.controller"]),
            ("no domain", json!({"controller": "nginx"}), vec!["spec.controller"]),
            ("a long one", json!({"controller": format!("a.io/{}", "x".repeat(250))}), vec!["spec.controller"]),
            ("parameters", with(json!({})), vec![]),
            ("parameters of no kind", with(json!({"kind": ""})), vec!["spec.parameters.kind"]),
            ("in a namespace", with(json!({"scope": "Namespace", "namespace": "n"})), vec![]),
            ("in no namespace", with(json!({"scope": "Namespace"})), vec!["spec.parameters.namespace"]),
            (
                "in a bad namespace",
                with(json!({"scope": "Namespace", "namespace": "a.b"})),
                vec!["spec.parameters.namespace"],
            ),
            ("everywhere, in a namespace", with(json!({"namespace": "n"})), vec!["spec.parameters.namespace"]),
            ("elsewhere", with(json!({"scope": "Moon"})), vec!["spec.parameters.scope"]),
        ] {
            assert_eq!(IngressClassStrategy.validate(&class(spec), None).fields(), wrong, "{case}");
        }
        let old = class(json!({"controller": "a.io/b"}));
        let found = IngressClassStrategy.validate(&class(json!({"controller": "a.io/c"})), Some(&old));
        assert_eq!(found.summary(), "spec.controller: Invalid value: \"a.io/c\": field is immutable");
    }
}
