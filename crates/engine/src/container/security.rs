//! `--security-opt`.

use wharf_api::container::HostConfig;
use wharf_runtime::spec::Seccomp;
use wharf_types::{Error, Result};

/// What the security options come to.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// The system call filter.
    pub seccomp: Seccomp,
    /// No new privileges through set-user-id programs.
    pub no_new_privileges: bool,
    /// AppArmor profile, where one was named.
    pub apparmor: Option<String>,
    /// SELinux label of the processes, where one was put together.
    pub selinux: Option<String>,
    /// Nothing is masked or read-only (`systempaths=unconfined`, privileged).
    pub unmasked: bool,
}

impl Security {
    /// Reads the options; a privileged container has no filter and no masks unless it asks for a filter.
    ///
    /// # Errors
    /// `InvalidParameter` for an option that is unknown.
    pub fn of(host: &HostConfig) -> Result<Self> {
        let mut security = Self { unmasked: host.privileged, ..Self::default() };
        if host.privileged {
            security.seccomp = Seccomp::Unconfined;
        }
        for option in &host.security_opt {
            security.apply(option)?;
        }
        Ok(security)
    }

    fn apply(&mut self, option: &str) -> Result<()> {
        let invalid = || Error::invalid(format!("invalid --security-opt 2: {option:?}"));
        // A colon was the separator once; a seccomp profile contains colons but always follows `seccomp=`.
        let (name, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some(pair) => pair,
            None if option == "no-new-privileges" => (option, ""),
            None => return Err(Error::invalid(format!("invalid --security-opt 1: {option:?}"))),
        };
        match (name, value) {
            ("no-new-privileges", "" | "true") => self.no_new_privileges = true,
            ("no-new-privileges", "false") => self.no_new_privileges = false,
            ("seccomp", "unconfined") => self.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => self.seccomp = Seccomp::Default,
            ("seccomp", profile) if !profile.is_empty() => self.seccomp = Seccomp::Profile(profile.to_owned()),
            ("apparmor", profile) if !profile.is_empty() => {
                self.apparmor = (profile != "unconfined").then(|| profile.to_owned());
            }
            ("systempaths", "unconfined") => self.unmasked = true,
            // Without SELinux in force labels have no meaning; Docker accepts them then, too.
            ("label", value) if !value.is_empty() => {}
            _ => return Err(invalid()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Result<Security> {
        let security_opt = options.iter().map(|option| (*option).to_owned()).collect();
        Security::of(&HostConfig { security_opt, ..HostConfig::default() })
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        assert!(of(&["no-new-privileges"]).unwrap().no_new_privileges);
        assert!(matches!(of(&["seccomp=unconfined"]).unwrap().seccomp, Seccomp::Unconfined));
        assert!(matches!(of(&["seccomp:unconfined"]).unwrap().seccomp, Seccomp::Unconfined));
        assert!(of(&["systempaths=unconfined"]).unwrap().unmasked);
        assert!(of(&["nonsense=1"]).is_err() && of(&["seccomp="]).is_err());
    }
}
