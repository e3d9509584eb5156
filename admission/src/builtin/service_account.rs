//! `ServiceAccount`: every pod has a service account, and unless somebody minds, its token. Source: Kubernetes
//! documentation, "Managing Service Accounts", ServiceAccount admission controller.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use sdk_api::k8s_openapi::api::core::v1::ServiceAccount as Account;
use sdk_api::{Key, Object, Status};
use sdk_plugin::{Admission, AdmissionRequest, Context};
use serde_json::{Value, json};

use super::creates;
use crate::refuse::forbidden;
use crate::world::World;

const DEFAULT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const ROOT_CA: &str = "kube-root-ca.crt";
/// Asks for an hour, and lets the server tell this token from others. See KEP-1205.
const TOKEN_SECONDS: i64 = 3607;
/// How often the account is looked for that the controller is about to make in a new namespace.
const TRIES_MAX: usize = 10;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the end of a volume's name.
type Suffix = Box<dyn Fn() -> String + Send + Sync>;

pub struct ServiceAccount {
    world: Arc<World>,
    suffix: Suffix,
}

impl ServiceAccount {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, suffix: Box::new(random_suffix) }
    }

    /// The account, waiting a moment for the default one of a new namespace.
    async fn account(&self, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
        let key = Key::of::<Account>(namespace, name);
        let tries = if name == DEFAULT { TRIES_MAX } else { 1 };
        for attempt in 1..=tries {
            if let Some(account) = self.world.find(&key).await? {
                return Ok(account);
            }
            if attempt < tries {
                self.world.pause(PAUSE).await;
            }
        }
        Err(Status::not_found(&key.resource, name))
    }
}

/// Five characters that spell no words, as generated names have them.
fn random_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

#[async_trait]
impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.world.start(&context);
        Ok(())
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        creates(request, "", "pods")
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        if is_mirror(&request.object) {
            return Ok(());
        }
        let spec = &mut request.object["spec"];
        if spec["serviceAccountName"].as_str().is_none_or(str::is_empty) {
            spec["serviceAccountName"] = DEFAULT.into();
        }
        let name = spec["serviceAccountName"].as_str().unwrap_or(DEFAULT).to_owned();
        let namespace = request.namespace.clone();
        let account = self.account(&namespace, &name).await.map_err(|error| {
            forbidden(request, format!("error looking up service account {namespace}/{name}: {error}"))
        })?;
        let spec = &mut request.object["spec"];
        if wants_token(spec, account.tree()) {
            mount_token(spec, &self.suffix);
        }
        let secrets = &account.tree()["imagePullSecrets"];
        let has_own = spec["imagePullSecrets"].as_array().is_some_and(|secrets| !secrets.is_empty());
        if !has_own && secrets.as_array().is_some_and(|secrets| !secrets.is_empty()) {
            spec["imagePullSecrets"] = secrets.clone();
        }
        Ok(())
    }

    /// A mirror pod only shows what a node runs by itself; it must not get at secrets through its account.
    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        if !is_mirror(&request.object) {
            return Ok(());
        }
        let spec = &request.object["spec"];
        if spec["serviceAccountName"].as_str().is_some_and(|name| !name.is_empty()) {
            return Err(forbidden(request, "a mirror pod may not reference service accounts"));
        }
        let projects_token = |volume: &Value| {
            let sources = volume["projected"]["sources"].as_array().into_iter().flatten();
            sources.into_iter().any(|source| !source["serviceAccountToken"].is_null())
        };
        if spec["volumes"].as_array().into_iter().flatten().any(projects_token) {
            return Err(forbidden(request, "a mirror pod may not use ServiceAccountToken volume projections"));
        }
        Ok(())
    }
}

fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][MIRROR].is_null()
}

/// The pod's word counts more than the account's.
fn wants_token(spec: &Value, account: &Value) -> bool {
    let word = |of: &Value| of["automountServiceAccountToken"].as_bool();
    word(spec).or_else(|| word(account)).unwrap_or(true)
}

/// Mounts the token into every container that has nothing at its place yet.
fn mount_token(spec: &mut Value, suffix: &Suffix) {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let present = volumes.filter_map(|volume| volume["name"].as_str()).find(|name| name.starts_with(VOLUME_PREFIX));
    let has_volume = present.is_some();
    let volume = present.map_or_else(|| format!("{VOLUME_PREFIX}{}", suffix()), str::to_owned);
    let mut is_used = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if mounts.iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
                continue;
            }
            let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
            container["volumeMounts"] = mounts.into_iter().chain([mount]).collect();
            is_used = true;
        }
    }
    if is_used && !has_volume {
        let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        spec["volumes"] = volumes.into_iter().chain([token_volume(&volume)]).collect();
    }
}

