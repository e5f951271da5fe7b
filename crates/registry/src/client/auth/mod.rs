//! Who asks, and how a registry is told: nothing, a password, or tokens that are fetched, kept and renewed.

pub(super) mod challenge;
mod token;

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use tokio::sync::Mutex;
use wharf_types::{Error, Result};

use self::challenge::Challenge;
use self::token::Token;
use super::failure::Failure;
use super::host::Host;
use super::transport::Transport;

/// What a person gives to be known; all of it may be empty.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// User.
    pub username: String,
    /// Password or access token.
    pub password: String,
    /// A refresh token (RFC 6749), in place of the password.
    pub identity_token: String,
    /// A bearer token that is sent as it is.
    pub registry_token: String,
}

impl fmt::Debug for Credentials {
    /// Without the secrets, so that none gets into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn has_password(&self) -> bool {
        !self.username.is_empty() && !self.password.is_empty()
    }

    fn basic(&self) -> Result<HeaderValue> {
        let pair = STANDARD.encode(format!("{}:{}", self.username, self.password));
        secret(&format!("Basic {pair}"))
    }
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::invalid("the token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Makes one host's requests known as one person's.
#[derive(Debug)]
pub(crate) struct Authorizer {
    credentials: Credentials,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    scheme: Option<Challenge>,
    tokens: HashMap<String, Token>,
    /// A newer one than the person's own, where the server renews them.
    refresh: Option<String>,
}

impl Authorizer {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, state: Mutex::default() }
    }

    /// The `Authorization` for a request that needs `scopes`, as far as it is known what the host wants. A token that
    /// is missing or about to expire is fetched; who else needs it meanwhile waits.
    pub(crate) async fn header(
        &self,
        transport: &Transport,
        host: &Host,
        scopes: &[String],
    ) -> Result<Option<HeaderValue>, Failure> {
        if !self.credentials.registry_token.is_empty() {
            return Ok(Some(secret(&format!("Bearer {}", self.credentials.registry_token))?));
        }
        let mut state = self.state.lock().await;
        match state.scheme.clone() {
            None => Ok(None),
            Some(Challenge::Basic) if self.credentials.has_password() => Ok(Some(self.credentials.basic()?)),
            Some(Challenge::Basic) => Ok(None),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scopes = joined(scopes, scope.as_deref());
                let key = scopes.join(" ");
                if let Some(token) = state.tokens.get(&key).filter(|token| token.is_fresh()) {
                    return Ok(Some(secret(&format!("Bearer {}", token.value))?));
                }
                let wish = token::Wish { realm: &realm, service: service.as_deref(), scopes: &scopes, lasting: false };
                let refresh = state.refresh.clone();
                let granted = token::fetch(transport, host, &self.credentials, refresh.as_deref(), &wish).await?;
                state.refresh = granted.refresh.or(refresh);
                let value = secret(&format!("Bearer {}", granted.token.value))?;
                state.tokens.retain(|_, token| token.is_fresh());
                state.tokens.insert(key, granted.token);
                Ok(Some(value))
            }
        }
    }

    /// Learns from a `401` what the host wants. `true` if it is worth asking again.
    pub(crate) async fn challenged(&self, headers: &HeaderMap, used: Option<&HeaderValue>) -> bool {
        if !self.credentials.registry_token.is_empty() {
            return false;
        }
        let Some(challenge) = self.choose(headers) else { return false };
        let mut state = self.state.lock().await;
        if let Some(used) = used.and_then(|used| used.to_str().ok()).and_then(|used| used.strip_prefix("Bearer ")) {
            state.tokens.retain(|_, token| token.value != used);
        }
        let is_useless = challenge == Challenge::Basic && (used.is_some() || !self.credentials.has_password());
        state.scheme = Some(challenge);
        !is_useless
    }

    /// Tokens before passwords, which are sent with every request.
    fn choose(&self, headers: &HeaderMap) -> Option<Challenge> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut all: Vec<Challenge> = texts.flat_map(challenge::parse).collect();
        let bearer = all.iter().position(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        (!all.is_empty()).then(|| all.swap_remove(bearer.unwrap_or(0)))
    }

    /// Asks the token server for a token that lasts, where there is one: the person's password need not be kept then.
    pub(crate) async fn lasting_token(&self, transport: &Transport, host: &Host) -> Result<Option<String>, Failure> {
        let scheme = self.state.lock().await.scheme.clone();
        let Some(Challenge::Bearer { realm, service, .. }) = scheme else { return Ok(None) };
        let wish = token::Wish { realm: &realm, service: service.as_deref(), scopes: &[], lasting: true };
        Ok(token::fetch(transport, host, &self.credentials, None, &wish).await?.refresh)
    }
}

/// The wanted scopes and the one that the registry asked for, each once.
fn joined(wanted: &[String], asked: Option<&str>) -> Vec<String> {
    let mut scopes = wanted.to_vec();
    for scope in asked.unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()) {
        // A wider scope of ours for the same repository contains it.
        let is_within =
            |own: &String| own == scope || own.strip_prefix(scope).is_some_and(|rest| rest.starts_with(','));
        if !scopes.iter().any(is_within) && wanted.is_empty() {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}
