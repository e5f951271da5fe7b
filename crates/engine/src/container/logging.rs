//! Log drivers: from `LogConfig` to what the monitor writes and where.

mod collector;
mod details;

use std::collections::BTreeMap;
use std::path::PathBuf;

use wharf_monitor::protocol::LogPlan;
use wharf_types::{Error, Result};

use super::limits;
use super::record::Record;
use crate::services::Services;

/// A log grows to this size before it is rotated, unless the container says otherwise: 1 GiB in all, for nobody wants a
/// disk to fill up. `max-size=-1` is without limit, as with Docker.
const MAX_SIZE: u64 = 256 << 20;
const MAX_FILES: u32 = 4;
/// The same for `local` and for the copy of what goes to a collector; Docker's.
const CACHE_SIZE: u64 = 20 << 20;
const CACHE_FILES: u32 = 5;
/// How much may wait for a collector in the non-blocking mode, in bytes; Docker's.
const BUFFER: u64 = 1 << 20;

/// What every driver takes.
const COMMON: [&str; 3] = ["mode", "max-buffer-size", "stdin"];
const FILE: [&str; 3] = ["max-size", "max-file", "compress"];
const DETAILS: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
const CACHE: [&str; 4] = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

type Options = BTreeMap<String, String>;

/// Refuses what no driver understands, before anything is made.
pub fn check(record: &Record) -> Result<()> {
    let driver = record.log_driver();
    let own: &[&str] = match driver {
        "json-file" | "local" | "none" | "journald" => &[],
        "syslog" => &collector::SYSLOG,
        "gelf" => &collector::GELF,
        "fluentd" => &collector::FLUENTD,
        other => {
            return Err(Error::invalid(format!("logger: no log driver named '{other}' is registered"))
                .with_hint("use json-file, local, none, journald, syslog, gelf or fluentd"));
        }
    };
    let (file, details, cache): (&[&str], &[&str], &[&str]) = match driver {
        "json-file" => (&FILE, &DETAILS, &[]),
        "local" | "none" => (&FILE, &[], &[]),
        _ => (&[], &DETAILS, &CACHE),
    };
    for option in options(record).keys() {
        if ![&COMMON, own, file, details, cache].iter().any(|known| known.contains(&option.as_str())) {
            return Err(Error::invalid(format!("unknown log opt '{option}' for {driver} log driver")));
        }
    }
    match text(options(record), "mode") {
        "" | "blocking" | "non-blocking" => {}
        other => return Err(Error::invalid(format!("logger: logging mode {other:?} is invalid"))),
    }
    if !text(options(record), "max-buffer-size").is_empty() && text(options(record), "mode") != "non-blocking" {
        return Err(Error::invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'"));
    }
    details::of(record)?;
    plan_without_place(record).map(drop)
}

/// What the monitor is told.
pub fn plan(services: &Services, record: &Record) -> Result<LogPlan> {
    let planned = plan_without_place(record)?;
    let place = |plan| match plan {
        LogPlan::JsonFile { max_size, max_files, compress, attrs, .. } => {
            LogPlan::JsonFile { path: path(services, record), max_size, max_files, compress, attrs }
        }
        other => other,
    };
    Ok(match planned {
        LogPlan::Remote { collector, cache } => {
            LogPlan::Remote { collector, cache: cache.map(|cache| Box::new(place(*cache))) }
        }
        other => place(other),
    })
}

/// Whether standard input is part of the log.
pub fn with_stdin(record: &Record) -> Result<bool> {
    flag(options(record), "stdin", false)
}

/// The file in which a container's log can be read here, if there is one.
pub fn readable(services: &Services, record: &Record) -> Option<PathBuf> {
    match record.log_driver() {
        "none" => None,
        "json-file" | "local" => Some(path(services, record)),
        _ => (text(options(record), "cache-disabled") != "true").then(|| path(services, record)),
    }
}

/// Docker's names: tools look for them.
fn path(services: &Services, record: &Record) -> PathBuf {
    let name = match record.log_driver() {
        "json-file" => format!("{}-json.log", record.id),
        "local" => "container.log".to_owned(),
        _ => "container-cached.log".to_owned(),
    };
    services.config.container_dir(record.id).join(name)
}

fn plan_without_place(record: &Record) -> Result<LogPlan> {
    let options = options(record);
    with_stdin(record)?;
    match record.log_driver() {
        "none" => Ok(LogPlan::None),
        "json-file" => {
            let plan = file(options, "", (MAX_SIZE, MAX_FILES, false))?;
            Ok(with_attrs(plan, details::of(record)?.attributes()))
        }
        "local" => file(options, "", (CACHE_SIZE, CACHE_FILES, true)),
        driver => {
            let cache = match flag(options, "cache-disabled", false)? {
                true => None,
                false => Some(Box::new(file(options, "cache-", (CACHE_SIZE, CACHE_FILES, true))?)),
            };
            let mut collector = collector::plan(driver, record, &details::of(record)?)?;
            if text(options, "mode") == "non-blocking" {
                let size = options.get("max-buffer-size").map(|size| limits::size(size)).transpose()?;
                collector.drop_beyond = Some(size.unwrap_or(BUFFER));
            }
            Ok(LogPlan::Remote { collector: Box::new(collector), cache })
        }
    }
}

fn file(options: &Options, prefix: &str, (size, files, compress): (u64, u32, bool)) -> Result<LogPlan> {
    let of = |name: &str| options.get(&format!("{prefix}{name}"));
    let max_size = match of("max-size").map(String::as_str) {
        None => Some(size),
        Some("-1") => None,
        Some(text) => Some(limits::size(text)?).filter(|size| *size > 0),
    };
    // Who names a size and no number gets one file, as with Docker's json-file.
    let alone = prefix.is_empty() && files == MAX_FILES && of("max-size").is_some();
    let max_files = match of("max-file") {
        None if alone => 1,
        None => files,
        Some(count) => positive("max-file", count)?,
    };
    if max_size.is_none() && max_files > 1 && of("max-file").is_some() {
        return Err(Error::invalid("max-size must be set if max-file is"));
    }
    let compress = flag(options, &format!("{prefix}compress"), compress)?;
    Ok(LogPlan::JsonFile { path: PathBuf::new(), max_size, max_files, compress, attrs: Vec::new() })
}

fn with_attrs(plan: LogPlan, attributes: Vec<(String, String)>) -> LogPlan {
    match plan {
        LogPlan::JsonFile { path, max_size, max_files, compress, .. } => {
            LogPlan::JsonFile { path, max_size, max_files, compress, attrs: attributes }
        }
        other => other,
    }
}

fn options(record: &Record) -> &Options {
    &record.host_config.log_config.config
}

fn text<'a>(options: &'a Options, name: &str) -> &'a str {
    options.get(name).map_or("", String::as_str)
}

