//! Checkpoints: the state at one revision in a file of its own, so that the log before it can go.
//!
//! A checkpoint is written while commits go on: it reads the index page by page *at its revision*, which the index
//! keeps answering until it is done.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::Disk;
use super::frame::{FILE_HEADER_BYTES, FileHeader, FileKind, FrameWriter, Place, Record};
use super::names::{UNFINISHED, name, parse, path};
use crate::index::{Index, Part, Space};

/// How many objects are taken under one hold of a collection's lock.
const PAGE_OBJECTS: usize = 512;
/// About how large a frame of a checkpoint is.
const FRAME_BYTES: usize = 1 << 20;
/// How many bytes may wait for the disk, so that commits need not wait behind all of a checkpoint.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

pub(crate) struct Checkpoint {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub index: Arc<Index>,
    /// The state to write, pinned in the index until this is dropped.
    pub revision: u64,
    /// The segment that goes on from it.
    pub segment: u64,
    /// Set when the store closes.
    pub stop: Arc<AtomicBool>,
}

impl Checkpoint {
    /// Writes the file and drops what it makes needless. Gives its size, or `None` if it was stopped.
    pub fn write(&self) -> io::Result<Option<u64>> {
        let Some(bytes) = self.write_file()? else { return Ok(None) };
        drop_older(&*self.disk, &self.dir, self.revision, self.segment)?;
        Ok(Some(bytes))
    }

    fn write_file(&self) -> io::Result<Option<u64>> {
        let unfinished = self.dir.join(name(FileKind::Checkpoint, self.revision) + UNFINISHED);
        let file = self.disk.create(&unfinished)?;
        let header = FileHeader { number: self.revision, next: self.segment };
        file.write_at(0, &header.encode(FileKind::Checkpoint))?;
        let (mut offset, mut synced, mut count) = (FILE_HEADER_BYTES as u64, 0, 0);
        let mut frame = FrameWriter::new();
        let mut flush = |frame: &mut FrameWriter, count: &mut u64| -> io::Result<()> {
            frame.finish(Place { file: self.revision, offset }, *count).map_err(io::Error::other)?;
            file.write_at(offset, &frame.bytes)?;
            offset += frame.bytes.len() as u64;
            *count += u64::from(frame.count());
            frame.clear();
            if offset - synced > UNSYNCED_BYTES_MAX {
                file.sync()?;
                synced = offset;
            }
            Ok(())
        };
        for collection in self.index.collections() {
            let mut part = Part::default();
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    self.disk.remove(&unfinished)?;
                    return Ok(None);
                }
                let page = collection.read().versions(&part, self.revision, PAGE_OBJECTS);
                for version in &page {
                    frame.push(&Record::of(version));
                    if frame.bytes.len() > FRAME_BYTES {
                        flush(&mut frame, &mut count)?;
                    }
                }
                let Some(last) = page.last().filter(|_| page.len() == PAGE_OBJECTS) else { break };
                let key = last.object.key();
                part.after = Some((Space(key.namespace.clone()), key.name.clone()));
            }
        }
        if frame.count() > 0 {
            flush(&mut frame, &mut count)?;
        }
        // The frame without records says that the file is whole.
        flush(&mut frame, &mut count)?;
        file.sync()?;
        self.disk.rename(&unfinished, &path(&self.dir, FileKind::Checkpoint, self.revision))?;
        self.disk.sync_dir(&self.dir)?;
        Ok(Some(offset))
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        self.index.unpin();
    }
}

/// Removes the files that a durable checkpoint makes needless.
pub(crate) fn drop_older(disk: &dyn Disk, dir: &std::path::Path, revision: u64, segment: u64) -> io::Result<()> {
    let mut needless: Vec<_> = disk.list(dir)?.iter().filter_map(|text| parse(text)).collect();
    needless.retain(|(kind, number)| match kind {
        FileKind::Segment => *number < segment,
        FileKind::Checkpoint => *number < revision,
    });
    // Lowest first: what is left after a crash has no hole.
    needless.sort_by_key(|(kind, number)| (*kind == FileKind::Checkpoint, *number));
    for (kind, number) in needless {
        disk.remove(&path(dir, kind, number))?;
    }
    Ok(())
}
