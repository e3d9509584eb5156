//! Images for tests, built on the spot from the machine's static busybox.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use providers_runtime_cri::images::ImageBuilder;

/// The sandbox image, as the private containerd's configuration names it.
pub const PAUSE: &str = "kubernel.local/pause:1";
/// busybox with `sleep` as its command.
pub const BUSYBOX: &str = "kubernel.local/busybox:1";
/// The same under a second tag, for image updates.
pub const BUSYBOX_NEXT: &str = "kubernel.local/busybox:2";
/// The example application's image.
pub const WEB: &str = "kubernel.local/web:1";

/// The sandbox image.
pub fn pause() -> Result<ImageBuilder> {
    Ok(ImageBuilder::pause(PAUSE)?)
}

/// busybox under a name. Its command sleeps and ends at once on SIGTERM, which a bare `sleep` as first process does not.
pub fn busybox(name: &str) -> Result<ImageBuilder> {
    let sleep = "trap 'exit 0' TERM INT; sleep 2147483647 & wait";
    // Tags differ in an environment variable, so that they are different images too.
    Ok(ImageBuilder::busybox(name)?.cmd(["/bin/sh", "-c", sleep]).env("IMAGE", name))
}

/// All images that tests use, saved as archives in a folder.
pub fn save_all(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for (file, image) in
        [("pause.tar", pause()?), ("busybox.tar", busybox(BUSYBOX)?), ("next.tar", busybox(BUSYBOX_NEXT)?)]
    {
        let path = folder.join(file);
        image.save(&path)?;
        archives.push(path);
    }
    archives.push(example(folder, "web")?);
    Ok(archives)
}

/// An image of `examples/images`, built by the script that users run.
pub fn example(folder: &Path, name: &str) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("examples/images/build"))
        .find(|script| script.exists())
        .context("examples/images/build is missing")?;
    let output =
        Command::new(&script).arg("-o").arg(folder).arg(name).output().context("cannot run the build script")?;
    ensure!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    Ok(folder.join(format!("{name}.tar")))
}
