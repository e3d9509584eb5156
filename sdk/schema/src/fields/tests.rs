//! Tables in the manner of structured-merge-diff's own tests.

use std::collections::BTreeMap;

use sdk_api::GroupVersionKind;
use serde_json::json;

use super::*;
use crate::schemas::Schemas;

fn deployment() -> SchemaRef {
    Schemas::builtin().kind(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap()
}

fn pod() -> SchemaRef {
    Schemas::builtin().kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap()
}

/// A kind with one list or map of each sort.
fn nested() -> SchemaRef {
    let definition = json!({
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": "Nested"}],
        "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "numbers": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            "atomic": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "value": {"type": "integer"},
                    "inner": {"type": "object", "additionalProperties": {"type": "string"}}}}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "integer"}}},
            "struct": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    let schemas = Schemas::from_definitions(BTreeMap::from([("io.x.v1.Nested".into(), definition)])).unwrap();
    schemas.kind(&GroupVersionKind::new("x.io", "v1", "Nested")).unwrap()
}

#[test]
fn documents_have_the_fields_of_their_schema() {
    for (case, document, fields) in [
        ("scalars in a struct", json!({"struct": {"a": 1}}), json!({"f:struct": {"f:a": {}}})),
        ("an empty struct", json!({"struct": {}}), json!({"f:struct": {}})),
        ("entries of a map", json!({"map": {"x": "1"}}), json!({"f:map": {"f:x": {}}})),
        ("a set", json!({"set": ["b", "a"]}), json!({"f:set": {"v:\"a\"": {}, "v:\"b\"": {}}})),
        ("a set of numbers", json!({"numbers": [1]}), json!({"f:numbers": {"v:1": {}}})),
        ("an atomic list", json!({"atomic": ["a"]}), json!({"f:atomic": {}})),
        ("an atomic map", json!({"whole": {"a": 1}}), json!({"f:whole": {}})),
        (
            "items by key",
            json!({"list": [{"name": "x", "value": 1}]}),
            json!({"f:list": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:value": {}}}}),
        ),
        ("free form is deduced", json!({"free": {"a": {"b": [1]}}}), json!({"f:free": {"f:a": {".": {}, "f:b": {}}}})),
        ("an explicit null", json!({"map": null}), json!({"f:map": {}})),
        ("an empty list", json!({"set": []}), json!({})),
    ] {
        let set = fields_of(Some(&nested()), &document);
        assert_eq!(set.clone().into_fields(), fields, "{case}");
        assert_eq!(Set::from_fields(&fields).unwrap(), set, "{case}: read back");
    }
}

#[test]
fn keys_have_the_defaults_of_their_type() {
    let document = json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}});
    let fields = fields_of(Some(&pod()), &document);
    let port = r#"k:{"containerPort":80,"protocol":"TCP"}"#;
    assert_eq!(
        fields.into_fields(),
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
            ".": {}, "f:name": {}, "f:ports": {port: {".": {}, "f:containerPort": {}}}}}}})
    );
    let error = check(Some(&nested()), &json!({"list": [{"value": 1}]})).unwrap_err();
    assert!(error.contains("omits key field \"name\""), "{error}");
}

#[test]
fn comparisons_tell_added_modified_and_removed() {
    let none = json!({});
    for (case, old, new, added, modified, removed) in [
        ("nothing", json!({"set": ["a"]}), json!({"set": ["a"]}), json!({}), json!({}), json!({})),
        (
            "a scalar",
            json!({"struct": {"a": 1}}),
            json!({"struct": {"a": 2, "b": 1}}),
            json!({"f:struct": {"f:b": {}}}),
            json!({"f:struct": {"f:a": {}}}),
            none.clone(),
        ),
        (
            "an item of a set",
            json!({"set": ["a", "b"]}),
            json!({"set": ["b", "c"]}),
            json!({"f:set": {"v:\"c\"": {}}}),
            none.clone(),
            json!({"f:set": {"v:\"a\"": {}}}),
        ),
        (
            "a field of an item",
            json!({"list": [{"name": "x", "value": 1}, {"name": "y"}]}),
            json!({"list": [{"name": "y"}, {"name": "x", "value": 2}]}),
            none.clone(),
            json!({"f:list": {"k:{\"name\":\"x\"}": {"f:value": {}}}}),
            none.clone(),
        ),
        (
            "a whole map",
            json!({"map": {"a": "1"}}),
            json!({}),
            none.clone(),
            none.clone(),
            json!({"f:map": {".": {}, "f:a": {}}}),
        ),
        (
            "an atomic map",
            json!({"whole": {"a": 1}}),
            json!({"whole": {"a": 2}}),
            none.clone(),
            json!({"f:whole": {}}),
            none.clone(),
        ),
        ("a null for nothing", json!({}), json!({"map": null}), none.clone(), none.clone(), none.clone()),
        (
            "duplicates count as one",
            json!({"set": ["a", "a"]}),
            json!({"set": ["a"]}),
            none.clone(),
            json!({"f:set": {"v:\"a\"": {}}}),
            none.clone(),
        ),
    ] {
        let found = compare(Some(&nested()), &old, &new);
        let got = [found.added, found.modified, found.removed].map(Set::into_fields);
        assert_eq!(got, [added, modified, removed], "{case}");
    }
}

