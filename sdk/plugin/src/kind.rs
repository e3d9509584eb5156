//! A kind as a row: what a CustomResourceDefinition would say of it, and its strategy.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sdk_api::{GroupKind, GroupResource, GroupVersionKind, Scope, Typed, names};
use sdk_client::Propagation;
use sdk_schema::SchemaRef;
use serde_json::Value;

use crate::column::{Column, TableColumn};
use crate::hook::WriteHook;
use crate::strategy::{DynStrategy, Lens, NoStrategy, Strategy};
use crate::subresource::{Action, Answer, Part, PartOf};

/// A field that a field selector may name, as a built-in kind declares it.
#[derive(Clone, Copy)]
pub struct FieldOf {
    /// As the selector names it: `spec.nodeName`.
    pub name: &'static str,
    /// Its value in the object; missing is the empty string.
    pub value: fn(&Value) -> Cow<'_, str>,
}

/// How a field's value is read from a document.
pub type ReadField = dyn Fn(&Value) -> Cow<'_, str> + Send + Sync;

/// A field that a field selector may name, in a row.
#[derive(Clone)]
pub struct Field {
    /// As the selector names it: `spec.nodeName`.
    pub name: Cow<'static, str>,
    /// Its value in the object; missing is the empty string.
    pub value: Arc<ReadField>,
}

impl From<FieldOf> for Field {
    fn from(field: FieldOf) -> Self {
        Self { name: field.name.into(), value: Arc::new(field.value) }
    }
}

/// A subresource that opens a stream to the node (or is answered by it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    Log,
    Exec,
    Attach,
    PortForward,
    Proxy,
}

/// Where the numbers of the `scale` subresource are. Source: KEP "scale subresource", `autoscaling/v1` Scale.
#[derive(Clone, Copy, Debug)]
pub struct ScalePaths {
    /// Such as `.spec.replicas`.
    pub spec: &'static str,
    /// Such as `.status.replicas`.
    pub status: &'static str,
    /// Where the selector is: an object's LabelSelector or a map of labels.
    pub selector: &'static str,
}

/// What a subresource is.
#[derive(Clone)]
pub enum Served {
    Part(Arc<dyn Part>),
    Scale(ScalePaths),
    Action(Arc<dyn Action>),
    Connect(Connect),
}

/// Brings a document from one version into another; `apiVersion` and `kind` included.
pub type Convert = dyn Fn(&mut Value) + Send + Sync;

/// A version of a kind that is stored as another: `events.k8s.io/v1` Event as core `v1` Event.
#[derive(Clone)]
pub struct StoredAs {
    pub kind: GroupVersionKind,
    /// From this version's document to the stored one.
    pub to_stored: Arc<Convert>,
    /// And back.
    pub from_stored: Arc<Convert>,
    /// Whether this version's strategy, and not that of the stored one, says what is wrong with what is written through it.
    pub own_rules: bool,
}

