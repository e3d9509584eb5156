//! Reads a kubeconfig: where the server is, whom to trust, who we are.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Deserialize;

/// A server that may be put under load, and how to speak to it.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    /// For the `Host` header and `:authority`.
    pub authority: String,
    /// `None` speaks in clear, which only a `http://` address asks for.
    pub tls: Option<Tls>,
    pub token: Option<String>,
}

#[derive(Clone)]
pub struct Tls {
    pub config: Arc<rustls::ClientConfig>,
    pub name: ServerName<'static>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
}

/// The file that kubectl would read: `$KUBECONFIG` (its first entry) or `~/.kube/config`.
pub fn default_path() -> PathBuf {
    if let Some(list) = std::env::var_os("KUBECONFIG")
        && let Some(first) = std::env::split_paths(&list).find(|path| !path.as_os_str().is_empty())
    {
        return first;
    }
    PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".kube/config")
}

/// Reads the current context of a kubeconfig. Refuses servers that are not on this machine.
///
/// `h2` offers HTTP/2 in the TLS handshake, otherwise HTTP/1.1.
pub fn load(path: &Path, h2: bool) -> Result<Server> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    read(&text, folder, h2).with_context(|| format!("in {}", path.display()))
}

fn read(text: &str, folder: &Path, h2: bool) -> Result<Server> {
    let document: Document = serde_saphyr::from_str(text).context("this is no kubeconfig")?;
    let current = &document.current_context;
    let context = document.contexts.iter().find(|context| context.name == *current);
    let context = &context.with_context(|| format!("the current context {current:?} does not exist"))?.context;
    let cluster = document.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = &cluster.with_context(|| format!("the cluster {:?} does not exist", context.cluster))?.cluster;
    let user = document.users.iter().find(|user| user.name == context.user).map(|user| &user.user);

    let uri: Uri = cluster.server.parse().context("the server's address is no URL")?;
    let host = uri.host().context("the server's address names no host")?.trim_matches(['[', ']']).to_owned();
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => bail!("the server's address is neither https nor http"),
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let address = loopback(&host, port)?;
    let authority = uri.authority().context("the server's address has no authority")?.to_string();

    let token = match user {
        Some(User { token: Some(token), .. }) => Some(token.clone()),
        Some(User { token_file: Some(file), .. }) => {
            Some(std::fs::read_to_string(folder.join(file)).context("cannot read the token")?.trim().to_owned())
        }
        _ => None,
    };
    let tls = if secure { Some(tls(cluster, user, &host, folder, h2)?) } else { None };
    Ok(Server { address, authority, tls, token })
}

/// An address of this machine's loopback. Load belongs nowhere else.
fn loopback(host: &str, port: u16) -> Result<SocketAddr> {
    let all: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => (host, port).to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?.collect(),
    };
    if let Some(other) = all.iter().find(|address| !address.ip().is_loopback()) {
        bail!("refused: {host} is {}, and load is only put on servers of this machine's loopback", other.ip());
    }
    all.first().copied().with_context(|| format!("{host} has no address"))
}

fn tls(cluster: &Cluster, user: Option<&User>, host: &str, folder: &Path, h2: bool) -> Result<Tls> {
    let bytes = |data: &Option<String>, file: &Option<PathBuf>, what: &str| -> Result<Option<Vec<u8>>> {
        if let Some(data) = data {
            let decoded = BASE64_STANDARD.decode(data.trim()).with_context(|| format!("{what} is not base64"))?;
            return Ok(Some(decoded));
        }
        let read = |file: &PathBuf| std::fs::read(folder.join(file)).with_context(|| format!("cannot read {what}"));
        file.as_ref().map(read).transpose()
    };
    let authority = bytes(&cluster.certificate_authority_data, &cluster.certificate_authority, "the CA certificate")?
        .context("the cluster has no CA certificate")?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authority) {
        roots.add(certificate.context("the CA certificate is no PEM")?).context("the CA certificate is wrong")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no version")?
        .with_root_certificates(roots);
    let empty = User::default();
    let user = user.unwrap_or(&empty);
    let certificate = bytes(&user.client_certificate_data, &user.client_certificate, "the client certificate")?;
    let key = bytes(&user.client_key_data, &user.client_key, "the client key")?;
    let mut config = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
            let chain = chain.context("the client certificate is no PEM")?;
            let key = PrivateKeyDer::from_pem_slice(&key).context("the client key is no PEM")?;
            builder.with_client_auth_cert(chain, key).context("the client certificate and key do not fit")?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let name = cluster.tls_server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).context("the server's name cannot be verified")?;
    Ok(Tls { config: Arc::new(config), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(server: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{token: secret}}}}]\n"
        )
    }

    #[test]
    fn only_servers_of_this_machine_are_put_under_load() {
        for (server, wrong) in [
            ("http://127.0.0.1:6443", None),
            ("http://[::1]:6443", None),
            ("http://localhost:6443", None),
            ("http://192.0.2.1:6443", Some("refused")),
            ("http://0.0.0.0:6443", Some("refused")),
            ("ftp://127.0.0.1", Some("neither https nor http")),
            ("https://127.0.0.1:6443", Some("no CA certificate")),
        ] {
            match (read(&config(server), Path::new("."), false), wrong) {
                (Ok(found), None) => assert!(found.address.ip().is_loopback() && found.tls.is_none(), "{server}"),
                (Err(error), Some(wrong)) => assert!(format!("{error:#}").contains(wrong), "{server}: {error:#}"),
                (Ok(_), Some(wrong)) => panic!("{server} is accepted, not {wrong}"),
                (Err(error), None) => panic!("{server}: {error:#}"),
            }
        }
    }

    #[test]
    fn the_current_context_counts() {
        let found = read(&config("http://127.0.0.1:1"), Path::new("."), false).unwrap();
        assert_eq!((found.token.as_deref(), found.authority.as_str()), (Some("secret"), "127.0.0.1:1"));
        let other = config("http://127.0.0.1:1").replace("current-context: c", "current-context: d");
        assert!(format!("{:#}", read(&other, Path::new("."), false).err().unwrap()).contains("\"d\" does not exist"));
    }
}
