//! Networks: addresses, the way to the host, to the outside, and in by published ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use wharf_testkit::namespace::Neighbour;
use wharf_testkit::{TempEngine, foreign, wait};

const SERVER: [&str; 5] = ["busybox:test", "httpd", "-f", "-h", "/var/www"];

/// The host port under which the container's port 80 is published.
pub fn published(engine: &TempEngine, container: &str) -> u16 {
    let inspected = engine.get(&format!("/containers/{container}/json"));
    let port = &inspected["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"];
    port.as_str().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {inspected}"))
}

fn fetch(address: &str, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((address, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks a server inside a container for its page until it is up.
pub fn fetch_until_there(address: &str, port: u16) {
    wait::until(&format!("{address}:{port} answers"), || {
        fetch(address, port).ok().filter(|answer| answer.contains("hello from inside"))
    });
}

#[test]
fn an_address_of_the_subnet_and_the_gateway() {
    let engine = TempEngine::start();
    let gateway = engine.subnet().address(1).to_string();
    let output = engine.cli(&["run", "--rm", "busybox:test", "sh", "-c", "ip -o -4 addr show eth0; ip route"]).ok();
    let network = gateway.strip_suffix(".1").unwrap();
    assert!(output.stdout.contains(&format!("inet {network}.")), "{}", output.stdout);
    assert!(output.stdout.contains(&format!("default via {gateway} dev eth0")), "{}", output.stdout);
    engine.cli(&["run", "--rm", "busybox:test", "ping", "-c", "1", "-W", "5", &gateway]).ok();
    engine.finish();
}

#[test]
fn none_has_loopback_only_and_host_has_everything() {
    let engine = TempEngine::start();
    let links = |network| {
        engine.cli(&["run", "--rm", "--network", network, "busybox:test", "ls", "/sys/class/net"]).ok().stdout
    };
    assert_eq!(links("none"), "lo\n");
    let mut host: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name == "lo" || name == "eth0")
        .collect();
    host.sort();
    let inside = links("host");
    assert!(host.iter().all(|name| inside.lines().any(|line| line == name)), "{inside}");
    engine.cli(&["run", "--rm", "--network", "none", "busybox:test", "ping", "-c", "1", "-W", "5", "127.0.0.1"]).ok();
    engine.finish();
}

#[test]
fn a_container_reaches_a_server_on_the_host() {
    let engine = TempEngine::start();
    let listener = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let url = format!("http://{}:{}/", engine.subnet().address(1), listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        // What is not read when a socket is closed makes a reset of the close.
        let request = BufReader::new(stream.try_clone().unwrap()).lines();
        request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom the host\n").unwrap();
        peer
    });
    let output = engine.cli(&["run", "--rm", "busybox:test", "wget", "-q", "-O", "-", &url]).ok();
    assert_eq!(output.stdout, "from the host\n");
    let network = engine.subnet().address(0).to_string();
    assert!(server.join().unwrap().ip().to_string().starts_with(network.strip_suffix('0').unwrap()));
    engine.finish();
}

#[test]
fn containers_reach_each_other() {
    let engine = TempEngine::start();
    engine.cli(&[&["run", "-d", "--name", "web"], &SERVER[..]].concat()).ok();
    let address = engine.get("/containers/web/json")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].clone();
    let url = format!("http://{}/index.html", address.as_str().unwrap());
    fetch_until_there(address.as_str().unwrap(), 80);
    let output = engine.cli(&["run", "--rm", "busybox:test", "wget", "-q", "-O", "-", &url]).ok();
    assert_eq!(output.stdout, "hello from inside\n");
    engine.finish();
}

#[test]
fn a_published_port_answers_on_the_host() {
    let engine = TempEngine::start();
    engine.cli(&[&["run", "-d", "--name", "web", "-p", "80"], &SERVER[..]].concat()).ok();
    let port = published(&engine, "web");
    fetch_until_there("127.0.0.1", port);
    fetch_until_there(&engine.subnet().address(1).to_string(), port);
    let shown = engine.cli(&["port", "web", "80"]).ok();
    assert!(shown.stdout.contains(&format!("0.0.0.0:{port}")), "{}", shown.stdout);
    engine.cli(&["rm", "-f", "web"]).ok();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is still open");
    engine.finish();
}

#[test]
fn a_published_port_answers_to_another_machine() {
    if foreign::need("ip").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let neighbour = Neighbour::new();
    engine.cli(&[&["run", "-d", "--name", "web", "-p", "80"], &SERVER[..]].concat()).ok();
    let url = format!("http://{}:{}/index.html", neighbour.host(), published(&engine, "web"));
    let busybox = wharf_testkit::golden::busybox_path().to_str().unwrap();
    wait::until("the page is served to the neighbour", || {
        let output = neighbour.run("timeout", &["5", busybox, "wget", "-q", "-O", "-", &url]);
        (output.stdout == b"hello from inside\n").then_some(())
    });
    engine.finish();
}

#[test]
fn a_port_of_127_0_0_1_is_closed_to_others() {
    if foreign::need("ip").is_none() {
        return;
    }
    let engine = TempEngine::start();
    let neighbour = Neighbour::new();
    engine.cli(&[&["run", "-d", "--name", "web", "-p", "127.0.0.1::80"], &SERVER[..]].concat()).ok();
    let port = published(&engine, "web");
    fetch_until_there("127.0.0.1", port);
    let url = format!("http://{}:{port}/index.html", neighbour.host());
    let busybox = wharf_testkit::golden::busybox_path().to_str().unwrap();
    assert!(!neighbour.run("timeout", &["3", busybox, "wget", "-q", "-O", "-", &url]).status.success());
    engine.finish();
}

#[test]
fn elements_of_the_packet_filter_go_with_the_container() {
    let engine = TempEngine::start();
    let own = format!("wharf-{}", engine.id());
    let table = || wharf_testkit::nft::tables().unwrap().into_iter().find(|table| *table == own);
    let sizes = || table().map(|table| wharf_testkit::nft::set_sizes(&table).unwrap());
    engine.cli(&["run", "--rm", "busybox:test", "true"]).ok();
    let before = sizes();
    engine.cli(&[&["run", "-d", "--name", "web", "-p", "80"], &SERVER[..]].concat()).ok();
    fetch_until_there("127.0.0.1", published(&engine, "web"));
    engine.cli(&["rm", "-f", "web"]).ok();
    assert_eq!(sizes(), before);
    engine.finish();
}

#[test]
fn a_shared_network_of_another_container() {
    let engine = TempEngine::start();
    engine.cli(&[&["run", "-d", "--name", "web"], &SERVER[..]].concat()).ok();
    let arguments = ["run", "--rm", "--network", "container:web", "busybox:test"];
    let script = "until wget -q -O - http://127.0.0.1/index.html; do sleep 0.1; done";
    let output = engine.cli(&[&arguments[..], &["sh", "-c", script]].concat()).ok();
    assert_eq!(output.stdout, "hello from inside\n");
    engine.finish();
}
