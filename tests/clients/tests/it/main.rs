//! One binary for all client programs.

mod helm;
mod kube_rs;
mod programs;
