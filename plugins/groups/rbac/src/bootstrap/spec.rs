//! How the default policy is written down: words with spaces between them, in tables.

use sdk_api::k8s_openapi::api::rbac::v1::{
    AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::kinds::rules::GROUP;

/// Names the core group in a rule, where the API has the empty string.
const CORE: &str = "core";
/// Says whether an object of the default policy is kept up to date.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const BOOTSTRAPPING: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");

/// One rule. Each field is a list of words.
#[derive(Clone, Copy)]
pub struct Rule {
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    paths: &'static str,
}

/// A rule about resources: verbs, groups (`core` is the core group), resources.
pub const fn rule(verbs: &'static str, groups: &'static str, resources: &'static str) -> Rule {
    Rule { verbs, groups, resources, names: "", paths: "" }
}

/// A rule about paths that are no resources.
pub const fn paths(verbs: &'static str, paths: &'static str) -> Rule {
    Rule { verbs, groups: "", resources: "", names: "", paths }
}

impl Rule {
    /// Only objects of these names.
    pub const fn named(mut self, names: &'static str) -> Self {
        self.names = names;
        self
    }

    fn document(&self) -> PolicyRule {
        let words = |text: &str| -> Vec<String> {
            text.split_whitespace().map(|word| if word == CORE { String::new() } else { word.to_owned() }).collect()
        };
        let some = |text: &str| Some(words(text)).filter(|words| !words.is_empty());
        PolicyRule {
            verbs: words(self.verbs),
            api_groups: some(self.groups),
            resources: some(self.resources),
            resource_names: some(self.names),
            non_resource_urls: some(self.paths),
        }
    }
}

/// Verbs that read.
pub const READ: &str = "get list watch";
/// Verbs that write.
pub const WRITE: &str = "create delete deletecollection patch update";
/// Verbs that do both.
pub const ALL: &str = "create delete deletecollection get list patch update watch";
/// What everybody who records events needs.
pub const EVENTS: Rule = rule("create patch update", "core events.k8s.io", "events");

/// A role, of the cluster or of a namespace.
#[derive(Clone, Copy)]
pub struct RoleSpec {
    pub name: &'static str,
    pub rules: &'static [Rule],
    /// Into which role it is gathered: `admin`, `edit`, `view`; empty for none.
    pub gathered_into: &'static str,
    /// Of which gathering it is the place: the same names.
    pub gathers: &'static str,
}

/// A role with its rules.
pub const fn role(name: &'static str, rules: &'static [Rule]) -> RoleSpec {
    RoleSpec { name, rules, gathered_into: "", gathers: "" }
}

impl RoleSpec {
    /// Its rules are gathered into another role.
    pub const fn into_role(mut self, target: &'static str) -> Self {
        self.gathered_into = target;
        self
    }

    /// Its rules are those of the roles that are gathered into it.
    pub const fn gathering(mut self) -> Self {
        self.gathers = self.name;
        self
    }

    /// The document of a ClusterRole.
    pub fn cluster_role(&self) -> ClusterRole {
        let mut metadata = metadata(self.name, "");
        if !self.gathered_into.is_empty() {
            let labels = metadata.labels.get_or_insert_default();
            labels.insert(gathering_label(self.gathered_into), "true".into());
        }
        let aggregation_rule = (!self.gathers.is_empty()).then(|| AggregationRule {
            cluster_role_selectors: Some(vec![LabelSelector {
                match_labels: Some([(gathering_label(self.gathers), "true".to_owned())].into()),
                match_expressions: None,
            }]),
        });
        let rules = aggregation_rule.is_none().then(|| self.documents());
        ClusterRole { metadata, rules, aggregation_rule }
    }

    /// The document of a Role.
    pub fn role(&self, namespace: &str) -> Role {
        Role { metadata: metadata(self.name, namespace), rules: Some(self.documents()) }
    }

    fn documents(&self) -> Vec<PolicyRule> {
        self.rules.iter().map(Rule::document).collect()
    }
}

fn gathering_label(target: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{target}")
}

fn metadata(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: (!namespace.is_empty()).then(|| namespace.into()),
        labels: Some([(BOOTSTRAPPING.0.to_owned(), BOOTSTRAPPING.1.to_owned())].into()),
        annotations: Some([(AUTOUPDATE.to_owned(), "true".to_owned())].into()),
        ..ObjectMeta::default()
    }
}

/// Who is bound, in words: `user:NAME`, `group:NAME`, `account:NAMESPACE/NAME`.
pub fn subjects(words: &str) -> Vec<Subject> {
    words
        .split_whitespace()
        .map(|word| {
            let (kind, name) = word.split_once(':').expect("the default policy names the kind of each subject");
            let named = |kind: &str, name: &str| Subject {
                kind: kind.into(),
                name: name.into(),
                api_group: Some(GROUP.into()),
                namespace: None,
            };
            match (kind, name.split_once('/')) {
                ("account", Some((namespace, name))) => Subject {
                    kind: "ServiceAccount".into(),
                    name: name.into(),
                    namespace: Some(namespace.into()),
                    api_group: None,
                },
                ("group", _) => named("Group", name),
                _ => named("User", name),
            }
        })
        .collect()
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(GROUP.into()), kind: kind.into(), name: name.into() }
}

/// A binding for the whole cluster, under the name of the role unless another is given.
pub fn cluster_binding(name: &str, role: &str, who: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: metadata(name, ""),
        role_ref: role_ref("ClusterRole", role),
        subjects: Some(subjects(who)).filter(|subjects| !subjects.is_empty()),
    }
}

/// A binding in a namespace, to a Role there.
pub fn binding(namespace: &str, name: &str, role: &str, who: &str) -> RoleBinding {
    RoleBinding { metadata: metadata(name, namespace), role_ref: role_ref("Role", role), subjects: Some(subjects(who)) }
}
