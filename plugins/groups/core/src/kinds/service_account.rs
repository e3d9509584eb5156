//! `ServiceAccount`: who a pod is, and the tokens that prove it.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestStatus};
use sdk_api::k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::{GroupKind, GroupResource, GroupVersionKind, Key, Object, Status, Violations};
use sdk_plugin::{Action, Call, Column, Kind, TokenClaims, TokenIssuer};
use serde_json::Value;

use super::fields::text;
use crate::Settings;

const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Secrets", |account, _| account["secrets"].as_array().map_or(0, Vec::len).into()).typed("string"),
    Column::AGE,
];

/// The row.
pub fn kind(settings: &Settings) -> Kind {
    Kind::plain::<ServiceAccount>()
        .short_names(&["sa"])
        .columns(COLUMNS)
        .delete_answers_object()
        .action("token", Token { issuer: settings.tokens.clone() })
}

/// The `token` subresource. Source: KEP-1205, bound service account tokens.
struct Token {
    issuer: Arc<dyn TokenIssuer>,
}

/// What a token is bound to.
#[derive(Default)]
struct Bound {
    to: Option<(String, String, String)>,
    node: Option<(String, String)>,
}

#[async_trait]
impl Action for Token {
    fn kind(&self) -> GroupVersionKind {
        GroupVersionKind::of::<TokenRequest>()
    }

    async fn run(&self, call: Call<'_>, account: Arc<Object>) -> Result<Value, Status> {
        let mut request: TokenRequest =
            serde_json::from_value(call.body.clone()).map_err(|e| Status::bad_request(e.to_string()))?;
        check_place(&mut request, &account)?;
        let spec = request.spec.get_or_insert_default();
        let audiences = spec.audiences.get_or_insert_default();
        audiences.retain(|audience| !audience.is_empty());
        if audiences.is_empty() {
            *audiences = self.issuer.default_audiences();
        }
        let seconds = *spec.expiration_seconds.get_or_insert(SECONDS_DEFAULT);
        let found = validate(seconds);
        if !found.is_empty() {
            let kind = GroupKind::of::<TokenRequest>();
            return Err(Status::invalid(&kind, account.name(), &found));
        }
        let bound = match &spec.bound_object_ref {
            Some(reference) => bind(&call, &account, reference).await?,
            None => Bound::default(),
        };
        let claims = TokenClaims {
            namespace: account.namespace().to_owned(),
            service_account: account.name().to_owned(),
            service_account_uid: account.uid().to_owned(),
            audiences: spec.audiences.clone().unwrap_or_default(),
            expiration_seconds: seconds,
            bound_to: bound.to,
            node: bound.node,
        };
        // A dry run proves nothing, so it gets no proof.
        let (token, expires) = match call.dry_run {
            true => (String::new(), call.server.clock().now()),
            false => self.issuer.issue(&claims)?,
        };
        request.metadata.creation_timestamp = Some(Time(sdk_api::time::whole_seconds(call.server.clock().now())));
        request.status = Some(TokenRequestStatus { token: Some(token), expiration_timestamp: Some(Time(expires)) });
        serde_json::to_value(request).map_err(|e| Status::internal(e.to_string()))
    }
}

