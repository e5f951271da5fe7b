//! Collectors: their addresses and what each wants to be told.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use wharf_monitor::protocol::{
    Collector, CollectorAddress, FluentdPlan, GelfCompression, GelfPlan, LogFormat, SyslogPlan, SyslogStyle,
};
use wharf_types::{Error, Result, ResultExt};

use super::details::{Details, hostname};
use super::{flag, options, text};
use crate::container::record::Record;

/// Options of `syslog`.
pub const SYSLOG: [&str; 3] = ["syslog-address", "syslog-facility", "syslog-format"];
/// Options of `gelf`. Reconnecting has a rule of its own here; the numbers are taken and not needed.
pub const GELF: [&str; 5] = [
    "gelf-address",
    "gelf-compression-type",
    "gelf-compression-level",
    "gelf-tcp-max-reconnect",
    "gelf-tcp-reconnect-delay",
];
/// Options of `fluentd`.
pub const FLUENTD: [&str; 7] = [
    "fluentd-address",
    "fluentd-async",
    "fluentd-async-connect",
    "fluentd-buffer-limit",
    "fluentd-retry-wait",
    "fluentd-max-retries",
    "fluentd-sub-second-precision",
];

/// Names of the facilities, from 0 (RFC 5424, section 6.2.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// Docker's facility unless asked otherwise.
const DAEMON: u8 = 3;
/// Where the host's own syslog listens.
const DEV_LOG: &str = "/dev/log";
/// Where the journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What the monitor is told about a container's collector.
pub fn plan(driver: &str, record: &Record, details: &Details) -> Result<Collector> {
    let (address, format) = match driver {
        "syslog" => syslog(record, details)?,
        "gelf" => gelf(record, details)?,
        "fluentd" => fluentd(record, details)?,
        _ => (CollectorAddress::UnixDatagram(JOURNAL.into()), LogFormat::Journald(journal_fields(record, details))),
    };
    let options = options(record);
    let patient = flag(options, "fluentd-async", false)? || flag(options, "fluentd-async-connect", false)?;
    Ok(Collector { address, format, drop_beyond: None, patient })
}

fn syslog(record: &Record, details: &Details) -> Result<(CollectorAddress, LogFormat)> {
    let options = options(record);
    let address = match text(options, "syslog-address") {
        "" => CollectorAddress::UnixDatagram(DEV_LOG.into()),
        url => address(url, &["udp", "tcp", "unix", "unixgram"], 514)?,
    };
    let local = matches!(address, CollectorAddress::Unix(_) | CollectorAddress::UnixDatagram(_));
    let style = match text(options, "syslog-format") {
        "" => SyslogStyle::Local,
        "rfc3164" if local => SyslogStyle::Local,
        "rfc3164" => SyslogStyle::Rfc3164,
        "rfc5424" => SyslogStyle::Rfc5424 { micro: false },
        "rfc5424micro" => SyslogStyle::Rfc5424 { micro: true },
        other => return Err(Error::invalid(format!("Invalid syslog format: {other}"))),
    };
    let facility = match text(options, "syslog-facility") {
        "" => DAEMON,
        name => facility(name).ok_or_else(|| Error::invalid("invalid syslog facility"))?,
    };
    let (hostname, tag) = (hostname(), details.tag.clone());
    Ok((address, LogFormat::Syslog(SyslogPlan { facility, style, hostname, tag })))
}

fn facility(name: &str) -> Option<u8> {
    let by_name = || FACILITIES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok());
    name.parse().ok().filter(|number| *number <= 23).or_else(by_name)
}

