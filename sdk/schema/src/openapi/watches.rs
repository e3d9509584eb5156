//! The paths below `/watch`, older than the `watch` parameter: deprecated, and still served.

use serde_json::{Map, Value};

use super::paths::{Paths, place, scoped};
use super::{KindPaths, META, parameters};

const COLLECTION: &str = "deprecated: use the 'watch' parameter with a list operation instead.";
const OBJECT: &str = "deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item \
                      with the 'fieldSelector' parameter.";

impl Paths<'_> {
    /// Collection, object, and for namespaced kinds the collection over all namespaces.
    pub(super) fn watches(&mut self, kind: &KindPaths) {
        let (root, name, scoped) = (self.root(), &kind.gvk.kind, scoped(kind));
        let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}/watch{namespace}/{}", kind.plural);
        let id = format!("watch{}{scoped}{name}", self.id());
        let takes: Vec<_> = parameters::LIST.iter().copied().chain(["pretty"]).collect();

        let words = format!("watch individual changes to a list of {name}. {COLLECTION}");
        let list = self.watch(kind, "watchlist", &words, &format!("{id}List"));
        self.finish(&collection, list, place(kind, None, &takes));
        let object = self.watch(kind, "watch", &format!("watch changes to an object of kind {name}. {OBJECT}"), &id);
        self.finish(&format!("{collection}/{{name}}"), object, place(kind, Some(name), &takes));
        if kind.namespaced {
            let id = format!("watch{}{name}ListForAllNamespaces", self.id());
            let everywhere = self.watch(kind, "watchlist", &words, &id);
            self.finish(&format!("{root}/watch/{}", kind.plural), everywhere, parameters::query(takes));
        }
    }

    fn watch(&mut self, kind: &KindPaths, action: &str, words: &str, id: &str) -> Map<String, Value> {
        let types: Vec<_> = self.produces().iter().chain(self.streams()).copied().collect();
        let event = self.schema(&format!("{META}WatchEvent"));
        let operation = self.about(&kind.gvk, action, words, id).with_responses(&[(200, "OK")], &types, event);
        Map::from_iter([("get".to_owned(), operation.0)])
    }
}
