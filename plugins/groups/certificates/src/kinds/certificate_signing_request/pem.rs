//! PEM blocks, requests and certificates. Sources: RFC 7468, RFC 2986, RFC 5280.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate, X509Error};

const REQUEST: &str = "CERTIFICATE REQUEST";
const CERTIFICATE: &str = "CERTIFICATE";

struct Block {
    label: String,
    has_headers: bool,
    der: Vec<u8>,
}

/// The blocks of a text; what stands between them, and blocks that are broken, are passed over.
fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let label = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = label else { continue };
        let end = format!("-----END {label}-----");
        let (mut body, mut has_headers, mut is_whole) = (String::new(), false, false);
        for line in lines.by_ref() {
            if line == end {
                is_whole = true;
                break;
            }
            if line.contains(':') {
                has_headers = true;
            } else {
                body.push_str(line.trim());
            }
        }
        if let Some(der) = STANDARD.decode(body).ok().filter(|_| is_whole) {
            found.push(Block { label: label.into(), has_headers, der });
        }
    }
    found
}

/// Checks that the text is a request, signed by the key that it is about.
pub fn check_request(pem: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(pem);
    let blocks = blocks(&text);
    let Some(block) = blocks.first().filter(|block| block.label == REQUEST) else {
        return Err(format!("PEM block type must be {REQUEST}"));
    };
    let (rest, request) =
        X509CertificationRequest::from_der(&block.der).map_err(|error| format!("asn1: syntax error: {error}"))?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".into());
    }
    request.verify_signature().map_err(|error| match error {
        X509Error::SignatureUnsupportedAlgorithm => "x509: cannot verify signature: algorithm unimplemented".to_owned(),
        _ => "x509: signature verification failed".to_owned(),
    })
}

/// Checks that the text is one certificate or several, and nothing else.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    if pem.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(pem);
    let blocks = blocks(&text);
    if blocks.is_empty() {
        return Err(format!("must contain at least one {CERTIFICATE} PEM block"));
    }
    for block in blocks {
        if block.label != CERTIFICATE {
            return Err(format!("only {CERTIFICATE} PEM blocks are allowed, found {:?}", block.label));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".into());
        }
        let mut der = block.der.as_slice();
        if der.is_empty() {
            return Err(format!("found {CERTIFICATE} PEM block containing 0 certificates"));
        }
        while !der.is_empty() {
            der = X509Certificate::from_der(der).map_err(|error| format!("x509: malformed certificate: {error}"))?.0;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod samples {
    //! Requests and certificates for the tests of this kind.

    use rcgen::{CertificateParams, KeyPair};

    pub fn request() -> String {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["web.example".into()]).expect("a name");
        params.serialize_request(&key).expect("a request").pem().expect("as PEM")
    }

    pub fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["web.example".into()]).expect("a certificate").cert.pem()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_by_their_own_key() {
        let request = samples::request();
        assert_eq!(check_request(request.as_bytes()), Ok(()));
        assert_eq!(check_request(format!("Hello.\n{request}").as_bytes()), Ok(()));
        for (case, text, why) in [
            ("nothing", String::new(), "PEM block type must be CERTIFICATE REQUEST"),
            ("a certificate", samples::certificate(), "PEM block type must be CERTIFICATE REQUEST"),
            (
                "no request inside",
                format!("-----BEGIN {REQUEST}-----\nAAAA\n-----END {REQUEST}-----\n"),
                "asn1: syntax error",
            ),
        ] {
            let found = check_request(text.as_bytes()).unwrap_err();
            assert!(found.starts_with(why), "{case}: {found}");
        }
        let mut der = blocks(&request).remove(0).der;
        let last = der.len() - 1;
        der[last] ^= 1;
        let forged = format!("-----BEGIN {REQUEST}-----\n{}\n-----END {REQUEST}-----\n", STANDARD.encode(der));
        assert_eq!(check_request(forged.as_bytes()), Err("x509: signature verification failed".into()));
    }

    #[test]
    fn certificates_come_alone() {
        let certificate = samples::certificate();
        let chain = format!("leaf\n{certificate}\n{certificate}");
        for (case, text, why) in [
            ("none", "", ""),
            ("one", certificate.as_str(), ""),
            ("two", chain.as_str(), ""),
            ("no PEM", "hello", "must contain at least one CERTIFICATE PEM block"),
            (
                "a request",
                &samples::request(),
                "only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\"",
            ),
            (
                "headers",
                &certificate.replacen("-----\n", "-----\nProc-Type: 4\n\n", 1),
                "no PEM block headers are permitted",
            ),
            (
                "nothing inside",
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                "found CERTIFICATE PEM block containing 0 certificates",
            ),
            ("nonsense inside", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x509: malformed"),
        ] {
            match check_certificates(text.replace("\r\n", "\n").as_bytes()) {
                Ok(()) => assert_eq!(why, "", "{case}"),
                Err(found) => assert!(!why.is_empty() && found.starts_with(why), "{case}: {found}"),
            }
        }
    }
}
