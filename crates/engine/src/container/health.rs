//! Health checks: from what a person asks for to what the monitor does, and back to what people see.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use wharf_api::container::{Config, Health as ApiHealth, HealthConfig, HealthStatus as ApiStatus, HealthcheckResult};
use wharf_monitor::protocol::{Health, HealthPlan, HealthStatus, Probe};
use wharf_types::{Error, Result};

use super::exec;
use super::record::Record;
use super::snapshot::Snapshot;

/// Set to `true`, this label has a container started again when it becomes unhealthy.
pub const RESTART_LABEL: &str = "io.wharf.restart-on-unhealthy";

/// From one check to the next, unless the container says otherwise; Docker's.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// From one check to the next while the container gets going.
const START_INTERVAL: Duration = Duration::from_secs(5);
/// How many failures in a row make a container unhealthy.
const RETRIES: u32 = 3;
/// The shortest times that make sense; Docker's.
const SHORTEST: i64 = 1_000_000;

/// What a test is, once its words are understood.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    None,
    Command(Vec<String>),
    Tcp(SocketAddr),
    Http { address: SocketAddr, host: String, path: String },
}

/// Refuses a health check that makes no sense.
pub fn check(config: &Config) -> Result<()> {
    let Some(health) = &config.healthcheck else { return Ok(()) };
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        if value != 0 && value < SHORTEST {
            return Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if health.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    test(health, &config.shell).map(drop)
}

/// What the monitor is told; `None` where there is no check.
pub fn plan(record: &Record) -> Result<Option<HealthPlan>> {
    let Some(health) = &record.config.healthcheck else { return Ok(None) };
    let probe = match test(health, &record.config.shell)? {
        Test::None => return Ok(None),
        Test::Command(argv) => Probe::Command(Box::new(exec::health_process(record, argv)?)),
        Test::Tcp(address) => Probe::Tcp(address),
        Test::Http { address, host, path } => Probe::Http { address, host, path },
    };
    let time = |nanoseconds: i64, default| match u64::try_from(nanoseconds) {
        Ok(0) | Err(_) => default,
        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
    };
    Ok(Some(HealthPlan {
        probe,
        interval: time(health.interval, INTERVAL),
        timeout: time(health.timeout, TIMEOUT),
        start_period: time(health.start_period, Duration::ZERO),
        start_interval: time(health.start_interval, START_INTERVAL),
        retries: u32::try_from(health.retries).ok().filter(|retries| *retries > 0).unwrap_or(RETRIES),
    }))
}

/// Whether the container is to be started again when it becomes unhealthy.
pub fn restarts(record: &Record) -> bool {
    record.config.labels.get(RESTART_LABEL).is_some_and(|value| value == "true")
}

fn test(health: &HealthConfig, shell: &[String]) -> Result<Test> {
    let Some((kind, words)) = health.test.split_first() else { return Ok(Test::None) };
    match (kind.as_str(), words) {
        ("NONE", _) => Ok(Test::None),
        ("CMD", []) => Err(Error::invalid("the health check names no command")),
        ("CMD", words) => Ok(Test::Command(words.to_vec())),
        ("CMD-SHELL", words) => {
            let shell = if shell.is_empty() { &["/bin/sh".to_owned(), "-c".to_owned()] } else { shell };
            Ok(Test::Command(shell.iter().cloned().chain([words.join(" ")]).collect()))
        }
        ("WHARF-TCP", [place]) => address(place, None).map(Test::Tcp),
        ("WHARF-HTTP", [url]) => http(url),
        (kind, _) => Err(Error::invalid(format!("Unknown healthcheck type '{kind}' (expected 'CMD')"))
            .with_hint("a test begins with CMD, CMD-SHELL, NONE, WHARF-TCP with a port, or WHARF-HTTP with a URL")),
    }
}

/// `http://[HOST][:PORT]/PATH`.
fn http(url: &str) -> Result<Test> {
    let bare = url.strip_prefix("http://").ok_or_else(|| {
        Error::invalid(format!("the health check's URL {url} does not begin with http://"))
            .with_hint("use a command for https")
    })?;
    let (place, path) = bare.find(['/', '?']).map_or((bare, ""), |at| bare.split_at(at));
    let slash = if path.starts_with('/') { "" } else { "/" };
    if bare.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Error::invalid(format!("the health check's URL {url:?} contains what a URL may not")));
    }
    let address = address(place, Some(80))?;
    let host = if place.is_empty() || place.starts_with(':') { format!("localhost{place}") } else { place.to_owned() };
    Ok(Test::Http { address, host, path: format!("{slash}{path}") })
}

