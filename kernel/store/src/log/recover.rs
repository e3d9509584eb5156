//! Opening a data directory: the newest valid checkpoint, then the log behind it, and what a crash left.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sdk_api::{GroupResource, Key, Object};

use super::checkpoint::drop_older;
use super::disk::Disk;
use super::error::{OpenError, Recovery, Torn};
use super::frame::{BadHeader, FORMAT, FileHeader, FileKind, FrameHeader, Record};
use super::names::{FORMAT_FILE, UNFINISHED, parse, path};
use super::scan::{Next, Scan};
use super::segment::{Layout, Segment};
use crate::index::{Change, FIRST_REVISION, Index, Version};
use crate::{Event, EventKind};

/// What is needed to go on writing.
pub(crate) struct Recovered {
    pub index: Index,
    pub segment: Segment,
    /// The revision of the next write.
    pub next: u64,
    /// Bytes of log behind the checkpoint, and of the checkpoint.
    pub log_bytes: u64,
    pub checkpoint_bytes: u64,
    pub report: Recovery,
}

/// Reads a directory that this process has locked.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    layout: Layout,
    new_index: impl Fn() -> Index,
) -> Result<Recovered, OpenError> {
    let list = || disk.list(dir).map_err(OpenError::io("list", dir));
    let names = list()?;
    let is_new = !names.iter().any(|name| name == FORMAT_FILE);
    if !is_new {
        check_format(disk, dir)?;
    }
    for left_over in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
        let path = dir.join(left_over);
        disk.remove(&path).map_err(OpenError::io("remove", &path))?;
    }
    if is_new {
        write_format(disk, dir)?;
    }
    // Names that a killed process made may not be durable yet, and what is read here counts as durable from here on.
    disk.sync_dir(dir).map_err(OpenError::io("sync", dir))?;

    let (mut segments, mut checkpoints) = (Vec::new(), Vec::new());
    for (kind, number) in names.iter().filter_map(|name| parse(name)) {
        match kind {
            FileKind::Segment => segments.push(number),
            FileKind::Checkpoint => checkpoints.push(number),
        }
    }
    segments.sort_unstable();
    checkpoints.sort_unstable_by(|a, b| b.cmp(a));

    let mut report = Recovery::default();
    let base = load_newest(disk, dir, &checkpoints, &segments, &new_index, &mut report)?;
    let mut replay = Replay { index: base.index, names: base.names, next: base.revision + 1, writes: 0 };
    let log = replay.run(disk, dir, base.segment, &segments)?;

    let segment = match log.last {
        Some(last) if last.torn.is_none() => {
            // Frames that a killed process wrote but did not sync are shown from here on, so they must stay.
            let file = last.scan.into_file();
            let size = file.size().map_err(OpenError::io("read", &last.path))?;
            file.sync().map_err(OpenError::io("sync", &last.path))?;
            Segment::resume(file, last.number, last.end, size)
        }
        last => {
            let number = last.as_ref().map_or(base.segment, |last| last.number + 1);
            if let Some(last) = last {
                let file = last.scan.into_file();
                file.set_size(last.end).map_err(OpenError::io("cut", &last.path))?;
                // Before the next segment exists: a torn record in a segment that is not the last is damage.
                file.sync().map_err(OpenError::io("sync", &last.path))?;
                let torn = last.torn.expect("the other arm takes the untorn");
                // Each write takes far more than a byte of log, so none of the revisions lost here is given again.
                replay.next += torn.bytes;
                report.torn = Some(torn);
            }
            Segment::create(disk, dir, layout, number, replay.next).map_err(OpenError::io("start a segment in", dir))?
        }
    };
    if let Some(revision) = report.checkpoint {
        drop_older(&**disk, dir, revision, base.segment).map_err(OpenError::io("remove old files in", dir))?;
    }
    let Replay { index, next, writes, .. } = replay;
    report.revision = index.revision();
    report.floor = index.floor().0;
    report.objects = index.collections().iter().map(|collection| collection.read().count()).sum();
    report.replayed = writes;
    Ok(Recovered { index, segment, next, log_bytes: log.bytes, checkpoint_bytes: base.bytes, report })
}

/// Writes the format into a new directory, before anything else.
fn write_format(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(FORMAT_FILE);
    let unfinished = dir.join(format!("{FORMAT_FILE}{UNFINISHED}"));
    let write = || {
        let file = disk.create(&unfinished)?;
        file.write_at(0, format!("kubernel-store {FORMAT}\n").as_bytes())?;
        file.sync()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_dir(dir)
    };
    write().map_err(OpenError::io("write", &path))
}

