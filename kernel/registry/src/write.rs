//! The one write path: creating and updating, for every kind and every way to say it.

use std::sync::Arc;

use kernel_store::{Commit, Error, Precondition, Put, Write};
use sdk_api::{GroupVersionKind, Key, Object, Status, Violations};
use sdk_plugin::{HookGuard, Kind, Laid, Operation, Part};
use sdk_schema::Unknown;
use serde_json::Value;

use crate::document::{meta_text, metadata, remove};
use crate::options::{ApplyPatch, Caller, FieldValidation, Input, PatchFormat};
use crate::registry::{Registry, store_status};
use crate::{admit, document, managed, meta, patch, rules};

/// How many generated names are tried. Source: `maxNameGenerationCreateAttempts`.
const NAME_TRIES_MAX: usize = 8;
/// How often an update without a revision starts over because somebody came between.
const CONFLICT_TRIES_MAX: usize = 100;

/// The new state of an update, as the request says it.
pub enum Change {
    Replace(Input),
    Patch(PatchFormat),
}

/// What an update did.
pub struct Updated {
    pub object: Arc<Object>,
    /// The update created the object.
    pub created: bool,
}

impl Registry {
    /// Creates an object.
    pub async fn create(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        namespace: &str,
        input: Input,
    ) -> Result<Arc<Object>, Status> {
        self.create_owned(caller, kind, namespace, input, false).await
    }

