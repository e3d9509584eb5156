//! What the server in memory holds, and what each verb does to it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sdk_api::time::rfc3339;
use sdk_api::{FieldSelector, GroupResource, Key, LabelSelector, Object, Status, Timestamp};
use sdk_client::{DeleteOptions, ListOptions, ObjectList, Propagation, Request, Target, Verb};
use serde_json::{Value, json};

use super::patch;

/// One change of one object.
pub(super) struct Change {
    pub revision: u64,
    pub old: Option<Arc<Object>>,
    /// For a deletion the last state, with the deletion's revision.
    pub new: Arc<Object>,
    pub deleted: bool,
}

/// How a call ended well.
pub(super) struct Outcome {
    pub object: Option<Arc<Object>>,
    pub revision: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub revision: u64,
    /// Revisions at or below are forgotten.
    pub floor: u64,
    pub objects: BTreeMap<Key, Arc<Object>>,
    pub history: Vec<Change>,
    pub frozen: BTreeSet<GroupResource>,
    /// Raised when the watches of a collection are to end, with how.
    pub ended: BTreeMap<GroupResource, (u64, Option<Status>)>,
    /// Raised when the watches of a collection are to be told the revision.
    pub bookmarks: BTreeMap<GroupResource, u64>,
    made: u64,
}

