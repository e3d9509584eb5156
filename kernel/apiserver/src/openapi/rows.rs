//! What OpenAPI needs to know of a row.

use sdk_plugin::{Connect, Kind, Served};
use sdk_schema::{KindPaths, Subresource, Verb};

use crate::discovery::subresource_of;

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

pub(super) fn paths(kind: &Kind) -> KindPaths {
    let subresource = |(name, served): &(&'static str, Served)| {
        let (verbs, gvk) = subresource_of(kind, name, served);
        let verbs = match served {
            Served::Connect(connect) if *connect != Connect::Log => vec![Verb::Connect],
            _ => verbs.into_iter().filter_map(verb).collect(),
        };
        Subresource { name: (*name).to_owned(), gvk, verbs }
    };
    // Upstream's document says that the deletion of a namespace answers a Status, although it answers the namespace.
    let tells_of_status = kind.delete_answers_status || (kind.gvk.group.is_empty() && kind.plural == "namespaces");
    let answering = |verb| match verb {
        Verb::Delete if !tells_of_status => Verb::DeleteAnsweringObject,
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
