//! Names of containers: who finds whom, by which name, and what happens to all other names.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_testkit::{Output, TempEngine, foreign};

use crate::ports::{inside, inside_of};

const SLEEPER: [&str; 3] = ["busybox:test", "sleep", "1000"];

fn with_network(name: &str) -> TempEngine {
    let engine = TempEngine::start();
    engine.cli(&["network", "create", name]).ok();
    engine
}

fn sleeper(engine: &TempEngine, flags: &[&str]) {
    engine.cli(&[&["run", "-d"], flags, &SLEEPER[..]].concat()).ok();
}

fn address(engine: &TempEngine, container: &str, network: &str) -> String {
    let inspected = engine.get(&format!("/containers/{container}/json"));
    let address = &inspected["NetworkSettings"]["Networks"][network]["IPAddress"];
    address.as_str().unwrap_or_else(|| panic!("no address in {inspected}")).to_owned()
}

/// What busybox's nslookup says about a name, from inside a container.
fn look_up(engine: &TempEngine, from: &str, name: &str) -> Output {
    engine.cli(&["exec", from, "nslookup", name])
}

/// Runs `dig` in a container's network namespace; `None`, loudly, where it is not installed.
fn dig(engine: &TempEngine, container: &str, arguments: &[&str]) -> Option<String> {
    let (nsenter, dig) = (foreign::need("nsenter")?, foreign::need("dig")?);
    let pid = engine.get(&format!("/containers/{container}/json"))["State"]["Pid"].to_string();
    let mut command = std::process::Command::new(nsenter);
    command.args(["--net", "--target", &pid]).arg(dig).args(["@127.0.0.11", "+tries=1", "+time=4"]).args(arguments);
    Some(Output::of(&mut command, b"").ok().stdout)
}

#[test]
fn neighbours_are_found_by_name_alias_id_and_address() {
    let engine = with_network("shop");
    sleeper(&engine, &["--name", "web", "--network", "shop", "--network-alias", "www", "--hostname", "front"]);
    sleeper(&engine, &["--name", "asker", "--network", "shop"]);
    let own = address(&engine, "web", "shop");
    let id = engine.get("/containers/web/json")["Id"].as_str().unwrap()[..12].to_owned();
    for name in ["web", "WWW", "front", "web.shop", &id] {
        let found = look_up(&engine, "asker", name).ok().stdout;
        assert!(found.contains(&own), "{name}: {found}");
    }
    engine.cli(&["exec", "asker", "ping", "-c", "1", "-W", "5", "web"]).ok();
    let back = look_up(&engine, "asker", &own).ok().stdout;
    assert!(back.contains("web.shop"), "{back}");
    let resolv = engine.cli(&["exec", "asker", "cat", "/etc/resolv.conf"]).ok().stdout;
    assert!(resolv.contains("nameserver 127.0.0.11\n") && resolv.contains("ndots:0"), "{resolv}");
    engine.finish();
}

#[test]
fn names_go_with_their_containers_and_change_with_them() {
    let engine = with_network("shop");
    sleeper(&engine, &["--name", "web", "--network", "shop", "--dns", "127.0.0.9"]);
    sleeper(&engine, &["--name", "asker", "--network", "shop", "--dns", "127.0.0.9"]);
    let finds = |name: &str| look_up(&engine, "asker", name).code == 0;
    assert!(finds("web"));
    engine.cli(&["rename", "web", "site"]).ok();
    assert!(finds("site") && !finds("web"));
    engine.cli(&["network", "disconnect", "shop", "site"]).ok();
    assert!(!finds("site"));
    engine.cli(&["network", "connect", "--alias", "again", "shop", "site"]).ok();
    assert!(finds("site") && finds("again"));
    engine.cli(&["kill", "site"]).ok();
    assert!(!finds("site"));
    engine.cli(&["start", "site"]).ok();
    assert!(finds("again"));
    engine.finish();
}

#[test]
fn a_container_that_comes_to_a_network_finds_names_there() {
    let engine = with_network("shop");
    sleeper(&engine, &["--name", "web", "--network", "shop"]);
    sleeper(&engine, &["--name", "asker"]);
    assert_ne!(look_up(&engine, "asker", "web").code, 0, "there are no names on the default network");
    engine.cli(&["network", "connect", "shop", "asker"]).ok();
    look_up(&engine, "asker", "web").ok();
    sleeper(&engine, &["--name", "twin", "--network", "container:asker"]);
    look_up(&engine, "twin", "web").ok();
    engine.finish();
}

#[test]
fn several_containers_share_a_name_and_take_turns() {
    let engine = with_network("shop");
    for name in ["aa", "bb", "cc"] {
        sleeper(&engine, &["--name", name, "--network", "shop", "--network-alias", "app"]);
    }
    let mut all: Vec<String> = ["aa", "bb", "cc"].iter().map(|name| address(&engine, name, "shop")).collect();
    all.sort();
    let mut firsts = Vec::new();
    for _ in 0..3 {
        let Some(answer) = dig(&engine, "aa", &["+short", "app", "A"]) else { return engine.finish() };
        let mut found: Vec<String> = answer.lines().map(str::to_owned).collect();
        firsts.extend(found.first().cloned());
        found.sort();
        assert_eq!(found, all);
    }
    firsts.sort();
    assert_eq!(firsts, all, "everyone is first in turn");
    engine.finish();
}

