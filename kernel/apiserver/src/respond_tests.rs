//! A table of what clients ask for and what they get: formats, shapes, compression.

use http_body_util::BodyExt;
use kernel_wire::{Offer, accepts_gzip, negotiate};
use sdk_api::k8s_openapi::api::core::v1::ConfigMap;
use sdk_api::{GroupResource, Key};

use super::*;

fn object(name: &str, data_bytes: usize) -> Arc<Object> {
    let key = Key::new(&GroupResource::new("", "configmaps"), "n", name);
    let document = json!({
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "n", "resourceVersion": "7"},
        "data": {"a": "x".repeat(data_bytes)},
    });
    Arc::new(Object::new(key, 7, document.to_string().into()))
}

fn one() -> Outcome {
    Outcome::Object { code: 200, object: object("a", 1) }
}

fn page(count: usize, data_bytes: usize) -> Outcome {
    let objects = (0..count).map(|i| object(&format!("m-{i}"), data_bytes)).collect();
    Outcome::Page(ObjectPage { revision: 9, objects, continue_token: "next".into(), remaining: Some(3) })
}

/// The answer as it travels: status, headers and bytes. A request that cannot be served says so instead.
async fn ask(accept: &str, encoding: Option<&str>, outcome: Outcome) -> (u16, http::HeaderMap, Vec<u8>) {
    let response = match negotiate(Some(accept), &Offer::OBJECTS) {
        Ok(media_type) => {
            let wish = Wish { media_type, gzip: accepts_gzip(encoding), include: IncludeObject::default() };
            respond(&Kind::plain::<ConfigMap>(), outcome, &wish, Timestamp::UNIX_EPOCH)
        }
        Err(status) => failure(&status),
    };
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn answers_have_the_form_that_was_asked_for() {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let (partial, partials) = (
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    );
    for (case, accept, outcome, code, content_type, has) in [
        ("no wish", "*/*", one(), 200, "application/json", "\"kind\":\"ConfigMap\""),
        ("yaml", "application/yaml", one(), 200, "application/yaml", "kind: ConfigMap"),
        ("protobuf", PROTOBUF, one(), 200, PROTOBUF, "k8s\0"),
        (
            "the heavier",
            "application/json;q=0.2,application/yaml;q=0.9",
            one(),
            200,
            "application/yaml",
            "kind: ConfigMap",
        ),
        ("indented", "application/json;pretty=1", one(), 200, "application/json", "\n  \"kind\": \"ConfigMap\""),
        ("unknown", "text/html", one(), 406, "application/json", "only the following media types are accepted"),
        ("unknown, or anything", "text/html,*/*;q=0.1", one(), 200, "application/json", "ConfigMap"),
        ("list", "application/json", page(2, 1), 200, "application/json", "\"kind\":\"ConfigMapList\""),
        ("list in protobuf", PROTOBUF, page(2, 1), 200, PROTOBUF, "ConfigMapList"),
        ("table", table, one(), 200, "application/json", "\"kind\":\"Table\""),
        ("table of many", table, page(2, 1), 200, "application/json", "\"continue\":\"next\""),
        (
            "no table in protobuf",
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
            one(),
            406,
            "application/json",
            "NotAcceptable",
        ),
        (
            "table where it can be had",
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
            one(),
            200,
            "application/json",
            "ConfigMap",
        ),
        ("metadata", partial, one(), 200, "application/json", "\"kind\":\"PartialObjectMetadata\""),
        ("metadata of many", partials, page(2, 1), 200, "application/json", "\"kind\":\"PartialObjectMetadataList\""),
        (
            "metadata in protobuf",
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            one(),
            200,
            PROTOBUF,
            "PartialObjectMetadata",
        ),
        ("one for many", partial, page(2, 1), 406, "application/json", "but the requested object is a list"),
        ("many for one", partials, one(), 406, "application/json", "but the requested object is not a list"),
    ] {
        let (status, headers, bytes) = ask(accept, None, outcome).await;
        assert_eq!(status, code, "{case}");
        assert_eq!(headers["content-type"], content_type, "{case}");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(has), "{case}: {text}");
    }
}

#[tokio::test]
async fn long_answers_are_packed_for_those_who_read_gzip() {
    let long = || page(8, 64 * 1024);
    for (case, encoding, outcome, packs) in [
        ("long", Some("gzip"), long(), true),
        ("short", Some("gzip"), page(2, 1), false),
        ("not asked for", None, long(), false),
        ("refused", Some("gzip;q=0"), long(), false),
        ("refused among others", Some("deflate, gzip;q=0, br"), long(), false),
    ] {
        let plain = ask(
            "application/json",
            None,
            page(if case == "short" { 2 } else { 8 }, if case == "short" { 1 } else { 64 * 1024 }),
        )
        .await
        .2;
        let (status, headers, bytes) = ask("application/json", encoding, outcome).await;
        assert_eq!(status, 200, "{case}");
        assert_eq!(headers.get("content-encoding").is_some(), packs, "{case}");
        let mut read = Vec::new();
        match packs {
            true => drop(std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*bytes), &mut read).unwrap()),
            false => read = bytes,
        }
        assert_eq!(read, plain, "{case}");
    }
}

#[tokio::test]
async fn a_list_in_chunks_is_the_list_as_a_whole() {
    let wish =
        Wish { media_type: negotiate(None, &Offer::OBJECTS).unwrap(), gzip: false, include: IncludeObject::None };
    let Outcome::Page(objects) = page(8, 64 * 1024) else { unreachable!("page() makes a page") };
    assert!(goes_in_chunks(&objects, &wish));
    let whole = shaped_page(&Kind::plain::<ConfigMap>(), &objects, &wish, Timestamp::UNIX_EPOCH).unwrap();
    let (_, _, bytes) = ask("application/json", None, Outcome::Page(objects)).await;
    assert_eq!(bytes, whole);
    let list: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 8);
    assert_eq!(list["metadata"]["continue"], "next");
}
