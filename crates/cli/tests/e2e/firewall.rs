//! Beside other firewalls: what they flush is put back, and nothing is open meanwhile.
//!
//! Each test's engine runs in a network namespace of its own that plays the host, so that flushing everything hurts nobody.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wharf_testkit::engine::Options;
use wharf_testkit::subnet::Subnet;
use wharf_testkit::{Output, TempEngine, foreign, wait};

/// A namespace that plays the host, another that plays a hostile neighbour, and the network between them.
struct Lab {
    host: String,
    neighbour: String,
    between: Subnet,
    program: tempfile::TempDir,
}

impl Lab {
    /// `None`, loudly, where a program is missing.
    fn new() -> Option<Self> {
        let programs = ["ip", "nsenter", "nft"].map(foreign::need);
        if programs.iter().any(Option::is_none) {
            return None;
        }
        let between = Subnet::take();
        let [_, b, c, _] = between.address(0).octets();
        let (host, neighbour) = (format!("wfh{b:02x}{c:02x}"), format!("wfn{b:02x}{c:02x}"));
        let program = tempfile::tempdir().unwrap();
        let lab = Self { host, neighbour, between, program };
        let Self { host, neighbour, between, .. } = &lab;
        for line in [
            format!("netns add {host}"),
            format!("netns add {neighbour}"),
            format!("link add eth0 netns {host} type veth peer name eth0 netns {neighbour}"),
            format!("-n {host} address add {}/24 dev eth0", between.address(1)),
            format!("-n {neighbour} address add {}/24 dev eth0", between.address(2)),
            format!("-n {host} link set eth0 up"),
            format!("-n {host} link set lo up"),
            format!("-n {neighbour} link set eth0 up"),
            // Hostile: everything it does not know it sends to the host, as if that were a router.
            format!("-n {neighbour} route add default via {}", between.address(1)),
        ] {
            Output::of(Command::new("ip").args(line.split(' ')), b"").ok();
        }
        Some(lab)
    }

    fn engine(&self) -> TempEngine {
        let script = self.program.path().join("wharf");
        let program = wharf_testkit::engine::program();
        let line =
            format!("#!/bin/sh\nexec nsenter --net={} {} \"$@\"\n", self.path(&self.host).display(), program.display());
        std::fs::write(&script, line).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        TempEngine::start_with(Options { program: Some(script), ..Options::default() })
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/run/netns").join(name)
    }

    fn nft(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(&self.host).display())).arg("nft").args(arguments);
        Output::of(&mut command, b"").ok()
    }

    /// Runs `work` in a thread inside one of the namespaces.
    fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.path(name)).unwrap();
        let run = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in [&self.host, &self.neighbour] {
            let removed = Command::new("ip").args(["netns", "delete", name]).status();
            assert!(
                removed.is_ok_and(|status| status.success()) || std::thread::panicking(),
                "{name} cannot be removed"
            );
        }
    }
}

fn reaches(address: Ipv4Addr, port: u16, patience: Duration) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address.into(), port), patience).is_ok()
}

fn serve(engine: &TempEngine, name: &str, publish: &str) -> (Ipv4Addr, u16) {
    engine.cli(&["run", "-d", "--name", name, "-p", publish, "busybox:test", "httpd", "-f", "-h", "/var/www"]).ok();
    let inspected = engine.get(&format!("/containers/{name}/json"));
    let address = &inspected["NetworkSettings"]["Networks"]["bridge"]["IPAddress"];
    (address.as_str().unwrap().parse().unwrap(), crate::network::published(engine, name))
}

