//! An nftables table as data, so that two of them can be compared and only the difference applied.
//!
//! A change is one transaction. What did not change is not touched: dynamic sets keep their clients, and ten thousand
//! Services are not written again for one endpoint.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The chains, maps and sets of a table, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// `ip` or `ip6`.
    pub family: &'static str,
    /// [`NAME`], unless several clusters have nodes on one machine.
    pub name: String,
    pub chains: BTreeMap<String, Chain>,
    pub collections: BTreeMap<String, Collection>,
}

/// A chain, with its rules in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// `type nat hook output priority -100;`, or empty for a chain that is only jumped to.
    pub hook: &'static str,
    pub rules: Vec<String>,
}

/// A map or a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// `map` or `set`.
    pub kind: &'static str,
    /// `type ipv4_addr; flags dynamic, timeout; timeout 10800s;`
    pub spec: String,
    /// Keys, for maps with a value.
    pub elements: BTreeMap<String, String>,
}

/// The name of our tables, unless the settings give another.
pub const NAME: &str = "kubernel";

/// Elements written in one statement.
const ELEMENTS_BATCH: usize = 512;

impl Table {
    /// The transaction that puts this table in the place of whatever stands under its name.
    pub fn replace(&self) -> String {
        let Self { family, name, .. } = self;
        let mut out = format!("add table {family} {name}\ndelete table {family} {name}\n");
        out.push_str(&Self { family, name: name.clone(), ..Self::default() }.change(self));
        out
    }

    /// The transaction that makes `new` of this table, which is the one in force. Empty if nothing changed.
    pub fn change(&self, new: &Self) -> String {
        if !self.can_become(new) {
            return new.replace();
        }
        let mut script = Script { place: format!("{} {}", new.family, new.name), out: String::new() };
        let place = script.place.clone();
        if self.is_empty() && !new.is_empty() {
            script.line(format_args!("add table {place}"));
        }
        // First everything that others may name.
        for (name, collection) in &new.collections {
            if !self.collections.contains_key(name) {
                script.declare(name, collection);
            }
        }
        for (name, chain) in &new.chains {
            if !self.chains.contains_key(name) {
                script.add_chain(name, chain);
            }
        }
        // Then rules, which name chains and collections.
        for (name, chain) in &new.chains {
            let old = self.chains.get(name);
            if old.is_some_and(|old| old.rules == chain.rules) {
                continue;
            }
            if old.is_some() {
                script.line(format_args!("flush chain {place} {name}"));
            }
            for rule in &chain.rules {
                script.line(format_args!("add rule {place} {name} {rule}"));
            }
        }
        for (name, collection) in &new.collections {
            script.elements(name, self.collections.get(name), collection);
        }
        // Last what nothing names any more.
        for (name, collection) in &self.collections {
            if !new.collections.contains_key(name) {
                script.emptied(name, collection);
            }
        }
        let gone = || self.chains.keys().filter(|name| !new.chains.contains_key(*name));
        for name in gone() {
            script.line(format_args!("flush chain {place} {name}"));
        }
        for name in gone() {
            script.line(format_args!("delete chain {place} {name}"));
        }
        for (name, collection) in &self.collections {
            if !new.collections.contains_key(name) {
                script.line(format_args!("delete {} {place} {name}", collection.kind));
            }
        }
        script.out
    }

    /// What a collection or a hook is declared as cannot be changed in place.
    fn can_become(&self, new: &Self) -> bool {
        let same_collection = |(name, old): (&String, &Collection)| {
            new.collections.get(name).is_none_or(|new| new.kind == old.kind && new.spec == old.spec)
        };
        let same_hook = |(name, old): (&String, &Chain)| new.chains.get(name).is_none_or(|new| new.hook == old.hook);
        self.collections.iter().all(same_collection) && self.chains.iter().all(same_hook)
    }

    fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.collections.is_empty()
    }
}

struct Script {
    /// Family and name of the table.
    place: String,
    out: String,
}

