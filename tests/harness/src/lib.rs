//! Boots a cluster in process and runs real clients against it.

pub mod cluster;
pub mod containerd;
pub mod desk;
pub mod images;
pub mod kubectl;
pub mod real;
pub mod transcript;
