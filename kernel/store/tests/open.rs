//! Opening a data directory: what stays over a restart, and each way in which it is refused.

use std::path::Path;
use std::sync::Arc;

use kernel_store::suite::{self, ManualClock, Model, Seeded, commit, create, delete, resource, update};
use kernel_store::{Disk, Error, FaultDisk, LogStore, OpenError, Options, RealDisk, Recovery, Store};
use sdk_api::Key;

fn small(disk: Arc<dyn Disk>, dir: &Path) -> Options {
    Options {
        disk,
        segment_bytes: 8_192,
        ahead_bytes: 1_024,
        checkpoint_bytes: 20_000,
        background: false,
        ..Options::new(dir, Arc::new(ManualClock::default()))
    }
}

fn real(dir: &Path) -> Options {
    small(Arc::new(RealDisk), dir)
}

fn key(name: &str) -> Key {
    Key::new(&resource("things"), "a", name)
}

async fn fill(store: &LogStore, model: &mut Model, random: &mut Seeded, commits: usize) {
    for _ in 0..commits {
        let attempt = suite::random_commit(model, random);
        let outcome = store.commit(attempt.clone()).await;
        model.learn(&attempt, &outcome);
    }
}

#[tokio::test]
async fn everything_stays_over_restarts() {
    for seed in 0..4 {
        println!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let (mut model, mut random) = (Model::default(), Seeded::new(seed));
        let mut checkpoints = 0;
        for round in 0..6 {
            let (store, report) = LogStore::open(real(dir.path())).unwrap();
            assert_eq!((report.revision, report.floor), (store.revision(), store.floor().0));
            assert_eq!((report.torn.clone(), report.skipped.len()), (None, 0));
            assert_eq!(report.checkpoint.unwrap_or(0), report.floor, "nothing older can be read");
            if round > 0 {
                model.check(&store, &mut random);
            }
            checkpoints += usize::from(report.checkpoint.is_some());
            fill(&store, &mut model, &mut random, 60).await;
            model.check(&store, &mut random);
            if round % 2 == 0 {
                store.close().await;
            }
        }
        assert!(checkpoints > 0, "checkpoints took the place of the log");
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert!(files <= 2 + 1 + 12, "old files are removed: {files}");
    }
}

#[tokio::test]
async fn times_and_authors_stay() {
    let dir = tempfile::tempdir().unwrap();
    let history = |store: &LogStore| -> Vec<_> {
        let kept = store.history(&key("x"));
        kept.iter().map(|h| (h.event.kind, h.event.revision(), h.event.time, h.event.author.clone())).collect()
    };
    let (store, _) = LogStore::open(real(dir.path())).unwrap();
    let created = store.commit(commit([create(&key("x"), "1")])).await.unwrap().objects[0].revision();
    store.commit(commit([update(&key("x"), created, "2")])).await.unwrap();
    let before = history(&store);
    drop(store);
    let (store, report) = LogStore::open(real(dir.path())).unwrap();
    assert_eq!((history(&store), report.replayed, report.objects), (before, 2, 1));
}

#[tokio::test]
async fn a_deletion_after_a_restart_finds_the_revision() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = LogStore::open(real(dir.path())).unwrap();
    let created = store.commit(commit([create(&key("x"), "as it was")])).await.unwrap().objects[0].revision();
    drop(store);
    let (store, _) = LogStore::open(real(dir.path())).unwrap();
    let gone = store.commit(commit([delete(&key("x"), created)])).await.unwrap().objects[0].clone();
    assert_eq!(*gone.raw(), suite::value(&key("x"), "as it was").fill(gone.revision()));
}

#[test]
fn a_directory_in_use_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = LogStore::open(real(dir.path())).unwrap();
    let Err(OpenError::InUse { holder, .. }) = LogStore::open(real(dir.path())).map(drop) else { panic!("in use") };
    assert_eq!(holder, Some(std::process::id().to_string()));
    let message = LogStore::open(real(dir.path())).map(drop).unwrap_err().to_string();
    assert!(message.contains("--data-dir") && message.lines().count() == 1, "{message}");
    drop(first);
    LogStore::open(real(dir.path())).unwrap();
}

