//! Paths that are no resources: discovery, OpenAPI, health, version, metrics.

use http::{HeaderValue, Method, Response, header};
use kernel_wire::{Offer, negotiate};
use sdk_api::Status;
use serde_json::{Value, json};

use crate::body::Body;
use crate::options::Query;
use crate::respond::{Wish, answer, text};
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::verbs::network::{header, wish};
use crate::verbs::{not_allowed, openapi};

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
        ["openapi", "v3", rest @ ..] => openapi::v3(server, arrived, &rest.join("/")),
        ["openapi", "v2"] => openapi::v2(server, arrived),
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
    let published = server.published();
    let discovery = published.discovery();
    let etag = media_type.transform.is_some().then(|| discovery.etag(core));
    if etag.as_deref().is_some_and(|etag| header(&arrived.headers, &header::IF_NONE_MATCH) == Some(etag)) {
        // No type is said again: clients put it in the place of the one they know, and take the document for another.
        let mut unchanged = text(304, "", "");
        unchanged.headers_mut().remove(header::CONTENT_TYPE);
        return Ok(unchanged);
    }
    let document = match media_type.transform {
        Some(transform) => discovery.aggregated(core, transform.version),
        None if core => {
            let host = header(&arrived.headers, &header::HOST).unwrap_or_default();
            discovery.core(host)
        }
        None => discovery.groups(),
    };
    let mut response = answer(200, document.to_string().into(), &wish);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
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
