//! Managed fields: who owns which field of an object, kept on every write, and server-side apply on top of it.
//!
//! What is here works on documents in the version of the request. Source: KEP-555, "Server-Side Apply" in the
//! Kubernetes documentation.

mod apply;
mod conflict;
mod entry;
mod last_applied;
mod scale;
mod update;

use std::borrow::Cow;
use std::sync::LazyLock;

use sdk_api::{GroupVersionKind, Reason, Status, Timestamp, time};
use sdk_plugin::{Kind, Part};
use sdk_schema::SchemaRef;
use sdk_schema::fields::{self, Set};
use serde_json::{Map, Value, json};

use crate::document::{meta_text, metadata};
use crate::options::{ApplyPatch, Caller, FieldValidation};
use crate::registry::Registry;
use entry::Entry;

pub(crate) use scale::shown_in_scale;

/// What identifies an object or is the system's own is nobody's field.
static UNOWNED: LazyLock<Set> = LazyLock::new(|| {
    let top = [&["apiVersion"][..], &["kind"], &["metadata"]].map(Set::of_path);
    let names = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let all = names.map(|name| Set::of_path(&["metadata", name]));
    top.iter().chain(&all).fold(Set::default(), |set, one| set.union(one))
});

/// The versions in which a kind can be said.
trait Versions {
    fn schema(&self, version: &str) -> Option<SchemaRef>;
    /// The document in another version; `None` if one of them is not served.
    fn convert(&self, document: &Value, from: &str, to: &str) -> Option<Value>;
}

/// One write, as far as ownership needs to know it.
#[derive(Clone, Copy)]
struct Work<'a> {
    manager: &'a str,
    /// The version of the request, such as `apps/v1`.
    version: &'a str,
    /// The version in which the subresource travels, where that is a kind of its own.
    travels: Option<&'a str>,
    /// Empty for the object itself.
    subresource: &'a str,
    versions: &'a dyn Versions,
    /// All that a write of this subresource changes; `None` for the object itself.
    writes: Option<&'a Set>,
    /// What a write of the object itself does not change.
    resets: Option<&'a Set>,
    now: Timestamp,
}

impl Work<'_> {
    /// The fields of a set that the write can change.
    fn kept(&self, set: Set) -> Set {
        let set = match self.writes {
            Some(writes) => set.within(writes),
            None => set,
        };
        match self.resets {
            Some(resets) => set.difference_below(resets),
            None => set,
        }
    }

    /// The fields of a set that the write can own.
    fn countable(&self, set: Set) -> Set {
        self.kept(set).difference(&UNOWNED)
    }

    fn time(&self) -> String {
        time::rfc3339(self.now)
    }
}

/// The rows of one kind.
struct Rows<'a> {
    registry: &'a Registry,
    kind: &'a Kind,
}

impl Rows<'_> {
    fn gvk(&self, version: &str) -> GroupVersionKind {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        GroupVersionKind::new(group, version, &self.kind.gvk.kind)
    }

    fn stored(kind: &Kind) -> &GroupVersionKind {
        kind.stored_as.as_ref().map_or(&kind.gvk, |other| &other.kind)
    }
}

impl Versions for Rows<'_> {
    fn schema(&self, version: &str) -> Option<SchemaRef> {
        self.registry.schema(&self.gvk(version))
    }

    fn convert(&self, document: &Value, from: &str, to: &str) -> Option<Value> {
        let mut document = document.clone();
        if from == to {
            return Some(document);
        }
        let table = self.registry.table();
        let row = |version: &str| {
            table.by_kind(&self.gvk(version)).filter(|row| Self::stored(row) == Self::stored(self.kind)).cloned()
        };
        let (from, to) = (row(from)?, row(to)?);
        if let Some(other) = &from.stored_as {
            (other.to_stored)(&mut document);
        }
        if let Some(other) = &to.stored_as {
            (other.from_stored)(&mut document);
        }
        Some(document)
    }
}

