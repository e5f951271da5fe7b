use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use wharf_types::Kind;

use super::talk::{ask_briefly, ask_tcp, ask_udp, inside, serve_tcp, serve_udp};
use super::{ENGINE, HOST_OUTSIDE, Net, close, on_a_host, outsider, own, port, tcp};
use crate::netlink::Request;
use crate::plan::Protocol;
use crate::rtnl::{LOOPBACK, Rtnl, write_link_down};
use crate::{Firewall, Sandbox, sysctl};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn a_port_is_reached_from_everywhere_and_the_clients_address_is_kept() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1), Net(2)]);
        let outside = outsider(2, false);
        let server = net.container(2, &[tcp(ANY, 8080, net.address(2))]);
        serve_tcp(&server, ANY, 80);
        let neighbour = net.container(3, &[]);
        let stranger = Net(2).container(2, &[]);

        let outsiders = Ipv4Addr::new(10, 99, 0, 2);
        assert_eq!(inside(&outside, || ask_tcp(HOST_OUTSIDE, 8080)).unwrap(), outsiders, "from outside");
        assert_eq!(ask_tcp(LOCAL, 8080).unwrap(), net.gateway(), "from the host's loopback");
        assert_eq!(ask_tcp(net.gateway(), 8080).unwrap(), net.gateway(), "from the host to the gateway");
        assert_eq!(ask_tcp(HOST_OUTSIDE, 8080).unwrap(), HOST_OUTSIDE, "from the host to its outer address");
        assert_eq!(inside(&neighbour, || ask_tcp(net.gateway(), 8080)).unwrap(), net.gateway(), "from a neighbour");
        assert_eq!(
            inside(&stranger, || ask_tcp(HOST_OUTSIDE, 8080)).unwrap(),
            Net(2).address(2),
            "from another network"
        );
        for bridge_filter in ["0", "1"] {
            sysctl::write_if_present("bridge/bridge-nf-call-iptables", bridge_filter).unwrap();
            assert_eq!(inside(&server, || ask_tcp(net.gateway(), 8080)).unwrap(), net.gateway(), "from itself");
        }

        close(server);
        assert!(inside(&outside, || ask_tcp(HOST_OUTSIDE, 8080)).is_err());
        assert!(ask_tcp(LOCAL, 8080).is_err());
    });
}

#[test]
fn a_port_on_loopback_is_out_of_reach_from_outside() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1)]);
        let outside = outsider(2, true);
        let server = net.container(2, &[tcp(LOCAL, 8080, net.address(2))]);
        serve_tcp(&server, ANY, 80);
        let neighbour = net.container(3, &[]);
        assert_eq!(ask_tcp(LOCAL, 8080).unwrap(), net.gateway());
        assert!(ask_tcp(HOST_OUTSIDE, 8080).is_err(), "another address of the host");
        for (name, enemy) in [("outsider", &outside), ("neighbour", &neighbour)] {
            assert!(inside(enemy, || ask_tcp(HOST_OUTSIDE, 8080)).is_err(), "{name} by the host's address");
            assert!(inside(enemy, || ask_forged(8080)).is_err(), "{name} by a forged destination");
        }
        assert!(inside(&outside, || ask_tcp(net.address(2), 80)).is_err(), "outsider by the container's address");
        assert_eq!(ask_tcp(LOCAL, 8080).unwrap(), net.gateway());
    });
}

