//! A process with eight writers is killed at random, again and again on the same data.
//!
//! `KERNEL_STORE_KILL_CYCLES` sets how often (default 50), `KERNEL_STORE_SEED` the seed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use kernel_store::suite::{self, Seeded, commit, create, delete, resource, update};
use kernel_store::{Event, EventKind, LogStore, Options, Store};
use sdk_api::{GroupResource, Key, SystemClock};

const CHILD_DIR: &str = "KERNEL_STORE_CHILD_DIR";
const CHILD_SEED: &str = "KERNEL_STORE_CHILD_SEED";
const WRITERS: u64 = 8;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn open(dir: &Path) -> (LogStore, kernel_store::Recovery) {
    let options = Options {
        segment_bytes: 64 << 10,
        ahead_bytes: 8 << 10,
        checkpoint_bytes: 128 << 10,
        ..Options::new(dir, Arc::new(SystemClock::default()))
    };
    LogStore::open(options).unwrap_or_else(|error| panic!("{error}"))
}

fn collections() -> [GroupResource; 2] {
    [resource("things"), resource("items")]
}

/// One line of the child: what it knows to have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    kind: String,
    key: String,
    body: String,
}

impl Fact {
    fn of(kind: EventKind, object: &sdk_api::Object) -> Self {
        Self { kind: format!("{kind:?}"), key: object.key().to_string(), body: suite::body(object) }
    }

    fn line(&self, word: &str, revision: u64) -> String {
        format!("@{word}|{revision}|{}|{}|{}\n", self.kind, self.key, self.body)
    }

    fn parse(line: &str) -> Option<(u64, Self)> {
        let parts: Vec<&str> = line.strip_prefix('@')?.strip_suffix('\n')?.split('|').collect();
        let [_, revision, kind, key, body] = parts[..] else { panic!("{line:?}") };
        Some((revision.parse().unwrap(), Self { kind: kind.into(), key: key.into(), body: body.into() }))
    }
}

fn say(line: &str) {
    // One line is one write to the pipe; without a reader there is nobody to work for.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(1);
    }
}

/// The process that gets killed; without its setting this is no test.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let seed = setting(CHILD_SEED, 0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&dir)).0);
        let readers = collections().map(|collection| tokio::spawn(read(store.clone(), collection)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(store.clone(), writer, Seeded::new(seed * 100 + writer))))
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        readers.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

/// Writes its own keys for ever, and says what was acknowledged.
async fn write(store: Arc<LogStore>, writer: u64, mut random: Seeded) {
    for step in 0..1_000_000 {
        let collection = &collections()[random.below(2) as usize];
        let name = |number: u64| Key::new(collection, "a", &format!("w{writer}-n{number}"));
        let first = random.below(16);
        let count = if random.below(8) == 0 { 3 } else { 1 };
        let padding = "x".repeat(random.below(2_000) as usize);
        let writes = (first..first + count).map(|number| {
            let key = name(number);
            let body = format!("w{writer} {} {step} {padding}", random.next());
            match store.get(&key) {
                None => create(&key, &body),
                Some(old) if random.below(5) == 0 => delete(&key, old.revision()),
                Some(old) => update(&key, old.revision(), &body),
            }
        });
        let attempt = commit(writes);
        let kinds: Vec<_> = attempt.writes.iter().map(|write| write.put.is_some()).collect();
        let done = store.commit(attempt).await.expect("nobody else writes these keys");
        for (object, put) in done.objects.iter().zip(kinds) {
            let kind = match (put, store.history(object.key()).iter().find(|h| h.event.revision() == object.revision()))
            {
                (_, Some(kept)) => kept.event.kind,
                (false, None) => EventKind::Deleted,
                // Forgotten since: which of the two it was is not known any more.
                (true, None) => continue,
            };
            say(&Fact::of(kind, object).line("ack", object.revision()));
        }
    }
}

/// Says what a watch was shown, which must stay as well.
async fn read(store: Arc<LogStore>, collection: GroupResource) {
    let mut changes = store.changes(&collection);
    let mut at = store.revision();
    loop {
        let (events, complete) = store.events(&collection, at, 100).expect("the history is long enough");
        at = complete;
        for event in &events {
            say(&Fact::of(event.kind, &event.object).line("saw", event.revision()));
        }
        if events.len() < 100 && changes.changed().await.is_err() {
            return;
        }
    }
}

