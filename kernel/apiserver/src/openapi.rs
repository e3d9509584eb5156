//! `/openapi/v3`: a document for each group and version, made when first asked for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use kernel_registry::KindTable;
use sdk_api::GroupVersion;
use sdk_plugin::{Kind, Served};
use sdk_schema::{KindPaths, Schemas, Subresource, Verb, openapi_v3, openapi_v3_hash};
use serde_json::{Value, json};

use crate::discovery::subresource_of;

struct Part {
    group_version: GroupVersion,
    kinds: Vec<KindPaths>,
    hash: String,
    document: OnceLock<Bytes>,
}

/// The documents by path: `api/v1`, `apis/apps/v1`.
pub struct OpenApi {
    parts: BTreeMap<String, Part>,
}

fn verb(name: &str) -> Option<Verb> {
    Some(match name {
        "get" => Verb::Get,
        "list" => Verb::List,
        "watch" => Verb::Watch,
        "create" => Verb::Create,
        "update" => Verb::Update,
        "patch" => Verb::Patch,
        "delete" => Verb::Delete,
        "deletecollection" => Verb::DeleteCollection,
        _ => return None,
    })
}

fn paths(kind: &Kind) -> KindPaths {
    let subresource = |(name, served): &(&'static str, Served)| {
        let (verbs, gvk) = subresource_of(kind, name, served);
        let verbs = match served {
            Served::Connect(connect) if *connect != sdk_plugin::Connect::Log => vec![Verb::Connect],
            _ => verbs.into_iter().filter_map(verb).collect(),
        };
        Subresource { name: (*name).to_owned(), gvk, verbs }
    };
    let answering = |verb| match verb {
        Verb::Delete if !kind.delete_answers_status => Verb::DeleteAnsweringObject,
        verb => verb,
    };
    KindPaths {
        gvk: kind.gvk.clone(),
        plural: kind.plural.to_string(),
        namespaced: kind.is_namespaced(),
        verbs: kind.verbs.iter().filter_map(|name| verb(name)).map(answering).collect(),
        subresources: kind.subresources.iter().map(subresource).collect(),
    }
}

impl OpenApi {
    pub fn of(table: &KindTable) -> Self {
        let mut kinds: BTreeMap<(String, String), Vec<KindPaths>> = BTreeMap::new();
        for row in table.rows() {
            kinds.entry((row.gvk.group.clone(), row.gvk.version.clone())).or_default().push(paths(row));
        }
        let part = |((group, version), kinds): ((String, String), Vec<KindPaths>)| {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let group_version = GroupVersion::new(group, version);
            let hash = openapi_v3_hash(&[], &group_version, &kinds);
            (path, Part { group_version, kinds, hash, document: OnceLock::new() })
        };
        Self { parts: kinds.into_iter().map(part).collect() }
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

    /// A document and its hash.
    pub fn document(&self, path: &str) -> Option<(Bytes, &str)> {
        let part = self.parts.get(path)?;
        let make = || openapi_v3(&[Schemas::builtin()], &part.group_version, &part.kinds).into();
        Some((part.document.get_or_init(make).clone(), &part.hash))
    }
}
