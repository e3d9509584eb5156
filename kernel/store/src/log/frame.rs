//! The bytes of the log: file headers, frames with a checksum, and the records inside them. See README.md, "On disk".
//!
//! A batch is one frame, so a frame either was synced as a whole or nothing after it was ever written. That is what
//! tells a torn tail (no valid frame follows) from damage (one does).

use sdk_api::Timestamp;

use crate::EventKind;
use crate::index::Version;

/// The version of everything in this file.
pub(crate) const FORMAT: u32 = 1;

pub(crate) const FILE_HEADER_BYTES: usize = 40;
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// Begins a frame. `ff` and `fe` are in no UTF-8 text, so no stored object looks like a frame.
pub(crate) const FRAME_MAGIC: [u8; 4] = [0xff, b'K', b'F', 0xfe];

/// What a file of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Checkpoint,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"kubelog\n",
            Self::Checkpoint => b"kubeckp\n",
        }
    }
}

/// The beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Segment: its number. Checkpoint: its revision.
    pub number: u64,
    /// Segment: the lowest revision it may hold. Checkpoint: the number of the segment that goes on from it.
    pub next: u64,
}

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Newer(u32),
    Damaged(&'static str),
}

impl FileHeader {
    pub fn encode(self, kind: FileKind) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(kind.magic());
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next.to_le_bytes());
        let check = crc32fast::hash(&bytes[..32]);
        bytes[32..36].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub fn decode(kind: FileKind, bytes: &[u8]) -> Result<Self, BadHeader> {
        let mut left = bytes;
        let magic = take(&mut left, 8).ok_or(BadHeader::Damaged("the header is cut short"))?;
        if magic != kind.magic() {
            return Err(BadHeader::Damaged("it does not begin as such a file does"));
        }
        let version = take_u32(&mut left).ok_or(BadHeader::Damaged("the header is cut short"))?;
        if version > FORMAT {
            return Err(BadHeader::Newer(version));
        }
        if bytes.len() < FILE_HEADER_BYTES || crc32fast::hash(&bytes[..32]).to_le_bytes() != bytes[32..36] {
            return Err(BadHeader::Damaged("the checksum of the header is wrong"));
        }
        let number = |from: usize| u64::from_le_bytes(bytes[from..from + 8].try_into().expect("eight bytes"));
        Ok(Self { number: number(16), next: number(24) })
    }
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub payload_bytes: u32,
    /// Segment: the revision of the first record. Checkpoint: how many records came before.
    pub first: u64,
    /// How many records; 0 in the frame that ends a checkpoint.
    pub count: u32,
    check: u32,
}

impl FrameHeader {
    /// `None` where no frame begins.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut left = bytes;
        if take(&mut left, 4)? != FRAME_MAGIC {
            return None;
        }
        let payload_bytes = take_u32(&mut left)?;
        let first = take_u64(&mut left)?;
        let count = take_u32(&mut left)?;
        let check = take_u32(&mut left)?;
        Some(Self { payload_bytes, first, count, check })
    }

    pub fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// Whether the payload belongs to this header at this place.
    pub fn holds(&self, place: Place, payload: &[u8]) -> bool {
        self.check == self.checksum(place, payload)
    }

    fn checksum(&self, place: Place, payload: &[u8]) -> u32 {
        let mut check = crc32fast::Hasher::new();
        // The place is part of it, so that bytes left over from elsewhere are never taken for a frame.
        check.update(&place.file.to_le_bytes());
        check.update(&place.offset.to_le_bytes());
        check.update(&self.payload_bytes.to_le_bytes());
        check.update(&self.first.to_le_bytes());
        check.update(&self.count.to_le_bytes());
        check.update(payload);
        check.finalize()
    }
}

/// Where a frame is: the number of its file and its offset in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub file: u64,
    pub offset: u64,
}

/// A frame in the making, at the end of a buffer.
pub(crate) struct FrameWriter {
    pub bytes: Vec<u8>,
    count: u32,
}

impl FrameWriter {
    pub fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEADER_BYTES], count: 0 }
    }

    pub fn clear(&mut self) {
        // A large batch should not be held in memory for good.
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.bytes.shrink_to(4 << 20);
        self.count = 0;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn push(&mut self, record: &Record<'_>) {
        let to = &mut self.bytes;
        to.push(match record.kind {
            EventKind::Created => 1,
            EventKind::Updated => 2,
            EventKind::Deleted => 3,
        });
        to.extend_from_slice(&record.revision.to_le_bytes());
        to.extend_from_slice(&record.time.as_microsecond().to_le_bytes());
        to.extend_from_slice(&record.hole.to_le_bytes());
        for text in [record.resource, record.namespace, record.name, record.author] {
            put_bytes(to, text.as_bytes());
        }
        put_bytes(to, record.raw);
        self.count += 1;
    }

    /// Completes the frame for a place; the whole of `bytes` is the frame.
    pub fn finish(&mut self, place: Place, first: u64) -> Result<(), std::num::TryFromIntError> {
        let payload_bytes = u32::try_from(self.bytes.len() - FRAME_HEADER_BYTES)?;
        let mut header = FrameHeader { payload_bytes, first, count: self.count, check: 0 };
        header.check = header.checksum(place, &self.bytes[FRAME_HEADER_BYTES..]);
        let to = &mut self.bytes[..FRAME_HEADER_BYTES];
        to[..4].copy_from_slice(&FRAME_MAGIC);
        to[4..8].copy_from_slice(&payload_bytes.to_le_bytes());
        to[8..16].copy_from_slice(&first.to_le_bytes());
        to[16..20].copy_from_slice(&self.count.to_le_bytes());
        to[20..24].copy_from_slice(&header.check.to_le_bytes());
        Ok(())
    }
}

