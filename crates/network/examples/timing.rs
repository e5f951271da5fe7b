//! Measures each step of a container's network in namespaces of its own; nothing outside is touched.
//!
//! `cargo run --release -p wharf-network --example timing [starts]`, as root.
#![allow(clippy::print_stdout, reason = "a program that prints its measurements")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use wharf_network::plan::{EndpointPlan, PortPlan, Protocol, SandboxPlan};
use wharf_network::{Bridge, BridgeConfig, Firewall, NetworkRules, Sandbox, endpoint_mac};
use wharf_types::Result;

fn main() -> Result<()> {
    let starts = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(50);
    unshare(CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from)?;
    let mut times = Times::default();
    let config = BridgeConfig {
        name: "wh0".into(),
        ipv4: Some((Ipv4Addr::new(172, 17, 0, 1), 16)),
        ipv6: None,
        mtu: 1500,
        note: String::new(),
    };
    times.of("bridge", || Bridge::ensure(&config))?;
    let network = NetworkRules {
        bridge: "wh0".into(),
        subnets: vec!["172.17.0.0/16".parse()?],
        outbound: true,
        masquerade: true,
        icc: true,
    };
    let firewall = times.of("firewall", || Firewall::ensure("timing", std::slice::from_ref(&network)))?;
    times.of("firewall again", || Firewall::ensure("timing", &[network]))?;
    for number in 0..starts {
        one(&mut times, number)?;
        thread::sleep(Duration::from_millis(20));
    }
    times.of("firewall remove", || firewall.remove())?;
    times.print();
    Ok(())
}

fn one(times: &mut Times, number: u16) -> Result<()> {
    let address = Ipv4Addr::new(172, 17, 1, (number % 250) as u8 + 2);
    let endpoint = EndpointPlan {
        bridge: "wh0".into(),
        host_name: format!("vh{number}"),
        container_name: "eth0".into(),
        mac: endpoint_mac(address),
        ipv4: Some((address, 16)),
        gateway4: Some(Ipv4Addr::new(172, 17, 0, 1)),
        mtu: 1500,
        ..EndpointPlan::default()
    };
    let port = PortPlan {
        host_ip: Ipv4Addr::UNSPECIFIED.into(),
        host_port: 8080,
        container_ip: address.into(),
        container_port: 80,
        protocol: Protocol::Tcp,
    };
    let ports = if number.is_multiple_of(2) { vec![port] } else { Vec::new() };
    let suffix = if number.is_multiple_of(2) { " (1 port)" } else { "" };
    let plan = SandboxPlan::Own {
        endpoints: vec![endpoint],
        ports,
        table: Firewall::table_name("timing"),
        sysctls: Vec::new(),
    };
    let start = Instant::now();
    let mut sandbox = times.of("create", || Sandbox::create(plan))?;
    times.of("enter+leave", || sandbox.enter()?.leave())?;
    times.of(&format!("configure{suffix}"), || sandbox.configure())?;
    times.add(&format!("whole start{suffix}"), start.elapsed());
    let errors = times.of(&format!("release{suffix}"), || Ok(sandbox.release()))?;
    let late = times.of(&format!("close{suffix}"), || Ok(sandbox.close()))?;
    errors.into_iter().chain(late).next().map_or(Ok(()), Err)
}

#[derive(Default)]
struct Times(BTreeMap<String, Vec<Duration>>);

impl Times {
    fn of<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = step()?;
        self.add(name, start.elapsed());
        Ok(result)
    }

    fn add(&mut self, name: &str, time: Duration) {
        self.0.entry(name.to_owned()).or_default().push(time);
    }

    fn print(&mut self) {
        println!("{:24} {:>6} {:>9} {:>9} {:>9}", "step", "count", "min/us", "median", "p90");
        for (name, times) in &mut self.0 {
            times.sort_unstable();
            let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
            println!("{name:24} {:>6} {:>9} {:>9} {:>9}", times.len(), at(0), at(50), at(90));
        }
    }
}