/// The fields that a part writes, as a set; empty if it does not say.
fn written_by(part: &dyn Part) -> Set {
    let path = |path: &String| Set::of_path(&path.split('.').collect::<Vec<_>>());
    part.writes().iter().map(path).fold(Set::default(), |set, one| set.union(&one))
}

/// Whether the client asks for the list to be forgotten: by an empty list, or one with an empty entry.
fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.is_empty(),
        _ => false,
    }
}

/// The entries that a write starts from: those that the client sent, if it may and they are readable, else the live ones.
fn base(subresource: &str, live: Option<&Value>, sent: Option<&Value>) -> Vec<Entry> {
    let stored = || live.and_then(|live| entry::read(live).ok()).unwrap_or_default();
    match sent.filter(|_| subresource.is_empty()) {
        Some(list) if is_reset(list) => Vec::new(),
        Some(list) if Some(list) != live => match entry::read_sent(list) {
            Ok(entries) if !entries.is_empty() => entries,
            _ => stored(),
        },
        _ => stored(),
    }
}

impl Registry {
    fn work<T>(
        &self,
        caller: &Caller<'_>,
        kind: &Kind,
        subresource: &str,
        part: Option<&dyn Part>,
        run: impl FnOnce(&Work<'_>) -> T,
    ) -> T {
        let version = kind.gvk.group_version().to_string();
        let writes = part.map(written_by).filter(|set| !set.is_empty());
        let resets = (part.is_none() && kind.subresource("status").is_some()).then(|| Set::of_path(&["status"]));
        let travels = part.and_then(Part::kind).map(|gvk| gvk.group_version().to_string());
        run(&Work {
            manager: caller.manager,
            version: &version,
            travels: travels.as_deref(),
            subresource,
            versions: &Rows { registry: self, kind },
            writes: writes.as_ref(),
            resets: resets.as_ref(),
            now: self.clock.now(),
        })
    }

    /// Keeps track of who owns what after a create, replace or patch. `old` and `new` are as stored.
    ///
    /// Ownership that cannot be made sense of is dropped rather than failing the write. An object that has lost its
    /// managed fields stays without them until it is applied.
    pub(crate) fn track(
        &self,
        caller: &Caller<'_>,
        kind: &Kind,
        subresource: &str,
        part: Option<&dyn Part>,
        old: Option<&Value>,
        new: &mut Value,
    ) {
        let sent = metadata(new).remove("managedFields");
        let live = old.map(|old| &old["metadata"]["managedFields"]).filter(|live| !live.is_null());
        let entries = base(subresource, live, sent.as_ref());
        if entries.is_empty() && old.is_some() {
            return;
        }
        let list = {
            let shown = |document| in_version_of(kind, document);
            let (before, after) = (old.map(shown), in_version_of(kind, new));
            let entries = self
                .work(caller, kind, subresource, part, |work| update::update(work, entries, before.as_deref(), &after));
            entry::write(entries)
        };
        if let Some(list) = list {
            metadata(new).insert("managedFields".into(), list);
        }
    }

    /// Applies a configuration to `live`, which is `None` for an object that does not exist. The document that comes
    /// out is in the form of the request and has its managed fields.
    pub(crate) fn apply(
        &self,
        caller: &Caller<'_>,
        kind: &Kind,
        (name, subresource): (&str, &str),
        part: Option<&dyn Part>,
        live: Option<&Value>,
        patch: &ApplyPatch,
    ) -> Result<Value, Status> {
        let travels = part.and_then(Part::kind);
        let gvk = travels.as_ref().unwrap_or(&kind.gvk);
        check_config(&patch.config, gvk)?;
        let schema = self.schema(gvk);
        fields::check(schema.as_ref(), &patch.config).map_err(|words| {
            let (namespace, name) = (meta_text(&patch.config, "namespace"), meta_text(&patch.config, "name"));
            Status::new(
                500,
                Reason::Unknown,
                format!("failed to create typed patch object ({namespace}/{name}; {}): {words}", shown(gvk)),
            )
        })?;
        self.complain(caller, patch)?;

        let created = live.is_none();
        let empty = || json!({"apiVersion": kind.gvk.group_version().to_string(), "kind": kind.gvk.kind});
        let mut live = live.cloned().unwrap_or_else(empty);
        let list = metadata(&mut live).remove("managedFields").unwrap_or_default();
        if created {
            metadata(&mut live).insert("name".into(), name.into());
        }
        let entries = entry::read(&list)
            .map_err(|words| Status::internal(format!("failed to decode managed fields: {words}")))?;
        let config = match (&travels, part) {
            (Some(_), Some(part)) => Cow::Owned(scale::config_of_parent(part, &live, &patch.config)?),
            _ => Cow::Borrowed(&patch.config),
        };
        let applied = self.work(caller, kind, subresource, part, |work| {
            apply::apply(work, entries, &live, created, &config, patch.force)
        })?;
        let mut object = match (&travels, part) {
            (Some(_), Some(part)) => part.read(&applied.object)?,
            _ => applied.object,
        };
        let metadata = metadata(&mut object);
        match entry::write(applied.entries) {
            Some(list) => metadata.insert("managedFields".into(), list),
            None => metadata.remove("managedFields"),
        };
        Ok(object)
    }

    /// Keys that the configuration has twice.
    fn complain(&self, caller: &Caller<'_>, patch: &ApplyPatch) -> Result<(), Status> {
        match caller.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => patch.duplicates.iter().for_each(|words| caller.warnings.add(words.clone())),
            FieldValidation::Strict if patch.duplicates.is_empty() => {}
            FieldValidation::Strict => {
                let words = patch.duplicates.join(", ");
                return Err(Status::bad_request(format!("error strict decoding YAML: {words}")));
            }
        }
        Ok(())
    }
}