#[tokio::test]
async fn a_closed_store_gives_the_directory_back() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = LogStore::open(real(dir.path())).unwrap();
    first.close().await;
    LogStore::open(real(dir.path())).unwrap();
}

#[test]
fn a_newer_format_is_left_alone() {
    for (name, offset, bytes) in
        [("FORMAT", 0, &b"kubernel-store 2\n"[..]), ("log-00000000000000000001", 8, &[2, 0, 0, 0])]
    {
        let dir = tempfile::tempdir().unwrap();
        drop(LogStore::open(real(dir.path())).unwrap());
        let file = RealDisk.open(&dir.path().join(name)).unwrap();
        file.write_at(offset, bytes).unwrap();
        let error = LogStore::open(real(dir.path())).map(drop).unwrap_err();
        assert!(matches!(&error, OpenError::Newer { found: 2, supported: 1, .. }), "{name}: {error}");
    }
}

/// Two segments with ten records each, and where the records are.
async fn two_segments(dir: &Path) -> Vec<(String, u64)> {
    let options = Options { segment_bytes: 4_000, checkpoint_bytes: u64::MAX, ..real(dir) };
    let (store, _) = LogStore::open(options).unwrap();
    let mut places = Vec::new();
    for number in 0..20 {
        store.commit(commit([create(&key(&format!("n{number}")), "some text to be damaged")])).await.unwrap();
    }
    for name in ["log-00000000000000000001", "log-00000000000000000002"] {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        let begins = |at: &usize| bytes[*at..].starts_with(&[0xff, b'K', b'F', 0xfe]);
        places.extend((0..bytes.len()).filter(begins).map(|at| (name.to_owned(), at as u64)));
    }
    assert_eq!(places.len(), 20);
    places
}

fn flip(path: &Path, offset: u64) {
    let file = RealDisk.open(path).unwrap();
    let mut byte = [0];
    file.read_at(offset, &mut byte).unwrap();
    file.write_at(offset, &[byte[0] ^ 1]).unwrap();
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_and_a_torn_end_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let places = two_segments(dir.path()).await;
    for (number, (name, offset)) in places.iter().enumerate() {
        // The magic, the length, the revision, the checksum, the record's text.
        for within in [0, 5, 9, 21, 60] {
            let case = format!("record {number} of {name}, byte {within}");
            let copy = tempfile::tempdir().unwrap();
            for entry in std::fs::read_dir(dir.path()).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            flip(&copy.path().join(name), offset + within);
            let opened = LogStore::open(real(copy.path()));
            if number < 19 {
                let error = opened.map(drop).unwrap_err();
                let OpenError::Corrupt { file, offset: at, .. } = &error else { panic!("{case}: {error}") };
                assert_eq!((file.as_path(), at), (copy.path().join(name).as_path(), offset), "{case}: {error}");
                assert!(error.to_string().contains(name) && error.to_string().contains(&offset.to_string()));
                continue;
            }
            let (store, report) = opened.unwrap();
            let torn = report.torn.expect(&case);
            assert_eq!((torn.file, torn.offset), (copy.path().join(name), *offset), "{case}");
            assert_eq!((store.revision(), store.count(&resource("things"))), (20, 19), "{case}");
            let next = store.commit(commit([create(&key("next"), "")])).await.unwrap().objects[0].revision();
            assert!(next > 21, "the revision that was cut off is not used again: {next}");
            drop(store);
            let (store, report) = LogStore::open(real(copy.path())).unwrap();
            assert_eq!((report.torn, store.revision(), store.count(&resource("things"))), (None, next, 20), "{case}");
        }
    }
}

