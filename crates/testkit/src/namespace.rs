//! Another machine on the network, as far as the host can tell: a network namespace behind a veth pair.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use crate::subnet::Subnet;

/// A network namespace with one interface; the host has address `.1` of its subnet, the namespace `.2`.
#[derive(Debug)]
pub struct Neighbour {
    name: String,
    subnet: Subnet,
}

impl Neighbour {
    /// Makes one.
    ///
    /// # Panics
    /// If the host's `ip` program fails or is missing (Debian: `apt-get install iproute2`).
    pub fn new() -> Self {
        let subnet = Subnet::take();
        let [_, b, c, _] = subnet.address(0).octets();
        let neighbour = Self { name: format!("wn{b:02x}{c:02x}"), subnet };
        let name = &neighbour.name;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name}h type veth peer name eth0 netns {name}"));
        ip(&format!("address add {}/24 dev {name}h", neighbour.host()));
        ip(&format!("link set {name}h up"));
        ip(&format!("-n {name} address add {}/24 dev eth0", neighbour.subnet.address(2)));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} route add default via {}", neighbour.host()));
        neighbour
    }

    /// The host's address as the neighbour sees it.
    pub fn host(&self) -> Ipv4Addr {
        self.subnet.address(1)
    }

    /// Runs a program of the host inside the namespace.
    ///
    /// # Panics
    /// If `ip netns exec` itself cannot be started.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).args(arguments);
        command.output().expect("ip runs")
    }
}

impl Default for Neighbour {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // The pair goes with the namespace; the namespace itself may outlive its name by a moment.
        let mut command = Command::new("ip");
        let removed = command.args(["netns", "delete", &self.name]).status();
        if !removed.is_ok_and(|status| status.success()) && !std::thread::panicking() {
            panic!("the test's network namespace {} cannot be removed", self.name);
        }
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip runs (apt-get install iproute2)");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
