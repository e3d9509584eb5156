//! Server-side apply: a configuration laid over the live object, with an owner for each field. Source: KEP-555.

use std::collections::BTreeMap;

use sdk_schema::fields::{self, Set};
use serde_json::Value;

use super::conflict::Conflicts;
use super::entry::{Entry, Operation};
use super::update::{Changed, update};
use super::{Work, last_applied};

/// Who owns what was there before anybody applied.
const BEFORE: &str = "before-first-apply";

/// What an apply makes of the object.
pub struct Applied {
    pub object: Value,
    pub entries: Vec<Entry>,
}

/// Applies `config` to `live`, both without managed fields and in the version of the request. `created` if the object
/// does not exist yet.
pub fn apply(
    work: &Work<'_>,
    mut entries: Vec<Entry>,
    live: &Value,
    created: bool,
    config: &Value,
    force: bool,
) -> Result<Applied, Conflicts> {
    if entries.is_empty() && !created {
        let before = Work { manager: BEFORE, ..*work };
        entries = update(&before, entries, None, live);
    }
    let done = once(work, entries.clone(), live, config, force);
    let done = match done {
        // What kubectl applied from the client's side is its own, whoever is said to have written it.
        Err(conflicts) if work.manager == last_applied::KUBECTL => match last_applied::owned(work, live) {
            None => Err(conflicts),
            Some(owned) => {
                let rest = conflicts.without(&owned);
                if !rest.is_empty() {
                    return Err(rest);
                }
                once(work, entries, live, config, true)
            }
        },
        done => done,
    };
    let mut applied = done?;
    if work.manager == last_applied::KUBECTL {
        last_applied::renew(&mut applied.object, config);
    }
    Ok(applied)
}

fn once(work: &Work<'_>, entries: Vec<Entry>, live: &Value, config: &Value, force: bool) -> Result<Applied, Conflicts> {
    let schema = work.versions.schema(work.version);
    let fitting = |mut entry: Entry| {
        let schema = work.versions.schema(&entry.version);
        let set = entry.set().reconciled(schema.as_ref());
        entry.put(set);
        entry
    };
    let before: Vec<Entry> = entries.into_iter().map(fitting).collect();
    let mut own = Entry::new(work.manager, Operation::Apply, work.version, work.subresource, Set::default());
    let (last, mut others): (Vec<Entry>, Vec<Entry>) = before.clone().into_iter().partition(|entry| entry.is_of(&own));
    let last = last.into_iter().next();

    let merged = fields::merge(schema.as_ref(), live, config);
    let set = work.kept(fields::fields_of(schema.as_ref(), config));
    let object = match &last {
        Some(last) => prune(work, merged, &others, &set, last),
        None => merged,
    };
    let found = fields::compare(schema.as_ref(), live, &object).map(|set| work.countable(set));
    let changed = Changed { work, old: Some(live), new: &object, found: &found };
    let mut conflicts = Conflicts::default();
    let mut kept = Vec::with_capacity(others.len() + 1);
    for mut entry in others.drain(..) {
        let seen = changed.seen_in(&entry.version);
        let Some(seen) = seen.as_deref() else { continue };
        let brought = seen.brought();
        if entry.meets(&brought) || entry.meets(&seen.removed) {
            let ours = entry.set().into_owned();
            conflicts.add(entry.shown(work.travels.unwrap_or(&entry.version)), ours.intersection(&brought));
            entry.put(ours.difference(&brought).difference(&seen.removed));
        }
        kept.push(entry);
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    own.put(work.countable(set));
    own.time = work.time();
    if let Some(last) = &last
        && found.is_empty()
        && last.version == own.version
        && last.set() == own.set()
    {
        own.time.clone_from(&last.time);
    }
    kept.push(own);
    kept.retain(|entry| !entry.is_empty());
    Ok(Applied { object, entries: kept })
}

/// Removes what the applier owned, does not state any more, and nobody else owns.
fn prune(work: &Work<'_>, merged: Value, others: &[Entry], set: &Set, last: &Entry) -> Value {
    let Work { versions, version: ours, .. } = work;
    if last.version == *ours && last.set().into_owned().difference(set).is_empty() {
        return merged;
    }
    let Some(base) = versions.convert(&merged, ours, &last.version) else { return merged };
    let schema = versions.schema(&last.version);
    let schema = schema.as_ref();
    let last_set = last.set().with_named_fields(schema);
    let mut pruned = base.clone();
    fields::remove(schema, &mut pruned, &last_set);

    // Back comes what others own, or what the new configuration states: first in the version in which it was taken,
    // since what is missing there might be needed to convert.
    let mut owned: BTreeMap<&str, Set> = BTreeMap::new();
    let identity = [&["apiVersion"][..], &["kind"], &["metadata", "name"]].map(Set::of_path);
    let stated = identity.iter().fold(set.clone(), |all, one| all.union(one));
    for (version, set) in others.iter().map(|e| (&*e.version, e.set().into_owned())).chain([(*ours, stated)]) {
        let all = owned.remove(version).unwrap_or_default();
        owned.insert(version, all.union(&set));
    }
    let mut order: Vec<&str> = owned.keys().copied().collect();
    order.sort_by_key(|version| *version != last.version);
    let mut at = last.version.clone();
    for version in order {
        let (Some(all), Some(left)) =
            (versions.convert(&base, &last.version, version), versions.convert(&pruned, &at, version))
        else {
            continue;
        };
        let schema = versions.schema(version);
        let schema = schema.as_ref();
        let named = |document: &Value| fields::fields_of(schema, document).with_named_fields(schema);
        let keep = named(&left).union(&owned[version].with_named_fields(schema));
        pruned = all.clone();
        fields::remove(schema, &mut pruned, &named(&all).difference(&keep));
        at = version.to_owned();
    }

    // And what went along although the applier did not own it.
    let Some(pruned) = versions.convert(&pruned, &at, &last.version) else { return merged };
    let named = |document: &Value| fields::fields_of(schema, document).with_named_fields(schema);
    let gone = named(&base).difference(&named(&pruned)).intersection(&last_set);
    let mut result = base;
    fields::remove(schema, &mut result, &gone);
    versions.convert(&result, &last.version, ours).unwrap_or(merged)
}
