//! The authorizer of role-based access control. Source: Kubernetes documentation, "Using RBAC Authorization".

mod index;
pub mod rules;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef};
use sdk_api::{GroupResource, Key};
use sdk_controller::{Informer, Informers};
use sdk_plugin::{Attributes, Authorizer, Context, Decision, Rules, Subject};
use serde_json::{Value, json};
use tokio::sync::watch;

use index::{Index, Indexed};

/// Members may do everything, whatever the roles say: who lost all roles can still repair them.
pub const MASTERS: &str = "system:masters";

/// How long after the start requests wait for the roles to be read, and the first time to be written.
const SETTLING: Duration = Duration::from_secs(5);

/// See the module. Decides from memory; informers keep it up to date.
#[derive(Default)]
pub struct RbacAuthorizer {
    index: Arc<RwLock<Index>>,
    /// Tells of each change of the index.
    changed: watch::Sender<()>,
    /// What must be there before anybody is refused.
    awaited: Vec<Key>,
    is_settled: AtomicBool,
    started: OnceLock<Started>,
}

struct Started {
    /// Keeps the informers running.
    _informers: Informers,
    each: Vec<Arc<Informer>>,
    clock: Arc<dyn sdk_api::Clock>,
    /// On the monotonic clock.
    settled_by: Duration,
}

impl RbacAuthorizer {
    /// One that, right after the start, lets requests wait until these objects are there: the first start writes the
    /// default policy while others already ask by it.
    pub fn awaiting(awaited: Vec<Key>) -> Self {
        Self { awaited, ..Self::default() }
    }

    /// Whether all roles and bindings have been read.
    pub fn is_synced(&self) -> bool {
        self.started.get().is_some_and(|started| started.each.iter().all(|informer| informer.is_synced()))
    }

    /// Follows one collection.
    fn follow<T: Indexed + sdk_api::Typed>(&self, informers: &Informers) -> Arc<Informer> {
        let informer = informers.open(&GroupResource::of::<T>());
        let (index, changed) = (self.index.clone(), self.changed.clone());
        informer.subscribe(Arc::new(move |old, new| {
            let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
            index.change::<T>(old.map(|object| object.as_ref()), new.map(|object| object.as_ref()));
            changed.send_replace(());
        }));
        informer
    }

    /// Resolves once everything has been read and what is awaited is there, or the time for that is over.
    async fn settled(&self) {
        let Some(started) = self.started.get().filter(|_| !self.is_settled.load(Ordering::Relaxed)) else { return };
        let all = async {
            let mut changed = self.changed.subscribe();
            for informer in &started.each {
                informer.synced().await;
            }
            while !self.with_index(|index| index.has_all(&self.awaited)) {
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        };
        let left = started.settled_by.saturating_sub(started.clock.monotonic());
        tokio::select! {
            () = all => {}
            () = started.clock.sleep(left) => {}
        }
        self.is_settled.store(true, Ordering::Relaxed);
    }

    /// The rules of a role; `None` where there is no such role.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<Vec<PolicyRule>> {
        self.with_index(|index| index.rules_of(role, namespace).map(<[_]>::to_vec))
    }

    /// Those of `given` that a user does not hold in a namespace (empty: everywhere).
    pub fn not_held(&self, user: &Subject, namespace: &str, given: &[PolicyRule]) -> Vec<PolicyRule> {
        let mut held = Vec::new();
        self.with_index(|index| {
            index.visit(user, namespace, |one| {
                held.push(one.rule.clone());
                false
            })
        });
        given.iter().filter(|rule| !rules::covers(&held, rule)).cloned().collect()
    }

    fn with_index<R>(&self, read: impl FnOnce(&Index) -> R) -> R {
        read(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a user is in the group that may do everything.
pub fn is_master(user: &Subject) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

#[async_trait]
impl Authorizer for RbacAuthorizer {
    fn name(&self) -> &'static str {
        "rbac"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        let informers = Informers::new(context.client, context.clock.clone());
        let each = vec![
            self.follow::<ClusterRole>(&informers),
            self.follow::<ClusterRoleBinding>(&informers),
            self.follow::<Role>(&informers),
            self.follow::<RoleBinding>(&informers),
        ];
        let settled_by = context.clock.monotonic().saturating_add(SETTLING);
        let started = Started { _informers: informers, each, clock: context.clock, settled_by };
        self.started.set(started).map_err(|_| "started twice".to_owned())
    }

    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if is_master(&attributes.user) {
            return Decision::Allow { reason: String::new() };
        }
        self.settled().await;
        match self.with_index(|index| index.find(attributes)) {
            Ok(reason) => Decision::Allow { reason },
            Err(missing) => {
                let reason = match missing.as_slice() {
                    [] => String::new(),
                    [one] => format!("RBAC: {one}"),
                    many => format!("RBAC: [{}]", many.join(", ")),
                };
                Decision::NoOpinion { reason }
            }
        }
    }

    async fn rules_for(&self, user: &Subject, namespace: &str) -> Rules {
        self.settled().await;
        let mut rules = Rules::default();
        let mut add = |rule: &PolicyRule| {
            let list = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
            let document: Value = json!(rule);
            if list(&rule.non_resource_urls) {
                rules.non_resource_rules.push(document);
            } else if list(&rule.resources) {
                rules.resource_rules.push(document);
            }
        };
        if is_master(user) {
            let all = vec!["*".to_owned()];
            let resources = PolicyRule {
                verbs: all.clone(),
                api_groups: Some(all.clone()),
                resources: Some(all.clone()),
                ..PolicyRule::default()
            };
            add(&resources);
            add(&PolicyRule { verbs: all.clone(), non_resource_urls: Some(all), ..PolicyRule::default() });
            return rules;
        }
        let missing = self.with_index(|index| {
            index.visit(user, namespace, |held| {
                add(held.rule);
                false
            })
        });
        rules.incomplete = !missing.is_empty();
        rules
    }
}

#[cfg(test)]
mod tests;
