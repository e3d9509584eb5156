//! Pods that wait for a node: those to try now, those that back off, and those that wait for something to happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::ClassRef;
use crate::pod::Pod;

/// The first back-off; it doubles with each failed attempt. Source: kube-scheduler's `podInitialBackoffSeconds`.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// Source: kube-scheduler's `podMaxBackoffSeconds`.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

type Uid = Arc<str>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Scheduling gates keep it out.
    Gated,
    Active(u64),
    BackOff(Duration, u64),
    /// As `BackOff`, but after an error, which no event can have put right.
    Erred(Duration, u64),
    /// Rejected by these filters, until an event may help.
    Unschedulable(u32),
    /// A cycle or a binding is under way.
    InFlight,
}

struct Entry {
    pod: Pod,
    class: ClassRef,
    place: Place,
    attempts: u32,
    /// When its last back-off ends.
    ready_at: Duration,
}

/// By priority, then in the order of arrival.
type ActiveOrder = (Reverse<i32>, u64, Uid);

/// The queue. Time is the clock's monotonic time.
#[derive(Default)]
pub struct Queue {
    entries: HashMap<Uid, Entry>,
    active: BTreeSet<ActiveOrder>,
    back_off: BTreeMap<(Duration, u64), Uid>,
    erred: BTreeMap<(Duration, u64), Uid>,
    /// Unschedulable pods by class and rejecting filters: an event is held against each group once.
    groups: HashMap<(u32, u32), BTreeSet<Uid>>,
    arrivals: u64,
}

