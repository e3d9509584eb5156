//! The power goes at any operation of the disk, also while a store is opened; the next start must find every
//! acknowledged write, no half of a commit, and each event exactly once.
//!
//! `KERNEL_STORE_POWER_FAILS` sets how many failures are tried (default 2,000), `KERNEL_STORE_SEED` the first seed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use kernel_store::suite::{ManualClock, Model, Seeded, random_commit};
use kernel_store::{Commit, Error, FaultDisk, LogStore, OpenError, Options, Store};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// What one seed does: a cluster that lives through several failures on one disk.
struct Run {
    random: Seeded,
    disk: FaultDisk,
    model: Model,
    /// Commits that were never answered: each may or may not have happened.
    unknown: Vec<Commit>,
    /// What the last life showed to readers.
    shown: u64,
    failures: u64,
}

#[derive(Default)]
struct Seen {
    torn: AtomicU64,
    while_opening: AtomicU64,
    unanswered_kept: AtomicU64,
    checkpoints: AtomicU64,
    kills: AtomicU64,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: Seeded::new(seed),
            disk: FaultDisk::new(),
            model: Model::default(),
            unknown: Vec::new(),
            shown: 0,
            failures: 0,
        }
    }

    fn options(&mut self) -> Options {
        Options {
            disk: Arc::new(self.disk.clone()),
            segment_bytes: 1_500 + self.random.below(4_000),
            ahead_bytes: self.random.below(1_500),
            checkpoint_bytes: 2_000 + self.random.below(8_000),
            background: self.random.below(4) == 0,
            ..Options::new("data", Arc::new(ManualClock::default()))
        }
    }

    /// Takes the power away, or just the process, so that what was not synced is at stake once more.
    fn crash(&mut self, seen: &Seen) {
        self.failures += 1;
        if self.random.below(4) == 0 {
            seen.kills.fetch_add(1, Ordering::Relaxed);
            self.disk = self.disk.revive();
        } else {
            self.disk = self.disk.reboot(self.random.next());
        }
    }

    fn open(&mut self, seen: &Seen) -> LogStore {
        loop {
            if self.random.below(3) == 0 {
                let operations = self.random.below(12);
                self.disk.cut_power_in(operations);
            }
            match LogStore::open(self.options()) {
                Ok((store, report)) => {
                    seen.torn.fetch_add(report.torn.is_some().into(), Ordering::Relaxed);
                    seen.checkpoints.fetch_add(report.checkpoint.is_some().into(), Ordering::Relaxed);
                    assert!(report.skipped.is_empty(), "a crash damages no checkpoint: {:?}", report.skipped);
                    return store;
                }
                Err(OpenError::Io { .. }) if self.disk.is_off() => {
                    seen.while_opening.fetch_add(1, Ordering::Relaxed);
                    self.crash(seen);
                }
                Err(other) => panic!("a crash must never look like damage: {other}"),
            }
        }
    }

    async fn live(&mut self, seen: &Seen) {
        let store = self.open(seen);
        assert!(store.revision() >= self.shown.max(self.model.revision()), "what was shown to readers stays");
        let before = self.unknown.len();
        self.model.learn_more(&store, &mut self.unknown);
        seen.unanswered_kept.fetch_add((before - self.unknown.len()) as u64, Ordering::Relaxed);
        self.unknown.clear();
        if !self.model.facts.is_empty() {
            self.model.check(&store, &mut self.random);
        }
        let operations = self.random.below(80);
        self.disk.cut_power_in(operations);
        while self.unknown.is_empty() {
            let attempts: Vec<Commit> =
                (0..1 + self.random.below(3)).map(|_| random_commit(&self.model, &mut self.random)).collect();
            let outcomes = join_all(attempts.iter().map(|attempt| store.commit(attempt.clone()))).await;
            let mut done = Vec::new();
            for (attempt, outcome) in attempts.into_iter().zip(outcomes) {
                match outcome {
                    Ok(committed) => done.push((attempt, committed)),
                    Err(Error::Precondition { .. }) => {}
                    Err(Error::Unavailable { .. }) => self.unknown.push(attempt),
                    Err(other) => panic!("{other}"),
                }
            }
            done.sort_by_key(|(_, committed)| committed.objects[0].revision());
            done.iter().for_each(|(attempt, committed)| self.model.learn_done(attempt, committed));
        }
        self.shown = store.revision();
        assert_eq!(self.shown, self.model.revision().max(self.shown), "nothing is shown that was not acknowledged");
        drop(store);
        self.crash(seen);
    }
}

fn run(seed: u64, seen: &Seen) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut run = Run::new(seed);
    for _ in 0..5 {
        runtime.block_on(run.live(seen));
    }
    // The last failure is looked at as well.
    let store = run.open(seen);
    run.model.learn_more(&store, &mut run.unknown);
    run.model.check(&store, &mut run.random);
    run.failures
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let wanted = setting("KERNEL_STORE_POWER_FAILS", 2_000);
    let first = setting("KERNEL_STORE_SEED", 0);
    let (next, failures, seen) = (AtomicU64::new(first), AtomicU64::new(0), Seen::default());
    let work = || {
        while failures.load(Ordering::Relaxed) < wanted {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &seen)));
            match outcome {
                Ok(count) => failures.fetch_add(count, Ordering::Relaxed),
                Err(panic) => {
                    eprintln!("failed with KERNEL_STORE_SEED={seed}");
                    std::panic::resume_unwind(panic);
                }
            };
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    println!(
        "{} failures from seed {first} on: {} without power loss, {} while opening, {} torn tails, {} opened from a \
         checkpoint, {} unanswered commits had happened",
        count(&failures),
        count(&seen.kills),
        count(&seen.while_opening),
        count(&seen.torn),
        count(&seen.checkpoints),
        count(&seen.unanswered_kept)
    );
    if wanted >= 500 {
        for (what, of) in [("torn tails", &seen.torn), ("checkpoints", &seen.checkpoints), ("kills", &seen.kills)] {
            assert!(count(of) > 0, "the failures met no {what}");
        }
    }
    assert!(Path::new("data").metadata().is_err(), "nothing touched the real disk");
}