/// `PORT`, `HOST:PORT`, `:PORT` or, with a default, `HOST`. A host is an address, or `localhost`: names would have to be
/// asked for.
fn address(text: &str, default: Option<u16>) -> Result<SocketAddr> {
    let invalid = || {
        Error::invalid(format!("the health check cannot connect to {text:?}"))
            .with_hint("write a port, or an IP address and a port as in 127.0.0.1:80 or [::1]:80")
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ if default.is_none() => ("", Some(text)),
        _ => (text, None),
    };
    let ip = match host {
        "" | "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| invalid())?,
    };
    let port = port.map_or(default, |port| port.parse().ok()).filter(|port| *port != 0);
    Ok(SocketAddr::new(ip, port.ok_or_else(invalid)?))
}

/// A container that has just been started.
pub fn starting() -> Health {
    Health { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
}

/// Docker's word.
pub fn word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

/// What `ps` appends to the status of a running container.
pub fn phrase(snapshot: &Snapshot) -> &'static str {
    match snapshot.health.as_ref().map(|health| health.status) {
        None => "",
        Some(HealthStatus::Starting) => " (health: starting)",
        Some(HealthStatus::Healthy) => " (healthy)",
        Some(HealthStatus::Unhealthy) => " (unhealthy)",
    }
}

/// In one word for lists; one that does not run is not well, as Docker has it.
pub fn status(snapshot: &Snapshot) -> ApiStatus {
    match &snapshot.health {
        None => ApiStatus::None,
        Some(_) if !snapshot.state.is_live() => ApiStatus::Unhealthy,
        Some(health) => match health.status {
            HealthStatus::Starting => ApiStatus::Starting,
            HealthStatus::Healthy => ApiStatus::Healthy,
            HealthStatus::Unhealthy => ApiStatus::Unhealthy,
        },
    }
}

/// What an inspect shows.
pub fn inspected(snapshot: &Snapshot) -> Option<ApiHealth> {
    let health = snapshot.health.as_ref()?;
    let log = health.log.iter().map(|checked| HealthcheckResult {
        start: checked.start.clone(),
        end: checked.end.clone(),
        exit_code: checked.exit_code.into(),
        output: checked.output.clone(),
    });
    Some(ApiHealth { status: status(snapshot), failing_streak: health.failing_streak.into(), log: log.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Test> {
        let test = words.iter().map(|word| (*word).to_owned()).collect();
        super::test(&HealthConfig { test, ..HealthConfig::default() }, &[])
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tests_are_read_in_every_form() {
        assert_eq!(read(&[]).unwrap(), Test::None);
        assert_eq!(read(&["NONE"]).unwrap(), Test::None);
        assert_eq!(read(&["CMD", "a", "b"]).unwrap(), Test::Command(vec!["a".into(), "b".into()]));
        let shell = ["/bin/sh", "-c", "a || b"].map(str::to_owned).to_vec();
        assert_eq!(read(&["CMD-SHELL", "a || b"]).unwrap(), Test::Command(shell));
        for (text, address) in [
            ("5432", "127.0.0.1:5432"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            (":9", "127.0.0.1:9"),
        ] {
            assert_eq!(read(&["WHARF-TCP", text]).unwrap(), Test::Tcp(at(address)), "{text}");
        }
        for (url, address, host, path) in [
            ("http://:8080/health", "127.0.0.1:8080", "localhost:8080", "/health"),
            ("http://localhost", "127.0.0.1:80", "localhost", "/"),
            ("http://[::1]:81/a?b=c", "[::1]:81", "[::1]:81", "/a?b=c"),
            ("http://10.0.0.1?x", "10.0.0.1:80", "10.0.0.1", "/?x"),
        ] {
            let expected = Test::Http { address: at(address), host: host.into(), path: path.into() };
            assert_eq!(read(&["WHARF-HTTP", url]).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for bad in [
            &["RUN", "x"][..],
            &["CMD"],
            &["WHARF-TCP", "x"],
            &["WHARF-TCP", "0"],
            &["WHARF-TCP", "name:80"],
            &["WHARF-TCP"],
            &["WHARF-HTTP", "https://:80/"],
            &["WHARF-HTTP", "http://:80/a b"],
            &["WHARF-HTTP", "http://:80/a\r\nX: y"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