fn token_volume(name: &str) -> Value {
    let namespace = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Operation;
    use sdk_testkit::Build;

    use super::super::testing::{admit, request, started};
    use super::*;

    fn plugin(world: Arc<World>) -> ServiceAccount {
        ServiceAccount { world, suffix: Box::new(|| "abcde".into()) }
    }

    fn account(name: &str, rest: Value) -> Value {
        let mut account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "blue"}});
        for (field, value) in rest.as_object().unwrap() {
            account[field] = value.clone();
        }
        account
    }

    fn pod(spec: Value) -> AdmissionRequest {
        let mut pod: Value = Build::pod("blue", "web").into();
        pod["spec"] = spec;
        request(Operation::Create, "pods", pod, None)
    }

    #[tokio::test]
    async fn pods_get_account_token_and_pull_secrets() {
        let secrets = json!([{"name": "registry"}]);
        let (_api, _clock, plugin) = started(
            [
                account("default", json!({"imagePullSecrets": secrets})),
                account("quiet", json!({"automountServiceAccountToken": false})),
            ],
            plugin,
        )
        .await;
        let mount = json!({"name": "kube-api-access-abcde", "readOnly": true, "mountPath": MOUNT_PATH});
        let own = json!({"name": "mine", "mountPath": MOUNT_PATH});
        for (case, spec, expected) in [
            (
                "the default",
                json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}),
                json!({
                    "serviceAccountName": "default", "imagePullSecrets": secrets,
                    "initContainers": [{"name": "i", "volumeMounts": [mount]}],
                    "containers": [{"name": "c", "volumeMounts": [mount]}],
                    "volumes": [token_volume("kube-api-access-abcde")],
                }),
            ),
            (
                "an account that wants no token",
                json!({"serviceAccountName": "quiet", "containers": [{"name": "c"}]}),
                json!({"serviceAccountName": "quiet", "containers": [{"name": "c"}]}),
            ),
            (
                "a pod that wants one all the same",
                json!({"serviceAccountName": "quiet", "automountServiceAccountToken": true, "containers": [{"name": "c"}]}),
                json!({
                    "serviceAccountName": "quiet", "automountServiceAccountToken": true,
                    "containers": [{"name": "c", "volumeMounts": [mount]}],
                    "volumes": [token_volume("kube-api-access-abcde")],
                }),
            ),
            (
                "something in its place",
                json!({"serviceAccountName": "default", "imagePullSecrets": [{"name": "x"}],
                       "containers": [{"name": "c", "volumeMounts": [own]}]}),
                json!({"serviceAccountName": "default", "imagePullSecrets": [{"name": "x"}],
                       "containers": [{"name": "c", "volumeMounts": [own]}]}),
            ),
        ] {
            assert_eq!(admit(&plugin, pod(spec)).await.unwrap()["spec"], expected, "{case}");
        }
        let refused = admit(&plugin, pod(json!({"serviceAccountName": "ghost"}))).await.unwrap_err();
        assert_eq!(
            refused.message,
            "pods \"web\" is forbidden: error looking up service account blue/ghost: serviceaccounts \"ghost\" not found"
        );
    }

    #[tokio::test]
    async fn the_default_account_of_a_new_namespace_is_waited_for() {
        let (api, clock, plugin) = started([], plugin).await;
        let admitted = tokio::spawn(async move { admit(&plugin, pod(json!({"containers": []}))).await });
        sdk_testkit::until("the first look", || clock.sleepers() == 1).await;
        api.seed(account("default", json!({})));
        clock.advance(PAUSE);
        assert_eq!(admitted.await.unwrap().unwrap()["spec"]["serviceAccountName"], "default");
    }

    #[tokio::test]
    async fn mirror_pods_have_no_account() {
        let (_api, _clock, plugin) = started([account("default", json!({}))], plugin).await;
        for (case, spec, refused) in [
            ("plain", json!({}), false),
            ("an account", json!({"serviceAccountName": "default"}), true),
            ("a token", json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]}), true),
        ] {
            let mut request = pod(spec);
            request.object["metadata"]["annotations"] = json!({MIRROR: "hash"});
            assert_eq!(admit(&plugin, request).await.is_err(), refused, "{case}");
        }
    }
}