#[test]
fn new_objects_do_not_bring_what_stands_anyway() {
    let document = json!({"metadata": {"labels": {"a": "b"}}, "spec": {
        "strategy": {"rollingUpdate": {"maxSurge": 1}}, "selector": {"matchLabels": {"a": "b"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "i"}], "securityContext": {}}}}});
    let brought = compare_new(Some(&deployment()), &document).brought();
    assert_eq!(
        brought.into_fields(),
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:selector": {},
                "f:template": {"f:spec": {
                    "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}}},
                    "f:securityContext": {}}},
            },
        })
    );
    // A custom resource has nothing that stands anyway.
    let brought = compare_new(Some(&nested()), &json!({"struct": {"a": 1}})).brought();
    assert_eq!(brought.into_fields(), json!({"f:struct": {".": {}, "f:a": {}}}));
}

#[test]
fn configurations_merge_by_type() {
    for (case, live, config, want) in [
        (
            "scalars",
            json!({"struct": {"a": 1, "b": 1}}),
            json!({"struct": {"a": 2}}),
            json!({"struct": {"a": 2, "b": 1}}),
        ),
        ("maps", json!({"map": {"a": "1"}}), json!({"map": {"b": "2"}}), json!({"map": {"a": "1", "b": "2"}})),
        ("sets", json!({"set": ["a", "b"]}), json!({"set": ["c", "b"]}), json!({"set": ["a", "c", "b"]})),
        ("atomic lists", json!({"atomic": ["a"]}), json!({"atomic": ["b"]}), json!({"atomic": ["b"]})),
        ("atomic maps", json!({"whole": {"a": 1}}), json!({"whole": {}}), json!({"whole": {}})),
        (
            "items by key",
            json!({"list": [{"name": "x", "value": 1}, {"name": "y", "value": 2}]}),
            json!({"list": [{"name": "y", "value": 3}, {"name": "z"}]}),
            json!({"list": [{"name": "x", "value": 1}, {"name": "y", "value": 3}, {"name": "z"}]}),
        ),
        (
            "the configuration's order counts",
            json!({"set": ["a", "b", "c"]}),
            json!({"set": ["c", "a"]}),
            json!({"set": ["b", "c", "a"]}),
        ),
        (
            "duplicates in the live list go where the configuration names them",
            json!({"set": ["a", "a", "b"]}),
            json!({"set": ["a"]}),
            json!({"set": ["a", "b"]}),
        ),
        (
            "duplicates stay where it does not",
            json!({"set": ["a", "a"]}),
            json!({"set": ["b"]}),
            json!({"set": ["a", "a", "b"]}),
        ),
        (
            "free form",
            json!({"free": {"a": 1, "l": [1]}}),
            json!({"free": {"l": [2]}}),
            json!({"free": {"a": 1, "l": [2]}}),
        ),
        (
            "a null of a granular map keeps",
            json!({"map": {"a": "1"}}),
            json!({"map": null}),
            json!({"map": {"a": "1"}}),
        ),
    ] {
        assert_eq!(merge(Some(&nested()), &live, &config), want, "{case}");
    }
}

