//! The messages of OpenAPI v3, as far as API servers write them.

use serde_json::Value;

use super::gnostic::Message::{Choice, Fields, Items, Pairs};
use super::gnostic::Type::{Double, Each, Flag, Integer, One, Text, Yaml};
use super::gnostic::{Message, Type};

pub(super) static DOCUMENT: Message = Fields(
    &[("openapi", 1, Text), ("info", 2, One(&INFO)), ("paths", 4, One(&PATHS)), ("components", 5, One(&COMPONENTS))],
    9,
);
static INFO: Message = Fields(&[("title", 1, Text), ("description", 2, Text), ("version", 6, Text)], 7);
static PATHS: Message = Pairs(1, One(&PATH_ITEM));
static COMPONENTS: Message =
    Fields(&[("schemas", 1, One(&SCHEMAS)), ("securitySchemes", 7, One(&SECURITY_SCHEMES))], 10);
static SCHEMAS: Message = Pairs(1, One(&SCHEMA_OR_REFERENCE));
static SECURITY_SCHEMES: Message = Pairs(1, One(&SECURITY_SCHEME_OR_REFERENCE));
static SECURITY_SCHEME_OR_REFERENCE: Message = Choice(|_| Some((1, One(&SECURITY_SCHEME))));
static SECURITY_SCHEME: Message =
    Fields(&[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)], 9);

static PATH_ITEM: Message = Fields(
    &[
        ("get", 4, One(&OPERATION)),
        ("put", 5, One(&OPERATION)),
        ("post", 6, One(&OPERATION)),
        ("delete", 7, One(&OPERATION)),
        ("options", 8, One(&OPERATION)),
        ("head", 9, One(&OPERATION)),
        ("patch", 10, One(&OPERATION)),
        ("parameters", 13, Each(&One(&PARAMETER_OR_REFERENCE))),
    ],
    14,
);
static OPERATION: Message = Fields(
    &[
        ("tags", 1, Each(&Text)),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Each(&One(&PARAMETER_OR_REFERENCE))),
        ("requestBody", 7, One(&BODY_OR_REFERENCE)),
        ("responses", 8, One(&RESPONSES)),
        ("deprecated", 10, Flag),
    ],
    13,
);
static PARAMETER_OR_REFERENCE: Message = Choice(|_| Some((1, One(&PARAMETER))));
static PARAMETER: Message = Fields(
    &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, One(&SCHEMA_OR_REFERENCE)),
    ],
    14,
);
static BODY_OR_REFERENCE: Message = Choice(|_| Some((1, One(&BODY))));
static BODY: Message = Fields(&[("description", 1, Text), ("content", 2, One(&CONTENT)), ("required", 3, Flag)], 4);
static CONTENT: Message = Pairs(1, One(&MEDIA_TYPE));
static MEDIA_TYPE: Message = Fields(&[("schema", 1, One(&SCHEMA_OR_REFERENCE))], 5);
static RESPONSES: Message = Pairs(2, One(&RESPONSE_OR_REFERENCE));
static RESPONSE_OR_REFERENCE: Message = Choice(|_| Some((1, One(&RESPONSE))));
static RESPONSE: Message = Fields(&[("description", 1, Text), ("content", 3, One(&CONTENT))], 5);

static SCHEMA_OR_REFERENCE: Message = Choice(|schema| match schema.get("$ref") {
    Some(_) => Some((2, One(&REFERENCE))),
    None => Some((1, One(&SCHEMA))),
});
static REFERENCE: Message = Fields(&[("$ref", 1, Text), ("summary", 2, Text), ("description", 3, Text)], 0);
static SCHEMA: Message = Fields(
    &[
        ("nullable", 1, Flag),
        ("example", 7, Yaml),
        ("title", 9, Text),
        ("multipleOf", 10, Double),
        ("maximum", 11, Double),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Double),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Integer),
        ("minLength", 16, Integer),
        ("pattern", 17, Text),
        ("maxItems", 18, Integer),
        ("minItems", 19, Integer),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Integer),
        ("minProperties", 22, Integer),
        ("required", 23, Each(&Text)),
        ("enum", 24, Each(&Yaml)),
        ("type", 25, Text),
        ("allOf", 26, Each(&One(&SCHEMA_OR_REFERENCE))),
        ("oneOf", 27, Each(&One(&SCHEMA_OR_REFERENCE))),
        ("anyOf", 28, Each(&One(&SCHEMA_OR_REFERENCE))),
        ("not", 29, One(&SCHEMA)),
        ("items", 30, One(&ITEMS)),
        ("properties", 31, One(&SCHEMAS)),
        ("additionalProperties", 32, One(&ADDITIONAL)),
        ("default", 33, One(&DEFAULT)),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    36,
);
static ITEMS: Message = Items(1, One(&SCHEMA_OR_REFERENCE));
static ADDITIONAL: Message = Choice(additional);
/// Objects and lists have no form here, so that the default `{}` is in JSON alone.
static DEFAULT: Message = Choice(|value| match value {
    Value::Number(_) => Some((1, Double)),
    Value::Bool(_) => Some((2, Flag)),
    Value::String(_) => Some((3, Text)),
    _ => None,
});

fn additional(value: &Value) -> Option<(u32, Type)> {
    Some(if value.is_boolean() { (2, Flag) } else { (1, One(&SCHEMA_OR_REFERENCE)) })
}
