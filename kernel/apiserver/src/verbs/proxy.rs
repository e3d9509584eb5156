//! The proxy subresources of pods, services and nodes: HTTP to whatever listens there.
//!
//! Source: Kubernetes documentation, "Access Services Running on Clusters".

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use sdk_api::k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Node, Pod, Service};
use sdk_api::{Key, Status};
use sdk_plugin::Kind;

use crate::body::{Body, whole};
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::verbs::connect::node_target;
use crate::verbs::forward::{Target, forward};
use crate::verbs::rewrite;

/// What a path keeps unescaped. Source: RFC 3986, `pchar`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Passes a request on to a pod, a service or a node.
pub async fn run(server: &Arc<ApiServer>, kind: &Kind, arrived: Arrived) -> Result<Response<Body>, Status> {
    let place = Place::of(&arrived.info.path, kind.is_namespaced());
    let path = place.target.clone();
    let target = match kind.gvk.kind.as_str() {
        "Pod" => pod(server, &arrived, path)?,
        "Service" => service(server, &arrived, path)?,
        "Node" => node(server, &arrived, path)?,
        other => return Err(Status::not_implemented(format!("the proxy subresource of {other}"))),
    };
    if target.path.is_empty() && arrived.upgrade.is_none() && matches!(arrived.method, Method::GET | Method::HEAD) {
        return redirect(&arrived);
    }
    let target = Target { path: if target.path.is_empty() { "/".into() } else { target.path }, ..target };
    let more = vec![("x-forwarded-uri", format!("{}{}", place.prefix, target.path))];
    let mut arrived = arrived;
    // A page must come readable, so that its links can be changed.
    let accepts = arrived.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        arrived.headers.remove(header::ACCEPT_ENCODING);
    }
    let mut response = forward(server, &target, &more, arrived).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    // What another site may do with this server is not for those behind it to say.
    let cors: Vec<_> =
        response.headers().keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in cors {
        response.headers_mut().remove(name);
    }
    let host = std::net::SocketAddr::new(target.address, target.port).to_string();
    let rewriter = rewrite::Rewriter { prefix: place.prefix, host };
    if let Some(location) = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()) {
        let location = rewriter.link(location);
        let location = HeaderValue::from_str(&location)
            .map_err(|error| Status::internal(format!("error trying to parse Location header: {error}")))?;
        response.headers_mut().insert(header::LOCATION, location);
        return Ok(response);
    }
    rewriter.page(response).await
}

/// Relative links of a page work only where its address ends in a slash.
fn redirect(arrived: &Arrived) -> Result<Response<Body>, Status> {
    let query = if arrived.raw_query.is_empty() { String::new() } else { format!("?{}", arrived.raw_query) };
    Response::builder()
        .status(StatusCode::MOVED_PERMANENTLY)
        .header(header::LOCATION, format!("{}/{query}", arrived.info.path))
        .body(whole(""))
        .map_err(|error| Status::bad_request(error.to_string()))
}

/// The two halves of a proxy's path: up to the subresource, and what is asked behind it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    prefix: String,
    /// Clean: neither `..` nor `.` nor doubled slashes, escaped anew. Empty where nothing was asked.
    target: String,
}

impl Place {
    fn of(path: &str, namespaced: bool) -> Self {
        // `/api/v1/nodes/n/proxy` has five parts, `/api/v1/namespaces/a/pods/p/proxy` two more.
        let parts = if namespaced { 8 } else { 6 };
        let slash = path.match_indices('/').nth(parts - 1).map(|(at, _)| at);
        let (prefix, rest) = slash.map_or((path, ""), |at| path.split_at(at));
        Self { prefix: prefix.trim_end_matches('/').into(), target: clean(rest) }
    }
}

/// A path without steps up: those would leave what the caller may reach. Escaped dots and slashes count as such.
fn clean(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut kept: Vec<&str> = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    if kept.is_empty() {
        return if path.is_empty() { String::new() } else { "/".into() };
    }
    let mut cleaned = String::new();
    for part in kept {
        cleaned.push('/');
        cleaned.extend(utf8_percent_encode(part, PATH));
    }
    if decoded.ends_with('/') {
        cleaned.push('/');
    }
    cleaned
}

/// `name`, `name:port` or `scheme:name:port`; anything else is `None`.
fn parts(id: &str) -> Option<(&str, &str, &str)> {
    let all: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match all.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "" => "",
        "http" => "http",
        "https" => "https",
        _ => return None,
    };
    (!name.is_empty()).then_some((scheme, name, port))
}

/// An address that can be asked for on behalf of others: no loopback, link-local, multicast or unspecified one.
fn allowed(text: &str) -> Result<IpAddr, Status> {
    let refused = || Status::bad_request("address not allowed");
    let address: IpAddr = text.parse().map_err(|_| refused())?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    };
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local {
        return Err(refused());
    }
    Ok(address)
}

