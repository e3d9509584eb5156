//! Requests against a dispatcher with a manual clock.

use http::Method;
use prometheus_client::registry::Registry;
use sdk_testkit::{ManualClock, settle};
use serde_json::{Value, json};

use super::*;

const WAIT_MAX: Duration = Duration::from_secs(15);

fn dispatcher(clock: &Arc<ManualClock>, seats: usize) -> Arc<Dispatcher> {
    let metrics = FlowMetrics::register(&mut Registry::default());
    Arc::new(Dispatcher::new(clock.clone(), seats, WAIT_MAX, metrics))
}

fn level(name: &str, limited: Value) -> Arc<PriorityLevelConfiguration> {
    let document = json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": {"type": "Limited", "limited": limited}});
    Arc::new(serde_json::from_value(document).unwrap())
}

fn schema(name: &str, level: &str, precedence: i32, user: &str) -> Arc<FlowSchema> {
    let all =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
    let rule = json!({"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [all]});
    let document = json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": {
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence,
        "distinguisherMethod": {"type": "ByUser"}, "rules": [rule],
    }});
    Arc::new(serde_json::from_value(document).unwrap())
}

fn user(name: &str) -> Subject {
    Subject::new(name, &["system:authenticated"])
}

fn pods() -> RequestInfo {
    RequestInfo::of(&Method::GET, "/api/v1/namespaces/blue/pods", &[])
}

/// A request that holds its seat until the handle is dropped or taken.
fn ask(dispatcher: &Arc<Dispatcher>, name: &str) -> tokio::task::JoinHandle<Result<Seat, Refusal>> {
    let (dispatcher, user) = (dispatcher.clone(), user(name));
    tokio::spawn(async move {
        let info = pods();
        let schema = dispatcher.classify(&user, &info).unwrap();
        dispatcher.seat(&schema, &user, &info, Work::ONE).await
    })
}

async fn count_running(asked: &[tokio::task::JoinHandle<Result<Seat, Refusal>>]) -> usize {
    settle().await;
    asked.iter().filter(|one| one.is_finished()).count()
}

#[tokio::test]
async fn the_first_schema_that_matches_counts_and_the_last_catches_all() {
    let clock = ManualClock::new();
    let dispatcher = dispatcher(&clock, 600);
    let name = |who: &Subject| dispatcher.classify(who, &pods()).unwrap().name.clone();
    assert_eq!(name(&Subject::new("root", &["system:masters"])), "exempt");
    assert_eq!(name(&user("ann")), "catch-all");
    assert_eq!(name(&Subject::new("nobody", &[])), "catch-all");
    let levels = [level("mine", json!({"nominalConcurrencyShares": 15, "limitResponse": {"type": "Reject"}}))];
    let schemas = [
        schema("b", "mine", 500, "ann"),
        schema("a", "mine", 500, "ann"),
        schema("dangling", "ghost", 10, "ann"),
        schema("late", "mine", 9000, "*"),
    ];
    dispatcher.configure(&schemas, &levels);
    assert_eq!(name(&user("ann")), "a", "among equals by name; a dangling one is not there");
    assert_eq!(name(&user("bob")), "late");
    let found = dispatcher.classify(&user("ann"), &pods()).unwrap();
    assert_eq!(
        (&found.uids.0, &found.uids.1),
        (&HeaderValue::from_static("uid-a"), &HeaderValue::from_static("uid-mine"))
    );
    // 5 shares of catch-all and 15 of mine.
    let nominal = |name: &str| dispatcher.levels.lock().unwrap()[name].share().nominal;
    assert_eq!((nominal("mine"), nominal("catch-all"), nominal("exempt")), (450.0, 150.0, 0.0));
    dispatcher.configure(&[], &[]);
    assert_eq!(name(&user("ann")), "catch-all", "what is deleted no longer counts");
}

