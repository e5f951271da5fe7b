//! The name server in a network namespace of its own, asked through the kernel. Needs root.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wharf_network::plan::SandboxPlan;

use super::*;
use crate::protocol::NameServer as Server;

const AT: (Ipv4Addr, u16) = (RESOLVER, 53);

/// A container's namespace with a name server, and the folder with the names of its network.
struct Lab {
    sandbox: Sandbox,
    names: NameServer,
    poll: Poll,
    folder: tempfile::TempDir,
}

impl Lab {
    /// `None`, loudly, without the privileges for namespaces.
    fn new(table: &str, servers: &[SocketAddr]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: network namespaces need root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("names"), table).unwrap();
        let plan =
            SandboxPlan::Own { endpoints: Vec::new(), ports: Vec::new(), table: String::new(), sysctls: Vec::new() };
        let mut sandbox = Sandbox::create(plan).unwrap();
        sandbox.configure().unwrap();
        let poll = Poll::new().unwrap();
        let plan = NamesPlan {
            networks: vec![folder.path().join("names")],
            aliases: vec![("DB".into(), "web".into())],
            servers: servers.iter().map(|address| Server { address: *address, from_host: true }).collect(),
        };
        let names = NameServer::open(&poll, &sandbox, plan).unwrap();
        Some(Self { sandbox, names, poll, folder })
    }

    fn inside<T>(&self, action: impl FnOnce() -> T) -> T {
        let inside = self.sandbox.enter().unwrap();
        let result = action();
        inside.leave().unwrap();
        result
    }

    /// Lets the server work until `done` has something, for a few seconds at most.
    fn serve_until<T>(&mut self, mut done: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            for (token, flags) in self.poll.wait(Some(Duration::from_millis(20))).unwrap() {
                let Token::Names(number) = token else { panic!("{token:?}") };
                self.names.event(number, flags, &self.sandbox);
            }
            self.names.tick(&self.sandbox);
            if let Some(result) = done() {
                return result;
            }
            assert!(Instant::now() < deadline, "no answer");
        }
    }

    fn ask(&mut self, name: &str, kind: u16) -> Vec<u8> {
        let socket = self.inside(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        socket.connect(AT).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.send(&query(name, kind)).unwrap();
        let mut buffer = [0; 2048];
        self.serve_until(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
    }

    /// Response code and last bytes of each address.
    fn addresses(&mut self, name: &str, kind: u16) -> (u8, Vec<u8>) {
        let answer = self.ask(name, kind);
        let size = if kind == wire::A { 4 } else { 16 };
        let records = answer[query(name, kind).len()..].chunks(12 + size);
        (answer[3] & 15, records.map(|record| *record.last().unwrap()).collect())
    }
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0]);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// A server outside that turns each query into an answer with this code and tells who asked for what.
fn outside(code: u8) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listener = TcpListener::bind(socket.local_addr().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, heard) = mpsc::channel();
    let answer = move |query: &[u8]| [&query[..2], &[0x81, 0x80 | code], &query[4..]].concat();
    let told = tell.clone();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&answer(&buffer[..length]), from).unwrap();
            if told.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut message).unwrap();
        stream.write_all(&[&length[..], &answer(&message)].concat()).unwrap();
        let _ = tell.send(message);
    });
    (address, heard)
}

