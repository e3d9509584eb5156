//! `apiextensions.k8s.io`: kinds that users define. A definition becomes rows of the kind table, like any other kind's.

mod custom;
mod establish;
mod json_path;
pub mod kinds;
pub mod schema;
mod source;
mod versions;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `apiextensions.k8s.io`.
pub fn plugin() -> impl Plugin {
    Crds
}

struct Crds;

impl Plugin for Crds {
    fn name(&self) -> &'static str {
        "crds"
    }

    fn register(&self, tables: &mut Tables) {
        tables.kind(kinds::custom_resource_definition::kind());
        let definitions = Arc::new(source::Definitions::default());
        tables.kind_source(definitions.clone());
        tables.agent(definitions);
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::discovery;

    #[test]
    fn the_rows_are_upstreams() {
        let kinds = discovery::rows(&super::plugin()).kinds;
        let expected = ["apiextensions.k8s.io/v1 customresourcedefinitions cluster crd,crds in api-extensions /status"];
        assert_eq!(discovery::lines(&kinds), expected);
        assert_eq!(discovery::differences(&kinds, &["apiextensions.k8s.io"]), Vec::<String>::new());
    }
}
