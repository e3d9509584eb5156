//! What a request is about, read from its method and path alone.

use http::Method;
use percent_encoding::percent_decode_str;

/// A request in the terms of the API. Source: `RequestInfo` of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Under `/api` or `/apis` and naming a resource.
    pub is_resource: bool,
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; outside the resources the
    /// method in lower case.
    pub verb: &'static str,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// What follows the subresource, for proxies.
    pub rest: String,
}

impl RequestInfo {
    /// `query` is needed to tell a list from a watch.
    pub fn of(method: &Method, path: &str, query: &[(String, String)]) -> Self {
        let mut info = Self { path: path.into(), verb: plain_verb(method), ..Self::default() };
        let parts: Vec<String> =
            path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
        let mut parts = parts.as_slice();
        match parts {
            [api, version, rest @ ..] if api == "api" && !rest.is_empty() => {
                info.version.clone_from(version);
                parts = rest;
            }
            [apis, group, version, rest @ ..] if apis == "apis" && !rest.is_empty() => {
                info.group.clone_from(group);
                info.version.clone_from(version);
                parts = rest;
            }
            _ => return info,
        }
        if parts.first().is_none_or(String::is_empty) {
            return info;
        }
        info.is_resource = true;
        let legacy_watch = parts[0] == "watch" && parts.len() > 1;
        if legacy_watch {
            parts = &parts[1..];
        }
        // A namespace alone is the object; with something behind it, the scope. `status` and `finalize` are its own.
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace.clone_from(&parts[1]);
            if parts.len() > 2 && !matches!(parts[2].as_str(), "status" | "finalize") {
                parts = &parts[2..];
            }
        }
        let mut parts = parts.iter();
        info.resource = parts.next().cloned().unwrap_or_default();
        info.name = parts.next().cloned().unwrap_or_default();
        info.subresource = parts.next().cloned().unwrap_or_default();
        info.rest = parts.map(|part| format!("/{part}")).collect();
        if info.resource == "namespaces" {
            info.namespace.clone_from(&info.name);
        }
        let asks =
            |name: &str| query.iter().any(|(key, value)| key == name && !matches!(value.as_str(), "" | "0" | "false"));
        info.verb = match *method {
            Method::GET | Method::HEAD if legacy_watch => "watch",
            Method::GET | Method::HEAD if info.name.is_empty() && asks("watch") => "watch",
            Method::GET | Method::HEAD if info.name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if info.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => plain_verb(method),
        };
        if info.verb == "watch" && info.name.is_empty() {
            // Authorization knows the name that a field selector requires, so that a role may allow just one object.
            let selector = query.iter().find(|(key, _)| key == "fieldSelector").map(|(_, value)| value.as_str());
            if let Some(name) = selector.and_then(|selector| selector.strip_prefix("metadata.name="))
                && !name.contains(',')
            {
                info.name = name.into();
            }
        }
        info
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// The pairs of a query string, decoded.
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_they_are_about() {
        let get = Method::GET;
        for (method, path, query, expected) in [
            (&get, "/api/v1/pods", "", "list/v1/pods//"),
            (&get, "/api/v1/pods", "watch=true", "watch/v1/pods//"),
            (&get, "/api/v1/pods", "watch=false", "list/v1/pods//"),
            (&get, "/api/v1/namespaces/a/pods/b", "", "get/v1/pods/a/b"),
            (&get, "/api/v1/namespaces/a/pods/b/log", "", "get/v1/pods/a/b#log"),
            (&get, "/api/v1/namespaces/a", "", "get/v1/namespaces/a/a"),
            (&Method::PUT, "/api/v1/namespaces/a/finalize", "", "update/v1/namespaces/a/a#finalize"),
            (&Method::DELETE, "/apis/apps/v1/namespaces/a/deployments", "", "deletecollection/apps/v1/deployments/a/"),
            (&Method::POST, "/apis/apps/v1/namespaces/a/deployments", "", "create/apps/v1/deployments/a/"),
            (&get, "/api/v1/watch/namespaces/a/pods", "", "watch/v1/pods/a/"),
            (&get, "/api/v1/nodes/n/proxy/x/y", "", "get/v1/nodes//n#proxy/x/y"),
            (&get, "/apis/apps/v1", "", "get"),
            (&get, "/healthz", "", "get"),
            (&get, "/api/v1/namespaces/a/pods", "watch=1&fieldSelector=metadata.name%3Db", "watch/v1/pods/a/b"),
        ] {
            let info = RequestInfo::of(method, path, &query_pairs(query));
            let version =
                if info.group.is_empty() { info.version.clone() } else { format!("{}/{}", info.group, info.version) };
            let sub =
                if info.subresource.is_empty() { String::new() } else { format!("#{}{}", info.subresource, info.rest) };
            let text = if info.is_resource {
                format!("{}/{version}/{}/{}/{}{sub}", info.verb, info.resource, info.namespace, info.name)
            } else {
                info.verb.to_owned()
            };
            assert_eq!(text, expected, "{path}");
        }
    }
}
