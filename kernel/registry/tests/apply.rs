//! Server-side apply and managed fields, on the memory store: the checklist of upstream's `test/integration/apiserver/apply`.

use std::sync::Arc;

use kernel_registry::{
    ApplyPatch, Caller, Change, FieldValidation, KindTable, PatchFormat, Registry, Setup, Updated, Warnings,
};
use kernel_store::{Limits, MemoryStore};
use sdk_api::k8s_openapi::api::apps::v1::Deployment;
use sdk_api::k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Pod};
use sdk_api::{GroupVersionKind, Key, Scope, Status};
use sdk_client::Subject;
use sdk_plugin::kind::ScalePaths;
use sdk_plugin::strategy::NoStrategy;
use sdk_plugin::{Kind, StoredAs};
use sdk_testkit::ManualClock;
use serde_json::{Value, json};

struct Api {
    registry: Registry,
    user: Subject,
    warnings: Warnings,
    clock: Arc<ManualClock>,
}

fn to_stored(hpa: &mut Value) {
    hpa["apiVersion"] = "autoscaling/v2".into();
    if let Some(percent) = hpa["spec"].as_object_mut().and_then(|spec| spec.remove("targetCPUUtilizationPercentage")) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        hpa["spec"]["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
    }
}

fn from_stored(hpa: &mut Value) {
    hpa["apiVersion"] = "autoscaling/v1".into();
    if let Some(metrics) = hpa["spec"].as_object_mut().and_then(|spec| spec.remove("metrics")) {
        hpa["spec"]["targetCPUUtilizationPercentage"] = metrics[0]["resource"]["target"]["averageUtilization"].clone();
    }
}

impl Api {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let v2 = GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
        let v1 = GroupVersionKind::new("autoscaling", "v1", "HorizontalPodAutoscaler");
        let stored = StoredAs::new(v2, to_stored, from_stored);
        let scale = ScalePaths { spec: ".spec.replicas", status: ".status.replicas", selector: ".spec.selector" };
        let table = KindTable::new([
            Kind::plain::<ConfigMap>(),
            Kind::plain::<Pod>().status(),
            Kind::plain::<Deployment>().generation().status().scale(scale),
            Kind::plain::<HorizontalPodAutoscaler>().status(),
            Kind::named(v1, "horizontalpodautoscalers", Scope::Namespaced, Arc::new(NoStrategy))
                .status()
                .stored_as(stored),
        ])
        .unwrap();
        let store = Arc::new(MemoryStore::new(clock.clone(), Limits::default()));
        let registry = Registry::new(Setup { store, table, admission: Vec::new(), clock: clock.clone(), seed: 7 });
        Self { registry, user: Subject::new("tester", &[]), warnings: Warnings::default(), clock }
    }

    fn caller<'a>(&'a self, manager: &'a str) -> Caller<'a> {
        let field_validation = FieldValidation::Warn;
        Caller { user: &self.user, warnings: &self.warnings, dry_run: false, field_validation, manager }
    }

    fn kind(&self, document: &Value) -> Arc<Kind> {
        let (group, version) = document["apiVersion"].as_str().unwrap().split_once('/').unwrap_or(("", "v1"));
        let name = document["kind"].as_str().unwrap();
        let gvk = GroupVersionKind::new(group, version, name);
        self.registry.table().by_kind(&gvk).unwrap_or_else(|| panic!("{gvk} is served")).clone()
    }

    async fn create(&self, manager: &str, document: Value) -> Result<Value, Status> {
        let kind = self.kind(&document);
        let made = self.registry.create(&self.caller(manager), &kind, "n", document.into()).await?;
        Ok(Value::clone(made.tree()))
    }

    async fn change(&self, manager: &str, of: &Value, subresource: &str, change: Change) -> Result<Updated, Status> {
        let (kind, name) = (self.kind(of), of["metadata"]["name"].as_str().unwrap());
        self.registry.update(&self.caller(manager), &kind, ("n", name, subresource), change).await
    }

    async fn patch(&self, manager: &str, of: &Value, subresource: &str, patch: Value) -> Result<Value, Status> {
        let change = Change::Patch(PatchFormat::Merge(patch));
        Ok(Value::clone(self.change(manager, of, subresource, change).await?.object.tree()))
    }

    async fn put(&self, manager: &str, document: Value) -> Result<Value, Status> {
        let change = Change::Replace(document.clone().into());
        Ok(Value::clone(self.change(manager, &document, "", change).await?.object.tree()))
    }

    async fn apply_to(
        &self,
        manager: &str,
        subresource: &str,
        of: &Value,
        config: Value,
        force: bool,
    ) -> Result<Value, Status> {
        let change = Change::Patch(PatchFormat::Apply(ApplyPatch { config, force, duplicates: Vec::new() }));
        Ok(Value::clone(self.change(manager, of, subresource, change).await?.object.tree()))
    }

    async fn apply(&self, manager: &str, config: Value) -> Result<Value, Status> {
        self.apply_to(manager, "", &config, config.clone(), false).await
    }

    async fn force(&self, manager: &str, config: Value) -> Result<Value, Status> {
        self.apply_to(manager, "", &config, config.clone(), true).await
    }
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    let mut whole = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"},
        "spec": {"selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}});
    for (name, value) in spec.as_object().unwrap() {
        whole["spec"][name] = value.clone();
    }
    whole
}

