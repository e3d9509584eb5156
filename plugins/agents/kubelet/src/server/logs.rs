//! `/containerLogs/{namespace}/{pod}/{container}`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_plugin::node::{Container, ContainerState};
use tokio::sync::mpsc;

use crate::logs::parse::Stream;
use crate::logs::read::{self, Options};
use crate::pod::members;
use crate::server::route::Query;
use crate::server::{Body, NodeServer, text};

/// Pieces of a log that wait for a slow reader.
const PIECES_MAX: usize = 64;

pub(crate) fn answer(
    server: &Arc<NodeServer>,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
) -> Response<Body> {
    let Some((node, slot, pod)) = server.find_pod(namespace, name) else {
        return text(StatusCode::NOT_FOUND, &format!("pod {name:?} not found"));
    };
    if members::find(&pod, container).is_none() {
        let message = format!("container {container:?} not found in pod {name:?}");
        return text(StatusCode::NOT_FOUND, &message);
    }
    let options = match options(query, node.now()) {
        Ok(options) => options,
        Err(message) => return text(StatusCode::UNPROCESSABLE_ENTITY, &message),
    };
    let run = {
        let state = slot.state();
        let waiting = waiting(state.pod.as_deref().unwrap_or(&pod), container);
        choose(state.observed.runs(container), query.is_set(&["previous"]), name, container, &waiting)
    };
    let run = match run {
        Ok(run) => run,
        Err(message) => return text(StatusCode::BAD_REQUEST, &message),
    };
    if !node.settings.on_host() {
        return text(StatusCode::NOT_IMPLEMENTED, "this node is simulated and has no logs");
    }
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let clock = node.clock.clone();
    tokio::spawn(async move {
        let is_running = || {
            let state = slot.state();
            state.observed.containers.iter().any(|known| known.id == run.id && known.state == ContainerState::Running)
        };
        let path = PathBuf::from(&run.log_path);
        if let Err(error) = read::copy(&path, &options, clock.as_ref(), is_running, sender.clone()).await {
            let message = format!("failed to try resolving symlinks in path {:?}: {error}\n", run.log_path);
            let _ = sender.send(Bytes::from(message)).await;
        }
    });
    let next = |mut receiver: mpsc::Receiver<Bytes>| async {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
    };
    let mut response = Response::new(StreamBody::new(stream::unfold(receiver, next)).boxed());
    let kind = http::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

/// What a container without a run waits for, as its status says. Source: `validateContainerLogStatus`.
fn waiting(pod: &Pod, container: &str) -> String {
    let status = pod.status.as_ref();
    let lists = status.into_iter().flat_map(|status| {
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses]
    });
    let mut statuses = lists.flatten().flatten();
    let found = statuses.find(|status| status.name == container);
    let reason = found.and_then(|status| status.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    match reason {
        Some("ErrImagePull") => "image can't be pulled".into(),
        Some("ImagePullBackOff") => "trying and failing to pull image".into(),
        other => other.unwrap_or("ContainerCreating").into(),
    }
}

/// The run whose log is meant, of the runs from the newest to the oldest.
fn choose<'a>(
    runs: impl Iterator<Item = &'a Container>,
    previous: bool,
    pod: &str,
    container: &str,
    waiting: &str,
) -> Result<Container, String> {
    // A run that never started wrote nothing.
    let mut started = runs.filter(|run| run.state != ContainerState::Created);
    let Some(latest) = started.next() else {
        return Err(if previous {
            format!("previous terminated container {container:?} in pod {pod:?} not found")
        } else {
            format!("container {container:?} in pod {pod:?} is waiting to start: {waiting}")
        });
    };
    if !previous {
        return Ok(latest.clone());
    }
    // A container that is down waits for its next run: the one that ended is then the previous one.
    let before = if latest.state == ContainerState::Exited { Some(latest) } else { started.next() };
    before.cloned().ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"))
}

fn options(query: &Query, now: Timestamp) -> Result<Options, String> {
    let number = |key: &str| match query.get(key).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("invalid {key}: {text:?}")),
    };
    let since_seconds =
        number("sinceSeconds")?.map(|seconds| now - std::time::Duration::from_secs(seconds.min(1 << 32)));
    let since_time = match query.get("sinceTime").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| format!("invalid sinceTime: {text:?}"))?),
    };
    Ok(Options {
        follow: query.is_set(&["follow"]),
        tail_lines: number("tailLines")?,
        since: since_time.or(since_seconds),
        timestamps: query.is_set(&["timestamps"]),
        limit_bytes: number("limitBytes")?,
        stream: match query.get("stream") {
            None | Some("" | "All") => None,
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            Some(other) => return Err(format!("invalid stream: {other:?}")),
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::test_support::{at, pod, run};

    #[test]
    fn the_right_run_is_chosen() {
        let (old, live, dead, new) =
            (run("c", 0, "exited 1"), run("c", 1, "running"), run("c", 1, "exited 1"), run("c", 2, "created"));
        let waits = "container \"c\" in pod \"p\" is waiting to start: ContainerCreating";
        let none = "previous terminated container \"c\" in pod \"p\" not found";
        for (case, runs, previous, want) in [
            ("running", vec![&live, &old], false, Ok(("c1", ContainerState::Running))),
            ("before the running one", vec![&live, &old], true, Ok(("c0", ContainerState::Exited))),
            ("first run", vec![&live], true, Err(none)),
            ("down", vec![&dead, &old], false, Ok(("c1", ContainerState::Exited))),
            ("down, previous", vec![&dead, &old], true, Ok(("c1", ContainerState::Exited))),
            ("about to start", vec![&new, &dead], false, Ok(("c1", ContainerState::Exited))),
            ("never started", vec![&new], false, Err(waits)),
            ("nothing", vec![], true, Err(none)),
        ] {
            let got = choose(runs.into_iter(), previous, "p", "c", "ContainerCreating");
            let got = got.as_ref().map(|run| (run.id.as_str(), run.state)).map_err(String::as_str);
            assert_eq!(got, want, "{case}");
        }
    }

    #[test]
    fn what_a_container_waits_for() {
        for (reason, told) in [
            (None, "ContainerCreating"),
            (Some("PodInitializing"), "PodInitializing"),
            (Some("ImagePullBackOff"), "trying and failing to pull image"),
        ] {
            let mut pod = pod(json!({"containers": [{"name": "c"}]}));
            let state = json!({"waiting": {"reason": reason}});
            let status = json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": state}]});
            pod.status = serde_json::from_value(status).unwrap();
            assert_eq!(waiting(&pod, "c"), told);
        }
    }

    #[test]
    fn options_are_read() {
        let query = Query::parse("follow=true&tailLines=5&sinceSeconds=10&stream=Stderr&limitBytes=7");
        let read = options(&query, at(100)).unwrap();
        assert_eq!(
            (read.follow, read.tail_lines, read.limit_bytes, read.stream),
            (true, Some(5), Some(7), Some(Stream::Stderr))
        );
        assert_eq!(read.since, Some(at(90)));
        for wrong in ["tailLines=-1", "limitBytes=x", "sinceTime=yesterday", "stream=Both"] {
            assert!(options(&Query::parse(wrong), at(0)).is_err(), "{wrong}");
        }
    }
}
