//! Which devices a container may use.

use crate::inside::STANDARD_DEVICES;
use crate::spec::{ContainerSpec, DeviceRule};

/// The rules in order, later ones winning, after everything was denied; `None` allows all.
///
/// Besides the standard devices: nodes of any device may be made (not opened), the terminals, and what is listed.
pub(super) fn rules(spec: &ContainerSpec) -> Option<Vec<DeviceRule>> {
    if spec.privileged {
        return None;
    }
    let allow =
        |kind, major, minor, access: &str| DeviceRule { allow: true, kind, major, minor, access: access.into() };
    let mut rules = vec![allow('c', None, None, "m"), allow('b', None, None, "m")];
    rules.extend(STANDARD_DEVICES.map(|(_, major, minor)| allow('c', Some(major), Some(minor), "rwm")));
    rules.push(allow('c', Some(5), Some(1), "rwm")); // console
    rules.push(allow('c', Some(5), Some(2), "rwm")); // ptmx
    rules.push(allow('c', Some(136), None, "rwm")); // pts
    for device in &spec.devices {
        let kind = if device.block { 'b' } else { 'c' };
        rules.push(allow(kind, Some(device.major), Some(device.minor), &device.access));
    }
    rules.extend(spec.device_rules.iter().cloned());
    Some(rules)
}

/// A rule as version 1 takes it: `c 1:3 rwm`.
pub(super) fn text(rule: &DeviceRule) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    format!("{} {}:{} {}", rule.kind, number(rule.major), number(rule.minor), rule.access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_as_text() {
        let rule = DeviceRule { allow: true, kind: 'c', major: Some(136), minor: None, access: "rwm".to_owned() };
        assert_eq!(text(&rule), "c 136:* rwm");
    }
}