#[test]
fn members_are_removed_with_all_below() {
    for (case, document, set, want) in [
        ("a field", json!({"struct": {"a": 1, "b": 2}}), json!({"f:struct": {"f:a": {}}}), json!({"struct": {"b": 2}})),
        ("the last entry takes its map along", json!({"map": {"a": "1"}}), json!({"f:map": {"f:a": {}}}), json!({})),
        (
            "an item",
            json!({"list": [{"name": "x"}, {"name": "y"}]}),
            json!({"f:list": {"k:{\"name\":\"x\"}": {}}}),
            json!({"list": [{"name": "y"}]}),
        ),
        (
            "a field of an item",
            json!({"list": [{"name": "x", "value": 1}]}),
            json!({"f:list": {"k:{\"name\":\"x\"}": {"f:value": {}}}}),
            json!({"list": [{"name": "x"}]}),
        ),
        ("a value", json!({"set": ["a", "b"]}), json!({"f:set": {"v:\"a\"": {}}}), json!({"set": ["b"]})),
        ("nothing that is not there", json!({"set": ["a"]}), json!({"f:map": {"f:a": {}}}), json!({"set": ["a"]})),
    ] {
        let mut document = document;
        remove(Some(&nested()), &mut document, &Set::from_fields(&set).unwrap());
        assert_eq!(document, want, "{case}");
    }
}

#[test]
fn sets_are_sets() {
    let set = |fields: &Value| Set::from_fields(fields).unwrap();
    let a = set(&json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}}));
    let b = set(&json!({"f:a": {"f:b": {}, "f:e": {}}}));
    for (case, got, want) in [
        ("union", a.clone().union(&b), json!({"f:a": {".": {}, "f:b": {}, "f:c": {}, "f:e": {}}, "f:d": {}})),
        ("intersection", a.intersection(&b), json!({"f:a": {"f:b": {}}})),
        ("difference", a.clone().difference(&b), json!({"f:a": {".": {}, "f:c": {}}, "f:d": {}})),
        ("difference of parents", b.clone().difference(&a), json!({"f:a": {"f:e": {}}})),
        ("difference with all below", b.clone().difference_below(&a), json!({})),
        ("within", b.within(&set(&json!({"f:a": {}}))), json!({"f:a": {"f:b": {}, "f:e": {}}})),
    ] {
        assert_eq!(got.into_fields(), want, "{case}");
    }
    assert!(a.meets(&json!({"f:a": {"f:b": {}}})) && !a.meets(&json!({"f:a": {"f:x": {}}})));
    assert_eq!(a.paths(), [".a", ".d", ".a.b", ".a.c"]);
    assert!(a.has_path(&["a", "c"]) && !b.has_path(&["a"]));
    let spaced = set(&json!({"f:l": {"k:{ \"b\": 1, \"a\": \"x\" }": {".": {}}}}));
    assert_eq!(spaced.paths(), [r#".l[a="x",b=1]"#]);
    for wrong in [json!([]), json!({"f:a": 1}), json!({"k:[]": {}}), json!({"v:{": {}}), json!({"f": {}})] {
        assert!(Set::from_fields(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_became_atomic_is_owned_whole() {
    let before = Set::from_fields(&json!({"f:whole": {"f:a": {}}, "f:struct": {"f:a": {}}})).unwrap();
    let fields = before.reconciled(Some(&nested())).into_fields();
    assert_eq!(fields, json!({"f:whole": {}, "f:struct": {"f:a": {}}}));
}

#[test]
fn configurations_are_checked_in_upstreams_words() {
    for (config, want) in [
        (json!({"struct": {"a": 1}}), None),
        (json!({"colour": 1}), Some(".colour: field not declared in schema")),
        (json!({"struct": {"a": "x"}}), Some(".struct.a: expected numeric (int or float), got string")),
        (json!({"set": ["a", "a"]}), Some(".set: duplicate entries for key [=\"a\"]")),
        (json!({"list": [{"name": "a"}, {"name": "a"}]}), Some(".list: duplicate entries for key [name=\"a\"]")),
        (json!({"list": {"a": 1}}), Some(".list: expected list, got map")),
        (json!({"map": [1]}), Some(".map: expected map, got list")),
        (json!({"whole": {"b": 1}}), Some(".whole.b: field not declared in schema")),
        (json!({"free": {"anything": [1]}}), None),
        (
            json!({"x": 1, "y": 2}),
            Some("errors:\n  .x: field not declared in schema\n  .y: field not declared in schema"),
        ),
    ] {
        assert_eq!(check(Some(&nested()), &config).err().as_deref(), want, "{config}");
    }
}
