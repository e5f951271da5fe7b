//! What is refused about networks, by which status and in which words: those of dockerd 20.10, where it has a status of
//! its own for it, and of newer ones where it only says 500. Nothing is left behind.

use serde_json::{Value, json};
use wharf_testkit::TempEngine;
use wharf_testkit::subnet::Subnet;

use super::networks::{idle, network};

struct Api<'a>(&'a TempEngine);

impl Api<'_> {
    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let body = body.to_string();
        let answer = self.0.http().request("POST", path, body.as_bytes(), "application/json").unwrap();
        let text = answer.text();
        let message = serde_json::from_str::<Value>(&text).ok();
        let message = message.and_then(|answer| answer["message"].as_str().map(str::to_owned));
        (answer.status, message.unwrap_or(text))
    }

    fn refuses(&self, path: &str, body: &Value, status: u16, words: &str) {
        let (found, message) = self.post(path, body);
        assert!(found == status && message.contains(words), "{path} {body}: {found} {message}");
    }

    fn links(&self) -> Vec<String> {
        let prefix = format!("wh{}", &self.0.id()[..4]);
        let names = std::fs::read_dir("/sys/class/net").unwrap().flatten();
        names.filter_map(|e| e.file_name().into_string().ok()).filter(|name| name.starts_with(&prefix)).collect()
    }
}

fn subnets(configs: &[Value]) -> Value {
    json!({"Name": "c", "IPAM": {"Config": configs}})
}

#[test]
fn creations_that_make_no_sense() {
    let engine = TempEngine::start();
    let api = Api(&engine);
    let (taken, free) = (network(&engine, "a", &[]), Subnet::take());
    let before = (api.links(), engine.get("/networks").as_array().map(Vec::len));
    let within = |a: u8| free.address(a).to_string();
    let with = |key: &str, value: &str| subnets(&[json!({"Subnet": free.cidr(), key: value})]);
    let named = |name: &str| json!({"Name": name});
    let driven = |driver: &str, key: &str, value: &str| json!({"Name": "c", "Driver": driver, "Options": {key: value}});
    let bridge = |key: &str, value: &str| driven("bridge", &format!("com.docker.network.{key}"), value);
    for (body, status, words) in [
        (subnets(&[json!({"Subnet": taken.cidr()})]), 403, "Pool overlaps with other one on this address space"),
        (named("a"), 409, "network with name a already exists"),
        (named("bridge"), 403, "operation is not permitted on predefined bridge network"),
        (named(""), 400, "invalid name"),
        (named("a/b"), 400, "invalid name: a/b"),
        (driven("nope", "a", "b"), 404, "plugin \"nope\" not found"),
        (driven("host", "a", "b"), 403, "only one instance of \"host\" network is allowed"),
        (driven("overlay", "a", "b"), 503, "This node is not a swarm manager."),
        (json!({"Name": "c", "Scope": "swarm"}), 403, "cannot create a swarm scoped network when swarm is not active"),
        (json!({"Name": "c", "Ingress": true}), 403, "Ingress network can only be global scope network"),
        (json!({"Name": "c", "IPAM": {"Driver": "nope"}}), 404, "plugin \"nope\" not found"),
        (json!({"Name": "c", "ConfigFrom": {"Network": "nope"}}), 404, "configuration network \"nope\" does not exist"),
        (json!({"Name": "c", "EnableIPv4": false}), 400, "IPv4 or IPv6 must be enabled"),
        (subnets(&[json!({"Subnet": "10.51.0.0/33"})]), 400, "invalid CIDR address: 10.51.0.0/33"),
        (subnets(&[json!({"Gateway": "10.51.0.1"})]), 400, "Invalid subnet"),
        (subnets(&[json!({"Subnet": "10.51.0.0/24"}), json!({"Subnet": "10.52.0.0/24"})]), 400, "multiple subnets"),
        (subnets(&[json!({"Subnet": "127.0.0.0/8"})]), 409, "overlaps with 127.0.0.0/8 of lo"),
        (
            with("Gateway", "10.52.0.1"),
            400,
            "failed to allocate gateway (10.52.0.1): Requested address is out of range",
        ),
        (with("Gateway", "x"), 400, "invalid gateway address x in Ipam configuration"),
        (with("IPRange", "10.52.0.0/24"), 400, "lies outside the subnet"),
        (
            subnets(&[json!({"Subnet": free.cidr(), "Gateway": within(1), "AuxiliaryAddresses": {"x": within(1)}})]),
            403,
            "failed to allocate secondary ip address (x:",
        ),
        (bridge("driver.mtu", "x"), 400, "failed to parse com.docker.network.driver.mtu value: x"),
        (bridge("driver.mtu", "-1"), 400, "invalid MTU number: -1"),
        (bridge("bridge.enable_icc", "x"), 400, "failed to parse com.docker.network.bridge.enable_icc value: x"),
        (bridge("bridge.name", "a/b"), 400, "invalid bridge name 'a/b'"),
        (bridge("bridge.name", "lo"), 409, "cannot use the interface lo as a bridge: it is not one"),
        (bridge("bridge.host_binding_ipv4", "x"), 400, "host_binding_ipv4 value: x"),
        (driven("macvlan", "parent", "nope"), 400, "the parent interface nope does not exist"),
        (driven("macvlan", "parent", "nope.10"), 400, "the parent interface nope.10 does not exist"),
        (driven("macvlan", "parent", "lo"), 400, "loopback interface is not a valid macvlan parent link"),
        (driven("macvlan", "macvlan_mode", "x"), 400, "requested macvlan mode 'x' is not valid"),
        (driven("ipvlan", "ipvlan_mode", "x"), 400, "requested ipvlan mode 'x' is not valid"),
    ] {
        api.refuses("/networks/create", &body, status, words);
    }
    assert_eq!((api.links(), engine.get("/networks").as_array().map(Vec::len)), before);
    engine.finish();
}

