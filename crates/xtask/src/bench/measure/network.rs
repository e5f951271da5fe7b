//! Published ports, traffic, names.
//!
//! Servers and clients are threads of this program inside the containers' network namespaces, so that only the network is
//! measured and not some server.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use wharf_testkit::http::Http;

use super::{Setting, timed};
use crate::bench::engines::{Engine, IMAGE, http};
use crate::bench::report::{Promise, Row};
use crate::command::{quietly, words};

/// Where servers inside containers listen.
const INSIDE: u16 = 80;
/// How long traffic is measured.
const SPAN: Duration = Duration::from_secs(2);
const CHUNK: usize = 128 * 1024;
/// How many ports a container of the crowd publishes.
const PORTS: u16 = 32;

/// All that belongs to networks.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let mut rows = vec![connections(setting)?];
    rows.extend(throughput(setting)?);
    rows.push(crowd(setting)?);
    rows.extend(attachment(setting)?);
    rows.extend(names(setting)?);
    Ok(rows)
}

/// Connections that are opened, answered with a byte and closed.
fn connections(setting: &Setting) -> Result<Row> {
    let mut row =
        Row::new("connections to 127.0.0.1:published, 4 at a time", "a second", Some(Promise::Rate("dockerd", 3.0)));
    for engine in engines(setting) {
        let (mut http, box_) = published(engine)?;
        let server = Server::start(&box_.namespace, answer_with_a_byte)?;
        let mut rates = Vec::new();
        for _ in 0..setting.rounds(5) {
            let before = Instant::now();
            let done: usize = thread::scope(|scope| {
                let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| connect_for(SPAN / 2, box_.port))).collect();
                clients.into_iter().map(|client| client.join().unwrap_or(0)).sum()
            });
            ensure!(done > 0, "{}: no connection succeeded", engine.name());
            rates.push(done as f64 / before.elapsed().as_secs_f64());
        }
        row.add(engine.name(), rates);
        drop(server);
        box_.remove(&mut http)?;
    }
    Ok(row)
}

fn connect_for(span: Duration, port: u16) -> usize {
    let end = Instant::now() + span;
    let mut done = 0;
    while Instant::now() < end {
        let answered = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut stream| {
            let mut byte = [0];
            stream.read_exact(&mut byte)
        });
        done += usize::from(answered.is_ok());
    }
    done
}

fn answer_with_a_byte(mut stream: TcpStream) {
    // A client that is gone already has its reasons.
    let _ = stream.write_all(b"!");
}

/// Bytes from the host to a published port and from container to container, beside a bare pair of interfaces.
fn throughput(setting: &Setting) -> Result<[Row; 2]> {
    let promise = Some(Promise::Rate("floor", 0.9));
    let mut inwards = Row::new("host to published port, one connection", "Gbit/s", promise);
    let mut across = Row::new("container to container, one connection", "Gbit/s", promise);
    let pair = Pair::new()?;
    let server = Server::start(&pair.namespace(1), swallow)?;
    let target = SocketAddr::new(pair.address(1), INSIDE);
    let mut floor = Vec::new();
    for _ in 0..setting.rounds(5) {
        floor.push(inside(&pair.namespace(0), || pour(target))??);
    }
    drop((server, pair));
    inwards.add("floor", floor.clone());
    across.add("floor", floor);
    for engine in engines(setting) {
        let (mut http, box_) = published(engine)?;
        let second = Container::start(&mut http, &json!({}))?;
        let server = Server::start(&box_.namespace, swallow)?;
        let (mut from_host, mut from_other) = (Vec::new(), Vec::new());
        for _ in 0..setting.rounds(5) {
            from_host.push(pour((Ipv4Addr::LOCALHOST, box_.port).into())?);
            from_other.push(inside(&second.namespace, || pour(SocketAddr::new(box_.address, INSIDE)))??);
        }
        inwards.add(engine.name(), from_host);
        across.add(engine.name(), from_other);
        drop(server);
        box_.remove(&mut http)?;
        second.remove(&mut http)?;
    }
    Ok([inwards, across])
}

fn pour(target: SocketAddr) -> Result<f64> {
    let mut stream = TcpStream::connect(target).with_context(|| format!("cannot connect to {target}"))?;
    let chunk = vec![0x55; CHUNK];
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        sent += stream.write(&chunk)?;
    }
    Ok(sent as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9)
}

fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; CHUNK];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// Starting a container with many ports, alone and beside many such containers.
fn crowd(setting: &Setting) -> Result<Row> {
    let number: u16 = if setting.quick { 60 } else { 500 };
    let what = format!("start with {PORTS} published ports beside {number} such containers; floor: alone");
    let mut row = Row::new(what, "ms", Some(Promise::Times("floor", 1.3)));
    let engine = setting.engines.first().context("wharf is the first engine")?;
    let mut http = http(engine.as_ref()).context("no socket")?;
    let ports: serde_json::Map<String, Value> =
        (0..PORTS).map(|port| (format!("{}/tcp", 1000 + port), json!([{"HostIp": "127.0.0.1"}]))).collect();
    let host = json!({"PortBindings": ports});
    let mut alone = Vec::new();
    for _ in 0..setting.rounds(20) {
        let (time, container) = timed(|| Container::start(&mut http, &host))?;
        alone.push(time);
        container.remove(&mut http)?;
    }
    let crowd: Vec<Container> = (0..number).map(|_| Container::start(&mut http, &host)).collect::<Result<_>>()?;
    let mut beside = Vec::new();
    for _ in 0..setting.rounds(20) {
        let (time, container) = timed(|| Container::start(&mut http, &host))?;
        beside.push(time);
        container.remove(&mut http)?;
    }
    for container in crowd {
        container.remove(&mut http)?;
    }
    row.add("floor", alone);
    row.add("wharf", beside);
    Ok(row)
}

/// Connecting a running container to a network, and disconnecting it.
fn attachment(setting: &Setting) -> Result<[Row; 2]> {
    let mut attach = Row::new("connecting a running container to a network", "ms", Some(Promise::Limit(10.0)));
    let mut detach = Row::new("disconnecting it", "ms", Some(Promise::Limit(10.0)));
    for engine in engines(setting) {
        let mut http = http(engine).context("no socket")?;
        let container = Container::start(&mut http, &json!({}))?;
        let network = network(&mut http)?;
        let request = json!({"Container": container.id});
        let (mut on, mut off) = (Vec::new(), Vec::new());
        for _ in 0..setting.rounds(20) {
            let path = format!("/networks/{network}");
            on.push(timed(|| Ok(http.post(&format!("{path}/connect"), &request)?.checked()?))?.0);
            off.push(timed(|| Ok(http.post(&format!("{path}/disconnect"), &request)?.checked()?))?.0);
        }
        attach.add(engine.name(), on);
        detach.add(engine.name(), off);
        container.remove(&mut http)?;
        http.delete(&format!("/networks/{network}"))?.checked()?;
    }
    Ok([attach, detach])
}

/// Questions for the name of a neighbour, to the name server inside a container.
fn names(setting: &Setting) -> Result<[Row; 2]> {
    let mut cost =
        Row::new("a name of the network, 16 questions at a time", "µs a question", Some(Promise::Limit(100.0)));
    let mut late = Row::new("the same one at a time, 99th percentile", "ms", Some(Promise::Limit(1.0)));
    for engine in engines(setting) {
        let mut http = http(engine).context("no socket")?;
        let network = network(&mut http)?;
        let host = json!({"NetworkMode": network});
        let asker = Container::start(&mut http, &host)?;
        let number = if setting.quick { 20_000 } else { 100_000 };
        let measured = inside(&asker.namespace, || ask(&asker.id[..12], number))?;
        let (per_question, percentile) = measured?;
        cost.add(engine.name(), vec![per_question]);
        late.add(engine.name(), vec![percentile]);
        asker.remove(&mut http)?;
        http.delete(&format!("/networks/{network}"))?.checked()?;
    }
    Ok([cost, late])
}

/// Microseconds per question, and the milliseconds within which 99 of 100 are answered.
fn ask(name: &str, number: usize) -> Result<(f64, f64)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::new(127, 0, 0, 11), 53))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = u8::try_from(name.len())?;
    let query = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, length], name.as_bytes(), &[0, 0, 1, 0, 1]].concat();
    let mut buffer = [0; 512];
    let mut receive = || -> Result<()> {
        let length = socket.recv(&mut buffer)?;
        ensure!(buffer[3] & 15 == 0 && buffer[7] == 1 && length > query.len(), "no address for {name}");
        Ok(())
    };
    let start = Instant::now();
    for asked in 0..number {
        socket.send(&query)?;
        if asked >= 16 {
            receive()?;
        }
    }
    (0..number.min(16)).try_for_each(|_| receive())?;
    let cost = start.elapsed().as_secs_f64() * 1e6 / number as f64;
    let mut times = Vec::with_capacity(number / 10);
    for _ in 0..number / 10 {
        let start = Instant::now();
        socket.send(&query)?;
        receive()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok((cost, times[times.len() * 99 / 100]))
}

