//! Networks that people make: several of them, several in one container, connecting and disconnecting.

use serde_json::Value;
use wharf_testkit::subnet::Subnet;
use wharf_testkit::{TempEngine, foreign, wait};

/// A container that does nothing for as long as it is needed.
const IDLE: [&str; 3] = ["busybox:test", "sleep", "1000"];

/// Makes a network with a subnet that no other test has.
pub fn network(engine: &TempEngine, name: &str, arguments: &[&str]) -> Subnet {
    let subnet = Subnet::take();
    let cidr = subnet.cidr();
    engine.cli(&[&["network", "create", "--subnet", &cidr], arguments, &[name]].concat()).ok();
    subnet
}

pub fn idle(engine: &TempEngine, arguments: &[&str]) {
    engine.cli(&[&["run", "-d", "--init"], arguments, &IDLE[..]].concat()).ok();
}

/// What a container has on a network.
pub fn endpoint(engine: &TempEngine, container: &str, network: &str) -> Value {
    engine.get(&format!("/containers/{container}/json"))["NetworkSettings"]["Networks"][network].clone()
}

pub fn address(engine: &TempEngine, container: &str, network: &str) -> String {
    endpoint(engine, container, network)["IPAddress"].as_str().unwrap_or_default().to_owned()
}

pub fn reaches(engine: &TempEngine, from: &str, address: &str) -> bool {
    engine.cli(&["exec", from, "ping", "-c", "1", "-W", "1", address]).code == 0
}

pub fn inside(engine: &TempEngine, container: &str, script: &str) -> String {
    engine.cli(&["exec", container, "sh", "-c", script]).ok().stdout
}

#[test]
fn two_networks_are_apart_and_a_container_can_be_on_both() {
    let engine = TempEngine::start();
    let (a, b) = (network(&engine, "a", &["--label", "x=y"]), network(&engine, "b", &[]));
    idle(&engine, &["--name", "in-a", "--network", "a"]);
    idle(&engine, &["--name", "in-b", "--network", "b"]);
    idle(&engine, &["--name", "both", "--network", "a", "--network", &format!("name=b,ip={},alias=bee", b.address(9))]);
    let (in_a, in_b) = (address(&engine, "in-a", "a"), address(&engine, "in-b", "b"));
    assert_eq!(address(&engine, "both", "b"), b.address(9).to_string());
    assert!(reaches(&engine, "both", &in_a) && reaches(&engine, "both", &in_b));
    assert!(reaches(&engine, "in-a", &address(&engine, "both", "a")));
    assert!(!reaches(&engine, "in-a", &in_b) && !reaches(&engine, "in-b", &in_a));
    let routes = inside(&engine, "both", "ip route");
    assert!(routes.contains(&format!("default via {} dev eth0", a.address(1))), "{routes}");
    let shown = engine.get("/networks/a");
    assert_eq!(shown["Containers"].as_object().map(serde_json::Map::len), Some(2), "{shown}");
    assert_eq!(shown["IPAM"]["Config"][0]["Subnet"], a.cidr());
    let refused = engine.cli(&["network", "rm", "a"]).exits(1).stderr;
    assert!(refused.contains("network a id ") && refused.contains("has active endpoints"), "{refused}");
    engine.cli(&["rm", "-f", "-t", "0", "in-a", "in-b", "both"]);
    engine.cli(&["rm", "-f", "in-a", "in-b", "both"]).ok();
    assert_eq!(engine.cli(&["network", "rm", "a", "b"]).ok().stdout, "a\nb\n");
    engine.finish();
}

#[test]
fn a_running_container_comes_to_networks_and_leaves_them() {
    let mut engine = TempEngine::start();
    let (a, b) = (network(&engine, "a", &[]), network(&engine, "b", &[]));
    idle(&engine, &["--name", "peer", "--network", "b"]);
    idle(&engine, &["--name", "box", "--network", "a"]);
    let peer = address(&engine, "peer", "b");
    let own = b.address(77).to_string();
    engine.cli(&["network", "connect", "--ip", &own, "--alias", "bx", "b", "box"]).ok();
    assert!(reaches(&engine, "box", &peer));
    assert!(inside(&engine, "box", "ip -4 address show eth1").contains(&format!("{own}/24")));
    assert!(inside(&engine, "box", "cat /etc/hosts").contains(&own));
    assert_eq!(endpoint(&engine, "box", "b")["Aliases"][0], "bx");
    // What was made survives the engine, and the next one can take it back.
    engine.kill9();
    engine.restart();
    assert_eq!(address(&engine, "box", "b"), own);
    assert!(reaches(&engine, "box", &peer));
    engine.cli(&["network", "disconnect", "b", "box"]).ok();
    assert!(!reaches(&engine, "box", &peer));
    assert!(!inside(&engine, "box", "cat /etc/hosts").contains(&own));
    assert_eq!(endpoint(&engine, "box", "b"), Value::Null);
    let routes = inside(&engine, "box", "ip route");
    assert!(routes.contains(&format!("default via {} dev eth0", a.address(1))), "{routes}");
    // The address is free again.
    engine.cli(&["run", "--rm", "--network", "b", "--ip", &own, "busybox:test", "true"]).ok();
    engine.finish();
}

