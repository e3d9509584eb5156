//! Paths and operations of the served kinds.

use std::collections::BTreeSet;

use sdk_api::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value, json};

use super::{KindPaths, META, REF, Source, Subresource, Verb, parameters};

/// What answers can be written in; the last is for built-in kinds alone.
const PRODUCES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// What watches can be written in besides; the last again for built-in kinds.
const STREAMS: &[&str] = &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
/// The last is for built-in kinds alone: kubectl looks here before it sends one.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Writes the paths of one document, and notes the definitions that they refer to.
pub(super) struct Paths<'a> {
    pub group_version: &'a GroupVersion,
    pub sources: &'a [Source],
    pub paths: Map<String, Value>,
    pub wanted: BTreeSet<String>,
    /// Whether the kind at hand has a protobuf form.
    pub protobuf: bool,
}

impl Paths<'_> {
    /// `/apis/apps/v1/`, which lists the resources.
    pub fn discovery(&mut self) {
        let answer = self.schema(&format!("{META}APIResourceList"));
        let path = format!("{}/", self.root());
        let operation = json!({
            "description": "get available resources",
            "operationId": format!("get{}APIResources", self.id()),
            "responses": responses(&[(200, "OK")], self.produces(), answer.as_ref()),
            "tags": [self.tag()],
        });
        self.paths.insert(path, json!({ "get": operation }));
    }

    /// Collection, object and subresources of a kind.
    pub fn kind(&mut self, kind: &KindPaths) {
        let root = self.root();
        self.protobuf = self.is_builtin(&kind.gvk);
        let collection = if kind.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}", kind.plural)
        } else {
            format!("{root}/{}", kind.plural)
        };
        self.collection(&collection, kind);
        if kind.namespaced && kind.verbs.contains(&Verb::List) {
            self.everywhere(&format!("{root}/{}", kind.plural), kind);
        }
        self.object(&format!("{collection}/{{name}}"), kind);
        for subresource in &kind.subresources {
            let path = format!("{collection}/{{name}}/{}", subresource.name);
            self.subresource(&path, kind, subresource, "");
            if subresource.verbs.contains(&Verb::Connect) && subresource.name == "proxy" {
                self.subresource(&format!("{path}/{{path}}"), kind, subresource, "WithPath");
            }
        }
        if kind.verbs.contains(&Verb::Watch) {
            self.watches(kind);
        }
    }

    fn collection(&mut self, path: &str, kind: &KindPaths) {
        let (name, scoped) = (&kind.gvk.kind, scoped(kind));
        let mut item = Map::new();
        for verb in &kind.verbs {
            let (method, operation) = match verb {
                Verb::List => ("get", self.list(kind, &format!("list{}{scoped}{name}", self.id()), parameters::LIST)),
                Verb::Create => (
                    "post",
                    self.operation(
                        &kind.gvk,
                        "post",
                        &format!("create a {name}"),
                        &format!("create{}{scoped}{name}", self.id()),
                        &[(200, "OK"), (201, "Created"), (202, "Accepted")],
                    )
                    .with_parameters(parameters::WRITE)
                    .with_body(self.kind_schema(&kind.gvk)),
                ),
                Verb::DeleteCollection => (
                    "delete",
                    self.about(
                        &kind.gvk,
                        "deletecollection",
                        &format!("delete collection of {name}"),
                        &format!("delete{}Collection{scoped}{name}", self.id()),
                    )
                    .with_parameters(parameters::DELETE_COLLECTION)
                    .with_optional_body(self.schema(&format!("{META}DeleteOptions")))
                    .with_responses(
                        &[(200, "OK")],
                        self.produces(),
                        self.schema(&format!("{META}Status")),
                    ),
                ),
                _ => continue,
            };
            item.insert(method.into(), operation.0);
        }
        self.finish(path, item, place(kind, None, &["pretty"]));
    }

    /// The list over all namespaces.
    fn everywhere(&mut self, path: &str, kind: &KindPaths) {
        let id = format!("list{}{}ForAllNamespaces", self.id(), kind.gvk.kind);
        let list = self.list(kind, &id, &[]);
        let names = parameters::LIST.iter().copied().chain(["pretty"]);
        let item = Map::from_iter([("get".to_owned(), list.0)]);
        self.finish(path, item, parameters::query(names));
    }

    fn list(&mut self, kind: &KindPaths, id: &str, takes: &[&str]) -> Operation {
        // Upstream's document has the streams even where there is only a list.
        let types: Vec<_> = self.produces().iter().chain(self.streams()).copied().collect();
        let mut words = format!("list objects of kind {}", kind.gvk.kind);
        if kind.verbs.contains(&Verb::Watch) {
            // Nothing refers to the events of a watch, but clients generate code from their definition.
            self.wanted.insert(format!("{META}WatchEvent"));
            words = format!("list or watch objects of kind {}", kind.gvk.kind);
        }
        let list = GroupVersionKind { kind: format!("{}List", kind.gvk.kind), ..kind.gvk.clone() };
        let answer = self.kind_schema(&list);
        self.about(&kind.gvk, "list", &words, id).with_parameters(takes).with_responses(&[(200, "OK")], &types, answer)
    }

    fn object(&mut self, path: &str, kind: &KindPaths) {
        let (name, scoped) = (&kind.gvk.kind, scoped(kind));
        let mut item = Map::new();
        for verb in &kind.verbs {
            let (method, operation) = match verb {
                Verb::Get => (
                    "get",
                    self.operation(
                        &kind.gvk,
                        "get",
                        &format!("read the specified {name}"),
                        &format!("read{}{scoped}{name}", self.id()),
                        &[(200, "OK")],
                    ),
                ),
                Verb::Update => (
                    "put",
                    self.operation(
                        &kind.gvk,
                        "put",
                        &format!("replace the specified {name}"),
                        &format!("replace{}{scoped}{name}", self.id()),
                        &[(200, "OK"), (201, "Created")],
                    )
                    .with_parameters(parameters::WRITE)
                    .with_body(self.kind_schema(&kind.gvk)),
                ),
                Verb::Patch => (
                    "patch",
                    self.operation(
                        &kind.gvk,
                        "patch",
                        &format!("partially update the specified {name}"),
                        &format!("patch{}{scoped}{name}", self.id()),
                        &[(200, "OK"), (201, "Created")],
                    )
                    .with_parameters(parameters::PATCH)
                    .with_patch(self.patches(&kind.gvk), self.schema(&format!("{META}Patch"))),
                ),
                Verb::Delete | Verb::DeleteAnsweringObject => {
                    let answer = match verb {
                        Verb::Delete => self.schema(&format!("{META}Status")),
                        _ => self.kind_schema(&kind.gvk),
                    };
                    let (words, id) = (format!("delete a {name}"), format!("delete{}{scoped}{name}", self.id()));
                    let operation = self
                        .about(&kind.gvk, "delete", &words, &id)
                        .with_parameters(parameters::DELETE)
                        .with_optional_body(self.schema(&format!("{META}DeleteOptions")))
                        .with_responses(&[(200, "OK"), (202, "Accepted")], self.produces(), answer);
                    ("delete", operation)
                }
                _ => continue,
            };
            item.insert(method.into(), operation.0);
        }
        self.finish(path, item, place(kind, Some(name), &["pretty"]));
    }

    /// `with` ends the names of the operations.
    fn subresource(&mut self, path: &str, kind: &KindPaths, subresource: &Subresource, with: &str) {
        let (name, scoped, sub) = (&kind.gvk.kind, scoped(kind), &subresource.name);
        let suffix = format!("{scoped}{name}{}{with}", capital(sub));
        let gvk = &subresource.gvk;
        let mut item = Map::new();
        for verb in &subresource.verbs {
            match verb {
                Verb::Get if sub == "log" => {
                    let words = format!("read log of the specified {name}");
                    let mut types = vec!["text/plain"];
                    types.extend(self.produces());
                    let log = self.about(gvk, "get", &words, &format!("read{}{suffix}", self.id())).with_responses(
                        &[(200, "OK")],
                        &types,
                        Some(json!({ "type": "string" })),
                    );
                    item.insert("get".into(), log.0);
                }
                Verb::Get => {
                    let words = format!("read {sub} of the specified {name}");
                    let id = format!("read{}{suffix}", self.id());
                    item.insert("get".into(), self.operation(gvk, "get", &words, &id, &[(200, "OK")]).0);
                }
                Verb::Create => {
                    let words = format!("create {sub} of a {name}");
                    let id = format!("create{}{suffix}", self.id());
                    let answers = [(200, "OK"), (201, "Created"), (202, "Accepted")];
                    let post = self
                        .operation(gvk, "post", &words, &id, &answers)
                        .with_parameters(parameters::WRITE)
                        .with_body(self.kind_schema(gvk));
                    item.insert("post".into(), post.0);
                }
                Verb::Update => {
                    let words = format!("replace {sub} of the specified {name}");
                    let id = format!("replace{}{suffix}", self.id());
                    let put = self
                        .operation(gvk, "put", &words, &id, &[(200, "OK"), (201, "Created")])
                        .with_parameters(parameters::WRITE)
                        .with_body(self.kind_schema(gvk));
                    item.insert("put".into(), put.0);
                }
                Verb::Patch => {
                    let words = format!("partially update {sub} of the specified {name}");
                    let id = format!("patch{}{suffix}", self.id());
                    let patch = self
                        .operation(gvk, "patch", &words, &id, &[(200, "OK"), (201, "Created")])
                        .with_parameters(parameters::PATCH)
                        .with_patch(self.patches(gvk), self.schema(&format!("{META}Patch")));
                    item.insert("patch".into(), patch.0);
                }
                Verb::Connect => {
                    let methods: &[&str] = match &**sub {
                        "proxy" => &["get", "post", "put", "patch", "delete", "head", "options"],
                        _ => &["get", "post"],
                    };
                    for method in methods {
                        let words = format!("connect {} requests to {sub} of {name}", method.to_uppercase());
                        let id = format!("connect{}{}{suffix}", self.id(), capital(method));
                        let connect = self.about(gvk, "connect", &words, &id).with_responses(
                            &[(200, "OK")],
                            &["*/*"],
                            Some(json!({ "type": "string" })),
                        );
                        item.insert((*method).into(), connect.0);
                    }
                }
                Verb::Delete | Verb::DeleteAnsweringObject | Verb::List | Verb::Watch | Verb::DeleteCollection => {}
            }
        }
        let mut takes: Vec<_> = parameters::of_subresource(sub).to_vec();
        if !subresource.verbs.contains(&Verb::Connect) {
            takes.push("pretty");
        }
        let mut takes = place(kind, Some(name), &takes);
        if !with.is_empty() {
            takes.push(parameters::path("path", "path to the resource"));
        }
        self.finish(path, item, takes);
    }

    /// What all operations of a path take stands once, at the path.
    pub(super) fn finish(&mut self, path: &str, mut item: Map<String, Value>, mut takes: Vec<Value>) {
        if !item.is_empty() {
            takes.extend(shared_parameters(&mut item));
            item.insert("parameters".into(), Value::Array(takes));
            self.paths.insert(path.to_owned(), Value::Object(item));
        }
    }

    /// An operation that answers the kind itself.
    fn operation(
        &mut self,
        gvk: &GroupVersionKind,
        action: &str,
        description: &str,
        id: &str,
        answers: &[(u16, &str)],
    ) -> Operation {
        let answer = self.kind_schema(gvk);
        self.about(gvk, action, description, id).with_responses(answers, self.produces(), answer)
    }

    pub(super) fn about(&self, gvk: &GroupVersionKind, action: &str, description: &str, id: &str) -> Operation {
        Operation(json!({
            "description": description,
            "operationId": id,
            "tags": [self.tag()],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": { "group": gvk.group, "kind": gvk.kind, "version": gvk.version },
        }))
    }

    /// The kinds of patches that a kind takes: strategic ones need the merge keys of built-in definitions.
    fn patches(&self, gvk: &GroupVersionKind) -> &'static [&'static str] {
        if self.is_builtin(gvk) { PATCHES } else { &PATCHES[..PATCHES.len() - 1] }
    }

    fn kind_schema(&mut self, gvk: &GroupVersionKind) -> Option<Value> {
        let name = self.sources.iter().find_map(|source| source.kinds.get(gvk))?.to_owned();
        self.schema(&name)
    }

    pub(super) fn schema(&mut self, name: &str) -> Option<Value> {
        self.wanted.insert(name.to_owned());
        Some(json!({ "$ref": format!("{REF}{name}") }))
    }

    /// `/api/v1` or `/apis/apps/v1`.
    pub(super) fn root(&self) -> String {
        let root = if self.group_version.group.is_empty() { "/api" } else { "/apis" };
        format!("{root}/{}", self.group_version)
    }

    /// The part of operation ids that names group and version: `AppsV1`, `RbacAuthorizationV1`.
    pub(super) fn id(&self) -> String {
        format!("{}{}", group_id(&self.group_version.group), capital(&self.group_version.version))
    }

    pub(super) fn produces(&self) -> &'static [&'static str] {
        if self.protobuf { PRODUCES } else { &PRODUCES[..PRODUCES.len() - 1] }
    }

    pub(super) fn streams(&self) -> &'static [&'static str] {
        if self.protobuf { STREAMS } else { &STREAMS[..STREAMS.len() - 1] }
    }

    fn is_builtin(&self, gvk: &GroupVersionKind) -> bool {
        self.sources.iter().find(|source| source.kinds.contains_key(gvk)).is_some_and(|source| source.builtin)
    }

    /// `apps_v1`, `rbacAuthorization_v1`.
    fn tag(&self) -> String {
        format!("{}_{}", group_tag(&self.group_version.group), self.group_version.version)
    }
}

