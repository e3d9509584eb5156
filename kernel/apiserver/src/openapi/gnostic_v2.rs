//! The messages of OpenAPI v2, as far as API servers write them.

use serde_json::Value;

use super::gnostic::Message::{Choice, Fields, Items, Pairs};
use super::gnostic::Type::{Double, Each, Flag, Integer, One, Text, Yaml};
use super::gnostic::{Message, Type};

/// Numbers in `Document`, `Paths` and `Definitions`, which are put together from encoded parts.
pub(super) mod document {
    pub const PATHS: u32 = 8;
    pub const DEFINITIONS: u32 = 9;
    pub const PATH: u32 = 2;
    pub const DEFINITION: u32 = 1;
}

/// The document without paths and definitions.
pub(super) static DOCUMENT: Message = Fields(
    &[
        ("swagger", 1, Text),
        ("info", 2, One(&INFO)),
        ("security", 12, Each(&One(&REQUIREMENT))),
        ("securityDefinitions", 13, One(&SECURITY_DEFINITIONS)),
    ],
    16,
);
static INFO: Message = Fields(&[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], 7);
static REQUIREMENT: Message = Pairs(1, One(&TEXTS));
static TEXTS: Message = Items(1, Text);
static SECURITY_DEFINITIONS: Message = Pairs(1, One(&SECURITY_DEFINITION));
static SECURITY_DEFINITION: Message = Choice(|_| Some((2, One(&API_KEY))));
static API_KEY: Message = Fields(&[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)], 5);

pub(super) static PATH_ITEM: Message = Fields(
    &[
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, Each(&One(&PARAMETERS_ITEM))),
    ],
    10,
);
static OPERATION: Message = Fields(
    &[
        ("tags", 1, Each(&Text)),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Each(&Text)),
        ("consumes", 7, Each(&Text)),
        ("parameters", 8, Each(&One(&PARAMETERS_ITEM))),
        ("responses", 9, One(&RESPONSES)),
        ("schemes", 10, Each(&Text)),
        ("deprecated", 11, Flag),
    ],
    13,
);
static PARAMETERS_ITEM: Message = Choice(|_| Some((1, One(&PARAMETER))));
static PARAMETER: Message = Choice(|parameter| match parameter["in"].as_str() {
    Some("body") => Some((1, One(&BODY))),
    _ => Some((2, One(&NON_BODY))),
});
static BODY: Message = Fields(
    &[("description", 1, Text), ("name", 2, Text), ("in", 3, Text), ("required", 4, Flag), ("schema", 5, One(&SCHEMA))],
    6,
);
static NON_BODY: Message = Choice(|parameter| match parameter["in"].as_str() {
    Some("query") => Some((3, One(&QUERY))),
    Some("path") => Some((4, One(&PATH))),
    _ => None,
});
static QUERY: Message = Fields(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("uniqueItems", 20, Flag),
    ],
    23,
);
static PATH: Message = Fields(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("uniqueItems", 19, Flag),
    ],
    22,
);
static RESPONSES: Message = Pairs(1, One(&RESPONSE_VALUE));
static RESPONSE_VALUE: Message = Choice(|_| Some((1, One(&RESPONSE))));
static RESPONSE: Message = Fields(&[("description", 1, Text), ("schema", 2, One(&SCHEMA_ITEM))], 5);
static SCHEMA_ITEM: Message = Choice(|_| Some((1, One(&SCHEMA))));

pub(super) static SCHEMA: Message = Fields(
    &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("multipleOf", 6, Double),
        ("maximum", 7, Double),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Double),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, Each(&Text)),
        ("enum", 20, Each(&Yaml)),
        ("additionalProperties", 21, One(&ADDITIONAL)),
        ("type", 22, One(&TEXTS)),
        ("items", 23, One(&SCHEMAS)),
        ("properties", 25, One(&PROPERTIES)),
        ("example", 30, Yaml),
    ],
    31,
);
static SCHEMAS: Message = Items(1, One(&SCHEMA));
static PROPERTIES: Message = Pairs(1, One(&SCHEMA));
static ADDITIONAL: Message = Choice(additional);

fn additional(value: &Value) -> Option<(u32, Type)> {
    Some(if value.is_boolean() { (2, Flag) } else { (1, One(&SCHEMA)) })
}
