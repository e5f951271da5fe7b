//! Tokens from a token server: by `GET` with a password or anonymously, by `POST` as OAuth 2 (RFC 6749) has it.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use wharf_types::{Error, Kind};

use super::Credentials;
use crate::client::failure::Failure;
use crate::client::host::Host;
use crate::client::transport::{Call, Transport, read_limited};

/// How long a token is good that does not say so, in seconds (distribution specification, token authentication).
const DEFAULT_LIFE: u64 = 60;
/// A token is renewed so long before its end, at most.
const MARGIN: Duration = Duration::from_secs(20);
/// Answers of token servers are smaller than this, in bytes.
const LIMIT: usize = 1 << 20;
/// By which name a client is known to token servers.
const CLIENT: &str = "wharf";

/// A bearer token.
pub(crate) struct Token {
    pub(crate) value: String,
    until: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Token {
    /// Whether it will still be good when a request arrives.
    pub(crate) fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

/// What is asked for.
pub(crate) struct Wish<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: &'a [String],
    /// A refresh token as well.
    pub(crate) lasting: bool,
}

/// What was given.
pub(crate) struct Granted {
    pub(crate) token: Token,
    pub(crate) refresh: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

/// Fetches a token.
pub(crate) async fn fetch(
    transport: &Transport,
    host: &Host,
    credentials: &Credentials,
    refresh: Option<&str>,
    wish: &Wish<'_>,
) -> Result<Granted, Failure> {
    let realm = realm(host, credentials, wish.realm)?;
    let identity = refresh.or(Some(credentials.identity_token.as_str())).filter(|token| !token.is_empty());
    let answer = match identity {
        Some(token) => {
            post(transport, host, &realm, wish, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
        }
        None => match get(transport, host, &realm, credentials, wish).await {
            // Servers that know only OAuth 2 have no GET.
            Err(failure)
                if failure.status.is_some_and(|s| matches!(s.as_u16(), 404 | 405)) && credentials.has_password() =>
            {
                let password = [
                    ("grant_type", "password"),
                    ("username", credentials.username.as_str()),
                    ("password", credentials.password.as_str()),
                ];
                post(transport, host, &realm, wish, &password).await
            }
            other => other,
        },
    }?;
    let value = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let value =
        value.ok_or_else(|| Error::system(format!("the token server of {} gave no token", host.authority())))?;
    let life = Duration::from_secs(answer.expires_in.filter(|life| *life > 0).unwrap_or(DEFAULT_LIFE));
    let until = Instant::now() + life - MARGIN.min(life / 5);
    // A refresh token that nobody asked for is not used in place of the password.
    let refresh = answer.refresh_token.filter(|_| wish.lasting || identity.is_some());
    Ok(Granted { token: Token { value, until }, refresh })
}

/// A password is never sent in the clear where the registry itself is spoken to in secret.
fn realm(host: &Host, credentials: &Credentials, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).or_else(|_| host.base.join(text)).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url =
        url.ok_or_else(|| Error::system(format!("{} names no usable token server: {text:?}", host.authority())))?;
    if url.scheme() == "http" && !credentials.is_empty() && host.base.scheme() == "https" && !host.is_lenient {
        let what = format!("{} wants the password sent to {url} without encryption", host.authority());
        return Err(Error::forbidden(what).into());
    }
    Ok(url)
}

async fn get(
    transport: &Transport,
    host: &Host,
    realm: &Url,
    credentials: &Credentials,
    wish: &Wish<'_>,
) -> Result<Answer, Failure> {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(wish.service.map(|service| ("service", service)));
        query.extend_pairs(wish.scopes.iter().map(|scope| ("scope", scope)));
        if wish.lasting {
            query.append_pair("offline_token", "true").append_pair("client_id", CLIENT);
        }
        if credentials.has_password() {
            query.append_pair("account", &credentials.username);
        }
    }
    let authorization = credentials.has_password().then(|| credentials.basic()).transpose()?;
    ask(transport, host, Call::new(Method::GET, url), authorization).await
}

async fn post(
    transport: &Transport,
    host: &Host,
    realm: &Url,
    wish: &Wish<'_>,
    grant: &[(&str, &str)],
) -> Result<Answer, Failure> {
    let mut form = realm.clone();
    form.set_query(None);
    {
        let mut pairs = form.query_pairs_mut();
        pairs.extend_pairs(grant).append_pair("client_id", CLIENT);
        pairs.extend_pairs(wish.service.map(|service| ("service", service)));
        if !wish.scopes.is_empty() {
            pairs.append_pair("scope", &wish.scopes.join(" "));
        }
        if wish.lasting {
            pairs.append_pair("access_type", "offline");
        }
    }
    let body = form.query().unwrap_or_default().to_owned();
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, form_type)]);
    let call = Call::new(Method::POST, realm.clone()).with_headers(headers).with_bytes(body.into());
    ask(transport, host, call, None).await
}

async fn ask(
    transport: &Transport,
    host: &Host,
    mut call: Call,
    authorization: Option<HeaderValue>,
) -> Result<Answer, Failure> {
    call.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let server = super::super::host::authority(&call.url);
    let response = transport.exchange(host, &call, authorization.as_ref()).await?;
    if !response.status().is_success() {
        let failure = Failure::of_answer(&server, response).await;
        // An OAuth 2 server refuses a bad grant with 400 (RFC 6749, 5.2).
        let is_refusal = failure.status.is_some_and(|status| status == 400) || failure.error.kind() == Kind::Forbidden;
        return Err(match is_refusal {
            true => Failure {
                error: Error::unauthorized(failure.error.to_string())
                    .with_hint(format!("'wharf login {}' says who you are", host.authority())),
                ..failure
            },
            false => failure,
        });
    }
    let bytes = read_limited(response, LIMIT).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::system(format!("the token server {server} gives no valid answer")).caused_by(error).into()
    })
}
