//! Tests against the real kernel. Each runs in a thread with a network namespace of its own, which plays the host:
//! nothing outside it is touched, and nothing is left when the thread ends. They need root and say so where they are
//! skipped.

mod bridges;
mod firewall;
mod flush;
mod publish;
mod sandboxes;
mod talk;

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::netlink::Request;
use crate::plan::{EndpointPlan, PortPlan, Protocol, SandboxPlan};
use crate::rtnl::{LOOPBACK, Rtnl, write_link_up};
use crate::{Bridge, BridgeConfig, Firewall, NetworkRules, Sandbox, endpoint_mac};

const ENGINE: &str = "0123456789ab";
/// The address of the lab's host in the network that plays the outside world.
const HOST_OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// Runs a test in a namespace that plays a freshly booted host.
fn on_a_host(test: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return;
    }
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mut request = Request::new();
        write_link_up(&mut request, LOOPBACK);
        Rtnl::open().unwrap().apply(&mut request).unwrap();
        test();
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap());
}

/// A network number `n`: bridge `wh<n>`, subnet 172.30.n.0/24.
struct Net(u8);

impl Net {
    fn bridge(&self) -> String {
        format!("wh{}", self.0)
    }

    fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.0, last)
    }

    fn config(&self) -> BridgeConfig {
        BridgeConfig {
            name: self.bridge(),
            ipv4: Some((self.gateway(), 24)),
            ipv6: None,
            mtu: 1400,
            note: String::new(),
        }
    }

    fn rules(&self) -> NetworkRules {
        let subnet = format!("172.30.{}.0/24", self.0).parse().unwrap();
        NetworkRules { bridge: self.bridge(), subnets: vec![subnet], outbound: true, masquerade: true, icc: true }
    }

    /// Creates the networks' bridges and the firewall for them.
    fn up(nets: &[Net]) -> Firewall {
        let rules: Vec<NetworkRules> = nets.iter().map(Net::rules).collect();
        let firewall = Firewall::ensure(ENGINE, &rules).unwrap();
        nets.iter().for_each(|net| drop(Bridge::ensure(&net.config()).unwrap()));
        firewall
    }

    fn endpoint(&self, last: u8) -> EndpointPlan {
        let address = self.address(last);
        EndpointPlan {
            bridge: self.bridge(),
            host_name: format!("vh{}-{last}", self.0),
            container_name: "eth0".into(),
            mac: endpoint_mac(address),
            ipv4: Some((address, 24)),
            gateway4: Some(self.gateway()),
            mtu: 1400,
            ..EndpointPlan::default()
        }
    }

    /// A running container.
    fn container(&self, last: u8, ports: &[PortPlan]) -> Sandbox {
        start(own(vec![self.endpoint(last)], ports.to_vec()))
    }
}

/// A machine in the world outside, with a default route by way of the host if it is to be a hostile neighbour.
fn outsider(last: u8, routes_to_us: bool) -> Sandbox {
    let config = BridgeConfig {
        name: "outside".into(),
        ipv4: Some((HOST_OUTSIDE, 24)),
        ipv6: None,
        mtu: 1500,
        note: String::new(),
    };
    Bridge::ensure(&config).unwrap();
    let address = Ipv4Addr::new(10, 99, 0, last);
    start(own(
        vec![EndpointPlan {
            bridge: "outside".into(),
            host_name: format!("out{last}"),
            container_name: "eth0".into(),
            mac: endpoint_mac(address),
            ipv4: Some((address, 24)),
            gateway4: routes_to_us.then_some(HOST_OUTSIDE),
            mtu: 1500,
            ..EndpointPlan::default()
        }],
        Vec::new(),
    ))
}

fn own(endpoints: Vec<EndpointPlan>, ports: Vec<PortPlan>) -> SandboxPlan {
    SandboxPlan::Own { endpoints, ports, table: Firewall::table_name(ENGINE), sysctls: Vec::new() }
}

fn start(plan: SandboxPlan) -> Sandbox {
    let mut sandbox = Sandbox::create(plan).unwrap();
    sandbox.configure().unwrap();
    sandbox
}

fn close(sandbox: Sandbox) {
    let errors = sandbox.close();
    assert!(errors.is_empty(), "{errors:?}");
}

fn port(host_ip: impl Into<IpAddr>, host_port: u16, container: Ipv4Addr, protocol: Protocol) -> PortPlan {
    PortPlan { host_ip: host_ip.into(), host_port, container_ip: container.into(), container_port: 80, protocol }
}

fn tcp(host_ip: impl Into<IpAddr>, host_port: u16, container: Ipv4Addr) -> PortPlan {
    port(host_ip, host_port, container, Protocol::Tcp)
}
