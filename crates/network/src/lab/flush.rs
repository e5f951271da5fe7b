//! Other people's `nft flush ruleset`, while strangers scan.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::talk::{ask_briefly, ask_tcp, inside, serve_tcp};
use super::{ENGINE, HOST_OUTSIDE, Net, close, on_a_host, outsider, tcp};
use crate::netlink::Socket;
use crate::nft::Transaction;
use crate::{Firewall, Guard, Watch, forward_drops};

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn flush() {
    let mut transaction = Transaction::new("");
    transaction.flush_ruleset();
    assert_eq!(transaction.commit(&Socket::netfilter().unwrap()).unwrap(), []);
}

fn waits(watch: &Watch) -> bool {
    let mut set = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
    poll(&mut set, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
}

/// Ends the scan, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_flush_is_noticed_and_our_own_changes_are_not_mistaken_for_one() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let port = [tcp(LOCAL, 8080, Net(1).address(2))];
        let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        let mut trusting = Watch::open(firewall.table(), comm.trim()).unwrap();
        let mut watch = Watch::open(firewall.table(), "somebody else").unwrap();
        assert!(!waits(&watch));
        firewall.publish(&port).unwrap();
        assert!(waits(&watch));
        assert!(!watch.read().unwrap(), "nothing was taken away");
        assert!(firewall.is_intact(&[Net(1).rules()], &port).unwrap());
        firewall.unpublish(&port).unwrap();
        assert!(!trusting.read().unwrap());
        assert!(watch.read().unwrap());
        assert!(!firewall.is_intact(&[Net(1).rules()], &port).unwrap());
        assert!(firewall.is_intact(&[Net(1).rules()], &[]).unwrap());
        assert!(!firewall.is_intact(&[Net(1).rules(), Net(2).rules()], &[]).unwrap());
        let mut one_rule_less = Transaction::new(firewall.table());
        one_rule_less.flush_chain("guard");
        assert_eq!(one_rule_less.commit(&Socket::netfilter().unwrap()).unwrap(), []);
        assert!(watch.read().unwrap());
        assert!(!firewall.is_intact(&[Net(1).rules()], &[]).unwrap());
        flush();
        assert!(watch.read().unwrap());
        assert!(!firewall.is_intact(&[], &[]).unwrap());
    });
}

#[test]
fn nothing_is_open_while_the_rules_are_missing_and_connections_survive() {
    on_a_host(|| {
        let (net, other) = (Net(1), Net(2));
        Net::up(&[Net(1), Net(2)]);
        let rules = [net.rules(), other.rules()];
        let guard = Guard::open(ENGINE).unwrap();
        guard.ensure(&rules).unwrap();
        let outside = outsider(2, true);
        let published = [tcp(LOCAL, 8080, net.address(2)), tcp(Ipv4Addr::UNSPECIFIED, 8081, net.address(2))];
        let server = net.container(2, &published);
        serve_tcp(&server, Ipv4Addr::UNSPECIFIED, 80);
        let listener = inside(&server, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 81)).unwrap());
        let mut talking = crate::plan::PortPlan { container_port: 81, ..published[1].clone() };
        talking.host_port = 8082;
        Firewall::open(Firewall::table_name(ENGINE)).publish(&[talking]).unwrap();
        let mut client = inside(&outside, || TcpStream::connect(SocketAddr::from((HOST_OUTSIDE, 8082))).unwrap());
        let (mut accepted, peer) = listener.accept().unwrap();
        for stream in [&client, &accepted] {
            stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        }
        assert_eq!(peer.ip(), Ipv4Addr::new(10, 99, 0, 2));

        let done = AtomicBool::new(false);
        let scan = || {
            let entered = outside.enter().unwrap();
            while !done.load(Ordering::Relaxed) {
                assert!(ask_briefly(HOST_OUTSIDE, 8080).is_err(), "reached by the host's address");
                assert!(ask_briefly(net.address(2), 80).is_err(), "reached by the container's address");
            }
            entered.leave().unwrap();
        };
        thread::scope(|scope| {
            scope.spawn(scan);
            let _end = End(&done);
            for _ in 0..10 {
                flush();
                client.write_all(b"still there?").unwrap();
                let mut heard = [0; 12];
                accepted.read_exact(&mut heard).unwrap();
                accepted.write_all(b"y").unwrap();
                client.read_exact(&mut heard[..1]).unwrap();
                thread::sleep(std::time::Duration::from_millis(15));
                guard.ensure(&rules).unwrap();
                let firewall = Firewall::ensure(ENGINE, &rules).unwrap();
                firewall.publish(&published).unwrap();
                assert!(ask_tcp(LOCAL, 8080).is_ok());
            }
        });
        assert!(inside(&outside, || ask_tcp(HOST_OUTSIDE, 8081)).is_ok());
        close(server);
        guard.remove().unwrap();
        guard.remove().unwrap();
    });
}

#[test]
fn a_guard_is_taken_over_by_the_next_engine_and_belongs_to_one() {
    on_a_host(|| {
        let first = Guard::open(ENGINE).unwrap();
        first.ensure(&[Net(1).rules()]).unwrap();
        drop(first);
        let second = Guard::open(ENGINE).unwrap();
        second.ensure(&[Net(1).rules(), Net(2).rules()]).unwrap();
        second.ensure(&[]).unwrap();
        second.remove().unwrap();
    });
}

#[test]
fn chains_of_others_that_drop_are_named() {
    on_a_host(|| {
        assert_eq!(forward_drops().unwrap(), [""; 0]);
        let Ok(status) = std::process::Command::new("iptables-nft").args(["-P", "FORWARD", "DROP"]).status() else {
            println!("skipped: iptables-nft is not installed");
            return;
        };
        assert!(status.success());
        assert_eq!(forward_drops().unwrap(), ["ip filter FORWARD"]);
    });
}
