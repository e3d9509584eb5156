//! Who a client certificate names: the common name is the user, the organizations are the groups.
//!
//! Source: Kubernetes documentation, "Authenticating", X509 client certificates. That the chain ends at the client CA,
//! that the certificate is for clients, and that it is valid now, is what TLS has checked before.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::Status;
use sdk_plugin::{Authenticator, Credentials, Plugin, Subject, Tables};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// Says which credential a user came with, so that audit can tell two certificates of one user apart.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The plugin that authenticates by client certificates.
pub struct X509;

impl Plugin for X509 {
    fn name(&self) -> &'static str {
        "authn-x509"
    }

    fn register(&self, tables: &mut Tables) {
        tables.authenticator(Arc::new(X509));
    }
}

#[async_trait]
impl Authenticator for X509 {
    fn name(&self) -> &'static str {
        "x509"
    }

    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Subject>, Status> {
        let Some(der) = &credentials.client_certificate else { return Ok(None) };
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Ok(subject(certificate.subject(), der)),
            Err(error) => {
                tracing::debug!(%error, "A client certificate cannot be read.");
                Err(Status::unauthorized())
            }
        }
    }
}

/// The user; `None` for a certificate without a common name, which proves nothing about a user.
fn subject(name: &X509Name<'_>, der: &[u8]) -> Option<Subject> {
    let user = name.iter_common_name().filter_map(|part| part.as_str().ok()).last().filter(|user| !user.is_empty())?;
    let groups = name.iter_organization().filter_map(|part| part.as_str().ok()).map(str::to_owned);
    let digest: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Subject {
        name: user.to_owned(),
        uid: String::new(),
        groups: groups.collect(),
        extra: [(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={digest}")])].into(),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(name: Option<&str>, organizations: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        if let Some(name) = name {
            subject.push(DnType::CommonName, name);
        }
        if let Some(organization) = organizations.first() {
            subject.push(DnType::OrganizationName, *organization);
        }
        params.distinguished_name = subject;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[tokio::test]
    async fn the_certificate_names_the_user() {
        for (case, der, user) in [
            ("a user", Some(certificate(Some("ann"), &[])), Ok(Some(("ann", vec![])))),
            (
                "a node",
                Some(certificate(Some("system:node:n1"), &["system:nodes"])),
                Ok(Some(("system:node:n1", vec!["system:nodes"]))),
            ),
            ("nobody", Some(certificate(None, &["system:masters"])), Ok(None)),
            ("an empty name", Some(certificate(Some(""), &["system:masters"])), Ok(None)),
            ("no certificate", None, Ok(None)),
            ("bytes", Some(vec![1, 2, 3]), Err(401)),
        ] {
            let credentials = Credentials { client_certificate: der, ..Credentials::default() };
            let found = X509.authenticate(&credentials).await;
            let found = found.map(|user| user.map(|user| (user.name, user.groups))).map_err(|status| status.code);
            let user = user.map(|user| {
                user.map(|(name, groups): (&str, Vec<&str>)| {
                    (name.to_owned(), groups.into_iter().map(str::to_owned).collect::<Vec<_>>())
                })
            });
            assert_eq!(found, user, "{case}");
        }
    }

    #[tokio::test]
    async fn each_certificate_is_told_apart() {
        let id = async || {
            let der = Some(certificate(Some("ann"), &[]));
            let credentials = Credentials { client_certificate: der, ..Credentials::default() };
            X509.authenticate(&credentials).await.unwrap().unwrap().extra[CREDENTIAL_ID][0].clone()
        };
        let (one, other) = (id().await, id().await);
        assert_ne!(one, other);
        assert_eq!(one.len(), "X509SHA256=".len() + 64);
    }
}
