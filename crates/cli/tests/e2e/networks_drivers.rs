//! What networks can be: drivers, IPv6, options.

use std::process::Command;

use wharf_testkit::subnet::Subnet;
use wharf_testkit::{TempEngine, foreign};

use super::networks::{address, endpoint, idle, inside, network, reaches};

/// A pair of interfaces on the host, gone with this value, and the subnet that gives it a name of its own.
struct Pair(String, #[expect(dead_code, reason = "held, not read")] Subnet);

impl Pair {
    fn new() -> Self {
        let subnet = Subnet::take();
        let [_, b, c, _] = subnet.address(0).octets();
        let pair = Self(format!("wp{b:02x}{c:02x}"), subnet);
        let peer = format!("{}p", pair.0);
        ip(&["link", "add", &pair.0, "type", "veth", "peer", "name", &peer]);
        ip(&["link", "set", &pair.0, "up"]);
        ip(&["link", "set", &peer, "up"]);
        pair
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

fn exists(link: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(link).exists()
}

#[test]
fn macvlan_over_an_interface_of_the_host() {
    if foreign::need("ip").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let pair = Pair::new();
    let parent = format!("parent={}", pair.0);
    for mode in ["bridge", "private", "vepa", "passthru"] {
        let mode_option = format!("macvlan_mode={mode}");
        network(&engine, "m", &["-d", "macvlan", "-o", &parent, "-o", &mode_option]);
        idle(&engine, &["--name", "one", "--network", "m"]);
        let links = inside(&engine, "one", "ip -o link show eth0");
        assert!(links.contains("UP") && links.contains("eth0@if"), "{links}");
        let second = engine.cli(&["run", "-d", "--name", "two", "--network", "m", "busybox:test", "sleep", "1000"]);
        if mode == "passthru" {
            assert!(second.code == 125 && second.stderr.contains("cannot carry another macvlan"), "{}", second.stderr);
        } else {
            assert_eq!(reaches(&engine, "one", &address(&engine, "two", "m")), mode == "bridge", "{mode}");
        }
        engine.cli(&["rm", "-f", "one", "two"]).ok();
        engine.cli(&["network", "rm", "m"]).ok();
    }
    assert!(exists(&pair.0));
    engine.finish();
}

#[test]
fn macvlan_on_a_vlan_and_without_a_parent() {
    if foreign::need("ip").is_none() {
        return;
    }
    let mut engine = TempEngine::start();
    let pair = Pair::new();
    let vlan = format!("{}.42", pair.0);
    let parent = format!("parent={vlan}");
    let made =
        engine.cli(&["network", "create", "-d", "macvlan", "--subnet", &Subnet::take().cidr(), "-o", &parent, "v"]);
    if made.code == 0 {
        assert!(exists(&vlan));
        engine.stop();
        engine.restart();
        idle(&engine, &["--name", "tagged", "--network", "v"]);
        engine.cli(&["rm", "-f", "tagged"]).ok();
        engine.cli(&["network", "rm", "v"]).ok();
    } else {
        assert!(made.stderr.contains("the kernel of this host has no VLANs"), "{}", made.stderr);
        println!("skipped in part: the kernel has no VLANs");
    }
    assert!(!exists(&vlan) && exists(&pair.0));
    network(&engine, "alone", &["-d", "macvlan"]);
    idle(&engine, &["--name", "one", "--network", "alone"]);
    idle(&engine, &["--name", "two"]);
    engine.cli(&["network", "connect", "alone", "two"]).ok();
    assert!(reaches(&engine, "two", &address(&engine, "one", "alone")));
    engine.cli(&["network", "disconnect", "alone", "two"]).ok();
    assert_eq!(inside(&engine, "two", "ls /sys/class/net"), "eth0\nlo\n");
    engine.finish();
}

#[test]
fn ipvlan_where_the_kernel_has_it() {
    if foreign::need("ip").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let pair = Pair::new();
    let parent = format!("parent={}", pair.0);
    let cidr = Subnet::take().cidr();
    let create = ["network", "create", "-d", "ipvlan", "--subnet", &cidr, "-o", &parent];
    let made = engine.cli(&[&create[..], &["probe"]].concat());
    if made.code != 0 {
        assert!(made.stderr.contains("the kernel of this host has no ipvlan interfaces"), "{}", made.stderr);
        assert_eq!(engine.get("/networks").as_array().map(Vec::len), Some(3));
        println!("skipped: the kernel has no ipvlan");
        engine.finish();
        return;
    }
    engine.cli(&["network", "rm", "probe"]).ok();
    for mode in ["l2", "l3", "l3s"] {
        engine.cli(&[&create[..], &["-o", &format!("ipvlan_mode={mode}"), "i"]].concat()).ok();
        idle(&engine, &["--name", "one", "--network", "i"]);
        idle(&engine, &["--name", "two", "--network", "i"]);
        assert!(reaches(&engine, "one", &address(&engine, "two", "i")), "{mode}");
        let routes = inside(&engine, "one", "ip route | grep default || true");
        assert_eq!(routes.contains("via"), mode == "l2", "{mode}: {routes}");
        assert_eq!(endpoint(&engine, "one", "i")["Gateway"] == "", mode != "l2", "{mode}");
        engine.cli(&["rm", "-f", "one", "two"]).ok();
        engine.cli(&["network", "rm", "i"]).ok();
    }
    engine.finish();
}

#[test]
fn ipv6_alone_and_beside_ipv4() {
    let mut engine = TempEngine::start();
    let [_, b, c, _] = Subnet::take().address(0).octets();
    let cidr = format!("fd00:77:{b:x}:{c:x}::/64");
    network(&engine, "dual", &["--ipv6", "--subnet", &cidr]);
    engine.cli(&["network", "create", "--ipv6", "--ipv4=false", "six"]).ok();
    let fixed = format!("fd00:77:{b:x}:{c:x}::99");
    idle(&engine, &["--name", "one", "--network", "dual", "--ip6", &fixed]);
    idle(&engine, &["--name", "two", "--network", "dual"]);
    let own = endpoint(&engine, "one", "dual");
    assert_eq!((own["GlobalIPv6Address"].as_str(), own["GlobalIPv6PrefixLen"].as_u64()), (Some(&fixed[..]), Some(64)));
    assert_eq!(own["IPv6Gateway"], format!("fd00:77:{b:x}:{c:x}::1"));
    assert!(inside(&engine, "two", &format!("ping -6 -c 1 -W 5 {fixed}")).contains("1 packets received"));
    let gateway = own["IPv6Gateway"].as_str().unwrap();
    assert!(inside(&engine, "one", &format!("ping -6 -c 1 -W 5 {gateway}")).contains("1 packets received"));
    // The addresses are there at once, and no router's advertisement is heeded.
    let script = "ip -6 addr show eth0; cat /proc/sys/net/ipv6/conf/eth0/accept_ra; cat /etc/hosts; ip -6 route";
    let shown = inside(&engine, "one", script);
    assert!(!shown.contains("tentative") && shown.contains("\n0\n"), "{shown}");
    assert!(shown.contains(&format!("{fixed}\t")) && shown.contains(&format!("default via {gateway}")), "{shown}");
    idle(&engine, &["--name", "only", "--network", "six"]);
    let only = endpoint(&engine, "only", "six");
    assert_eq!(only["IPAddress"], "");
    assert!(only["GlobalIPv6Address"].as_str().unwrap().starts_with("fd"), "{only}");
    assert!(!inside(&engine, "only", "ip -4 addr show eth0").contains("inet "));
    // A network without IPv6 keeps it away; one with it brings it to a container that had none.
    idle(&engine, &["--name", "late"]);
    assert_eq!(inside(&engine, "late", "ip -6 addr show eth0"), "");
    engine.cli(&["network", "connect", "dual", "late"]).ok();
    assert!(inside(&engine, "late", &format!("ping -6 -c 1 -W 5 {fixed}")).contains("1 packets received"));
    assert_eq!(inside(&engine, "late", "ip -6 addr show eth0"), "");
    engine.kill9();
    engine.restart();
    assert_eq!(endpoint(&engine, "one", "dual")["GlobalIPv6Address"], fixed);
    engine.finish();
}

#[test]
fn internal_networks_and_containers_that_do_not_talk() {
    let engine = TempEngine::start();
    let inner = network(&engine, "inner", &["--internal"]);
    network(&engine, "mute", &["-o", "com.docker.network.bridge.enable_icc=false"]);
    for (name, on) in [("i1", "inner"), ("i2", "inner"), ("m1", "mute"), ("m2", "mute")] {
        idle(&engine, &["--name", name, "--network", on]);
    }
    assert!(reaches(&engine, "i1", &address(&engine, "i2", "inner")));
    assert_eq!(inside(&engine, "i1", "ip route | grep default || true"), "");
    assert_eq!(endpoint(&engine, "i1", "inner")["Gateway"], inner.address(1).to_string());
    assert_eq!(engine.get("/networks/inner")["Internal"], true);
    // Even with a route that somebody adds, nothing leaves.
    engine
        .cli(&["exec", "--privileged", "i1", "ip", "route", "add", "default", "via", &inner.address(1).to_string()])
        .ok();
    assert!(!reaches(&engine, "i1", &address(&engine, "m1", "mute")));
    engine.finish();
}

#[test]
fn options_of_networks_and_endpoints_are_heeded() {
    let engine = TempEngine::start();
    network(&engine, "small", &["-o", "com.docker.network.driver.mtu=1280"]);
    let opts = "name=small,driver-opt=com.docker.network.endpoint.ifname=lan0,\
                \"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1\"";
    idle(&engine, &["--name", "one", "--network", opts, "--link-local-ip", "169.254.7.7"]);
    let shown =
        inside(&engine, "one", "cat /sys/class/net/lan0/mtu /proc/sys/net/ipv4/conf/lan0/log_martians; ip addr");
    assert!(shown.starts_with("1280\n1\n"), "{shown}");
    assert!(shown.contains("169.254.7.7/16"), "{shown}");
    network(&engine, "prefixed", &["-o", "com.docker.network.container_iface_prefix=net"]);
    engine.cli(&["network", "connect", "prefixed", "one"]).ok();
    assert!(inside(&engine, "one", "ls /sys/class/net").contains("net0"));
    let refused = engine.cli(&[
        "network",
        "connect",
        "--driver-opt",
        "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.no_such=1",
        "bridge",
        "one",
    ]);
    assert!(refused.code == 1 && refused.stderr.contains("does not exist"), "{}", refused.stderr);
    assert_eq!(inside(&engine, "one", "ls /sys/class/net").lines().count(), 3);
    let auto = engine.cli(&["network", "create", "auto"]).ok();
    let id = auto.stdout.trim().to_owned();
    let subnet = engine.get(&format!("/networks/{id}"))["IPAM"]["Config"][0]["Subnet"].clone();
    assert!(subnet.as_str().is_some_and(|subnet| subnet.starts_with("172.") || subnet.starts_with("192.168.")));
    engine.finish();
}

#[test]
fn address_pools_are_the_engines_to_set() {
    let subnet = Subnet::take();
    let pool = format!("base={},size=28", subnet.cidr());
    let arguments =
        ["--default-address-pool", &pool, "--mtu", "1300", "--ipv6", "--icc=false"].map(str::to_owned).to_vec();
    let engine = TempEngine::start_with(wharf_testkit::Options { arguments, ..Default::default() });
    for (name, host) in [("a", 0), ("b", 16)] {
        engine.cli(&["network", "create", name]).ok();
        let config = engine.get(&format!("/networks/{name}"))["IPAM"]["Config"][0].clone();
        assert_eq!(config["Subnet"], format!("{}/28", subnet.address(host)));
        assert_eq!(config["Gateway"], subnet.address(host + 1).to_string());
    }
    for name in 2..16 {
        engine.cli(&["network", "create", &format!("n{name}")]).ok();
    }
    let full = engine.cli(&["network", "create", "one-more"]).exits(1).stderr;
    assert!(full.contains("all predefined address pools have been fully subnetted"), "{full}");
    idle(&engine, &["--name", "one"]);
    idle(&engine, &["--name", "two"]);
    assert!(inside(&engine, "one", "cat /sys/class/net/eth0/mtu; ip -6 addr show eth0").starts_with("1300\n"));
    assert_ne!(endpoint(&engine, "one", "bridge")["GlobalIPv6Address"], "");
    engine.finish();
}