#[test]
fn containers_that_cannot_be_where_they_want() {
    let engine = TempEngine::start();
    let api = Api(&engine);
    let subnet = network(&engine, "a", &[]);
    network(&engine, "b", &[]);
    engine.cli(&["network", "create", "auto"]).ok();
    let taken = subnet.address(77).to_string();
    idle(&engine, &["--name", "c1", "--network", "a", "--ip", &taken]);
    idle(&engine, &["--name", "hosted", "--network", "host"]);
    idle(&engine, &["--name", "lonely", "--network", "none"]);
    idle(&engine, &["--name", "plain"]);
    let connect = |network: &str, container: &str, settings: Value, status: u16, words: &str| {
        let body = json!({"Container": container, "EndpointConfig": settings});
        api.refuses(&format!("/networks/{network}/connect"), &body, status, words);
    };
    let ip = |address: &str| json!({"IPAMConfig": {"IPv4Address": address}});
    let sharing = "container sharing network namespace with another container or host cannot be connected to any other";
    let alone = "container cannot be connected to multiple networks with one of the networks in private (none) mode";
    connect("a", "c1", json!({}), 403, "endpoint with name c1 already exists in network a");
    connect("a", "plain", ip(&taken), 403, "Address already in use");
    connect("a", "plain", ip(&subnet.address(1).to_string()), 403, "Address already in use");
    connect("a", "plain", ip("10.99.0.77"), 400, "It does not belong to any of this network's subnets");
    connect("a", "plain", ip("x"), 400, "invalid IPv4 address: x");
    connect("a", "plain", json!({"MacAddress": "zz"}), 400, "invalid MAC address: zz");
    connect("a", "plain", json!({"IPAMConfig": {"IPv6Address": "fd00::9"}}), 400, "user configured subnets");
    connect("auto", "plain", ip("172.18.0.9"), 400, "only when connecting to networks with user configured subnets");
    connect("bridge", "c1", ip("172.17.0.77"), 400, "user specified IP address is supported on user defined networks");
    connect("bridge", "c1", json!({"Aliases": ["x"]}), 400, "network-scoped alias is supported only for containers in");
    connect("a", "hosted", json!({}), 400, sharing);
    connect("a", "lonely", json!({}), 400, alone);
    connect("none", "c1", json!({}), 400, alone);
    connect("host", "c1", json!({}), 400, "container cannot be disconnected from host network or connected to host");
    connect("nope", "c1", json!({}), 404, "network nope not found");
    connect("a", "nope", json!({}), 404, "No such container: nope");
    let disconnect = |network: &str, container: &str, status: u16, words: &str| {
        api.refuses(&format!("/networks/{network}/disconnect"), &json!({"Container": container}), status, words);
    };
    disconnect("b", "c1", 500, "is not connected to the network b");
    disconnect("host", "hosted", 400, "container cannot be disconnected from host network");
    disconnect("nope", "c1", 404, "network nope not found");
    let forced = json!({"Container": "nope", "Force": true});
    assert_eq!(api.post("/networks/a/disconnect", &forced).0, 200);
    // Nothing of all this has changed anything.
    assert_eq!(engine.get("/networks/a")["Containers"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(super::networks::inside(&engine, "plain", "ls /sys/class/net").lines().count(), 2);
    let run = |arguments: &[&str], words: &str| {
        let output = engine.cli(&[&["run", "--rm"], arguments, &["busybox:test", "true"]].concat()).exits(125);
        assert!(output.stderr.contains(words), "{arguments:?}: {}", output.stderr);
    };
    run(&["--network", "a", "--ip", &taken], "Address already in use");
    run(&["--network", "nope"], "network nope not found");
    run(&["--ip", "10.9.0.9"], "user specified IP address is supported on user defined networks only");
    run(&["--network", "name=a,driver-opt=com.docker.network.endpoint.ifname=a/b"], "invalid interface name 'a/b'");
    assert_eq!(engine.get("/containers/json?all=1").as_array().map(Vec::len), Some(4));
    engine.finish();
}

#[test]
fn a_full_network_is_named_and_serves_again() {
    let engine = TempEngine::start();
    let subnet = Subnet::take();
    let small = format!("{}/30", subnet.address(0));
    engine.cli(&["network", "create", "--subnet", &small, "tiny"]).ok();
    idle(&engine, &["--name", "first", "--network", "tiny"]);
    let full = engine.cli(&["run", "--rm", "--network", "tiny", "busybox:test", "true"]).exits(125).stderr;
    assert!(full.contains("no available IPv4 addresses on this network's address pools: tiny ("), "{full}");
    engine.cli(&["rm", "-f", "first"]).ok();
    engine.cli(&["run", "--rm", "--network", "tiny", "busybox:test", "true"]).ok();
    engine.finish();
}

#[test]
fn removals_of_what_must_stay() {
    let engine = TempEngine::start();
    let delete = |name: &str| {
        let answer = engine.http().delete(&format!("/networks/{name}")).unwrap();
        (answer.status, answer.text())
    };
    let (status, message) = delete("bridge");
    assert!(status == 403 && message.contains("bridge is a pre-defined network and cannot be removed"), "{message}");
    assert_eq!(delete("nope").0, 404);
    engine.cli(&["network", "create", "--config-only", "--subnet", &Subnet::take().cidr(), "conf"]).ok();
    engine.cli(&["network", "create", "--config-from", "conf", "user"]).ok();
    let (status, message) = delete("conf");
    assert!(status == 403 && message.contains("configuration network \\\"conf\\\" is in use"), "{message}");
    let output = engine.cli(&["run", "--rm", "--network", "conf", "busybox:test", "true"]).exits(125);
    assert!(output.stderr.contains("cannot create endpoint on configuration-only network"), "{}", output.stderr);
    engine.cli(&["run", "--rm", "--network", "user", "busybox:test", "true"]).ok();
    engine.cli(&["network", "rm", "user", "conf"]).ok();
    engine.finish();
}