    /// Creates an object; `applied` if its managed fields are known already.
    async fn create_owned(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        namespace: &str,
        input: Input,
        applied: bool,
    ) -> Result<Arc<Object>, Status> {
        let mut draft = self.decode_as(caller, Some(kind), &kind.gvk, &kind.gvk.kind, input)?;
        place_in(&mut draft, kind, namespace)?;
        let revision = meta_text(&draft, "resourceVersion");
        if !revision.is_empty() && revision != "0" {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let hub = self.to_stored(kind, &mut draft);
        let mut laid = Laid::default();
        hub.strategy.default_in(&mut draft, &mut laid)?;
        if !applied {
            self.track(caller, kind, "", None, None, &mut draft);
            laid.metadata_changed();
        }
        let generated = meta_text(&draft, "name").is_empty() && !meta_text(&draft, "generateName").is_empty();
        if !generated {
            let stored = self.create_once(caller, kind, &hub, namespace, draft, laid).await?;
            return Ok(self.present(kind, &stored));
        }
        for _ in 0..NAME_TRIES_MAX {
            let mut new = draft.clone();
            let base = meta_text(&new, "generateName").to_owned();
            let name = meta::generate_name(&base, &mut *self.rng.lock().expect("no one panics while drawing"));
            metadata(&mut new).insert("name".into(), name.into());
            match self.create_once(caller, kind, &hub, namespace, new, std::mem::take(&mut laid)).await {
                Err(status) if status.is_already_exists() => {}
                Ok(stored) => return Ok(self.present(kind, &stored)),
                Err(status) => return Err(status),
            }
        }
        let base = meta_text(&draft, "generateName");
        let mut status = Status::already_exists(&kind.group_resource(), base);
        status.message =
            format!("{}, the server was not able to generate a unique name for the object", status.message);
        Err(status.retry_after(1))
    }

    async fn create_once(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        hub: &Arc<Kind>,
        namespace: &str,
        new: Value,
        mut laid: Laid,
    ) -> Result<Arc<Object>, Status> {
        let name = meta_text(&new, "name").to_owned();
        let mut request = admit::request(caller, hub, Operation::Create, (namespace, &name, ""), new, None);
        let default = |object: &mut Value| {
            laid.changed();
            hub.strategy.default_in(object, &mut laid)
        };
        admit::mutate(&self.admission, &mut request, default).await?;

        let now = self.clock.now();
        let new = &mut request.object;
        place_in(new, hub, namespace)?;
        meta::fill_new(new, hub, &self.new_uid(), now);
        laid.metadata_changed();
        if kind.subresource("status").is_some() && !hub.status_on_create {
            let had = remove(new, "status");
            let stands = self.schema(&hub.gvk).and_then(|schema| schema.field("status"));
            if stands.is_some_and(|status| status.always_stands()) {
                new["status"] = Value::Object(Default::default());
            }
            if had {
                laid.changed();
            }
        }
        hub.strategy.prepare_create_in(new, now, &mut laid)?;
        let guard = self.reserve(hub, new, None, caller.dry_run, &mut laid).await?;

        let name = meta_text(new, "name").to_owned();
        let mut found = meta::validate(new, hub);
        found.extend(rules::judge(kind, hub, new, None, &mut laid)?);
        refuse(kind, &name, &found)?;
        hub.strategy.warnings_in(new, &mut laid).into_iter().for_each(|warning| caller.warnings.add(warning));
        request.name.clone_from(&name);
        admit::validate(&self.admission, &request, caller).await?;

        let key = Key::new(&hub.group_resource(), namespace, &name);
        let exists = || Status::already_exists(&kind.group_resource(), &name);
        if caller.dry_run {
            if self.store.get(&key).is_some() {
                return Err(exists());
            }
            return Ok(Arc::new(Object::new(key, 0, request.object.to_string().into())));
        }
        match self.commit_put(caller, key, Precondition::Absent, &request.object, guard).await {
            Err(Error::Precondition { .. }) => Err(exists()),
            Err(error) => Err(store_status(error)),
            Ok(object) => Ok(object),
        }
    }

    /// Replaces or patches an object, or a part of it. `subresource` is empty for the object itself.
    pub async fn update(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        (namespace, name, subresource): (&str, &str, &str),
        change: Change,
    ) -> Result<Updated, Status> {
        let part = match subresource {
            "" => None,
            _ => Some(
                self.part(kind, subresource)
                    .ok_or_else(|| Status::method_not_allowed(format!("updating {subresource} of {}", kind.plural)))?,
            ),
        };
        let travels = part.as_ref().and_then(|part| part.kind());
        let gvk = travels.as_ref().unwrap_or(&kind.gvk);
        // A replacement is decoded once; a patch is applied anew to each state it meets.
        let change = match change {
            Change::Replace(input) => {
                let row = travels.is_none().then_some(&**kind);
                Change::Replace(self.decode_as(caller, row, gvk, &gvk.kind, input)?.into())
            }
            patch @ Change::Patch(_) => patch,
        };
        let key = self.key(kind, namespace, name);
        let applied = matches!(change, Change::Patch(PatchFormat::Apply(_)));
        // Where servers share a store, another one may just have written it.
        self.settle(None).await?;
        for _ in 0..CONFLICT_TRIES_MAX {
            let Some(old) = self.store.get(&key) else {
                return match change {
                    Change::Patch(PatchFormat::Apply(ref patch)) if part.is_none() => {
                        match self.create_by_apply(caller, kind, (namespace, name), patch).await {
                            Err(status) if status.is_already_exists() && !caller.dry_run => continue,
                            made => made,
                        }
                    }
                    Change::Replace(input) if kind.create_on_update && part.is_none() => {
                        let mut input = input;
                        let given = meta_text(&input.tree, "name").to_owned();
                        if !given.is_empty() && given != name {
                            return Err(wrong_name(&given, name));
                        }
                        metadata(&mut input.tree).insert("name".into(), name.into());
                        let object = self.create(caller, kind, namespace, input).await?;
                        Ok(Updated { object, created: true })
                    }
                    _ => Err(Status::not_found(&kind.group_resource(), name)),
                };
            };
            let (stored, old) = (old.clone(), self.fresh(kind, old));
            let asked = self.asked_state(caller, kind, gvk, (subresource, part.as_deref()), &old, &change)?;
            let based_on =
                self.check_identity(kind, &asked, &old, matches!(change, Change::Replace(_)), part.is_some())?;
            let (place, asked) = ((namespace, name, subresource), (asked, applied));
            match self.update_once(caller, kind, place, part.as_deref(), (&stored, &old), asked).await {
                Ok(stored) => {
                    let object = self.present(kind, &stored);
                    let object = if part.is_some() { self.present_part(kind, subresource, &object)? } else { object };
                    return Ok(Updated { object, created: false });
                }
                Err(Attempt::CameBetween) if based_on.is_none() => {}
                Err(Attempt::CameBetween) => return Err(Status::modified(&kind.group_resource(), name)),
                Err(Attempt::Refused(status)) => return Err(*status),
            }
        }
        Err(Status::modified(&kind.group_resource(), name))
    }

    /// Creates what an apply does not find.
    async fn create_by_apply(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        (namespace, name): (&str, &str),
        patch: &ApplyPatch,
    ) -> Result<Updated, Status> {
        let made = self.apply(caller, kind, (name, ""), None, None, patch)?;
        let (given, uid) = (meta_text(&made, "name"), meta_text(&made, "uid"));
        if given != name {
            return Err(wrong_name(given, name));
        }
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&kind.group_resource(), name, why));
        }
        if !matches!(meta_text(&made, "resourceVersion"), "" | "0") {
            return Err(Status::modified(&kind.group_resource(), name));
        }
        let object = self.create_owned(caller, kind, namespace, made.into(), true).await?;
        Ok(Updated { object, created: true })
    }

    /// The state that the request asks for, in the version and form in which it travels.
    fn asked_state(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        gvk: &GroupVersionKind,
        (subresource, part): (&str, Option<&dyn Part>),
        old: &Arc<Object>,
        change: &Change,
    ) -> Result<Value, Status> {
        let format = match change {
            Change::Replace(input) => return Ok(input.tree.clone()),
            Change::Patch(format) => format,
        };
        let shown = self.present(kind, old);
        let before = match part {
            Some(part) => part.read(&shown.document())?,
            None => Value::clone(&shown.document()),
        };
        let row = part.is_none_or(|part| part.kind().is_none()).then_some(&**kind);
        let after = match format {
            PatchFormat::Apply(patch) => {
                let place = (old.name(), subresource);
                let after = self.apply(caller, kind, place, part, Some(&shown.document()), patch)?;
                return self.decode_as(caller, row, gvk, &gvk.kind, after.into());
            }
            PatchFormat::Json(operations) => patch::json::apply(before, operations)?,
            PatchFormat::Merge(changes) => patch::merge::apply(before, changes),
            PatchFormat::Strategic(changes) => {
                let builtin =
                    (kind.schema.is_none() || part.is_some_and(|part| part.kind().is_some())).then(|| self.schema(gvk));
                let schema = builtin.flatten().ok_or_else(|| {
                    Status::unsupported_media_type(
                        "strategic merge patch is not supported for this kind; use a merge patch",
                    )
                })?;
                patch::strategic::apply(before, changes, &schema)?
            }
        };
        // Types are checked before decoding proper, since a patch's result is refused as invalid, not as malformed.
        let refused = |of_changes: &str, of_document: &str| match format {
            PatchFormat::Strategic(changes) => patch::invalid_changes(changes, of_changes),
            PatchFormat::Json(_) | PatchFormat::Merge(_) | PatchFormat::Apply(_) => {
                patch::invalid_document(&after, of_document)
            }
        };
        let unknown: Option<Vec<String>> = match row.and_then(|row| row.strategy.decode(&mut after.clone())) {
            Some(decoded) => Some(decoded.map_err(|status| refused(&status.message, &status.message))?),
            None => match self.schema(gvk) {
                None => None,
                Some(schema) => {
                    let unknown = sdk_schema::check(&schema, &mut after.clone(), Unknown::Report)
                        .map_err(|error| refused(error.converted(), &error.to_string()))?;
                    Some(unknown.iter().map(ToString::to_string).collect())
                }
            },
        };
        if let Some(fields) = unknown
            && caller.field_validation == FieldValidation::Strict
            && !fields.is_empty()
        {
            let words = format!("strict decoding error: {}", fields.join(", "));
            return Err(refused(&words, &words));
        }
        self.decode_as(caller, row, gvk, &gvk.kind, after.into())
    }

    /// Checks uid, name and revision of the asked state against the stored one. Gives the revision it is based on.
    fn check_identity(
        &self,
        kind: &Kind,
        asked: &Value,
        old: &Object,
        replaces: bool,
        is_part: bool,
    ) -> Result<Option<u64>, Status> {
        let (resource, name) = (kind.group_resource(), old.name());
        let given = meta_text(asked, "name");
        if given != name {
            if given.is_empty() && replaces && !is_part {
                return Err(Status::bad_request("name must be provided"));
            }
            if !given.is_empty() {
                return Err(wrong_name(given, name));
            }
        }
        let namespace = meta_text(asked, "namespace");
        if !namespace.is_empty() && namespace != old.namespace() {
            return Err(wrong_namespace());
        }
        let uid = meta_text(asked, "uid");
        if !uid.is_empty() && uid != old.uid() && !replaces {
            let mut found = Violations::default();
            found.invalid("metadata.uid", uid, "field is immutable");
            return Err(Status::invalid(&kind.group_kind(), name, &found));
        }
        if !uid.is_empty() && uid != old.uid() {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", old.uid());
            return Err(Status::conflict(&resource, name, why));
        }
        let text = meta_text(asked, "resourceVersion");
        let revision: u64 = match text {
            "" => 0,
            digits => digits.parse().map_err(|_| {
                let mut found = Violations::default();
                found.invalid("metadata.resourceVersion", digits, "must be a decimal number");
                Status::invalid(&kind.group_kind(), name, &found)
            })?,
        };
        if revision == 0 && replaces && kind.revision_required {
            let mut found = Violations::default();
            found.invalid("metadata.resourceVersion", 0, "must be specified for an update");
            return Err(Status::invalid(&kind.group_kind(), name, &found));
        }
        if revision != 0 && revision != old.revision() {
            return Err(Status::modified(&resource, name));
        }
        // A patched document carries the revision it was read at; only one that the patch itself names is a condition,
        // and that has just been checked.
        Ok((replaces && revision != 0).then_some(revision))
    }

    async fn update_once(
        &self,
        caller: &Caller<'_>,
        kind: &Arc<Kind>,
        (namespace, name, subresource): (&str, &str, &str),
        part: Option<&dyn Part>,
        (stored, old): (&Arc<Object>, &Arc<Object>),
        (asked, applied): (Value, bool),
    ) -> Result<Arc<Object>, Attempt> {
        let hub = self.hub(kind);
        let before: &Value = &old.document();
        let mut laid = Laid::default();
        let mut new = match part {
            Some(part) => {
                let mut whole = Value::clone(before);
                let mut asked = asked;
                if applied {
                    match asked["metadata"].get("managedFields") {
                        Some(list) => metadata(&mut whole).insert("managedFields".into(), list.clone()),
                        None => metadata(&mut whole).remove("managedFields"),
                    };
                }
                if part.kind().is_none() {
                    self.to_stored(kind, &mut asked);
                }
                part.write(&mut whole, &asked)?;
                whole
            }
            None => {
                let mut whole = asked;
                self.to_stored(kind, &mut whole);
                if kind.subresource("status").is_some() {
                    match before.get("status") {
                        Some(status) => whole["status"] = status.clone(),
                        None => drop(remove(&mut whole, "status")),
                    }
                }
                whole
            }
        };
        place_in(&mut new, &hub, namespace)?;
        metadata(&mut new).insert("name".into(), name.into());
        meta::keep_system_fields(&mut new, before);
        hub.strategy.default_in(&mut new, &mut laid)?;
        if !applied {
            self.track(caller, kind, subresource, part, Some(before), &mut new);
            laid.metadata_changed();
        }

        let place = (namespace, name, subresource);
        let mut request = admit::request(caller, &hub, Operation::Update, place, new, Some(old.clone()));
        let default = |object: &mut Value| {
            laid.changed();
            hub.strategy.default_in(object, &mut laid)
        };
        admit::mutate(&self.admission, &mut request, default).await?;

        let now = self.clock.now();
        let new = &mut request.object;
        meta::keep_system_fields(new, before);
        laid.metadata_changed();
        if part.is_none() {
            hub.strategy.prepare_update_in(new, before, now, &mut laid)?;
        }
        if hub.generation && subresource != "status" {
            meta::count_generation(new, before, kind.subresource("status").is_some());
            laid.metadata_changed();
        }
        let guard = match part {
            None => self.reserve(&hub, new, Some(before), caller.dry_run, &mut laid).await?,
            Some(_) => None,
        };
        let mut found = meta::validate(new, &hub);
        found.extend(meta::validate_update(new, before));
        found.extend(match subresource {
            "" => rules::judge(kind, &hub, new, Some(before), &mut laid)?,
            part => rules::judge_part(kind, &hub, part, new, before)?,
        });
        refuse(kind, name, &found)?;
        if part.is_none() {
            hub.strategy.warnings_in(new, &mut laid).into_iter().for_each(|warning| caller.warnings.add(warning));
        }
        admit::validate(&self.admission, &request, caller).await?;

        let new = &mut request.object;
        metadata(new).insert("resourceVersion".into(), meta_text(before, "resourceVersion").into());
        // What was refreshed on the way is written, even if nobody asked for more.
        let is_same = *new == *before || managed::differ_in_times_alone(new, before);
        if is_same && Arc::ptr_eq(stored, old) {
            return Ok(old.clone());
        }
        if caller.dry_run {
            return Ok(Arc::new(Object::new(old.key().clone(), old.revision(), new.to_string().into())));
        }
        let at = Precondition::Revision(old.revision());
        let done = if self.may_go(&hub, new) {
            self.commit_delete(caller, &hub, old, Some(new)).await
        } else {
            self.commit_put(caller, old.key().clone(), at, new, guard).await
        };
        match done {
            Ok(object) => Ok(object),
            Err(Error::Precondition { .. }) => Err(Attempt::CameBetween),
            Err(error) => Err(store_status(error).into()),
        }
    }

    /// Whether a deleting object has nothing left that keeps it.
    pub(crate) fn may_go(&self, hub: &Kind, object: &Value) -> bool {
        meta::is_deleting(object)
            && meta::finalizers(object).is_empty()
            && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
            && !hub.strategy.is_held(object)
    }

    /// Writes a new state; what `guard` holds is kept if that happens.
    pub(crate) async fn commit_put(
        &self,
        caller: &Caller<'_>,
        key: Key,
        precondition: Precondition,
        new: &Value,
        guard: Option<Box<dyn HookGuard>>,
    ) -> Result<Arc<Object>, Error> {
        let put = Some(Put { value: document::with_hole(new) });
        let write = Write { key, precondition, put, last: None, author: caller.user.name.as_str().into() };
        let after = guard.map(|guard| Box::new(move || guard.committed()) as AfterCommit);
        self.commit_one(write, after).await
    }

    /// Deletes an object; what its kind's hook holds for it is given back.
    pub(crate) async fn commit_delete(
        &self,
        caller: &Caller<'_>,
        hub: &Kind,
        old: &Arc<Object>,
        last: Option<&Value>,
    ) -> Result<Arc<Object>, Error> {
        let write = Write {
            key: old.key().clone(),
            precondition: Precondition::Revision(old.revision()),
            put: None,
            last: last.map(document::with_hole),
            author: caller.user.name.as_str().into(),
        };
        let after = hub.hook.clone().map(|hook| {
            let old = old.clone();
            Box::new(move || hook.deleted(&old)) as AfterCommit
        });
        self.commit_one(write, after).await
    }

    /// Commits, and then does what belongs to the commit. The caller may go away in between, as a client that hangs up
    /// does: the commit is not taken back then, so what belongs to it runs in a task of its own.
    async fn commit_one(&self, write: Write, after: Option<AfterCommit>) -> Result<Arc<Object>, Error> {
        let commit = Commit { writes: vec![write] };
        let empty = || Error::Unavailable { why: "an empty commit".into() };
        let Some(after) = after else {
            return self.store.commit(commit).await?.objects.into_iter().next().ok_or_else(empty);
        };
        let store = self.store.clone();
        let whole = tokio::spawn(async move {
            let done = store.commit(commit).await?;
            after();
            done.objects.into_iter().next().ok_or_else(empty)
        });
        whole.await.map_err(|_| Error::Unavailable { why: "the commit's task ended early".into() })?
    }

    async fn reserve(
        &self,
        hub: &Kind,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        laid: &mut Laid,
    ) -> Result<Option<Box<dyn HookGuard>>, Status> {
        let Some(hook) = &hub.hook else { return Ok(None) };
        laid.changed();
        hook.before(new, old, dry_run).await
    }

    /// Brings a body into the form of its schema, and checks that it is what the request is about.
    pub fn decode(
        &self,
        caller: &Caller<'_>,
        gvk: &GroupVersionKind,
        expected: &str,
        input: Input,
    ) -> Result<Value, Status> {
        self.decode_as(caller, None, gvk, expected, input)
    }

    /// The same for the document of a row, which may have a way of its own.
    fn decode_as(
        &self,
        caller: &Caller<'_>,
        row: Option<&Kind>,
        gvk: &GroupVersionKind,
        expected: &str,
        input: Input,
    ) -> Result<Value, Status> {
        let Input { mut tree, duplicates } = input;
        if !tree.is_object() {
            return Err(Status::bad_request(format!("the body is not an object, a {expected} was expected")));
        }
        let text = |tree: &Value, field: &str| tree[field].as_str().unwrap_or_default().to_owned();
        let (kind, api_version) = (text(&tree, "kind"), text(&tree, "apiVersion"));
        let wanted = gvk.group_version().to_string();
        if !kind.is_empty() && kind != gvk.kind {
            return Err(Status::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {expected}: converting ({kind}) to ({expected}): unknown conversion",
                api_version.rsplit('/').next().unwrap_or_default()
            )));
        }
        if !api_version.is_empty() && api_version != wanted {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({wanted})"
            )));
        }
        tree["kind"] = gvk.kind.as_str().into();
        tree["apiVersion"] = wanted.into();
        let mut complaints = match row.and_then(|row| row.strategy.decode(&mut tree)) {
            Some(decoded) => decoded?,
            None => {
                let Some(schema) = self.schema(gvk) else { return Ok(tree) };
                let ignore = caller.field_validation == FieldValidation::Ignore;
                let report = if ignore { Unknown::Ignore } else { Unknown::Report };
                let unknown =
                    sdk_schema::check(&schema, &mut tree, report).map_err(|error| error.status(gvk, expected))?;
                unknown.iter().map(ToString::to_string).collect()
            }
        };
        complaints.extend(duplicates);
        match caller.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => complaints.into_iter().for_each(|complaint| caller.warnings.add(complaint)),
            FieldValidation::Strict if complaints.is_empty() => {}
            FieldValidation::Strict => {
                return Err(Status::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {expected}: strict decoding error: {}",
                    gvk.kind,
                    gvk.version,
                    complaints.join(", ")
                )));
            }
        }
        Ok(tree)
    }

    /// Converts a document to the version in which it is stored; gives that version's row.
    fn to_stored(&self, kind: &Arc<Kind>, document: &mut Value) -> Arc<Kind> {
        if let Some(other) = &kind.stored_as {
            (other.to_stored)(document);
        }
        self.hub(kind)
    }
}

/// What belongs to a commit and follows it.
type AfterCommit = Box<dyn FnOnce() + Send>;

/// Why one try of an update did not write.
enum Attempt {
    /// Somebody else wrote first.
    CameBetween,
    Refused(Box<Status>),
}

impl From<Status> for Attempt {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

fn refuse(kind: &Kind, name: &str, found: &Violations) -> Result<(), Status> {
    if found.is_empty() { Ok(()) } else { Err(Status::invalid(&kind.group_kind(), name, found)) }
}

fn wrong_name(given: &str, wanted: &str) -> Status {
    Status::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({wanted})"))
}

fn wrong_namespace() -> Status {
    Status::bad_request("the namespace of the provided object does not match the namespace sent on the request")
}

/// Sets the namespace that the request path names.
fn place_in(document: &mut Value, kind: &Kind, namespace: &str) -> Result<(), Status> {
    let given = meta_text(document, "namespace");
    if !kind.is_namespaced() {
        metadata(document).remove("namespace");
        return Ok(());
    }
    if !given.is_empty() && given != namespace {
        return Err(wrong_namespace());
    }
    metadata(document).insert("namespace".into(), namespace.into());
    Ok(())
}
