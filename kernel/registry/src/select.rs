//! Selective lists by index: which requirement of a selector an index answers, and what it finds.
//!
//! Equality of a field and `=` or `in` on a label go by an index; whatever else a selector says is asked of what was
//! found. Only the newest state is indexed: a list at an older revision reads the collection.

use std::sync::Arc;

use kernel_store::IndexBy;
use sdk_api::selector::Operator;
use sdk_api::{FieldSelector, LabelSelector, Object};
use sdk_plugin::Kind;

use crate::registry::Registry;

impl Registry {
    /// The revision and the objects that an index finds, before the selectors are asked; `None` if none can serve.
    pub(crate) fn by_index(
        &self,
        kind: &Kind,
        resource: &sdk_api::GroupResource,
        namespace: Option<&str>,
        labels: &LabelSelector,
        fields: &FieldSelector,
    ) -> Option<(u64, Vec<Arc<Object>>)> {
        let (by, values) = choose(kind, labels, fields)?;
        self.store.select(resource, namespace, &by, &values)
    }
}

/// The index to ask, and for which values. A name tells most, then a field, then a label.
fn choose(kind: &Kind, labels: &LabelSelector, fields: &FieldSelector) -> Option<(IndexBy, Vec<String>)> {
    if let Some(name) = fields.required("metadata.name") {
        let value = Arc::new(|object: &Object| Some(object.name().to_owned()));
        return Some((IndexBy { name: "name".into(), value }, vec![name.to_owned()]));
    }
    // Fields are those of the version that is served, as it reads today; indexes are of what is stored.
    if kind.stored_as.is_none() && !kind.strategy.refreshes() {
        for field in &kind.fields {
            if let Some(value) = fields.required(&field.name) {
                let value_of = field.value.clone();
                let by = Arc::new(move |object: &Object| Some(value_of(&object.document()).into_owned()));
                return Some((
                    IndexBy { name: format!("field {}", field.name).into(), value: by },
                    vec![value.to_owned()],
                ));
            }
        }
    }
    let requirement = labels.0.iter().find(|requirement| requirement.operator == Operator::In)?;
    let key = requirement.key.clone();
    let by = IndexBy {
        name: format!("label {key}").into(),
        value: Arc::new(move |object| object.meta().labels.get(&key).cloned()),
    };
    Some((by, requirement.values.clone()))
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::Pod;
    use sdk_plugin::FieldOf;

    use super::*;

    #[test]
    fn the_narrowest_requirement_is_chosen() {
        const FIELDS: &[FieldOf] = &[FieldOf {
            name: "spec.nodeName",
            value: |pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().into(),
        }];
        let kind = Kind::plain::<Pod>().fields(FIELDS);
        for (labels, fields, chosen) in [
            ("", "", None),
            ("a!=b,c,!d,e notin (f)", "metadata.namespace=n,spec.nodeName!=x", None),
            ("a=b", "", Some(("label a", vec!["b"]))),
            ("c,a in (b,c)", "", Some(("label a", vec!["b", "c"]))),
            ("a=b", "spec.nodeName=", Some(("field spec.nodeName", vec![""]))),
            ("a=b", "spec.nodeName=x,metadata.name=p", Some(("name", vec!["p"]))),
        ] {
            let found = choose(&kind, &LabelSelector::parse(labels).unwrap(), &FieldSelector::parse(fields).unwrap());
            let found = found.map(|(by, values)| (by.name.into_string(), values));
            let chosen = chosen.map(|(name, values): (&str, Vec<&str>)| {
                (name.to_owned(), values.into_iter().map(str::to_owned).collect::<Vec<_>>())
            });
            assert_eq!(found, chosen, "{labels} {fields}");
        }
    }
}
