//! Scaling: a change of the wanted number, outside of a rollout or in the middle of one.

use super::Rollout;
use super::rolling::resize;
use super::sets::{DESIRED, MAX, Set};

impl Rollout<'_> {
    /// Some set was sized for another number than is wanted now.
    pub(super) fn is_scaling_event(&self) -> bool {
        let active = self.sets.all().filter(|set| set.replicas > 0);
        active.filter_map(|set| set.noted(DESIRED)).any(|desired| desired != self.wanted())
    }

    /// Source: `scale` of upstream's deployment controller.
    pub(super) fn scale(&mut self) {
        let (wanted, limits) = (self.wanted(), self.limits());
        if let Some(set) = self.active_or_latest() {
            set.replicas = wanted;
            // Even where the size fits by chance: else this would be a scaling event for ever.
            set.set_limits(limits);
            return;
        }
        // The new set is all there is to be, so the old ones have only to go.
        if self.is_saturated() {
            for set in self.sets.old_mut() {
                resize(set, 0, limits);
            }
            return;
        }
        if self.is_rolling() {
            self.scale_in_proportion();
        }
    }

    /// The one set that has pods; with none, the new one, or else the youngest. `None` where several have pods.
    fn active_or_latest(&mut self) -> Option<&mut Set> {
        match self.sets.active().as_slice() {
            [] if self.sets.new_set().is_some() => self.sets.new_mut(),
            [] => self.sets.all_mut().last_mut(),
            [only] => {
                let only = *only;
                self.sets.all_mut().get_mut(only)
            }
            _ => None,
        }
    }

    fn is_saturated(&self) -> bool {
        self.sets.new_set().is_some_and(|new| {
            let wanted = self.wanted();
            new.noted(DESIRED) == Some(wanted) && new.replicas == wanted && new.available == wanted
        })
    }

    /// In the middle of a rollout each set gets its share, so that a failing new template does not get all of the new
    /// pods. The largest set takes what rounding leaves.
    fn scale_in_proportion(&mut self) {
        let limits = self.limits();
        let allowed = if self.wanted() > 0 { limits.max } else { 0 };
        let to_add = allowed - self.sets.total();
        let mut active = self.sets.active();
        let age = |at: &usize| std::cmp::Reverse(*at);
        // Equal sizes: growing favours the newer, shrinking takes from the older.
        if to_add > 0 {
            active.sort_by_key(|at| (-self.sets.all_mut()[*at].replicas, age(at)));
        } else {
            active.sort_by_key(|at| (-self.sets.all_mut()[*at].replicas, *at));
        }
        let before = self.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
        let wanted = self.wanted();
        let mut added = 0;
        let sets = self.sets.all_mut();
        let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
        for at in &active {
            let share = if to_add == 0 { 0 } else { proportion(&sets[*at], wanted, limits.max, before, to_add, added) };
            added += share;
            sizes.push(sets[*at].replicas + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (at, size) in active.iter().zip(sizes) {
            sets[*at].replicas = size;
            sets[*at].set_limits(limits);
        }
    }
}

/// How many of `to_add` pods (below zero: to be removed) fall to a set, when `added` are given out already.
fn proportion(set: &Set, wanted: i32, max: i32, before: i32, to_add: i32, added: i32) -> i32 {
    if set.replicas == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let share = fraction(set, wanted, max, before);
    let left = to_add - added;
    if to_add > 0 { share.min(left) } else { share.max(left) }
}

/// What a set would grow by, if all grew as the whole does. Source: `getReplicaSetFraction`.
fn fraction(set: &Set, wanted: i32, max: i32, before: i32) -> i32 {
    if wanted == 0 {
        return -set.replicas;
    }
    let max_before = set.noted(MAX).filter(|max| *max > 0).unwrap_or(before);
    if max_before == 0 {
        return 0;
    }
    let size = f64::from(set.replicas) * f64::from(max) / f64::from(max_before);
    // Saturating, and numbers of pods are far from where it matters.
    size.round() as i32 - set.replicas
}
