//! What the keeper does about objects as they are, and as an agent.

use sdk_testkit::{FakeApi, ManualClock, cache, settle, until};
use tokio_util::sync::CancellationToken;

use super::*;

fn level(name: &str, generation: i64, annotation: Option<&str>) -> Value {
    let wanted = bootstrap::levels().into_iter().find(|level| level.metadata.name.as_deref() == Some(name)).unwrap();
    let mut level = serde_json::to_value(wanted).unwrap();
    level["metadata"] = json!({"name": name, "generation": generation, "resourceVersion": "7", "uid": "u"});
    if let Some(says) = annotation {
        level["metadata"]["annotations"] = json!({AUTOUPDATE: says});
    }
    level
}

#[test]
fn objects_follow_unless_somebody_took_them_over() {
    let with_shares = |mut level: Value, shares: i32| {
        level["spec"]["limited"]["nominalConcurrencyShares"] = shares.into();
        level
    };
    let mut exempt = level("exempt", 2, Some("true"));
    exempt["spec"]["exempt"]["nominalConcurrencyShares"] = 10.into();
    for (case, object, annotated, respecified) in [
        ("as it should be", level("system", 1, Some("true")), None, false),
        ("changed, and kept", with_shares(level("system", 2, Some("true")), 1), Some("true"), true),
        ("changed, and taken over", with_shares(level("system", 2, Some("false")), 1), None, false),
        ("nobody said, as made", level("system", 1, None), Some("true"), false),
        ("nobody said, an old version's", with_shares(level("system", 1, None), 1), Some("true"), true),
        ("nobody said, changed", with_shares(level("system", 2, None), 1), Some("false"), false),
        ("mandatory", with_shares(level("catch-all", 2, Some("false")), 1), Some("true"), true),
        ("what exempt may have", exempt, None, false),
    ] {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let wanted =
            serde_json::to_value(bootstrap::levels().into_iter().find(|l| l.metadata.name.as_ref() == Some(&name)))
                .unwrap();
        let before = cache::object(object);
        let after = kept::<PriorityLevelConfiguration>(&before, &wanted);
        let says = after.as_ref().and_then(|after| after["metadata"]["annotations"][AUTOUPDATE].as_str());
        assert_eq!(says, annotated, "{case}");
        assert_eq!(after.is_some_and(|after| after["spec"] != before.tree()["spec"]), respecified, "{case}");
    }
}

#[test]
fn schemas_say_whether_their_level_is_there() {
    let (now, later) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + Duration::from_secs(9));
    let found = status(&json!({}), "x", true, now).unwrap();
    assert_eq!(
        found["conditions"][0]["message"],
        "This FlowSchema references the PriorityLevelConfiguration object named \"x\" and it exists"
    );
    assert_eq!(status(&json!({"status": found}), "x", true, later), None, "nothing new");
    let lost = status(&json!({"status": found}), "x", false, later).unwrap();
    assert_eq!(lost["conditions"].as_array().map(Vec::len), Some(1));
    assert_eq!(lost["conditions"][0]["status"], "True");
    assert_eq!(lost["conditions"][0]["reason"], "NotFound");
}

#[tokio::test]
async fn deleted_objects_come_back_and_unknown_ones_of_ours_go() {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    let client = api.admin();
    write_missing(&client).await.unwrap();
    let count = api.writes().len();
    assert_eq!(count, 21, "eight levels and thirteen schemas");
    write_missing(&client).await.unwrap();
    assert_eq!(api.writes().len(), count, "nothing was missing");

    let stop = CancellationToken::new();
    let context = Context { client: client.clone(), clients: api.clients(), clock, stop: stop.clone() };
    let running = tokio::spawn(async move { Keeper.run(context).await });
    let schema = |name: &str| Key::of::<FlowSchema>("", name);
    let is_told = |name: &str| {
        api.object(&schema(name)).is_some_and(|s| s.tree()["status"]["conditions"][0]["status"] == "False")
    };
    until("statuses are written", || is_told("catch-all") && is_told("probes")).await;

    client.delete(&schema("global-default"), DeleteOptions::default()).await.unwrap();
    let mut stale = serde_json::to_value(&bootstrap::schemas()[5]).unwrap();
    stale["metadata"]["name"] = "of-an-older-version".into();
    client.create(&GroupResource::of::<FlowSchema>(), "", stale.clone()).await.unwrap();
    stale["metadata"] = json!({"name": "a-users-own"});
    stale["spec"]["priorityLevelConfiguration"]["name"] = "ghost".into();
    client.create(&GroupResource::of::<FlowSchema>(), "", stale).await.unwrap();
    let dangles =
        || api.object(&schema("a-users-own")).is_some_and(|s| s.tree()["status"]["conditions"][0]["status"] == "True");
    until("the keeper is done", || {
        is_told("global-default") && api.object(&schema("of-an-older-version")).is_none() && dangles()
    })
    .await;
    settle().await;
    let quiet = api.writes().len();
    settle().await;
    assert_eq!(api.writes().len(), quiet, "it does not go on");
    stop.cancel();
    running.await.unwrap().unwrap();
}
