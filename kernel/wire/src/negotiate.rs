//! What to answer in: the `Accept` header against what an endpoint can write.

use std::fmt;

use sdk_api::Status;

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// Another shape of the answer than the object itself, asked for by `;as=Table;g=meta.k8s.io;v=v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    pub kind: &'static str,
    pub group: &'static str,
    pub version: &'static str,
}

const fn meta(kind: &'static str, version: &'static str) -> Transform {
    Transform { kind, group: "meta.k8s.io", version }
}

/// What an endpoint can answer.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The first is what a client without wishes gets.
    pub formats: &'static [Format],
    pub transforms: &'static [Transform],
    /// Whether `;stream=watch` may be asked for.
    pub streams: bool,
    /// Whether the objects themselves have a protobuf form. The metadata of a custom resource has one although the
    /// resource has none.
    pub protobuf_objects: bool,
}

impl Offer {
    /// Objects and lists of built-in kinds: as they are, as tables or as metadata alone.
    pub const OBJECTS: Self = Self {
        formats: &[Format::Json, Format::Yaml, Format::Protobuf],
        transforms: &[
            meta("Table", "v1"),
            meta("PartialObjectMetadata", "v1"),
            meta("PartialObjectMetadataList", "v1"),
            meta("Table", "v1beta1"),
            meta("PartialObjectMetadata", "v1beta1"),
            meta("PartialObjectMetadataList", "v1beta1"),
        ],
        streams: false,
        protobuf_objects: true,
    };
    /// Objects and lists of custom resources.
    pub const CUSTOM_OBJECTS: Self = Self { protobuf_objects: false, ..Self::OBJECTS };
    /// Watches: YAML has no framing.
    pub const WATCH: Self = Self { formats: &[Format::Json, Format::Protobuf], streams: true, ..Self::OBJECTS };
    /// Watches of custom resources.
    pub const CUSTOM_WATCH: Self = Self { protobuf_objects: false, ..Self::WATCH };
    /// Kinds that are answered, not stored; discovery of one group.
    pub const ANSWERS: Self = Self { transforms: &[], ..Self::OBJECTS };
    /// `/api` and `/apis`: plain, or aggregated with the resources of all groups.
    pub const DISCOVERY: Self = Self {
        transforms: &[
            Transform { kind: "APIGroupDiscoveryList", group: "apidiscovery.k8s.io", version: "v2" },
            Transform { kind: "APIGroupDiscoveryList", group: "apidiscovery.k8s.io", version: "v2beta1" },
        ],
        ..Self::OBJECTS
    };
    /// What has one shape and no protobuf form: the version, lists of paths.
    pub const PLAIN: Self =
        Self { formats: &[Format::Json, Format::Yaml], transforms: &[], streams: false, protobuf_objects: false };

    /// Whether a shape can be written in a format. Source: `RequestScope.AllowsMediaTypeTransform`.
    fn writes(&self, format: Format, transform: Option<Transform>) -> bool {
        match transform {
            _ if format != Format::Protobuf => true,
            None => self.protobuf_objects,
            Some(transform) => transform.group == "meta.k8s.io" && transform.kind != "Table",
        }
    }
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    pub format: Format,
    pub transform: Option<Transform>,
    /// Indented for people (`;pretty=1`).
    pub pretty: bool,
}

impl MediaType {
    /// The `Content-Type` of a watch, whose frames protobuf names there.
    pub fn of_watch(&self) -> String {
        match self.format {
            Format::Protobuf => format!("{self};stream=watch"),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for MediaType {
    /// The `Content-Type` of the answer. Only discovery names its shape there, as upstream does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.format.media_type())?;
        match self.transform {
            Some(Transform { kind, group: group @ "apidiscovery.k8s.io", version }) => {
                write!(f, ";g={group};v={version};as={kind}")
            }
            _ => Ok(()),
        }
    }
}

/// Chooses by the client's weights, then by the order in the header; 406 if nothing fits.
///
/// A clause that asks for what the endpoint cannot do (a table in protobuf, an unknown `as`) is passed over, so that
/// `application/json;as=Table;g=meta.k8s.io;v=v1,application/json` gets the object where there are no tables.
pub fn negotiate(accept: Option<&str>, offer: &Offer) -> Result<MediaType, Status> {
    let plain = MediaType { format: offer.formats[0], transform: None, pretty: false };
    let Some(accept) = accept.map(str::trim).filter(|header| !header.is_empty()) else { return Ok(plain) };
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.weight));
    clauses.iter().find_map(|clause| clause.fit(offer)).ok_or_else(|| {
        let formats = offer.formats.iter().filter(|format| offer.writes(**format, None));
        let accepted: Vec<_> = formats.map(|format| format.media_type()).collect();
        Status::not_acceptable(format!("only the following media types are accepted: {}", accepted.join(", ")))
    })
}

