//! Where objects are in etcd: `<prefix>/<group>/<resource>[/<namespace>]/<name>`, `core` for the group without a name.

use bytes::Bytes;
use sdk_api::{GroupResource, Key};

/// What the core group is called in paths. Names of other groups have a dot.
const CORE: &str = "core";

/// The keys under one prefix.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The prefix with a slash at its end.
    begin: String,
    /// Written by every commit: see `record.rs`. One segment, so that it is no object's.
    pub last_commit: Bytes,
}

impl Layout {
    /// `prefix` begins with a slash and has none at its end.
    pub fn new(prefix: &str) -> Self {
        Self { begin: format!("{prefix}/"), last_commit: format!("{prefix}/last-commit").into() }
    }

    /// The first key of all, and the first behind all.
    pub fn range(&self) -> (Bytes, Bytes) {
        let mut end = self.begin.clone().into_bytes();
        // '0' follows '/'.
        end.pop();
        end.push(b'0');
        (self.begin.clone().into(), end.into())
    }

    /// `None` where a part is empty or has a slash in it; the API serves no such names.
    pub fn path(&self, key: &Key) -> Option<Bytes> {
        let group = match key.resource.group() {
            "" => CORE,
            group => group,
        };
        let mut parts = vec![group, key.resource.resource(), &*key.name];
        if !key.namespace.is_empty() {
            parts.insert(2, &key.namespace);
        }
        let fits = parts.iter().all(|part| !part.is_empty() && !part.contains('/'));
        fits.then(|| format!("{}{}", self.begin, parts.join("/")).into())
    }

    /// Back from a path; `None` if it is no object's.
    pub fn key(&self, path: &[u8]) -> Option<Key> {
        let path = std::str::from_utf8(path).ok()?.strip_prefix(&*self.begin)?;
        let parts: Vec<&str> = path.split('/').collect();
        let (group, resource, namespace, name) = match parts[..] {
            [group, resource, namespace, name] => (group, resource, namespace, name),
            [group, resource, name] => (group, resource, "", name),
            _ => return None,
        };
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let group = if group == CORE { "" } else { group };
        Some(Key::new(&GroupResource::new(group, resource), namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back_to_keys() {
        let layout = Layout::new("/registry");
        for (group, resource, namespace, name, path) in [
            ("", "pods", "default", "web", Some("/registry/core/pods/default/web")),
            ("", "nodes", "", "n1", Some("/registry/core/nodes/n1")),
            ("apps", "deployments", "a", "b", Some("/registry/apps/deployments/a/b")),
            (
                "rbac.authorization.k8s.io",
                "clusterroles",
                "",
                "system:node",
                Some("/registry/rbac.authorization.k8s.io/clusterroles/system:node"),
            ),
            ("", "pods", "a", "b/c", None),
            ("", "pods", "a", "", None),
        ] {
            let key = Key::new(&GroupResource::new(group, resource), namespace, name);
            let got = layout.path(&key);
            assert_eq!(got.as_deref(), path.map(str::as_bytes));
            if let Some(path) = path {
                assert_eq!(layout.key(path.as_bytes()), Some(key));
            }
        }
        for foreign in [
            "/registry/last-commit",
            "/registry/a/b",
            "/registry/a/b/c/d/e",
            "/registry/a//b",
            "/registry",
            "/other/a/b/c",
        ] {
            assert_eq!(layout.key(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(layout.range(), ("/registry/".into(), "/registry0".into()));
    }
}
