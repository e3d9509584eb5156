//! One pod on this node, as its worker keeps it in mind.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Object, Timestamp};
use sdk_plugin::node::LinuxResources;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::pod::backoff::Backoffs;
use crate::pod::observed::Observed;
use crate::pod::plan::Waiting;
use crate::pod::status::Life;
use crate::probe::Verdicts;
use crate::probe::runner::Probing;

/// A pod, known by its uid: from the API, from the runtime, or both.
pub(crate) struct Slot {
    pub(crate) uid: String,
    state: Mutex<State>,
    /// What the worker is doing is out of date.
    pub(crate) interrupt: Notify,
    /// Held while a status is computed and sent.
    pub(crate) reporting: tokio::sync::Mutex<()>,
}

/// Where the pod is in its life here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It should run.
    #[default]
    Running,
    /// Its containers are being stopped.
    Ending,
    /// Nothing runs any more, and the final status has been sent.
    Ended,
    /// And it has been deleted in the API, as far as that depends on this node.
    Deleted,
}

/// How a pod is brought to its end.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// On the monotonic clock: when the last container is killed.
    pub(crate) deadline: Duration,
}

/// Whether a task is at work, and whether it must look again when it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    #[default]
    Idle,
    Busy,
    Again,
}

#[derive(Default)]
pub(crate) struct State {
    /// The newest state of the API, and its typed view.
    pub(crate) object: Option<Arc<Object>>,
    pub(crate) pod: Option<Arc<Pod>>,
    /// The API does not have it any more.
    pub(crate) gone: bool,
    pub(crate) observed: Observed,
    /// When `observed` was last changed by what the worker did, in the node's count.
    pub(crate) touched: u64,
    pub(crate) stage: Stage,
    pub(crate) ending: Option<Ending>,
    pub(crate) life: Life,
    pub(crate) waiting: BTreeMap<String, Waiting>,
    pub(crate) not_before: BTreeMap<String, Timestamp>,
    pub(crate) backoffs: Backoffs,
    pub(crate) pull_backoffs: Backoffs,
    /// Why pulling an image failed last, by image.
    pub(crate) pull_errors: HashMap<String, Waiting>,
    pub(crate) verdicts: Verdicts,
    pub(crate) probing: HashMap<String, Probing>,
    /// What ended containers left behind, by ID.
    pub(crate) messages: HashMap<String, String>,
    /// Containers whose preStop hook has run.
    pub(crate) pre_stopped: HashSet<String>,
    /// Containers whose end has been announced.
    pub(crate) announced: HashSet<String>,
    /// It has a place on this node.
    pub(crate) admitted: bool,
    /// The limits that running containers were given last, by ID.
    pub(crate) applied: HashMap<String, LinuxResources>,
    /// Its cgroup and directories are there.
    pub(crate) prepared: bool,
    /// Volumes as they were set up last: path by name.
    pub(crate) volumes: Option<BTreeMap<String, std::path::PathBuf>>,
    /// Refresh volumes on the next look.
    pub(crate) volumes_stale: bool,
    /// The last failure that was told by an event, to tell it once.
    pub(crate) told: HashMap<&'static str, String>,
    pub(crate) work: Work,
    pub(crate) report: Work,
    pub(crate) timer: Option<Timer>,
}

/// The next look that nobody asked for.
pub(crate) struct Timer(pub(crate) AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Slot {
    pub(crate) fn new(uid: &str) -> Arc<Self> {
        Arc::new(Self {
            uid: uid.into(),
            state: Mutex::default(),
            interrupt: Notify::new(),
            reporting: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pod(&self) -> Option<Arc<Pod>> {
        self.state().pod.clone()
    }
}

impl State {
    /// Takes a state of the API, unless a newer one is known. True if it was new.
    pub(crate) fn take(&mut self, object: Arc<Object>) -> bool {
        if self.object.as_ref().is_some_and(|known| known.revision() >= object.revision()) {
            return false;
        }
        match object.typed::<Pod>() {
            Ok(pod) => {
                self.pod = Some(pod);
                self.object = Some(object);
                true
            }
            Err(error) => {
                tracing::error!(key = %object.key(), %error, "A stored pod does not fit its type.");
                false
            }
        }
    }
}