fn port(text: &str, scheme: &str) -> Result<u16, Status> {
    match text {
        "" if scheme == "https" => Ok(443),
        "" => Ok(80),
        text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Status::unavailable(format!("error trying to reach service: {text:?} is not the number of a port"))
        }),
    }
}

fn target(
    server: &ApiServer,
    scheme: &str,
    address: IpAddr,
    port: u16,
    path: String,
    arrived: &Arrived,
) -> Result<Target, Status> {
    let tls = match scheme {
        "https" => Some(any_certificate(server)?),
        _ => None,
    };
    Ok(Target { address, port, path, query: arrived.raw_query.clone(), tls, is_agent: false })
}

fn pod(server: &ApiServer, arrived: &Arrived, path: String) -> Result<Target, Status> {
    let id = &arrived.info.name;
    let (scheme, name, asked) = parts(id).ok_or_else(|| Status::bad_request(format!("invalid pod request {id:?}")))?;
    let pod = read::<Pod>(server, &arrived.info.namespace, name)?;
    has_network(server, &pod)?;
    let mut asked = asked.to_owned();
    if asked.is_empty() {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let first = containers.filter_map(|container| container.ports.as_ref()?.first()).next();
        asked = first.map(|port| port.container_port.to_string()).unwrap_or_default();
    }
    let address = allowed(ips(&pod).first().map_or("", String::as_str))?;
    target(server, scheme, address, port(&asked, scheme)?, path, arrived)
}

/// What the runtime of a node without containers calls itself.
const SIMULATED: &str = "sim://";

/// The addresses of pods on simulated nodes are nobody's, or somebody else's.
fn has_network(server: &ApiServer, pod: &Pod) -> Result<(), Status> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let Ok(node) = read::<Node>(server, "", node) else { return Ok(()) };
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    if info.is_some_and(|info| info.container_runtime_version.starts_with(SIMULATED)) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let why = format!("error trying to reach service: pod {name:?} is on a simulated node and listens nowhere");
        return Err(Status::unavailable(why));
    }
    Ok(())
}

fn ips(pod: &Pod) -> Vec<String> {
    let status = pod.status.clone().unwrap_or_default();
    let all: Vec<String> = status.pod_ips.into_iter().flatten().map(|ip| ip.ip).collect();
    if all.is_empty() { status.pod_ip.into_iter().collect() } else { all }
}

fn node(server: &ApiServer, arrived: &Arrived, path: String) -> Result<Target, Status> {
    let id = &arrived.info.name;
    let (scheme, name, asked) = parts(id).ok_or_else(|| Status::bad_request(format!("invalid node request {id:?}")))?;
    let agent = node_target(server, name, path.clone(), arrived.raw_query.clone())?;
    if asked.is_empty() || asked == agent.port.to_string() {
        return Ok(agent);
    }
    let address = allowed(&agent.address.to_string())?;
    target(server, scheme, address, port(asked, scheme)?, path, arrived)
}

fn service(server: &ApiServer, arrived: &Arrived, path: String) -> Result<Target, Status> {
    let (id, namespace) = (&arrived.info.name, arrived.info.namespace.as_str());
    let (scheme, name, asked) =
        parts(id).ok_or_else(|| Status::bad_request(format!("invalid service request {id:?}")))?;
    let mut wanted = asked.to_owned();
    if let Ok(number) = asked.parse::<i64>() {
        let service = read::<Service>(server, namespace, name)?;
        let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let found = ports
            .find(|port| i64::from(port.port) == number)
            .ok_or_else(|| Status::unavailable(format!("no service port {number} found for service {name:?}")))?;
        wanted = found.name.clone().unwrap_or_default();
    }
    let endpoints = read::<Endpoints>(server, namespace, name)?;
    if endpoints.subsets.as_ref().is_none_or(Vec::is_empty) {
        return Err(Status::unavailable(format!("no endpoints available for service {name:?}")));
    }
    let runs_there = |address: &EndpointAddress| {
        let Some(reference) = &address.target_ref else { return false };
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let name = reference.name.as_deref().unwrap_or_default();
        read::<Pod>(server, namespace, name)
            .is_ok_and(|pod| ips(&pod).contains(&address.ip) && has_network(server, &pod).is_ok())
    };
    let (ip, number) = pick(&endpoints, &wanted, seed(server), &runs_there)
        .ok_or_else(|| Status::unavailable(format!("no endpoints available for service {id:?}")))?;
    let address = ip.parse().map_err(|_| Status::unavailable(format!("no endpoints available for service {id:?}")))?;
    target(server, scheme, address, number, path, arrived)
}

