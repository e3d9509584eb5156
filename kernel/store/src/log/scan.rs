//! Reads a file of the log frame by frame, and says what stands where no frame does.

use std::io;

use super::disk::DiskFile;
use super::frame::{
    BadHeader, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FileHeader, FileKind, FrameHeader, Place,
};

/// How much is read at once.
const WINDOW_BYTES: usize = 1 << 20;

pub(crate) struct Scan {
    file: Box<dyn DiskFile>,
    number: u64,
    size: u64,
    offset: u64,
    window: Vec<u8>,
    /// The offset in the file of the first byte of the window.
    window_from: u64,
}

/// What stands at the next place of a file.
pub(crate) enum Next<'a> {
    Frame(FrameHeader, &'a [u8]),
    /// Nothing but zeros, or nothing at all.
    End,
    /// Something that is no valid frame.
    Bad(&'static str),
}

impl Scan {
    /// Reads the header and stands before the first frame.
    pub fn begin(file: Box<dyn DiskFile>, kind: FileKind) -> io::Result<(Self, Result<FileHeader, BadHeader>)> {
        let mut bytes = [0; FILE_HEADER_BYTES];
        let count = file.read_at(0, &mut bytes)?;
        let size = file.size()?;
        let header = FileHeader::decode(kind, &bytes[..count]);
        let number = header.map_or(0, |header| header.number);
        let offset = FILE_HEADER_BYTES as u64;
        Ok((Self { file, number, size, offset, window: Vec::new(), window_from: 0 }, header))
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    pub fn next(&mut self) -> io::Result<Next<'_>> {
        let at = self.offset;
        match self.frame_at(at)? {
            Ok(header) => {
                self.offset += header.frame_bytes();
                let bytes = self.bytes(at, header.frame_bytes())?;
                Ok(Next::Frame(header, &bytes[FRAME_HEADER_BYTES..]))
            }
            Err(why) if self.nonzero(at)?.is_some() => Ok(Next::Bad(why)),
            Err(_) => Ok(Next::End),
        }
    }

    /// Whether a valid frame begins anywhere from the next place on.
    pub fn frame_follows(&mut self) -> io::Result<Option<u64>> {
        let mut at = self.offset;
        while let Some(from) = self.nonzero(at)? {
            let bytes = self.bytes(from, WINDOW_BYTES as u64)?;
            let count = bytes.len() as u64;
            let found = bytes.windows(FRAME_MAGIC.len()).position(|window| window == FRAME_MAGIC);
            match found {
                Some(place) => {
                    at = from + place as u64;
                    if self.frame_at(at)?.is_ok() {
                        return Ok(Some(at));
                    }
                    at += 1;
                }
                None if from + count >= self.size => return Ok(None),
                None => at = from + count - (FRAME_MAGIC.len() as u64 - 1),
            }
        }
        Ok(None)
    }

    /// The end of the last byte that is not zero, from the next place on.
    pub fn used_end(&mut self) -> io::Result<u64> {
        let (mut at, mut end) = (self.offset, self.offset);
        while at < self.size {
            let bytes = self.bytes(at, WINDOW_BYTES as u64)?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len() as u64;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += count;
        }
        Ok(end)
    }

    fn frame_at(&mut self, at: u64) -> io::Result<Result<FrameHeader, &'static str>> {
        let Some(header) = FrameHeader::decode(self.bytes(at, FRAME_HEADER_BYTES as u64)?) else {
            return Ok(Err("no record begins here"));
        };
        if at + header.frame_bytes() > self.size {
            return Ok(Err("the record goes on beyond the end of the file"));
        }
        let place = Place { file: self.number, offset: at };
        let bytes = self.bytes(at, header.frame_bytes())?;
        let whole = bytes.len() as u64 == header.frame_bytes() && header.holds(place, &bytes[FRAME_HEADER_BYTES..]);
        Ok(if whole { Ok(header) } else { Err("the checksum of the record is wrong") })
    }

    /// The first place from `at` on with a byte that is not zero.
    fn nonzero(&mut self, at: u64) -> io::Result<Option<u64>> {
        let mut from = at;
        while from < self.size {
            let bytes = self.bytes(from, WINDOW_BYTES as u64)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(place) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(Some(from + place as u64));
            }
            from += bytes.len() as u64;
        }
        Ok(None)
    }

    /// Bytes of the file, fewer at its end.
    fn bytes(&mut self, from: u64, count: u64) -> io::Result<&[u8]> {
        let count = count.min(self.size.saturating_sub(from)) as usize;
        let inside = from >= self.window_from && from + count as u64 <= self.window_from + self.window.len() as u64;
        if !inside {
            let wanted = (count.max(WINDOW_BYTES) as u64).min(self.size.saturating_sub(from)) as usize;
            self.window.resize(wanted, 0);
            let read = self.file.read_at(from, &mut self.window)?;
            self.window.truncate(read);
            self.window_from = from;
        }
        let start = (from - self.window_from) as usize;
        let end = (start + count).min(self.window.len());
        Ok(&self.window[start..end])
    }
}
