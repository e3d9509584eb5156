//! The strategy of a custom kind in one version: everything follows from its schema.

use std::sync::Arc;

use sdk_api::{GroupResource, GroupVersionKind, Object, Status, Timestamp, Violations};
use sdk_plugin::{DynStrategy, Grace};
use serde_json::Value;

use super::scale::Scale;
use crate::schema::{Schema, defaults, embedded, lists, prune, validate};

/// What is true of a custom kind in one version.
pub struct Custom {
    pub gvk: GroupVersionKind,
    pub resource: GroupResource,
    pub schema: Arc<Schema>,
    pub scale: Option<Scale>,
    /// The definition is being deleted: nothing new comes in.
    pub is_terminating: bool,
}

impl Custom {
    fn api_version(&self) -> String {
        self.gvk.group_version().to_string()
    }

    /// Into this version, whatever it is in: versions differ in nothing but their name and what their schemas know.
    pub fn convert(&self, document: &mut Value) {
        document["apiVersion"] = self.api_version().into();
        prune::prune(document, &self.schema);
        defaults::prune_nulls(document, &self.schema);
    }

    fn problems(&self, new: &Value) -> Violations {
        let mut found = validate::validate(new, &self.schema, "");
        embedded::validate(new, &self.schema, "", &mut found);
        lists::duplicates(new, &self.schema, "", &mut found);
        if let Some(scale) = &self.scale {
            found.extend(scale.validate(new));
        }
        found
    }
}

impl DynStrategy for Custom {
    fn decode(&self, object: &mut Value) -> Option<Result<Vec<String>, Status>> {
        let mut unknown = match embedded::coerce(object, &self.schema) {
            Ok(unknown) => unknown,
            Err(why) => {
                let GroupVersionKind { kind, version, .. } = &self.gvk;
                let words = format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}");
                return Some(Err(Status::bad_request(words)));
            }
        };
        unknown.extend(prune::prune(object, &self.schema));
        defaults::prune_nulls(object, &self.schema);
        defaults::default(object, &self.schema);
        Some(Ok(unknown.into_iter().map(|path| format!("unknown field {path:?}")).collect()))
    }

    fn refreshes(&self) -> bool {
        true
    }

    fn refresh(&self, stored: &Object) -> Option<Value> {
        let tree = stored.tree();
        let is_fresh = stored.api_version() == self.api_version()
            && !prune::needs_pruning(tree, &self.schema)
            && !defaults::needs_defaults(tree, &self.schema);
        if is_fresh {
            return None;
        }
        let mut fresh = Value::clone(tree);
        self.convert(&mut fresh);
        defaults::default(&mut fresh, &self.schema);
        Some(fresh)
    }

    fn default(&self, object: &mut Value) -> Result<(), Status> {
        self.convert(object);
        defaults::default(object, &self.schema);
        Ok(())
    }

    fn prepare_create(&self, _new: &mut Value, _now: Timestamp) -> Result<(), Status> {
        match self.is_terminating {
            true => {
                Err(Status::method_not_allowed(format!("create on resources of kind {:?}", self.resource.to_string())))
            }
            false => Ok(()),
        }
    }

    fn prepare_update(&self, _new: &mut Value, _old: &Value, _now: Timestamp) -> Result<(), Status> {
        Ok(())
    }

    fn validate(&self, new: &Value, _old: Option<&Value>) -> Result<Violations, Status> {
        Ok(self.problems(new))
    }

    fn validate_status(&self, new: &Value, _old: &Value) -> Result<Violations, Status> {
        Ok(self.problems(new))
    }

    fn warnings(&self, _new: &Value) -> Vec<String> {
        Vec::new()
    }

    fn grace(&self, _object: &Value, _asked: Option<i64>) -> Grace {
        Grace::None
    }

    fn begin_deletion(&self, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    fn is_held(&self, _object: &Value) -> bool {
        false
    }
}
