use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::AsFd;

use wharf_types::Kind;

use super::talk::{ask_tcp, inside, serve_tcp};
use super::{Net, close, on_a_host, outsider, own, start};
use crate::plan::SandboxPlan;
use crate::rtnl::Rtnl;
use crate::{Sandbox, link_names, sweep, sysctl};

#[test]
fn containers_of_a_network_reach_each_other_and_their_gateway() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1)]);
        let [a, b] = [2, 3].map(|last| net.container(last, &[]));
        serve_tcp(&b, Ipv4Addr::UNSPECIFIED, 80);
        assert_eq!(inside(&a, || ask_tcp(net.address(3), 80)).unwrap(), net.address(2));
        assert_eq!(ask_tcp(net.address(3), 80).unwrap(), net.gateway());
        [a, b].into_iter().for_each(close);
        assert_eq!(link_names("vh").unwrap(), [""; 0]);
    });
}

#[test]
fn the_outside_sees_the_hosts_address() {
    on_a_host(|| {
        Net::up(&[Net(1)]);
        let outside = outsider(2, false);
        serve_tcp(&outside, Ipv4Addr::UNSPECIFIED, 80);
        let a = Net(1).container(2, &[]);
        assert_eq!(inside(&a, || ask_tcp(Ipv4Addr::new(10, 99, 0, 2), 80)).unwrap(), super::HOST_OUTSIDE);
    });
}

#[test]
fn without_endpoints_there_is_loopback_alone() {
    on_a_host(|| {
        let sandbox = start(own(Vec::new(), Vec::new()));
        inside(&sandbox, || {
            assert_eq!(link_names("lo").unwrap(), ["lo"]);
            TcpListener::bind((Ipv4Addr::LOCALHOST, 80)).unwrap();
            TcpListener::bind((Ipv6Addr::LOCALHOST, 80)).unwrap();
        });
        close(sandbox);
    });
}

#[test]
fn an_interface_without_ipv6_has_no_ipv6() {
    on_a_host(|| {
        Net::up(&[Net(1)]);
        let sandbox = Net(1).container(2, &[]);
        inside(&sandbox, || {
            TcpListener::bind((Ipv6Addr::LOCALHOST, 80)).unwrap();
            let addresses = Rtnl::open().unwrap().addresses().unwrap();
            let others = addresses.iter().filter(|found| found.address.is_ipv6() && !found.address.is_loopback());
            assert_eq!(others.count(), 0);
        });
    });
}

#[test]
fn kernel_parameters_are_set_also_those_of_interfaces() {
    on_a_host(|| {
        Net::up(&[Net(1)]);
        let with = |pairs: &[(&str, &str)]| {
            let mut plan = own(vec![Net(1).endpoint(2)], Vec::new());
            let SandboxPlan::Own { sysctls, .. } = &mut plan else { unreachable!("own() makes an Own") };
            sysctls.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            plan
        };
        let sandbox =
            start(with(&[("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.conf.eth0.forwarding", "1")]));
        inside(&sandbox, || {
            assert_eq!(sysctl::read("ipv4/ip_unprivileged_port_start").unwrap().trim(), "0");
            assert_eq!(sysctl::read("ipv4/conf/eth0/forwarding").unwrap().trim(), "1");
        });
        close(sandbox);
        assert_ne!(sysctl::read("ipv4/ip_unprivileged_port_start").unwrap().trim(), "0");

        for (name, value) in [("net.ipv4.ip_forward", "many"), ("kernel.shmmax", "1"), ("net.no.such", "1")] {
            let outcome = Sandbox::create(with(&[(name, value)])).and_then(|mut sandbox| {
                let configured = sandbox.configure();
                close(sandbox);
                configured
            });
            assert_eq!(outcome.unwrap_err().kind(), Kind::InvalidParameter, "{name}");
        }
        assert_eq!(link_names("vh").unwrap(), [""; 0]);
    });
}

#[test]
fn a_restart_does_not_wait_for_the_interfaces_of_the_run_before() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let port = super::tcp(Ipv4Addr::UNSPECIFIED, 8080, Net(1).address(2));
        let mut first = Net(1).container(2, std::slice::from_ref(&port));
        // Someone who joined keeps the namespace alive.
        let joined = first.namespace().unwrap().as_fd().try_clone_to_owned().unwrap();
        assert!(first.release().is_empty());
        assert!(first.namespace().is_none());
        let second = Net(1).container(2, std::slice::from_ref(&port));
        assert_eq!(firewall.list_published().unwrap(), [port]);
        serve_tcp(&second, Ipv4Addr::UNSPECIFIED, 80);
        assert_eq!(ask_tcp(Ipv4Addr::LOCALHOST, 8080).unwrap(), Net(1).gateway());
        close(second);
        drop(joined);
    });
}

