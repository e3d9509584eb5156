//! Gets a container's image onto the node, as its pull policy says.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_plugin::EventType;
use sdk_plugin::node::Image;

use crate::container::pull_secrets;
use crate::pod::members::Member;
use crate::pod::plan::Waiting;
use crate::pod::slot::Slot;
use crate::running::Node;

/// Pause while the runtime cannot say what it has.
const INSPECT_RETRY: Duration = Duration::from_secs(5);

/// An image that containers can be made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) reference: String,
    /// Who it runs as, where it says so.
    pub(crate) uid: Option<i64>,
    pub(crate) username: String,
}

impl Ready {
    fn of(image: Image) -> Self {
        Self { reference: image.id, uid: image.uid, username: image.username }
    }
}

/// Adds `:latest` where the reference names neither tag nor digest. Fails where it is none.
///
/// Source: `distribution/reference`, the grammar of image references.
fn normalize(image: &str) -> Result<String, ()> {
    let (rest, digest) = image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
    let last_part = rest.rfind('/').map_or(0, |slash| slash + 1);
    let tag_at = rest[last_part..].find(':').map(|colon| last_part + colon);
    let (name, tag) = tag_at.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    let is_tag = |tag: &str| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        tag.len() <= 128
            && tag.bytes().next().is_some_and(word)
            && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
    };
    let is_digest = |digest: &str| {
        digest.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty() && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    let mut parts = name.split('/').peekable();
    let first = *parts.peek().ok_or(())?;
    let has_domain = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if has_domain {
        parts.next();
        if !first.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
            return Err(());
        }
    }
    let is_part = |part: &str| {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let edge = |b: Option<u8>| b.is_some_and(word);
        edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(|b| word(b) || b"._-".contains(&b))
    };
    if !parts.all(is_part) || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return Err(());
    }
    Ok(if tag.is_none() && digest.is_none() { format!("{image}:latest") } else { image.into() })
}

impl Node {
    /// The image, or why the container must wait and how long.
    pub(crate) async fn ensure_image(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        member: &Member<'_>,
    ) -> Result<Ready, (Waiting, Duration)> {
        let path = member.field_path();
        let event = |kind: EventType, reason: &str, message: &str| self.event(pod, Some(&path), kind, reason, message);
        let named = member.spec.image.clone().unwrap_or_default();
        let Ok(image) = normalize(&named) else {
            let message = format!(
                "Failed to apply default image tag {named:?}: couldn't parse image name {named:?}: invalid reference format"
            );
            event(EventType::Warning, "InspectFailed", &message);
            event(EventType::Warning, "Failed", "Error: InvalidImageName");
            return Err((Waiting::new("InvalidImageName", message), Duration::from_secs(30)));
        };
        let policy = member.spec.image_pull_policy.as_deref().filter(|policy| !policy.is_empty());
        let policy = policy.unwrap_or_else(|| sdk_workload::default_pull_policy(&named));
        let known = self.runtime().image(&image).await.map_err(|error| {
            let message = format!("Failed to inspect image {image:?}: {error}");
            event(EventType::Warning, "InspectFailed", &message);
            (Waiting::new("ImageInspectError", message), INSPECT_RETRY)
        })?;
        match (policy, known) {
            ("IfNotPresent" | "Never", Some(known)) => {
                let message = format!("Container image {named:?} already present on machine");
                event(EventType::Normal, "Pulled", &message);
                Ok(Ready::of(known))
            }
            ("Never", None) => {
                let message = format!("Container image {named:?} is not present with pull policy of Never");
                event(EventType::Warning, "ErrImageNeverPull", &message);
                event(EventType::Warning, "Failed", "Error: ErrImageNeverPull");
                Err((Waiting::new("ErrImageNeverPull", message), Duration::from_secs(30)))
            }
            _ => self.pull(slot, pod, &path, &named, &image).await,
        }
    }

