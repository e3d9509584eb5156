//! Links in what comes back through a proxy: they lead to the root of whoever answered, and must lead through the proxy.

use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::BodyExt;
use sdk_api::Status;

use crate::body::{Body, whole};

/// Pages beyond this pass as they are.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Attributes that hold a link, whatever their element. Source: HTML standard, "Attributes", those of type URL.
const LINKS: [&str; 15] = [
    "action",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
];

/// How links change.
pub struct Rewriter {
    /// The path of the proxy: `/api/v1/namespaces/a/pods/p/proxy`.
    pub prefix: String,
    /// `address:port` of whoever answered.
    pub host: String,
}

impl Rewriter {
    /// A link as it must read from outside: a path of the other side gets the prefix; links to elsewhere and those
    /// relative to the page stay.
    pub fn link(&self, link: &str) -> String {
        let path = match link.split_once("://") {
            Some(("http" | "https", rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, path) = rest.split_at(end);
                if host != self.host || !path.starts_with('/') {
                    return link.to_owned();
                }
                path
            }
            _ => link,
        };
        if !path.starts_with('/') || path.starts_with("//") || path.starts_with(&self.prefix) {
            return path.to_owned();
        }
        format!("{}{path}", self.prefix)
    }

    /// Changes the links of a page; whatever is none passes as it came.
    pub async fn page(&self, response: Response<Body>) -> Result<Response<Body>, Status> {
        if !is_page(response.headers()) {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        let collected = body.collect().await;
        let page = collected.map_err(|error| Status::unavailable(format!("error trying to reach service: {error}")))?;
        let page = page.to_bytes();
        let changed = match std::str::from_utf8(&page) {
            Ok(page) => self.html(page).into_bytes().into(),
            Err(_) => page,
        };
        parts.headers.insert(header::CONTENT_LENGTH, changed.len().into());
        Ok(Response::from_parts(parts, whole(changed)))
    }

    /// Changes the links in the tags of a page. Text, comments and scripts stay.
    fn html(&self, page: &str) -> String {
        let mut out = String::with_capacity(page.len() + page.len() / 16);
        let mut rest = page;
        while let Some(at) = rest.find('<') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let end = if from.starts_with("<!--") { from.find("-->").map(|at| at + 3) } else { tag_end(from) };
            let Some(end) = end else {
                rest = from;
                break;
            };
            let (tag, after) = from.split_at(end);
            self.tag(tag, &mut out);
            rest = after;
            let name: String = tag[1..].chars().take_while(char::is_ascii_alphanumeric).collect();
            if matches!(name.to_ascii_lowercase().as_str(), "script" | "style") {
                let close = format!("</{}", name.to_ascii_lowercase());
                let at = rest.to_ascii_lowercase().find(&close).unwrap_or(rest.len());
                out.push_str(&rest[..at]);
                rest = &rest[at..];
            }
        }
        out.push_str(rest);
        out
    }

    fn tag(&self, tag: &str, out: &mut String) {
        if !tag[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            return out.push_str(tag);
        }
        let mut rest = tag;
        while let Some(at) = rest.find('=') {
            let name =
                rest[..at].trim_end().rsplit(|c: char| c.is_ascii_whitespace() || c == '/').next().unwrap_or_default();
            let is_link = LINKS.contains(&name.to_ascii_lowercase().as_str());
            let start = at + 1 + rest[at + 1..].len() - rest[at + 1..].trim_start().len();
            let quote = rest[start..].chars().next().filter(|c| matches!(c, '"' | '\''));
            let from = start + quote.map_or(0, char::len_utf8);
            let end = match quote {
                Some(quote) => rest[from..].find(quote),
                None => rest[from..].find(|c: char| c.is_ascii_whitespace() || c == '>'),
            };
            let to = end.map_or(rest.len(), |end| from + end);
            out.push_str(&rest[..from]);
            match is_link {
                true => out.push_str(&self.link(&rest[from..to])),
                false => out.push_str(&rest[from..to]),
            }
            rest = &rest[to..];
            if let Some(quote) = quote.filter(|quote| rest.starts_with(*quote)) {
                out.push(quote);
                rest = &rest[quote.len_utf8()..];
            }
        }
        out.push_str(rest);
    }
}

/// Whether an answer is HTML as it stands, of a known and modest size.
fn is_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let bytes = text(header::CONTENT_LENGTH).parse::<usize>();
    text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim() == "text/html"
        && matches!(text(header::CONTENT_ENCODING), "" | "identity")
        && bytes.is_ok_and(|bytes| bytes <= PAGE_BYTES_MAX)
}

/// Where a tag that starts here ends; a `>` inside quotes does not count.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at + 1),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewriter() -> Rewriter {
        Rewriter { prefix: "/p/proxy".into(), host: "10.0.0.1:80".into() }
    }

    #[test]
    fn links_lead_through_the_proxy() {
        for (link, expected) in [
            ("/a?b#c", "/p/proxy/a?b#c"),
            ("/", "/p/proxy/"),
            ("a/b", "a/b"),
            ("http://10.0.0.1:80/a", "/p/proxy/a"),
            ("http://example.com/a", "http://example.com/a"),
            ("//example.com/a", "//example.com/a"),
            ("/p/proxy/a", "/p/proxy/a"),
            ("#top", "#top"),
            ("mailto:a@b", "mailto:a@b"),
        ] {
            assert_eq!(rewriter().link(link), expected, "{link}");
        }
    }

    #[test]
    fn pages_keep_all_but_their_links() {
        for (page, expected) in [
            ("<a href=\"/x\">/x</a>", "<a href=\"/p/proxy/x\">/x</a>"),
            ("<img src='/x' alt='/y'>", "<img src='/p/proxy/x' alt='/y'>"),
            ("<link rel=stylesheet href=/x.css>", "<link rel=stylesheet href=/p/proxy/x.css>"),
            (
                "<script src=\"/a.js\">x = '<a href=\"/b\">'</script>",
                "<script src=\"/p/proxy/a.js\">x = '<a href=\"/b\">'</script>",
            ),
            ("<!-- <a href=\"/x\"> --><p title=\"a > b\">", "<!-- <a href=\"/x\"> --><p title=\"a > b\">"),
            ("a < b", "a < b"),
            ("<a href=\"/x", "<a href=\"/x"),
            ("<!DOCTYPE html>\n<form action = \"/go\">", "<!DOCTYPE html>\n<form action = \"/p/proxy/go\">"),
        ] {
            assert_eq!(rewriter().html(page), expected, "{page}");
        }
    }
}