#[test]
fn dig_understands_every_answer() {
    let engine = with_network("shop");
    engine.cli(&["network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six"]).ok();
    sleeper(&engine, &["--name", "web", "--network", "shop"]);
    sleeper(&engine, &["--name", "two", "--network", "six"]);
    let own = address(&engine, "web", "shop");
    let Some(plain) = dig(&engine, "web", &["web"]) else { return engine.finish() };
    assert!(plain.contains("status: NOERROR") && plain.contains("flags: qr aa rd ra;"), "{plain}");
    let ask = |container: &str, arguments: &[&str]| dig(&engine, container, arguments).unwrap();
    assert_eq!(ask("web", &["+short", "+tcp", "web"]).trim(), own);
    assert_eq!(ask("web", &["+short", "+noedns", "web"]).trim(), own);
    let none = ask("web", &["web", "AAAA"]);
    assert!(none.contains("status: NOERROR") && none.contains("ANSWER: 0"), "{none}");
    assert_eq!(ask("web", &["+short", "-x", &own]).trim(), "web.shop.");
    let six = ask("two", &["+short", "two", "AAAA"]);
    assert!(six.starts_with("fd00:77::"), "{six}");
    assert_eq!(ask("two", &["+short", "-x", six.trim()]).trim(), "two.six.");
    let edns = ask("web", &["+bufsize=4096", "web"]);
    assert!(edns.contains("udp: 1232"), "{edns}");
    engine.finish();
}

#[test]
fn without_an_engine_names_are_answered_and_the_next_one_goes_on() {
    let mut engine = with_network("shop");
    sleeper(&engine, &["--name", "web", "--network", "shop"]);
    let pid = engine.get("/containers/web/json")["State"]["Pid"].to_string();
    let own = address(&engine, "web", "shop");
    let ask = |name: &str| {
        let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
        let query = [&header[..], name.as_bytes(), &[0, 0, 1, 0, 1]].concat();
        inside_of(&pid, || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.send_to(&query, "127.0.0.11:53").unwrap();
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).unwrap();
            let address: [u8; 4] = answer[length - 4..length].try_into().unwrap();
            (answer[7] == 1).then(|| Ipv4Addr::from(address).to_string())
        })
    };
    engine.kill9();
    assert_eq!(ask("web"), Some(own.clone()));
    engine.restart();
    assert_eq!(ask("web"), Some(own));
    sleeper(&engine, &["--name", "late", "--network", "shop"]);
    assert_eq!(ask("late"), Some(address(&engine, "late", "shop")), "an old monitor knows new containers");
    look_up(&engine, "late", "web").ok();
    engine.finish();
}

#[test]
fn other_names_are_asked_for_outside() {
    let engine = with_network("shop");
    sleeper(&engine, &["--name", "web"]);
    let gateway = engine.subnet().address(1);
    let server = UdpSocket::bind((gateway, 53)).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let done = AtomicBool::new(false);
    let serve = || {
        let mut query = [0; 512];
        while !done.load(Ordering::Relaxed) {
            let Ok((length, from)) = server.recv_from(&mut query) else { continue };
            let mut answer = query[..length].to_vec();
            answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            let is_a = answer[length - 4..length - 2] == [0, 1];
            answer[7] = u8::from(is_a);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 77]);
            }
            server.send_to(&answer, from).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(serve);
        let dns = gateway.to_string();
        // The first server is not there.
        let arguments = ["run", "--rm", "--network", "shop", "--dns", "127.0.0.9", "--dns", &dns, "--dns-search"];
        let script = "nslookup outside.example.org && cat /etc/resolv.conf";
        let output = engine.cli(&[&arguments[..], &["corp.example", "busybox:test", "sh", "-c", script]].concat());
        done.store(true, Ordering::Relaxed);
        let output = output.ok().stdout;
        assert!(output.contains("192.0.2.77") && output.contains("search corp.example"), "{output}");
    });
    engine.finish();
}

#[test]
fn an_internal_network_has_names_and_no_others() {
    let engine = TempEngine::start();
    engine.cli(&["network", "create", "--internal", "vault"]).ok();
    sleeper(&engine, &["--name", "safe", "--network", "vault"]);
    sleeper(&engine, &["--name", "asker", "--network", "vault"]);
    look_up(&engine, "asker", "safe").ok();
    let outside = look_up(&engine, "asker", "outside.example.org");
    assert_ne!(outside.code, 0);
    engine.finish();
}

#[test]
fn a_link_is_a_name_for_one_container_alone() {
    let engine = with_network("shop");
    sleeper(&engine, &["--name", "db", "--network", "shop"]);
    sleeper(&engine, &["--name", "app", "--network", "shop", "--link", "db:database"]);
    let own = address(&engine, "db", "shop");
    assert!(look_up(&engine, "app", "database").ok().stdout.contains(&own));
    assert_ne!(look_up(&engine, "db", "database").code, 0);
    engine.finish();
}

#[test]
fn a_container_may_be_a_name_server_itself() {
    let engine = with_network("shop");
    sleeper(&engine, &["--name", "web", "--network", "shop"]);
    let _own = inside(&engine, "web", || {
        let any = Ipv4Addr::UNSPECIFIED;
        (UdpSocket::bind((any, 53)).unwrap(), TcpListener::bind((any, 53)).unwrap())
    });
    look_up(&engine, "web", "web").ok();
    engine.finish();
}