/// Which of some media types without parameters a client likes best: by its weights, then by the order in its header.
/// `None` if it takes none of them; without wishes it gets the first.
pub fn choose(accept: Option<&str>, offered: &[&str]) -> Option<usize> {
    let Some(accept) = accept.map(str::trim).filter(|header| !header.is_empty()) else { return Some(0) };
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.weight));
    clauses.iter().find_map(|clause| offered.iter().position(|media_type| clause.takes(media_type)))
}

/// One alternative of an `Accept` header.
struct Clause<'a> {
    type_: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// In thousandths.
    weight: u16,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (type_, subtype) = match parts.next()?.split_once('/') {
            Some((type_, subtype)) => (type_.trim(), subtype.trim()),
            None if text.trim() == "*" => ("*", "*"),
            None => return None,
        };
        let mut clause = Self { type_, subtype, parameters: Vec::new(), weight: 1000 };
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "q" => clause.weight = weight(value),
                name => clause.parameters.push((name, value)),
            }
        }
        (clause.weight > 0).then_some(clause)
    }

    fn fit(&self, offer: &Offer) -> Option<MediaType> {
        let (transform, pretty) = self.options(offer)?;
        let matches = |format: &&Format| self.takes(format.media_type());
        let format = *offer.formats.iter().filter(|format| offer.writes(**format, transform)).find(matches)?;
        Some(MediaType { format, transform, pretty })
    }

    fn takes(&self, media_type: &str) -> bool {
        let (type_, subtype) = media_type.split_once('/').unwrap_or_default();
        (self.type_ == "*" || self.type_.eq_ignore_ascii_case(type_))
            && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
    }

    /// Shape and indentation that the parameters ask for; `None` if the endpoint cannot do it.
    fn options(&self, offer: &Offer) -> Option<(Option<Transform>, bool)> {
        let parameter = |name: &str| self.parameters.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        if parameter("charset").is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
            return None;
        }
        if parameter("stream").is_some_and(|stream| stream != "watch" || !offer.streams) {
            return None;
        }
        let transform = match parameter("as") {
            None => None,
            Some(kind) => {
                let (group, version) = (parameter("g").unwrap_or_default(), parameter("v").unwrap_or_default());
                let asked = |t: &&Transform| t.kind == kind && t.group == group && t.version == version;
                Some(*offer.transforms.iter().find(asked)?)
            }
        };
        Some((transform, parameter("pretty") == Some("1")))
    }
}

fn weight(text: &str) -> u16 {
    match text.parse::<f32>() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
        Ok(weight) => (weight.clamp(0.0, 1.0) * 1000.0) as u16,
        Err(_) => 1000,
    }
}

