//! The objects that every cluster has: the mandatory ones, which cannot be changed, and the suggested ones, which are
//! kept as they are here unless somebody takes them over. Source: Kubernetes documentation, "API Priority and Fairness",
//! defaults.

use sdk_api::k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use serde_json::{Value, json};

/// Says whether an object's spec is kept up to date.
pub const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
pub const EXEMPT: &str = "exempt";
pub const CATCH_ALL: &str = "catch-all";
const GROUP_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

/// Whether the object of this name must be there, with the spec that it has here.
pub fn is_mandatory(name: &str) -> bool {
    matches!(name, EXEMPT | CATCH_ALL)
}

/// Name, shares, percent lent to others; queues, hand and length of a queue.
type Level = (&'static str, i32, i32, Option<(i32, i32, i32)>);

const LEVELS: [Level; 7] = [
    ("catch-all", 5, 0, None),
    ("global-default", 20, 50, Some((128, 6, 50))),
    ("leader-election", 10, 0, Some((16, 4, 50))),
    ("node-high", 40, 25, Some((64, 6, 50))),
    ("system", 30, 33, Some((64, 6, 50))),
    ("workload-high", 40, 50, Some((128, 6, 50))),
    ("workload-low", 100, 90, Some((128, 6, 50))),
];

/// All priority levels.
pub fn levels() -> Vec<PriorityLevelConfiguration> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = LEVELS.iter().map(|(name, shares, lendable, queuing)| {
        let response = match queuing {
            None => json!({"type": "Reject"}),
            Some((queues, hand, length)) => {
                let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": length});
                json!({"type": "Queue", "queuing": queuing})
            }
        };
        let limited =
            json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
        (*name, json!({"type": "Limited", "limited": limited}))
    });
    let all = [(EXEMPT, exempt)].into_iter().chain(limited);
    let all: Value = all.map(|(name, spec)| object("PriorityLevelConfiguration", name, spec)).collect();
    serde_json::from_value(all).expect("these documents fit their type")
}

/// All flow schemas.
pub fn schemas() -> Vec<FlowSchema> {
    let (managers, system) = (users(&["system:kube-controller-manager"]), accounts(&["*"]));
    let leaders = users(&["system:kube-controller-manager", "system:kube-scheduler"]);
    let endpoint_controllers = accounts(&["endpoint-controller", "endpointslicemirroring-controller"]);
    let nodes = groups(&["system:nodes"]);
    let everybody = groups(&["system:unauthenticated", "system:authenticated"]);
    let leases = [in_namespaces(&["get", "create", "update"], "coordination.k8s.io", &["leases"])];
    let endpoints = [in_namespaces(&["get", "create", "update"], "", &["endpoints"])];
    let heartbeats = [
        json!({"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "namespaces": ["*"], "clusterScope": true}),
        json!({"verbs": ["*"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"], "clusterScope": false}),
    ];
    let health = json!([{
        "subjects": everybody,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    }]);
    let (by_user, by_namespace) = ("ByUser", "ByNamespace");
    let all = json!([
        schema("exempt", 1, "exempt", "", everything(&groups(&["system:masters"]))),
        schema("probes", 2, "exempt", "", health),
        schema("system-leader-election", 100, "leader-election", by_user, on(&both(&leaders, &system), &leases)),
        schema(
            "endpoint-controller",
            150,
            "workload-high",
            by_user,
            on(&both(&managers, &endpoint_controllers), &endpoints)
        ),
        schema("workload-leader-election", 200, "leader-election", by_user, on(&system, &leases)),
        schema("system-node-high", 400, "node-high", by_user, on(&nodes, &heartbeats)),
        schema("system-nodes", 500, "system", by_user, everything(&nodes)),
        schema("kube-controller-manager", 800, "workload-high", by_namespace, everything(&managers)),
        schema("kube-scheduler", 800, "workload-high", by_namespace, everything(&users(&["system:kube-scheduler"]))),
        schema("kube-system-service-accounts", 900, "workload-high", by_namespace, everything(&system)),
        schema("service-accounts", 9000, "workload-low", by_user, everything(&groups(&["system:serviceaccounts"]))),
        schema("global-default", 9900, "global-default", by_user, everything(&everybody)),
        schema("catch-all", 10_000, "catch-all", by_user, everything(&everybody)),
    ]);
    serde_json::from_value(all).expect("these documents fit their type")
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "annotations": {AUTOUPDATE: "true"}});
    json!({"apiVersion": GROUP_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
}

fn schema(name: &str, precedence: i32, level: &str, method: &str, rules: Value) -> Value {
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": rules,
    });
    if !method.is_empty() {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    object("FlowSchema", name, spec)
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

/// Service accounts of `kube-system`.
fn accounts(names: &[&str]) -> Vec<Value> {
    let account =
        |name: &&str| json!({"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}});
    names.iter().map(account).collect()
}

fn both(some: &[Value], others: &[Value]) -> Vec<Value> {
    some.iter().chain(others).cloned().collect()
}

fn in_namespaces(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"], "clusterScope": false})
}

fn on(subjects: &[Value], rules: &[Value]) -> Value {
    json!([{"subjects": subjects, "resourceRules": rules}])
}

fn everything(subjects: &[Value]) -> Value {
    json!([{
        "subjects": subjects,
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true},
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }])
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Strategy;

    use super::*;
    use crate::kinds::flow_schema::FlowSchemaStrategy;
    use crate::kinds::priority_level_configuration::PriorityLevelStrategy;

    #[test]
    fn the_objects_are_valid_and_complete() {
        let levels = levels();
        for level in &levels {
            let mut defaulted = level.clone();
            PriorityLevelStrategy.default(&mut defaulted);
            assert_eq!(&defaulted, level, "nothing is left to default");
            assert_eq!(PriorityLevelStrategy.validate(level, None).summary(), "[]", "{:?}", level.metadata.name);
        }
        for schema in schemas() {
            let mut defaulted = schema.clone();
            FlowSchemaStrategy.default(&mut defaulted);
            assert_eq!(defaulted, schema, "nothing is left to default");
            assert_eq!(FlowSchemaStrategy.validate(&schema, None).summary(), "[]", "{:?}", schema.metadata.name);
            let level = schema.spec.unwrap().priority_level_configuration.name;
            assert!(levels.iter().any(|known| known.metadata.name.as_ref() == Some(&level)), "{level}");
        }
    }
}