fn engines(setting: &Setting) -> impl Iterator<Item = &dyn Engine> {
    // Podman's API starts containers without a process of its own that would tell their namespaces' ids.
    let with_api = setting.engines.iter().filter(|engine| engine.socket().is_some() && engine.name() != "podman");
    with_api.map(AsRef::as_ref)
}

fn network(http: &mut Http) -> Result<String> {
    let created = http.post("/networks/create", &json!({"Name": "bench-net"}))?.checked()?.json();
    created["Id"].as_str().map(str::to_owned).context("a network has an id")
}

/// A container that sleeps.
struct Container {
    id: String,
    namespace: String,
    address: IpAddr,
    port: u16,
}

/// One with a port published on 127.0.0.1.
fn published(engine: &dyn Engine) -> Result<(Http, Container)> {
    let mut http = http(engine).context("no socket")?;
    let host = json!({"PortBindings": {format!("{INSIDE}/tcp"): [{"HostIp": "127.0.0.1"}]}});
    let container = Container::start(&mut http, &host)?;
    Ok((http, container))
}

impl Container {
    fn start(http: &mut Http, host: &Value) -> Result<Self> {
        let request = json!({"Image": IMAGE, "Cmd": ["sleep", "100000"], "HostConfig": host});
        let created = http.post("/containers/create", &request)?.checked()?.json();
        let id = created["Id"].as_str().context("a container has an id")?.to_owned();
        http.post(&format!("/containers/{id}/start"), &Value::Null)?.checked()?;
        let inspected = http.get(&format!("/containers/{id}/json"))?.checked()?.json();
        let networks = inspected["NetworkSettings"]["Networks"].as_object().context("it is on a network")?;
        let address = networks.values().find_map(|network| network["IPAddress"].as_str()?.parse().ok());
        let port = &inspected["NetworkSettings"]["Ports"][format!("{INSIDE}/tcp")][0]["HostPort"];
        Ok(Self {
            namespace: format!("/proc/{}/ns/net", inspected["State"]["Pid"]),
            address: address.context("it has an address")?,
            port: port.as_str().and_then(|port| port.parse().ok()).unwrap_or(0),
            id,
        })
    }

    fn remove(self, http: &mut Http) -> Result<()> {
        http.delete(&format!("/containers/{}?force=1", self.id))?.checked()?;
        Ok(())
    }
}

/// Runs `work` in a thread inside a network namespace.
fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(namespace).with_context(|| format!("cannot open {namespace}"))?;
    let run = || -> Result<T> {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter a namespace")?;
        Ok(work())
    };
    thread::scope(|scope| {
        scope.spawn(run).join().map_err(|_| anyhow::anyhow!("a thread of the benchmark has panicked"))?
    })
}

/// A server inside a namespace; ends when dropped.
struct Server {
    ends: std::sync::Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(namespace: &str, serve: fn(TcpStream)) -> Result<Self> {
        let listener = inside(namespace, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, INSIDE)))??;
        listener.set_nonblocking(true)?;
        let ends = std::sync::Arc::new(AtomicBool::new(false));
        let ended = std::sync::Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) if stream.set_nonblocking(false).is_ok() => serve(stream),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for(&listener),
                    _ => {}
                }
            }
        });
        Ok(Self { ends, thread: Some(thread) })
    }
}

fn wait_for(listener: &TcpListener) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // Interrupted or not, the caller looks again.
    let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }));
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // A server that has panicked has been seen by its clients.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Two namespaces with nothing but a pair of interfaces between them.
struct Pair;

impl Pair {
    const NAMES: [&'static str; 2] = ["wharfbench0", "wharfbench1"];

    fn new() -> Result<Self> {
        let pair = Self;
        let [one, two] = Self::NAMES;
        for line in [
            format!("ip netns add {one}"),
            format!("ip netns add {two}"),
            format!("ip link add eth0 netns {one} type veth peer name eth0 netns {two}"),
        ] {
            quietly(&mut words(&line))?;
        }
        for (number, name) in Self::NAMES.iter().enumerate() {
            quietly(&mut words(&format!("ip -n {name} address add {}/24 dev eth0", pair.address(number))))?;
            quietly(&mut words(&format!("ip -n {name} link set eth0 mtu 1400 up")))?;
        }
        Ok(pair)
    }

    fn namespace(&self, number: usize) -> String {
        Path::new("/run/netns").join(Self::NAMES[number]).display().to_string()
    }

    fn address(&self, number: usize) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number as u8 + 1).into()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in Self::NAMES {
            if let Err(error) = quietly(&mut words(&format!("ip netns delete {name}"))) {
                println!("{error:#}");
            }
        }
    }
}