/// A ready address that has the port, from a random place on.
fn pick(
    endpoints: &Endpoints,
    port: &str,
    seed: usize,
    fits: &dyn Fn(&EndpointAddress) -> bool,
) -> Option<(String, u16)> {
    let subsets = endpoints.subsets.as_deref().unwrap_or_default();
    for step in 0..subsets.len() {
        let subset = &subsets[(seed + step) % subsets.len()];
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        let mut ports = subset.ports.iter().flatten();
        let Some(number) = ports.find(|known| known.name.as_deref().unwrap_or_default() == port) else { continue };
        let found = (0..addresses.len()).map(|step| &addresses[(seed + step) % addresses.len()]).find(|a| fits(a));
        if let (Some(address), Ok(number)) = (found, u16::try_from(number.port)) {
            return Some((address.ip.clone(), number));
        }
    }
    None
}

/// From the server's own source of randomness, by way of the ids it makes.
fn seed(server: &ApiServer) -> usize {
    let id = server.registry.new_uid();
    id.get(..7).and_then(|digits| usize::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

fn read<T: sdk_api::Typed + Send + Sync + 'static>(
    server: &ApiServer,
    namespace: &str,
    name: &str,
) -> Result<Arc<T>, Status> {
    let key = Key::of::<T>(namespace, name);
    let stored = server.registry.store().get(&key).ok_or_else(|| Status::not_found(&key.resource, name))?;
    stored.typed::<T>().map_err(|error| Status::internal(error.to_string()))
}

/// Trusts whoever answers: pods and services have no certificates that this server could know. Source: the proxy
/// transport of the API server, `InsecureSkipVerify`.
fn any_certificate(server: &ApiServer) -> Result<Arc<rustls::ClientConfig>, Status> {
    let Some(client) = &server.settings.node_client else {
        return Err(Status::unavailable("this server speaks no TLS to those behind it"));
    };
    let provider = client.tls.crypto_provider().clone();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Status::internal(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { schemes }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_stay_below_the_proxy() {
        let pod = "/api/v1/namespaces/a/pods/p/proxy";
        for (path, namespaced, prefix, target) in [
            (pod.to_owned(), true, pod, ""),
            (format!("{pod}/"), true, pod, "/"),
            (format!("{pod}/x/y"), true, pod, "/x/y"),
            (format!("{pod}/x/y/"), true, pod, "/x/y/"),
            (format!("{pod}/x//y/./z"), true, pod, "/x/y/z"),
            (format!("{pod}/../../../secrets"), true, pod, "/secrets"),
            (format!("{pod}/x/%2e%2e/%2e%2E/y"), true, pod, "/y"),
            (format!("{pod}/x%2f..%2f..%2fy"), true, pod, "/y"),
            (format!("{pod}/a%20b/c%3Fd"), true, pod, "/a%20b/c%3Fd"),
            (format!("{pod}/(a;b=c)@d"), true, pod, "/(a;b=c)@d"),
            ("/api/v1/nodes/n/proxy/metrics".to_owned(), false, "/api/v1/nodes/n/proxy", "/metrics"),
            ("/api/v1/nodes/n/proxy".to_owned(), false, "/api/v1/nodes/n/proxy", ""),
        ] {
            let expected = Place { prefix: prefix.into(), target: target.into() };
            assert_eq!(Place::of(&path, namespaced), expected, "{path}");
        }
    }

    #[test]
    fn names_say_scheme_and_port() {
        for (id, expected) in [
            ("p", Some(("", "p", ""))),
            ("p:80", Some(("", "p", "80"))),
            ("https:p:443", Some(("https", "p", "443"))),
            ("HTTPS:p:web", Some(("https", "p", "web"))),
            (":p:80", Some(("", "p", "80"))),
            ("ftp:p:21", None),
            ("a:b:c:d", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(parts(id), expected, "{id:?}");
        }
        assert_eq!((port("", "").unwrap(), port("", "https").unwrap(), port("8080", "").unwrap()), (80, 443, 8080));
        assert_eq!(port("web", "").unwrap_err().code, 503);
    }

    #[test]
    fn not_every_address_may_be_asked() {
        for (text, fits) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("fe80::1", false),
            ("::ffff:127.0.0.1", false),
            ("", false),
            ("example.com", false),
        ] {
            assert_eq!(allowed(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_picked_by_the_name_of_its_port() {
        let endpoints: Endpoints = serde_json::from_value(json!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"name": "web", "port": 8080}]},
            {"notReadyAddresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "dns", "port": 53}]},
            {"addresses": [{"ip": "10.0.0.4"}], "ports": [{"name": "dns", "port": 5353}]}]}))
        .unwrap();
        let picked = |port: &str, seed: usize, but: &str| pick(&endpoints, port, seed, &|address| address.ip != but);
        let at = |ip: &str, port: u16| Some((ip.to_owned(), port));
        assert_eq!(picked("web", 0, ""), at("10.0.0.1", 8080));
        assert_eq!(picked("web", 1, ""), at("10.0.0.2", 8080));
        assert_eq!(picked("web", 0, "10.0.0.1"), at("10.0.0.2", 8080), "whose pod is gone");
        assert_eq!(picked("dns", 1, ""), at("10.0.0.4", 5353), "the ready one");
        assert_eq!(picked("other", 0, ""), None);
    }
}