/// `manager/operation[/subresource]` and fields of every entry.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let entry = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        let part = if text("subresource").is_empty() { String::new() } else { format!("/{}", text("subresource")) };
        (format!("{}/{}{part}", text("manager"), text("operation")), entry["fieldsV1"].clone())
    };
    entries.map(entry).collect()
}

fn names(object: &Value) -> Vec<String> {
    owners(object).into_iter().map(|(name, _)| name).collect()
}

fn fields(object: &Value, owner: &str) -> Value {
    owners(object).into_iter().find(|(name, _)| name == owner).map_or(Value::Null, |(_, fields)| fields)
}

#[tokio::test]
async fn every_write_is_tracked() {
    let api = Api::new();
    let made = api.create("creator", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{"manager": "creator", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}}])
    );
    let patched =
        api.patch("patcher", &made, "", json!({"data": {"b": "2"}, "metadata": {"labels": {"x": "y"}}})).await.unwrap();
    assert_eq!(
        fields(&patched, "patcher/Update"),
        json!({"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}})
    );
    let put = api.put("putter", map(json!({"a": "2", "b": "2"}))).await.unwrap();
    assert_eq!(
        owners(&put),
        [
            ("creator/Update".into(), json!({"f:data": {}})),
            ("patcher/Update".into(), json!({"f:data": {"f:b": {}}})),
            ("putter/Update".into(), json!({"f:data": {"f:a": {}}})),
        ],
        "a removed field is nobody's"
    );
}

#[tokio::test]
async fn apply_creates_and_needs_no_object() {
    let api = Api::new();
    let config = map(json!({"a": "1"}));
    let change =
        Change::Patch(PatchFormat::Apply(ApplyPatch { config: config.clone(), force: false, duplicates: vec![] }));
    let done = api.change("one", &config, "", change).await.unwrap();
    assert!(done.created);
    assert_eq!(owners(done.object.tree()), [("one/Apply".to_owned(), json!({"f:data": {"f:a": {}}}))]);
    let mut with_uid = map(json!({}));
    with_uid["metadata"]["name"] = "b".into();
    with_uid["metadata"]["uid"] = "0-1".into();
    let status = api.apply("one", with_uid.clone()).await.unwrap_err();
    assert_eq!(status.code, 409);
    assert!(
        status.message.contains("uid mismatch: the provided object specified uid 0-1, and no existing object"),
        "{status}"
    );
    let status = api.apply_to("one", "status", &with_uid, with_uid.clone(), false).await.unwrap_err();
    assert!(matches!(status.code, 404 | 405), "{status}");
}

#[tokio::test]
async fn conflicts_name_owners_and_fields_and_force_takes_over() {
    let api = Api::new();
    api.apply("one", deployment(json!({"replicas": 1}))).await.unwrap();
    let other =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 3}});
    let status = api.apply("two", other.clone()).await.unwrap_err();
    assert_eq!(
        (status.code, &*status.message),
        (409, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
    );
    let details = status.details.unwrap();
    assert_eq!(
        (&*details.causes[0].reason, &*details.causes[0].message, &*details.causes[0].field),
        ("FieldManagerConflict", "conflict with \"one\"", ".spec.replicas")
    );
    // Equal values are shared, not fought over.
    let same =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}});
    let shared = api.apply("two", same).await.unwrap();
    assert_eq!(fields(&shared, "two/Apply"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(fields(&shared, "one/Apply")["f:spec"]["f:replicas"], json!({}));
    let forced = api.force("two", other).await.unwrap();
    assert_eq!(forced["spec"]["replicas"], 3);
    assert_eq!(fields(&forced, "one/Apply")["f:spec"].get("f:replicas"), None);

    let updated = api.patch("hand", &forced, "", json!({"spec": {"replicas": 5, "paused": true}})).await.unwrap();
    assert_eq!(fields(&updated, "hand/Update"), json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}));
    assert_eq!(fields(&updated, "two/Apply"), Value::Null, "what has no fields left is gone");
    let status = api.apply("one", deployment(json!({"replicas": 1, "paused": false}))).await.unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"hand\" using apps/v1:\n- .spec.paused\n- .spec.replicas"
    );
}