fn check_place(request: &mut TokenRequest, account: &Object) -> Result<(), Status> {
    let name = text(&request.metadata.name);
    if !name.is_empty() && name != account.name() {
        let why = format!("the name of the object ({name}) does not match the name on the URL ({})", account.name());
        return Err(Status::bad_request(why));
    }
    let namespace = text(&request.metadata.namespace);
    if !namespace.is_empty() && namespace != account.namespace() {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    request.metadata.name = Some(account.name().to_owned());
    request.metadata.namespace = Some(account.namespace().to_owned());
    Ok(())
}

fn validate(seconds: i64) -> Violations {
    let mut found = Violations::default();
    if seconds < SECONDS_MIN {
        found.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > SECONDS_MAX {
        found.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds");
    }
    found
}

/// Finds the object that the token dies with.
async fn bind(call: &Call<'_>, account: &Object, reference: &BoundObjectReference) -> Result<Bound, Status> {
    let client = call.server.client();
    let name = text(&reference.name);
    let kind = text(&reference.kind);
    let key = match (text(&reference.api_version), kind) {
        ("v1", "Pod") => Key::of::<Pod>(account.namespace(), name),
        ("v1", "Secret") => Key::of::<Secret>(account.namespace(), name),
        ("v1", "Node") => Key::of::<Node>("", name),
        (version, kind) => {
            return Err(Status::bad_request(format!("cannot bind token to object of type {version}, Kind={kind}")));
        }
    };
    let object = client.get(&key).await?;
    let mut bound = Bound { to: Some((kind.to_owned(), name.to_owned(), object.uid().to_owned())), node: None };
    if kind == "Pod" {
        let runs_as = object.tree()["spec"]["serviceAccountName"].as_str().unwrap_or_default().to_owned();
        if runs_as != account.name() {
            let why = format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                account.name()
            );
            return Err(Status::bad_request(why));
        }
        let node = object.tree()["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        if !node.is_empty() {
            let found = client.find(&Key::of::<Node>("", &node)).await?;
            bound.node = Some((node, found.map(|node| node.uid().to_owned()).unwrap_or_default()));
        }
    }
    let asked = text(&reference.uid);
    if !asked.is_empty() && asked != object.uid() {
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new("", kind), name, why));
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sdk_api::Timestamp;
    use serde_json::json;

    use super::super::test_server::TestServer;
    use super::*;

    /// Notes what it is asked for.
    #[derive(Default)]
    struct Notes(Mutex<Vec<TokenClaims>>);

    impl TokenIssuer for Notes {
        fn issue(&self, claims: &TokenClaims) -> Result<(String, Timestamp), Status> {
            self.0.lock().unwrap().push(claims.clone());
            Ok(("a.b.c".into(), Timestamp::UNIX_EPOCH))
        }

        fn default_audiences(&self) -> Vec<String> {
            vec!["api".into()]
        }
    }

    fn server() -> TestServer {
        let pod = |name: &str, account: &str, node: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": name, "uid": format!("uid-{name}")},
                "spec": {"serviceAccountName": account, "nodeName": node, "containers": []}})
        };
        TestServer::new([
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "a", "name": "sa", "uid": "uid-sa"}}),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "uid-n"}}),
            pod("mine", "sa", "n"),
            pod("waiting", "sa", ""),
            pod("other", "default", "n"),
        ])
    }

    async fn ask(server: &TestServer, spec: Value) -> (Result<Value, String>, Vec<TokenClaims>) {
        let notes = Arc::new(Notes::default());
        let account = server.api.object(&Key::of::<ServiceAccount>("a", "sa")).unwrap();
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let token = Token { issuer: notes.clone() };
        let answer = token.run(server.call(body), account).await;
        let claims = notes.0.lock().unwrap().clone();
        (answer.map_err(|status| status.message), claims)
    }

    #[tokio::test]
    async fn a_token_says_whose_it_is() {
        let server = server();
        let (answer, claims) = ask(&server, json!({})).await;
        let answer = answer.unwrap();
        assert_eq!(answer["spec"], json!({"audiences": ["api"], "expirationSeconds": 3600}));
        assert_eq!(answer["status"], json!({"token": "a.b.c", "expirationTimestamp": "1970-01-01T00:00:00Z"}));
        assert_eq!((&answer["kind"], &answer["metadata"]["name"]), (&json!("TokenRequest"), &json!("sa")));
        assert_eq!((claims[0].service_account_uid.as_str(), claims[0].expiration_seconds), ("uid-sa", 3600));
    }

    #[tokio::test]
    async fn a_bound_token_names_what_it_dies_with() {
        let server = server();
        let bound = |kind: &str, name: &str, uid: &str| json!({"audiences": ["x"], "boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}});
        let three = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        let node = Some(("n".to_owned(), "uid-n".to_owned()));
        for (case, spec, to, on) in [
            ("a pod", bound("Pod", "mine", "uid-mine"), three("Pod", "mine", "uid-mine"), node),
            ("a pod by name", bound("Pod", "waiting", ""), three("Pod", "waiting", "uid-waiting"), None),
            ("a node", bound("Node", "n", ""), three("Node", "n", "uid-n"), None),
        ] {
            let (answer, claims) = ask(&server, spec).await;
            answer.unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!((&claims[0].bound_to, &claims[0].node), (&to, &on), "{case}");
        }
        for (case, spec, why) in [
            ("a lost pod", bound("Pod", "gone", ""), "pods \"gone\" not found"),
            (
                "its successor",
                bound("Pod", "mine", "old"),
                "the UID in the bound object reference (old) does not match",
            ),
            (
                "a stranger's pod",
                bound("Pod", "other", ""),
                "cannot bind token for serviceaccount \"sa\" to pod running with",
            ),
            ("another kind", bound("Service", "s", ""), "cannot bind token to object of type v1, Kind=Service"),
            ("too short", json!({"expirationSeconds": 599}), "may not specify a duration less than 10 minutes"),
            ("too long", json!({"expirationSeconds": 4_294_967_297_i64}), "a duration larger than 2^32 seconds"),
        ] {
            let (answer, claims) = ask(&server, spec).await;
            let message = answer.err().unwrap_or_else(|| panic!("{case} got a token"));
            assert!(message.contains(why) && claims.is_empty(), "{case}: {message}");
        }
    }
}
