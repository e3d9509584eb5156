//! Several stores on one etcd: what one writes the others read; other programs; compaction by one of all; TLS.

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kernel_store::suite::{ManualClock, body, commit, create, delete, resource, update, value};
use kernel_store::{Error, EventKind, Store, Write};
use kernel_store_etcd::testing::Etcd;
use kernel_store_etcd::{Address, EtcdStore, Options, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sdk_api::{Clock, Key};
use support::{churn, done, open, options};

fn key(name: &str) -> Key {
    Key::new(&resource("things"), "a", name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consistent_read_shows_what_any_other_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let stores = [open(&etcd, "").await, open(&etcd, "").await, open(&etcd, "").await];
    let stranger = open(&etcd, "/elsewhere").await;
    let x = key("x");
    let mut revision = done(&*stores[0], create(&x, "0")).await.revision();
    for round in 1..200 {
        let reader = &stores[(round + 1) % 3];
        let at = reader.barrier().await.expect("etcd answers");
        assert!(at >= revision);
        assert_eq!(reader.get(&x).expect("created").revision(), revision, "round {round}");
        let write = update(&x, revision, &round.to_string());
        revision =
            done(&*stores[round % 3], Write { author: format!("writer {round}").into(), ..write }).await.revision();
        if round % 50 == 0 {
            churn(&*stranger, &key("theirs"), 5).await;
        }
    }
    for store in &stores {
        store.barrier().await.expect("etcd answers");
        let history = store.history(&x);
        assert_eq!((history.len(), &*history[0].event.author), (200, "writer 199"));
    }
    assert!(stranger.get(&x).is_none(), "another prefix is another store");

    // A deletion shows its final change everywhere, and who made it.
    let gone = Write { last: Some(value(&x, "at last")), author: "eve".into(), ..delete(&x, revision) };
    let gone = done(&*stores[1], gone).await.revision();
    stores[2].barrier().await.expect("etcd answers");
    let (events, _) = stores[2].events(&x.resource, revision, 9).expect("kept");
    let told = (events.len(), events[0].kind, events[0].revision(), body(&events[0].object), &*events[0].author);
    assert_eq!(told, (1, EventKind::Deleted, gone, "at last".into(), "eve"));
    // And nobody's stale precondition passes.
    for store in &stores {
        let stale = store.commit(commit([update(&x, revision, "late")])).await;
        assert!(matches!(stale, Err(Error::Precondition { current: None, .. })), "{stale:?}");
    }
}

/// Of many who write the same at once through different stores, one wins; the losers are shown the winner, and their own
/// reads show it from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_winner_among_stores() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let stores = [open(&etcd, "").await, open(&etcd, "").await];
    for round in 0..20 {
        let key = key(&format!("n{round}"));
        let tries = (0..8).map(|number| {
            let (store, key) = (stores[number % 2].clone(), key.clone());
            tokio::spawn(async move {
                let outcome = store.commit(commit([create(&key, &number.to_string())])).await;
                let seen = store.get(&key).expect("reads show what a commit ran into").revision();
                match outcome {
                    Ok(made) => (true, made.objects[0].revision(), seen),
                    Err(Error::Precondition { current: Some(current), .. }) => (false, current.revision(), seen),
                    other => panic!("{other:?}"),
                }
            })
        });
        let mut told = Vec::new();
        for attempt in tries.collect::<Vec<_>>() {
            told.push(attempt.await.expect("no panic"));
        }
        let winners: Vec<_> = told.iter().filter(|(won, ..)| *won).collect();
        assert_eq!(winners.len(), 1, "{told:?}");
        assert!(told.iter().all(|(_, revision, seen)| (*revision, *seen) == (winners[0].1, winners[0].1)), "{told:?}");
    }
}

/// A restarted server goes on with the events of before, as long as etcd has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_knows_what_etcd_still_has() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let clock = Arc::new(ManualClock::default());
    let compacting =
        || Options { clock: clock.clone(), compaction: Some(Duration::from_secs(300)), ..options(&etcd, "") };
    let stores = [
        EtcdStore::open(compacting()).await.expect("etcd answers"),
        EtcdStore::open(compacting()).await.expect("etcd answers"),
    ];
    let x = key("x");
    let before = churn(&stores[0], &x, 10).await;
    let mut kept = 0;
    for round in 1..=3 {
        // Both compactors' rounds; each round notes a revision, and the next one compacts to it.
        while clock.sleepers() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        clock.advance(Duration::from_secs(300));
        let now = churn(&stores[round % 2], &x, 10).await;
        kept = if round == 2 { now } else { kept };
    }
    while clock.sleepers() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let fresh = EtcdStore::open(Options { clock: clock.clone(), ..options(&etcd, "") }).await.expect("etcd answers");
    assert!(fresh.floor().0 > before, "etcd was compacted: {} {before}", fresh.floor().0);
    assert!(fresh.floor().0 <= kept, "the last five minutes are there");
    let (events, _) = fresh.events(&x.resource, kept, 100).expect("kept");
    let (wanted, _) = stores[0].events(&x.resource, kept, 100).expect("kept");
    let told = |events: &[Arc<kernel_store::Event>]| -> Vec<_> {
        events.iter().map(|e| (e.revision(), e.kind, e.object.raw().clone(), e.author.clone(), e.time)).collect()
    };
    assert_eq!(told(&events), told(&wanted));
    assert_eq!(events.len(), 10);
}

