//! The kind table: every served row, by every name a request may use.

use std::collections::HashMap;
use std::sync::Arc;

use sdk_api::{GroupResource, GroupVersionKind};
use sdk_plugin::Kind;

/// Rows in the order of registration, with look-ups. Built once; rows added at run time make a new table.
#[derive(Clone, Default)]
pub struct KindTable {
    rows: Vec<Arc<Kind>>,
    by_path: HashMap<(String, String, String), Arc<Kind>>,
    by_kind: HashMap<GroupVersionKind, Arc<Kind>>,
    stored: HashMap<GroupResource, Arc<Kind>>,
}

impl KindTable {
    /// Fails on a row whose names are taken.
    pub fn new(rows: impl IntoIterator<Item = Kind>) -> Result<Self, String> {
        let mut table = Self::default();
        for row in rows {
            table.add(Arc::new(row))?;
        }
        for row in table.rows.iter().filter_map(|row| row.stored_as.as_ref()) {
            if !table.by_kind.contains_key(&row.kind) {
                return Err(format!("a kind is stored as {}, which nothing registers", row.kind));
            }
        }
        Ok(table)
    }

    fn add(&mut self, row: Arc<Kind>) -> Result<(), String> {
        let path = (row.gvk.group.clone(), row.gvk.version.clone(), row.plural.to_string());
        if self.by_path.insert(path, row.clone()).is_some() {
            return Err(format!("two kinds are served as {} of {}", row.plural, row.gvk.group_version()));
        }
        // Answered kinds may share their type: several groups post the same Scale.
        self.by_kind.entry(row.gvk.clone()).or_insert_with(|| row.clone());
        if row.stored_as.is_none() && row.answer.is_none() {
            self.stored.entry(row.group_resource()).or_insert_with(|| row.clone());
        }
        self.rows.push(row);
        Ok(())
    }

    pub fn rows(&self) -> &[Arc<Kind>] {
        &self.rows
    }

    /// The row that a request path names.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    pub fn by_kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Kind>> {
        self.by_kind.get(gvk)
    }

    /// The row in whose version objects of a collection are stored.
    pub fn stored(&self, resource: &GroupResource) -> Option<&Arc<Kind>> {
        self.stored.get(resource)
    }

    /// The rows whose objects are stored: one for each collection.
    pub fn collections(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.rows.iter().filter(|row| row.stored_as.is_none() && row.answer.is_none())
    }

    /// The row that stores what `row` serves: itself, unless it is another version.
    pub fn hub(&self, row: &Arc<Kind>) -> Arc<Kind> {
        let hub = row.stored_as.as_ref().and_then(|stored| self.by_kind.get(&stored.kind));
        hub.unwrap_or(row).clone()
    }
}
