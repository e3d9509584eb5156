//! Reads a container's log as `kubectl logs` asks for it, and follows it while it grows.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sdk_api::{Clock, Timestamp};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader, SeekFrom};
use tokio::sync::mpsc;

use crate::logs::parse::{self, Stream};

/// Pause between looks at a log that is being followed.
const POLL: Duration = Duration::from_millis(100);
/// Longest line that is read; a longer one is cut. Runtimes cut at 16 KiB.
const LINE_MAX: u64 = 1 << 20;
const BLOCK: u64 = 32 << 10;

/// What of a log is wanted. Source: `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) follow: bool,
    pub(crate) tail_lines: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) timestamps: bool,
    pub(crate) limit_bytes: Option<u64>,
    /// `None` is both.
    pub(crate) stream: Option<Stream>,
}

/// The reader went away.
struct Closed;

/// Sends the log until its end; while following, until it has ended and `is_running` says that nothing will come.
pub(crate) async fn copy(
    path: &Path,
    options: &Options,
    clock: &dyn Clock,
    is_running: impl Fn() -> bool,
    sender: mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let mut file = File::open(path).await?;
    let start = match options.tail_lines {
        Some(lines) => tail_start(&mut file, lines).await?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start)).await?;
    let mut writer = Writer { options, left: options.limit_bytes, at_line_start: true, sender };
    let mut inode = file.metadata().await?.ino();
    let mut reader = BufReader::new(file);
    let mut pending = vec![];
    let mut was_running = true;
    let mut successor = None;
    loop {
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut pending).await?;
        let complete = pending.last() == Some(&b'\n') || pending.len() as u64 >= LINE_MAX;
        if complete || (read == 0 && !options.follow && !pending.is_empty()) {
            let sent = writer.line(&pending).await;
            pending.clear();
            match sent {
                Ok(true) => continue,
                // The limit is reached, or nobody reads any more.
                Ok(false) | Err(Closed) => return Ok(()),
            }
        }
        if read > 0 {
            continue;
        }
        if !options.follow || writer.sender.is_closed() {
            return Ok(());
        }
        // The end of this file. A new one in its place goes on where it ends, once the old one has been read again: its
        // last lines may have come just before it was replaced.
        if let Some((next_inode, next)) = successor.take() {
            (inode, reader) = (next_inode, BufReader::new(next));
            continue;
        }
        if let Ok(next) = File::open(path).await {
            let next_inode = next.metadata().await?.ino();
            if next_inode != inode {
                successor = Some((next_inode, next));
                continue;
            }
        }
        if !was_running {
            return Ok(());
        }
        // One more look after the end: the last lines may have come in between.
        was_running = is_running();
        if was_running {
            tokio::select! {
                () = clock.sleep(POLL) => {}
                () = writer.sender.closed() => return Ok(()),
            }
        }
    }
}

/// Where the last `lines` lines begin.
async fn tail_start(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    let mut found = 0;
    let mut end = length;
    let mut block = vec![];
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(begin)).await?;
        block.clear();
        (&mut *file).take(end - begin).read_to_end(&mut block).await?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = begin + index as u64 + 1;
            // The newline at the very end closes the last line and begins none.
            if after == length {
                continue;
            }
            found += 1;
            if found == lines {
                return Ok(after);
            }
        }
        end = begin;
    }
    Ok(0)
}

struct Writer<'a> {
    options: &'a Options,
    left: Option<u64>,
    at_line_start: bool,
    sender: mpsc::Sender<Bytes>,
}

