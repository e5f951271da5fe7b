use std::fs;

use wharf_runtime::spec::Namespace;

use super::harness::Fixture;

const KINDS: [&str; 6] = ["pid", "mnt", "ipc", "uts", "net", "cgroup"];

fn own(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_namespace_is_its_own() {
    let output = Fixture::new("for n in pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; done").output();
    for (kind, inside) in KINDS.iter().zip(output.lines()) {
        assert_ne!(inside, own(kind));
        assert!(inside.starts_with(&format!("{kind}:")));
    }
    assert_eq!(output.lines().count(), KINDS.len());
}

#[test]
fn the_hosts_namespaces_are_shared_on_demand() {
    let mut fixture = Fixture::new("for n in pid ipc uts net cgroup; do readlink /proc/self/ns/$n; done");
    let spaces = &mut fixture.spec.namespaces;
    for space in [&mut spaces.pid, &mut spaces.ipc, &mut spaces.uts, &mut spaces.network, &mut spaces.cgroup] {
        *space = Namespace::Host;
    }
    let expected: Vec<String> = ["pid", "ipc", "uts", "net", "cgroup"].map(own).to_vec();
    assert_eq!(fixture.output().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn another_containers_namespaces_are_joined_by_path() {
    let first = Fixture::new("echo up; sleep 60");
    let (running, _reader) = first.start().unwrap();
    let mut second = Fixture::new("for n in pid ipc uts net; do readlink /proc/self/ns/$n; done; hostname; echo $$");
    let path = |kind: &str| Namespace::Path(format!("/proc/{}/ns/{kind}", running.0.child.pid()).into());
    let spaces = &mut second.spec.namespaces;
    (spaces.pid, spaces.ipc, spaces.uts, spaces.network) = (path("pid"), path("ipc"), path("uts"), path("net"));
    second.spec.hostname = "ignored".to_owned();
    let output = second.output();
    let lines: Vec<&str> = output.lines().collect();
    for (kind, inside) in ["pid", "ipc", "uts", "net"].iter().zip(&lines) {
        let theirs = fs::read_link(format!("/proc/{}/ns/{kind}", running.0.child.pid())).unwrap();
        assert_eq!(theirs.to_string_lossy(), *inside);
    }
    assert_eq!(lines[4], "inside");
    assert_ne!(lines[5], "1");
}

#[test]
fn process_1_with_host_name_and_loopback() {
    let mut fixture =
        Fixture::new("echo $$; hostname; cat /proc/sys/kernel/domainname; ip -o addr show lo | grep -c 127.0.0.1");
    fixture.spec.domainname = Some("example".to_owned());
    assert_eq!(fixture.output(), "1\ninside\nexample\n1\n");
}

#[test]
fn kernel_parameters_are_set_inside_only() {
    let before = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    let mut fixture = Fixture::new("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_default_ttl");
    fixture.spec.sysctls.insert("kernel.msgmax".to_owned(), "12345".to_owned());
    fixture.spec.sysctls.insert("net.ipv4.ip_default_ttl".to_owned(), "33".to_owned());
    assert_eq!(fixture.output(), "12345\n33\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}