fn etcdctl(etcd: &Etcd, arguments: &[&str]) -> Option<String> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &format!("127.0.0.1:{}", etcd.port)])
        .args(arguments)
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Values are plain JSON that other tools read, and what they write or delete is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_read_and_write_there_too() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let store = open(&etcd, "/mine").await;
    let x = key("x");
    let made = done(&*store, create(&x, "hello")).await;
    let mut changes = store.changes(&x.resource);
    changes.mark_unchanged();
    let path = "/mine/suite.example/things/a/x";
    let Some(shown) = etcdctl(&etcd, &["get", path, "--print-value-only"]) else {
        println!("left out: no etcdctl here (package etcd-client)");
        return;
    };
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["body"], &shown["metadata"]["resourceVersion"]), (&"hello".into(), &"".into()));
    etcdctl(&etcd, &["put", path, r#"{"metadata":{"name":"x","resourceVersion":"1"},"body":"theirs"}"#]);
    etcdctl(&etcd, &["put", "/mine/no/object", "garbage"]);
    etcdctl(&etcd, &["put", "/mine/suite.example/things/a/broken", "garbage"]);
    etcdctl(&etcd, &["del", path]);
    while store.get(&x).is_some() {
        changes.changed().await.expect("the store lives");
    }
    let (events, _) = store.events(&x.resource, made.revision(), 9).expect("kept");
    let told: Vec<_> = events.iter().map(|event| (event.kind, body(&event.object), &*event.author)).collect();
    assert_eq!(told, [(EventKind::Updated, "theirs".into(), ""), (EventKind::Deleted, "theirs".into(), "")]);
    assert!(events.iter().all(|e| e.object.meta().resource_version == e.revision().to_string()));
    assert_eq!(store.count(&x.resource), 0, "what is no JSON object is no object");
}

/// Certificates: an authority, a server's, a client's, and a client's of somebody else.
fn certificates(dir: &std::path::Path) {
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    let authority = || {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let issue = |(ca, ca_key): &(String, String), name: &str| {
        let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(ca_key).unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        write(&format!("{name}.crt"), parameters.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    };
    let (ours, theirs) = (authority(), authority());
    write("ca.crt", ours.0.clone());
    write("other-ca.crt", theirs.0.clone());
    issue(&ours, "server");
    issue(&ours, "client");
    issue(&theirs, "stranger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_proves_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let etcd = Etcd::start_with_tls(dir.path());
    let at = |name: &str| dir.path().join(name);
    let files = |ca: &str, client: Option<&str>| TlsFiles {
        ca: at(ca),
        client: client.map(|name| (at(&format!("{name}.crt")), at(&format!("{name}.key")))),
    };
    let open = async |tls: Option<TlsFiles>| {
        // A first endpoint at which nobody listens must not matter.
        let text = format!("etcd://127.0.0.1:1,localhost:{}/tls", etcd.port);
        let address = Address::parse(&text, tls).expect("an address");
        EtcdStore::open(Options { address, ..options(&etcd, "") }).await
    };
    let store = open(Some(files("ca.crt", Some("client")))).await.expect("both sides are proven");
    done(&store, create(&key("x"), "")).await;
    let other = open(Some(files("ca.crt", Some("client")))).await.expect("both sides are proven");
    assert!(other.get(&key("x")).is_some());
    assert!(Clock::now(&sdk_api::SystemClock::default()) > store.history(&key("x"))[0].event.time);
    let (no_one, stranger) = (open(Some(files("ca.crt", None))), open(Some(files("ca.crt", Some("stranger")))));
    let (wrong_ca, plain) = (open(Some(files("other-ca.crt", Some("client")))), open(None));
    let refused = tokio::join!(no_one, stranger, wrong_ca, plain);
    for (case, outcome) in [
        ("no certificate", refused.0),
        ("a stranger's", refused.1),
        ("another authority", refused.2),
        ("no TLS", refused.3),
    ] {
        let error = outcome.err().unwrap_or_else(|| panic!("{case} was let in")).to_string();
        assert!(error.contains("does not answer"), "{case}: {error}");
        println!("{case}: {error}");
    }
}