#[tokio::test]
async fn what_an_applier_no_longer_states_goes_unless_others_own_it() {
    let api = Api::new();
    api.apply("one", map(json!({"a": "1", "b": "1", "c": "1"}))).await.unwrap();
    api.apply("two", map(json!({"b": "1"}))).await.unwrap();
    let left = api.apply("one", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(left["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(fields(&left, "one/Apply"), json!({"f:data": {"f:a": {}}}));
    // Dropping a shared field leaves it to the other, and an updater's field was never the applier's.
    api.patch("hand", &left, "", json!({"data": {"d": "4"}})).await.unwrap();
    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let left = api.apply("one", empty.clone()).await.unwrap();
    assert_eq!(left["data"], json!({"b": "1", "d": "4"}));
    assert_eq!(names(&left), ["two/Apply", "hand/Update"]);
    let left = api.apply("two", empty).await.unwrap();
    assert_eq!(left["data"], json!({"d": "4"}));
}

#[tokio::test]
async fn items_of_lists_are_owned_one_by_one() {
    let api = Api::new();
    let containers = |items: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"template": {"spec": {"containers": items}}}})
    };
    api.apply("one", deployment(json!({}))).await.unwrap();
    let both = api
        .apply("two", containers(json!([{"name": "side", "image": "s", "env": [{"name": "A", "value": "1"}]}])))
        .await
        .unwrap();
    let listed: Vec<_> =
        both["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(listed, ["c", "side"]);
    // A field of the other's item, and the removal of one's own.
    let env =
        api.apply("three", containers(json!([{"name": "side", "env": [{"name": "B", "value": "2"}]}]))).await.unwrap();
    assert_eq!(env["spec"]["template"]["spec"]["containers"][1]["env"].as_array().unwrap().len(), 2);
    let gone = api.apply("two", containers(json!([]))).await.unwrap();
    let side = &gone["spec"]["template"]["spec"]["containers"][1];
    assert_eq!(*side, json!({"name": "side", "env": [{"name": "B", "value": "2"}]}), "what the third owns stays");
    // The same port for two protocols are two items.
    let ports = |items: Value| containers(json!([{"name": "c", "ports": items}]));
    let two = api
        .apply("four", ports(json!([{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}])))
        .await
        .unwrap();
    assert_eq!(two["spec"]["template"]["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
    let status = api
        .apply("four", ports(json!([{"containerPort": 53}, {"containerPort": 53, "protocol": "TCP"}])))
        .await
        .unwrap_err();
    assert!(status.message.contains("duplicate entries for key [containerPort=53,protocol=\"TCP\"]"), "{status}");
}

#[tokio::test]
async fn nothing_changes_without_a_change() {
    let api = Api::new();
    let first = api.apply("one", map(json!({"a": "1"}))).await.unwrap();
    api.clock.advance(std::time::Duration::from_secs(60));
    let again = api.apply("one", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(again, first, "revision and times are kept");
    let put = api.put("hand", map(json!({"a": "1"}))).await.unwrap();
    assert_eq!(put, first);
    let changed = api.apply("one", map(json!({"a": "2"}))).await.unwrap();
    assert_eq!(changed["metadata"]["managedFields"][0]["time"], "2026-01-01T00:01:00Z");
    // To own something more is a change, even if no value is another.
    let owned = api.apply("two", map(json!({"a": "2"}))).await.unwrap();
    assert_ne!(owned["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn revisions_uids_names_and_versions_must_fit() {
    let api = Api::new();
    let made = api.apply("one", map(json!({"a": "1"}))).await.unwrap();
    let with = |field: &str, value: Value| {
        let mut config = map(json!({"a": "2"}));
        config["metadata"][field] = value;
        config
    };
    let status = api.apply("one", with("resourceVersion", "1".into())).await.map(drop);
    assert_eq!(status.unwrap_err().code, 409, "a stale revision");
    let revision = made["metadata"]["resourceVersion"].clone();
    api.apply("one", with("resourceVersion", revision)).await.unwrap();
    let status = api.apply("one", with("managedFields", json!([]))).await.unwrap_err();
    assert_eq!((status.code, &*status.message), (400, "metadata.managedFields must be nil"));
    assert!(api.apply("one", with("uid", "0-0".into())).await.is_err());
    let status =
        api.apply_to("one", "", &made, json!({"apiVersion": "v2", "kind": "ConfigMap"}), false).await.unwrap_err();
    assert_eq!(status.message, "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1");
    let status = api.apply_to("one", "", &made, json!({"apiVersion": "v1", "kind": "Pod"}), false).await.unwrap_err();
    assert_eq!((status.code, &*status.message), (400, "invalid object type: v1, Kind=Pod"));
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}});
    assert_eq!(api.apply_to("one", "", &made, other, false).await.unwrap_err().code, 400);
    let status = api
        .apply(
            "one",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "colour": 1}),
        )
        .await
        .unwrap_err();
    assert_eq!(
        (status.code, &*status.message),
        (500, "failed to create typed patch object (n/a; v1, Kind=ConfigMap): .colour: field not declared in schema")
    );
}

