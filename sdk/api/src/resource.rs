//! Names of kinds: group, version, kind, resource, scope.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A typed lens over an object: any top-level type of `k8s-openapi`.
pub trait Typed: k8s_openapi::Resource + DeserializeOwned + Serialize + Clone + Send + Sync + 'static {}
impl<T: k8s_openapi::Resource + DeserializeOwned + Serialize + Clone + Send + Sync + 'static> Typed for T {}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// A collection of objects, named `pods` or `deployments.apps`, whatever the version.
///
/// Cloning shares the name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource(Arc<str>);

impl GroupResource {
    /// `group` is empty for the core group; `resource` is the plural in lower case.
    pub fn new(group: &str, resource: &str) -> Self {
        if group.is_empty() { Self(resource.into()) } else { Self(format!("{resource}.{group}").into()) }
    }

    /// Where objects of a `k8s-openapi` type are kept.
    pub fn of<T: Typed>() -> Self {
        Self::new(T::GROUP, T::URL_PATH_SEGMENT)
    }

    /// Back from the form that `as_str` gives.
    pub fn parse(name: &str) -> Self {
        Self(name.into())
    }

    pub fn group(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, group)| group)
    }

    pub fn resource(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(resource, _)| resource)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group and a version, `v1` or `apps/v1`: the `apiVersion` of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersion {
    pub group: String,
    pub version: String,
}

impl GroupVersion {
    pub fn new(group: impl Into<String>, version: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into() }
    }

    /// Reads an `apiVersion`.
    pub fn parse(api_version: &str) -> Self {
        match api_version.split_once('/') {
            Some((group, version)) => Self::new(group, version),
            None => Self::new("", api_version),
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.version) } else { write!(f, "{}/{}", self.group, self.version) }
    }
}

/// A group and a kind, written `Pod` or `Deployment.apps`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    pub group: String,
    pub kind: String,
}

impl GroupKind {
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }

    pub fn of<T: Typed>() -> Self {
        Self::new(T::GROUP, T::KIND)
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.kind) } else { write!(f, "{}.{}", self.kind, self.group) }
    }
}

/// The full name of a kind in one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl GroupVersionKind {
    pub fn new(group: impl Into<String>, version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    pub fn of<T: Typed>() -> Self {
        Self::new(T::GROUP, T::VERSION, T::KIND)
    }

    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(&self.group, &self.version)
    }

    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }
}

impl fmt::Display for GroupVersionKind {
    /// As upstream's messages write it: `apps/v1, Kind=Deployment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Kind={}", self.group_version(), self.kind)
    }
}