#[tokio::test]
async fn a_full_level_rejects_or_queues_and_waiting_ends() {
    let clock = ManualClock::new();
    let dispatcher = dispatcher(&clock, 6);
    // Without anything configured, catch-all has every seat and refuses whoever comes later.
    let mut asked: Vec<_> = (0..6).map(|_| ask(&dispatcher, "ann")).collect();
    assert_eq!(count_running(&asked).await, 6);
    assert_eq!(ask(&dispatcher, "bob").await.unwrap().err(), Some(Refusal::ConcurrencyLimit));
    drop(asked.pop().unwrap().await.unwrap().unwrap());
    assert!(ask(&dispatcher, "bob").await.unwrap().is_ok());
    asked.clear();

    let queuing = json!({"queues": 8, "handSize": 2, "queueLengthLimit": 1});
    let limited = json!({"nominalConcurrencyShares": 5, "limitResponse": {"type": "Queue", "queuing": queuing}});
    dispatcher.configure(&[schema("mine", "mine", 10, "*")], &[level("mine", limited)]);
    let seats = dispatcher.levels.lock().unwrap()["mine"].limit();
    let running: Vec<_> = (0..seats).map(|_| ask(&dispatcher, "ann")).collect();
    assert_eq!(count_running(&running).await, seats);
    let waiting: Vec<_> = (0..2).map(|_| ask(&dispatcher, "ann")).collect();
    assert_eq!(count_running(&waiting).await, 0);
    assert_eq!(
        ask(&dispatcher, "ann").await.unwrap().err(),
        Some(Refusal::QueueFull),
        "both queues of the hand are full"
    );
    waiting[0].abort();
    settle().await;
    let third = ask(&dispatcher, "ann");
    settle().await;
    assert!(!third.is_finished(), "who went away left a place");
    clock.run_for(WAIT_MAX).await;
    settle().await;
    assert_eq!(third.await.unwrap().err(), Some(Refusal::TimeOut));
    drop(running);
}

#[tokio::test]
async fn a_flood_of_one_user_does_not_starve_another() {
    let clock = ManualClock::new();
    let dispatcher = dispatcher(&clock, 4);
    let queuing = json!({"queues": 64, "handSize": 4, "queueLengthLimit": 50});
    let limited = json!({"nominalConcurrencyShares": 1000, "limitResponse": {"type": "Queue", "queuing": queuing}});
    dispatcher.configure(&[schema("mine", "mine", 10, "*")], &[level("mine", limited)]);
    let seats = dispatcher.levels.lock().unwrap()["mine"].limit();
    let mut flood: Vec<_> = (0..200).map(|_| ask(&dispatcher, "flood")).collect();
    assert_eq!(count_running(&flood).await, seats);
    let quiet = ask(&dispatcher, "quiet");
    settle().await;
    assert!(!quiet.is_finished());
    // The next seat that comes free goes to the one who has had none, not to the 200 who came before.
    clock.advance(Duration::from_millis(50));
    let at = flood.iter().position(tokio::task::JoinHandle::is_finished).unwrap();
    drop(flood.swap_remove(at).await.unwrap().unwrap());
    settle().await;
    assert!(quiet.is_finished());
}

#[tokio::test]
async fn levels_lend_what_they_do_not_use() {
    let clock = ManualClock::new();
    let dispatcher = dispatcher(&clock, 100);
    let limited = |lendable: i32, borrowing: Value| {
        json!({
            "nominalConcurrencyShares": 10, "lendablePercent": lendable, "borrowingLimitPercent": borrowing,
            "limitResponse": {"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 1000}},
        })
    };
    dispatcher.configure(
        &[schema("busy", "busy", 10, "busy"), schema("calm", "calm", 20, "calm")],
        &[
            level("busy", limited(0, json!(null))),
            level("calm", limited(50, json!(null))),
            level("catch-all", json!({"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}})),
        ],
    );
    let asked: Vec<_> = (0..200).map(|_| ask(&dispatcher, "busy")).collect();
    let limit = |name: &str| dispatcher.levels.lock().unwrap()[name].limit();
    assert_eq!(count_running(&asked).await, limit("busy"));
    assert_eq!(clock.sleepers(), 200 - limit("busy"), "only who waits is woken");
    clock.run_for(Duration::from_secs(10)).await;
    assert_eq!((limit("busy"), limit("calm")), (75, 25), "half of the other's seats are lent");
    assert_eq!(count_running(&asked).await, 75);
    let calm: Vec<_> = (0..40).map(|_| ask(&dispatcher, "calm")).collect();
    assert_eq!(count_running(&calm).await, 25);
    clock.run_for(Duration::from_secs(4)).await;
    let again = ask(&dispatcher, "calm");
    clock.run_for(Duration::from_secs(6)).await;
    settle().await;
    assert_eq!((limit("busy"), limit("calm")), (59, 41), "and taken back as far as they are wanted");
    drop((asked, calm, again));
}
