//! The kind table: every served row, by every name a request may use.

use std::collections::HashMap;
use std::sync::Arc;

use sdk_api::{GroupResource, GroupVersionKind};
use sdk_plugin::Kind;
use sdk_schema::{SchemaRef, Schemas};

/// Rows in the order of registration, with look-ups. Never changed: rows that come or go make a new table, and whoever
/// holds one sees all of it as it was.
#[derive(Clone, Default)]
pub struct KindTable {
    /// Every row with the name of whoever put it in at run time; built-in rows have none.
    all: Vec<(Arc<Kind>, Option<Arc<str>>)>,
    served: Vec<Arc<Kind>>,
    by_path: HashMap<(String, String, String), Arc<Kind>>,
    by_kind: HashMap<GroupVersionKind, Arc<Kind>>,
    stored: HashMap<GroupResource, Arc<Kind>>,
}

impl KindTable {
    /// Fails on a row whose names are taken.
    pub fn new(rows: impl IntoIterator<Item = Kind>) -> Result<Self, String> {
        Self::of(rows.into_iter().map(|row| (Arc::new(row), None)))
    }

    /// This table with other rows of `owner`, which stand last. Fails on a row whose names are taken.
    pub fn with(&self, owner: &str, rows: impl IntoIterator<Item = Kind>) -> Result<Self, String> {
        let kept = self.all.iter().filter(|(_, of)| of.as_deref() != Some(owner)).cloned();
        let name: Arc<str> = owner.into();
        Self::of(kept.chain(rows.into_iter().map(|row| (Arc::new(row), Some(name.clone())))))
    }

    fn of(rows: impl Iterator<Item = (Arc<Kind>, Option<Arc<str>>)>) -> Result<Self, String> {
        let mut table = Self::default();
        for (row, owner) in rows {
            table.add(&row, owner.as_deref())?;
            table.all.push((row, owner));
        }
        for row in table.all.iter().filter_map(|(row, _)| row.stored_as.as_ref()) {
            if !table.by_kind.contains_key(&row.kind) {
                return Err(format!("a kind is stored as {}, which nothing registers", row.kind));
            }
        }
        Ok(table)
    }

    fn add(&mut self, row: &Arc<Kind>, owner: Option<&str>) -> Result<(), String> {
        let path = (row.gvk.group.clone(), row.gvk.version.clone(), row.plural.to_string());
        if self.by_path.contains_key(&path) {
            return Err(format!("two kinds are served as {} of {}", row.plural, row.gvk.group_version()));
        }
        // Built-in kinds that are answered may share their type, as several groups post the same Scale.
        if owner.is_some() && self.by_kind.contains_key(&row.gvk) {
            return Err(format!("two resources are of kind {}", row.gvk));
        }
        self.by_kind.entry(row.gvk.clone()).or_insert_with(|| row.clone());
        if row.stored_as.is_none() && row.answer.is_none() {
            self.stored.entry(row.group_resource()).or_insert_with(|| row.clone());
        }
        if row.served {
            self.by_path.insert(path, row.clone());
            self.served.push(row.clone());
        }
        Ok(())
    }

    /// The rows that requests reach.
    pub fn rows(&self) -> &[Arc<Kind>] {
        &self.served
    }

    /// The row that a request path names.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    pub fn by_kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Kind>> {
        self.by_kind.get(gvk)
    }

    /// The schema of a kind's documents, whether it has a row or only travels, as `Scale` does.
    pub fn schema(&self, gvk: &GroupVersionKind) -> Option<SchemaRef> {
        let own = self.by_kind.get(gvk).and_then(|row| row.schema.clone());
        own.or_else(|| Schemas::builtin().kind(gvk))
    }

    /// The row in whose version objects of a collection are stored.
    pub fn stored(&self, resource: &GroupResource) -> Option<&Arc<Kind>> {
        self.stored.get(resource)
    }

    /// The rows whose objects are stored, served or not: one for each collection.
    pub fn collections(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter().map(|(row, _)| row).filter(|row| row.stored_as.is_none() && row.answer.is_none())
    }

    /// The row that stores what `row` serves: itself, unless it is another version.
    pub fn hub(&self, row: &Arc<Kind>) -> Arc<Kind> {
        let hub = row.stored_as.as_ref().and_then(|stored| self.by_kind.get(&stored.kind));
        hub.unwrap_or(row).clone()
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::Scope;
    use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use sdk_plugin::StoredAs;
    use sdk_plugin::strategy::NoStrategy;

    use super::*;

    fn widget(version: &str, plural: &str) -> Kind {
        let gvk = GroupVersionKind::new("x.io", version, "Widget");
        Kind::named(gvk, plural, Scope::Namespaced, Arc::new(NoStrategy))
    }

    fn names(table: &KindTable) -> Vec<String> {
        table.rows().iter().map(|row| format!("{} {}", row.gvk.version, row.plural)).collect()
    }

    #[test]
    fn rows_come_and_go_with_their_owner() {
        let before = KindTable::new([Kind::plain::<ConfigMap>()]).unwrap();
        let stored = StoredAs::new(widget("v2", "").gvk, |_| {}, |_| {});
        let hidden = Kind { served: false, ..widget("v2", "widgets") };
        let with = before.with("a", [hidden, widget("v1", "widgets").stored_as(stored)]).unwrap();
        assert_eq!(names(&with), ["v1 configmaps", "v1 widgets"]);
        assert!(with.by_path("x.io", "v2", "widgets").is_none(), "not served");
        let row = with.by_path("x.io", "v1", "widgets").unwrap();
        assert_eq!(with.hub(row).gvk.version, "v2");
        assert_eq!(with.collections().count(), 2);
        assert_eq!(names(&before), ["v1 configmaps"], "who holds a table keeps it");

        let other = with.with("b", [Kind::plain::<Secret>()]).unwrap();
        assert_eq!(names(&other.with("a", []).unwrap()), ["v1 configmaps", "v1 secrets"]);
    }

    #[test]
    fn names_that_are_taken_are_refused() {
        let table = KindTable::new([Kind::plain::<ConfigMap>()]).unwrap().with("a", [widget("v1", "widgets")]).unwrap();
        let taken = |owner: &str, row: Kind| table.with(owner, [row]).err().unwrap_or_default();
        assert_eq!(taken("b", widget("v1", "widgets")), "two kinds are served as widgets of x.io/v1");
        assert!(taken("b", widget("v1", "gadgets")).contains("two resources are of kind"));
        assert_eq!(taken("a", widget("v1", "widgets")), "", "its own names are free");
    }
}
