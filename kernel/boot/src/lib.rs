//! The binary's inside: which plugins are built in, how a cluster is put together, and the command line.

pub mod backend;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod data_dir;
pub mod footprint;
pub mod kubeconfig;
pub mod nodes;
pub mod options;
pub mod pki;
pub mod plugins;
pub mod preflight;
pub mod progress;
