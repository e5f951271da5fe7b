//! Public keys by which tokens are verified.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::pem::{PemObject, SectionKind};
use wharf_types::{Error, Result};

use super::der::{self, Algorithm};
use super::reload;

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct PublicKeys(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    kind: KeyKind,
}

#[derive(Debug)]
enum KeyKind {
    Whole(Algorithm, Vec<u8>),
    /// Modulus and exponent, as JSON has them.
    Rsa(Vec<u8>, Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<JsonKey>,
}

/// A key as in RFC 7517.
#[derive(Deserialize)]
struct JsonKey {
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl PublicKeys {
    /// Reads public keys or certificates (PEM), or a key set (JSON).
    pub fn read(path: &Path) -> Result<Self> {
        let text = reload::text(path)?;
        let keys = Self::parse(&text).filter(|keys| !keys.0.is_empty());
        keys.ok_or_else(|| {
            Error::invalid(format!("{} has no public key that tokens can be verified by", path.display()))
                .with_hint("give PEM public keys or certificates, or a JSON key set: RSA, P-256, P-384 or Ed25519")
        })
    }

    /// A key of our own.
    pub(super) fn own(key: &[u8]) -> Self {
        Self(vec![PublicKey { id: None, kind: KeyKind::Whole(Algorithm::Ed25519, key.to_vec()) }])
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim_start().starts_with('{') {
            let set: KeySet = serde_json::from_str(text).ok()?;
            return Some(Self(set.keys.into_iter().filter_map(JsonKey::resolve).collect()));
        }
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let key = match section.ok()? {
                (SectionKind::PublicKey, der) => der::public_key(&der),
                (SectionKind::Certificate, der) => der::key_of_certificate(&der),
                _ => continue,
            };
            let (algorithm, bytes) = key?;
            keys.push(PublicKey { id: None, kind: KeyKind::Whole(algorithm, bytes) });
        }
        Some(Self(keys))
    }

    /// Whether one of the keys has signed this. A key's id only narrows the choice.
    pub fn verify(&self, algorithm: &str, id: Option<&str>, message: &[u8], signature: &[u8]) -> bool {
        let named = |key: &&PublicKey| key.id.is_some() && key.id.as_deref() == id;
        let mut candidates: Vec<&PublicKey> = self.0.iter().filter(named).collect();
        if candidates.is_empty() {
            candidates = self.0.iter().collect();
        }
        candidates.iter().any(|key| key.kind.verify(algorithm, message, signature))
    }
}

impl JsonKey {
    fn resolve(self) -> Option<PublicKey> {
        let field = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let point = || Some([vec![4], field(&self.x)?, field(&self.y)?].concat());
        let kind = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => KeyKind::Rsa(field(&self.n)?, field(&self.e)?),
            ("EC", Some("P-256")) => KeyKind::Whole(Algorithm::P256, point()?),
            ("EC", Some("P-384")) => KeyKind::Whole(Algorithm::P384, point()?),
            ("OKP", Some("Ed25519")) => KeyKind::Whole(Algorithm::Ed25519, field(&self.x)?),
            _ => return None,
        };
        Some(PublicKey { id: self.kid, kind })
    }
}

impl KeyKind {
    /// The algorithm's name (RFC 7518, 3.1) must fit the key; `none` and shared secrets fit no key.
    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let rsa = match algorithm {
            "RS256" => Some(&RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Some(&RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Some(&RSA_PKCS1_2048_8192_SHA512),
            _ => None,
        };
        match self {
            Self::Rsa(n, e) => {
                rsa.is_some_and(|rsa| RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).is_ok())
            }
            Self::Whole(kind, key) => {
                let by: &dyn VerificationAlgorithm = match (kind, algorithm, rsa) {
                    (Algorithm::Rsa, _, Some(rsa)) => rsa,
                    (Algorithm::P256, "ES256", _) => &ECDSA_P256_SHA256_FIXED,
                    (Algorithm::P384, "ES384", _) => &ECDSA_P384_SHA384_FIXED,
                    (Algorithm::Ed25519, "EdDSA" | "Ed25519", _) => &ED25519,
                    _ => return false,
                };
                UnparsedPublicKey::new(by, key).verify(message, signature).is_ok()
            }
        }
    }
}