impl Writer<'_> {
    /// Sends a line if it is wanted; false once the limit is reached.
    async fn line(&mut self, bytes: &[u8]) -> Result<bool, Closed> {
        let Some(line) = parse::line(bytes) else { return Ok(true) };
        let wrong_stream = self.options.stream.is_some_and(|stream| stream != line.stream);
        let too_old = self.options.since.is_some_and(|since| line.time().is_none_or(|time| time < since));
        if wrong_stream || too_old {
            return Ok(true);
        }
        let mut out = Vec::with_capacity(line.content.len() + 40);
        if self.options.timestamps && self.at_line_start {
            out.extend_from_slice(line.time_text.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.content);
        if !line.partial {
            out.push(b'\n');
        }
        self.at_line_start = !line.partial;
        if let Some(left) = &mut self.left {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
        }
        if !out.is_empty() {
            self.sender.send(out.into()).await.map_err(|_| Closed)?;
        }
        Ok(self.left != Some(0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use sdk_api::SystemClock;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn log() -> String {
        [
            "2026-01-01T00:00:01.000000000Z stdout F one\n",
            "2026-01-01T00:00:02.000000000Z stderr F two\n",
            "2026-01-01T00:00:03.000000000Z stdout P thr\n",
            "2026-01-01T00:00:03.000000001Z stdout F ee\n",
            "garbage\n",
            "2026-01-01T00:00:04.000000000Z stdout F four",
        ]
        .concat()
    }

    async fn read(path: &Path, options: &Options) -> String {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(64);
        let clock = SystemClock::default();
        let collect = async {
            let mut all = vec![];
            while let Some(bytes) = receiver.recv().await {
                all.extend_from_slice(&bytes);
            }
            String::from_utf8(all).unwrap()
        };
        let (copied, text) = tokio::join!(copy(path, options, &clock, || false, sender), collect);
        copied.unwrap();
        text
    }

    #[tokio::test]
    async fn options_choose_what_is_shown() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0.log");
        std::fs::write(&path, log()).unwrap();
        let options = Options::default;
        let stamp = "2026-01-01T00:00:0";
        for (case, options, want) in [
            ("all", options(), "one\ntwo\nthree\nfour\n".to_owned()),
            ("following what has ended", Options { follow: true, ..options() }, "one\ntwo\nthree\n".into()),
            ("tail", Options { tail_lines: Some(1), ..options() }, "four\n".into()),
            ("tail counts lines of the file", Options { tail_lines: Some(3), ..options() }, "ee\nfour\n".into()),
            ("tail of nothing", Options { tail_lines: Some(0), ..options() }, String::new()),
            ("tail of more", Options { tail_lines: Some(99), ..options() }, "one\ntwo\nthree\nfour\n".into()),
            ("one stream", Options { stream: Some(Stream::Stderr), ..options() }, "two\n".into()),
            (
                "since",
                Options { since: Some("2026-01-01T00:00:03Z".parse().unwrap()), ..options() },
                "three\nfour\n".into(),
            ),
            ("limit", Options { limit_bytes: Some(6), ..options() }, "one\ntw".into()),
            (
                "timestamps",
                Options { timestamps: true, since: Some("2026-01-01T00:00:03Z".parse().unwrap()), ..options() },
                format!("{stamp}3.000000000Z three\n{stamp}4.000000000Z four\n"),
            ),
        ] {
            assert_eq!(read(&path, &options).await, want, "{case}");
        }
    }

    #[tokio::test]
    async fn a_tail_spans_blocks() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0.log");
        let lines: String = (0..5000).map(|n| format!("2026-01-01T00:00:01.000000000Z stdout F line {n}\n")).collect();
        std::fs::write(&path, lines).unwrap();
        let text = read(&path, &Options { tail_lines: Some(1000), ..Options::default() }).await;
        assert!(text.starts_with("line 4000\n") && text.ends_with("line 4999\n"), "{}", &text[..20]);
    }

    #[tokio::test]
    async fn following_goes_on_across_rotation_and_ends_with_the_container() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0.log");
        let line = |text: &str| format!("2026-01-01T00:00:01.000000000Z stdout F {text}\n");
        std::fs::write(&path, line("old")).unwrap();
        let running = Arc::new(AtomicBool::new(true));
        let (sender, mut receiver) = mpsc::channel(64);
        let task = tokio::spawn({
            let (path, running) = (path.clone(), running.clone());
            async move {
                let clock = SystemClock::default();
                let options = Options { follow: true, ..Options::default() };
                copy(&path, &options, &clock, || running.load(Ordering::SeqCst), sender).await
            }
        });
        assert_eq!(receiver.recv().await.unwrap(), "old\n");
        let mut file = tokio::fs::OpenOptions::new().append(true).open(&path).await.unwrap();
        let grown = line("grown");
        let (head, rest) = grown.split_at(30);
        file.write_all(head.as_bytes()).await.unwrap();
        file.flush().await.unwrap();
        file.write_all(rest.as_bytes()).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), "grown\n");
        std::fs::rename(&path, temp.path().join("0.log.1")).unwrap();
        file.write_all(line("late").as_bytes()).await.unwrap();
        file.flush().await.unwrap();
        std::fs::write(&path, line("new")).unwrap();
        assert_eq!(receiver.recv().await.unwrap(), "late\n");
        assert_eq!(receiver.recv().await.unwrap(), "new\n");
        running.store(false, Ordering::SeqCst);
        assert_eq!(receiver.recv().await, None);
        task.await.unwrap().unwrap();
    }
}