#[test]
fn there_is_no_instant_at_which_a_loopback_port_is_open_to_the_outside() {
    on_a_host(|| {
        let net = Net(1);
        let firewall = Net::up(&[Net(1)]);
        let outside = outsider(2, true);
        let server = net.container(2, &[]);
        serve_tcp(&server, ANY, 80);
        let published = [tcp(LOCAL, 8080, net.address(2))];
        let done = AtomicBool::new(false);
        let scan = || {
            let inside = outside.enter().unwrap();
            while !done.load(Ordering::Relaxed) {
                assert!(ask_tcp(HOST_OUTSIDE, 8080).is_err(), "reached by the host's address");
                assert!(ask_briefly(net.address(2), 80).is_err(), "reached by the container's address");
            }
            inside.leave().unwrap();
        };
        thread::scope(|scope| {
            scope.spawn(scan);
            for _ in 0..40 {
                firewall.publish(&published).unwrap();
                assert!(ask_tcp(LOCAL, 8080).is_ok());
                Firewall::ensure(ENGINE, &[net.rules()]).unwrap();
                firewall.unpublish(&published).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

/// Sends packets to 127.0.0.1 out of this namespace, as a hostile neighbour can.
fn ask_forged(port: u16) -> std::io::Result<IpAddr> {
    sysctl::write("ipv4/conf/all/route_localnet", "1")?;
    sysctl::write("ipv4/conf/all/rp_filter", "0")?;
    sysctl::write("ipv4/conf/eth0/rp_filter", "0")?;
    let mut request = Request::new();
    write_link_down(&mut request, LOOPBACK);
    Rtnl::open().unwrap().apply(&mut request).unwrap();
    ask_tcp(LOCAL, port)
}

#[test]
fn unpublished_ports_and_other_networks_are_out_of_reach() {
    on_a_host(|| {
        Net::up(&[Net(1), Net(2)]);
        let outside = outsider(2, true);
        let [a, b] = [Net(1).container(2, &[]), Net(2).container(2, &[])];
        serve_tcp(&a, ANY, 80);
        assert!(inside(&outside, || ask_tcp(Net(1).address(2), 80)).is_err(), "outside by way of the host");
        assert!(inside(&b, || ask_tcp(Net(1).address(2), 80)).is_err(), "another network");
        assert!(ask_tcp(Net(1).address(2), 80).is_ok(), "the host itself");
    });
}

#[test]
fn udp_is_published_also_for_a_flow_that_was_there_before() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1)]);
        let outside = outsider(2, false);
        let client = inside(&outside, || UdpSocket::bind((ANY, 0)).unwrap());
        assert!(ask_udp(&client, HOST_OUTSIDE, 5353).is_err());
        let port = port(ANY, 5353, net.address(2), Protocol::Udp);
        let first = net.container(2, &[port]);
        serve_udp(&first, ANY, 80);
        assert_eq!(ask_udp(&client, HOST_OUTSIDE, 5353).unwrap(), Ipv4Addr::new(10, 99, 0, 2));
        let local = UdpSocket::bind((ANY, 0)).unwrap();
        assert_eq!(ask_udp(&local, LOCAL, 5353).unwrap(), net.gateway());
        close(first);
        let second = net.container(3, &[super::port(ANY, 5353, net.address(3), Protocol::Udp)]);
        serve_udp(&second, ANY, 80);
        assert_eq!(ask_udp(&client, HOST_OUTSIDE, 5353).unwrap(), Ipv4Addr::new(10, 99, 0, 2));
    });
}

#[test]
fn a_taken_port_is_named_as_docker_names_it() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1)]);
        let first = net.container(2, &[tcp(ANY, 8080, net.address(2)), port(ANY, 53, net.address(2), Protocol::Udp)]);
        let listener = TcpListener::bind((LOCAL, 9090)).unwrap();
        let refused = |port| Sandbox::create(own(vec![net.endpoint(3)], vec![port])).unwrap_err();
        for (port, address) in [
            (tcp(ANY, 8080, net.address(3)), "0.0.0.0:8080"),
            (tcp(LOCAL, 8080, net.address(3)), "127.0.0.1:8080"),
            (tcp(ANY, 9090, net.address(3)), "0.0.0.0:9090"),
            (port(ANY, 53, net.address(3), Protocol::Udp), "0.0.0.0:53"),
        ] {
            let error = refused(port);
            assert_eq!(error.to_string(), format!("Bind for {address} failed: port is already allocated"));
            assert_eq!(error.kind(), Kind::Conflict);
            assert!(error.hint().is_some());
        }
        let foreign = refused(tcp(Ipv4Addr::new(192, 0, 2, 77), 80, net.address(3)));
        assert_eq!(foreign.kind(), Kind::InvalidParameter);
        assert!(TcpListener::bind((ANY, 8080)).is_err(), "nobody else gets a published port");

        close(first);
        drop(listener);
        let second = [8080, 9090].map(|number| tcp(ANY, number, net.address(3)));
        close(net.container(3, &second));
    });
}