#[test]
fn a_stopped_container_keeps_what_it_was_told() {
    let engine = TempEngine::start();
    let (a, b) = (network(&engine, "a", &[]), network(&engine, "b", &[]));
    let fixed = a.address(50).to_string();
    let create = ["create", "--name", "box", "--network", "a", "--ip", &fixed, "--mac-address", "02:00:00:00:00:07"];
    engine.cli(&[&create[..], &IDLE[..]].concat()).ok();
    engine.cli(&["network", "connect", "--gw-priority", "9", "b", "box"]).ok();
    for _ in 0..2 {
        engine.cli(&["start", "box"]).ok();
        assert_eq!(address(&engine, "box", "a"), fixed);
        assert_eq!(endpoint(&engine, "box", "a")["MacAddress"], "02:00:00:00:00:07");
        let routes = inside(&engine, "box", "ip route");
        assert!(routes.contains(&format!("default via {} dev eth1", b.address(1))), "{routes}");
        engine.cli(&["kill", "box"]).ok();
    }
    engine.cli(&["network", "disconnect", "b", "box"]).ok();
    engine.cli(&["start", "box"]).ok();
    let routes = inside(&engine, "box", "ip route");
    assert!(routes.contains(&format!("default via {} dev eth0", a.address(1))), "{routes}");
    engine.finish();
}

#[test]
fn the_default_route_follows_the_priority_while_running() {
    let engine = TempEngine::start();
    let (a, b) = (network(&engine, "a", &[]), network(&engine, "b", &[]));
    let inner = network(&engine, "c", &["--internal"]);
    idle(&engine, &["--name", "box", "--network", "name=b"]);
    let default = || {
        let routes = inside(&engine, "box", "ip route | grep default || true");
        routes.split_whitespace().nth(2).map(str::to_owned)
    };
    assert_eq!(default(), Some(b.address(1).to_string()));
    // Among equals the first name wins, as with Docker; an internal network never does.
    engine.cli(&["network", "connect", "a", "box"]).ok();
    assert_eq!(default(), Some(a.address(1).to_string()));
    engine.cli(&["network", "connect", "--gw-priority", "5", "c", "box"]).ok();
    assert_eq!(default(), Some(a.address(1).to_string()));
    assert_eq!(endpoint(&engine, "box", "c")["Gateway"], inner.address(1).to_string());
    engine.cli(&["network", "disconnect", "a", "box"]).ok();
    assert_eq!(default(), Some(b.address(1).to_string()));
    engine.cli(&["network", "disconnect", "b", "box"]).ok();
    assert_eq!(default(), None);
    engine.finish();
}

#[test]
fn bridges_that_somebody_deletes_come_back() {
    if foreign::need("ip").is_none() {
        return;
    }
    let mut engine = TempEngine::start();
    let subnet = network(&engine, "a", &[]);
    idle(&engine, &["--name", "box", "--network", "a"]);
    let gateway = subnet.address(1).to_string();
    assert!(reaches(&engine, "box", &gateway));
    let bridge = format!("wh{}{}", &engine.id()[..4], &engine.get("/networks/a")["Id"].as_str().unwrap()[..8]);
    let delete = || std::process::Command::new("ip").args(["link", "delete", &bridge]).status().unwrap();
    // By the next container that needs it.
    assert!(delete().success());
    engine.cli(&["run", "--rm", "--network", "a", "busybox:test", "ping", "-c", "1", "-W", "5", &gateway]).ok();
    assert!(reaches(&engine, "box", &gateway), "the old container is not back on the bridge");
    // By the next engine.
    engine.kill9();
    assert!(delete().success());
    engine.restart();
    assert!(reaches(&engine, "box", &gateway));
    engine.finish();
}

#[test]
fn networks_outlast_the_engine_and_leave_no_bridge_behind() {
    let mut engine = TempEngine::start();
    let bridge = format!("wt-{}", &engine.id()[..8]);
    let subnet = network(&engine, "a", &["-o", &format!("com.docker.network.bridge.name={bridge}")]);
    let links = || std::path::Path::new("/sys/class/net").join(&bridge).exists();
    assert!(links());
    let before = engine.get("/networks/a");
    engine.stop();
    assert!(!links(), "nothing runs, and a bridge is left");
    engine.restart();
    wait::until("the bridge is there again", || links().then_some(()));
    assert_eq!(engine.get("/networks/a"), before);
    idle(&engine, &["--name", "box", "--network", "a", "--ip", &subnet.address(9).to_string()]);
    engine.cli(&["rm", "-f", "box"]).ok();
    engine.cli(&["network", "rm", "a"]).ok();
    assert!(!links());
    engine.finish();
}