impl StoredAs {
    /// Stored as `kind`, whose strategy judges what is written.
    pub fn new(
        kind: GroupVersionKind,
        to_stored: impl Fn(&mut Value) + Send + Sync + 'static,
        from_stored: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Self {
        Self { kind, to_stored: Arc::new(to_stored), from_stored: Arc::new(from_stored), own_rules: false }
    }

    /// Lets this version's own strategy judge.
    pub fn own_rules(mut self) -> Self {
        self.own_rules = true;
        self
    }
}

/// A kind. Built with [`Kind::of`] and the methods that say what is special about it.
#[derive(Clone)]
pub struct Kind {
    pub gvk: GroupVersionKind,
    /// Lower case: `deployments`.
    pub plural: Cow<'static, str>,
    pub singular: Cow<'static, str>,
    pub list_kind: Cow<'static, str>,
    pub short_names: Vec<Cow<'static, str>>,
    /// Such as `all`.
    pub categories: Vec<Cow<'static, str>>,
    pub scope: Scope,
    pub columns: Vec<TableColumn>,
    pub subresources: Vec<(&'static str, Served)>,
    /// What can be done with objects; [`Kind::VERBS`] unless said otherwise.
    pub verbs: &'static [&'static str],
    /// Field selectors besides `metadata.name` and `metadata.namespace`.
    pub fields: Vec<Field>,
    pub strategy: Arc<dyn DynStrategy>,
    pub name_rule: fn(&str) -> Vec<String>,
    /// Whether `metadata.generation` counts changes of everything but metadata and status.
    pub generation: bool,
    /// Whether an update must name the `resourceVersion` it is based on. Source: `AllowUnconditionalUpdate`.
    pub revision_required: bool,
    /// Whether PUT of a missing object creates it. Source: `AllowCreateOnUpdate`.
    pub create_on_update: bool,
    /// Whether a creation may bring a status although there is a `status` subresource, as nodes do when they register.
    pub status_on_create: bool,
    /// What a deletion does to dependents when the request does not say.
    pub propagation: Propagation,
    /// Whether a deletion answers with a `Status` instead of the object.
    pub delete_answers_status: bool,
    pub hook: Option<Arc<dyn WriteHook>>,
    pub stored_as: Option<StoredAs>,
    /// Set for kinds that are answered, not stored.
    pub answer: Option<Arc<dyn Answer>>,
    /// How long an object stays after its last write; `None` is for ever. Events have one.
    pub ttl: Option<Duration>,
    /// What a client of the kind is warned of, whatever it does. Source: KEP-1693.
    pub deprecated: Option<Cow<'static, str>>,
    /// The schema of the documents, for kinds that are not among the definitions of Kubernetes itself.
    pub schema: Option<SchemaRef>,
    /// Whether requests reach it. A version that is not served may still be the one in which objects are stored.
    pub served: bool,
}

impl Kind {
    /// All that can be done with objects that are stored.
    pub const VERBS: &'static [&'static str] =
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

    /// The row of a built-in kind with a strategy of its own.
    pub fn of<S: Strategy>(strategy: S) -> Self
    where
        S::Object: KnownScope,
    {
        Self::new::<S::Object>(Arc::new(Lens(strategy)))
    }

    /// The row of a built-in kind about which nothing is special but its schema.
    pub fn plain<T: Typed + KnownScope>() -> Self {
        Self::new::<T>(Arc::new(NoStrategy))
    }

    fn new<T: Typed + KnownScope>(strategy: Arc<dyn DynStrategy>) -> Self {
        Self::named(GroupVersionKind::of::<T>(), T::URL_PATH_SEGMENT, T::SCOPE, strategy)
    }

