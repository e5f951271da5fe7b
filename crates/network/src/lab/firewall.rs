use std::net::Ipv4Addr;

use wharf_types::Kind;

use super::talk::{ask_tcp, inside, serve_tcp};
use super::{ENGINE, Net, on_a_host, outsider, port, tcp};
use crate::Firewall;
use crate::netlink::Socket;
use crate::nft::{Expr, Transaction, Verdict};
use crate::plan::Protocol;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[test]
fn ensure_keeps_ports_and_remove_leaves_no_table() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let ports = [
            tcp(ANY, 80, Net(1).address(2)),
            tcp(Ipv4Addr::LOCALHOST, 80, Net(1).address(3)),
            port(ANY, 80, Net(1).address(2), Protocol::Udp),
            port(ANY, 80, Net(1).address(2), Protocol::Sctp),
        ];
        firewall.publish(&ports).unwrap();
        for networks in [vec![], vec![Net(1).rules(), Net(2).rules()], vec![Net(2).rules()]] {
            assert_eq!(Firewall::ensure(ENGINE, &networks).unwrap(), firewall);
            let mut found = firewall.list_published().unwrap();
            found.sort_by_key(|port| ports.iter().position(|wanted| wanted == port));
            assert_eq!(found, ports);
        }
        assert!(firewall.exists().unwrap());
        firewall.remove().unwrap();
        firewall.remove().unwrap();
        assert!(!firewall.exists().unwrap());
        assert_eq!(firewall.list_published().unwrap(), []);
    });
}

#[test]
fn publishing_replaces_stale_elements_and_taking_back_forgives() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let [old, new, other] =
            [tcp(ANY, 80, Net(1).address(2)), tcp(ANY, 80, Net(1).address(3)), tcp(ANY, 81, Net(1).address(3))];
        firewall.publish(&[old]).unwrap();
        firewall.publish(&[other.clone(), new.clone()]).unwrap();
        firewall.publish(std::slice::from_ref(&new)).unwrap();
        assert_eq!(firewall.list_published().unwrap().len(), 2);
        let never = tcp(ANY, 82, Net(1).address(3));
        firewall.unpublish(&[never.clone(), other.clone(), never]).unwrap();
        assert_eq!(firewall.list_published().unwrap(), [new]);
        firewall.reconcile(std::slice::from_ref(&other)).unwrap();
        assert_eq!(firewall.list_published().unwrap(), [other]);
    });
}

#[test]
fn many_ports_fit_into_one_transaction() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let ports: Vec<_> = (1000..9000).map(|number| tcp(ANY, number, Net(1).address(2))).collect();
        firewall.publish(&ports).unwrap();
        assert_eq!(firewall.list_published().unwrap().len(), ports.len());
        firewall.unpublish(&ports).unwrap();
        assert_eq!(firewall.list_published().unwrap(), []);
    });
}

#[test]
fn a_missing_table_is_an_error_with_a_hint() {
    on_a_host(|| {
        let error = Firewall::open("wharf-nowhere").publish(&[tcp(ANY, 80, Net(1).address(2))]).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint().is_some());
        Firewall::open("wharf-nowhere").unpublish(&[tcp(ANY, 80, Net(1).address(2))]).unwrap();
    });
}

#[test]
fn networks_are_added_and_removed() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let outside = outsider(2, false);
        serve_tcp(&outside, ANY, 80);
        let a = Net(1).container(2, &[]);
        let reach = || inside(&a, || ask_tcp(Ipv4Addr::new(10, 99, 0, 2), 80)).is_ok();
        assert!(reach());
        let internal = crate::NetworkRules { outbound: false, ..Net(1).rules() };
        firewall.remove_network(&Net(1).rules()).unwrap();
        firewall.remove_network(&Net(1).rules()).unwrap();
        firewall.add_network(&internal).unwrap();
        firewall.add_network(&internal).unwrap();
        assert!(!reach(), "an internal network reached the outside");
        firewall.add_network(&Net(1).rules()).unwrap();
        assert!(reach());
    });
}

#[test]
fn the_administrators_chain_is_obeyed_and_survives() {
    on_a_host(|| {
        let firewall = Net::up(&[Net(1)]);
        let [a, b] =
            [2, 3].map(|last| Net(1).container(last, &[tcp(ANY, 8000 + u16::from(last), Net(1).address(last))]));
        serve_tcp(&a, ANY, 80);
        let outside = outsider(2, false);
        let reach = || inside(&outside, || ask_tcp(super::HOST_OUTSIDE, 8002)).is_ok();
        assert!(reach());
        let mut transaction = Transaction::new(firewall.table());
        transaction.add_rule("wharf-user", &[Expr::Verdict(Verdict::Drop)]);
        assert_eq!(transaction.commit(&Socket::netfilter().unwrap()).unwrap(), []);
        assert!(!reach());
        Firewall::ensure(ENGINE, &[Net(1).rules()]).unwrap();
        assert!(!reach(), "ensure flushed the administrator's chain");
        drop(b);
    });
}
