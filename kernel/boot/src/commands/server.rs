//! `kubernel server`: the API, the controllers and the scheduler, without a node; several may share one etcd.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ipnet::IpNet;

use crate::backend::StoreFlags;
use crate::commands::up;
use crate::options::{Place, Runtime, Up};
use crate::progress::Output;

#[derive(Clone, Debug, Args)]
pub struct Server {
    #[command(flatten)]
    pub place: Place,
    /// Address of the API; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// Write the admin's entry into this file, and touch no other
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreFlags,
    /// Folder of the authorities and the service-account key, the same for all servers of a cluster [default: in the data folder]
    #[arg(long)]
    pub pki_dir: Option<PathBuf>,
    /// Addresses of pods
    #[arg(long, default_value = "10.244.0.0/16")]
    pub pod_cidr: IpNet,
    /// Addresses of Services
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cidr: IpNet,
    /// How progress is written
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

pub async fn run(server: Server) -> Result<()> {
    let Server { place, listen, kubeconfig, store, pki_dir, pod_cidr, service_cidr, output } = server;
    // A cluster without nodes; the defaults of the rest concern nodes alone.
    let defaults = Up::new(&place.name, PathBuf::new(), PathBuf::new(), Runtime::None);
    up::run(Up { place, listen, kubeconfig, store, pki_dir, pod_cidr, service_cidr, output, ..defaults }).await
}
