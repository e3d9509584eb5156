//! Puts an image archive into containerd, through its tool `ctr`.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sdk_plugin::node::NodeRuntime;

use super::Error;
use super::archive::{self, Summary};
use crate::CriRuntime;

/// containerd's namespace of what CRI sees.
const NAMESPACE: &str = "k8s.io";
/// How long containerd may take to show CRI what was imported beside it, and how often it is asked.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Loads the images of an archive, an OCI layout or a `docker save` file, plain or by gzip. Returns their full names,
/// once the runtime has them.
pub async fn load(runtime: &CriRuntime, file: &Path) -> Result<Vec<String>, Error> {
    let socket = runtime.socket().to_owned();
    // An image is unpacked where the runtime will look for it; without an answer, that is containerd's default.
    let snapshotter = runtime.info().await.ok().and_then(|info| info.snapshotter);
    let path = file.to_owned();
    let summary = tokio::task::spawn_blocking(move || {
        let summary = archive::inspect(&path)?;
        import(&socket, snapshotter.as_deref(), &path, &summary)?;
        Ok(summary)
    })
    .await
    .map_err(|error| Error::Refused { path: file.to_owned(), message: error.to_string() })??;
    for name in &summary.names {
        shown(runtime, name).await?;
    }
    Ok(summary.names)
}

/// Loads an archive without asking CRI, as tests do that only have containerd's socket. Blocks.
pub fn load_into(socket: &Path, snapshotter: Option<&str>, file: &Path) -> Result<Vec<String>, Error> {
    let summary = archive::inspect(file)?;
    import(socket, snapshotter, file, &summary)?;
    Ok(summary.names)
}

fn import(socket: &Path, snapshotter: Option<&str>, file: &Path, summary: &Summary) -> Result<(), Error> {
    let refused = |message: String| Error::Refused { path: file.to_owned(), message };
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket).args(["--namespace", NAMESPACE, "images", "import"]);
    if let Some(snapshotter) = snapshotter {
        command.args(["--snapshotter", snapshotter]);
    }
    command.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::CtrMissing,
        _ => refused(format!("ctr cannot be run: {error}")),
    })?;
    let mut stdin = child.stdin.take().expect("stdin was piped");
    let copied = archive::copy(file, summary, &mut stdin).and_then(|()| stdin.flush());
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| refused(format!("ctr: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.trim().trim_start_matches("ctr: ");
        return Err(refused(if words.is_empty() {
            format!("ctr ended with {}", output.status)
        } else {
            words.to_owned()
        }));
    }
    // ctr stops reading after the archive's end mark, so only a broken pipe of a success is no failure.
    match copied {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Read { path: PathBuf::from(file), source: error })
        }
        _ => Ok(()),
    }
}

/// Waits until CRI has the image: it learns of an import by an event, and a pod that is faster would try to pull.
async fn shown(runtime: &CriRuntime, name: &str) -> Result<(), Error> {
    let asking = async {
        loop {
            match runtime.image(name).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => tokio::time::sleep(ASK_EVERY).await,
                Err(error) => return Err(Error::NotShown { name: name.to_owned(), reason: error.to_string() }),
            }
        }
    };
    match tokio::time::timeout(SHOWN_WITHIN, asking).await {
        Ok(result) => result,
        Err(_) => Err(Error::NotShown { name: name.to_owned(), reason: "not within 10 seconds".to_owned() }),
    }
}
