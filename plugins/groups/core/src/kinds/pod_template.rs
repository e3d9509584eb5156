//! `PodTemplate`: a template of pods that nobody runs.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::PodTemplate;
use sdk_plugin::cells::{container_images, container_names, labels_text};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::{Options, template_defaults, validate_template};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Containers", |template, _| container_names(&template["template"]["spec"]).into()),
    Column::compute("Images", |template, _| container_images(&template["template"]["spec"]).into()),
    Column::compute("Pod Labels", |template, _| labels_text(&template["template"]["metadata"]["labels"]).into()),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(TemplateStrategy).columns(COLUMNS).generation().delete_answers_object()
}

struct TemplateStrategy;
impl Strategy for TemplateStrategy {
    type Object = PodTemplate;

    fn default(&self, template: &mut PodTemplate) {
        template_defaults(template.template.get_or_insert_default());
    }

    fn validate(&self, new: &PodTemplate, _old: Option<&PodTemplate>) -> Violations {
        let template = new.template.clone().unwrap_or_default();
        validate_template(&template, "template", Options::default())
    }
}