#[test]
fn a_flushed_rule_set_is_restored_and_nothing_was_open_meanwhile() {
    let Some(lab) = Lab::new() else { return };
    let engine = lab.engine();
    let host = lab.between.address(1);
    let (_, open) = serve(&engine, "open", "80");
    let (inside, local) = serve(&engine, "local", "127.0.0.1::80");
    let long = Duration::from_secs(2);
    lab.inside(&lab.neighbour, || wait::until("the open port answers", || reaches(host, open, long).then_some(())));
    let done = AtomicBool::new(false);
    let scan = || {
        let brief = Duration::from_millis(5);
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) {
            assert!(!reaches(host, local, brief), "the loopback port by the host's address");
            assert!(!reaches(inside, 80, brief), "the container by its own address");
            rounds += 1;
        }
        rounds
    };
    std::thread::scope(|scope| {
        let scanner = scope.spawn(|| lab.inside(&lab.neighbour, scan));
        for round in 0..4 {
            lab.nft(&["flush", "ruleset"]);
            lab.inside(&lab.neighbour, || {
                wait::until("the open port answers again", || reaches(host, open, long).then_some(()));
            });
            let name = format!("other{round}");
            engine.cli(&["run", "--rm", "--name", &name, "-p", "127.0.0.1::80", "busybox:test", "true"]).ok();
        }
        engine.cli(&["restart", "-t", "0", "local"]).ok();
        done.store(true, Ordering::Relaxed);
        assert!(scanner.join().unwrap() > 10, "the scanner hardly scanned");
    });
    assert!(engine.log().contains("have been restored"), "{}", engine.log());
    engine.finish();
}

#[test]
fn rules_that_were_flushed_while_no_engine_ran_come_back_with_it() {
    let Some(lab) = Lab::new() else { return };
    let mut engine = lab.engine();
    let (_, open) = serve(&engine, "open", "80");
    let host = lab.between.address(1);
    let answers = || lab.inside(&lab.neighbour, || reaches(host, open, Duration::from_secs(1)));
    wait::until("the open port answers", || answers().then_some(()));
    engine.kill9();
    assert!(answers(), "traffic goes on without an engine");
    lab.nft(&["flush", "ruleset"]);
    assert!(!answers());
    engine.restart();
    assert!(answers());
    engine.cli(&["rm", "-f", "open"]).ok();
    assert!(!answers());
    engine.finish();
}

#[test]
fn single_rules_and_elements_are_restored_and_the_administrators_chain_is_left_alone() {
    let Some(lab) = Lab::new() else { return };
    let engine = lab.engine();
    let (_, open) = serve(&engine, "open", "80");
    let (table, host) = (format!("wharf-{}", engine.id()), lab.between.address(1));
    let answers = || lab.inside(&lab.neighbour, || reaches(host, open, Duration::from_secs(1)));
    wait::until("the open port answers", || answers().then_some(()));
    lab.nft(&["flush", "chain", "inet", &table, "publish"]);
    wait::until("the rules are back", || answers().then_some(()));
    lab.nft(&["flush", "map", "inet", &table, "any4"]);
    wait::until("the port is back", || answers().then_some(()));
    lab.nft(&["add", "rule", "inet", &table, "wharf-user", "drop"]);
    lab.nft(&["flush", "chain", "inet", &table, "publish"]);
    wait::until("the rules are back", || {
        let listed = lab.nft(&["list", "chain", "inet", &table, "publish"]).stdout;
        listed.contains("dnat").then_some(())
    });
    assert!(lab.nft(&["list", "chain", "inet", &table, "wharf-user"]).stdout.contains("drop"));
    assert!(!answers());
    engine.finish();
}

#[test]
fn a_firewall_that_drops_what_is_forwarded_is_told_of() {
    let Some(lab) = Lab::new() else { return };
    lab.nft(&["add", "table", "ip", "filter"]);
    lab.nft(&["add", "chain", "ip", "filter", "FORWARD", "{ type filter hook forward priority 0; policy drop; }"]);
    let engine = lab.engine();
    engine.cli(&["run", "--rm", "busybox:test", "true"]).ok();
    let log = engine.log();
    assert!(log.contains("ip filter FORWARD") && log.contains("drops forwarded packets"), "{log}");
    engine.finish();
}