#[test]
fn names_of_the_network_are_answered() {
    let table = "# shop\n10.0.0.2 web app\n10.0.0.3 api app\n10.0.0.4 more app\nfd00::9 six\n";
    let Some(mut lab) = Lab::new(table, &[]) else { return };
    assert_eq!(lab.addresses("web", wire::A), (0, vec![2]));
    assert_eq!(lab.addresses("WEB.shop", wire::A), (0, vec![2]));
    assert_eq!(lab.addresses("db", wire::A), (0, vec![2]), "an alias of its own");
    assert_eq!(lab.addresses("web", wire::AAAA), (0, vec![]), "there is no such record, but there is the name");
    assert_eq!(lab.addresses("six", wire::AAAA), (0, vec![9]));
    assert_eq!(lab.addresses("elsewhere", wire::A).0, wire::SERVER_FAILURE);
    let firsts: std::collections::BTreeSet<u8> = (0..3).map(|_| lab.addresses("app", wire::A).1[0]).collect();
    assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [2, 3, 4], "everyone is first in turn");
    let pointer = lab.ask("3.0.0.10.in-addr.arpa", wire::PTR);
    assert!(pointer.ends_with(b"\x03api\x04shop\0"), "{pointer:?}");

    fs::write(lab.folder.path().join("new"), "# shop\n10.0.0.7 web\n").unwrap();
    fs::rename(lab.folder.path().join("new"), lab.folder.path().join("names")).unwrap();
    assert_eq!(lab.addresses("web", wire::A), (0, vec![7]));
    lab.names.forget();
    assert_eq!(lab.addresses("web", wire::A), (0, vec![7]));
}

#[test]
fn other_names_are_asked_for_outside_one_server_after_the_other() {
    let (refusing, _refused) = outside(wire::REFUSED);
    let (good, heard) = outside(wire::NO_ERROR);
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let Some(mut lab) = Lab::new("# n\n", &[closed, refusing, silent.local_addr().unwrap(), good]) else { return };
    let answer = lab.ask("example.org", wire::A);
    assert_eq!((&answer[..2], answer[3] & 15), (&[0xab, 0xcd][..], 0));
    let passed_on = heard.recv().unwrap();
    assert_eq!(passed_on[2..], query("example.org", wire::A)[2..], "as it was asked, but for the number");
    let before = Instant::now();
    lab.ask("example.org", wire::AAAA);
    assert!(before.elapsed() < PATIENCE_OF_A_TEST, "the server that answered is asked first now");
    drop(silent);
}

/// Less than it takes to give up a silent server.
const PATIENCE_OF_A_TEST: Duration = Duration::from_millis(1500);

#[test]
fn connections_are_served_and_passed_on() {
    let (good, heard) = outside(wire::NO_ERROR);
    let Some(mut lab) = Lab::new("# n\n10.0.0.2 web\n", &[good]) else { return };
    let mut stream = lab.inside(|| TcpStream::connect(AT).unwrap());
    stream.set_nonblocking(true).unwrap();
    let mut asked = Vec::new();
    for name in ["web", "example.org"] {
        stream::put(&mut asked, &query(name, wire::A));
    }
    stream.write_all(&asked).unwrap();
    let (mut inbox, mut answers) = (Vec::new(), Vec::new());
    lab.serve_until(|| {
        let mut chunk = [0; 512];
        let length = stream.read(&mut chunk).unwrap_or(0);
        inbox.extend_from_slice(&chunk[..length]);
        answers.extend(std::iter::from_fn(|| stream::take(&mut inbox)));
        (answers.len() == 2).then_some(())
    });
    assert!(answers[0].ends_with(&[10, 0, 0, 2]));
    assert_eq!(answers[1][2..4], [0x81, 0x80]);
    assert_eq!(heard.recv().unwrap()[2..], query("example.org", wire::A)[2..]);
}

#[test]
fn the_container_may_have_a_name_server_of_its_own() {
    let Some(mut lab) = Lab::new("# n\n10.0.0.2 web\n", &[]) else { return };
    let own = lab.inside(|| {
        (UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap(), TcpListener::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap())
    });
    assert_eq!(lab.addresses("web", wire::A), (0, vec![2]));
    let client = lab.inside(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    client.send_to(b"?", (Ipv4Addr::LOCALHOST, 53)).unwrap();
    own.0.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(own.0.recv(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn rubbish_is_borne() {
    let Some(mut lab) = Lab::new("# n\n10.0.0.2 web\n", &[]) else { return };
    let socket = lab.inside(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    for length in 0..40 {
        socket.send_to(&vec![0x01; length], AT).unwrap();
    }
    assert_eq!(lab.addresses("web", wire::A), (0, vec![2]));
}
