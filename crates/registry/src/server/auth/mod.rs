//! Who may do what: passwords, tokens, rules.

mod caller;
mod der;
mod keys;
mod passwords;
mod reload;
mod rules;
mod token;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::{HeaderMap, Method, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::door::{Answer, Call, query, token_answer};
use super::metrics::Metrics;
use super::names::Name;
use super::problem::{Answered, Problem};

pub use caller::{Access, Action, Caller};
pub use keys::PublicKeys;
pub use passwords::Passwords;
pub use reload::Reloaded;
pub use rules::Rules;
pub use token::{Issuer, Verifier};

use caller::Identity;

/// How long a token of our own is good for.
const LIFETIME: Duration = Duration::from_secs(300);
/// The longest form that asks for a token.
const MAX_FORM: usize = 64 << 10;

/// How a registry asks who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A password with every request.
    Basic,
    /// A password once, for a token that is good for some minutes.
    Token,
}

/// Tokens of somebody else.
pub struct Foreign {
    /// Where clients get them.
    pub realm: String,
    /// What is checked.
    pub verifier: Verifier,
}

/// Who may do what.
#[derive(Default)]
pub struct Guard {
    /// Users of our own.
    pub passwords: Option<Passwords>,
    /// What they may do; without, they may do everything.
    pub rules: Option<Reloaded<Rules>>,
    /// Whether everybody may pull everything.
    pub anonymous_pull: bool,
    /// Tokens of our own.
    pub issuer: Option<Issuer>,
    /// Tokens of somebody else.
    pub foreign: Option<Foreign>,
    /// The address by which clients know this registry, where it is not what they say in `Host`.
    pub public_url: Option<String>,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Guard {
    /// Whether anybody is asked at all.
    fn is_on(&self) -> bool {
        self.passwords.is_some() || self.foreign.is_some()
    }

    /// Who sends this request.
    pub async fn caller(&self, head: &http::request::Parts) -> Answered<Caller> {
        let base = self.base_url(&head.headers);
        let from_page = head.headers.contains_key("x-wharf-page");
        let caller = |identity| Caller { identity, base: base.clone(), from_page };
        if !self.is_on() {
            return Ok(caller(Identity::Everyone));
        }
        let anonymous = caller(Identity::Anonymous);
        let Some(authorization) = head.headers.get(header::AUTHORIZATION) else { return Ok(anonymous) };
        let refused = |message: &str| {
            self.metrics.refused_logins.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.challenge(&anonymous, Problem::unauthorized(message), None, Some("invalid_token"))
        };
        let credentials = authorization.to_str().ok().and_then(Credentials::read);
        match credentials.ok_or_else(|| refused("the header Authorization cannot be read"))? {
            Credentials::Basic { user, password } => match &self.passwords {
                Some(passwords) if passwords.verify(&user, &password).await => Ok(caller(Identity::User(user))),
                _ => {
                    tracing::warn!(user, "a password was not accepted");
                    Err(refused("user or password is wrong"))
                }
            },
            Credentials::Bearer(token) => {
                let own = self.issuer.as_ref().and_then(|issuer| issuer.verify(&token).ok());
                if let Some(claims) = own {
                    return Ok(caller(Identity::OwnToken { user: claims.user(), access: claims.access }));
                }
                let foreign = self.foreign.as_ref().map(|foreign| foreign.verifier.verify(&token));
                match foreign {
                    Some(Ok(claims)) => {
                        Ok(caller(Identity::ForeignToken { user: claims.user(), access: claims.access }))
                    }
                    Some(Err(reason)) => Err(refused(&format!("the token is not accepted: {reason}"))),
                    None => Err(refused("the token is not accepted")),
                }
            }
        }
    }

    /// Fails unless the caller may do this.
    pub fn check(&self, call: &Call, name: &Name, action: Action) -> Answered<()> {
        if self.may(call, name, action) {
            return Ok(());
        }
        let caller = call.caller();
        let about = serde_json::json!({ "name": name.as_str(), "action": action.word() });
        if let Identity::User(user) = &caller.identity {
            let message = format!("{user} may not {} {name}", action.word());
            return Err(Problem::denied(message).about(about));
        }
        let scope = format!("repository:{name}:{}", action.scope());
        let known = caller.user().is_some();
        let message = match known {
            true => format!("this token does not allow to {} {name}", action.word()),
            false => format!("log in to {} {name}", action.word()),
        };
        let error = known.then_some("insufficient_scope");
        Err(self.challenge(caller, Problem::unauthorized(message).about(about), Some(&scope), error))
    }

    /// Whether the caller may do this.
    pub fn may(&self, call: &Call, name: &Name, action: Action) -> bool {
        let anonymous = || self.allows(None, name, action);
        match &call.caller().identity {
            Identity::Everyone => true,
            Identity::Anonymous => anonymous(),
            Identity::User(user) => self.allows(Some(user), name, action),
            Identity::OwnToken { access, .. } | Identity::ForeignToken { access, .. } => {
                access.iter().any(|access| access.covers(name.as_str(), action)) || anonymous()
            }
        }
    }

    /// What the rules say about a user, or about whoever does not say who it is.
    fn allows(&self, user: Option<&str>, name: &Name, action: Action) -> bool {
        let open = self.anonymous_pull && action == Action::Pull;
        open || match &self.rules {
            Some(rules) => rules.get().allow(user, name.as_str(), action),
            None => user.is_some(),
        }
    }

    /// `/v2/`: where anybody is asked at all, clients learn here how, so nobody gets by unasked.
    pub fn check_base(&self, call: &Call) -> Answered<()> {
        match call.caller().identity {
            Identity::Anonymous => {
                Err(self.challenge(call.caller(), Problem::unauthorized("log in first"), None, None))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may see the list of repositories, as far as it may pull from them.
    pub fn check_catalog(&self, call: &Call) -> Answered<()> {
        let caller = call.caller();
        let open = self.anonymous_pull || self.rules.as_ref().is_some_and(|rules| rules.get().admits_anonymous());
        let allowed = match &caller.identity {
            Identity::ForeignToken { access, .. } => access.iter().any(Access::is_catalog) || open,
            Identity::Anonymous => open,
            Identity::OwnToken { user, .. } => user.is_some() || open,
            Identity::Everyone | Identity::User(_) => true,
        };
        if allowed {
            return Ok(());
        }
        let problem = Problem::unauthorized("log in to list the repositories");
        Err(self.challenge(caller, problem, Some("registry:catalog:*"), None))
    }

    /// Whether a repository is in the list that the caller sees.
    pub fn may_list(&self, call: &Call, name: &Name) -> bool {
        match &call.caller().identity {
            Identity::Everyone => true,
            Identity::ForeignToken { access, .. } if access.iter().any(Access::is_catalog) => true,
            Identity::OwnToken { user: Some(user), .. } => self.allows(Some(user), name, Action::Pull),
            _ => self.may(call, name, Action::Pull),
        }
    }

    /// Where anybody is asked at all, numbers are for those who have said who they are.
    pub fn check_metrics(&self, call: &Call) -> Answered<()> {
        let caller = call.caller();
        if matches!(caller.identity, Identity::Everyone) || caller.user().is_some() {
            return Ok(());
        }
        Err(self.challenge(caller, Problem::unauthorized("log in to read the metrics"), None, None))
    }

    /// `/token`: a token of our own for what the user may do of what is asked for (Docker's token specification; the
    /// form is OAuth 2's password grant).
    pub async fn token(
        &self,
        head: &http::request::Parts,
        body: Incoming,
        user: &mut Option<String>,
    ) -> Answered<Answer> {
        let (Some(issuer), Some(passwords)) = (&self.issuer, &self.passwords) else {
            return Err(Problem::no_such_path("this registry gives no tokens"));
        };
        let text = head.uri.query().unwrap_or_default().to_owned();
        let text = match head.method {
            Method::GET => text,
            Method::POST => form(body).await?,
            _ => return Err(Problem::unsupported("ask for a token by GET or POST")),
        };
        let refused = || {
            self.metrics.refused_logins.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let problem = Problem::unauthorized("user or password is wrong");
            problem.with_header(header::WWW_AUTHENTICATE, "Basic realm=\"wharf registry\"")
        };
        let header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = match (header.map(Credentials::read), query(&text, "grant_type").as_deref()) {
            (Some(Some(credentials)), _) => Some(credentials),
            (Some(None), _) => return Err(refused()),
            (None, None) => None,
            (None, Some("password")) => {
                let field = |name| query(&text, name).unwrap_or_default();
                Some(Credentials::Basic { user: field("username"), password: field("password") })
            }
            (None, Some(_)) => {
                return Err(Problem::new(
                    http::StatusCode::BAD_REQUEST,
                    "UNSUPPORTED",
                    "tokens are given for a password only (unsupported_grant_type)",
                ));
            }
        };
        *user = match credentials {
            None => None,
            Some(Credentials::Basic { user, password }) if passwords.verify(&user, &password).await => Some(user),
            Some(_) => return Err(refused()),
        };
        let access: Vec<Access> =
            caller::scopes(&text).filter_map(|asked| self.grant(user.as_deref(), asked)).collect();
        Ok(token_answer(&issuer.issue(user.as_deref(), access, LIFETIME)?, LIFETIME))
    }

    /// What a user gets of what is asked for.
    fn grant(&self, user: Option<&str>, mut asked: Access) -> Option<Access> {
        if asked.is_catalog() {
            return user.map(|_| asked);
        }
        let name: Name = (asked.kind == "repository").then(|| asked.name.parse().ok())??;
        let wanted = |action: Action| asked.covers(name.as_str(), action) && self.allows(user, &name, action);
        let granted = Action::ALL.into_iter().filter(|action| wanted(*action));
        let granted: Vec<String> = granted.map(|action| action.word().to_owned()).collect();
        asked.actions = granted;
        (!asked.actions.is_empty()).then_some(asked)
    }

    /// Adds to a refusal how to show who one is.
    fn challenge(&self, caller: &Caller, problem: Problem, scope: Option<&str>, error: Option<&str>) -> Problem {
        let challenge = if caller.from_page {
            // The page asks for the password itself; a browser's own dialogue would be in its way.
            "Page realm=\"wharf registry\"".to_owned()
        } else if let Some((realm, service)) = self.realm(caller) {
            let mut text = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
            for (name, value) in [("scope", scope), ("error", error)] {
                if let Some(value) = value {
                    text.push_str(&format!(",{name}=\"{value}\""));
                }
            }
            text
        } else {
            "Basic realm=\"wharf registry\"".to_owned()
        };
        problem.with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Where a client gets a token, and the service it is for.
    fn realm(&self, caller: &Caller) -> Option<(String, &str)> {
        if let Some(foreign) = &self.foreign {
            return Some((foreign.realm.clone(), foreign.verifier.service()));
        }
        self.issuer.as_ref().map(|issuer| (format!("{}/token", caller.base), issuer.service()))
    }

    /// The address by which this client knows the registry.
    fn base_url(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let https = self.tls || text("x-forwarded-proto") == Some("https");
        let host = text("host").filter(|host| !host.contains(['"', '\\', ' ', ','])).unwrap_or("localhost");
        format!("{}://{host}", if https { "https" } else { "http" })
    }
}

/// The form of a POST.
async fn form(mut body: Incoming) -> Answered<String> {
    let mut whole = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(bytes) = frame.data_ref() {
            whole.extend_from_slice(bytes);
        }
        if whole.len() > MAX_FORM {
            return Err(Problem::too_large("this form is too long"));
        }
    }
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

/// Whether what stands in `Authorization` would be believed by a server that knows nobody, which must never be.
pub(super) fn lets_in_a_stranger(text: &str) -> bool {
    match Credentials::read(text) {
        Some(Credentials::Bearer(token)) => token::verify(&token, &PublicKeys::default(), "", "").is_ok(),
        Some(Credentials::Basic { .. }) | None => false,
    }
}

/// What stands in `Authorization`.
#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    Basic { user: String, password: String },
    Bearer(String),
}

impl Credentials {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return (!rest.is_empty()).then(|| Self::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_read() {
        let basic = |user: &str, password: &str| {
            Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
        };
        assert_eq!(Credentials::read("Basic YTpiOmM="), basic("a", "b:c"));
        assert_eq!(Credentials::read("bearer  x.y.z"), Some(Credentials::Bearer("x.y.z".to_owned())));
        for wrong in ["", "Basic", "Basic ", "Basic !", "Basic YQ==", "Digest x", "Bearer "] {
            assert_eq!(Credentials::read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_answered(text in "(Basic |Bearer |)\\PC{0,60}") {
            let _ = Credentials::read(&text);
        }
    }
}