    /// A row by its names; for kinds without a typed lens.
    pub fn named(gvk: GroupVersionKind, plural: &str, scope: Scope, strategy: Arc<dyn DynStrategy>) -> Self {
        Self {
            singular: gvk.kind.to_lowercase().into(),
            list_kind: format!("{}List", gvk.kind).into(),
            plural: plural.to_owned().into(),
            gvk,
            scope,
            strategy,
            short_names: Vec::new(),
            categories: Vec::new(),
            columns: vec![Column::NAME.into(), Column::AGE.into()],
            subresources: Vec::new(),
            verbs: Self::VERBS,
            fields: Vec::new(),
            name_rule: names::dns1123_subdomain,
            generation: false,
            revision_required: false,
            create_on_update: false,
            status_on_create: false,
            propagation: Propagation::Background,
            delete_answers_status: true,
            hook: None,
            stored_as: None,
            answer: None,
            ttl: None,
            deprecated: None,
            schema: None,
            served: true,
        }
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.gvk.group, &self.plural)
    }

    pub fn group_kind(&self) -> GroupKind {
        self.gvk.group_kind()
    }

    /// Where objects are kept: under this row's name, or under that of the version it is stored as.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The field that a selector names.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub fn subresource(&self, name: &str) -> Option<&Served> {
        self.subresources.iter().find(|(known, _)| *known == name).map(|(_, served)| served)
    }

    pub fn short_names(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names.iter().map(|name| (*name).into()).collect();
        self
    }

    pub fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories.iter().map(|name| (*name).into()).collect();
        self
    }

    /// For kinds with which not everything can be done.
    pub fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    /// All columns, the name included.
    pub fn columns(mut self, columns: &'static [Column]) -> Self {
        self.columns = columns.iter().map(|column| (*column).into()).collect();
        self
    }

    pub fn fields(mut self, fields: &'static [FieldOf]) -> Self {
        self.fields = fields.iter().map(|field| (*field).into()).collect();
        self
    }

    /// Objects expire when nobody has written them for so long.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Warns everybody who uses the kind.
    pub fn deprecated(mut self, words: &'static str) -> Self {
        self.deprecated = Some(words.into());
        self
    }

    /// Counts generations.
    pub fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    /// A `status` subresource: the main resource no longer writes `status`, and this one writes nothing else but
    /// metadata that controllers set.
    pub fn status(self) -> Self {
        self.part("status", PartOf { fields: &["status"], metadata: true })
    }

    pub fn part(mut self, name: &'static str, part: impl Part) -> Self {
        self.subresources.push((name, Served::Part(Arc::new(part))));
        self
    }

    pub fn scale(mut self, paths: ScalePaths) -> Self {
        self.subresources.push(("scale", Served::Scale(paths)));
        self
    }

    pub fn action(mut self, name: &'static str, action: impl Action) -> Self {
        self.subresources.push((name, Served::Action(Arc::new(action))));
        self
    }

    pub fn connect(mut self, name: &'static str, connect: Connect) -> Self {
        self.subresources.push((name, Served::Connect(connect)));
        self
    }

    pub fn name_rule(mut self, rule: fn(&str) -> Vec<String>) -> Self {
        self.name_rule = rule;
        self
    }

    pub fn revision_required(mut self) -> Self {
        self.revision_required = true;
        self
    }

    pub fn create_on_update(mut self) -> Self {
        self.create_on_update = true;
        self
    }

    pub fn status_on_create(mut self) -> Self {
        self.status_on_create = true;
        self
    }

    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = propagation;
        self
    }

    /// A deletion answers with the object, as for pods, services and namespaces.
    pub fn delete_answers_object(mut self) -> Self {
        self.delete_answers_status = false;
        self
    }

    pub fn hook(mut self, hook: Arc<dyn WriteHook>) -> Self {
        self.hook = Some(hook);
        self
    }

    pub fn stored_as(mut self, stored: StoredAs) -> Self {
        self.stored_as = Some(stored);
        self
    }

    /// Makes it a kind that is made up when it is read.
    pub fn made_up(mut self, answer: impl Answer) -> Self {
        self.answer = Some(Arc::new(answer));
        self.verbs = &["get", "list"];
        self
    }

    /// Makes it a kind that is answered, not stored.
    pub fn answered(mut self, answer: impl Answer) -> Self {
        self.answer = Some(Arc::new(answer));
        self.verbs = &["create"];
        self
    }
}

/// The scope that a `k8s-openapi` type states.
pub trait KnownScope {
    const SCOPE: Scope;
}

impl<T: Typed> KnownScope for T
where
    T::Scope: ScopeOf,
{
    const SCOPE: Scope = <T::Scope as ScopeOf>::SCOPE;
}

/// From `k8s-openapi`'s marker types to [`Scope`].
pub trait ScopeOf {
    const SCOPE: Scope;
}

impl ScopeOf for sdk_api::k8s_openapi::NamespaceResourceScope {
    const SCOPE: Scope = Scope::Namespaced;
}

impl ScopeOf for sdk_api::k8s_openapi::ClusterResourceScope {
    const SCOPE: Scope = Scope::Cluster;
}
