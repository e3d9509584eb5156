//! The termination message of a container: a file it may write, or the end of its log.

use std::path::Path;
use std::sync::Arc;

use sdk_plugin::node::Container;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::logs::parse;
use crate::pod::labels;
use crate::pod::members;
use crate::pod::slot::Slot;
use crate::running::Node;
use crate::volumes::mounts;

/// Source: `k8s.io/kubernetes/pkg/kubelet/container`, `MaxContainerTerminationMessageLength` and its log variants.
const MESSAGE_MAX: usize = 4096;
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;

impl Node {
    /// Reads what a container that has ended left behind, once.
    pub(crate) async fn read_last_words(&self, slot: &Arc<Slot>, run: &Container) {
        if !self.settings.on_host() || slot.state().messages.contains_key(&run.id) {
            return;
        }
        let policy = slot.pod().and_then(|pod| {
            members::find(&pod, &run.name).and_then(|member| member.spec.termination_message_policy.clone())
        });
        let file = mounts::message_file(&self.settings, &slot.uid, &run.name, labels::restarts(run));
        let mut message = head(&file).await;
        if message.is_empty() && policy.as_deref() == Some("FallbackToLogsOnError") && run.exit_code != 0 {
            message = log_end(Path::new(&run.log_path)).await;
        }
        slot.state().messages.insert(run.id.clone(), message);
    }
}

async fn head(path: &Path) -> String {
    // The container owned the file: it may have become anything.
    let is_file = tokio::fs::symlink_metadata(path).await.is_ok_and(|meta| meta.is_file());
    let Ok(file) = tokio::fs::File::open(path).await else { return String::new() };
    if !is_file {
        return String::new();
    }
    let mut bytes = vec![];
    if file.take(MESSAGE_MAX as u64).read_to_end(&mut bytes).await.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn log_end(path: &Path) -> String {
    const WINDOW: u64 = 64 << 10;
    let Ok(mut file) = tokio::fs::File::open(path).await else { return String::new() };
    let Ok(length) = file.metadata().await.map(|meta| meta.len()) else { return String::new() };
    if file.seek(std::io::SeekFrom::Start(length.saturating_sub(WINDOW))).await.is_err() {
        return String::new();
    }
    let mut bytes = vec![];
    if file.take(WINDOW).read_to_end(&mut bytes).await.is_err() {
        return String::new();
    }
    last_lines(&bytes)
}

fn last_lines(log: &[u8]) -> String {
    let lines: Vec<_> = log.split_inclusive(|b| *b == b'\n').filter_map(parse::line).collect();
    let from = lines.len().saturating_sub(LOG_LINES_MAX);
    let mut text = vec![];
    for line in &lines[from..] {
        text.extend_from_slice(line.content);
        if !line.partial {
            text.push(b'\n');
        }
    }
    let from = text.len().saturating_sub(LOG_BYTES_MAX);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_bounded() {
        let line = |text: &str| format!("2026-01-01T00:00:00.0Z stderr F {text}\n");
        assert_eq!(last_lines(line("boom").as_bytes()), "boom\n");
        let many: String = (0..100).map(|n| line(&n.to_string())).collect();
        assert!(last_lines(many.as_bytes()).starts_with("20\n"));
        assert_eq!(last_lines(line(&"x".repeat(5000)).as_bytes()).len(), LOG_BYTES_MAX);
        assert_eq!(last_lines(b"no log line\n"), "");
    }
}