#[test]
fn close_removes_interfaces_that_someone_keeps_alive() {
    on_a_host(|| {
        Net::up(&[Net(1)]);
        let sandbox = Net(1).container(2, &[]);
        let joined = sandbox.namespace().unwrap().as_fd().try_clone_to_owned().unwrap();
        close(sandbox);
        assert_eq!(link_names("vh").unwrap(), [""; 0]);
        drop(joined);
    });
}

#[test]
fn a_sandbox_can_be_joined_and_the_host_be_shared() {
    on_a_host(|| {
        Net::up(&[Net(1)]);
        let first = Net(1).container(2, &[]);
        let file = first.enter().map(|_inside| fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
        let holder = first.namespace().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&holder));
        let second = start(SandboxPlan::Join(path.into()));
        assert_eq!(inside(&second, || fs::read_link("/proc/thread-self/ns/net").unwrap()), file);
        close(second);
        assert!(inside(&first, || Rtnl::open().unwrap().index("eth0").unwrap().is_some()));

        let host = start(SandboxPlan::Host);
        assert!(host.namespace().is_none());
        assert_ne!(inside(&host, || fs::read_link("/proc/thread-self/ns/net").unwrap()), file);
        close(host);
        let gone = Sandbox::create(SandboxPlan::Join("/proc/self/ns/no-such".into()));
        assert!(gone.unwrap_err().to_string().contains("/proc/self/ns/no-such"));
    });
}

#[test]
fn a_missing_bridge_is_named_and_nothing_is_left() {
    on_a_host(|| {
        let mut sandbox = Sandbox::create(own(vec![Net(1).endpoint(2)], Vec::new())).unwrap();
        let error = sandbox.configure().unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (Kind::NotFound, "the bridge wh1 does not exist".into()));
        close(sandbox);
        assert_eq!(link_names("vh").unwrap(), [""; 0]);
    });
}

#[test]
fn two_interfaces_have_one_default_route() {
    on_a_host(|| {
        Net::up(&[Net(1), Net(2)]);
        let mut second = Net(2).endpoint(2);
        second.container_name = "eth1".into();
        let sandbox = start(own(vec![Net(1).endpoint(2), second], Vec::new()));
        let routes = inside(&sandbox, || Rtnl::open().unwrap().routes().unwrap());
        let eth0 = inside(&sandbox, || Rtnl::open().unwrap().index("eth0").unwrap());
        let defaults: Vec<_> = routes.iter().filter(|route| route.is_default()).map(|route| route.index).collect();
        assert_eq!(defaults, [eth0]);
        close(sandbox);
    });
}

#[test]
fn ipv6_works_with_addresses_usable_at_once() {
    on_a_host(|| {
        let net = Net(1);
        let v6 = |last| Ipv6Addr::new(0xfd00, 0, 0, 30, 0, 0, 0, last);
        let mut rules = net.rules();
        rules.subnets.push("fd00:0:0:1e::/64".parse().unwrap());
        crate::Firewall::ensure(super::ENGINE, &[rules]).unwrap();
        crate::Bridge::ensure(&crate::BridgeConfig { ipv6: Some((v6(1), 64)), ..net.config() }).unwrap();
        let container = |last: u8, ports| {
            let mut endpoint = net.endpoint(last);
            (endpoint.ipv6, endpoint.gateway6) = (Some((v6(last.into()), 64)), Some(v6(1)));
            start(own(vec![endpoint], ports))
        };
        let port = crate::plan::PortPlan {
            host_ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            host_port: 8080,
            container_ip: v6(2).into(),
            container_port: 80,
            protocol: crate::plan::Protocol::Tcp,
        };
        let [a, b] = [container(2, vec![port]), container(3, Vec::new())];
        serve_tcp(&a, Ipv6Addr::UNSPECIFIED, 80);
        // The kernel joins the groups that neighbour discovery needs a moment after the address is there.
        let answer = (0..10).find_map(|_| inside(&b, || ask_tcp(v6(2), 80)).ok());
        assert_eq!(answer, Some(v6(3).into()));
        assert_eq!(ask_tcp(v6(1), 8080).unwrap(), v6(1));
        assert_eq!(inside(&a, || ask_tcp(v6(1), 8080)).unwrap(), v6(1));
        [a, b].into_iter().for_each(close);
    });
}

#[test]
fn sweeping_removes_what_a_killed_monitor_left_and_nothing_else() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let port = super::tcp(Ipv4Addr::UNSPECIFIED, 8080, Net(1).address(2));
        let kept = super::tcp(Ipv4Addr::UNSPECIFIED, 8081, Net(1).address(3));
        let plan =
            own(vec![Net(1).endpoint(2)], vec![port, super::tcp(Ipv4Addr::UNSPECIFIED, 8081, Net(1).address(2))]);
        drop(start(plan.clone()));
        firewall.publish(std::slice::from_ref(&kept)).unwrap();
        for _ in 0..2 {
            let errors = sweep(&plan);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(firewall.list_published().unwrap(), std::slice::from_ref(&kept));
            assert_eq!(link_names("vh").unwrap(), [""; 0]);
        }
    });
}