/// Takes the parameters that all operations have out of them.
fn shared_parameters(item: &mut Map<String, Value>) -> Vec<Value> {
    let lists: Vec<&[Value]> =
        item.values().map(|operation| operation["parameters"].as_array().map_or(&[][..], Vec::as_slice)).collect();
    let Some((first, others)) = lists.split_first() else { return Vec::new() };
    let shared: Vec<Value> = first.iter().filter(|p| others.iter().all(|list| list.contains(p))).cloned().collect();
    for operation in item.values_mut().filter_map(Value::as_object_mut) {
        let Some(Value::Array(mut own)) = operation.remove("parameters") else { continue };
        own.retain(|parameter| !shared.contains(parameter));
        if !own.is_empty() {
            operation.insert("parameters".into(), own.into());
        }
    }
    shared
}

/// The part of operation ids that names a group: `Apps`, `RbacAuthorization`.
pub(super) fn group_id(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    group.split(['.', '-']).map(capital).collect()
}

/// The same as a tag: `apps`, `rbacAuthorization`.
pub(super) fn group_tag(group: &str) -> String {
    let id = group_id(group);
    let mut chars = id.chars();
    chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

pub(super) fn scoped(kind: &KindPaths) -> &'static str {
    if kind.namespaced { "Namespaced" } else { "" }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

/// The parameters of a path: its parts in braces, then `takes`.
pub(super) fn place(kind: &KindPaths, name: Option<&str>, takes: &[&str]) -> Vec<Value> {
    let mut all = Vec::new();
    all.extend(name.map(|kind| parameters::path("name", &format!("name of the {kind}"))));
    if kind.namespaced {
        all.push(parameters::path("namespace", "object name and auth scope, such as for teams and projects"));
    }
    all.extend(parameters::query(takes.iter().copied()));
    all
}

pub(super) fn responses(answers: &[(u16, &str)], types: &[&str], schema: Option<&Value>) -> Value {
    let content: Map<String, Value> = types
        .iter()
        .map(|type_| ((*type_).to_owned(), schema.map_or_else(|| json!({}), |schema| json!({ "schema": schema }))))
        .collect();
    let mut all: Map<String, Value> = answers
        .iter()
        .map(|(code, words)| (code.to_string(), json!({ "description": words, "content": content })))
        .collect();
    all.insert("401".into(), json!({ "description": "Unauthorized" }));
    Value::Object(all)
}

pub(super) struct Operation(pub Value);

impl Operation {
    fn with_parameters(mut self, names: &[&str]) -> Self {
        if !names.is_empty() {
            self.0["parameters"] = Value::Array(parameters::query(names.iter().copied()));
        }
        self
    }

    pub fn with_responses(mut self, answers: &[(u16, &str)], types: &[&str], schema: Option<Value>) -> Self {
        self.0["responses"] = responses(answers, types, schema.as_ref());
        self
    }

    fn with_body(mut self, schema: Option<Value>) -> Self {
        self.0["requestBody"] = json!({ "required": true, "content": content(&["*/*"], schema) });
        self
    }

    fn with_optional_body(mut self, schema: Option<Value>) -> Self {
        self.0["requestBody"] = json!({ "content": content(&["*/*"], schema) });
        self
    }

    fn with_patch(mut self, types: &[&str], schema: Option<Value>) -> Self {
        self.0["requestBody"] = json!({ "required": true, "content": content(types, schema) });
        self
    }
}

fn content(types: &[&str], schema: Option<Value>) -> Value {
    let schema = schema.unwrap_or_else(|| json!({ "type": "object" }));
    Value::Object(types.iter().map(|type_| ((*type_).to_owned(), json!({ "schema": schema }))).collect())
}
