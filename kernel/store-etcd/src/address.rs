//! Which etcd: its endpoints, the prefix of our keys, and the certificates.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// The prefix of keys unless the address has another, as the API server's `--etcd-prefix`.
const PREFIX: &str = "/registry";
/// Where etcd listens for clients unless said otherwise.
const PORT: u16 = 2379;

/// Where an etcd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) prefix: String,
    pub(crate) tls: Option<TlsFiles>,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

/// The files of a TLS connection, in PEM, as the API server's flags `--etcd-cafile`, `--etcd-certfile`, `--etcd-keyfile`.
/// They are read at every connection, so that new certificates need no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that etcd's certificate must be from.
    pub ca: PathBuf,
    /// Our own certificate and its key, for an etcd that asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Address {
    /// Reads `etcd://HOST[:PORT][,HOST[:PORT]...][/PREFIX]`. Without `tls` the connection is not encrypted.
    pub fn parse(text: &str, tls: Option<TlsFiles>) -> Result<Self, Error> {
        let wrong = |why| Error::Address { text: text.to_owned(), why };
        let rest = text.strip_prefix("etcd://").ok_or(wrong("it does not begin with etcd://"))?;
        if rest.contains(['?', '#', '@']) {
            return Err(wrong("only hosts, ports and a prefix are known"));
        }
        let (hosts, prefix) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let prefix = if prefix.is_empty() { PREFIX } else { prefix };
        if prefix.contains("//") {
            return Err(wrong("a part of the prefix is empty"));
        }
        let endpoints: Option<Vec<_>> = hosts.split(',').map(Endpoint::parse).collect();
        let endpoints = endpoints.ok_or(wrong("one of the hosts is no HOST or HOST:PORT"))?;
        Ok(Self { endpoints, prefix: prefix.to_owned(), tls })
    }

    pub(crate) fn endpoints(&self) -> String {
        self.endpoints.iter().map(Endpoint::authority).collect::<Vec<_>>().join(",")
    }
}

impl Endpoint {
    fn parse(text: &str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => PORT,
            None => return None,
        };
        ServerName::try_from(host).ok()?;
        Some(Self { host: host.to_owned(), port })
    }

    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).expect("Endpoint::parse() tried it")
    }
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let wrong = |path: &PathBuf, why: String| Error::Certificate { path: path.clone(), why };
        let certificates = |path: &PathBuf| -> Result<Vec<CertificateDer<'static>>, Error> {
            let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            let all = all.map_err(|error| wrong(path, error.to_string()))?;
            if all.is_empty() { Err(wrong(path, "it has no certificate in PEM".into())) } else { Ok(all) }
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| wrong(&self.ca, error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions")
            .with_root_certificates(roots);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
                let chain = certificates(certificate)?;
                builder.with_client_auth_cert(chain, private).map_err(|error| wrong(key, error.to_string()))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, wanted) in [
            ("etcd://127.0.0.1:2379", Some(("127.0.0.1:2379", "/registry"))),
            ("etcd://a,b:1,[::1]:2/mine/own/", Some(("a:2379,b:1,[::1]:2", "/mine/own"))),
            ("etcd://[fd00::1]/", Some(("[fd00::1]:2379", "/registry"))),
            ("etcd://", None),
            ("etcd://a,,b", None),
            ("etcd://a:x", None),
            ("etcd://[::1]x", None),
            ("etcd://a//b", None),
            ("etcd://a?x=y", None),
            ("http://a:2379", None),
        ] {
            let got = Address::parse(text, None).ok().map(|address| (address.endpoints(), address.prefix));
            assert_eq!(got, wanted.map(|(endpoints, prefix)| (endpoints.to_owned(), prefix.to_owned())), "{text}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("empty"), "no PEM").unwrap();
        for (ca, words) in [("none", "none"), ("empty", "no certificate")] {
            let error = TlsFiles { ca: at(ca), client: None }.config().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