#[tokio::test]
async fn a_log_cut_anywhere_in_its_last_record_opens() {
    let dir = tempfile::tempdir().unwrap();
    let places = two_segments(dir.path()).await;
    let (name, last) = places.last().unwrap();
    let bytes = std::fs::read(dir.path().join(name)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    for cut in (*last..end).step_by(7) {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        RealDisk.open(&copy.path().join(name)).unwrap().set_size(cut).unwrap();
        let (store, report) = LogStore::open(real(copy.path())).unwrap();
        assert_eq!((store.revision(), report.torn.is_some()), (20, cut > *last), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    two_segments(dir.path()).await;
    let path = dir.path().join("log-00000000000000000001");
    std::fs::remove_file(&path).unwrap();
    let error = LogStore::open(real(dir.path())).map(drop).unwrap_err();
    assert!(matches!(&error, OpenError::Missing { file } if *file == path), "{error}");
}

#[tokio::test]
async fn a_damaged_checkpoint_is_refused_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (mut model, mut random) = (Model::default(), Seeded::new(1));
    let checkpoint = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("checkpoint-"));
        names.pop()
    };
    let (store, _) = LogStore::open(real(dir.path())).unwrap();
    let first = loop {
        fill(&store, &mut model, &mut random, 1).await;
        if let Some(first) = checkpoint(dir.path()) {
            break first;
        }
    };
    drop(store);
    let length = std::fs::metadata(&first).unwrap().len();
    for at in [0, 17, 50, length / 2, length - 1] {
        flip(&first, at);
        let error = LogStore::open(real(dir.path())).map(drop).unwrap_err();
        assert!(matches!(&error, OpenError::Corrupt { file, .. } if *file == first), "byte {at}: {error}");
        flip(&first, at);
    }
    // An older checkpoint with the log behind it, as a crash before the removal of old files leaves them.
    let keep = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), keep.path().join(entry.file_name())).unwrap();
    }
    let (store, _) = LogStore::open(Options { checkpoint_bytes: u64::MAX, ..real(dir.path()) }).unwrap();
    fill(&store, &mut model, &mut random, 50).await;
    drop(store);
    std::fs::write(dir.path().join("checkpoint-00000000000000009999"), "nothing").unwrap();
    let (store, report) = LogStore::open(real(dir.path())).unwrap();
    assert_eq!(report.skipped.len(), 1);
    model.check(&store, &mut random);
}

#[tokio::test]
async fn a_broken_disk_stops_writes_and_not_reads() {
    for broken_after in 0..6 {
        let disk = FaultDisk::new();
        let (store, _) = LogStore::open(small(Arc::new(disk.clone()), Path::new("data"))).unwrap();
        let created = store.commit(commit([create(&key("x"), "")])).await.unwrap().objects[0].revision();
        disk.break_in(broken_after);
        let mut revision = created;
        let refused = loop {
            match store.commit(commit([update(&key("x"), revision, "y")])).await {
                Ok(done) => revision = done.objects[0].revision(),
                Err(error) => break error,
            }
        };
        assert!(matches!(&refused, Error::Unavailable { .. }), "{refused}");
        assert_eq!(store.get(&key("x")).unwrap().revision(), revision, "what failed is not shown");
        let again = store.commit(commit([create(&key("z"), "")])).await;
        assert!(matches!(again, Err(Error::Unavailable { .. })));
        let stale = store.commit(commit([create(&key("x"), "")])).await;
        assert!(matches!(stale, Err(Error::Unavailable { .. })), "nothing is promised any more");
        assert_eq!(store.revision(), revision);
    }
}

#[test]
fn an_empty_directory_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = LogStore::open(real(&dir.path().join("several/levels/down"))).unwrap();
    assert_eq!(store.revision(), 1);
    let Recovery { revision, floor, objects, checkpoint, replayed, torn, .. } = report;
    assert_eq!((revision, floor, objects, checkpoint, replayed, torn), (1, 0, 0, None, 0, None));
}
