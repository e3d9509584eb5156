//! The segment that is being written.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::frame::{FILE_HEADER_BYTES, FileHeader, FileKind, FrameWriter, Place};
use super::names::{UNFINISHED, name, path};

/// How segments are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// A segment is left for a new one when a batch would go beyond this.
    pub segment_bytes: u64,
    /// How far ahead of the log zeros are written.
    ///
    /// Overwriting blocks that exist needs one flush; growing a file, or filling space that was only reserved, needs
    /// the file system's journal as well (measured here on ext4: 0.13 ms against 0.30 and 0.16).
    pub ahead_bytes: u64,
}

pub(crate) struct Segment {
    pub number: u64,
    file: Box<dyn DiskFile>,
    /// Where the next frame goes.
    offset: u64,
    /// Up to here the file is known to be zeros.
    zeros_to: u64,
}

impl Segment {
    /// A new segment, durable under its name before anything is written to it.
    pub fn create(disk: &Arc<dyn Disk>, dir: &Path, layout: Layout, number: u64, next: u64) -> io::Result<Self> {
        let unfinished = dir.join(name(FileKind::Segment, number) + UNFINISHED);
        let file = disk.create(&unfinished)?;
        let zeros_to = layout.ahead_bytes.min(layout.segment_bytes).max(FILE_HEADER_BYTES as u64);
        let mut bytes = vec![0; zeros_to as usize];
        bytes[..FILE_HEADER_BYTES].copy_from_slice(&FileHeader { number, next }.encode(FileKind::Segment));
        file.write_at(0, &bytes)?;
        file.sync()?;
        disk.rename(&unfinished, &path(dir, FileKind::Segment, number))?;
        disk.sync_dir(dir)?;
        Ok(Self { number, file, offset: FILE_HEADER_BYTES as u64, zeros_to })
    }

    /// Goes on behind the last frame of a segment; the rest of it is zeros.
    pub fn resume(file: Box<dyn DiskFile>, number: u64, offset: u64, size: u64) -> Self {
        Self { number, file, offset, zeros_to: size.max(offset) }
    }

    pub fn is_empty(&self) -> bool {
        self.offset == FILE_HEADER_BYTES as u64
    }

    /// Whether a frame should go into the next segment.
    pub fn is_full_for(&self, frame_bytes: u64, layout: Layout) -> bool {
        !self.is_empty() && self.offset + frame_bytes > layout.segment_bytes
    }

    /// Writes a frame and returns once it is durable.
    pub fn append(&mut self, frame: &mut FrameWriter, first: u64, layout: Layout) -> io::Result<()> {
        let place = Place { file: self.number, offset: self.offset };
        frame.finish(place, first).map_err(io::Error::other)?;
        let end = self.offset + frame.bytes.len() as u64;
        if end > self.zeros_to {
            let zeros_to = (end + layout.ahead_bytes).min(layout.segment_bytes.max(end));
            frame.bytes.resize((zeros_to - self.offset) as usize, 0);
            self.zeros_to = zeros_to;
        }
        self.file.write_at(self.offset, &frame.bytes)?;
        self.file.sync()?;
        self.offset = end;
        Ok(())
    }
}