#[test]
fn closed_connections_do_not_hold_a_port_but_reservations_do() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1)]);
        // The side that closes first keeps the port in TIME_WAIT.
        let listener = TcpListener::bind((LOCAL, 8080)).unwrap();
        let client = TcpStream::connect((LOCAL, 8080)).unwrap();
        drop(listener.accept().unwrap());
        drop(client);
        drop(listener);
        let published = [tcp(ANY, 8080, net.address(2))];
        let first = net.container(2, &published);
        let error = Sandbox::create(own(vec![net.endpoint(3)], published.to_vec())).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(TcpListener::bind((ANY, 8080)).is_err());
        close(first);
    });
}

#[test]
fn what_cannot_be_published_is_refused() {
    on_a_host(|| {
        let net = Net(1);
        let firewall = Net::up(&[Net(1)]);
        for host_ip in [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED] {
            let datagrams = port(host_ip, 80, net.address(2), Protocol::Udp);
            let plan = own(vec![net.endpoint(2)], vec![datagrams]);
            assert_eq!(Sandbox::create(plan).unwrap_err().kind(), Kind::NotImplemented);
        }
        assert_eq!(firewall.list_published().unwrap(), []);
    });
}

#[test]
fn ports_that_the_kernel_cannot_translate_are_listened_on() {
    on_a_host(|| {
        let net = Net(1);
        let firewall = Net::up(&[Net(1)]);
        let ports = [tcp(Ipv6Addr::LOCALHOST, 8080, net.address(2)), tcp(LOCAL, 8080, net.address(2))];
        let mut sandbox = net.container(2, &ports);
        assert_eq!(firewall.list_published().unwrap(), ports[1..]);
        assert_eq!(sandbox.relayed().map(|(port, _)| port.clone()).collect::<Vec<_>>(), ports[..1]);
        TcpStream::connect((Ipv6Addr::LOCALHOST, 8080)).unwrap();
        sandbox.unpublish(&ports[..1]).unwrap();
        TcpStream::connect((Ipv6Addr::LOCALHOST, 8080)).unwrap_err();
        close(sandbox);
    });
}

#[test]
fn ports_come_and_go_while_the_container_runs() {
    on_a_host(|| {
        let net = Net(1);
        let firewall = Net::up(&[Net(1)]);
        let mut server = net.container(2, &[]);
        serve_tcp(&server, ANY, 80);
        let listener = TcpListener::bind((LOCAL, 8082)).unwrap();
        let ports = [tcp(ANY, 8080, net.address(2)), tcp(ANY, 8081, net.address(2))];
        let taken = [tcp(ANY, 8083, net.address(2)), tcp(ANY, 8082, net.address(2))];
        let error = server.publish(&taken).unwrap_err();
        let holder = format!("8082/tcp is held by {}", std::fs::read_to_string("/proc/self/comm").unwrap().trim());
        assert!(error.hint().unwrap().starts_with(&holder), "{error:?}");
        assert_eq!(firewall.list_published().unwrap(), []);
        server.publish(&ports).unwrap();
        assert_eq!(ask_tcp(LOCAL, 8081).unwrap(), net.gateway());
        server.unpublish(&[ports[1].clone(), taken[0].clone()]).unwrap();
        assert!(ask_tcp(LOCAL, 8081).is_err());
        assert!(ask_tcp(LOCAL, 8080).is_ok());
        drop(TcpListener::bind((LOCAL, 8081)).unwrap());
        drop(listener);
        close(server);
        assert_eq!(firewall.list_published().unwrap(), []);
    });
}

#[test]
fn a_port_without_a_listener_behind_it_refuses_at_once() {
    on_a_host(|| {
        let net = Net(1);
        Net::up(&[Net(1)]);
        let server = net.container(2, &[tcp(ANY, 8080, net.address(2))]);
        let error = TcpStream::connect(SocketAddr::new(LOCAL.into(), 8080)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        close(server);
    });
}