/// Whether a client reads gzip, from its `Accept-Encoding`.
pub fn accepts_gzip(header: Option<&str>) -> bool {
    header.is_some_and(|header| {
        header.split(',').any(|part| {
            let mut parts = part.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
            named && parts.all(|p| p.strip_prefix("q=").is_none_or(|q| weight(q) > 0))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_answered_as_upstream_answers_them() {
        let table = Some("Table");
        for (accept, offer, want) in [
            (None, Offer::OBJECTS, Some((Format::Json, None))),
            (Some(""), Offer::OBJECTS, Some((Format::Json, None))),
            (Some("*/*"), Offer::OBJECTS, Some((Format::Json, None))),
            (Some("*"), Offer::OBJECTS, Some((Format::Json, None))),
            (Some("application/*"), Offer::OBJECTS, Some((Format::Json, None))),
            (Some("application/yaml"), Offer::OBJECTS, Some((Format::Yaml, None))),
            (Some("application/yaml;q=0.1, application/json;q=0.5"), Offer::OBJECTS, Some((Format::Json, None))),
            (Some("application/json;q=0"), Offer::OBJECTS, None),
            (
                Some(
                    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                ),
                Offer::OBJECTS,
                Some((Format::Json, table)),
            ),
            (
                Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
                Offer::PLAIN,
                Some((Format::Json, None)),
            ),
            (Some("application/json;as=Table;v=v9;g=meta.k8s.io"), Offer::OBJECTS, None),
            (
                Some("application/vnd.kubernetes.protobuf,application/json"),
                Offer::OBJECTS,
                Some((Format::Protobuf, None)),
            ),
            (
                Some("application/vnd.kubernetes.protobuf,application/json"),
                Offer::CUSTOM_OBJECTS,
                Some((Format::Json, None)),
            ),
            (Some("application/vnd.kubernetes.protobuf, */*"), Offer::ANSWERS, Some((Format::Protobuf, None))),
            (Some("application/vnd.kubernetes.protobuf, */*"), Offer::PLAIN, Some((Format::Json, None))),
            (
                Some(
                    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                ),
                Offer::CUSTOM_OBJECTS,
                Some((Format::Protobuf, Some("PartialObjectMetadataList"))),
            ),
            (
                Some(
                    "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1",
                ),
                Offer::OBJECTS,
                Some((Format::Json, table)),
            ),
            (Some("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1"), Offer::OBJECTS, None),
            (Some("application/vnd.kubernetes.protobuf"), Offer::OBJECTS, Some((Format::Protobuf, None))),
            (Some("application/vnd.kubernetes.protobuf"), Offer::CUSTOM_OBJECTS, None),
            (Some("application/vnd.kubernetes.protobuf;stream=watch"), Offer::WATCH, Some((Format::Protobuf, None))),
            (Some("application/vnd.kubernetes.protobuf;stream=watch"), Offer::CUSTOM_WATCH, None),
            (Some("text/plain"), Offer::OBJECTS, None),
            (Some("application/json;stream=watch"), Offer::WATCH, Some((Format::Json, None))),
            (Some("application/json;stream=watch"), Offer::OBJECTS, None),
            (Some("application/yaml"), Offer::WATCH, None),
            (
                Some("application/json;as=Table;v=v1;g=meta.k8s.io;stream=watch"),
                Offer::WATCH,
                Some((Format::Json, table)),
            ),
            (Some("application/json;charset=latin-1, application/yaml"), Offer::OBJECTS, Some((Format::Yaml, None))),
            (
                Some(
                    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
                ),
                Offer::DISCOVERY,
                Some((Format::Json, Some("APIGroupDiscoveryList"))),
            ),
            (
                Some(
                    "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/vnd.kubernetes.protobuf",
                ),
                Offer::DISCOVERY,
                Some((Format::Protobuf, None)),
            ),
        ] {
            let got = negotiate(accept, &offer).ok().map(|m| (m.format, m.transform.map(|t| t.kind)));
            assert_eq!(got, want, "{accept:?}");
        }
        let status = negotiate(Some("text/html"), &Offer::OBJECTS).unwrap_err();
        assert_eq!(
            (status.code, &*status.message),
            (
                406,
                "only the following media types are accepted: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf"
            )
        );
        let status = negotiate(Some("text/html"), &Offer::CUSTOM_OBJECTS).unwrap_err();
        assert_eq!(&*status.message, "only the following media types are accepted: application/json, application/yaml");
        let watch = negotiate(Some("application/vnd.kubernetes.protobuf;stream=watch"), &Offer::WATCH).unwrap();
        assert_eq!(watch.of_watch(), "application/vnd.kubernetes.protobuf;stream=watch");
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert_eq!(negotiate(Some(discovery), &Offer::DISCOVERY).unwrap().to_string(), discovery);
        assert!(negotiate(Some("application/json;pretty=1"), &Offer::OBJECTS).unwrap().pretty);
    }

    #[test]
    fn one_of_some_media_types_is_chosen() {
        let offered = ["application/json", "application/x+protobuf"];
        for (accept, want) in [
            (None, Some(0)),
            (Some(""), Some(0)),
            (Some("*/*"), Some(0)),
            (Some("application/*;q=0.1, application/x+protobuf"), Some(1)),
            (Some("application/x+protobuf, */*"), Some(1)),
            (Some("application/x+protobuf;q=0, */*"), Some(0)),
            (Some("text/html"), None),
        ] {
            assert_eq!(choose(accept, &offered), want, "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_told_from_its_refusal() {
        for (header, want) in [
            (None, false),
            (Some("gzip"), true),
            (Some("br, gzip;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("identity"), false),
            (Some("*"), true),
        ] {
            assert_eq!(accepts_gzip(header), want, "{header:?}");
        }
    }
}
