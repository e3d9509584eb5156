//! Answers made of stored bytes: lists, watch frames, other formats, gzip.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::negotiate::MediaType;
use crate::{Format, WireError, json_to_yaml, protobuf};

/// From what size on an answer is compressed for clients that ask for it. Upstream's bound, below which compression
/// costs more time than it saves.
pub const GZIP_BYTES_MIN: usize = 128 * 1024;

/// What a list says before its items.
#[derive(Clone, Copy, Debug)]
pub struct ListHead<'a> {
    pub api_version: &'a str,
    /// The list's kind, such as `PodList`.
    pub kind: &'a str,
    pub resource_version: &'a str,
    /// The continue token; empty on the last page.
    pub continue_token: &'a str,
    pub remaining: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta<'a> {
    #[serde(skip_serializing_if = "str::is_empty", rename = "continue")]
    continue_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_item_count: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource_version: &'a str,
}

impl ListHead<'_> {
    /// The list up to its first item.
    fn open(&self) -> String {
        let meta = ListMeta {
            continue_token: self.continue_token,
            remaining_item_count: self.remaining,
            resource_version: self.resource_version,
        };
        let names = serde_json::json!([self.kind, self.api_version]);
        format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
            names[0],
            names[1],
            serde_json::to_string(&meta).expect("strings and a number are JSON")
        )
    }
}

const LIST_END: &[u8] = b"]}\n";

/// A list of objects whose JSON is at hand: nothing is encoded again.
///
/// `items` is walked twice, first to size the buffer: it must not be copied while it grows.
pub fn list<'a, I>(head: &ListHead<'_>, items: I) -> Bytes
where
    I: IntoIterator<Item = &'a Bytes> + Clone,
{
    let start = head.open();
    let bytes: usize = items.clone().into_iter().map(|item| item.len() + 1).sum();
    let mut out = BytesMut::with_capacity(start.len() + bytes + LIST_END.len());
    out.put_slice(start.as_bytes());
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(item);
    }
    out.put_slice(LIST_END);
    out.freeze()
}

/// How large the chunks of a long list are, in bytes: large enough for few system calls, small enough for the cache.
const CHUNK_BYTES: usize = 128 * 1024;

/// The same list in chunks, each made when it is asked for: a long list is sent while it is put together, and never
/// stands in memory twice.
pub fn list_chunks<I>(head: &ListHead<'_>, items: I) -> impl Iterator<Item = Bytes> + use<I>
where
    I: Iterator<Item: AsRef<[u8]>>,
{
    let mut start = Some(head.open());
    let mut items = items.peekable();
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut out = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        match start.take() {
            Some(start) => out.put_slice(start.as_bytes()),
            None => out.put_u8(b','),
        }
        while let Some(item) = items.next() {
            out.put_slice(item.as_ref());
            if items.peek().is_some() {
                if out.len() >= CHUNK_BYTES {
                    return Some(out.freeze());
                }
                out.put_u8(b',');
            }
        }
        out.put_slice(LIST_END);
        over = true;
        Some(out.freeze())
    })
}

/// One event of a watch: `event` is `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`, `object` its JSON.
pub fn watch_frame(event: &str, object: &[u8]) -> Bytes {
    const AROUND: usize = r#"{"type":"","object":}"#.len() + 1;
    let mut out = BytesMut::with_capacity(AROUND + event.len() + object.len());
    out.put_slice(b"{\"type\":\"");
    out.put_slice(event.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}

/// JSON in the format that was agreed on; `json` itself if that is plain JSON.
pub fn render(json: Bytes, media_type: &MediaType) -> Result<Bytes, WireError> {
    match media_type.format {
        Format::Yaml => json_to_yaml(&json).map_err(unreadable),
        Format::Protobuf => protobuf::encode(&serde_json::from_slice(&json).map_err(unreadable)?),
        Format::Json if media_type.pretty => pretty_json(&json).map_err(unreadable),
        Format::Json => Ok(json),
    }
}

/// A list of objects whose JSON is at hand, in the format that was agreed on.
pub fn render_list<'a, I>(head: &ListHead<'_>, items: I, media_type: &MediaType) -> Result<Bytes, WireError>
where
    I: IntoIterator<Item = &'a Bytes> + Clone,
{
    match media_type.format {
        Format::Protobuf => protobuf::encode_list(head, items),
        Format::Json | Format::Yaml => render(list(head, items), media_type),
    }
}

/// One event of a watch in the format that was agreed on; `object` is JSON.
pub fn render_frame(event: &str, object: &[u8], media_type: &MediaType) -> Result<Bytes, WireError> {
    match media_type.format {
        Format::Protobuf => {
            let object = serde_json::from_slice(object).map_err(unreadable)?;
            Ok(protobuf::watch_frame(event, &protobuf::encode(&object)?))
        }
        Format::Json | Format::Yaml => Ok(watch_frame(event, object)),
    }
}

fn unreadable(error: serde_json::Error) -> WireError {
    WireError::Json(error.to_string())
}

/// JSON with two spaces an indent, as `?pretty=true` asks.
pub fn pretty_json(json: &[u8]) -> Result<Bytes, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_slice(json)?;
    let mut out = serde_json::to_vec_pretty(&value)?;
    out.push(b'\n');
    Ok(Bytes::from(out))
}

/// Compresses at the fastest level, which already halves and halves again what Kubernetes objects take.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 6 + 64), Compression::new(1));
    encoder.write_all(bytes).expect("a vector takes what it is given");
    Bytes::from(encoder.finish().expect("a vector takes what it is given"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn lists_are_their_items_as_stored() {
        let head =
            ListHead { api_version: "v1", kind: "PodList", resource_version: "7", continue_token: "", remaining: None };
        let items = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"b\": 2}")];
        assert_eq!(
            list(&head, &items),
            "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":1},{\"b\": 2}]}\n"
        );
        let page = ListHead { continue_token: "x\"y", remaining: Some(3), ..head };
        let value: Value = serde_json::from_slice(&list(&page, &[])).unwrap();
        assert_eq!(
            value,
            json!({"kind": "PodList", "apiVersion": "v1", "items": [],
                   "metadata": {"resourceVersion": "7", "continue": "x\"y", "remainingItemCount": 3}})
        );
    }

    #[test]
    fn chunks_join_to_the_same_list() {
        let head =
            ListHead { api_version: "v1", kind: "PodList", resource_version: "7", continue_token: "", remaining: None };
        for (items, size) in [(0, 10), (1, 10), (3, CHUNK_BYTES / 2), (5, CHUNK_BYTES), (3000, 1000)] {
            let items: Vec<Bytes> = (0..items).map(|i| Bytes::from(format!("\"{i}{}\"", "x".repeat(size)))).collect();
            let chunks: Vec<Bytes> = list_chunks(&head, items.iter().cloned()).collect();
            assert_eq!(chunks.concat(), list(&head, &items), "{} items of {size} bytes", items.len());
            assert!(chunks.iter().all(|chunk| chunk.len() <= 3 * CHUNK_BYTES));
        }
    }

    #[test]
    fn frames_end_with_a_line_break() {
        assert_eq!(watch_frame("ADDED", b"{}"), "{\"type\":\"ADDED\",\"object\":{}}\n");
    }

    #[test]
    fn gzip_is_read_back() {
        let bytes = b"{\"kind\":\"Pod\"}".repeat(1000);
        let packed = gzip(&bytes);
        assert!(packed.len() < bytes.len() / 10);
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&*packed).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}
