use wharf_runtime::spec::Seccomp;

use super::harness::Fixture;

const STATUS: &str = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status";
const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

fn status(inheritable: &str, permitted: &str, bounding: &str, no_new: u8, seccomp: u8) -> String {
    format!(
        "CapInh:\t{inheritable}\nCapPrm:\t{permitted}\nCapEff:\t{permitted}\nCapBnd:\t{bounding}\nCapAmb:\t{NONE}\n\
         NoNewPrivs:\t{no_new}\nSeccomp:\t{seccomp}\n"
    )
}

#[test]
fn the_default_capabilities_and_filter() {
    assert_eq!(Fixture::new(STATUS).output(), status(NONE, DEFAULT, DEFAULT, 0, 2));
}

#[test]
fn another_user_has_no_capabilities_at_hand() {
    let mut fixture = Fixture::new(STATUS);
    fixture.spec.process.user = "bob".to_owned();
    fixture.spec.process.no_new_privileges = true;
    assert_eq!(fixture.output(), status(NONE, NONE, DEFAULT, 1, 2));
}

#[test]
fn no_capabilities_and_no_filter() {
    let mut fixture = Fixture::new(STATUS);
    fixture.spec.process.capabilities.clear();
    fixture.spec.process.seccomp = Seccomp::Unconfined;
    assert_eq!(fixture.output(), status(NONE, NONE, NONE, 0, 0));
}

#[test]
fn only_the_standard_descriptors_are_open() {
    // The fourth is that of ls itself.
    assert_eq!(Fixture::new("exec ls /proc/self/fd").output(), "0\n1\n2\n3\n");
}

#[test]
fn forbidden_system_calls_fail() {
    let mut fixture = Fixture::new("mount -t tmpfs none /tmp; echo $?");
    assert_eq!(fixture.output(), "mount: permission denied (are you root?)\n1\n");
    // With all capabilities but the filter for those without CAP_SYS_ADMIN it is the filter that says no.
    fixture.spec.process.seccomp = Seccomp::Unconfined;
    fixture.spec.process.capabilities.push("SYS_ADMIN".to_owned());
    assert_eq!(fixture.output(), "0\n");
}

#[test]
fn a_profile_decides() {
    let mut fixture = Fixture::new("hostname; chmod 700 /tmp; echo $?");
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]}"#;
    fixture.spec.process.seccomp = Seccomp::Profile(profile.to_owned());
    assert_eq!(fixture.output(), "inside\nchmod: /tmp: Disk quota exceeded\n1\n");
}

#[test]
fn limits_umask_and_adjustment() {
    let mut fixture = Fixture::new("ulimit -n; ulimit -c; umask; cat /proc/self/oom_score_adj");
    fixture.spec.process.rlimits.insert("nofile".to_owned(), (100, 200));
    fixture.spec.process.rlimits.insert("core".to_owned(), (0, u64::MAX));
    fixture.spec.process.umask = Some(0o027);
    fixture.spec.process.oom_score_adj = Some(900);
    assert_eq!(fixture.output(), "100\n0\n0027\n900\n");
}

#[test]
fn limits_that_the_host_does_not_allow_are_clamped() {
    let mut fixture = Fixture::new("true");
    fixture.spec.process.oom_score_adj = Some(-1000);
    fixture.spec.process.rlimits.insert("nofile".to_owned(), (u64::MAX >> 40, u64::MAX >> 40));
    assert_eq!(fixture.output(), "");
}

#[test]
fn the_session_key_ring_is_new() {
    let output = Fixture::new("cat /proc/keys | wc -c").output();
    assert_eq!(output, "0\n");
}
