use std::net::Ipv4Addr;

use wharf_types::Kind;

use super::{Net, on_a_host};
use crate::rtnl::Rtnl;
use crate::{Bridge, BridgeConfig, link_names, remove_link, sysctl, uplink_mtu, used_subnets};

#[test]
fn ensure_is_idempotent_and_remove_leaves_nothing() {
    on_a_host(|| {
        let first = Bridge::ensure(&Net(1).config()).unwrap();
        let second = Bridge::ensure(&Net(1).config()).unwrap();
        assert_eq!(first, second);
        let link = Rtnl::open().unwrap().link(first.index).unwrap().unwrap();
        assert_eq!((link.kind.as_str(), link.mtu, link.up), ("bridge", 1400, true));
        assert_eq!(link.mac, [0x02, 0x42, 172, 30, 1, 1]);
        assert_eq!(sysctl::read("ipv4/ip_forward").unwrap().trim(), "1");
        assert_eq!(Bridge::list("wh").unwrap(), ["wh1"]);
        Bridge::remove("wh1").unwrap();
        Bridge::remove("wh1").unwrap();
        assert_eq!(link_names("").unwrap().iter().filter(|name| name.starts_with("wh")).count(), 0);
    });
}

#[test]
fn an_existing_bridge_is_corrected() {
    on_a_host(|| {
        let first = Bridge::ensure(&Net(1).config()).unwrap();
        let second = Bridge::ensure(&BridgeConfig { mtu: 1300, ..Net(1).config() }).unwrap();
        assert_eq!(first, second);
        assert_eq!(Rtnl::open().unwrap().link(first.index).unwrap().unwrap().mtu, 1300);
        let moved = BridgeConfig { name: "wh1".into(), ..Net(2).config() };
        assert_eq!(Bridge::ensure(&moved).unwrap_err().kind(), Kind::Conflict);
    });
}

#[test]
fn a_subnet_of_another_interface_is_refused_and_nothing_is_left() {
    on_a_host(|| {
        Bridge::ensure(&Net(1).config()).unwrap();
        for (address, prefix) in [([172, 30, 1, 9], 24), ([172, 30, 0, 1], 16), ([172, 30, 1, 129], 28)] {
            let config = BridgeConfig { name: "wh2".into(), ipv4: Some((address.into(), prefix)), ..Net(2).config() };
            let error = Bridge::ensure(&config).unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict);
            assert!(error.to_string().contains("172.30.1.0/24 of wh1"), "{error}");
        }
        assert_eq!(Bridge::list("").unwrap(), ["wh1"]);
        assert!(used_subnets().unwrap().contains(&"172.30.1.0/24".parse().unwrap()));
    });
}

#[test]
fn names_that_cannot_be_a_bridge_are_refused() {
    on_a_host(|| {
        let named =
            |name: &str| Bridge::ensure(&BridgeConfig { name: name.into(), ..Net(1).config() }).unwrap_err().kind();
        for name in ["", "a/b", "..", "sixteen-bytes-xx", "sp ace"] {
            assert_eq!(named(name), Kind::InvalidParameter, "{name}");
        }
        assert_eq!(named("lo"), Kind::Conflict);
        assert_eq!(Bridge::remove("lo").unwrap_err().kind(), Kind::Conflict);
        remove_link("no-such-link").unwrap();
    });
}

#[test]
fn without_a_default_route_the_mtu_is_ethernets() {
    on_a_host(|| {
        assert_eq!(uplink_mtu().unwrap(), 1500);
        let inside = super::outsider(2, true);
        assert_eq!(super::talk::inside(&inside, || uplink_mtu().unwrap()), 1500);
        Bridge::ensure(&Net(1).config()).unwrap();
        let inside = Net(1).container(2, &[]);
        assert_eq!(super::talk::inside(&inside, || uplink_mtu().unwrap()), 1400);
        assert_eq!(Net(1).gateway(), Ipv4Addr::new(172, 30, 1, 1));
    });
}
