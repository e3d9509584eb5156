//! The first-run PKI: three authorities (server, clients, nodes), the service-account key, and the certificates that the
//! server hands to itself and to the admin.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Authorities last ten years, leaves one; leaves are made anew at every start.
const AUTHORITY_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;
/// Clocks of clients may be a little behind.
const BACKDATE_HOURS: i64 = 1;

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// An authority that signs leaves.
pub struct Authority {
    pub certificate: String,
    key: String,
}

/// What a leaf is for.
enum Use {
    Server(Vec<SanType>),
    Client,
}

/// Everything the server needs to know and to prove.
pub struct Pki {
    /// Signs the API server's certificate; clients trust it.
    pub server_ca: Authority,
    /// Signs client certificates; the API server and the nodes trust it.
    pub client_ca: Authority,
    /// Signs the certificates of nodes' own servers; the API server trusts it.
    pub node_ca: Authority,
    /// PKCS#8 PEM of the key that signs service-account tokens.
    pub service_account_key: String,
    /// Where leaves are kept.
    own: PathBuf,
}

impl Pki {
    /// Reads the authorities in `dir`, or makes them on the first run.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_apart(dir, dir)
    }

    /// The same, with the server's own certificates in `own`: servers of one cluster share their authorities alone.
    pub fn open_apart(dir: &Path, own: &Path) -> Result<Self> {
        fs::create_dir_all(own).with_context(|| format!("cannot make the folder {}", own.display()))?;
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        let authority = |file: &str, name: &str| -> Result<Authority> {
            let (certificate, key) = (dir.join(format!("{file}.crt")), dir.join(format!("{file}.key")));
            if certificate.exists() && key.exists() {
                return Ok(Authority { certificate: read(&certificate)?, key: read(&key)? });
            }
            let made = Authority::new(name)?;
            write_private(&key, &made.key)?;
            write_private(&certificate, &made.certificate)?;
            Ok(made)
        };
        let sa_path = dir.join("sa.key");
        let service_account_key = if sa_path.exists() {
            read(&sa_path)?
        } else {
            let key = KeyPair::generate()?.serialize_pem();
            write_private(&sa_path, &key)?;
            key
        };
        Ok(Self {
            server_ca: authority("ca", "kubernetes")?,
            client_ca: authority("client-ca", "kubernetes-client")?,
            node_ca: authority("node-ca", "kubernetes-node")?,
            service_account_key,
            own: own.to_owned(),
        })
    }

    /// A client certificate for a user, kept under `file`.
    pub fn client(&self, file: &str, name: &str, groups: &[&str]) -> Result<Pair> {
        let pair = self.client_ca.issue(name, groups, Use::Client)?;
        self.keep(file, &pair)?;
        Ok(pair)
    }

    /// The API server's own certificate, valid for these names and addresses.
    pub fn api_server(&self, names: &[&str], addresses: &[IpAddr]) -> Result<Pair> {
        let pair = self.server_ca.issue("kube-apiserver", &[], Use::Server(subject_names(names, addresses)?))?;
        self.keep("apiserver", &pair)?;
        Ok(pair)
    }

    /// The certificate of a node's own server.
    pub fn node_server(&self, node: &str, addresses: &[IpAddr]) -> Result<Pair> {
        let user = format!("system:node:{node}");
        self.node_ca.issue(&user, &["system:nodes"], Use::Server(subject_names(&[node], addresses)?))
    }

    fn keep(&self, file: &str, pair: &Pair) -> Result<()> {
        write_private(&self.own.join(format!("{file}.key")), &pair.key)?;
        write_private(&self.own.join(format!("{file}.crt")), &pair.certificate)
    }
}

fn subject_names(names: &[&str], addresses: &[IpAddr]) -> Result<Vec<SanType>> {
    let mut all = Vec::new();
    for name in names {
        all.push(SanType::DnsName((*name).try_into().with_context(|| format!("{name:?} is no DNS name"))?));
    }
    all.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    Ok(all)
}

fn parameters(name: &str, groups: &[&str], days: i64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    for group in groups {
        parameters.distinguished_name.push(DnType::OrganizationName, *group);
    }
    let now = jiff::Timestamp::now();
    let day = |time: jiff::Timestamp| time.to_zoned(jiff::tz::TimeZone::UTC).date();
    let from = day(now.checked_sub(jiff::SignedDuration::from_hours(BACKDATE_HOURS)).unwrap_or(now));
    let until = day(now.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap_or(now));
    let date = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    parameters.not_before = date(from);
    parameters.not_after = date(until);
    parameters
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = parameters(name, &[], AUTHORITY_DAYS);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { certificate: parameters.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    fn issue(&self, name: &str, groups: &[&str], usage: Use) -> Result<Pair> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        let mut parameters = parameters(name, groups, LEAF_DAYS);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match usage {
            Use::Server(names) => {
                parameters.subject_alt_names = names;
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Use::Client => parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
        let certificate = parameters.signed_by(&key, &issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.certificate)? {
            roots.add(certificate)?;
        }
        Ok(roots)
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS 1.3 for a server: certificates of clients under `clients` are asked for, or demanded.
pub fn server_tls(pair: &Pair, clients: &Authority, demanded: bool, protocols: &[&str]) -> Result<Arc<ServerConfig>> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()?), provider());
    let verifier = if demanded { verifier.build()? } else { verifier.allow_unauthenticated().build()? };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&pair.certificate)?, PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// TLS 1.3 for a client that trusts servers under `servers`.
pub fn client_tls(pair: &Pair, servers: &Authority, protocols: &[&str]) -> Result<Arc<ClientConfig>> {
    client_config(pair, servers.roots()?, protocols)
}

/// The same, with the authority in PEM as a kubeconfig has it.
pub fn client_config_of_pem(pair: &Pair, authority: &str, protocols: &[&str]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate)?;
    }
    client_config(pair, roots, protocols)
}

fn client_config(pair: &Pair, roots: RootCertStore, protocols: &[&str]) -> Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&pair.certificate)?, PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file that only its owner reads, all or nothing.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft).with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    fs::rename(&draft, path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_outlive_a_restart_and_leaves_do_not_cross() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path()).unwrap();
        let second = Pki::open(dir.path()).unwrap();
        assert_eq!(first.server_ca.certificate, second.server_ca.certificate);
        assert_eq!(first.service_account_key, second.service_account_key);
        let admin = second.client("admin", "kubernetes-admin", &["system:masters"]).unwrap();
        client_tls(&admin, &second.server_ca, &["h2"]).unwrap();
        let server = second.api_server(&["localhost"], &["127.0.0.1".parse().unwrap()]).unwrap();
        server_tls(&server, &second.client_ca, false, &["h2", "http/1.1"]).unwrap();
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir.path().join("admin.key")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
