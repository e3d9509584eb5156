//! The CRI log format: `TIMESTAMP STREAM TAGS CONTENT`, a line each.

use sdk_api::Timestamp;

/// One line, cut from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// As the runtime wrote it, with nanoseconds.
    pub(crate) time_text: &'a str,
    pub(crate) stream: Stream,
    /// The rest of what was written comes in the next line of this stream.
    pub(crate) partial: bool,
    /// Without the newline.
    pub(crate) content: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Line<'_> {
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.time_text.parse().ok()
    }
}

/// Reads a line, with or without its newline; `None` if it is none of the format.
///
/// Source: the CRI design, "kubelet CRI logging".
pub(crate) fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut parts = bytes.splitn(4, |b| *b == b' ');
    let time_text = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let tags = parts.next()?;
    let content = parts.next().unwrap_or_default();
    let partial = match tags.split(|b| *b == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    let looks_like_time = time_text.len() >= 20 && time_text.as_bytes()[4] == b'-';
    looks_like_time.then_some(Line { time_text, stream, partial, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_format() {
        let time = "2026-11-24T00:17:09.669794202+01:00";
        for (text, want) in [
            (format!("{time} stdout F hello world\n"), Some((Stream::Stdout, false, "hello world"))),
            (format!("{time} stderr P half"), Some((Stream::Stderr, true, "half"))),
            (format!("{time} stdout F:tag x"), Some((Stream::Stdout, false, "x"))),
            (format!("{time} stdout F "), Some((Stream::Stdout, false, ""))),
            (format!("{time} stdout F"), Some((Stream::Stdout, false, ""))),
            (format!("{time} other F x"), None),
            (format!("{time} stdout X x"), None),
            ("hello".into(), None),
            (String::new(), None),
            ("a b c d".into(), None),
        ] {
            let got = line(text.as_bytes());
            let short = got.as_ref().map(|l| (l.stream, l.partial, std::str::from_utf8(l.content).unwrap()));
            assert_eq!(short, want, "{text}");
        }
        let parsed = line(b"2026-11-24T00:17:09.669794202+01:00 stdout F x").unwrap().time().unwrap();
        assert_eq!(parsed, "2026-11-23T23:17:09.669794202Z".parse().unwrap());
    }
}
