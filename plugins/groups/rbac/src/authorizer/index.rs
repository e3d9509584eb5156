//! Roles by name and grants by subject: what a decision looks at, kept up to date by informers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sdk_api::k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject as BoundSubject,
};
use sdk_api::{Key, Object};
use sdk_plugin::Subject;

use super::rules;

/// Whom a grant is for. Service accounts are users of a certain name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    User(String),
    Group(String),
}

/// One line of a binding: a subject has a role.
#[derive(Clone, Debug)]
struct Grant {
    binding: Arc<str>,
    role: Arc<RoleRef>,
    /// As the reason of a decision names the subject: `User "a"`.
    subject: Arc<str>,
}

type Grants = HashMap<Holder, Vec<Grant>>;
type Rules = Arc<Vec<PolicyRule>>;

/// A rule that a user has, and why.
pub struct Held<'a> {
    pub rule: &'a PolicyRule,
    grant: &'a Grant,
    /// Of the binding; empty for one of the whole cluster.
    namespace: &'a str,
}

impl Held<'_> {
    /// In upstream's words: by which binding, of which role, to whom.
    pub fn reason(&self) -> String {
        let (role, binding) = (&self.grant.role, &self.grant.binding);
        let (kind, binding) = match self.namespace {
            "" => ("ClusterRoleBinding", binding.to_string()),
            namespace => ("RoleBinding", format!("{binding}/{namespace}")),
        };
        format!("RBAC: allowed by {kind} {binding:?} of {} {:?} to {}", role.kind, role.name, self.grant.subject)
    }
}

/// See the module.
#[derive(Default)]
pub struct Index {
    cluster_roles: HashMap<String, Rules>,
    /// By namespace, then name.
    roles: HashMap<String, HashMap<String, Rules>>,
    cluster_grants: Grants,
    /// By namespace.
    grants: HashMap<String, Grants>,
    /// Everything that is indexed.
    present: HashSet<Key>,
}

/// A collection whose objects the index follows.
pub trait Indexed {
    /// Takes the old state out and the new one in.
    fn change(index: &mut Index, old: Option<&Object>, new: Option<&Object>);
}

impl Indexed for ClusterRole {
    fn change(index: &mut Index, old: Option<&Object>, new: Option<&Object>) {
        if let Some(old) = old {
            index.cluster_roles.remove(old.name());
        }
        if let Some((object, role)) = typed::<Self>(new) {
            index.cluster_roles.insert(object.name().into(), Arc::new(role.rules.clone().unwrap_or_default()));
        }
    }
}

impl Indexed for Role {
    fn change(index: &mut Index, old: Option<&Object>, new: Option<&Object>) {
        if let Some(old) = old {
            leave(&mut index.roles, old.namespace(), |roles| {
                roles.remove(old.name());
                roles.is_empty()
            });
        }
        if let Some((object, role)) = typed::<Self>(new) {
            let roles = index.roles.entry(object.namespace().into()).or_default();
            roles.insert(object.name().into(), Arc::new(role.rules.clone().unwrap_or_default()));
        }
    }
}

impl Indexed for ClusterRoleBinding {
    fn change(index: &mut Index, old: Option<&Object>, new: Option<&Object>) {
        if let Some((object, binding)) = typed::<Self>(old) {
            withdraw(&mut index.cluster_grants, object, binding.subjects.as_deref());
        }
        if let Some((object, binding)) = typed::<Self>(new) {
            grant(&mut index.cluster_grants, object, &binding.role_ref, binding.subjects.as_deref());
        }
    }
}

impl Indexed for RoleBinding {
    fn change(index: &mut Index, old: Option<&Object>, new: Option<&Object>) {
        if let Some((object, binding)) = typed::<Self>(old) {
            leave(&mut index.grants, object.namespace(), |grants| {
                withdraw(grants, object, binding.subjects.as_deref());
                grants.is_empty()
            });
        }
        if let Some((object, binding)) = typed::<Self>(new) {
            let grants = index.grants.entry(object.namespace().into()).or_default();
            grant(grants, object, &binding.role_ref, binding.subjects.as_deref());
        }
    }
}

fn typed<T: sdk_api::Typed>(object: Option<&Object>) -> Option<(&Object, Arc<T>)> {
    let object = object?;
    match object.typed() {
        Ok(typed) => Some((object, typed)),
        Err(error) => {
            tracing::error!(key = %object.key(), %error, "A stored object does not fit its type, and grants nothing.");
            None
        }
    }
}

