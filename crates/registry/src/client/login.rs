//! Logging in: does the registry take these credentials?

use reqwest::Method;
use wharf_types::Result;

use super::auth::Credentials;
use super::failure::Failure;
use super::repository::Registry;
use super::transport::Call;

/// The registry knows the person.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// A token that may be kept in place of the password, where the registry gives one.
    pub identity_token: Option<String>,
}

impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn").finish_non_exhaustive()
    }
}

impl Registry {
    /// Shows the credentials to the registry `domain`.
    ///
    /// # Errors
    /// `Unauthorized` when it does not take them.
    pub async fn login(&self, domain: &str, credentials: &Credentials) -> Result<LoggedIn> {
        let door = self.origin(domain, credentials)?;
        let call = Call::new(Method::GET, door.host.base.clone());
        door.send(&call, &[]).await?;
        let identity_token = match credentials.identity_token.is_empty() {
            true => door.auth.lasting_token(&door.transport, &door.host).await.unwrap_or_else(not_lasting),
            false => None,
        };
        Ok(LoggedIn { identity_token })
    }
}

/// Not every server gives tokens that last; the password it is then.
fn not_lasting(failure: Failure) -> Option<String> {
    tracing::debug!(error = %failure.error.chain(), "no lasting token");
    drop(failure);
    None
}
