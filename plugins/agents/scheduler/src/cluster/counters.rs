//! How many placed pods match a term, on each node: kept up to date as pods come and go, not counted again.
//!
//! Placed pods are kept by class. A counter knows which classes match its term, so a pod that is placed touches only the
//! counters of its class.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use sdk_api::LabelSelector;

use super::nodes::NodeIx;
use crate::class::{AffinityTerm, Class, Namespaces, PodTerm, Who};

/// Counters kept at once; the ones not asked for longest are dropped and counted anew when needed.
const COUNTERS_MAX: usize = 1024;

/// A class as the cluster knows it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ClassRef {
    /// Never used again for another class.
    pub id: u32,
    pub class: Arc<Class>,
}

impl Deref for ClassRef {
    type Target = Class;
    fn deref(&self) -> &Class {
        &self.class
    }
}

/// Pods on one node: all, and those that are not being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub all: u32,
    pub active: u32,
}

impl Tally {
    fn add(&mut self, active: bool, sign: i32) {
        self.all = self.all.wrapping_add_signed(sign);
        if active {
            self.active = self.active.wrapping_add_signed(sign);
        }
    }
}

/// The affinity terms of placed pods. The pods of a StatefulSet are of a class each, and have their terms in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    pub affinity: Vec<AffinityTerm>,
    pub anti_affinity: Vec<AffinityTerm>,
    pub preferred: Vec<(i64, AffinityTerm)>,
}

impl Terms {
    fn of(class: &Class) -> Option<Arc<Self>> {
        let (affinity, anti_affinity) = (class.affinity.clone(), class.anti_affinity.clone());
        let terms = || Arc::new(Self { affinity, anti_affinity, preferred: class.preferred_pods.clone() });
        class.has_pod_terms().then(terms)
    }
}

struct Record {
    class: Arc<Class>,
    placed: HashMap<NodeIx, Tally>,
    terms: Option<Arc<Terms>>,
    /// Counters whose terms this class matches.
    counters: Vec<u32>,
}

/// A term's matches by node slot; slots past the end have none.
#[derive(Default)]
pub struct Counter {
    pub on: Vec<Tally>,
    pub total: Tally,
    used: u64,
}

impl Counter {
    /// Matching pods on a node.
    pub fn at(&self, node: NodeIx) -> Tally {
        self.on.get(node as usize).copied().unwrap_or_default()
    }

    fn add(&mut self, node: NodeIx, active: bool, sign: i32) {
        let at = node as usize;
        if self.on.len() <= at {
            self.on.resize(at + 1, Tally::default());
        }
        self.on[at].add(active, sign);
        self.total.add(active, sign);
    }
}

/// A conjunction of terms: a pod counts if it matches each of them.
pub type Query = Vec<PodTerm>;

/// Classes, where their pods are, and the counters over them.
#[derive(Default)]
pub struct Counters {
    ids: HashMap<Arc<Class>, u32>,
    records: HashMap<u32, Record>,
    next_class: u32,
    sweep_at: usize,
    by_query: HashMap<Query, u32>,
    counters: HashMap<u32, (Query, Counter)>,
    next_counter: u32,
    asked: u64,
    namespaces: HashMap<Arc<str>, BTreeMap<String, String>>,
    /// Where the pods are that have terms of their own.
    with_terms: HashMap<Arc<Terms>, HashMap<NodeIx, Tally>>,
}

impl Counters {
    /// The shared form of a class.
    pub fn intern(&mut self, class: Class) -> ClassRef {
        if let Some((class, id)) = self.ids.get_key_value(&class) {
            return ClassRef { id: *id, class: class.clone() };
        }
        if self.records.len() >= self.sweep_at.max(1024) {
            self.sweep();
        }
        let (id, class) = (self.next_class, Arc::new(class));
        self.next_class = self.next_class.wrapping_add(1);
        let counters = &self.counters;
        let matching = counters.iter().filter(|(_, (query, _))| matches(query, &class, &self.namespaces));
        let counters = matching.map(|(id, _)| *id).collect();
        let record = Record { terms: Terms::of(&class), class: class.clone(), placed: HashMap::new(), counters };
        self.records.insert(id, record);
        self.ids.insert(class.clone(), id);
        ClassRef { id, class }
    }

