//! The dispatcher: from a request to its flow schema, its priority level and a seat; and the seats of all levels.
//!
//! Levels lend seats that they do not use. What each wants is looked at every ten seconds in which somebody asks for a
//! seat; an idle server is not woken for it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use sdk_api::Clock;
use sdk_api::k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaSpec, PriorityLevelConfiguration};
use sdk_client::Subject;
use serde_json::json;

use super::demand::{Claim, divide};
use super::level::{Level, Seat};
use super::matching::{distinguisher, matches};
use super::metrics::{Counts, FlowMetrics};
use super::queues::{Load, Overflow, Refusal, Work};
use crate::info::RequestInfo;

/// How often seats are lent and taken back. Source: KEP-1040.
const ADJUST_EVERY: Duration = Duration::from_secs(10);
/// The widest request, in seats. Source: `maximumSeatsLimit` of the API server.
const SEATS_MAX: usize = 10;
const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";

/// A flow schema as requests meet it.
pub struct Schema {
    spec: FlowSchemaSpec,
    precedence: i32,
    name: String,
    level: Arc<Level>,
    /// The widest request of its level.
    seats_max: usize,
    counts: Arc<Counts>,
    /// For the response's headers: of the schema and of the level.
    pub uids: (HeaderValue, HeaderValue),
}

impl Schema {
    /// The widest request that its level takes, in seats.
    pub fn seats_max(&self) -> usize {
        self.seats_max
    }

    pub fn is_exempt(&self) -> bool {
        self.level.is_exempt()
    }
}

/// See the module.
pub struct Dispatcher {
    clock: Arc<dyn Clock>,
    /// All seats of the server.
    seats: usize,
    wait_max: Duration,
    metrics: FlowMetrics,
    /// In the order of matching.
    schemas: RwLock<Arc<[Arc<Schema>]>>,
    levels: Mutex<HashMap<String, Arc<Level>>>,
    /// When lending was looked at last, in milliseconds of the monotonic clock.
    adjusted: AtomicU64,
}

impl Dispatcher {
    /// One that knows the mandatory objects alone.
    pub fn new(clock: Arc<dyn Clock>, seats: usize, wait_max: Duration, metrics: FlowMetrics) -> Self {
        let new = Self {
            adjusted: AtomicU64::new(millis(clock.monotonic())),
            clock,
            seats,
            wait_max,
            metrics,
            schemas: RwLock::new(Arc::new([])),
            levels: Mutex::default(),
        };
        new.configure(&[], &[]);
        new
    }

    /// Takes over what is configured. Schemas of levels that do not exist are as if they were not there; the mandatory
    /// ones always are.
    pub fn configure(&self, schemas: &[Arc<FlowSchema>], levels: &[Arc<PriorityLevelConfiguration>]) {
        let mut known = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mandatory = mandatory_levels();
        let missing =
            mandatory.iter().filter(|level| levels.iter().all(|other| other.metadata.name != level.metadata.name));
        let wanted: Vec<_> = levels.iter().map(AsRef::as_ref).chain(missing).collect();
        let shares: f64 = wanted.iter().map(|level| f64::from(shares(level))).sum();
        let mut uids = HashMap::new();
        for object in &wanted {
            let name = object.metadata.name.clone().unwrap_or_default();
            let level = known
                .entry(name.clone())
                .or_insert_with(|| Arc::new(Level::new(&name, self.metrics.level(&name), self.clock.clone())));
            self.configure_level(level, object, shares);
            uids.insert(name, object.metadata.uid.clone().unwrap_or_default());
        }
        // Requests of a level that is gone still hold it, and finish in it.
        known.retain(|name, _| uids.contains_key(name));

        let mandatory = mandatory_schemas();
        let usable = |schema: &&FlowSchema| {
            schema.spec.as_ref().is_some_and(|spec| uids.contains_key(&spec.priority_level_configuration.name))
        };
        let given: Vec<_> = schemas.iter().map(AsRef::as_ref).filter(usable).collect();
        let missing = mandatory.iter().filter(|one| given.iter().all(|other| other.metadata.name != one.metadata.name));
        let mut all: Vec<_> =
            given.iter().copied().chain(missing).filter_map(|schema| self.schema(schema, &known, &uids)).collect();
        all.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let all: Arc<[_]> = all.into_iter().map(Arc::new).collect();
        *self.schemas.write().unwrap_or_else(PoisonError::into_inner) = all;
        drop(known);
        self.adjust();
    }

