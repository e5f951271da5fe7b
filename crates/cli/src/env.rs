//! Every environment variable that the command line looks at.

use std::env;

/// Where the engine is; before [`DOCKER_HOST`].
pub const WHARF_HOST: &str = "WHARF_HOST";
/// Where the engine is, as for Docker.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// Which context is meant, as for Docker.
pub const DOCKER_CONTEXT: &str = "DOCKER_CONTEXT";
/// Where the certificates for TLS are, as for Docker.
pub const DOCKER_CERT_PATH: &str = "DOCKER_CERT_PATH";
/// Speak TLS and check who answers, as for Docker; any value but an empty one.
pub const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
/// Speak TLS, as for Docker.
pub const DOCKER_TLS: &str = "DOCKER_TLS";
/// The version of the API that is spoken, instead of the newest that both know.
pub const DOCKER_API_VERSION: &str = "DOCKER_API_VERSION";
/// The folder of the client's own files, as for Docker.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The platform for `run`, `create` and `import` where none is given.
pub const DOCKER_DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// The mirror that `image bootstrap` takes its packages from.
pub const WHARF_MIRROR: &str = "WHARF_MIRROR";

/// The time that everything built gets, in seconds since 1970.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// The SSH agent that `build --ssh` forwards.
pub const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// The key of a bucket, as every tool for S3 takes it.
pub const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// Its secret.
pub const AWS_SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// The token of short-lived keys.
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// The password at registries that `registry serve` caches.
pub const WHARF_CACHE_PASSWORD: &str = "WHARF_CACHE_PASSWORD";

/// The value of a variable; `None` where it is unset or empty.
pub fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of any variable that the person names, for `--env NAME`; empty values count.
pub fn of_user(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The width of the terminal as the shell says it.
pub fn columns() -> Option<usize> {
    text("COLUMNS")?.parse().ok()
}

/// How many sockets a service manager has handed to this very process (sd_listen_fds(3)).
pub fn listen_descriptors() -> i32 {
    let number = |name: &str| text(name).and_then(|value| value.parse::<i32>().ok());
    let ours = number("LISTEN_PID") == i32::try_from(std::process::id()).ok();
    if ours { number("LISTEN_FDS").unwrap_or(0).clamp(0, 64) } else { 0 }
}

/// Proxies for downloads: `http_proxy`, `https_proxy`, `no_proxy`, in either case.
pub fn proxy(name: &str) -> Option<String> {
    text(name).or_else(|| text(&name.to_uppercase()))
}
