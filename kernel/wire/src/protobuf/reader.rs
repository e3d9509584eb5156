//! The wire format: tags, numbers, lengths. Errors are in the words of the Go code that gogo-protobuf generates.

use crate::WireError;

/// What a field holds, before its meaning is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// What no field of the API has: 32 bits, or a group, skipped.
    Other(u8),
}

impl Payload<'_> {
    /// The number by which the wire tells payloads apart.
    pub fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Other(wire_type) => *wire_type,
        }
    }
}

/// Walks the fields of one message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// How deep groups, which the API has none of, may nest before they are malformed.
const GROUPS_MAX: usize = 16;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and payload; `None` at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Payload<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        self.payload(wire_type, 0).map(|payload| Some((number, payload)))
    }

    fn tag(&mut self) -> Result<(u32, u8), WireError> {
        let tag = self.varint()?;
        let wire_type = (tag & 7) as u8;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok((number, wire_type)),
            _ => Err(error(format!("proto: illegal tag {} (wire type {wire_type})", tag >> 3))),
        }
    }

    fn payload(&mut self, wire_type: u8, groups: usize) -> Result<Payload<'a>, WireError> {
        Ok(match wire_type {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(*self.array()?)),
            2 => {
                let length = self.varint()?;
                if i64::try_from(length).is_err() {
                    return Err(error("proto: negative length found during unmarshaling"));
                }
                Payload::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            3 if groups < GROUPS_MAX => loop {
                match self.tag()? {
                    (_, 4) => break Payload::Other(3),
                    (_, wire_type) => self.payload(wire_type, groups + 1)?,
                };
            },
            3 => return Err(error("proto: groups nest too deep")),
            4 => return Err(error("proto: wiretype end group for non-group")),
            5 => {
                self.take(4)?;
                Payload::Other(5)
            }
            other => return Err(error(format!("proto: illegal wireType {other}"))),
        })
    }

    /// One number of up to 64 bits, seven to a byte.
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(error("proto: integer overflow"))
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(end)?;
        self.rest = rest;
        Ok(array)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(end)?;
        self.rest = rest;
        Ok(taken)
    }
}

pub(super) fn error(words: impl Into<String>) -> WireError {
    WireError::Protobuf { words: words.into(), kind: None }
}

fn end() -> WireError {
    error("unexpected EOF")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_and_malformed_ones_refused() {
        for (case, bytes, want) in [
            ("nothing", &b""[..], Ok(vec![])),
            ("a small number", b"\x08\x05", Ok(vec![(1, Payload::Varint(5))])),
            ("minus one", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Ok(vec![(1, Payload::Varint(u64::MAX))])),
            ("text", b"\x12\x02hi", Ok(vec![(2, Payload::Bytes(b"hi"))])),
            ("a high number of a field", b"\xa2\x06\x00", Ok(vec![(100, Payload::Bytes(b""))])),
            ("64 bits", b"\x09\x01\0\0\0\0\0\0\0", Ok(vec![(1, Payload::Fixed64(1))])),
            ("32 bits", b"\x0d\0\0\0\0", Ok(vec![(1, Payload::Other(5))])),
            ("a group", b"\x0b\x08\x01\x0c\x10\x02", Ok(vec![(1, Payload::Other(3)), (2, Payload::Varint(2))])),
            ("a tag alone", b"\x08", Err("unexpected EOF")),
            ("a text cut off", b"\x12\x05hi", Err("unexpected EOF")),
            ("a length beyond memory", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", Err("unexpected EOF")),
            (
                "a negative length",
                b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                Err("proto: negative length found during unmarshaling"),
            ),
            ("eleven bytes", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err("proto: integer overflow")),
            ("field zero", b"\x00\x00", Err("proto: illegal tag 0 (wire type 0)")),
            ("an end without a start", b"\x0c", Err("proto: wiretype end group for non-group")),
            ("an unknown type", b"\x0e", Err("proto: illegal wireType 6")),
            ("deep groups", &[0x0b; 1000], Err("proto: groups nest too deep")),
        ] {
            let mut reader = Reader::new(bytes);
            let mut fields = Vec::new();
            let got = loop {
                match reader.field() {
                    Ok(Some(field)) => fields.push(field),
                    Ok(None) => break Ok(fields),
                    Err(error) => break Err(error.to_string()),
                }
            };
            assert_eq!(got, want.map_err(String::from), "{case}");
        }
    }
}
