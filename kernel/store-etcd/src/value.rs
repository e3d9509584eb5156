//! What stands in etcd for an object: its JSON with an empty `metadata.resourceVersion`, since the revision is known only
//! once the value is written. The place is found again by walking the document, so that the JSON of other programs, with
//! or without the field, can be read too.

use bytes::Bytes;
use kernel_store::RevisionHole;

/// The stored form of a document.
pub fn closed(hole: &RevisionHole) -> Bytes {
    let mut whole = Vec::with_capacity(hole.head.len() + hole.tail.len());
    whole.extend_from_slice(&hole.head);
    whole.extend_from_slice(&hole.tail);
    whole.into()
}

/// A stored document with the place of its revision open; `None` if it is no JSON object.
pub fn open(json: &Bytes) -> Option<RevisionHole> {
    let mut cursor = Cursor { text: json, at: 0 };
    let top = cursor.object()?;
    let mut first = true;
    while let Some(name) = cursor.member(&mut first)? {
        if name != br#""metadata""# || cursor.peek() != Some(b'{') {
            cursor.skip_value()?;
            continue;
        }
        let inside = cursor.object()?;
        let mut first = true;
        while let Some(name) = cursor.member(&mut first)? {
            let from = cursor.at;
            cursor.skip_value()?;
            if name == br#""resourceVersion""# && json[from] == b'"' {
                return Some(RevisionHole { head: json.slice(..=from), tail: json.slice(cursor.at - 1..) });
            }
        }
        return Some(inserted(json, inside, r#""resourceVersion":""#, "\""));
    }
    cursor.is_end().then(|| inserted(json, top, r#""metadata":{"resourceVersion":""#, "\"}"))
}

/// A hole behind the brace that opens an object.
fn inserted(json: &Bytes, at: usize, before: &str, after: &str) -> RevisionHole {
    let rest = json[at..].trim_ascii_start();
    let comma = if rest.starts_with(b"}") { "" } else { "," };
    RevisionHole {
        head: [&json[..at], before.as_bytes()].concat().into(),
        tail: [after.as_bytes(), comma.as_bytes(), &json[at..]].concat().into(),
    }
}

/// Walks JSON without building anything. It checks no more than it needs: etcd gives back what was written.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn is_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Enters an object; gives the place behind its brace.
    fn object(&mut self) -> Option<usize> {
        self.take(b'{')?;
        Some(self.at)
    }

    /// The next member's name with its quotes, standing at its value then; `Some(None)` behind the last.
    fn member(&mut self, first: &mut bool) -> Option<Option<&'a [u8]>> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(None);
        }
        if !std::mem::take(first) {
            self.take(b',')?;
        }
        self.peek()?;
        let from = self.at;
        self.string()?;
        let name = &self.text[from..self.at];
        self.take(b':')?;
        self.peek()?;
        Some(Some(name))
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            match self.text.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }

    /// Steps behind a value, however deep.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b',' | b':' => return None,
                _ => {
                    let rest = &self.text[self.at..];
                    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:]}\"".contains(byte);
                    self.at += rest.iter().position(ends)?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_goes_into_the_metadata_alone() {
        for (case, stored, filled) in [
            ("empty", r#"{"metadata":{"resourceVersion":""}}"#, Some(r#"{"metadata":{"resourceVersion":"7"}}"#)),
            (
                "of another program",
                r#"{"a":[1,{"b":"}"}],"metadata":{"name":"x","resourceVersion":"123"},"z":-1.5e3}"#,
                Some(r#"{"a":[1,{"b":"}"}],"metadata":{"name":"x","resourceVersion":"7"},"z":-1.5e3}"#),
            ),
            (
                "decoys",
                r#"{"data":{"metadata":{"resourceVersion":"1"}},"t":"\"metadata\":{\\","metadata":{"annotations":{"resourceVersion":"1"},"resourceVersion":""},"metadatum":{}}"#,
                Some(
                    r#"{"data":{"metadata":{"resourceVersion":"1"}},"t":"\"metadata\":{\\","metadata":{"annotations":{"resourceVersion":"1"},"resourceVersion":"7"},"metadatum":{}}"#,
                ),
            ),
            (
                "no such field",
                r#"{"metadata":{"name":"x"}}"#,
                Some(r#"{"metadata":{"resourceVersion":"7","name":"x"}}"#),
            ),
            ("no fields", r#"{"metadata":{ }}"#, Some(r#"{"metadata":{"resourceVersion":"7" }}"#)),
            ("no metadata", r#"{"kind":"X"}"#, Some(r#"{"metadata":{"resourceVersion":"7"},"kind":"X"}"#)),
            ("nothing", "{}", Some(r#"{"metadata":{"resourceVersion":"7"}}"#)),
            (
                "spaces",
                "{ \"metadata\" : {\n \"resourceVersion\" : \"\" , \"x\" : null } }\n",
                Some("{ \"metadata\" : {\n \"resourceVersion\" : \"7\" , \"x\" : null } }\n"),
            ),
            ("not an object", r#"["metadata"]"#, None),
            ("cut off", r#"{"metadata":{"name":"x"#, None),
            ("cut off later", r#"{"kind":"x","#, None),
            ("protobuf", "k8s\0\n\u{7}", None),
            ("empty text", "", None),
        ] {
            let hole = open(&Bytes::from_static(stored.as_bytes()));
            let got = hole.map(|hole| String::from_utf8(hole.fill(7).to_vec()).unwrap());
            assert_eq!(got.as_deref(), filled, "{case}");
        }
    }

    #[test]
    fn what_is_stored_is_found_again() {
        let hole = RevisionHole {
            head: Bytes::from_static(br#"{"kind":"A","metadata":{"resourceVersion":""#),
            tail: Bytes::from_static(br#"","name":"a"}}"#),
        };
        let again = open(&closed(&hole)).unwrap();
        assert_eq!((again.head, again.tail), (hole.head, hole.tail));
    }
}