/// Changes the entry of a namespace, and drops it when it has become empty.
fn leave<T>(map: &mut HashMap<String, T>, namespace: &str, change: impl FnOnce(&mut T) -> bool) {
    if map.get_mut(namespace).is_some_and(change) {
        map.remove(namespace);
    }
}

/// Whom a subject of a binding names, and how reasons write it.
fn holder(subject: &BoundSubject, binding_namespace: &str) -> Option<(Holder, String)> {
    let name = subject.name.as_str();
    match subject.kind.as_str() {
        "User" => Some((Holder::User(name.into()), format!("User {name:?}"))),
        "Group" => Some((Holder::Group(name.into()), format!("Group {name:?}"))),
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().filter(|namespace| !namespace.is_empty());
            let namespace = namespace.unwrap_or(binding_namespace);
            let user = format!("system:serviceaccount:{namespace}:{name}");
            let shown = format!("ServiceAccount {:?}", format!("{name}/{namespace}"));
            (!namespace.is_empty()).then_some((Holder::User(user), shown))
        }
        _ => None,
    }
}

fn grant(grants: &mut Grants, binding: &Object, role: &RoleRef, subjects: Option<&[BoundSubject]>) {
    let (name, role) = (Arc::<str>::from(binding.name()), Arc::new(role.clone()));
    for subject in subjects.unwrap_or_default() {
        if let Some((holder, shown)) = holder(subject, binding.namespace()) {
            let grant = Grant { binding: name.clone(), role: role.clone(), subject: shown.into() };
            grants.entry(holder).or_default().push(grant);
        }
    }
}

fn withdraw(grants: &mut Grants, binding: &Object, subjects: Option<&[BoundSubject]>) {
    for (holder, _) in subjects.unwrap_or_default().iter().filter_map(|s| holder(s, binding.namespace())) {
        let Some(list) = grants.get_mut(&holder) else { continue };
        list.retain(|grant| *grant.binding != *binding.name());
        if list.is_empty() {
            grants.remove(&holder);
        }
    }
}

impl Index {
    /// Takes the old state of an object out and the new one in.
    pub fn change<T: Indexed>(&mut self, old: Option<&Object>, new: Option<&Object>) {
        T::change(self, old, new);
        match (old, new) {
            (_, Some(new)) => drop(self.present.insert(new.key().clone())),
            (Some(old), None) => drop(self.present.remove(old.key())),
            (None, None) => {}
        }
    }

    /// Whether all of these are indexed.
    pub fn has_all(&self, keys: &[Key]) -> bool {
        keys.iter().all(|key| self.present.contains(key))
    }

    /// Visits the rules that a user has in a namespace (empty: outside of namespaces), those of the whole cluster
    /// first, until `visit` says that it has seen enough. Gives the roles that bindings name and nobody made.
    pub fn visit<'a>(
        &'a self,
        user: &Subject,
        namespace: &'a str,
        mut visit: impl FnMut(Held<'a>) -> bool,
    ) -> Vec<String> {
        let holders: Vec<_> = [Holder::User(user.name.clone())]
            .into_iter()
            .chain(user.groups.iter().map(|group| Holder::Group(group.clone())))
            .collect();
        let mut missing = BTreeMap::new();
        let local = (!namespace.is_empty()).then(|| self.grants.get(namespace)).flatten();
        for (grants, namespace) in [(Some(&self.cluster_grants), ""), (local, namespace)] {
            let Some(grants) = grants else { continue };
            for grant in holders.iter().filter_map(|holder| grants.get(holder)).flatten() {
                let Some(rules) = self.rules_of(&grant.role, namespace) else {
                    let what = format!("{}.rbac.authorization.k8s.io", grant.role.kind.to_lowercase());
                    missing.insert(format!("{what} {:?} not found", grant.role.name), ());
                    continue;
                };
                for rule in rules {
                    if visit(Held { rule, grant, namespace }) {
                        return Vec::new();
                    }
                }
            }
        }
        missing.into_keys().collect()
    }

    /// The rules of a role that a binding in `namespace` names; `None` where there is no such role.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<&[PolicyRule]> {
        let rules = match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            _ => self.roles.get(namespace)?.get(&role.name),
        };
        rules.map(|rules| rules.as_slice())
    }

    /// The reason why something is allowed; or the roles that are missing.
    pub fn find(&self, asked: &sdk_plugin::Attributes) -> Result<String, Vec<String>> {
        let mut reason = None;
        let missing = self.visit(&asked.user, &asked.namespace, |held| {
            let allowed = rules::allows(held.rule, asked);
            if allowed {
                reason = Some(held.reason());
            }
            allowed
        });
        reason.ok_or(missing)
    }
}
