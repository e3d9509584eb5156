//! Rolling updates: the new set grows and the old ones shrink, within the bounds.

use sdk_plugin::Plan;

use super::Rollout;
use super::sets::Limits;

impl Rollout<'_> {
    /// One step. Up first; down only where nothing went up, on what the next look at the pods shows.
    pub(super) fn roll(&mut self) -> Result<(), Box<Plan>> {
        self.sync_new_set(true)?;
        if self.grow_new_set() || self.shrink_old_sets() {
            return Ok(());
        }
        if self.is_complete_now() {
            self.clean_up();
        }
        Ok(())
    }

    /// How many pods the new set shall have. Source: `NewRSNewReplicas`.
    pub(super) fn new_set_wants(&self) -> i32 {
        let wanted = self.wanted();
        let now = self.sets.new_set().map_or(0, |set| set.replicas);
        if !self.is_rolling() {
            return wanted;
        }
        // Pods that a set was told to give up and still has count too: upstream forgets them, and goes beyond the bound.
        let standing: i32 = self.sets.all().map(|set| set.replicas.max(set.status_replicas)).sum();
        let room = (wanted + self.max_surge()).saturating_sub(standing);
        if room <= 0 { now } else { now + room.min(wanted - now) }
    }

    pub(super) fn grow_new_set(&mut self) -> bool {
        let wanted = self.wanted();
        let Some(now) = self.sets.new_set().map(|set| set.replicas) else { return false };
        let next = match now.cmp(&wanted) {
            std::cmp::Ordering::Equal => return false,
            std::cmp::Ordering::Greater => wanted,
            std::cmp::Ordering::Less => self.new_set_wants(),
        };
        let limits = self.limits();
        let new = self.sets.new_mut().expect("it was looked at above");
        resize(new, next, limits)
    }

    fn shrink_old_sets(&mut self) -> bool {
        if self.sets.old().all(|set| set.replicas == 0) {
            return false;
        }
        let min_available = self.wanted() - self.max_unavailable();
        let new_unavailable = self.sets.new_set().map_or(0, |set| set.replicas - set.available);
        let room = self.sets.total() - min_available - new_unavailable;
        if room <= 0 {
            return false;
        }
        let limits = self.limits();
        let mut changed = false;

        // Pods that do not work anyway go first, and cost no availability.
        let mut cleaned = 0;
        for set in self.sets.old_mut() {
            let broken = (set.replicas - set.available).min(room - cleaned);
            if broken > 0 {
                cleaned += broken;
                changed |= resize(set, set.replicas - broken, limits);
            }
        }

        // A set that was just made smaller may still report the pods that it is about to lose: counting them, as upstream
        // does, would take more away than may be missing.
        let available: i32 = self.sets.all().map(|set| set.available.min(set.replicas)).sum();
        let mut left = available - min_available;
        for set in self.sets.old_mut() {
            let fewer = set.replicas.min(left);
            if fewer > 0 {
                left -= fewer;
                changed |= resize(set, set.replicas - fewer, limits);
            }
        }
        changed
    }
}

/// Sets the wanted number of a set; says whether it is another one.
pub(super) fn resize(set: &mut super::Set, replicas: i32, limits: Limits) -> bool {
    if set.replicas == replicas {
        return false;
    }
    set.replicas = replicas;
    set.set_limits(limits);
    true
}
