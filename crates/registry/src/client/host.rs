//! The places where a registry's content can be had, in the order in which they are tried.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use wharf_types::{DEFAULT_DOMAIN, Error, Result};

use super::hosts_toml::{self, Line, Trust};
use super::settings::Settings;

/// Where Docker Hub's registry is.
const HUB: &str = "registry-1.docker.io";

/// One place: a mirror, or the registry itself.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Everything up to and with `/v2/`.
    pub(crate) base: Url,
    /// Names can be asked for here, not only digests.
    pub(crate) resolve: bool,
    /// Content can be had here.
    pub(crate) pull: bool,
    /// Content can be put here.
    pub(crate) push: bool,
    /// The registry itself, which gets the person's credentials.
    pub(crate) is_origin: bool,
    /// Any certificate is good, and plain HTTP is as well.
    pub(crate) is_lenient: bool,
    /// Of which registry a mirror of several is asked.
    pub(crate) namespace: Option<String>,
    /// Headers that every request has.
    pub(crate) headers: HeaderMap,
    pub(crate) trust: Trust,
}

impl Host {
    /// Host name and port, for people.
    pub(crate) fn authority(&self) -> String {
        authority(&self.base)
    }
}

/// Host name, and port where it is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// All hosts of the registry `domain`, its origin last.
pub(crate) fn all(settings: &Settings, domain: &str) -> Result<Vec<Host>> {
    let folder = hosts_toml::read(&settings.hosts_dirs, domain)?;
    let mut hosts = Vec::new();
    for line in &folder.hosts {
        hosts.push(of_line(settings, line, domain, false)?);
    }
    for mirror in settings.mirrors.iter().filter(|mirror| mirror.of == domain) {
        let mut host = plain(settings, &mirror.url, &Trust::default())?;
        (host.push, host.is_origin) = (false, false);
        hosts.push(host);
    }
    hosts.push(match &folder.server {
        Some(line) => of_line(settings, &with_trust(line, &folder.trust), domain, true)?,
        None => {
            let name = if domain == DEFAULT_DOMAIN { HUB } else { domain };
            let mut host = plain(settings, &format!("https://{name}"), &folder.trust)?;
            host.is_lenient |= settings.is_insecure(domain, &folder.trust.authorities);
            host
        }
    });
    Ok(hosts)
}

/// The certificates that lie in the folder count for the registry itself as well.
fn with_trust(line: &Line, trust: &Trust) -> Line {
    let mut line = line.clone();
    line.trust.authorities.extend(trust.authorities.iter().cloned());
    line.trust.clients.extend(trust.clients.iter().cloned());
    line
}

fn of_line(settings: &Settings, line: &Line, domain: &str, is_origin: bool) -> Result<Host> {
    let mut host = plain(settings, &line.url, &line.trust)?;
    if line.override_path {
        host.base = base(&line.url, false)?;
    }
    (host.pull, host.resolve, host.push) = (line.pull, line.resolve, line.push);
    host.is_origin = is_origin;
    let is_elsewhere = domain != host.authority() && !(domain == DEFAULT_DOMAIN && host.authority() == HUB);
    host.namespace = (!is_origin && is_elsewhere).then(|| domain.to_owned());
    for (name, value) in &line.headers {
        let wrong = |_| Error::invalid(format!("{name:?} of {} is no valid header", line.url));
        let value = HeaderValue::from_str(value).map_err(|_| wrong(()))?;
        host.headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(()))?, value);
    }
    Ok(host)
}

fn plain(settings: &Settings, url: &str, trust: &Trust) -> Result<Host> {
    let base = base(url, true)?;
    let is_lenient = trust.skip_verify || settings.is_insecure(&authority(&base), &trust.authorities);
    Ok(Host {
        resolve: true,
        pull: true,
        push: true,
        is_origin: true,
        is_lenient,
        namespace: None,
        headers: HeaderMap::new(),
        trust: Trust { skip_verify: is_lenient, ..trust.clone() },
        base,
    })
}

/// Paths are joined to this, so it ends with a slash.
fn base(url: &str, with_version: bool) -> Result<Url> {
    let trimmed = url.trim_end_matches('/');
    let whole =
        if with_version && !trimmed.ends_with("/v2") { format!("{trimmed}/v2/") } else { format!("{trimmed}/") };
    let parsed = Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    parsed.ok_or_else(|| Error::invalid(format!("{url:?} is no address of a registry")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::settings::Mirror;

    fn bases(settings: &Settings, domain: &str) -> Vec<String> {
        all(settings, domain).unwrap().iter().map(|host| host.base.to_string()).collect()
    }

    #[test]
    fn docker_hub_is_where_it_is_and_mirrors_come_first() {
        let mut settings = Settings::default();
        assert_eq!(bases(&settings, "docker.io"), ["https://registry-1.docker.io/v2/"]);
        assert_eq!(bases(&settings, "[::1]:5000"), ["https://[::1]:5000/v2/"]);
        settings.mirrors =
            vec!["http://m.test:5/".parse().unwrap(), "ghcr.io=https://g.test/x".parse::<Mirror>().unwrap()];
        assert_eq!(bases(&settings, "docker.io"), ["http://m.test:5/v2/", "https://registry-1.docker.io/v2/"]);
        assert_eq!(bases(&settings, "ghcr.io"), ["https://g.test/x/v2/", "https://ghcr.io/v2/"]);
        let hosts = all(&settings, "docker.io").unwrap();
        assert!(!hosts[0].is_origin && !hosts[0].push && hosts[1].is_origin && hosts[1].push);
    }

    #[test]
    fn a_folder_moves_the_registry_and_names_mirrors() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("docker.io");
        std::fs::create_dir(&folder).unwrap();
        let text = "server = \"http://127.0.0.1:5000\"\n[host.\"https://m.test/v2/hub\"]\noverride_path = true\n\
                    capabilities = [\"pull\"]\n";
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
        std::fs::write(folder.join("ca.crt"), "").unwrap();
        let settings = Settings { hosts_dirs: vec![dir.path().to_owned()], ..Settings::default() };
        let hosts = all(&settings, "docker.io").unwrap();
        assert_eq!(bases(&settings, "docker.io"), ["https://m.test/v2/hub/", "http://127.0.0.1:5000/v2/"]);
        assert!(hosts[0].pull && !hosts[0].resolve && hosts[0].namespace.as_deref() == Some("docker.io"));
        assert!(hosts[1].is_origin && !hosts[1].is_lenient && hosts[1].namespace.is_none());
        assert_eq!(hosts[1].trust.authorities, [folder.join("ca.crt")]);
    }
}
