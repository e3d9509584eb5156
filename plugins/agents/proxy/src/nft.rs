//! The tools of the operating system: `nft`, `conntrack` and a few kernel settings.

use std::process::Stdio;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tracing::{info, warn};

use crate::service::Flow;

/// Why the rules could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot run {program}: is the Debian package {package} installed?")]
    Missing {
        program: &'static str,
        package: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} refused: {message}")]
    Refused { program: &'static str, message: String },
    #[error("{setting} is 0 and cannot be set to 1, so the node cannot forward traffic to pods")]
    Forwarding {
        setting: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// What the machine is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Traffic between ports of a bridge passes through netfilter.
    pub bridges_are_filtered: bool,
}

/// Where rules go. Behind it stands the machine, or nothing for nodes that are only simulated.
#[async_trait]
pub trait Nft: Send + Sync + 'static {
    /// Sees to what rules cannot do, such as forwarding.
    async fn prepare(&self) -> Result<Machine, Error>;
    /// Applies a script in one transaction: all of it or nothing.
    async fn apply(&self, script: &str) -> Result<(), Error>;
    /// Makes the connection tracker forget flows.
    async fn forget(&self, flow: &Flow) -> Result<(), Error>;
}

/// Takes everything and does nothing: for simulated nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

#[async_trait]
impl Nft for Discard {
    async fn prepare(&self) -> Result<Machine, Error> {
        Ok(Machine { bridges_are_filtered: true })
    }

    async fn apply(&self, _script: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn forget(&self, _flow: &Flow) -> Result<(), Error> {
        Ok(())
    }
}

/// This machine, or one of its network namespaces.
#[derive(Clone, Debug, Default)]
pub struct System {
    namespace: Option<String>,
}

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Whether IPv4 packets for any address find a way out, which they need before their destination is translated.
async fn has_default_route() -> bool {
    let routes = tokio::fs::read_to_string("/proc/net/route").await.unwrap_or_default();
    // Interface, destination, gateway, flags, and so on; the eighth is the mask.
    let is_default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    };
    routes.lines().any(is_default)
}

impl System {
    /// Acts in the network namespace of this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Acts in a network namespace that `ip netns` knows.
    pub fn in_namespace(name: &str) -> Self {
        Self { namespace: Some(name.into()) }
    }

    fn command(&self, program: &str) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
        }
    }
}

#[async_trait]
impl Nft for System {
    async fn prepare(&self) -> Result<Machine, Error> {
        if self.namespace.is_some() {
            return Ok(Machine { bridges_are_filtered: false });
        }
        let setting = "net.ipv4.ip_forward";
        if tokio::fs::read_to_string(IP_FORWARD).await.is_ok_and(|value| value.trim() == "0") {
            let written = tokio::fs::write(IP_FORWARD, "1").await;
            written.map_err(|source| Error::Forwarding { setting, source })?;
            info!(setting, "Enabled forwarding, which Services and pods need.");
        }
        if !has_default_route().await {
            warn!(
                "This machine has no default route: pods reach cluster IPs, but the node itself cannot send to them."
            );
        }
        let bridges_are_filtered = match tokio::fs::read_to_string(BRIDGE_FILTER).await {
            Ok(value) if value.trim() == "1" => true,
            Ok(_) => tokio::fs::write(BRIDGE_FILTER, "1").await.is_ok(),
            Err(_) => false,
        };
        if !bridges_are_filtered {
            info!(
                "Pods of this node reach each other's Services with the node's address, \
                 since the kernel module br_netfilter is not in use."
            );
        }
        Ok(Machine { bridges_are_filtered })
    }

    async fn apply(&self, script: &str) -> Result<(), Error> {
        let missing = |source| Error::Missing { program: "nft", package: "nftables", source };
        let mut child = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(missing)?;
        let mut input = child.stdin.take().expect("stdin is piped");
        // A refusal may come before all is read; then its message counts, not the broken pipe.
        let _ = input.write_all(script.as_bytes()).await;
        drop(input);
        let output = child.wait_with_output().await.map_err(missing)?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let message = text.lines().take(5).collect::<Vec<_>>().join("; ");
        Err(Error::Refused { program: "nft", message })
    }

    async fn forget(&self, flow: &Flow) -> Result<(), Error> {
        let mut command = self.command("conntrack");
        command.args(["-D", "-f", if flow.v6 { "ipv6" } else { "ipv4" }, "-p", &flow.protocol.to_string()]);
        command.args(["--dport", &flow.port.to_string()]);
        if let Some(to) = flow.to {
            command.args(["--orig-dst", &to.to_string()]);
        }
        if let Some(endpoint) = flow.endpoint {
            command.args(["--dst-nat", &endpoint.to_string()]);
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(|source| Error::Missing { program: "conntrack", package: "conntrack", source })?;
        let text = String::from_utf8_lossy(&output.stderr);
        // It fails when it found nothing, which is fine.
        if output.status.success() || text.contains("0 flow entries have been deleted") {
            return Ok(());
        }
        warn!(?flow, "The connection tracker did not forget a flow.");
        Err(Error::Refused { program: "conntrack", message: text.trim().to_owned() })
    }
}