fn check_format(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(FORMAT_FILE);
    let mut bytes = [0; 64];
    let count = disk.open(&path).and_then(|file| file.read_at(0, &mut bytes)).map_err(OpenError::io("read", &path))?;
    let text = String::from_utf8_lossy(&bytes[..count]);
    let found = text.trim_end().strip_prefix("kubernel-store ").and_then(|version| version.parse::<u32>().ok());
    match found {
        Some(found) if found > FORMAT => Err(OpenError::Newer { file: path, found, supported: FORMAT }),
        Some(_) => Ok(()),
        None => Err(OpenError::corrupt(&path, 0, "it does not say `kubernel-store` and a version")),
    }
}

/// The state that the log goes on from.
struct Base {
    index: Index,
    names: Names,
    revision: u64,
    /// The first segment behind it.
    segment: u64,
    bytes: u64,
}

fn load_newest(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    checkpoints: &[u64],
    segments: &[u64],
    new_index: &impl Fn() -> Index,
    report: &mut Recovery,
) -> Result<Base, OpenError> {
    let mut newest_error = None;
    for number in checkpoints {
        match load_checkpoint(disk, dir, *number, new_index()) {
            Ok(base) => {
                report.checkpoint = Some(base.revision);
                return Ok(base);
            }
            Err(error @ OpenError::Corrupt { .. }) => {
                report.skipped.push(error.to_string());
                newest_error.get_or_insert(error);
            }
            Err(other) => return Err(other),
        }
    }
    match newest_error {
        // The log may still reach back to the beginning.
        Some(error) if segments.first() != Some(&1) => Err(error),
        _ => Ok(Base { index: new_index(), names: Names::default(), revision: FIRST_REVISION, segment: 1, bytes: 0 }),
    }
}

fn load_checkpoint(disk: &Arc<dyn Disk>, dir: &Path, number: u64, index: Index) -> Result<Base, OpenError> {
    let path = path(dir, FileKind::Checkpoint, number);
    let (mut scan, header) = open(disk, &path, FileKind::Checkpoint)?;
    if header.number != number {
        return Err(OpenError::corrupt(&path, 0, "its name is not the one it was written under"));
    }
    let mut names = Names::default();
    let mut count = 0;
    loop {
        let at = scan.offset();
        let (frame, payload) = match scan.next().map_err(OpenError::io("read", &path))? {
            Next::Frame(frame, payload) => (frame, payload),
            Next::End => return Err(OpenError::corrupt(&path, at, "the checkpoint ends too early")),
            Next::Bad(why) => return Err(OpenError::corrupt(&path, at, why)),
        };
        if frame.first != count {
            return Err(OpenError::corrupt(&path, at, "a part of the checkpoint is missing"));
        }
        if frame.count == 0 {
            break;
        }
        for record in records(frame, payload).ok_or_else(|| OpenError::corrupt(&path, at, MALFORMED))? {
            let version = names.version(&record, None);
            let collection = index.collection(&version.object.key().resource);
            collection.write().load(version);
        }
        count += u64::from(frame.count);
    }
    index.load(number);
    Ok(Base { index, names, revision: number, segment: header.next, bytes: scan.size() })
}

const MALFORMED: &str = "the checksum is right but the record is malformed";

fn open(disk: &Arc<dyn Disk>, path: &Path, kind: FileKind) -> Result<(Scan, FileHeader), OpenError> {
    let file = disk.open(path).map_err(OpenError::io("open", path))?;
    let (scan, header) = Scan::begin(file, kind).map_err(OpenError::io("read", path))?;
    match header {
        Ok(header) => Ok((scan, header)),
        Err(BadHeader::Newer(found)) => Err(OpenError::Newer { file: path.to_owned(), found, supported: FORMAT }),
        Err(BadHeader::Damaged(why)) => Err(OpenError::corrupt(path, 0, why)),
    }
}

/// The records of a frame, all of them or `None`.
fn records(frame: FrameHeader, mut payload: &[u8]) -> Option<Vec<Record<'_>>> {
    // Not reserved by the count, which could be anything.
    let mut all = Vec::new();
    for _ in 0..frame.count {
        all.push(Record::take(&mut payload)?);
    }
    payload.is_empty().then_some(all)
}

/// Replays segments on top of a base.
struct Replay {
    index: Index,
    names: Names,
    next: u64,
    writes: usize,
}

struct Log {
    last: Option<Last>,
    bytes: u64,
}

/// The last segment, as it was found.
struct Last {
    number: u64,
    path: std::path::PathBuf,
    scan: Scan,
    end: u64,
    torn: Option<Torn>,
}

