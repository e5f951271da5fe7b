//! What the engine was told that containers get which say nothing else.

use std::collections::BTreeMap;

use wharf_api::container::HostConfig;

/// Defaults for new containers. Those that are there keep what they were made with.
#[derive(Debug, Clone, Default)]
pub struct DaemonDefaults {
    /// The log driver; `json-file` where empty.
    pub log_driver: String,
    /// Its options.
    pub log_options: BTreeMap<String, String>,
    /// Whether processes may gain no privileges.
    pub no_new_privileges: bool,
    /// Domains that names are looked up in.
    pub dns_search: Vec<String>,
    /// Options of the resolver.
    pub dns_options: Vec<String>,
}

impl DaemonDefaults {
    /// Fills in what a request leaves open.
    pub(super) fn apply(&self, host: &mut HostConfig) {
        if host.log_config.driver.is_empty() && !self.log_driver.is_empty() {
            host.log_config.driver.clone_from(&self.log_driver);
        }
        let driver = if self.log_driver.is_empty() { "json-file" } else { &self.log_driver };
        if host.log_config.driver.is_empty() || host.log_config.driver == driver {
            for (key, value) in &self.log_options {
                host.log_config.config.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        let says = |host: &HostConfig| host.security_opt.iter().any(|option| option.starts_with("no-new-privileges"));
        if self.no_new_privileges && !says(host) {
            host.security_opt.push("no-new-privileges".to_owned());
        }
        if host.dns_search.is_empty() {
            host.dns_search.extend(self.dns_search.iter().cloned());
        }
        if host.dns_options.is_empty() {
            host.dns_options.extend(self.dns_options.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_says_comes_first() {
        let defaults = DaemonDefaults {
            log_driver: "local".into(),
            log_options: BTreeMap::from([("max-size".into(), "1m".into())]),
            no_new_privileges: true,
            ..DaemonDefaults::default()
        };
        let mut open = HostConfig::default();
        defaults.apply(&mut open);
        assert_eq!(open.log_config.driver, "local");
        assert_eq!(open.log_config.config["max-size"], "1m");
        assert_eq!(open.security_opt.to_vec(), ["no-new-privileges"]);
        let mut own = HostConfig::default();
        own.log_config.driver = "none".into();
        own.security_opt.push("no-new-privileges=false".into());
        defaults.apply(&mut own);
        assert!(own.log_config.config.is_empty() && own.security_opt.len() == 1);
    }
}
