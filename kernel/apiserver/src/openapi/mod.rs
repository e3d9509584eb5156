//! `/openapi/v3` and `/openapi/v2`: documents of what a kind table serves, made when first asked for and kept packed.

mod gnostic;
mod gnostic_v2;
mod gnostic_v3;
mod packed;
mod rows;
mod v2;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use kernel_registry::KindTable;
use sdk_api::GroupVersion;
use sdk_schema::{KindPaths, OutlineOf, Schemas, openapi_v3, openapi_v3_hash, openapi_v3_outline};
use serde_json::{Value, json};

pub use packed::Packed;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    /// Messages of gnostic, as client-go reads them.
    Protobuf,
}

impl Form {
    /// The media types of v3 that are offered, with their forms; the last is how older clients write it.
    pub const V3: [(&str, Self); 3] = [
        ("application/json", Self::Json),
        ("application/com.github.proto-openapi.spec.v3.v1.0+protobuf", Self::Protobuf),
        ("application/com.github.proto-openapi.spec.v3@v1.0+protobuf", Self::Protobuf),
    ];
    pub const V2: [(&str, Self); 3] = [
        ("application/json", Self::Json),
        ("application/com.github.proto-openapi.spec.v2.v1.0+protobuf", Self::Protobuf),
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", Self::Protobuf),
    ];
}

/// A document in both forms.
#[derive(Default)]
struct Made {
    json: OnceLock<Packed>,
    protobuf: OnceLock<Packed>,
}

impl Made {
    fn get(&self, form: Form, make: impl FnOnce() -> Vec<u8>) -> Packed {
        let place = match form {
            Form::Json => &self.json,
            Form::Protobuf => &self.protobuf,
        };
        place.get_or_init(|| Packed::of(&make())).clone()
    }
}

enum What {
    /// The kinds of a group and version, and where the schemas of custom resources among them are.
    Kinds(GroupVersion, Vec<KindPaths>, Vec<Schemas>),
    Outline(OutlineOf),
}

struct Part {
    what: What,
    hash: String,
    made: Made,
}

impl Part {
    fn json(&self) -> Packed {
        self.made.get(Form::Json, || match &self.what {
            What::Kinds(group_version, kinds, custom) => {
                let sources: Vec<&Schemas> = custom.iter().chain([Schemas::builtin()]).collect();
                openapi_v3(&sources, group_version, kinds)
            }
            What::Outline(of) => openapi_v3_outline(of),
        })
    }

    fn tree(&self) -> Value {
        serde_json::from_slice(&self.json().plain()).expect("the document was written as JSON")
    }
}

/// The documents of one kind table. Cloning shares.
#[derive(Clone)]
pub struct OpenApi {
    /// By path: `api/v1`, `apis/apps/v1`, `version`.
    parts: BTreeMap<String, Arc<Part>>,
    /// `/openapi/v2`, and a text that changes with it.
    v2: Arc<(String, Made)>,
}

impl OpenApi {
    /// Nothing is written before it is asked for. What `before` has written is taken over where it still holds, so that
    /// a new custom resource does not cost the documents of all other groups.
    pub fn of(table: &KindTable, before: Option<&Self>) -> Self {
        let mut kinds: BTreeMap<GroupVersion, (Vec<KindPaths>, Vec<Schemas>)> = BTreeMap::new();
        for row in table.rows() {
            let (kinds, custom) = kinds.entry(row.gvk.group_version()).or_default();
            kinds.push(rows::paths(row));
            custom.extend(row.schema.as_ref().map(|schema| schema.schemas().clone()));
        }
        let groups: BTreeSet<_> = kinds.keys().map(|gv| gv.group.clone()).filter(|group| !group.is_empty()).collect();
        let outlines = [OutlineOf::Core, OutlineOf::Groups, OutlineOf::Version, OutlineOf::Issuer, OutlineOf::Keys];
        let outlines = outlines.into_iter().chain(groups.into_iter().map(OutlineOf::Group)).map(|of| {
            let nameless = GroupVersion::new("", of.path().as_str());
            (of.path(), openapi_v3_hash(&[], &nameless, &[]), What::Outline(of))
        });
        let versions = kinds.into_iter().map(|(group_version, (kinds, custom))| {
            let root = if group_version.group.is_empty() { "api" } else { "apis" };
            let hash = openapi_v3_hash(&custom.iter().collect::<Vec<_>>(), &group_version, &kinds);
            (format!("{root}/{group_version}"), hash, What::Kinds(group_version, kinds, custom))
        });
        let part = |(path, hash, what): (String, String, What)| {
            let known = before.and_then(|before| before.parts.get(&path)).filter(|part| part.hash == hash).cloned();
            (path, known.unwrap_or_else(|| Arc::new(Part { what, hash, made: Made::default() })))
        };
        let parts: BTreeMap<_, _> = outlines.chain(versions).map(part).collect();
        let hashes: String = parts.iter().map(|(path, part)| format!("{path} {}\n", part.hash)).collect();
        let hash = openapi_v3_hash(&[], &GroupVersion::new("", hashes.as_str()), &[]);
        let v2 = before.map(|before| before.v2.clone()).filter(|known| known.0 == hash);
        Self { parts, v2: v2.unwrap_or_else(|| Arc::new((hash, Made::default()))) }
    }

    /// `/openapi/v3`: where the documents are. The hash in an URL changes with its document.
    pub fn index(&self) -> Value {
        let paths: serde_json::Map<String, Value> = self
            .parts
            .iter()
            .map(|(path, part)| {
                let url = format!("/openapi/v3/{path}?hash={}", part.hash);
                (path.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        json!({"paths": paths})
    }

    /// A document of v3 and its hash.
    pub fn v3(&self, path: &str, form: Form) -> Option<(Packed, &str)> {
        let part = self.parts.get(path)?;
        let packed = match form {
            Form::Json => part.json(),
            Form::Protobuf => part.made.get(form, || gnostic::encode(&gnostic_v3::DOCUMENT, &part.tree())),
        };
        Some((packed, &part.hash))
    }

    /// The document of v2 and its hash.
    pub fn v2(&self, form: Form) -> (Packed, &str) {
        let documents = || self.parts.values().map(|part| part.tree());
        let packed = self.v2.1.get(form, || match form {
            Form::Json => v2::json(documents()),
            Form::Protobuf => v2::protobuf(documents()),
        });
        (packed, &self.v2.0)
    }
}