impl Queue {
    /// Takes in a pending pod, or its newest state. A change that matters to scheduling has it tried again.
    pub fn put(&mut self, pod: Pod, class: ClassRef, now: Duration) {
        let uid = pod.uid.clone();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let gated = pod.gated;
            let entry = Entry { pod, class, place: Place::Gated, attempts: 0, ready_at: Duration::ZERO };
            self.entries.insert(uid.clone(), entry);
            if !gated {
                self.requeue(&uid, now);
            }
            return;
        };
        let same = entry.class.id == class.id && entry.pod.gated == pod.gated;
        let gated = pod.gated;
        entry.pod = pod;
        if same || entry.place == Place::InFlight {
            // The cycle under way decided on the old class; if it fails, the new one is tried.
            entry.class = class;
            return;
        }
        self.take_out(&uid);
        let entry = self.entries.get_mut(&uid).expect("found above");
        entry.class = class;
        entry.place = Place::Gated;
        if !gated {
            self.requeue(&uid, now);
        }
    }

    /// Forgets a pod, wherever it waits. Whether it was here.
    pub fn remove(&mut self, uid: &str) -> bool {
        let Some((uid, _)) = self.entries.get_key_value(uid) else { return false };
        let uid = uid.clone();
        self.take_out(&uid);
        self.entries.remove(&uid).is_some()
    }

    /// The next pod to try; it is in flight until `rejected`, `failed` or `remove`.
    ///
    /// While nothing else waits, pods that back off are tried early, unless an error stopped them. Source: KEP-5142.
    pub fn next(&mut self, now: Duration) -> Option<(Pod, ClassRef)> {
        while let Some(((at, _), uid)) = self.erred.first_key_value().map(|(k, uid)| (*k, uid.clone()))
            && at <= now
        {
            self.activate(&uid);
        }
        while let Some(((at, _), uid)) = self.back_off.first_key_value().map(|(k, uid)| (*k, uid.clone()))
            && (at <= now || self.active.is_empty())
        {
            self.activate(&uid);
        }
        let (_, _, uid) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::InFlight;
        Some((entry.pod.clone(), entry.class.clone()))
    }

    /// No node, for reasons that events may change.
    pub fn rejected(&mut self, uid: &str, by: u32, now: Duration) {
        let Some(entry) = self.entries.get_mut(uid).filter(|entry| entry.place == Place::InFlight) else { return };
        fail(entry, now);
        entry.place = Place::Unschedulable(by);
        self.groups.entry((entry.class.id, by)).or_default().insert(entry.pod.uid.clone());
    }

    /// A pod that was rejected is tried again after its back-off: making room for it went wrong.
    pub fn retry(&mut self, uid: &str, now: Duration) {
        let rejected = self.entries.get(uid).filter(|entry| matches!(entry.place, Place::Unschedulable(_)));
        if let Some(uid) = rejected.map(|entry| entry.pod.uid.clone()) {
            self.requeue(&uid, now);
        }
    }

    /// The newest state of a pod that is here.
    pub fn get(&self, uid: &str) -> Option<&Pod> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    /// Something went wrong; it is tried again after its back-off.
    pub fn failed(&mut self, uid: &str, now: Duration) {
        self.arrivals += 1;
        let Some(entry) = self.entries.get_mut(uid).filter(|entry| entry.place == Place::InFlight) else { return };
        fail(entry, now);
        let place = (entry.ready_at, self.arrivals);
        entry.place = Place::Erred(place.0, place.1);
        self.erred.insert(place, entry.pod.uid.clone());
    }

    /// Has unschedulable pods tried again where `helps` says that what happened could make them fit.
    pub fn happened(&mut self, now: Duration, mut helps: impl FnMut(u32, &ClassRef) -> bool) {
        if self.groups.is_empty() {
            return;
        }
        let mut moved = Vec::new();
        for ((_, rejected_by), pods) in &self.groups {
            let first = pods.first().and_then(|uid| self.entries.get(uid));
            if first.is_some_and(|entry| helps(*rejected_by, &entry.class)) {
                moved.extend(pods.iter().cloned());
            }
        }
        // In the order they came, not of the table.
        moved.sort();
        for uid in moved {
            self.requeue(&uid, now);
        }
    }

    /// When the next back-off ends.
    pub fn next_wake(&self) -> Option<Duration> {
        let first = [&self.back_off, &self.erred].map(|queue| queue.first_key_value().map(|((at, _), _)| *at));
        first.into_iter().flatten().min()
    }

    /// To the active pods, or to those that back off if its time has not come.
    fn requeue(&mut self, uid: &Uid, now: Duration) {
        self.take_out(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if entry.ready_at <= now {
            return self.activate(uid);
        }
        self.arrivals += 1;
        entry.place = Place::BackOff(entry.ready_at, self.arrivals);
        self.back_off.insert((entry.ready_at, self.arrivals), uid.clone());
    }

    fn activate(&mut self, uid: &Uid) {
        self.take_out(uid);
        self.arrivals += 1;
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.place = Place::Active(self.arrivals);
            self.active.insert((Reverse(entry.class.priority), self.arrivals, uid.clone()));
        }
    }

    fn take_out(&mut self, uid: &Uid) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match std::mem::replace(&mut entry.place, Place::InFlight) {
            Place::Active(arrival) => {
                self.active.remove(&(Reverse(entry.class.priority), arrival, uid.clone()));
            }
            Place::BackOff(at, arrival) => drop(self.back_off.remove(&(at, arrival))),
            Place::Erred(at, arrival) => drop(self.erred.remove(&(at, arrival))),
            Place::Unschedulable(by) => {
                let group = (entry.class.id, by);
                if let Some(pods) = self.groups.get_mut(&group) {
                    pods.remove(uid);
                    if pods.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
            Place::Gated | Place::InFlight => {}
        }
    }
}

