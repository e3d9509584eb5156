//! `kernel up` killed at any moment: what it acknowledged is there afterwards, and time does not go back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::sync::Notify;

mod client;
#[path = "../support/mod.rs"]
mod support;

use client::Client;
use support::{Place, Running};

const NAME: &str = "crash-test";
const WRITERS: usize = 4;
const COLLECTION: &str = "/api/v1/namespaces/crash/configmaps";

/// What the server acknowledged: names, and the resourceVersion of each.
#[derive(Default)]
struct Acknowledged {
    writes: Mutex<BTreeMap<String, u64>>,
    arrival: Notify,
}

impl Acknowledged {
    fn count(&self) -> usize {
        self.writes.lock().expect("nobody panics while counting").len()
    }

    fn newest(&self) -> u64 {
        self.writes.lock().expect("nobody panics while reading").values().max().copied().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kills() {
    let rounds = std::env::var("KERNEL_UP_KILL_CYCLES").map_or(5, |text| text.parse().expect("a number of rounds"));
    let seed: u64 = std::env::var("KERNEL_UP_KILL_SEED")
        .map_or_else(|_| rand::random(), |text| text.parse().expect("the seed of an earlier run"));
    println!("seed {seed}: repeat with KERNEL_UP_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let place = Place::new(NAME);
    let acknowledged = Arc::new(Acknowledged::default());

    for round in 0..rounds {
        // Some rounds end before the cluster is ready, after any of the steps that it tells.
        if random.random_bool(0.4) {
            let mut starting = Running::start(&place, place.up("none"));
            for _ in 0..random.random_range(0..6) {
                starting.next().expect("the start goes on");
            }
            starting.kill();
        }
        let mut running = Running::start(&place, place.up("none"));
        running.until("ready");
        if let Err(error) = check(&place, &acknowledged).await {
            panic!("round {round}: {error:#}: {}", running.log());
        }
        let wanted = acknowledged.count() + random.random_range(1..200);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(place.kubeconfig(), round, writer, acknowledged.clone())))
            .collect();
        while acknowledged.count() < wanted {
            tokio::select! {
                () = acknowledged.arrival.notified() => {}
                // All connections broke: the process ended by itself.
                () = async { while !writers.iter().all(tokio::task::JoinHandle::is_finished) { tokio::task::yield_now().await } } => {
                    panic!("round {round}: the writers ended early: {}", running.log());
                }
            }
        }
        running.kill();
        for writer in writers {
            writer.await.expect("a writer ends when its connection breaks");
        }
    }
    let mut running = Running::start(&place, place.up("none"));
    running.until("ready");
    check(&place, &acknowledged).await.unwrap_or_else(|error| panic!("{error:#}: {}", running.log()));
    println!("{rounds} kills, {} acknowledged writes, newest {}", acknowledged.count(), acknowledged.newest());
    rustix::process::kill_process(running.pid(), rustix::process::Signal::TERM).expect("a running process");
    assert!(running.wait().success(), "{}", running.log());
}

/// Creates objects, one after the other, until the connection breaks.
async fn write(kubeconfig: std::path::PathBuf, round: usize, writer: usize, acknowledged: Arc<Acknowledged>) {
    let Ok(mut client) = Client::connect(&kubeconfig, NAME).await else { return };
    for number in 0.. {
        let name = format!("r{round}-w{writer}-{number}");
        let object = json!({"metadata": {"name": name}, "data": {"k": "v".repeat(number % 500)}});
        let Ok((code, answer)) = client.send("POST", COLLECTION, Some(&object)).await else { return };
        assert_eq!(code, 201, "{answer}");
        let version = version(&answer["metadata"]["resourceVersion"]);
        acknowledged.writes.lock().expect("nobody panics while writing").insert(name, version);
        acknowledged.arrival.notify_one();
    }
}

/// Everything acknowledged is there as it was, and what comes now is newer.
async fn check(place: &Place, acknowledged: &Acknowledged) -> Result<()> {
    let mut client = Client::connect(&place.kubeconfig(), NAME).await?;
    let namespace = json!({"metadata": {"name": "crash"}});
    let (code, answer) = client.send("POST", "/api/v1/namespaces", Some(&namespace)).await?;
    assert!(code == 201 || code == 409, "{answer}");
    let (code, list) = client.send("GET", COLLECTION, None).await?;
    assert_eq!(code, 200, "{list}");
    let items = list["items"].as_array().expect("a list has items");
    let found: BTreeMap<&str, u64> = items
        .iter()
        .map(|item| {
            (item["metadata"]["name"].as_str().unwrap_or_default(), version(&item["metadata"]["resourceVersion"]))
        })
        .collect();
    let newest = acknowledged.newest();
    for (name, version) in acknowledged.writes.lock().expect("nobody panics while reading").iter() {
        assert_eq!(found.get(name.as_str()), Some(version), "{name} was acknowledged");
    }
    let now = version(&list["metadata"]["resourceVersion"]);
    let shown = found.values().max().copied().unwrap_or_default();
    assert!(now >= newest && now >= shown, "resourceVersion {now}, after {newest} and {shown}");
    let probe = json!({"metadata": {"generateName": "probe-"}});
    let (code, answer) = client.send("POST", COLLECTION, Some(&probe)).await?;
    assert_eq!(code, 201, "{answer}");
    let next = version(&answer["metadata"]["resourceVersion"]);
    assert!(next > now, "resourceVersion {next} was given after {now}");
    Ok(())
}

fn version(value: &serde_json::Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no resourceVersion"))
}