impl Script {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.out, "{text}").expect("a string takes everything");
    }

    fn declare(&mut self, name: &str, collection: &Collection) {
        let place = self.place.clone();
        self.line(format_args!("add {} {place} {name} {{ {} }}", collection.kind, collection.spec));
    }

    fn add_chain(&mut self, name: &str, chain: &Chain) {
        let place = self.place.clone();
        if chain.hook.is_empty() {
            self.line(format_args!("add chain {place} {name}"));
        } else {
            self.line(format_args!("add chain {place} {name} {{ {} }}", chain.hook));
        }
    }

    fn elements(&mut self, name: &str, old: Option<&Collection>, new: &Collection) {
        let before = |key: &String| old.and_then(|old| old.elements.get(key));
        let gone =
            old.into_iter().flat_map(|old| &old.elements).filter(|(key, value)| new.elements.get(*key) != Some(value));
        let gone: Vec<String> = gone.map(|(key, _)| key.clone()).collect();
        self.batches("delete", name, &gone);
        let fresh = new.elements.iter().filter(|(key, value)| before(key) != Some(value));
        let text = |(key, value): (&String, &String)| {
            if value.is_empty() { key.clone() } else { format!("{key} : {value}") }
        };
        let fresh: Vec<String> = fresh.map(text).collect();
        self.batches("add", name, &fresh);
    }

    fn batches(&mut self, verb: &str, name: &str, elements: &[String]) {
        let place = self.place.clone();
        for batch in elements.chunks(ELEMENTS_BATCH) {
            let list = batch.join(", ");
            self.line(format_args!("{verb} element {place} {name} {{ {list} }}"));
        }
    }

    /// Elements of a verdict map hold on to the chains they name.
    fn emptied(&mut self, name: &str, collection: &Collection) {
        let place = self.place.clone();
        if !collection.elements.is_empty() {
            self.line(format_args!("flush {} {place} {name}", collection.kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &[(&str, &[&str])], elements: &[(&str, &str)]) -> Table {
        let chain = |(name, rules): &(&str, &[&str])| {
            let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
            ((*name).to_owned(), Chain { hook: "", rules })
        };
        let elements = elements.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let map = Collection { kind: "map", spec: "type inet_service : verdict;".into(), elements };
        Table {
            family: "ip",
            name: NAME.into(),
            chains: rules.iter().map(chain).collect(),
            collections: [("m".to_owned(), map)].into(),
        }
    }

    #[test]
    fn a_change_writes_only_the_difference() {
        let old = table(&[("a", &["accept"]), ("b", &["drop"])], &[("1", "goto a"), ("2", "goto b")]);
        assert_eq!(old.change(&old), "");
        let new = table(&[("a", &["accept"]), ("c", &["return"])], &[("1", "goto c"), ("3", "goto a")]);
        let expected = "\
add chain ip kubernel c
add rule ip kubernel c return
delete element ip kubernel m { 1, 2 }
add element ip kubernel m { 1 : goto c, 3 : goto a }
flush chain ip kubernel b
delete chain ip kubernel b
";
        assert_eq!(old.change(&new), expected);
    }

    #[test]
    fn what_is_declared_otherwise_is_replaced() {
        let old = table(&[("a", &["accept"])], &[]);
        let mut new = old.clone();
        new.collections.get_mut("m").unwrap().spec = "type ipv4_addr : verdict;".into();
        assert_eq!(old.change(&new), new.replace());
    }

    #[test]
    fn a_replacement_starts_from_nothing() {
        let expected = "\
add table ip kubernel
delete table ip kubernel
add table ip kubernel
add map ip kubernel m { type inet_service : verdict; }
add chain ip kubernel a
add rule ip kubernel a accept
add element ip kubernel m { 1 : goto a }
";
        assert_eq!(table(&[("a", &["accept"])], &[("1", "goto a")]).replace(), expected);
    }
}
