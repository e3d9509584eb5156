//! Paths that are no resources: discovery, OpenAPI, health, version, metrics.

use http::{HeaderValue, Method, Response, header};
use kernel_wire::{Offer, negotiate};
use sdk_api::Status;
use serde_json::{Value, json};

use crate::body::Body;
use crate::openapi_v2;
use crate::options::Query;
use crate::respond::{Wish, answer, text};
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::verbs::network::{header, wish};
use crate::verbs::not_allowed;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

pub fn run(server: &ApiServer, arrived: &Arrived) -> Result<Response<Body>, Status> {
    if !matches!(arrived.method, Method::GET | Method::HEAD) {
        return Err(not_allowed());
    }
    let path = arrived.info.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => health(server, arrived, path),
        ["version"] => indented(arrived, &version(server)),
        ["metrics"] => {
            Ok(text(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", server.metrics.encode()))
        }
        ["debug", "api_priority_and_fairness", "dump_priority_levels"] => Ok(text(200, PLAIN_TEXT, server.flow.dump())),
        [] => indented(arrived, &root(server)),
        ["openapi", "v3"] => document(arrived, server.published().openapi().index()),
        ["openapi", "v3", rest @ ..] => openapi(server, arrived, &rest.join("/")),
        ["openapi", "v2"] => openapi_v2(server, arrived),
        ["api"] => discovery(server, arrived, true),
        ["apis"] => discovery(server, arrived, false),
        ["api", version] => {
            known(arrived, server.published().discovery().resources("", version).ok_or_else(Status::no_such_path)?)
        }
        ["apis", group] => {
            known(arrived, server.published().discovery().group(group).ok_or_else(Status::no_such_path)?)
        }
        ["apis", group, version] => {
            known(arrived, server.published().discovery().resources(group, version).ok_or_else(Status::no_such_path)?)
        }
        _ => {
            let published = server.settings.documents.iter().find(|(known, _)| *known == path);
            document(arrived, published.ok_or_else(Status::no_such_path)?.1.clone())
        }
    }
}

fn document(arrived: &Arrived, document: Value) -> Result<Response<Body>, Status> {
    let wish = wish(arrived, &Offer::PLAIN)?;
    Ok(answer(200, document.to_string().into(), &wish))
}

/// A document that people read, in upstream's form.
fn indented(arrived: &Arrived, document: &Value) -> Result<Response<Body>, Status> {
    let wish = wish(arrived, &Offer::PLAIN)?;
    Ok(answer(200, format!("{document:#}").into(), &wish))
}

/// A document of a kind that has a protobuf form.
fn known(arrived: &Arrived, document: Value) -> Result<Response<Body>, Status> {
    let wish = wish(arrived, &Offer::ANSWERS)?;
    Ok(answer(200, document.to_string().into(), &wish))
}

fn discovery(server: &ApiServer, arrived: &Arrived, core: bool) -> Result<Response<Body>, Status> {
    let media_type = negotiate(header(&arrived.headers, &header::ACCEPT), &Offer::DISCOVERY)?;
    let wish = Wish {
        media_type,
        ..wish(arrived, &Offer::PLAIN).unwrap_or(Wish { media_type, gzip: false, include: Default::default() })
    };
    let document = match media_type.transform {
        Some(transform) => server.published().discovery().aggregated(core, transform.version),
        None if core => {
            let host = header(&arrived.headers, &header::HOST).unwrap_or_default();
            server.published().discovery().core(host)
        }
        None => server.published().discovery().groups(),
    };
    let mut response = answer(200, document.to_string().into(), &wish);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn openapi(server: &ApiServer, arrived: &Arrived, path: &str) -> Result<Response<Body>, Status> {
    let published = server.published();
    let (bytes, hash) = published.openapi().document(path).ok_or_else(Status::no_such_path)?;
    let etag = format!("\"{hash}\"");
    if header(&arrived.headers, &header::IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok(text(304, "application/json", ""));
    }
    let mut response = answer(200, bytes, &wish(arrived, &Offer::PLAIN)?);
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    // With the hash in its URL the document can be kept for good. Source: KEP-2896.
    if Query(&arrived.query).get("hash") == hash {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(response)
}

fn openapi_v2(server: &ApiServer, arrived: &Arrived) -> Result<Response<Body>, Status> {
    let accept = header(&arrived.headers, &header::ACCEPT).unwrap_or_default();
    if ![openapi_v2::MEDIA_TYPE, openapi_v2::MEDIA_TYPE_OLD].iter().any(|known| accept.contains(known)) {
        return Err(Status::not_acceptable(format!(
            "only the following media types are accepted: {}; JSON schemas are served by /openapi/v3",
            openapi_v2::MEDIA_TYPE
        )));
    }
    Ok(text(200, openapi_v2::MEDIA_TYPE, openapi_v2::document(&server.registry.table())))
}

fn health(server: &ApiServer, arrived: &Arrived, path: &str) -> Result<Response<Body>, Status> {
    let query = Query(&arrived.query);
    let excluded: Vec<&str> =
        arrived.query.iter().filter(|(key, _)| key == "exclude").map(|(_, value)| value.as_str()).collect();
    match server.health.answer(path, query.has("verbose"), &excluded) {
        Ok(lines) => Ok(text(200, PLAIN_TEXT, lines)),
        Err(status) if status.code == 404 => Err(status),
        Err(status) => Ok(text(500, PLAIN_TEXT, status.message)),
    }
}

fn version(server: &ApiServer) -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": server.settings.git_version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn root(server: &ApiServer) -> Value {
    let mut paths: Vec<String> =
        ["/healthz", "/livez", "/readyz", "/metrics", "/openapi/v2", "/openapi/v3", "/version", "/api", "/apis"]
            .iter()
            .map(|path| (*path).to_owned())
            .collect();
    for (group, version) in server.published().discovery().group_versions() {
        paths.push(if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") });
    }
    paths.extend(server.settings.documents.iter().map(|(path, _)| (*path).to_owned()));
    paths.sort();
    json!({"paths": paths})
}
