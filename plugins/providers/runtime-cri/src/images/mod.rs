//! Image archives: OCI layouts and `docker save` files. CRI can pull images and not take them, so loading goes through
//! containerd's own tool, `ctr`.
//!
//! - [`build`]: makes an archive from busybox and files, without a daemon.
//! - [`archive`]: says what an archive holds.
//! - [`load`]: puts an archive into the runtime.

pub mod archive;
pub mod build;
pub mod load;

use std::path::PathBuf;

pub use archive::{Format, Summary};
pub use build::ImageBuilder;

/// Why an image archive could not be read, made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write the image archive")]
    Write {
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is no image archive: it is a tar file neither with an oci-layout nor with a docker manifest.json")]
    NotAnImage { path: PathBuf },
    #[error("{path} is no image archive: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error(
        "the images in {path} have no full names. Save the archive under a name and tag, such as example.com/app:1"
    )]
    Nameless { path: PathBuf },
    #[error("busybox is missing: {reason}. Install the package busybox-static")]
    Busybox { reason: String },
    #[error("the program ctr is missing. It comes with containerd: install the package containerd")]
    CtrMissing,
    #[error("containerd did not take {path}: {message}")]
    Refused { path: PathBuf, message: String },
    #[error("{name} was loaded, but the runtime does not show it: {reason}")]
    NotShown { name: String, reason: String },
}