fn gelf(record: &Record, details: &Details) -> Result<(CollectorAddress, LogFormat)> {
    let options = options(record);
    let address = match text(options, "gelf-address") {
        "" => return Err(Error::invalid("gelf-address is a required parameter")),
        url => address(url, &["udp", "tcp"], 0)?,
    };
    let compression = match text(options, "gelf-compression-type") {
        "" | "gzip" => GelfCompression::Gzip,
        "zlib" => GelfCompression::Zlib,
        "none" => GelfCompression::None,
        other => return Err(Error::invalid(format!("gelf: unknown compression type {other:?}"))),
    };
    let level = match text(options, "gelf-compression-level") {
        "" | "-1" => 1,
        level => level.parse().ok().filter(|level| *level <= 9).ok_or_else(|| {
            Error::invalid(format!("gelf: unknown value {level} for gelf-compression-level: a number from -1 to 9"))
        })?,
    };
    let command = record.argv().join(" ");
    let own = [
        ("container_id", record.id.to_string()),
        ("container_name", record.name.clone()),
        ("image_id", record.image.to_string()),
        ("image_name", record.config.image.clone()),
        ("command", command),
        ("tag", details.tag.clone()),
        ("created", record.created.clone()),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let fields = own.chain(details.extra.iter().cloned()).collect();
    Ok((address, LogFormat::Gelf(GelfPlan { host: hostname(), fields, compression, level })))
}

fn fluentd(record: &Record, details: &Details) -> Result<(CollectorAddress, LogFormat)> {
    let options = options(record);
    let address = match text(options, "fluentd-address") {
        "" => CollectorAddress::Tcp(([127, 0, 0, 1], 24224).into()),
        url if url.contains("://") => address(url, &["tcp", "unix"], 24224)?,
        place => CollectorAddress::Tcp(resolve(place, 24224)?),
    };
    let own = [("container_id", record.id.to_string()), ("container_name", format!("/{}", record.name))];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let fields = own.chain(details.extra.iter().cloned()).collect();
    let sub_second = flag(options, "fluentd-sub-second-precision", false)?;
    Ok((address, LogFormat::Fluentd(FluentdPlan { tag: details.tag.clone(), fields, sub_second })))
}

fn journal_fields(record: &Record, details: &Details) -> Vec<(String, String)> {
    let own = [
        ("CONTAINER_ID", record.id.short()),
        ("CONTAINER_ID_FULL", record.id.to_string()),
        ("CONTAINER_NAME", record.name.clone()),
        ("CONTAINER_TAG", details.tag.clone()),
        ("IMAGE_NAME", record.config.image.clone()),
        ("SYSLOG_IDENTIFIER", details.tag.clone()),
    ];
    let extra = details.extra.iter().map(|(name, value)| (field_name(name), value.clone()));
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(extra).collect()
}

/// Capital letters, digits and underscores, with none of these at the beginning: others the journal throws away.
fn field_name(name: &str) -> String {
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    upper.collect::<String>().trim_start_matches('_').to_owned()
}

/// `scheme://HOST[:PORT]` or `unix://PATH`.
fn address(url: &str, schemes: &[&str], port: u16) -> Result<CollectorAddress> {
    let invalid = || Error::invalid(format!("{url:?} is no address of a log collector"));
    let (scheme, place) = url.split_once("://").ok_or_else(invalid)?;
    if scheme == "tcp+tls" {
        return Err(Error::not_implemented("log collectors over TLS are not there yet")
            .with_hint("let a forwarder on this host speak TLS"));
    }
    if !schemes.contains(&scheme) {
        return Err(invalid().with_hint(format!("it begins with one of: {}", schemes.join(", "))));
    }
    Ok(match scheme {
        "unix" => CollectorAddress::Unix(PathBuf::from(place)),
        "unixgram" => CollectorAddress::UnixDatagram(PathBuf::from(place)),
        "udp" => CollectorAddress::Udp(resolve(place, port)?),
        _ => CollectorAddress::Tcp(resolve(place, port)?),
    })
}

/// Names are asked for by the engine; the monitor is told an address.
fn resolve(place: &str, port: u16) -> Result<SocketAddr> {
    let has_port = place.rsplit_once(':').is_some_and(|(_, end)| !end.contains(']'));
    let whole = if has_port { place.to_owned() } else { format!("{place}:{port}") };
    if let Ok(address) = whole.parse() {
        return Ok(address);
    }
    let found = tokio::task::block_in_place(|| whole.to_socket_addrs().map(|mut found| found.next()));
    found
        .with_context(|| format!("cannot find the log collector {place}"))?
        .ok_or_else(|| Error::invalid(format!("the log collector {place} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let of = |url| address(url, &["udp", "tcp", "unix", "unixgram"], 514);
        assert_eq!(of("udp://127.0.0.1:99").unwrap(), CollectorAddress::Udp(([127, 0, 0, 1], 99).into()));
        assert_eq!(of("tcp://127.0.0.1").unwrap(), CollectorAddress::Tcp(([127, 0, 0, 1], 514).into()));
        assert_eq!(of("unix:///dev/log").unwrap(), CollectorAddress::Unix("/dev/log".into()));
        for bad in ["127.0.0.1", "http://127.0.0.1", "tcp+tls://127.0.0.1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn facilities_have_names_and_numbers() {
        assert_eq!((facility("daemon"), facility("local7"), facility("5")), (Some(3), Some(23), Some(5)));
        assert_eq!((facility("24"), facility("x")), (None, None));
    }

    #[test]
    fn fields_of_the_journal_are_its_kind_of_names() {
        assert_eq!(field_name("_com.example-x"), "COM_EXAMPLE_X");
    }
}