    /// Forgets classes that no pod has any more.
    fn sweep(&mut self) {
        // One reference is in `ids`, one in `records`.
        self.records.retain(|_, record| Arc::strong_count(&record.class) > 2 || !record.placed.is_empty());
        let records = &self.records;
        self.ids.retain(|_, id| records.contains_key(id));
        self.sweep_at = 2 * self.records.len();
    }

    /// A pod of a class comes to a node (`sign` 1) or leaves it (-1).
    pub fn add(&mut self, class: &ClassRef, node: NodeIx, active: bool, sign: i32) {
        let Some(record) = self.records.get_mut(&class.id) else { return };
        add_on(&mut record.placed, node, active, sign);
        if let Some(terms) = &record.terms {
            let placed = self.with_terms.entry(terms.clone()).or_default();
            add_on(placed, node, active, sign);
            if placed.is_empty() {
                self.with_terms.remove(terms);
            }
        }
        for id in &record.counters {
            if let Some((_, counter)) = self.counters.get_mut(id) {
                counter.add(node, active, sign);
            }
        }
    }

    /// Makes the counter of a query, so that `get` finds it.
    pub fn ensure(&mut self, query: &Query) {
        self.asked += 1;
        if let Some((_, counter)) = self.by_query.get(query).and_then(|id| self.counters.get_mut(id)) {
            counter.used = self.asked;
            return;
        }
        if self.counters.len() >= COUNTERS_MAX {
            self.drop_oldest();
        }
        let id = self.next_counter;
        self.next_counter = self.next_counter.wrapping_add(1);
        let mut counter = Counter { used: self.asked, ..Counter::default() };
        for record in self.records.values_mut() {
            if !matches(query, &record.class, &self.namespaces) {
                continue;
            }
            record.counters.push(id);
            for (node, tally) in &record.placed {
                for n in 0..tally.all {
                    counter.add(*node, n < tally.active, 1);
                }
            }
        }
        self.by_query.insert(query.clone(), id);
        self.counters.insert(id, (query.clone(), counter));
    }

    fn drop_oldest(&mut self) {
        let mut ages: Vec<u64> = self.counters.values().map(|(_, counter)| counter.used).collect();
        ages.sort_unstable();
        let oldest = ages[ages.len() / 4];
        self.drop_counters(|_, counter| counter.used <= oldest);
    }

    fn drop_counters(&mut self, drop: impl Fn(&Query, &Counter) -> bool) {
        self.counters.retain(|_, (query, counter)| !drop(query, counter));
        let counters = &self.counters;
        self.by_query.retain(|_, id| counters.contains_key(id));
        for record in self.records.values_mut() {
            record.counters.retain(|id| counters.contains_key(id));
        }
    }

    /// The counter of a query; `None` if nobody made it.
    pub fn get(&self, query: &Query) -> Option<&Counter> {
        self.by_query.get(query).and_then(|id| self.counters.get(id)).map(|(_, counter)| counter)
    }

    /// Terms that placed pods have, with the nodes these pods are on.
    pub fn with_terms(&self) -> impl Iterator<Item = (&Terms, &HashMap<NodeIx, Tally>)> {
        self.with_terms.iter().map(|(terms, placed)| (&**terms, placed))
    }

    /// A namespace's labels, or its end. Whether anything changed.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> bool {
        let before = match &labels {
            Some(labels) => self.namespaces.insert(name.into(), labels.clone()),
            None => self.namespaces.remove(name),
        };
        if before == labels {
            return false;
        }
        let selects = |term: &PodTerm| matches!(term.namespaces, Namespaces::Selected(..));
        self.drop_counters(|query, _| query.iter().any(selects));
        true
    }

    /// Whether a pod of a class is meant by a term.
    pub fn matches(&self, term: &PodTerm, class: &Class) -> bool {
        matches_term(term, class, &self.namespaces)
    }
}

