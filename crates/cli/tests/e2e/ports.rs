//! Published ports in every form, who holds them, and changing them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use wharf_testkit::{TempEngine, wait};

use crate::network::{fetch_until_there, published};

const SERVER: [&str; 5] = ["busybox:test", "httpd", "-f", "-h", "/var/www"];

fn serve(engine: &TempEngine, flags: &[&str]) {
    engine.cli(&[&["run", "-d"], flags, &SERVER[..]].concat()).ok();
}

/// A port of the host that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Refused, or dropped without an answer.
fn refuses(address: &str, port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address.parse().unwrap(), port), Duration::from_secs(2)).is_err()
}

#[test]
fn whoever_holds_a_port_is_named() {
    let engine = TempEngine::start();
    serve(&engine, &["--name", "web", "-p", "127.0.0.1::80"]);
    let port = published(&engine, "web");
    let wanted = format!("127.0.0.1:{port}:80");
    let taken = engine.cli(&["run", "--name", "second", "-p", &wanted, "busybox:test", "true"]);
    assert_eq!(taken.code, 125);
    assert!(
        taken.stderr.contains(&format!("Bind for 127.0.0.1:{port} failed: port is already allocated")),
        "{}",
        taken.stderr
    );
    assert!(taken.stderr.contains(&format!("{port}/tcp is held by container web")), "{}", taken.stderr);
    engine.cli(&["rename", "web", "site"]).ok();
    let taken = engine.cli(&["start", "second"]);
    assert!(taken.stderr.contains("is held by container site"), "{}", taken.stderr);

    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let wanted = format!("{}:80", listener.local_addr().unwrap());
    let taken = engine.cli(&["run", "--rm", "-p", &wanted, "busybox:test", "true"]);
    assert!(taken.stderr.contains(&format!("(process {})", std::process::id())), "{}", taken.stderr);
    engine.finish();
}

#[test]
fn a_network_may_say_where_its_ports_are_published() {
    let engine = TempEngine::start();
    let binding = "com.docker.network.bridge.host_binding_ipv4=127.0.0.1";
    engine.cli(&["network", "create", "-o", binding, "home"]).ok();
    serve(&engine, &["--name", "web", "--network", "home", "-p", "80"]);
    let port = published(&engine, "web");
    fetch_until_there("127.0.0.1", port);
    assert_eq!(engine.cli(&["port", "web"]).ok().stdout, format!("80/tcp -> 127.0.0.1:{port}\n"));
    let network = engine.get("/networks/home");
    assert!(refuses(network["IPAM"]["Config"][0]["Gateway"].as_str().unwrap(), port));
    engine.finish();
}

#[test]
fn ports_come_and_go_while_the_container_runs() {
    let engine = TempEngine::start();
    serve(&engine, &["--name", "web"]);
    let (first, second) = (free_port(), free_port());
    let [one, two] = [first, second].map(|port| format!("127.0.0.1:{port}:80"));
    engine.cli(&["update", "--publish-add", &one, "web"]).ok();
    fetch_until_there("127.0.0.1", first);
    engine.cli(&["update", "--publish-rm", &one, "--publish-add", &two, "web"]).ok();
    fetch_until_there("127.0.0.1", second);
    assert!(refuses("127.0.0.1", first));
    assert_eq!(engine.cli(&["port", "web"]).ok().stdout, format!("80/tcp -> 127.0.0.1:{second}\n"));

    let unknown = engine.cli(&["update", "--publish-rm", &one, "web"]);
    assert!(unknown.code != 0 && unknown.stderr.contains("is not published"), "{}", unknown.stderr);
    let listener = TempEngine::start();
    serve(&listener, &["--name", "other", "-p", &one]);
    let taken = engine.cli(&["update", "--publish-add", &one, "web"]);
    assert!(taken.stderr.contains("port is already allocated"), "{}", taken.stderr);
    listener.finish();
    fetch_until_there("127.0.0.1", second);

    engine.cli(&["restart", "-t", "0", "web"]).ok();
    fetch_until_there("127.0.0.1", second);
    engine.cli(&["kill", "web"]).ok();
    engine.cli(&["update", "--publish-rm", "80", "--publish-add", &one, "web"]).ok();
    engine.cli(&["start", "web"]).ok();
    fetch_until_there("127.0.0.1", first);
    assert!(refuses("127.0.0.1", second));
    engine.finish();
}

#[test]
fn changed_ports_outlive_the_engine() {
    let mut engine = TempEngine::start();
    serve(&engine, &["--name", "web"]);
    let port = free_port();
    engine.cli(&["update", "--publish-add", &format!("127.0.0.1:{port}:80"), "web"]).ok();
    engine.kill9();
    fetch_until_there("127.0.0.1", port);
    engine.restart();
    fetch_until_there("127.0.0.1", port);
    assert_eq!(published(&engine, "web"), port);
    engine.finish();
}