    fn configure_level(&self, level: &Arc<Level>, object: &PriorityLevelConfiguration, shares_sum: f64) {
        let spec = object.spec.as_ref();
        let limited = spec.and_then(|spec| spec.limited.as_ref());
        let exempt = spec.and_then(|spec| spec.exempt.as_ref());
        let part = if shares_sum > 0.0 { f64::from(shares(object)) / shares_sum } else { 0.0 };
        let nominal = (self.seats as f64 * part).ceil();
        let percent = |of: Option<i32>| nominal * f64::from(of.unwrap_or(0)) / 100.0;
        let lendable =
            percent(limited.map_or_else(|| exempt.and_then(|e| e.lendable_percent), |l| l.lendable_percent)).round();
        let borrowing = limited.and_then(|limited| limited.borrowing_limit_percent);
        let upper = borrowing.map_or(self.seats as f64, |_| nominal + percent(borrowing).round());
        {
            let mut share = level.share();
            (share.nominal, share.lower, share.upper) = (nominal, nominal - lendable, upper);
            level.counts.nominal_limit.set(nominal as i64);
            level.counts.lower_limit.set(share.lower as i64);
            level.counts.upper_limit.set(upper as i64);
        }
        level.configure(overflow(object));
        // A new level works with its configured seats until lending is looked at.
        if level.limit() == 0 {
            level.set_limit(nominal as usize);
        }
    }

    fn schema(
        &self,
        object: &FlowSchema,
        levels: &HashMap<String, Arc<Level>>,
        uids: &HashMap<String, String>,
    ) -> Option<Schema> {
        let spec = object.spec.clone()?;
        let level = levels.get(&spec.priority_level_configuration.name)?.clone();
        let name = object.metadata.name.clone()?;
        let header = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
        let level_uid = uids.get(&level.name).map_or("", String::as_str);
        let uids = (header(object.metadata.uid.as_deref().unwrap_or_default()), header(level_uid));
        // One wide request takes at most a part of a level, so that others find room beside it.
        const PART: f64 = 0.15;
        let seats_max = ((level.share().nominal * PART).ceil() as usize).clamp(1, SEATS_MAX);
        let counts = Arc::new(self.metrics.schema(&level.name, &name));
        let precedence = spec.matching_precedence.unwrap_or(1000);
        Some(Schema { spec, precedence, name, level, seats_max, counts, uids })
    }

    /// The schema of a request: the first that matches.
    pub fn classify(&self, user: &Subject, info: &RequestInfo) -> Option<Arc<Schema>> {
        let schemas = self.schemas.read().unwrap_or_else(PoisonError::into_inner).clone();
        // Everybody is in one of the groups of `catch-all`; a user who is in neither belongs to it all the same.
        schemas.iter().find(|schema| matches(&schema.spec, user, info)).or_else(|| schemas.last()).cloned()
    }

    /// A seat for a request of this schema.
    pub async fn seat(&self, schema: &Schema, user: &Subject, info: &RequestInfo, work: Work) -> Result<Seat, Refusal> {
        let mut hasher = DefaultHasher::new();
        (&schema.name, distinguisher(&schema.spec, user, info)).hash(&mut hasher);
        self.adjust_if_due();
        schema.level.seat(hasher.finish(), work, &schema.counts, self.wait_max, || self.adjust_if_due()).await
    }