fn add_on(placed: &mut HashMap<NodeIx, Tally>, node: NodeIx, active: bool, sign: i32) {
    let tally = placed.entry(node).or_default();
    tally.add(active, sign);
    if tally.all == 0 {
        placed.remove(&node);
    }
}

type NamespaceLabels = HashMap<Arc<str>, BTreeMap<String, String>>;

fn matches(query: &Query, class: &Class, namespaces: &NamespaceLabels) -> bool {
    !query.is_empty() && query.iter().all(|term| matches_term(term, class, namespaces))
}

fn matches_term(term: &PodTerm, class: &Class, namespaces: &NamespaceLabels) -> bool {
    let who = match &term.who {
        Who::Labelled(selector) => selector.matches(&class.labels),
        Who::OwnedBy(uid) => class.owner_uid.as_ref() == Some(uid),
        Who::Nobody => false,
    };
    let selected =
        |selector: &LabelSelector| namespaces.get(&class.namespace).is_some_and(|labels| selector.matches(labels));
    who && match &term.namespaces {
        Namespaces::All => true,
        Namespaces::Named(names) => names.contains(&class.namespace),
        Namespaces::Selected(names, selector) => names.contains(&class.namespace) || selected(selector),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(namespace: &str, app: &str) -> Class {
        let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
        Class { namespace: namespace.into(), labels, ..Class::default() }
    }

    fn query(namespaces: Namespaces, app: &str) -> Query {
        vec![PodTerm { namespaces, who: Who::Labelled(LabelSelector::parse(&format!("app={app}")).unwrap()) }]
    }

    #[test]
    fn counters_follow_pods() {
        let mut counters = Counters::default();
        let web = counters.intern(class("n", "web"));
        assert_eq!(counters.intern(class("n", "web")).id, web.id);
        counters.add(&web, 3, true, 1);
        counters.add(&web, 3, false, 1);
        let all = query(Namespaces::All, "web");
        counters.ensure(&all);
        assert_eq!(counters.get(&all).unwrap().at(3), Tally { all: 2, active: 1 }, "counted when first asked");
        let elsewhere = counters.intern(class("m", "web"));
        counters.add(&elsewhere, 1, true, 1);
        counters.add(&web, 3, true, -1);
        let counter = counters.get(&all).unwrap();
        assert_eq!((counter.at(3).all, counter.at(1).all, counter.total.all), (1, 1, 2), "kept from then on");
        let own = query(Namespaces::Named(vec!["n".into()]), "web");
        counters.ensure(&own);
        assert_eq!(counters.get(&own).unwrap().total.all, 1);
    }

    #[test]
    fn namespaces_are_selected_by_label() {
        let mut counters = Counters::default();
        let web = counters.intern(class("n", "web"));
        counters.add(&web, 0, true, 1);
        let selected = query(Namespaces::Selected(Vec::new(), LabelSelector::parse("team=a").unwrap()), "web");
        let count = |counters: &mut Counters| {
            counters.ensure(&selected);
            counters.get(&selected).unwrap().total.all
        };
        assert_eq!(count(&mut counters), 0);
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        assert!(counters.set_namespace("n", Some(labels.clone())));
        assert_eq!(count(&mut counters), 1);
        assert!(!counters.set_namespace("n", Some(labels)), "nothing new");
        counters.set_namespace("n", None);
        assert_eq!(count(&mut counters), 0);
    }

    #[test]
    fn unused_classes_and_counters_go() {
        let mut counters = Counters::default();
        let kept = counters.intern(class("n", "kept"));
        for n in 0..5000 {
            counters.intern(class("n", &n.to_string()));
        }
        assert!(counters.records.len() < 2000);
        assert_eq!(counters.intern(class("n", "kept")).id, kept.id);
        for n in 0..5000 {
            counters.ensure(&query(Namespaces::All, &n.to_string()));
        }
        assert!(counters.counters.len() <= COUNTERS_MAX);
        assert!(counters.get(&query(Namespaces::All, "4999")).is_some());
    }
}