fn in_version_of<'a>(kind: &Kind, document: &'a Value) -> Cow<'a, Value> {
    match &kind.stored_as {
        Some(other) => {
            let mut document = document.clone();
            (other.from_stored)(&mut document);
            Cow::Owned(document)
        }
        None => Cow::Borrowed(document),
    }
}

fn shown(gvk: &GroupVersionKind) -> String {
    format!("{}, Kind={}", gvk.group_version(), gvk.kind)
}

fn check_config(config: &Value, gvk: &GroupVersionKind) -> Result<(), Status> {
    if !config.is_object() {
        return Err(Status::bad_request("error decoding YAML: the configuration is not a map"));
    }
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    let wanted = gvk.group_version().to_string();
    if text("apiVersion") != wanted {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: {wanted}",
            text("apiVersion")
        )));
    }
    if text("kind") != gvk.kind {
        return Err(Status::bad_request(format!("invalid object type: {wanted}, Kind={}", text("kind"))));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// Whether two states are the same but for the times at which managers wrote.
///
/// Source: `IgnoreManagedFieldsTimestampsTransformer`.
pub(crate) fn differ_in_times_alone(new: &Value, old: &Value) -> bool {
    let list = |document: &'_ Value| -> Vec<Map<String, Value>> {
        let entries = document["metadata"]["managedFields"].as_array().into_iter().flatten();
        let mut entries: Vec<_> = entries.filter_map(Value::as_object).cloned().collect();
        entries.iter_mut().for_each(|entry| drop(entry.remove("time")));
        entries.sort_by_key(|entry| Value::Object(entry.clone()).to_string());
        entries
    };
    let (Some(after), Some(before)) = (new.as_object(), old.as_object()) else { return false };
    let same = |(name, value): (&String, &Value)| match (value.as_object(), before.get(name).and_then(Value::as_object))
    {
        (Some(after), Some(before)) if name == "metadata" => {
            let rest = |(name, value): (&String, &Value)| name == "managedFields" || before.get(name) == Some(value);
            after.len() == before.len() && after.iter().all(rest)
        }
        _ => before.get(name) == Some(value),
    };
    after.len() == before.len() && after.iter().all(same) && list(new) == list(old)
}