/// What the parent knows, over all cycles.
#[derive(Default)]
struct Known {
    facts: BTreeMap<u64, Fact>,
    /// Revisions behind which a torn end was cut off: the next may be any higher one.
    cuts: Vec<u64>,
}

impl Known {
    fn learn(&mut self, revision: u64, fact: Fact) {
        let known = self.facts.entry(revision).or_insert_with(|| fact.clone());
        assert_eq!(*known, fact, "revision {revision} was used twice");
    }

    /// Looks at the store as a new process finds it.
    fn check(&mut self, dir: &Path) {
        let (store, report) = open(dir);
        if report.torn.is_some() {
            self.cuts.push(store.revision());
        }
        let newest = self.facts.keys().next_back().copied().unwrap_or(0);
        assert!(store.revision() >= newest, "{newest} was acknowledged, {} is the newest", store.revision());
        let floor = store.floor().0;
        let mut events: Vec<Arc<Event>> = Vec::new();
        for collection in collections() {
            events.extend(store.events(&collection, floor, usize::MAX).unwrap().0);
        }
        events.sort_by_key(|event| event.revision());
        let mut expected = floor;
        for event in &events {
            let gap = event.revision() != expected + 1 && !self.cuts.contains(&expected);
            assert!(event.revision() > expected && !gap, "{} follows {expected}", event.revision());
            expected = event.revision();
            self.learn(event.revision(), Fact::of(event.kind, &event.object));
        }
        let shown: Vec<u64> = events.iter().map(|event| event.revision()).collect();
        // The floor may lie in the middle of what the process had acknowledged.
        let first = self.facts.range(floor.max(1) + 1..).map(|(revision, _)| *revision);
        assert_eq!(first.collect::<Vec<_>>(), shown, "every acknowledged write is an event");

        let mut newest_of: BTreeMap<&str, (u64, &Fact)> = BTreeMap::new();
        for (revision, fact) in &self.facts {
            newest_of.insert(&fact.key, (*revision, fact));
        }
        let mut standing = 0;
        for collection in collections() {
            let query =
                kernel_store::ListQuery { resource: collection, namespace: None, at: None, after: None, limit: 0 };
            for object in store.list(&query).unwrap().objects {
                standing += 1;
                let (revision, fact) = newest_of[object.key().to_string().as_str()];
                // Newer than all that is known: acknowledged, checkpointed and killed before the line was written.
                let unknown = object.revision() > revision && object.revision() <= floor;
                let same = object.revision() == revision && suite::body(&object) == fact.body;
                assert!(unknown || same && fact.kind != "Deleted", "{object:?} stands, {revision} {fact:?} is known");
            }
        }
        let alive = newest_of.values().filter(|(_, fact)| fact.kind != "Deleted").count();
        let unknown = newest_of.values().filter(|(revision, _)| *revision <= floor).count();
        assert!(standing + unknown >= alive, "{standing} of {alive} objects stand");
        for (revision, fact) in
            newest_of.values().filter(|(revision, fact)| *revision > floor && fact.kind != "Deleted")
        {
            let (_, path) = fact.key.split_once(' ').unwrap();
            let (collection, (namespace, name)) = (fact.key.split_once(' ').unwrap().0, path.split_once('/').unwrap());
            let key = Key::new(&GroupResource::parse(collection), namespace, name);
            assert_eq!(store.get(&key).map(|object| object.revision()), Some(*revision), "{key}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let (cycles, seed) = (setting("KERNEL_STORE_KILL_CYCLES", 50), setting("KERNEL_STORE_SEED", 1));
    println!("{cycles} cycles, seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut random = Seeded::new(seed);
    let mut known = Known::default();
    for cycle in 0..cycles {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .env(CHILD_SEED, (seed * 1_000 + cycle).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // Killed after some line, which is any moment for the rest of it.
        let mut left = 1 + random.below(1_500);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap() > 0 {
            // The line that was being written is in half.
            if let Some((revision, fact)) = Fact::parse(&String::from_utf8_lossy(&line)) {
                known.learn(revision, fact);
                left = left.saturating_sub(1);
            }
            line.clear();
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(left, 0, "the child ended by itself in cycle {cycle}");
        known.check(dir.path());
    }
    println!("{} revisions, {} torn ends", known.facts.len(), known.cuts.len());
}