/// One state of one object, as it stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub kind: EventKind,
    pub revision: u64,
    pub time: Timestamp,
    /// Where in `raw` the digits of the revision begin.
    pub hole: u32,
    pub resource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub author: &'a str,
    pub raw: &'a [u8],
}

impl<'a> Record<'a> {
    pub fn of(version: &'a Version) -> Self {
        let key = version.object.key();
        Self {
            kind: version.kind,
            revision: version.revision(),
            time: version.time,
            hole: version.hole,
            resource: key.resource.as_str(),
            namespace: &key.namespace,
            name: &key.name,
            author: &version.author,
            raw: version.object.raw(),
        }
    }

    /// Takes the next record off a payload; `None` where it is malformed.
    pub fn take(left: &mut &'a [u8]) -> Option<Self> {
        let kind = match take(left, 1)?[0] {
            1 => EventKind::Created,
            2 => EventKind::Updated,
            3 => EventKind::Deleted,
            _ => return None,
        };
        let revision = take_u64(left)?;
        let time = Timestamp::from_microsecond(take_u64(left)? as i64).ok()?;
        let hole = take_u32(left)?;
        let mut text = || std::str::from_utf8(take_bytes(left)?).ok();
        let (resource, namespace, name, author) = (text()?, text()?, text()?, text()?);
        let raw = take_bytes(left)?;
        Some(Self { kind, revision, time, hole, resource, namespace, name, author, raw })
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("commits are bounded far below 4 GiB");
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(bytes);
}

fn take<'a>(left: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(count)?;
    *left = rest;
    Some(taken)
}

fn take_u32(left: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(left, 4)?.try_into().ok()?))
}

fn take_u64(left: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(left, 8)?.try_into().ok()?))
}

fn take_bytes<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = take_u32(left)? as usize;
    take(left, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { file: 3, offset: 40 };

    fn record() -> Record<'static> {
        Record {
            kind: EventKind::Updated,
            revision: 7,
            time: Timestamp::from_microsecond(1_700_000_000_000_123).unwrap(),
            hole: 31,
            resource: "deployments.apps",
            namespace: "a",
            name: "b",
            author: "système",
            raw: br#"{"metadata":{"resourceVersion":"7"}}"#,
        }
    }

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let mut frame = FrameWriter::new();
        frame.push(&record());
        frame.push(&record());
        frame.finish(PLACE, 7).unwrap();
        let header = FrameHeader::decode(&frame.bytes).unwrap();
        assert_eq!((header.first, header.count, header.frame_bytes()), (7, 2, frame.bytes.len() as u64));
        let mut payload = &frame.bytes[FRAME_HEADER_BYTES..];
        assert!(header.holds(PLACE, payload));
        assert_eq!(Record::take(&mut payload), Some(record()));
        assert_eq!(Record::take(&mut payload), Some(record()));
        assert_eq!((Record::take(&mut payload), payload.len()), (None, 0));
    }

    #[test]
    fn no_changed_byte_and_no_other_place_passes() {
        let mut frame = FrameWriter::new();
        frame.push(&record());
        frame.finish(PLACE, 7).unwrap();
        let valid = |bytes: &[u8], place| {
            FrameHeader::decode(bytes).is_some_and(|header| {
                bytes.len() as u64 == header.frame_bytes() && header.holds(place, &bytes[FRAME_HEADER_BYTES..])
            })
        };
        assert!(valid(&frame.bytes, PLACE));
        assert!(
            !valid(&frame.bytes, Place { offset: 41, ..PLACE }) && !valid(&frame.bytes, Place { file: 4, ..PLACE })
        );
        for at in 0..frame.bytes.len() {
            let mut bytes = frame.bytes.clone();
            bytes[at] ^= 1;
            assert!(!valid(&bytes, PLACE), "byte {at}");
        }
    }

    #[test]
    fn headers_tell_newer_from_damaged() {
        let header = FileHeader { number: 5, next: 77 };
        let bytes = header.encode(FileKind::Segment);
        assert_eq!(FileHeader::decode(FileKind::Segment, &bytes), Ok(header));
        let (mut newer, mut damaged) = (bytes, bytes);
        newer[8] = 9;
        damaged[17] = 1;
        assert_eq!(FileHeader::decode(FileKind::Segment, &newer), Err(BadHeader::Newer(9)));
        for bad in [&damaged[..], &bytes[..30], &[]] {
            assert!(matches!(FileHeader::decode(FileKind::Segment, bad), Err(BadHeader::Damaged(_))));
        }
        assert!(matches!(FileHeader::decode(FileKind::Checkpoint, &bytes), Err(BadHeader::Damaged(_))));
    }
}
