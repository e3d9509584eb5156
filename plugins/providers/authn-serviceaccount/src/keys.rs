//! The keys of tokens: one signs, all of them check, each under the id that is its thumbprint.

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no key is given")]
    NoKey,
    #[error("the first key must be a private one, since it signs")]
    CannotSign,
    #[error("a key is neither an EC P-256 nor an RSA key in PEM")]
    Unreadable {
        #[source]
        source: jsonwebtoken::errors::Error,
    },
}

/// A key that checks.
struct Known {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
    public: Jwk,
}

/// See the module.
pub struct Keys {
    signing: EncodingKey,
    known: Vec<Known>,
}

impl Keys {
    /// From PEM: the first must be private and signs, the others may be private or public and only check.
    pub fn new(pems: &[String]) -> Result<Self, Error> {
        let (first, others) = pems.split_first().ok_or(Error::NoKey)?;
        let (signing, first) = private(first).ok_or(Error::CannotSign)?;
        let mut known = vec![first];
        for pem in others {
            known.push(match private(pem) {
                Some((_, known)) => known,
                None => public(pem)?,
            });
        }
        Ok(Self { signing, known })
    }

    /// Signs claims.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String, jsonwebtoken::errors::Error> {
        let first = &self.known[0];
        let mut header = Header::new(first.algorithm);
        header.kid = Some(first.id.clone());
        // Upstream's tokens carry no type.
        header.typ = None;
        jsonwebtoken::encode(&header, claims, &self.signing)
    }

    /// The claims of a token that one of the keys signed; times and audiences are not checked here.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let candidates = self
            .known
            .iter()
            .filter(|known| known.algorithm == header.alg && header.kid.as_ref().is_none_or(|id| *id == known.id));
        candidates.into_iter().find_map(|known| {
            let mut validation = Validation::new(known.algorithm);
            validation.validate_exp = false;
            validation.validate_nbf = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            jsonwebtoken::decode(token, &known.key, &validation).ok().map(|token| token.claims)
        })
    }

    /// The public keys, as `/openid/v1/jwks` shows them.
    pub fn document(&self) -> Value {
        let keys: Vec<_> = self
            .known
            .iter()
            .map(|known| {
                let mut key = serde_json::to_value(&known.public).unwrap_or_default();
                key["use"] = "sig".into();
                key["kid"] = known.id.as_str().into();
                key
            })
            .collect();
        json!({"keys": keys})
    }

    /// The algorithms in use, by their names in RFC 7518.
    pub fn algorithms(&self) -> Vec<String> {
        let mut names: Vec<_> = self.known.iter().map(|known| format!("{:?}", known.algorithm)).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn private(pem: &str) -> Option<(EncodingKey, Known)> {
    let (key, algorithm) = match EncodingKey::from_ec_pem(pem.as_bytes()) {
        Ok(key) => (key, Algorithm::ES256),
        Err(_) => (EncodingKey::from_rsa_pem(pem.as_bytes()).ok()?, Algorithm::RS256),
    };
    let public = Jwk::from_encoding_key(&key, algorithm).ok()?;
    let known = known(public, algorithm, DecodingKey::from_jwk).ok()?;
    Some((key, known))
}

fn public(pem: &str) -> Result<Known, Error> {
    let (key, algorithm) = match DecodingKey::from_ec_pem(pem.as_bytes()) {
        Ok(key) => (key, Algorithm::ES256),
        Err(_) => (
            DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|source| Error::Unreadable { source })?,
            Algorithm::RS256,
        ),
    };
    let public = Jwk::from_decoding_key(&key, Some(algorithm)).map_err(|source| Error::Unreadable { source })?;
    known(public, algorithm, |_| Ok(key)).map_err(|source| Error::Unreadable { source })
}

fn known(
    public: Jwk,
    algorithm: Algorithm,
    key: impl FnOnce(&Jwk) -> Result<DecodingKey, jsonwebtoken::errors::Error>,
) -> Result<Known, jsonwebtoken::errors::Error> {
    let id = public.thumbprint(ThumbprintHash::SHA256)?;
    Ok(Known { id, algorithm, key: key(&public)?, public })
}
