//! Tokens: JSON Web Tokens as registries use them (RFC 7519; Docker's token specification).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wharf_types::{Error, Result};

use super::caller::Access;
use super::keys::PublicKeys;
use super::reload::Reloaded;
use crate::server::store::Store;

/// How far clocks may be apart.
const LEEWAY: u64 = 60;
/// Where the key for tokens of our own is kept, so that all servers of a store know it.
const KEY: &str = "secrets/token-key";

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    #[serde(default)]
    sub: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    iat: u64,
    /// What it allows.
    #[serde(default)]
    pub access: Vec<Access>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    /// Who it was given to.
    pub fn user(&self) -> Option<String> {
        (!self.sub.is_empty()).then(|| self.sub.clone())
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// Verifies tokens of one issuer for one service.
pub struct Verifier {
    issuer: String,
    service: String,
    keys: Reloaded<PublicKeys>,
}

impl Verifier {
    /// Accepts tokens that this issuer has signed with one of its keys for this service.
    pub fn new(issuer: impl Into<String>, service: impl Into<String>, keys: Reloaded<PublicKeys>) -> Self {
        Self { issuer: issuer.into(), service: service.into(), keys }
    }

    /// What its tokens must be for.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What a token says, or why it is not accepted.
    pub fn verify(&self, token: &str) -> Result<Claims, &'static str> {
        verify(token, &self.keys.get(), &self.issuer, &self.service)
    }
}

/// Gives tokens, and knows them again.
pub struct Issuer {
    key: Ed25519KeyPair,
    public: PublicKeys,
    service: String,
}

impl Issuer {
    /// An issuer with the store's key, which is made if there is none.
    pub async fn of(store: &dyn Store, service: impl Into<String>) -> Result<Self> {
        let failed = |_| {
            Error::corrupt("the key for tokens cannot be read")
                .with_hint(format!("delete {KEY} to have a new one made"))
        };
        if store.get(KEY).await?.is_none() {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
            let made = made.map_err(|_| Error::system("a key for tokens cannot be made"))?;
            // Another server may have been faster; then its key counts.
            store.create(KEY, Bytes::copy_from_slice(made.as_ref())).await?;
        }
        let document = store.get(KEY).await?.ok_or_else(|| Error::system("the key for tokens cannot be kept"))?;
        let key = Ed25519KeyPair::from_pkcs8(&document.bytes).map_err(failed)?;
        let public = PublicKeys::own(key.public_key().as_ref());
        Ok(Self { key, public, service: service.into() })
    }

    /// What its tokens are for.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// A token for a user, or for nobody in particular.
    pub fn issue(&self, user: Option<&str>, access: Vec<Access>, lifetime: Duration) -> Result<String> {
        let now = now();
        let claims = Claims {
            iss: self.service.clone(),
            sub: user.unwrap_or_default().to_owned(),
            aud: Audience::One(self.service.clone()),
            exp: now + lifetime.as_secs(),
            nbf: now.saturating_sub(LEEWAY),
            iat: now,
            access,
        };
        let part = |value: &[u8]| URL_SAFE_NO_PAD.encode(value);
        let claims = serde_json::to_vec(&claims).map_err(|error| Error::system(error.to_string()))?;
        let header = json!({ "alg": "EdDSA", "typ": "JWT" }).to_string();
        let message = format!("{}.{}", part(header.as_bytes()), part(&claims));
        let signature = self.key.sign(message.as_bytes());
        Ok(format!("{message}.{}", part(signature.as_ref())))
    }

    /// What a token of our own says.
    pub fn verify(&self, token: &str) -> Result<Claims, &'static str> {
        verify(token, &self.public, &self.service, &self.service)
    }
}

pub(super) fn verify(token: &str, keys: &PublicKeys, issuer: &str, service: &str) -> Result<Claims, &'static str> {
    const FORM: &str = "it is no token";
    let (message, signature) = token.rsplit_once('.').ok_or(FORM)?;
    let (header, claims) = message.split_once('.').ok_or(FORM)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| FORM);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| FORM)?;
    // Nothing that is not signed is looked at.
    if !keys.verify(&header.alg, header.kid.as_deref(), message.as_bytes(), &decode(signature)?) {
        return Err("none of the known keys has signed it");
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| FORM)?;
    let now = now();
    if claims.iss != issuer {
        return Err("somebody else has issued it");
    }
    let meant = match &claims.aud {
        Audience::One(one) => one == service,
        Audience::Many(many) => many.iter().any(|one| one == service),
    };
    if !meant {
        return Err("it is for another service");
    }
    if claims.exp.saturating_add(LEEWAY) < now {
        return Err("it has expired");
    }
    if claims.nbf > now.saturating_add(LEEWAY) {
        return Err("it is not valid yet");
    }
    Ok(claims)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::store::FileStore;
    use proptest::prelude::*;

    async fn issuer() -> (tempfile::TempDir, Issuer) {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        let issuer = Issuer::of(&store, "registry").await.unwrap();
        let again = Issuer::of(&store, "registry").await.unwrap();
        assert_eq!(issuer.key.public_key().as_ref(), again.key.public_key().as_ref(), "servers share the key");
        (folder, issuer)
    }

    #[tokio::test]
    async fn own_tokens_are_known_and_others_are_not() {
        let (_folder, issuer) = issuer().await;
        let access = Access { kind: "repository".into(), name: "a".into(), actions: vec!["pull".into()] };
        let token = issuer.issue(Some("anna"), vec![access], Duration::from_secs(300)).unwrap();
        let claims = issuer.verify(&token).unwrap();
        assert_eq!((claims.user().as_deref(), claims.access.len()), (Some("anna"), 1));
        let (_other_folder, other) = self::issuer().await;
        assert!(other.verify(&token).is_err(), "signed by another key");
        assert!(verify(&token, &issuer.public, "registry", "elsewhere").is_err(), "for another service");
        assert!(verify(&token, &issuer.public, "somebody", "registry").is_err(), "by another issuer");
        let mut claims = claims;
        claims.exp = now() - 1000;
        let parts: Vec<&str> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap());
        assert!(issuer.verify(&format!("{}.{forged}.{}", parts[0], parts[2])).is_err());
        let none = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}");
        assert!(issuer.verify(&format!("{none}.{}.", parts[1])).is_err());
        let expired = issuer.issue(None, Vec::new(), Duration::ZERO).unwrap();
        assert!(issuer.verify(&expired).is_ok(), "clocks may be apart a little");
    }

    proptest! {
        #[test]
        fn any_token_is_answered(token in "[A-Za-z0-9_.=-]{0,80}") {
            prop_assert!(verify(&token, &PublicKeys::default(), "a", "b").is_err());
        }
    }
}