#[tokio::test]
async fn parts_own_what_they_write() {
    let api = Api::new();
    let mut config = deployment(json!({"replicas": 1}));
    config["status"] = json!({"replicas": 9});
    let made = api.apply("one", config).await.unwrap();
    assert_eq!(made["status"], json!({}), "it stands, and what was applied is not in it");
    assert_eq!(fields(&made, "one/Apply").get("f:status"), None, "what a write resets is not owned");
    // The status, by update and by apply, with a specification that is ignored.
    let mut status = made.clone();
    status["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    status["spec"]["replicas"] = 7.into();
    let change = Change::Replace(status.into());
    let updated = Value::clone(api.change("controller", &made, "status", change).await.unwrap().object.tree());
    assert_eq!(updated["spec"]["replicas"], 1);
    assert_eq!(
        fields(&updated, "controller/Update/status")["f:status"]["f:conditions"]["k:{\"type\":\"Available\"}"],
        json!({".": {}, "f:type": {}, "f:status": {}})
    );
    assert_eq!(fields(&updated, "controller/Update/status").get("f:spec"), None);
    let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 4}, "status": {"conditions": [{"type": "Mine", "status": "True"}]}});
    let applied = api.apply_to("signer", "status", &made, config, false).await.unwrap();
    assert_eq!(applied["spec"]["replicas"], 1);
    assert_eq!(applied["status"]["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(
        fields(&applied, "signer/Apply/status"),
        json!({"f:status": {"f:conditions": {"k:{\"type\":\"Mine\"}": {".": {}, "f:type": {}, "f:status": {}}}}})
    );
    let config =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 2}});
    let status = api.apply_to("signer", "status", &made, config, false).await.unwrap_err();
    assert!(
        status.message.contains("\"controller\" with subresource \"status\" using apps/v1: .status.replicas"),
        "{status}"
    );
}

