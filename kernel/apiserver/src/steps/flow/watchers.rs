//! Who watches what over the network: writes cost more where many are told of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Namespace and name; empty is all.
type Scope = (String, String);

/// Counts by group, resource and scope.
type Open = HashMap<String, HashMap<String, HashMap<Scope, usize>>>;

/// Open watches by group, resource and scope.
#[derive(Clone, Default)]
pub struct Watchers {
    open: Arc<RwLock<Open>>,
}

/// An open watch; dropping it closes it.
pub struct Watched {
    watchers: Watchers,
    group: String,
    resource: String,
    scope: Scope,
}

impl Watchers {
    pub fn open(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Watched {
        let watched = Watched {
            watchers: self.clone(),
            group: group.into(),
            resource: resource.into(),
            scope: (namespace.into(), name.into()),
        };
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let scopes = open.entry(group.into()).or_default().entry(resource.into()).or_default();
        *scopes.entry(watched.scope.clone()).or_default() += 1;
        watched
    }

    /// How many are told of a change of an object.
    pub fn count(&self, group: &str, resource: &str, namespace: &str, name: &str) -> usize {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let Some(scopes) = open.get(group).and_then(|resources| resources.get(resource)) else { return 0 };
        let concerns = |(scope, _): &(&Scope, &usize)| {
            (scope.0.is_empty() || scope.0 == namespace) && (scope.1.is_empty() || scope.1 == name)
        };
        scopes.iter().filter(concerns).map(|(_, count)| count).sum()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut open = self.watchers.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(resources) = open.get_mut(&self.group) else { return };
        let Some(scopes) = resources.get_mut(&self.resource) else { return };
        if let Some(count) = scopes.get_mut(&self.scope) {
            *count -= 1;
            if *count == 0 {
                scopes.remove(&self.scope);
            }
        }
        if scopes.is_empty() {
            resources.remove(&self.resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_counts_for_what_it_covers() {
        let watchers = Watchers::default();
        let all = watchers.open("", "pods", "", "");
        let _blue = watchers.open("", "pods", "blue", "");
        let _one = watchers.open("", "pods", "blue", "a");
        let count = |namespace: &str, name: &str| watchers.count("", "pods", namespace, name);
        assert_eq!((count("blue", "a"), count("blue", "b"), count("green", "a")), (3, 2, 1));
        assert_eq!(watchers.count("apps", "pods", "blue", "a"), 0);
        drop(all);
        assert_eq!((count("blue", "a"), count("green", "a")), (2, 0));
    }
}
