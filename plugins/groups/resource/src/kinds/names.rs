//! How things of this group are called: drivers, pools, requests, attributes. Source: API reference, "ResourceSlice".

use std::collections::{BTreeMap, BTreeSet};

use sdk_api::domains::{c_identifier, each_invalid};
use sdk_api::k8s_openapi::api::resource::v1::DeviceClaim;
use sdk_api::{Violations, names};

/// Bytes of a driver's name, and of the domain of an attribute.
const DRIVER_MAX: usize = 63;
/// Bytes of a pool's name.
const POOL_MAX: usize = 253;
/// Bytes of the name of an attribute without its domain.
const ID_MAX: usize = 32;
const REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// A name that is a DNS label: of a device, a request, a counter.
pub fn label(found: &mut Violations, field: &str, name: &str) {
    each_invalid(found, field, name, names::dns1123_label(name));
}

/// The name of a driver: a domain, in any case.
pub fn driver(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        found.required(field, "");
    }
    if name.len() > DRIVER_MAX {
        found.too_long(field, DRIVER_MAX);
    }
    each_invalid(found, field, name, names::dns1123_subdomain(&name.to_lowercase()));
}

/// The name of a pool: domains with slashes between them.
pub fn pool(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        return found.required(field, "");
    }
    if name.len() > POOL_MAX {
        found.too_long(field, POOL_MAX);
    }
    for part in name.split('/') {
        each_invalid(found, field, part, names::dns1123_subdomain(part));
    }
}

/// The name of a DeviceClass that something refers to.
pub fn class(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        return found.required(field, "");
    }
    each_invalid(found, field, name, names::dns1123_subdomain(name));
}

/// The name of an attribute or a capacity: an identifier as in C, with or without a driver's domain.
pub fn qualified(found: &mut Violations, field: &str, name: &str) {
    let parts: Vec<_> = name.split('/').collect();
    let id = match parts.as_slice() {
        [id] => id,
        [domain, id] => {
            if domain.is_empty() {
                found.invalid(field, "", "the domain must not be empty");
            } else {
                driver(found, field, domain);
            }
            if id.is_empty() {
                return found.invalid(field, "", "the name must not be empty");
            }
            id
        }
        // Upstream lets these pass.
        _ => return,
    };
    if id.len() > ID_MAX {
        found.too_long(field, ID_MAX);
    }
    each_invalid(found, field, id, c_identifier(id));
}

/// The name of an attribute with its domain.
pub fn fully_qualified(found: &mut Violations, field: &str, name: &str) {
    qualified(found, field, name);
    if !name.contains('/') {
        found.invalid(field, name, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

/// The UID of a share, in its normal form. Source: RFC 4122.
pub fn uid(found: &mut Violations, field: &str, uid: &str) {
    let groups: Vec<_> = uid.split('-').map(str::len).collect();
    let is_hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    if groups != [8, 4, 4, 4, 12] || !uid.bytes().all(is_hex) {
        found.invalid(field, uid, format!("error validating uid: invalid UUID length: {}", uid.len()));
    } else if uid != uid.to_lowercase() {
        let why = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
                   hexadecimal characters";
        found.invalid(field, uid, why);
    }
}

/// The requests of a claim, each with its alternatives.
pub struct Requests<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Requests<'a> {
    pub fn of(claim: Option<&'a DeviceClaim>) -> Self {
        let requests = claim.and_then(|claim| claim.requests.as_deref()).unwrap_or_default();
        let alternatives = |request: &'a sdk_api::k8s_openapi::api::resource::v1::DeviceRequest| {
            request.first_available.iter().flatten().map(|alternative| alternative.name.as_str()).collect()
        };
        Self(requests.iter().map(|request| (request.name.as_str(), alternatives(request))).collect())
    }

    fn has(&self, request: &str, alternative: Option<&str>) -> bool {
        self.0.get(request).is_some_and(|known| alternative.is_none_or(|name| known.contains(name)))
    }

    /// A reference to one of them, `request` or `request/alternative`.
    pub fn refer(&self, found: &mut Violations, field: &str, name: &str) {
        let (request, alternative) = match name.split_once('/') {
            Some((_, rest)) if rest.contains('/') => return found.invalid(field, name, REQUEST),
            Some((request, alternative)) => (request, Some(alternative)),
            None => (name, None),
        };
        for part in [Some(request), alternative].into_iter().flatten() {
            label(found, field, part);
        }
        if !self.has(request, alternative) {
            found.invalid(field, name, REQUEST);
        }
    }

    /// A list of references, none of them twice.
    pub fn refer_all(&self, found: &mut Violations, field: &str, names: &[String], max: usize) {
        if names.len() > max {
            return found.too_many(field, names.len(), max);
        }
        for (at, name) in names.iter().enumerate() {
            self.refer(found, &format!("{field}[{at}]"), name);
        }
        unique(found, field, names.iter().map(String::as_str));
    }
}

/// Adds a `Duplicate` for each item that was there before.
pub fn unique<'a>(found: &mut Violations, field: &str, items: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for (at, item) in items.enumerate() {
        if !seen.insert(item) {
            found.duplicate(format!("{field}[{at}]"), item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_the_good_and_counts_the_bad() {
        type Rule = fn(&mut Violations, &str, &str);
        for (rule, texts) in [
            (driver as Rule, vec![("gpu.example.com", 0), ("GPU.example.com", 0), ("", 2), ("a_b", 1)]),
            (pool, vec![("node-1", 0), ("a/b.c", 0), ("", 1), ("a//b", 1)]),
            (class, vec![("gpu.example.com", 0), ("", 1), ("A", 1)]),
            (qualified, vec![("model", 0), ("a.io/model", 0), ("a-b", 1), ("/model", 1), ("a.io/", 1), ("a/b/c", 0)]),
            (fully_qualified, vec![("a.io/model", 0), ("model", 1)]),
            (
                uid,
                vec![
                    ("01234567-89ab-cdef-0123-456789abcdef", 0),
                    ("01234567-89AB-cdef-0123-456789abcdef", 1),
                    ("0123456789abcdef0123456789abcdef", 1),
                ],
            ),
        ] {
            for (text, wrong) in texts {
                let mut found = Violations::default();
                rule(&mut found, "f", text);
                assert_eq!(found.fields().len(), wrong, "{text:?}");
            }
        }
    }
}
