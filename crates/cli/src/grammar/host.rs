//! Names, addresses and namespaces: `--add-host`, `--dns*`, `--mac-address`, `--pid`, `--restart`, `--link`.

use std::net::IpAddr;

use wharf_api::container::{RestartPolicy, RestartPolicyName};

/// `NAME:IP` or `NAME=IP`; `host-gateway` stands for the host's address on the container's network.
pub fn extra_host(text: &str) -> Result<String, String> {
    let separator = text.find(['=', ':']).filter(|at| *at > 0);
    let at = separator.ok_or_else(|| format!("bad format for add-host: {text:?}"))?;
    let (name, address) = (&text[..at], &text[at + 1..]);
    let plain = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if plain != "host-gateway" && plain.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {address:?}"));
    }
    Ok(format!("{name}:{plain}"))
}

/// A name server's address.
pub fn name_server(text: &str) -> Result<String, String> {
    let address =
        text.trim().parse::<IpAddr>().map_err(|_| format!("IP address is not correctly formatted: {text}"))?;
    Ok(address.to_string())
}

/// A domain to search; `.` for none.
pub fn search_domain(text: &str) -> Result<String, String> {
    let domain = text.trim();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = domain.strip_suffix('.').unwrap_or(domain);
    let has_letter = named.contains(|c: char| c.is_ascii_alphabetic());
    if domain == "." || (domain.len() < 255 && has_letter && named.split('.').all(label)) {
        return Ok(domain.to_owned());
    }
    Err(format!("{domain} is not a valid domain"))
}

/// A hardware address: six octets in hexadecimal, separated by colons or dashes.
pub fn mac_address(text: &str) -> Result<String, String> {
    let octet = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let by = |separator: char| text.split(separator).count() == 6 && text.split(separator).all(octet);
    if by(':') || by('-') { Ok(text.to_owned()) } else { Err(format!("{text} is not a valid mac address")) }
}

/// `NAME[:ALIAS]`.
pub fn link(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("empty string specified for links".into());
    }
    if text.split(':').count() > 2 {
        return Err(format!("bad format for links: {text}"));
    }
    Ok(text.to_owned())
}

/// `no`, `always`, `unless-stopped`, `on-failure[:MAX]`.
pub fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = match text.split_once(':') {
        Some(("", _)) => return Err("invalid restart policy format: no policy provided before colon".into()),
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    let count = count.map_or(Ok(0), |count| {
        count.parse().map_err(|_| "invalid restart policy format: maximum retry count must be an integer".to_owned())
    })?;
    Ok(RestartPolicy { name: RestartPolicyName::try_from(name.to_owned())?, maximum_retry_count: count })
}

/// A namespace: nothing, `host` or one of the further modes; `MODE:` in `further` wants a value after the colon.
pub fn namespace(flag: &str, what: &str, text: &str, further: &[&str]) -> Result<String, String> {
    let matches = |mode: &&str| match mode.strip_suffix(':') {
        Some(mode) => text.strip_prefix(mode).is_some_and(|rest| rest.len() > 1 && rest.starts_with(':')),
        None => *mode == text,
    };
    if text.is_empty() || text == "host" || further.iter().any(matches) {
        return Ok(text.to_owned());
    }
    Err(format!("--{flag}: invalid {what} mode"))
}

/// `OS[/ARCHITECTURE[/VARIANT]]` in the form the engine wants.
pub fn platform(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let fail = |why: &str| Err(format!("error parsing specified platform: {text:?}: {why}: invalid argument"));
    let lower = text.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    if parts.len() > 3 {
        return fail("cannot parse platform specifier");
    }
    const ARCHITECTURES: [&str; 12] =
        ["amd64", "x86_64", "arm64", "aarch64", "arm", "armhf", "armel", "386", "i386", "ppc64le", "s390x", "riscv64"];
    match parts.as_slice() {
        ["linux" | "windows" | "darwin" | "freebsd"] => {
            Ok(format!("{lower}/{}", wharf_types::Platform::host().architecture))
        }
        [architecture] if ARCHITECTURES.contains(architecture) => Ok(format!("linux/{architecture}")),
        [_] => fail("unknown operating system or architecture"),
        _ => Ok(lower),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_name_and_an_address() {
        for (text, expected) in [
            ("a:1.2.3.4", Ok("a:1.2.3.4".to_owned())),
            ("b:host-gateway", Ok("b:host-gateway".into())),
            ("c=::1", Ok("c:::1".into())),
            ("d=[::1]", Ok("d:::1".into())),
            ("foo", Err("bad format for add-host: \"foo\"".into())),
            ("foo:bar", Err("invalid IP address in add-host: \"bar\"".into())),
            ("=1.2.3.4", Err("bad format for add-host: \"=1.2.3.4\"".into())),
            ("a:", Err("invalid IP address in add-host: \"\"".into())),
        ] {
            assert_eq!(extra_host(text), expected, "{text}");
        }
    }

    #[test]
    fn domains_and_addresses_are_checked() {
        assert!(search_domain(".").is_ok() && search_domain("a.b").is_ok() && search_domain("corp").is_ok());
        assert_eq!(search_domain("..x"), Err("..x is not a valid domain".into()));
        assert_eq!(search_domain(""), Err(" is not a valid domain".into()));
        assert_eq!(name_server("foo"), Err("IP address is not correctly formatted: foo".into()));
        assert!(mac_address("92:d0:c6:0a:29:33").is_ok());
        assert_eq!(mac_address("zz"), Err("zz is not a valid mac address".into()));
        assert_eq!(link("a:b:c"), Err("bad format for links: a:b:c".into()));
    }

    #[test]
    fn restart_policies_are_read() {
        let policy = restart_policy("on-failure:3").unwrap();
        assert_eq!((policy.name, policy.maximum_retry_count), (RestartPolicyName::OnFailure, 3));
        assert!(restart_policy("always").is_ok() && restart_policy("").is_ok());
        for (text, expected) in [
            ("on-failure:x", "invalid restart policy format: maximum retry count must be an integer"),
            ("a:b:c", "invalid restart policy format: maximum retry count must be an integer"),
            (":3", "invalid restart policy format: no policy provided before colon"),
        ] {
            assert_eq!(restart_policy(text), Err(expected.into()), "{text}");
        }
    }

    #[test]
    fn namespaces_have_modes() {
        assert!(namespace("pid", "PID", "container:x", &["container:"]).is_ok());
        assert_eq!(namespace("pid", "PID", "container:", &["container:"]), Err("--pid: invalid PID mode".into()));
        assert_eq!(namespace("uts", "UTS", "foo", &[]), Err("--uts: invalid UTS mode".into()));
    }
}