#[test]
fn loopback_of_ipv6_leads_to_a_container_with_ipv4() {
    let engine = TempEngine::start();
    let port = free_port();
    serve(&engine, &["--name", "web", "-p", &format!("[::1]:{port}:80")]);
    fetch_until_there("::1", port);
    // Much in both directions at once, and an end of each of its own.
    let pages: Vec<_> = (0..20).map(|_| std::thread::spawn(move || fetch_until_there("::1", port))).collect();
    pages.into_iter().for_each(|page| page.join().unwrap());
    assert!(refuses("127.0.0.1", port), "only what was asked for");
    let shown = engine.cli(&["port", "web"]).ok().stdout;
    assert_eq!(shown, format!("80/tcp -> [::1]:{port}\n"));
    engine.cli(&["rm", "-f", "web"]).ok();
    assert!(refuses("::1", port));
    engine.finish();
}

#[test]
fn a_relayed_port_carries_much_both_ways() {
    let engine = TempEngine::start();
    let port = free_port();
    let wanted = format!("[::1]:{port}:7");
    engine.cli(&["run", "-d", "-p", &wanted, "busybox:test", "nc", "-ll", "-p", "7", "-e", "cat"]).ok();
    let connected = || {
        let mut stream = TcpStream::connect(("::1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(b"?").ok()?;
        stream.read_exact(&mut [0]).ok().map(|()| stream)
    };
    let mut stream = wait::until("the server is there", connected);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut heard).unwrap();
    });
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
    engine.finish();
}

#[test]
fn a_network_with_both_families_publishes_on_both() {
    let engine = TempEngine::start();
    engine.cli(&["network", "create", "--ipv6", "--subnet", "fd00:88::/64", "both"]).ok();
    engine
        .cli(&[
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "both",
            "-p",
            "80",
            "busybox:test",
            "httpd",
            "-f",
            "-p",
            "[::]:80",
            "-h",
            "/var/www",
        ])
        .ok();
    let inspected = engine.get("/containers/web/json");
    let bindings = inspected["NetworkSettings"]["Ports"]["80/tcp"].as_array().unwrap().clone();
    assert_eq!(
        bindings.iter().map(|binding| binding["HostIp"].clone()).collect::<Vec<_>>(),
        [json!("0.0.0.0"), json!("::")]
    );
    assert_eq!(bindings[0]["HostPort"], bindings[1]["HostPort"]);
    let port = published(&engine, "web");
    fetch_until_there("127.0.0.1", port);
    let gateway = &inspected["NetworkSettings"]["Networks"]["both"]["IPv6Gateway"];
    fetch_until_there(gateway.as_str().unwrap(), port);
    engine.finish();
}

#[test]
fn ranges_are_matched_and_searched() {
    let engine = TempEngine::start();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let first = taken.local_addr().unwrap().port().min(65_000);
    serve(&engine, &["--name", "web", "-p", &format!("127.0.0.1:{first}-{}:80", first + 9)]);
    let port = published(&engine, "web");
    assert!(port > first && port <= first + 9, "{port} is not the free one of {first} and the next nine");
    fetch_until_there("127.0.0.1", port);
    engine.cli(&["create", "--name", "all", "-P", "--expose", "81-83/udp", "busybox:test", "sleep", "9"]).ok();
    engine.cli(&["start", "all"]).ok();
    let ports = engine.get("/containers/all/json")["NetworkSettings"]["Ports"].clone();
    for port in ["81/udp", "82/udp", "83/udp"] {
        assert!(matches!(ports[port][0]["HostPort"], Value::String(_)), "{ports}");
    }
    engine.finish();
}

#[test]
fn datagrams_reach_the_container_and_come_back() {
    let engine = TempEngine::start();
    engine.cli(&["run", "-d", "--name", "echo", "-p", "127.0.0.1::7/udp", "busybox:test", "sleep", "1000"]).ok();
    let inspected = engine.get("/containers/echo/json");
    let port: u16 = inspected["NetworkSettings"]["Ports"]["7/udp"][0]["HostPort"].as_str().unwrap().parse().unwrap();
    let [server, client] = [
        inside(&engine, "echo", || UdpSocket::bind(("0.0.0.0", 7)).unwrap()),
        UdpSocket::bind(("127.0.0.1", 0)).unwrap(),
    ];
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    client.send_to(b"hello", ("127.0.0.1", port)).unwrap();
    let mut heard = [0; 16];
    let (length, from) = server.recv_from(&mut heard).unwrap();
    server.send_to(&heard[..length], from).unwrap();
    assert_eq!(client.recv_from(&mut heard).unwrap(), (5, ([127, 0, 0, 1], port).into()));
    engine.finish();
}

/// Runs `work` in a thread inside a container's network namespace; sockets that it opens stay there.
pub fn inside<T: Send>(engine: &TempEngine, container: &str, work: impl FnOnce() -> T + Send) -> T {
    let pid = engine.get(&format!("/containers/{container}/json"))["State"]["Pid"].to_string();
    inside_of(&pid, work)
}

/// The same for the container of this process.
pub fn inside_of<T: Send>(pid: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let run = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}