impl Replay {
    fn run(&mut self, disk: &Arc<dyn Disk>, dir: &Path, from: u64, segments: &[u64]) -> Result<Log, OpenError> {
        let wanted: Vec<u64> = segments.iter().copied().filter(|number| *number >= from).collect();
        let mut log = Log { last: None, bytes: 0 };
        // A new directory has no segment yet; behind a checkpoint there always is one.
        if wanted.is_empty() && self.next == FIRST_REVISION + 1 && from == 1 {
            return Ok(log);
        }
        let last = wanted.last().copied().unwrap_or(from);
        for number in from..=last {
            let path = path(dir, FileKind::Segment, number);
            if wanted.binary_search(&number).is_err() {
                return Err(OpenError::Missing { file: path });
            }
            let (mut scan, header) = open(disk, &path, FileKind::Segment)?;
            if header.number != number {
                return Err(OpenError::corrupt(&path, 0, "its name is not the one it was written under"));
            }
            if header.next < self.next {
                return Err(OpenError::corrupt(&path, 0, "its revisions were already used by an earlier file"));
            }
            self.next = header.next;
            let torn = self.segment(&mut scan, &path, number == last)?;
            log.bytes += scan.offset();
            if number == last {
                let end = scan.offset();
                log.last = Some(Last { number, path, scan, end, torn });
            }
        }
        Ok(log)
    }

    /// Replays a segment. Gives what is torn at its end, which only the last one may be.
    fn segment(&mut self, scan: &mut Scan, path: &Path, is_last: bool) -> Result<Option<Torn>, OpenError> {
        let read = || OpenError::io("read", path);
        loop {
            let at = scan.offset();
            match scan.next().map_err(read())? {
                Next::End => return Ok(None),
                Next::Frame(frame, payload) => {
                    let records = records(frame, payload).ok_or_else(|| OpenError::corrupt(path, at, MALFORMED))?;
                    self.batch(&records).map_err(|why| OpenError::corrupt(path, at, why))?;
                }
                Next::Bad(why) if !is_last => return Err(OpenError::corrupt(path, at, why)),
                Next::Bad(why) => {
                    if let Some(follows) = scan.frame_follows().map_err(read())? {
                        let why = format!("{why}, though a whole record follows at byte {follows}");
                        return Err(OpenError::corrupt(path, at, why));
                    }
                    let bytes = scan.used_end().map_err(read())? - at;
                    return Ok(Some(Torn { file: path.to_owned(), offset: at, bytes, why: why.to_owned() }));
                }
            }
        }
    }

    fn batch(&mut self, records: &[Record<'_>]) -> Result<(), &'static str> {
        let mut batch: Vec<Change> = Vec::with_capacity(records.len());
        // A key may be written more than once in a batch.
        let mut written: HashMap<Key, Option<Version>> = HashMap::new();
        for record in records {
            if record.revision != self.next {
                return Err("its revision does not follow the one before");
            }
            let key = self.names.key(record);
            let current = written.get(&key).cloned().unwrap_or_else(|| self.index.version(&key));
            if current.is_none() != (record.kind == EventKind::Created) {
                return Err("it does not fit the state before it");
            }
            let version = self.names.version(record, current.as_ref());
            let event = Event {
                kind: record.kind,
                object: version.object.clone(),
                previous: current.as_ref().map(|version| version.object.clone()),
                time: record.time,
                author: version.author.clone(),
            };
            let made = (record.kind != EventKind::Deleted).then_some(version);
            written.insert(key, made.clone());
            batch.push(Change { event: Arc::new(event), replaced: current, made });
            self.next += 1;
        }
        self.writes += batch.len();
        self.index.apply(batch);
        Ok(())
    }
}

/// Names that many records share, kept once.
#[derive(Default)]
struct Names {
    resources: HashMap<Box<str>, GroupResource>,
    texts: HashSet<Arc<str>>,
}

impl Names {
    fn resource(&mut self, name: &str) -> GroupResource {
        if let Some(known) = self.resources.get(name) {
            return known.clone();
        }
        let new = GroupResource::parse(name);
        self.resources.insert(name.into(), new.clone());
        new
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }

    fn key(&mut self, record: &Record<'_>) -> Key {
        Key {
            resource: self.resource(record.resource),
            namespace: self.text(record.namespace),
            name: record.name.into(),
        }
    }

    /// The version that a record describes; it shares the key of the one it replaces.
    fn version(&mut self, record: &Record<'_>, replaced: Option<&Version>) -> Version {
        let key = replaced.map_or_else(|| self.key(record), |version| version.object.key().clone());
        let raw = Bytes::copy_from_slice(record.raw);
        Version {
            object: Arc::new(Object::new(key, record.revision, raw)),
            kind: record.kind,
            time: record.time,
            author: self.text(record.author),
            hole: record.hole,
        }
    }
}
