//! Registry logins from a pod's `imagePullSecrets`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sdk_api::Key;
use sdk_api::k8s_openapi::api::core::v1::{Pod, Secret};
use sdk_client::Client;
use sdk_plugin::node::PullAuth;
use serde_json::Value;

/// The logins that fit the image's registry, in the order of the pod's secrets. Secrets that are missing are passed over.
pub(crate) async fn of_pod(client: &Client, pod: &Pod, image: &str) -> Vec<Option<PullAuth>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let names = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref()).into_iter().flatten();
    let mut found = vec![];
    for reference in names {
        let secret = client.find(&Key::of::<Secret>(namespace, &reference.name)).await;
        let Ok(Some(secret)) = secret else {
            tracing::debug!(namespace, name = reference.name, "An image pull secret is missing.");
            continue;
        };
        if let Ok(secret) = secret.typed::<Secret>() {
            found.extend(logins(&secret, image).into_iter().map(Some));
        }
    }
    found
}

fn logins(secret: &Secret, image: &str) -> Vec<PullAuth> {
    let data =
        |key: &str| secret.data.as_ref()?.get(key).and_then(|bytes| serde_json::from_slice::<Value>(&bytes.0).ok());
    let auths = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => data(".dockerconfigjson").map(|mut config| config["auths"].take()),
        Some("kubernetes.io/dockercfg") => data(".dockercfg"),
        _ => None,
    };
    let entries = auths.as_ref().and_then(Value::as_object).into_iter().flatten();
    entries.filter(|(server, _)| fits(server, image)).map(|(server, entry)| login(server, entry)).collect()
}

fn login(server: &str, entry: &Value) -> PullAuth {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let pair = STANDARD.decode(text("auth")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, pass)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
        (username, password) = (user.into(), pass.into());
    }
    PullAuth { username, password, server_address: server.into(), identity_token: text("identitytoken") }
}

/// Whether an image lives in the registry, or the part of it, that a login is for.
fn fits(server: &str, image: &str) -> bool {
    let server = server.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = server.split_once('/').unwrap_or((server, ""));
    let path = path.trim_end_matches('/');
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let first = image.split('/').next().unwrap_or_default();
    let (image_host, image_path) = match image.split_once('/') {
        Some((_, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", image),
    };
    let is_hub = |host: &str| matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    let host_fits = host == image_host
        || (is_hub(host) && is_hub(image_host))
        || host.strip_prefix("*.").is_some_and(|rest| {
            image_host.strip_suffix(rest).is_some_and(|label| label.ends_with('.') && label.matches('.').count() == 1)
        });
    let path_fits =
        path.is_empty() || image_path.strip_prefix(path).is_some_and(|rest| rest.starts_with(['/', ':', '@']));
    host_fits && path_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logins_fit_their_registry() {
        for (server, image, want) in [
            ("https://index.docker.io/v1/", "busybox:1", true),
            ("https://index.docker.io/v1/", "reg.example/busybox", false),
            ("reg.example:5000", "reg.example:5000/a:1", true),
            ("reg.example", "reg.example:5000/a:1", false),
            ("reg.example/team", "reg.example/team/a:1", true),
            ("reg.example/team", "reg.example/teammate/a:1", false),
            ("*.example", "eu.example/a", true),
            ("*.example", "a.b.example/a", false),
        ] {
            assert_eq!(fits(server, image), want, "{server} {image}");
        }
    }

    #[test]
    fn both_forms_of_secrets_are_read() {
        let config = json!({"auths": {"reg.example": {"auth": STANDARD.encode("me:secret:1")}, "other": {}}});
        let encoded = STANDARD.encode(config.to_string());
        let secret: Secret = serde_json::from_value(json!({"type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": encoded}}))
        .unwrap();
        let found = logins(&secret, "reg.example/a:1");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].username.as_str(), found[0].password.as_str()), ("me", "secret:1"));
        let broken: Secret =
            serde_json::from_value(json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "e30x"}})).unwrap();
        assert!(logins(&broken, "reg.example/a:1").is_empty());
    }
}
