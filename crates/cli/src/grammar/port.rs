//! `--publish` and `--expose`.

use std::net::IpAddr;

use wharf_api::port::{Port, PortBinding, Protocol};

/// `[[IP:][HOST]:]PORT[/PROTOCOL]`, with ranges, or `published=...,target=...,protocol=...`.
pub fn publish(text: &str) -> Result<Vec<(Port, PortBinding)>, String> {
    if text.contains('=') { short(&short_form(text)?) } else { short(text) }
}

fn short_form(text: &str) -> Result<String, String> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for part in text.split(',') {
        match part.split('=').collect::<Vec<_>>().as_slice() {
            ["published", value] => published = value,
            ["target", value] => target = value,
            ["protocol", value] => protocol = value,
            [_, _] => {}
            _ => return Err(format!("invalid publish opts format (should be name=value but got '{part}')")),
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn short(text: &str) -> Result<Vec<(Port, PortBinding)>, String> {
    let (ip, host, container) = parts(text);
    let (container, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    if container.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let ip = address(ip)?;
    let (first, last) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    let host_range = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
    };
    let same_length = host_range.is_none_or(|(from, to)| to - from == last - first);
    if !same_length && first != last {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let protocol: Protocol = protocol.parse().map_err(|_| format!("invalid proto: {protocol}"))?;
    let host_port = |number: u16| match host_range {
        None => String::new(),
        Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
        Some((from, _)) => (from + (number - first)).to_string(),
    };
    let bind = |number| PortBinding { host_ip: ip.clone(), host_port: host_port(number) };
    Ok((first..=last).map(|number| (Port { number, protocol }, bind(number))).collect())
}

/// Address, host port and container port; the last two colons part them.
fn parts(text: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = text.rsplit_once(':') else { return ("", "", text) };
    match rest.rsplit_once(':') {
        Some((ip, host)) => (ip, host, container),
        None => ("", rest, container),
    }
}

fn address(text: &str) -> Result<String, String> {
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if plain.is_empty() || plain.parse::<IpAddr>().is_ok() {
        return Ok(plain.to_owned());
    }
    Err(format!("invalid IP address: {text}"))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

/// `PORT[-PORT][/PROTOCOL]`.
pub fn expose(text: &str) -> Result<Vec<Port>, String> {
    if text.contains(':') {
        return Err(format!("invalid port format for --expose: {text}"));
    }
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let fail = |why: String| format!("invalid range format for --expose: {text}, error: {why}");
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last): (u16, u16) =
        (super::number::unsigned(first).map_err(fail)?, super::number::unsigned(last).map_err(fail)?);
    if first > last {
        return Err(fail(format!("invalid range specified for port: {numbers}")));
    }
    let protocol: Protocol = protocol.parse().map_err(|_| format!("invalid proto: {protocol}"))?;
    Ok((first..=last).map(|number| Port { number, protocol }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match publish(text) {
            Ok(bindings) => {
                bindings.iter().map(|(p, b)| format!("{p}={}:{}", b.host_ip, b.host_port)).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error,
        }
    }

    #[test]
    fn all_forms_of_publish_are_read() {
        for (text, expected) in [
            ("80", "80/tcp=:"),
            (":80", "80/tcp=:"),
            ("8080:80", "80/tcp=:8080"),
            ("8080:80/udp", "80/udp=:8080"),
            ("127.0.0.1::80", "80/tcp=127.0.0.1:"),
            ("127.0.0.1:8080:80", "80/tcp=127.0.0.1:8080"),
            ("[::1]:80:80", "80/tcp=::1:80"),
            ("::1:80:80", "80/tcp=::1:80"),
            ("80-81:90-91", "90/tcp=:80 91/tcp=:81"),
            ("80-81", "80/tcp=: 81/tcp=:"),
            ("80-81:90", "90/tcp=:80-81"),
            ("published=8080,target=80,protocol=udp", "80/udp=:8080"),
            ("x", "invalid containerPort: x"),
            ("80:x", "invalid containerPort: x"),
            ("70000", "invalid containerPort: 70000"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("80-82:90-91", "invalid ranges specified for container and host Ports: 90-91 and 80-82"),
            ("80/xyz", "invalid proto: xyz"),
            ("a=b", "no port specified: :/tcp<empty>"),
            ("1.2.3.4:80", "invalid hostPort: 1.2.3.4"),
            ("a=b=c", "invalid publish opts format (should be name=value but got 'a=b=c')"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn exposed_ports_may_be_ranges() {
        assert_eq!(expose("80-81/udp"), Ok(vec![Port::udp(80), Port::udp(81)]));
        let error = "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax";
        assert_eq!(expose("x"), Err(error.into()));
        assert!(expose("80-79").unwrap_err().ends_with("invalid range specified for port: 80-79"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,30}|[0-9a-f:./\\[\\]-]{0,24}") {
            _ = (publish(&text), expose(&text));
        }
    }
}
