//! `/openapi/v3` and `/openapi/v2`: chosen by `Accept`, and kept by clients as long as they do not change.

use http::{HeaderValue, Response, header};
use kernel_wire::{accepts_gzip, choose};
use sdk_api::Status;

use crate::body::{Body, whole};
use crate::openapi::{Form, Packed};
use crate::options::Query;
use crate::respond::text;
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::verbs::network::header;

/// A document of `/openapi/v3`. Source: KEP-2896.
pub fn v3(server: &ApiServer, arrived: &Arrived, path: &str) -> Result<Response<Body>, Status> {
    let (media_type, form) = agreed(arrived, &Form::V3)?;
    let published = server.published();
    let (packed, hash) = published.openapi().v3(path, form).ok_or_else(Status::no_such_path)?;
    let asked = Query(&arrived.query).get("hash");
    if !asked.is_empty() && asked != hash {
        // The index that the client has is older than the document: this is where it is now.
        let mut response = text(301, "text/plain; charset=utf-8", "");
        set(&mut response, header::LOCATION, &format!("/openapi/v3/{path}?hash={hash}"));
        return Ok(response);
    }
    let mut response = answer(arrived, &packed, media_type, hash);
    // With the hash in its URL the document can be kept for good.
    if asked == hash && response.status() == 200 {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(response)
}

/// The document of `/openapi/v2`.
pub fn v2(server: &ApiServer, arrived: &Arrived) -> Result<Response<Body>, Status> {
    let (media_type, form) = agreed(arrived, &Form::V2)?;
    let published = server.published();
    let (packed, hash) = published.openapi().v2(form);
    Ok(answer(arrived, &packed, media_type, hash))
}

/// What to answer in: the name under which it is sent, and its form.
fn agreed(arrived: &Arrived, offered: &[(&'static str, Form); 3]) -> Result<(&'static str, Form), Status> {
    let names = offered.map(|(name, _)| name);
    let Some(chosen) = choose(header(&arrived.headers, &header::ACCEPT), &names) else {
        let names = names.join(", ");
        return Err(Status::not_acceptable(format!("only the following media types are accepted: {names}")));
    };
    let form = offered[chosen].1;
    // Whichever name protobuf was asked by, it is sent under its newer one.
    let name = offered.iter().find(|(_, known)| *known == form).map_or(offered[chosen].0, |(name, _)| name);
    Ok((name, form))
}

fn answer(arrived: &Arrived, packed: &Packed, media_type: &'static str, hash: &str) -> Response<Body> {
    let etag = format!("\"{hash}\"");
    let known = header(&arrived.headers, &header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    });
    let zipped = accepts_gzip(header(&arrived.headers, &header::ACCEPT_ENCODING));
    let mut response = match (known, zipped) {
        (true, _) => text(304, media_type, ""),
        (false, true) => {
            let mut response = Response::new(whole(packed.gzip()));
            set(&mut response, header::CONTENT_ENCODING, "gzip");
            response
        }
        (false, false) => Response::new(whole(packed.plain())),
    };
    set(&mut response, header::CONTENT_TYPE, media_type);
    set(&mut response, header::ETAG, &etag);
    set(&mut response, header::VARY, "Accept, Accept-Encoding");
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