fn fail(entry: &mut Entry, now: Duration) {
    let doubled = BACK_OFF_MIN * 2_u32.pow(entry.attempts.min(8));
    entry.attempts += 1;
    entry.ready_at = now + doubled.min(BACK_OFF_MAX);
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::*;
    use crate::cluster::Cluster;

    struct World {
        cluster: Cluster,
        queue: Queue,
    }

    impl World {
        fn new() -> Self {
            Self { cluster: Cluster::default(), queue: Queue::default() }
        }

        fn put(&mut self, build: Build, now: u64) {
            let mut pod = Pod::read(&build.object()).unwrap();
            let class = self.cluster.intern(std::mem::take(&mut pod.class));
            self.queue.put(pod, class, Duration::from_secs(now));
        }

        fn next(&mut self, now: u64) -> Option<String> {
            self.queue.next(Duration::from_secs(now)).map(|(pod, _)| pod.key.name.to_string())
        }
    }

    fn pod(name: &str, priority: i64) -> Build {
        Build::pod("n", name).set("spec.priority", json!(priority))
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn priority_first_then_order_of_arrival() {
        let mut world = World::new();
        for (name, priority) in [("b", 0), ("a", 0), ("high", 9)] {
            world.put(pod(name, priority), 0);
        }
        assert_eq!(
            std::array::from_fn(|_| world.next(0)),
            [Some("high".into()), Some("b".into()), Some("a".into()), None]
        );
    }

    #[test]
    fn gates_keep_a_pod_out_until_they_are_gone() {
        let mut world = World::new();
        let gated = pod("p", 0).set("spec.schedulingGates", json!([{"name": "g"}]));
        world.put(gated.clone(), 0);
        world.put(gated, 1);
        assert_eq!(world.next(1), None);
        world.put(pod("p", 0), 2);
        assert_eq!(world.next(2), Some("p".into()));
    }

    #[test]
    fn rejected_pods_wait_for_an_event_that_helps() {
        let mut world = World::new();
        world.put(pod("p", 0), 0);
        world.next(0);
        world.queue.rejected("uid-p", 0b10, secs(0));
        assert_eq!((world.next(99), world.queue.next_wake()), (None, None), "time alone does not help");
        world.queue.happened(secs(99), |by, _| by & 0b01 != 0);
        assert_eq!(world.next(99), None, "another filter's event");
        world.queue.happened(secs(99), |by, _| by & 0b10 != 0);
        assert_eq!(world.next(99), Some("p".into()));
    }

    #[test]
    fn back_off_doubles_up_to_ten_seconds() {
        let mut world = World::new();
        world.put(pod("p", 0), 0);
        let mut now = 0;
        for expected in [1, 2, 4, 8, 10, 10] {
            assert_eq!(world.next(now), Some("p".into()));
            world.queue.failed("uid-p", secs(now));
            assert_eq!(world.queue.next_wake(), Some(secs(now + expected)));
            assert_eq!(world.next(now + expected - 1), None, "an error waits for its time");
            now += expected;
        }
    }

    #[test]
    fn pods_that_back_off_go_after_active_ones_and_before_idling() {
        let mut world = World::new();
        world.put(pod("again", 5), 0);
        world.next(0);
        world.queue.rejected("uid-again", 1, secs(0));
        world.queue.happened(secs(0), |_, _| true);
        world.put(pod("new", 0), 0);
        assert_eq!(world.next(0), Some("new".into()), "its back-off lets others go first");
        assert_eq!(world.next(0), Some("again".into()), "with nothing else to do it is tried early");
    }

    #[test]
    fn a_changed_pod_is_tried_again_and_a_removed_one_is_not() {
        let mut world = World::new();
        world.put(pod("p", 0), 0);
        world.next(0);
        world.queue.rejected("uid-p", 1, secs(0));
        world.put(pod("p", 0).set("status.message", json!("new status")), 5);
        assert_eq!(world.next(5), None, "only its status changed");
        world.put(pod("p", 0).label("a", "b"), 5);
        assert_eq!(world.next(5), Some("p".into()));
        assert!(world.queue.remove("uid-p") && !world.queue.remove("uid-p"));
        world.queue.rejected("uid-p", 1, secs(5));
        world.queue.happened(secs(9), |_, _| true);
        assert_eq!(world.next(9), None);
    }
}
