//! `/openapi/v2` in protobuf, as far as older kubectls need it: which operations take which query parameters.
//!
//! kubectl up to 1.27 asks this document whether the server validates fields before it sends anything. It holds the
//! PATCH operations alone; schemas are in `/openapi/v3`. Numbers are those of the OpenAPI v2 messages of gnostic.

use kernel_registry::KindTable;
use sdk_plugin::Kind;

/// The media type that the document is asked for in.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// As older clients write it.
pub const MEDIA_TYPE_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

const QUERY_PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];

mod document {
    pub const SWAGGER: u32 = 1;
    pub const INFO: u32 = 2;
    pub const PATHS: u32 = 8;
}
mod operation {
    pub const ID: u32 = 5;
    pub const PARAMETERS: u32 = 8;
    pub const VENDOR_EXTENSION: u32 = 13;
}

/// A protobuf message under construction. All fields that this document needs are texts and messages.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(mut self, number: u32, bytes: &[u8]) -> Self {
        const LENGTH_DELIMITED: u32 = 2;
        self.varint(u64::from(number << 3 | LENGTH_DELIMITED));
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, number: u32, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    fn message(self, number: u32, message: Self) -> Self {
        self.bytes(number, &message.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

fn query_parameter(name: &str) -> Message {
    let query = Message::default().text(2, "query").text(4, name).text(6, "string");
    // ParametersItem.parameter > Parameter.non_body_parameter > NonBodyParameter.query_parameter_sub_schema
    let non_body = Message::default().message(3, query);
    let parameter = Message::default().message(2, non_body);
    Message::default().message(1, parameter)
}

fn patch_operation(kind: &Kind) -> Message {
    let gvk = &kind.gvk;
    let mut patch = Message::default().text(operation::ID, &format!("patch{}{}", gvk.version, gvk.kind));
    for name in QUERY_PARAMETERS {
        patch = patch.message(operation::PARAMETERS, query_parameter(name));
    }
    let yaml = format!("group: \"{}\"\nkind: {}\nversion: {}\n", gvk.group, gvk.kind, gvk.version);
    let extension =
        Message::default().text(1, "x-kubernetes-group-version-kind").message(2, Message::default().text(2, &yaml));
    patch.message(operation::VENDOR_EXTENSION, extension)
}

fn path(kind: &Kind) -> String {
    let gvk = &kind.gvk;
    let root = if gvk.group.is_empty() {
        format!("/api/{}", gvk.version)
    } else {
        format!("/apis/{}/{}", gvk.group, gvk.version)
    };
    let namespace = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    format!("{root}{namespace}/{}/{{name}}", kind.plural)
}

/// The whole document.
pub fn document(table: &KindTable) -> Vec<u8> {
    let mut paths = Message::default();
    for kind in table.rows().iter().filter(|kind| kind.verbs.contains(&"patch")) {
        const PATCH: u32 = 8;
        let item = Message::default().message(PATCH, patch_operation(kind));
        paths = paths.message(2, Message::default().text(1, &path(kind)).message(2, item));
    }
    let info = Message::default().text(1, "Kubernetes").text(2, "unversioned");
    Message::default().text(document::SWAGGER, "2.0").message(document::INFO, info).message(document::PATHS, paths).0
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn operations_name_their_kind_and_parameters() {
        let table = KindTable::new([Kind::plain::<ConfigMap>()]).unwrap();
        let bytes = document(&table);
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(
            has("fieldValidation") && has("kind: ConfigMap") && has("/api/v1/namespaces/{namespace}/configmaps/{name}")
        );
        let mut message = Message::default();
        message.varint(300);
        assert_eq!(message.0, [0xac, 0x02]);
    }
}