    /// How long until lending is to be looked at again.
    fn adjust_if_due(&self) -> Duration {
        let (now, last) = (millis(self.clock.monotonic()), self.adjusted.load(Ordering::Relaxed));
        let every = millis(ADJUST_EVERY);
        let left = (last + every).saturating_sub(now);
        if left > 0 {
            return Duration::from_millis(left);
        }
        if self.adjusted.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.adjust();
        }
        ADJUST_EVERY
    }

    /// Divides the seats by what the levels want and may have. Exempt levels come first: nothing limits them.
    fn adjust(&self) {
        let levels: Vec<_> = self.levels.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let claimed: Vec<(Arc<Level>, Claim)> =
            levels.into_iter().map(|level| (level.clone(), level.claim())).collect();
        let (exempt, limited): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|(level, _)| level.is_exempt());
        let taken: f64 = exempt.iter().map(|(_, claim)| claim.lower).sum();
        let claims: Vec<_> = limited.iter().map(|(_, claim)| *claim).collect();
        let (seats, fraction) = divide((self.seats as f64 - taken).max(0.0), &claims);
        self.metrics.fair_fraction.set(fraction);
        for ((level, _), seats) in limited.iter().zip(seats) {
            level.set_limit(seats.round() as usize);
        }
        for (level, claim) in exempt {
            level.set_limit(claim.lower.round() as usize);
        }
    }

    /// The levels as `/debug/api_priority_and_fairness/dump_priority_levels` shows them.
    pub fn dump(&self) -> String {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |level: &Arc<Level>| {
            let Load { active_queues, running, waiting, limit } = level.load();
            let is_idle = running + waiting == 0;
            format!("{}, {active_queues}, {is_idle}, {waiting}, {running}, {limit}\n", level.name)
        };
        let mut lines: Vec<_> = levels.values().map(line).collect();
        lines.sort();
        format!(
            "PriorityLevelName, ActiveQueues, IsIdle, WaitingRequests, ExecutingRequests, Seats\n{}",
            lines.concat()
        )
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn shares(level: &PriorityLevelConfiguration) -> i32 {
    let Some(spec) = &level.spec else { return 0 };
    match (&spec.limited, &spec.exempt) {
        (Some(limited), _) => limited.nominal_concurrency_shares.unwrap_or(30),
        (None, exempt) => exempt.as_ref().and_then(|exempt| exempt.nominal_concurrency_shares).unwrap_or(0),
    }
}

fn overflow(level: &PriorityLevelConfiguration) -> Overflow {
    let Some(limited) =
        level.spec.as_ref().filter(|spec| spec.type_ == "Limited").and_then(|spec| spec.limited.as_ref())
    else {
        return Overflow::Exempt;
    };
    let response = limited.limit_response.as_ref().filter(|response| response.type_ == "Queue");
    let Some(queuing) = response.and_then(|response| response.queuing.as_ref()) else { return Overflow::Reject };
    let count = |given: Option<i32>, default: usize| {
        given.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
    };
    Overflow::Queue {
        queues: count(queuing.queues, 64),
        hand: count(queuing.hand_size, 8),
        length_max: count(queuing.queue_length_limit, 50),
    }
}

/// The levels that are there even where nobody wrote them down.
fn mandatory_levels() -> Vec<PriorityLevelConfiguration> {
    let limited = json!({"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}});
    let levels = json!([
        {"metadata": {"name": EXEMPT}, "spec": {"type": "Exempt"}},
        {"metadata": {"name": CATCH_ALL}, "spec": {"type": "Limited", "limited": limited}},
    ]);
    serde_json::from_value(levels).expect("these documents fit their type")
}

/// The schemas that are there even where nobody wrote them down.
fn mandatory_schemas() -> Vec<FlowSchema> {
    let schema = |name: &str, precedence: i32, groups: &[&str], method: serde_json::Value| {
        let subjects: Vec<_> = groups.iter().map(|group| json!({"kind": "Group", "group": {"name": group}})).collect();
        let all =
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
        let rule = json!({
            "subjects": subjects, "resourceRules": [all], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        });
        json!({"metadata": {"name": name}, "spec": {
            "priorityLevelConfiguration": {"name": name}, "matchingPrecedence": precedence, "distinguisherMethod": method,
            "rules": [rule],
        }})
    };
    let everybody = ["system:unauthenticated", "system:authenticated"];
    let schemas = json!([
        schema(EXEMPT, 1, &["system:masters"], json!(null)),
        schema(CATCH_ALL, 10_000, &everybody, json!({"type": "ByUser"})),
    ]);
    serde_json::from_value(schemas).expect("these documents fit their type")
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
