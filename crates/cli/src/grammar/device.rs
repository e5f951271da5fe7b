//! `--device`, `--device-*`, `--blkio-weight-device` and `--gpus`.

use wharf_api::container::{DeviceMapping, DeviceRequest, ThrottleDevice, WeightDevice};

use super::{csv, number};

/// A `--device`: a node of the host, or a device of the Container Device Interface by its qualified name.
#[derive(Debug, PartialEq, Eq)]
pub enum Device {
    /// `HOST[:CONTAINER][:rwm]`.
    Node(DeviceMapping),
    /// `vendor.com/class=name`.
    Cdi(String),
}

/// Reads one `--device`.
pub fn parse(text: &str) -> Result<Device, String> {
    if is_cdi(text) {
        return Ok(Device::Cdi(text.to_owned()));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, mode) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, container] => (*host, *container, "rwm"),
        [host, container, mode] if is_mode(mode) => (*host, *container, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(format!("invalid device specification: {text}")),
    };
    if host.is_empty() {
        return Err(format!("bad format for path: {text}"));
    }
    if !container.starts_with('/') {
        return Err(format!("{container} is not an absolute path"));
    }
    Ok(Device::Node(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: container.to_owned(),
        cgroup_permissions: mode.to_owned(),
    }))
}

/// Each of `r`, `w` and `m` at most once.
fn is_mode(text: &str) -> bool {
    let once = |i: usize, c: char| "rwm".contains(c) && !text[..i].contains(c);
    !text.is_empty() && text.char_indices().all(|(i, c)| once(i, c))
}

fn is_cdi(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c))
    };
    word(vendor) && word(class) && word(name)
}

/// `PATH:RATE`, with units (`1mb`).
pub fn throttle_bps(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_value(text)?;
    let format =
        "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb";
    let rate = number::bytes(rate).ok().and_then(|rate| u64::try_from(rate).ok());
    let rate = rate.ok_or_else(|| format!("invalid rate for device: {text}. The correct format is {format}"))?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `PATH:RATE`, operations per second.
pub fn throttle_iops(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_value(text)?;
    let format = "<device-path>:<number>. Number must be a positive integer";
    let rate = rate.parse().map_err(|_| format!("invalid rate for device: {text}. The correct format is {format}"))?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// `PATH:WEIGHT`; weights are 10 to 1000, or 0.
pub fn weight(text: &str) -> Result<WeightDevice, String> {
    let (path, weight) = device_value(text)?;
    let weight = weight.parse().ok().filter(|weight| matches!(weight, 0 | 10..=1000));
    let weight = weight.ok_or_else(|| format!("invalid weight for device: {text}"))?;
    Ok(WeightDevice { path: path.to_owned(), weight })
}

fn device_value(text: &str) -> Result<(&str, &str), String> {
    let (path, value) =
        text.split_once(':').filter(|(path, _)| !path.is_empty()).ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// `TYPE MAJOR:MINOR ACCESS`, as `c 1:3 mr`.
pub fn cgroup_rule(text: &str) -> Result<String, String> {
    let number = |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let valid = match text.split(' ').collect::<Vec<_>>().as_slice() {
        [kind, numbers, access] => {
            let pair = numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor));
            let access = (1..=3).contains(&access.len()) && access.bytes().all(|b| b"rwm".contains(&b));
            matches!(*kind, "a" | "b" | "c") && pair && access
        }
        _ => false,
    };
    if valid { Ok(text.to_owned()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

/// `all`, a count, or comma-separated `count=`, `device=`, `driver=`, `capabilities=`, `options=`.
pub fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut capabilities: Vec<String> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        if seen.iter().any(|s| s == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        let list = || value.split(',').map(str::to_owned);
        match key {
            "count" => request.count = count(value)?,
            "device" => request.device_ids = list().collect(),
            "driver" => request.driver = value.to_owned(),
            "capabilities" => capabilities = list().collect(),
            "options" => {
                let pair = |option: String| match option.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (option, String::new()),
                };
                request.options = list().map(pair).collect();
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if request.count == 0 && request.device_ids.is_empty() {
        request.count = 1;
    }
    capabilities.push("gpu".into());
    request.capabilities = vec![capabilities].into();
    if request.options.is_null() {
        request.options = wharf_api::Map::empty();
    }
    Ok(request)
}

fn count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse()
        .map_err(|_| format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        let node = |host: &str, container: &str, mode: &str| {
            Ok(Device::Node(DeviceMapping {
                path_on_host: host.into(),
                path_in_container: container.into(),
                cgroup_permissions: mode.into(),
            }))
        };
        for (text, expected) in [
            ("/dev/a:/b", node("/dev/a", "/b", "rwm")),
            ("/dev/c:/d:r", node("/dev/c", "/d", "r")),
            ("/dev/c:rw", node("/dev/c", "/dev/c", "rw")),
            ("a:/b", node("a", "/b", "rwm")),
            ("vendor.com/class=x", Ok(Device::Cdi("vendor.com/class=x".into()))),
            ("x:y:z", Err("bad mode specified: z".into())),
            ("a", Err("a is not an absolute path".into())),
            ("/dev/a:", Err(" is not an absolute path".into())),
            (":", Err("bad format for path: :".into())),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn limits_of_devices_are_read() {
        assert_eq!(throttle_bps("/dev/x:1mb").unwrap().rate, 1 << 20);
        assert_eq!(weight("/dev/a:0").unwrap().weight, 0);
        assert_eq!(weight("/dev/a:9"), Err("invalid weight for device: /dev/a:9".into()));
        assert_eq!(weight("x"), Err("bad format: x".into()));
        assert_eq!(throttle_bps("a:1"), Err("bad format for device path: a:1".into()));
        assert!(throttle_iops("/dev/x:a").unwrap_err().ends_with("Number must be a positive integer"));
        assert!(cgroup_rule("a *:* rwm").is_ok() && cgroup_rule("c 1:3 mr").is_ok() && cgroup_rule("x").is_err());
    }

    #[test]
    fn gpu_requests_are_read() {
        assert_eq!(gpus("all").unwrap().count, -1);
        let some = gpus("\"device=0,1\",capabilities=compute").unwrap();
        assert_eq!((some.count, some.device_ids.len(), some.capabilities[0].join(" ")), (0, 2, "compute gpu".into()));
        assert_eq!(gpus("x=y"), Err("unexpected key 'x' in 'x=y'".into()));
        assert_eq!(gpus(""), Err("EOF".into()));
    }
}
