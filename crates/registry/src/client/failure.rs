//! What went wrong between here and a registry, in words that help, and whether it is worth another try.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use wharf_types::{Error, Kind};

use super::retry;

/// An error's body is read up to this size in bytes.
const BODY: usize = 64 * 1024;
/// Of what a registry says, so many characters are shown.
const SHOWN: usize = 300;

/// A failure, and what it means for the next step.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) again: Again,
    /// What the registry answered, if it did.
    pub(crate) status: Option<StatusCode>,
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It will not.
    Never,
    /// No connection could be made: it may help later, but hardly now.
    Unreachable,
    /// It may, after a pause of one's own choice or at least this one.
    After(Option<Duration>),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    /// What is wrong on this side stays wrong.
    fn from(error: Error) -> Self {
        Self { error, again: Again::Never, status: None }
    }
}

impl Failure {
    /// Something that may go better the next time.
    pub(crate) fn passing(error: Error) -> Self {
        Self { error, again: Again::After(None), status: None }
    }

    /// No answer came from `host`, or it broke off.
    pub(crate) fn of_transport(host: &str, error: reqwest::Error) -> Self {
        let again = if error.is_connect() { Again::Unreachable } else { Again::After(None) };
        let error = error.without_url();
        let (sentence, hint) = explain(host, &error);
        let again = if tls_error(&error).is_some() { Again::Never } else { again };
        let mut failure = Error::system(sentence);
        if let Some(hint) = hint {
            failure = failure.with_hint(hint);
        }
        Self { error: failure.caused_by(error), again, status: None }
    }

    /// `host` answered with an error.
    pub(crate) async fn of_answer(host: &str, response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = limited(response).await;
        Self::of_status(host, status, &headers, &body)
    }

    fn of_status(host: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let said = said(body).unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").to_lowercase());
        let patience = retry::retry_after(headers);
        let again = match patience {
            _ if !retry::is_transient(status) => Again::Never,
            Some(patience) if patience > retry::PATIENCE => Again::Never,
            patience => Again::After(patience),
        };
        let error = match status.as_u16() {
            401 => Error::unauthorized(format!("{host} refuses access: {said}")).with_hint(login_hint(host)),
            403 => Error::forbidden(format!("{host} denies access: {said}")).with_hint(login_hint(host)),
            404 => Error::not_found(said),
            429 => Error::system(format!("{host} is asked too often: {said}")).with_hint(match patience {
                Some(patience) => format!("wait {} seconds, log in, or use a mirror", patience.as_secs()),
                None => "wait a while, log in, or use a mirror".to_owned(),
            }),
            400..=499 => Error::system(format!("{host} answers {}: {said}", status.as_u16())),
            _ => Error::system(format!("{host} answers {}: {said}", status.as_u16()))
                .with_hint("the registry has a problem of its own; try again later"),
        };
        Self { error, again, status: Some(status) }
    }

    /// The registry does not have it, or not this way of asking.
    pub(crate) fn is_not_there(&self) -> bool {
        self.error.kind() == Kind::NotFound
    }
}

fn login_hint(host: &str) -> String {
    // People know Docker Hub's registry by no name at all.
    match host {
        "registry-1.docker.io" => "'wharf login' says who you are".to_owned(),
        host => format!("'wharf login {host}' says who you are"),
    }
}

async fn limited(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    // What cannot be read is not shown; the status says enough.
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > BODY {
            break;
        }
    }
    body.truncate(BODY);
    body
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Item>,
    details: Option<String>,
    message: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a registry or a token server says in its JSON: `manifest unknown: manifest unknown`.
pub(super) fn said(body: &[u8]) -> Option<String> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let item = |item: &Item| {
        let code = item.code.to_lowercase().replace('_', " ");
        if item.message.is_empty() { code } else { format!("{code}: {}", item.message) }
    };
    let all: Vec<String> = body.errors.iter().map(item).collect();
    let other = || body.details.or(body.error_description).or(body.message).or(body.error);
    let text = if all.is_empty() { other()? } else { all.join("; ") };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    Some(text).filter(|text| !text.trim().is_empty())
}

/// A sentence and a hint for a connection that failed.
fn explain(host: &str, error: &reqwest::Error) -> (String, Option<String>) {
    if let Some(tls) = tls_error(error) {
        return explain_tls(host, tls);
    }
    let os = find::<io::Error>(error).and_then(io::Error::raw_os_error);
    match os {
        _ if error.is_timeout() => (format!("{host} does not answer in time"), None),
        None if error.is_connect() => (
            format!("the name {host} is not known"),
            Some("check how the name is written, and the engine's name servers and proxies".to_owned()),
        ),
        Some(_) if error.is_connect() => {
            (format!("cannot connect to {host}"), Some("check that the registry runs and can be reached".to_owned()))
        }
        _ => (format!("the connection to {host} broke off"), None),
    }
}

/// A sentence and a hint for a handshake that failed.
fn explain_tls(host: &str, error: &rustls::Error) -> (String, Option<String>) {
    use rustls::{AlertDescription, CertificateError};
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => (
            format!("the certificate of {host} has expired"),
            Some("its owner has to renew it; is this host's clock right?".to_owned()),
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            format!("the certificate of {host} is for another name"),
            Some("use the name that the certificate has".to_owned()),
        ),
        rustls::Error::InvalidCertificate(_) => (
            format!("the certificate of {host} is not trusted"),
            Some(format!(
                "put its authority's certificate into certs.d/{host}/ca.crt, or start the engine with \
                 --insecure-registry {host}"
            )),
        ),
        // What servers say of the client's certificate (RFC 8446, 6.2); many say no more than that it went wrong.
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => (
            format!("{host} wants another certificate of this client"),
            Some(format!("put one that it accepts into certs.d/{host}/client.cert, and its key into client.key")),
        ),
        _ => (
            format!("no secure connection to {host} can be made"),
            Some(format!("if it speaks plain HTTP, start the engine with --insecure-registry {host}")),
        ),
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    find::<rustls::Error>(error)
}

/// The first cause of this type. An I/O error hides what it wraps from the chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return find(inner);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, headers: &[(&'static str, &str)], body: &str) -> Failure {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Failure::of_status("reg.test", StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn kinds_and_words_follow_the_answer() {
        let unknown = of(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        assert!(unknown.is_not_there());
        assert_eq!(unknown.error.to_string(), "manifest unknown: manifest unknown");
        let refused = of(401, &[], r#"{"details":"incorrect username or password"}"#);
        assert_eq!((refused.error.kind(), refused.again), (Kind::Unauthorized, Again::Never));
        assert!(refused.error.hint().unwrap().contains("wharf login reg.test"));
        assert!(of(502, &[], "<html>").error.to_string().contains("bad gateway"));
    }

    #[test]
    fn patience_has_a_limit() {
        assert_eq!(of(429, &[("retry-after", "7")], "").again, Again::After(Some(Duration::from_secs(7))));
        assert_eq!(of(429, &[("retry-after", "3600")], "").again, Again::Never);
        assert_eq!(of(503, &[], "").again, Again::After(None));
        assert_eq!(of(400, &[("retry-after", "7")], "").again, Again::Never);
    }

    #[test]
    fn what_a_registry_says_is_cleaned() {
        let failure = of(500, &[], "{\"message\":\"a\\u001b[31m\\nb\"}");
        assert!(!failure.error.to_string().contains(['\u{1b}', '\n']));
    }
}