fn flag(options: &Options, name: &str, default: bool) -> Result<bool> {
    match text(options, name) {
        "" => Ok(default),
        "true" | "1" | "t" | "True" | "TRUE" => Ok(true),
        "false" | "0" | "f" | "False" | "FALSE" => Ok(false),
        other => Err(Error::invalid(format!("invalid value for log option {name}: {other}"))),
    }
}

fn positive(option: &str, text: &str) -> Result<u32> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::invalid(format!("invalid value for log option {option}: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(pairs: &[(&str, &str)]) -> Result<(Option<u64>, u32, bool)> {
        let options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        match file(&options, "", (MAX_SIZE, MAX_FILES, false))? {
            LogPlan::JsonFile { max_size, max_files, compress, .. } => Ok((max_size, max_files, compress)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_are_bounded_unless_someone_says_otherwise() {
        assert_eq!(plan_of(&[]).unwrap(), (Some(MAX_SIZE), MAX_FILES, false));
        assert_eq!(plan_of(&[("max-size", "10m")]).unwrap(), (Some(10 << 20), 1, false));
        assert_eq!(
            plan_of(&[("max-size", "1k"), ("max-file", "3"), ("compress", "true")]).unwrap(),
            (Some(1024), 3, true)
        );
        assert_eq!(plan_of(&[("max-size", "-1")]).unwrap(), (None, 1, false));
        for bad in [
            &[("max-size", "x")][..],
            &[("max-file", "0")],
            &[("compress", "perhaps")],
            &[("max-size", "-1"), ("max-file", "2")],
        ] {
            assert!(plan_of(bad).is_err(), "{bad:?}");
        }
    }
}