#[tokio::test]
async fn scales_own_the_replicas_of_their_parent() {
    let api = Api::new();
    let made = api.apply("one", deployment(json!({"replicas": 1}))).await.unwrap();
    let scale = |replicas: i32| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": replicas}});
    let status = api.apply_to("two", "scale", &made, scale(3), false).await.unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
    let shown = api.apply_to("two", "scale", &made, scale(3), true).await.unwrap();
    assert_eq!((&shown["kind"], &shown["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    assert_eq!(owners(&shown), [("two/Apply/scale".to_owned(), json!({"f:spec": {"f:replicas": {}}}))]);
    let parent = api.registry.get(&api.kind(&made), "n", "d", "", None).await.unwrap();
    assert_eq!(fields(parent.tree(), "two/Apply/scale"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(fields(parent.tree(), "one/Apply")["f:spec"].get("f:replicas"), None);
    // By update, and the applier lets go of what it lost without resetting it.
    let shown = api.patch("hand", &made, "scale", json!({"spec": {"replicas": 5}})).await.unwrap();
    assert_eq!(names(&shown), ["hand/Update/scale"]);
    let again = api.apply("one", deployment(json!({}))).await.unwrap();
    assert_eq!(again["spec"]["replicas"], 5);
}

#[tokio::test]
async fn managed_fields_can_be_reset_and_edited() {
    let api = Api::new();
    for list in [json!([{}]), json!([])] {
        let api = Api::new();
        let made = api.apply("one", map(json!({"a": "1"}))).await.unwrap();
        let reset = api.patch("two", &made, "", json!({"metadata": {"managedFields": list}})).await.unwrap();
        assert_eq!(reset["metadata"].get("managedFields"), None, "{list}");
        // Not tracked until it is applied again; what is there then belongs to before.
        let patched = api.patch("two", &made, "", json!({"data": {"b": "2"}})).await.unwrap();
        assert_eq!(patched["metadata"].get("managedFields"), None);
        let status = api.apply("one", map(json!({"a": "2"}))).await.unwrap_err();
        assert_eq!(
            status.message,
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"
        );
        let applied = api.force("one", map(json!({"a": "2"}))).await.unwrap();
        assert_eq!(names(&applied), ["one/Apply", "before-first-apply/Update"]);
    }
    let made = api.apply("one", map(json!({"a": "1"}))).await.unwrap();
    let mut entries = made["metadata"]["managedFields"].clone();
    entries[0]["manager"] = "renamed".into();
    let renamed = api.patch("two", &made, "", json!({"metadata": {"managedFields": entries}})).await.unwrap();
    assert_eq!(names(&renamed), ["renamed/Apply"]);
    // What cannot be read counts as not sent; through a part nothing is taken.
    for wrong in [
        json!([{"manager": "x", "operation": "Steal"}]),
        json!([{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": 1}}]),
    ] {
        let kept = api.patch("two", &made, "", json!({"metadata": {"managedFields": wrong}})).await.unwrap();
        assert_eq!(names(&kept), ["renamed/Apply"], "{wrong}");
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = api.create("one", pod).await.unwrap();
    let kept = api
        .patch("two", &pod, "status", json!({"metadata": {"managedFields": [{}]}, "status": {"phase": "Running"}}))
        .await
        .unwrap();
    assert_eq!(names(&kept), ["one/Update", "two/Update/status"]);
}

#[tokio::test]
async fn many_updaters_become_ancient() {
    let api = Api::new();
    let made = api.create("m00", map(json!({"k00": "1"}))).await.unwrap();
    for i in 1..14 {
        api.clock.advance(std::time::Duration::from_secs(1));
        api.patch(&format!("m{i:02}"), &made, "", json!({"data": {format!("k{i:02}"): "1"}})).await.unwrap();
    }
    let object = api.registry.get(&api.kind(&made), "n", "a", "", None).await.unwrap();
    let names = names(object.tree());
    assert_eq!((names.len(), &*names[0], &*names[9]), (10, "ancient-changes/Update", "m13/Update"));
    let ancient = fields(object.tree(), "ancient-changes/Update");
    assert_eq!(ancient, json!({"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}, "f:k03": {}, "f:k04": {}}}));
}

#[tokio::test]
async fn ownership_follows_through_versions() {
    let api = Api::new();
    let hpa = |version: &str, spec: Value| {
        let mut whole =
            json!({"apiVersion": version, "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec});
        whole["spec"]["maxReplicas"] = 3.into();
        whole
    };
    let one = api.apply("one", hpa("autoscaling/v1", json!({"targetCPUUtilizationPercentage": 50}))).await.unwrap();
    assert_eq!(one["spec"]["targetCPUUtilizationPercentage"], 50);
    assert_eq!(
        fields(&one, "one/Apply"),
        json!({"f:spec": {"f:maxReplicas": {}, "f:targetCPUUtilizationPercentage": {}}})
    );
    let metrics = |percent: i32| json!({"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}]});
    let status = api.apply("two", hpa("autoscaling/v2", metrics(60))).await.unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.targetCPUUtilizationPercentage"
    );
    let forced = api.force("two", hpa("autoscaling/v2", metrics(60))).await.unwrap();
    assert_eq!(fields(&forced, "one/Apply"), json!({"f:spec": {"f:maxReplicas": {}}}));
    // The same applier in another version: its fields are pruned in the version it took them in.
    let api = Api::new();
    api.apply("one", hpa("autoscaling/v1", json!({"targetCPUUtilizationPercentage": 50, "minReplicas": 2})))
        .await
        .unwrap();
    let moved = api.apply("one", hpa("autoscaling/v2", metrics(50))).await.unwrap();
    assert_eq!(moved["spec"].get("minReplicas"), None, "{moved}");
    assert_eq!(
        (names(&moved).len(), &moved["metadata"]["managedFields"][0]["apiVersion"]),
        (1, &json!("autoscaling/v2"))
    );
}

#[tokio::test]
async fn kubectl_takes_over_from_its_client_side_apply() {
    let api = Api::new();
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let config = map(json!({"a": "1", "b": "1"}));
    let mut first = config.clone();
    first["metadata"]["annotations"] = json!({LAST: config.to_string()});
    let made = api.create("kubectl-client-side-apply", first).await.unwrap();
    // What the annotation still says is kubectl's; another manager would conflict.
    let status = api.apply("other", map(json!({"a": "2"}))).await.unwrap_err();
    assert!(status.message.contains("\"kubectl-client-side-apply\" using v1: .data.a"), "{status}");
    let taken = api.apply("kubectl", map(json!({"a": "2", "b": "1"}))).await.unwrap();
    assert_eq!(taken["data"]["a"], "2");
    let renewed: Value = serde_json::from_str(taken["metadata"]["annotations"][LAST].as_str().unwrap()).unwrap();
    assert_eq!(renewed["data"], json!({"a": "2", "b": "1"}), "the annotation follows");
    // What somebody changed since is not.
    api.patch("hand", &made, "", json!({"data": {"b": "9"}})).await.unwrap();
    let status = api.apply("kubectl", map(json!({"a": "3", "b": "1"}))).await.unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"hand\" using v1: .data.b");
    assert_eq!(api.registry.store().get(&Key::of::<ConfigMap>("n", "a")).unwrap().tree()["data"]["b"], "9");
}

#[tokio::test]
async fn dry_runs_show_the_owners_and_keep_nothing() {
    let api = Api::new();
    let config = map(json!({"a": "1"}));
    let dry = Caller { dry_run: true, ..api.caller("one") };
    let apply =
        || Change::Patch(PatchFormat::Apply(ApplyPatch { config: config.clone(), force: false, duplicates: vec![] }));
    let shown = api.registry.update(&dry, &api.kind(&config), ("n", "a", ""), apply()).await.unwrap();
    assert_eq!((shown.created, names(shown.object.tree())), (true, vec!["one/Apply".to_owned()]));
    assert!(!api.registry.exists(&api.kind(&config), "n", "a").await.unwrap());
}

#[tokio::test]
async fn keys_given_twice_warn_or_refuse() {
    let api = Api::new();
    let config = map(json!({"a": "1"}));
    let apply = || {
        let duplicates = vec!["line 3: key \"a\" already set in map".to_owned()];
        Change::Patch(PatchFormat::Apply(ApplyPatch { config: config.clone(), force: false, duplicates }))
    };
    let strict = Caller { field_validation: FieldValidation::Strict, ..api.caller("one") };
    let status = api.registry.update(&strict, &api.kind(&config), ("n", "a", ""), apply()).await.err().unwrap();
    assert_eq!(status.message, "error strict decoding YAML: line 3: key \"a\" already set in map");
    api.change("one", &config, "", apply()).await.unwrap();
    assert_eq!(api.warnings.take(), ["line 3: key \"a\" already set in map"]);
}
