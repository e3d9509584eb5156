//! Where a cluster keeps its objects: the embedded log, memory, or an etcd that several servers share.

use std::any::Any;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use kernel_store::{Disk, Limits, LogStore, MemoryStore, Options as LogOptions, RealDisk, Store};
use kernel_store_etcd::{Address, EtcdStore, Options as EtcdOptions, TlsFiles};
use sdk_api::Clock;
use serde_json::{Value, json};

use crate::data_dir::DataDir;

/// What keeps the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A log in the data directory.
    Log,
    /// Nothing outlives the process.
    Memory,
    /// `etcd://HOST:PORT,...[/PREFIX]`, which other servers may use too.
    Etcd(String),
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "log" => Ok(Self::Log),
            "memory" => Ok(Self::Memory),
            _ if text.starts_with("etcd://") => Ok(Self::Etcd(text.to_owned())),
            _ => Err("it is log, memory or etcd://HOST:2379,HOST:2379/PREFIX".into()),
        }
    }
}

/// The flags that choose a backend. Those of certificates are named as the Kubernetes API server's.
#[derive(Clone, Debug, Args)]
pub struct StoreFlags {
    /// Where objects are kept: log (in the data folder), memory, or etcd://HOST:2379,HOST:2379/PREFIX
    #[arg(long, default_value = "log")]
    pub store: Backend,
    /// The authority of etcd's certificate; makes the connection a TLS one
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    /// Our certificate for etcd
    #[arg(long)]
    pub etcd_certfile: Option<PathBuf>,
    /// The key of our certificate for etcd
    #[arg(long)]
    pub etcd_keyfile: Option<PathBuf>,
}

impl Default for StoreFlags {
    fn default() -> Self {
        Self { store: Backend::Log, etcd_cafile: None, etcd_certfile: None, etcd_keyfile: None }
    }
}

impl StoreFlags {
    /// Whether other servers may have the same store.
    pub fn is_shared(&self) -> bool {
        matches!(self.store, Backend::Etcd(_))
    }

    /// What is wrong with the flags, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let Backend::Etcd(text) = &self.store else {
            if self.etcd_cafile.is_some() || self.etcd_certfile.is_some() || self.etcd_keyfile.is_some() {
                return Err("--etcd-cafile, --etcd-certfile and --etcd-keyfile need --store etcd://...".into());
            }
            return Ok(());
        };
        self.address(text).map(drop)
    }

    fn address(&self, text: &str) -> Result<Address, String> {
        let client = match (&self.etcd_certfile, &self.etcd_keyfile) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            _ => return Err("--etcd-certfile and --etcd-keyfile belong together".into()),
        };
        let tls = match (&self.etcd_cafile, client) {
            (Some(ca), client) => Some(TlsFiles { ca: ca.clone(), client }),
            (None, None) => None,
            (None, Some(_)) => return Err("--etcd-certfile needs --etcd-cafile, the authority of etcd itself".into()),
        };
        Address::parse(text, tls).map_err(|error| format!("--store: {error}"))
    }
}

/// A store that was opened, and what to tell of it.
pub struct Opened {
    pub store: Arc<dyn Store>,
    /// Held while the cluster runs, where the store itself holds no lock in the data directory.
    pub lock: Option<Box<dyn Any + Send + Sync>>,
    pub words: String,
    pub facts: Value,
}

/// Opens the store that the flags choose.
pub async fn open(flags: &StoreFlags, dir: &DataDir, clock: Arc<dyn Clock>) -> Result<Opened> {
    match &flags.store {
        Backend::Log => {
            let options = LogOptions::new(dir.store(), clock);
            let (store, recovery) = tokio::task::spawn_blocking(move || LogStore::open(options)).await??;
            let revision = store.revision();
            Ok(Opened {
                store: Arc::new(store),
                lock: None,
                words: format!("Opened the store in {} at revision {revision}", dir.store().display()),
                facts: json!({"directory": dir.store(), "revision": revision,
                    "tornBytes": recovery.torn.as_ref().map(|torn| torn.bytes)}),
            })
        }
        Backend::Memory => Ok(Opened {
            store: Arc::new(MemoryStore::new(clock, Limits::default())),
            lock: Some(lock(dir)?),
            words: "Opened a store in memory, which ends with this process".into(),
            facts: json!({}),
        }),
        Backend::Etcd(text) => {
            let lock = lock(dir)?;
            let address = flags.address(text).map_err(anyhow::Error::msg)?;
            let store = EtcdStore::open(EtcdOptions::new(address, clock, rand::random())).await?;
            let revision = store.revision();
            Ok(Opened {
                store: Arc::new(store),
                lock: Some(lock),
                words: format!("Opened the store in {text} at revision {revision}"),
                facts: json!({"etcd": text, "revision": revision}),
            })
        }
    }
}

/// Two servers do not share a data directory, whatever their store.
fn lock(dir: &DataDir) -> Result<Box<dyn Any + Send + Sync>> {
    let path = dir.lock_file();
    let folder = dir.store();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    match RealDisk.lock(&path, &std::process::id().to_string()) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            bail!("another process uses {}; choose another folder with --data-dir", dir.root.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_do_not_fit_are_named() {
        let path = || Some(PathBuf::from("/f"));
        for (store, [ca, certificate, key], wrong) in [
            ("log", [None, None, None], None),
            ("memory", [None, None, None], None),
            ("etcd://a,b", [None, None, None], None),
            ("etcd://a", [path(), path(), path()], None),
            ("etcd://a", [path(), None, None], None),
            ("etcd://a", [None, path(), path()], Some("--etcd-cafile")),
            ("etcd://a", [path(), path(), None], Some("belong together")),
            ("etcd://a:b", [None, None, None], Some("--store")),
            ("log", [path(), None, None], Some("need --store etcd://")),
        ] {
            let flags = StoreFlags {
                store: store.parse().unwrap(),
                etcd_cafile: ca,
                etcd_certfile: certificate,
                etcd_keyfile: key,
            };
            let words = flags.check().err();
            assert_eq!(words.is_some(), wrong.is_some(), "{store}: {words:?}");
            assert!(words.unwrap_or_default().contains(wrong.unwrap_or_default()), "{store}");
        }
        assert!("sqlite".parse::<Backend>().is_err());
    }
}
