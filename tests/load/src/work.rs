//! What is asked of the server: one request after the other, each made from its number.

use anyhow::{Result, bail};
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

/// Labels everything that the load generator makes, so that `clean` finds it.
pub const LABEL: &str = "kubernel.io/load";

/// The largest body that is sent.
pub const BYTES_MAX: usize = 1 << 20;

/// A kind of request.
#[derive(Clone, Debug)]
pub enum Work {
    /// Creates a ConfigMap; its JSON has exactly `bytes` bytes.
    Create { namespace: String, run: String, bytes: usize },
    /// Creates a pod that nobody schedules, of about 2.8 KB as it is stored.
    Pods { namespace: String, run: String },
    /// Reads one object.
    Get { path: String },
    /// Reads a collection as one page.
    List { path: String },
}

impl Work {
    /// As the command line names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Pods { .. } => "pods",
            Self::Get { .. } => "get",
            Self::List { .. } => "list",
        }
    }

    /// The request of this number.
    pub fn request(&self, number: u64) -> (Method, String, Bytes) {
        match self {
            Self::Create { namespace, run, bytes } => {
                let body = config_map(run, number, *bytes);
                (Method::POST, format!("/api/v1/namespaces/{namespace}/configmaps"), body)
            }
            Self::Pods { namespace, run } => {
                (Method::POST, format!("/api/v1/namespaces/{namespace}/pods"), pod(run, number))
            }
            Self::Get { path } | Self::List { path } => (Method::GET, path.clone(), Bytes::new()),
        }
    }
}

fn config_map(run: &str, number: u64, bytes: usize) -> Bytes {
    let document = |payload: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("load-{run}-{number}"), "labels": {LABEL: run}},
            "data": {"payload": payload}})
        .to_string()
    };
    let bare = document("").len();
    Bytes::from(document(&"x".repeat(bytes.saturating_sub(bare))))
}

fn pod(run: &str, number: u64) -> Bytes {
    let variables: Vec<_> =
        (0..12).map(|n| json!({"name": format!("SETTING_{n}"), "value": "a value of some length"})).collect();
    let document = json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": format!("load-{run}-{number}"), "labels": {LABEL: run, "app": format!("app-{}", number % 100)}},
    "spec": {
        "schedulerName": "nobody",
        "containers": [{
            "name": "main", "image": "registry.example/team/service:1.2.3", "env": variables,
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        }],
    }});
    Bytes::from(document.to_string())
}

/// How many items a list holds.
pub fn items(body: &[u8]) -> Result<usize> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        items: Vec<IgnoredAny>,
    }
    match serde_json::from_slice::<List>(body) {
        Ok(list) => Ok(list.items.len()),
        Err(error) => bail!("the answer is no list: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_that_was_asked_for() {
        let work = Work::Create { namespace: "n".into(), run: "r".into(), bytes: 1024 };
        for number in [0, 7, 123_456] {
            let (method, path, body) = work.request(number);
            assert_eq!((method, path.as_str(), body.len()), (Method::POST, "/api/v1/namespaces/n/configmaps", 1024));
            let tree: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(tree["metadata"]["name"], format!("load-r-{number}"));
        }
    }

    #[test]
    fn items_are_counted() {
        assert_eq!(items(br#"{"kind":"List","items":[{"a":[1,2]},{}]}"#).unwrap(), 2);
        assert!(items(b"<html>").is_err());
    }
}