/// The value that a field selector compares, by the field's path.
fn field(object: &Object, path: &str) -> String {
    let mut at: &Value = object.tree();
    for step in path.split('.') {
        at = &at[step];
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Selects objects as a list or watch asks.
pub(super) struct Selection {
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub fn new(namespace: &str, labels: &str, fields: &str) -> Result<Self, Status> {
        Ok(Self {
            namespace: namespace.into(),
            labels: LabelSelector::parse(labels).map_err(Status::bad_request)?,
            fields: FieldSelector::parse(fields).map_err(Status::bad_request)?,
        })
    }

    pub fn takes(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && self.labels.matches(&object.meta().labels)
            && self.fields.matches(|path| Cow::Owned(field(object, path)))
    }
}

impl State {
    pub fn list(&self, resource: &GroupResource, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(move |object| {
            object.key().resource == *resource && (namespace.is_empty() || object.namespace() == namespace)
        })
    }

    pub fn page(&self, target: &Target, options: &ListOptions) -> Result<ObjectList, Status> {
        let selection = Selection::new(&target.namespace, &options.label_selector, &options.field_selector)?;
        let after: Option<(&str, &str)> = options.continue_token.split_once('/');
        let after = after.map(|(namespace, name)| Key::new(&target.resource, namespace, name));
        let mut objects: Vec<_> = self
            .list(&target.resource, &target.namespace)
            .filter(|object| after.as_ref().is_none_or(|after| object.key() > after))
            .filter(|object| selection.takes(object))
            .cloned()
            .collect();
        let mut continue_token = String::new();
        if options.limit > 0 && objects.len() > options.limit {
            objects.truncate(options.limit);
            let last = objects.last().expect("the limit is above zero");
            continue_token = format!("{}/{}", last.namespace(), last.name());
        }
        Ok(ObjectList { objects, revision: self.revision, continue_token })
    }

    pub fn end_watches(&mut self, resource: &GroupResource, how: Option<Status>) {
        let turn = self.ended.get(resource).map_or(1, |(turn, _)| turn + 1);
        self.ended.insert(resource.clone(), (turn, how));
    }

    pub fn bookmark(&mut self, resource: &GroupResource) {
        *self.bookmarks.entry(resource.clone()).or_default() += 1;
    }

    pub fn seed(&mut self, resource: &GroupResource, mut tree: Value, now: Timestamp) -> Arc<Object> {
        let name = tree["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let namespace = tree["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        self.complete(&mut tree, now);
        self.put(Key::new(resource, &namespace, &name), tree)
    }

    fn complete(&mut self, tree: &mut Value, now: Timestamp) {
        self.made += 1;
        let metadata = &mut tree["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("00000000-0000-4000-8000-{:012}", self.made).into();
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = rfc3339(now).into();
        }
        if metadata["generation"].is_null() {
            metadata["generation"] = 1.into();
        }
    }

    /// Stores a state at the next revision.
    fn put(&mut self, key: Key, mut tree: Value) -> Arc<Object> {
        self.revision += 1;
        tree["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let new = Arc::new(Object::from_tree(&key.resource, tree));
        let old = self.objects.insert(key, new.clone());
        self.history.push(Change { revision: self.revision, old, new: new.clone(), deleted: false });
        new
    }

    /// Removes an object at the next revision.
    pub fn erase(&mut self, key: &Key) -> Option<Arc<Object>> {
        let old = self.objects.remove(key)?;
        self.revision += 1;
        let mut tree = (**old.tree()).clone();
        tree["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let new = Arc::new(Object::from_tree(&key.resource, tree));
        self.history.push(Change { revision: self.revision, old: Some(old), new: new.clone(), deleted: true });
        Some(new)
    }

    pub fn call(&mut self, request: &Request, now: Timestamp) -> Result<Outcome, Status> {
        let target = &request.target;
        let key = Key::new(&target.resource, &target.namespace, &target.name);
        let found = |object: Arc<Object>| Outcome { revision: object.revision(), object: Some(object) };
        match request.verb {
            Verb::Get => self.current(&key).map(found),
            Verb::List => Err(Status::bad_request("lists travel on their own")),
            Verb::Create if target.subresource.is_empty() => {
                let body = request.body.clone().unwrap_or_default();
                self.create(key, body, now).map(found)
            }
            Verb::Create => self.post(&key, &target.subresource, request.body.as_ref().unwrap_or(&Value::Null), now),
            Verb::Update => {
                let body = request.body.clone().unwrap_or_default();
                self.replace(&key, &target.subresource, body)
            }
            Verb::Patch => {
                let wanted = request.patch.as_ref().ok_or_else(|| Status::bad_request("a patch without a body"))?;
                let current = self.current(&key)?;
                let mut body = patch::apply(current.tree(), wanted)?;
                let named = |value: &Value| value["metadata"]["resourceVersion"].clone();
                if named(&body) == named(current.tree()) {
                    // The patch says nothing of the revision, so it applies to whatever stands.
                    body["metadata"]["resourceVersion"] = Value::Null;
                }
                self.replace(&key, &target.subresource, body)
            }
            Verb::Delete => self.delete(&key, &request.delete, now),
            Verb::DeleteCollection => {
                let page = self.page(target, &request.list)?;
                for object in page.objects {
                    self.delete(object.key(), &request.delete, now)?;
                }
                Ok(Outcome { object: None, revision: self.revision })
            }
        }
    }

    fn current(&self, key: &Key) -> Result<Arc<Object>, Status> {
        self.objects.get(key).cloned().ok_or_else(|| Status::not_found(&key.resource, &key.name))
    }

    fn create(&mut self, key: Key, mut body: Value, now: Timestamp) -> Result<Arc<Object>, Status> {
        let metadata = &mut body["metadata"];
        if metadata["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let mut name = metadata["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            let prefix = metadata["generateName"].as_str().unwrap_or_default().to_owned();
            if prefix.is_empty() {
                return Err(Status::bad_request("name or generateName is required"));
            }
            name = format!("{prefix}{:05}", self.made + 1);
        }
        metadata["name"] = name.as_str().into();
        if !key.namespace.is_empty() {
            metadata["namespace"] = (*key.namespace).into();
        }
        for given in ["uid", "creationTimestamp", "generation", "deletionTimestamp"] {
            metadata[given] = Value::Null;
        }
        let key = Key::new(&key.resource, &key.namespace, &name);
        if self.objects.contains_key(&key) {
            return Err(Status::already_exists(&key.resource, &key.name));
        }
        prune_nulls(&mut body["metadata"]);
        if let Some(fields) = body.as_object_mut() {
            fields.remove("status");
        }
        match key.resource.as_str() {
            "pods" => body["status"] = json!({"phase": "Pending"}),
            "namespaces" => {
                body["spec"]["finalizers"] = json!(["kubernetes"]);
                body["status"] = json!({"phase": "Active"});
            }
            _ => {}
        }
        self.complete(&mut body, now);
        Ok(self.put(key, body))
    }

    /// Subresources that are posted to.
    fn post(&mut self, key: &Key, subresource: &str, body: &Value, now: Timestamp) -> Result<Outcome, Status> {
        let current = self.current(key)?;
        match subresource {
            "binding" => {
                let mut tree = (**current.tree()).clone();
                if tree["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()) {
                    let why = format!("pod {} is already assigned to node {}", key.name, tree["spec"]["nodeName"]);
                    return Err(Status::conflict(&GroupResource::new("", "pods/binding"), &key.name, why));
                }
                tree["spec"]["nodeName"] = body["target"]["name"].clone();
                let time = rfc3339(now);
                let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": time});
                patch::put_condition(&mut tree["status"], scheduled);
                let revision = self.put(key.clone(), tree).revision();
                Ok(Outcome { object: None, revision })
            }
            "eviction" => self.delete(key, &DeleteOptions::default(), now),
            other => Err(Status::not_implemented(other)),
        }
    }

    fn replace(&mut self, key: &Key, subresource: &str, body: Value) -> Result<Outcome, Status> {
        let current = self.current(key)?;
        let old = current.tree();
        let version = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && version != current.revision().to_string() {
            return Err(Status::modified(&key.resource, &key.name));
        }
        if body["metadata"]["uid"].as_str().is_some_and(|uid| !uid.is_empty() && uid != current.uid()) {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                body["metadata"]["uid"].as_str().unwrap_or_default(),
                current.uid()
            );
            return Err(Status::conflict(&key.resource, &key.name, why));
        }
        let mut new = match subresource {
            "" => self.replace_main(old, body),
            "status" => {
                let mut tree = with_field(old, &body, "status");
                // Annotations are written beside a status, as the real server lets them.
                tree["metadata"]["annotations"] = body["metadata"]["annotations"].clone();
                tree
            }
            "finalize" => {
                let mut tree = (**old).clone();
                tree["spec"]["finalizers"] = body["spec"]["finalizers"].clone();
                tree
            }
            "ephemeralcontainers" | "resize" => with_field(old, &body, "spec"),
            other => return Err(Status::not_implemented(other)),
        };
        for kept in ["uid", "creationTimestamp", "deletionTimestamp", "namespace", "name"] {
            new["metadata"][kept] = old["metadata"][kept].clone();
        }
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        prune_nulls(&mut new["metadata"]);
        if new == **old {
            return Ok(Outcome { revision: current.revision(), object: Some(current) });
        }
        let object = self.put(key.clone(), new);
        if object.meta().is_deleting() && !is_held(&object) && !is_stopping(&object) {
            let last = self.erase(key).unwrap_or(object);
            return Ok(Outcome { revision: last.revision(), object: Some(last) });
        }
        Ok(Outcome { revision: object.revision(), object: Some(object) })
    }

    fn replace_main(&self, old: &Value, mut body: Value) -> Value {
        match old.get("status") {
            Some(status) => body["status"] = status.clone(),
            None => drop(body.as_object_mut().map(|fields| fields.remove("status"))),
        }
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
        let same_spec = body.get("spec") == old.get("spec");
        body["metadata"]["generation"] = (if same_spec { generation } else { generation + 1 }).into();
        body
    }

    fn delete(&mut self, key: &Key, options: &DeleteOptions, now: Timestamp) -> Result<Outcome, Status> {
        let current = self.current(key)?;
        if let Some(uid) = options.uid.as_ref().filter(|uid| *uid != current.uid()) {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", current.uid());
            return Err(Status::conflict(&key.resource, &key.name, why));
        }
        if let Some(version) = options.resource_version.filter(|version| *version != current.revision()) {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
                current.revision()
            );
            return Err(Status::conflict(&key.resource, &key.name, why));
        }
        let mut tree = (**current.tree()).clone();
        let finalizer = match options.propagation {
            Some(Propagation::Orphan) => Some("orphan"),
            Some(Propagation::Foreground) => Some("foregroundDeletion"),
            _ => None,
        };
        if let Some(finalizer) = finalizer {
            let mut all: Vec<_> = current.meta().finalizers.clone();
            all.retain(|f| f != "orphan" && f != "foregroundDeletion");
            all.push(finalizer.into());
            tree["metadata"]["finalizers"] = all.into();
        }
        let grace = grace_seconds(&current, options);
        let holds = is_held(&current) || finalizer.is_some();
        if grace == 0 && !holds {
            let last = self.erase(key).expect("it was just read");
            return Ok(Outcome { revision: last.revision(), object: Some(last) });
        }
        let metadata = &mut tree["metadata"];
        if !current.meta().is_deleting() {
            let generation = metadata["generation"].as_i64().unwrap_or(1);
            metadata["generation"] = (generation + 1).into();
            let end = now + std::time::Duration::from_secs(grace);
            metadata["deletionTimestamp"] = rfc3339(end).into();
            metadata["deletionGracePeriodSeconds"] = grace.into();
        } else if metadata["deletionGracePeriodSeconds"].as_u64().is_some_and(|before| grace < before) {
            metadata["deletionGracePeriodSeconds"] = grace.into();
        }
        if key.resource.as_str() == "namespaces" {
            tree["status"]["phase"] = "Terminating".into();
        }
        if tree == **current.tree() {
            return Ok(Outcome { revision: current.revision(), object: Some(current) });
        }
        let object = self.put(key.clone(), tree);
        Ok(Outcome { revision: object.revision(), object: Some(object) })
    }
}

/// A finalizer holds the object back once it is to be deleted.
fn is_held(object: &Object) -> bool {
    let is_namespace = object.key().resource.as_str() == "namespaces";
    let spec_finalizers = object.tree()["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    !object.meta().finalizers.is_empty() || (is_namespace && spec_finalizers)
}

/// A pod that has time to stop.
fn is_stopping(object: &Object) -> bool {
    object.meta().deletion_grace_period_seconds.is_some_and(|grace| grace > 0)
}

/// How long a pod may take to stop; zero for everything else, and for pods that run nowhere.
fn grace_seconds(object: &Object, options: &DeleteOptions) -> u64 {
    let tree = object.tree();
    let is_bound = tree["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let is_over = matches!(tree["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if object.key().resource.as_str() != "pods" || !is_bound || is_over {
        return 0;
    }
    let own = tree["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    match options.grace_period_seconds.unwrap_or(own) {
        seconds if seconds < 0 => 1,
        seconds => seconds.unsigned_abs(),
    }
}

fn with_field(old: &Value, new: &Value, name: &str) -> Value {
    let mut tree = old.clone();
    match new.get(name) {
        Some(value) => tree[name] = value.clone(),
        None => drop(tree.as_object_mut().map(|fields| fields.remove(name))),
    }
    tree
}

fn prune_nulls(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}