    async fn pull(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        path: &str,
        named: &str,
        image: &str,
    ) -> Result<Ready, (Waiting, Duration)> {
        let event = |kind: EventType, reason: &str, message: &str| self.event(pod, Some(path), kind, reason, message);
        let now = self.now();
        let (held, last_error) = {
            let state = slot.state();
            // A pull's back-off counts from its own last try.
            let held = state.pull_backoffs.wait_since_last(image, now);
            (held, state.pull_errors.get(image).cloned())
        };
        if let Some(left) = held {
            let base = format!("Back-off pulling image {named:?}");
            event(EventType::Normal, "BackOff", &base);
            event(EventType::Warning, "Failed", "Error: ImagePullBackOff");
            let message = match last_error {
                Some(error) => format!("{base}: {}: {}", error.reason, error.message),
                None => base,
            };
            return Err((Waiting::new("ImagePullBackOff", message), left));
        }
        event(EventType::Normal, "Pulling", &format!("Pulling image {named:?}"));
        let begun = self.clock.monotonic();
        let mut auths = pull_secrets::of_pod(&self.client, pod, image).await;
        auths.push(None);
        let mut pulled = Err(String::new());
        for auth in &auths {
            pulled = self.runtime().pull_image(image, auth.as_ref()).await.map_err(|error| error.to_string());
            if pulled.is_ok() {
                break;
            }
        }
        match pulled {
            Ok(reference) => {
                let took = self.clock.monotonic().saturating_sub(begun);
                let found = self.runtime().image(image).await.ok().flatten();
                let size = found.as_ref().map_or(0, |image| image.size_bytes);
                let message = format!(
                    "Successfully pulled image {named:?} in {took} ({took} including waiting). Image size: {size} bytes.",
                    took = took_text(took)
                );
                event(EventType::Normal, "Pulled", &message);
                let mut state = slot.state();
                state.pull_backoffs.forget(image);
                state.pull_errors.remove(image);
                drop(state);
                Ok(found.map_or(Ready { reference: reference.clone(), ..Ready::default() }, Ready::of))
            }
            Err(error) => {
                let message = format!("Failed to pull image {named:?}: {error}");
                event(EventType::Warning, "Failed", &message);
                event(EventType::Warning, "Failed", "Error: ErrImagePull");
                let waiting = Waiting::new("ErrImagePull", error);
                let now: Timestamp = self.now();
                let mut state = slot.state();
                state.pull_backoffs.next(image, now, now);
                state.pull_errors.insert(image.into(), waiting.clone());
                // The next look, soon, turns this into ImagePullBackOff.
                Err((waiting, Duration::from_secs(1)))
            }
        }
    }
}

/// A duration as Go writes it, to the millisecond: `1.204s`, `35ms`, `2m3.5s`.
fn took_text(took: Duration) -> String {
    let millis = took.as_millis();
    match millis {
        0..1000 => format!("{millis}ms"),
        _ => {
            let (minutes, rest) = (millis / 60_000, millis % 60_000);
            let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.').to_owned();
            if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_checked_and_completed() {
        let hex = "a".repeat(64);
        let digest = format!("x@sha256:{hex}");
        let both = format!("x:1@sha256:{hex}");
        for (image, want) in [
            ("busybox", Ok("busybox:latest")),
            ("busybox:1.36", Ok("busybox:1.36")),
            ("reg.example:5000/a/b", Ok("reg.example:5000/a/b:latest")),
            ("reg.example:5000/a/b:v1", Ok("reg.example:5000/a/b:v1")),
            ("localhost/a", Ok("localhost/a:latest")),
            (&digest, Ok(&*digest)),
            (&both, Ok(&*both)),
            ("a__b/c--d", Ok("a__b/c--d:latest")),
            ("", Err(())),
            ("Busybox", Err(())),
            ("a:", Err(())),
            ("a:b c", Err(())),
            ("a//b", Err(())),
            ("/a", Err(())),
            ("a@sha256:xyz", Err(())),
            ("-a", Err(())),
        ] {
            assert_eq!(normalize(image).as_deref(), want.as_ref().copied(), "{image}");
        }
    }

    #[test]
    fn times_read_as_go_writes_them() {
        for (millis, text) in [(35, "35ms"), (1204, "1.204s"), (2000, "2s"), (123_500, "2m3.5s")] {
            assert_eq!(took_text(Duration::from_millis(millis)), text);
        }
    }
}