#[test]
fn events_tell_of_networks() {
    let engine = TempEngine::start();
    network(&engine, "a", &[]);
    network(&engine, "b", &[]);
    idle(&engine, &["--name", "box", "--network", "a"]);
    engine.cli(&["network", "connect", "b", "box"]).ok();
    engine.cli(&["network", "disconnect", "b", "box"]).ok();
    engine.cli(&["rm", "-f", "box"]).ok();
    engine.cli(&["network", "prune", "-f"]).ok();
    let arguments = ["events", "--since", "10m", "--until", "0s", "--filter", "type=network"];
    let kinds = ["create", "connect", "disconnect", "destroy"].map(|kind| format!("--filter=event={kind}"));
    let format = ["--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}"];
    let told = engine.cli(&[&arguments[..], &kinds.each_ref().map(String::as_str), &format[..]].concat()).ok().stdout;
    let told: Vec<&str> = told.lines().collect();
    let expected = [
        "create a bridge",
        "create b bridge",
        "connect a bridge",
        "connect b bridge",
        "disconnect b bridge",
        "disconnect a bridge",
        "destroy a bridge",
        "destroy b bridge",
    ];
    assert_eq!(told, expected);
    engine.finish();
}

#[test]
fn lists_and_prunes_are_filtered() {
    let engine = TempEngine::start();
    network(&engine, "one", &["--label", "keep"]);
    network(&engine, "two", &[]);
    idle(&engine, &["--name", "box", "--network", "two"]);
    let names = |filter: &str| {
        let arguments = ["network", "ls", "--format", "{{.Name}}", "--filter", filter];
        engine.cli(&arguments).ok().stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let id = engine.get("/networks/one")["Id"].as_str().unwrap()[..20].to_owned();
    assert_eq!(names("type=builtin"), ["bridge", "host", "none"]);
    assert_eq!(names("type=custom"), ["one", "two"]);
    assert_eq!(names("dangling=true"), ["one"]);
    assert_eq!(names("label=keep"), ["one"]);
    assert_eq!(names("name=tw"), ["two"]);
    assert_eq!(names(&format!("id={id}")), ["one"]);
    assert_eq!(names("driver=bridge"), ["bridge", "one", "two"]);
    assert_eq!(names("scope=local").len(), 5);
    assert_eq!(names("scope=swarm").len(), 0);
    let pruned = engine.cli(&["network", "prune", "-f", "--filter", "label!=keep"]).ok().stdout;
    assert_eq!(pruned, "");
    assert_eq!(engine.cli(&["network", "prune", "-f"]).ok().stdout, "Deleted Networks:\none\n\n");
    assert_eq!(names("type=custom"), ["two"]);
    engine.finish();
}

#[test]
fn dockers_own_command_line_does_it_all() {
    if foreign::need("docker").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let docker = |arguments: &[&str]| engine.docker(arguments).unwrap();
    let (tn, un) = (Subnet::take(), Subnet::take());
    let range = format!("{}/25", tn.address(128));
    let (gateway, aux) = (tn.address(5).to_string(), format!("router={}", tn.address(130)));
    let create = ["network", "create", "--subnet", &tn.cidr(), "--ip-range", &range, "--gateway", &gateway];
    docker(&[&create[..], &["--aux-address", &aux, "--label", "a=b", "tn"]].concat()).ok();
    docker(&["network", "create", "-d", "bridge", "--subnet", &un.cidr(), "un"]).ok();
    let shown = docker(&["network", "inspect", "-f", "{{json .IPAM.Config}}", "tn"]).ok().stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown[0]["IPRange"], &shown[0]["Gateway"]), (&range.into(), &gateway.clone().into()));
    docker(&["run", "-d", "--name", "t4", "--network", "tn", "--network-alias", "z", "busybox:test", "sleep", "1000"])
        .ok();
    assert!(address(&engine, "t4", "tn").ends_with(".128"), "{}", address(&engine, "t4", "tn"));
    assert_eq!(endpoint(&engine, "t4", "tn")["Gateway"], gateway);
    docker(&["network", "connect", "--alias", "al", "--ip", &un.address(9).to_string(), "un", "t4"]).ok();
    assert_eq!(address(&engine, "t4", "un"), un.address(9).to_string());
    docker(&["network", "disconnect", "un", "t4"]).ok();
    let refused = docker(&["network", "connect", "tn", "t4"]).exits(1).stderr;
    assert!(refused.contains("endpoint with name t4 already exists in network tn"), "{refused}");
    docker(&["rm", "-f", "t4"]).ok();
    docker(&["network", "rm", "tn"]).ok();
    let listed = docker(&["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]).ok().stdout;
    assert_eq!(listed, "un\n");
    assert!(docker(&["network", "prune", "-f"]).ok().stdout.contains("un"));
    engine.finish();
}
