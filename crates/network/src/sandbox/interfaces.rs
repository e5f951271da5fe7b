//! The interfaces of a container: created from the host's side, configured from inside.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use wharf_types::{Error, Kind, Result, ResultExt};

use crate::netlink::{Refusal, Request, accept};
use crate::plan::{EndpointPlan, Link};
use crate::rtnl::{
    LOOPBACK, PeerSpec, Rtnl, VethSpec, kind_of, write_address, write_default_route, write_delete_default_route,
    write_delete_link, write_link_up, write_port_up, write_settle, write_upper, write_veth,
};
use crate::sysctl;

/// How long the kernel may take to remove the interfaces of a namespace that has ended; usually 20 to 40 ms.
const PATIENCE: Duration = Duration::from_millis(300);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(4);

/// Sets the kernel parameters of the calling thread's (new) namespace: first wharf's own, then the container's.
/// Returns those that belong to an interface which does not exist yet.
///
/// # Errors
/// `InvalidParameter` for a parameter that does not take its value.
pub(super) fn set_parameters(
    endpoints: &[EndpointPlan],
    sysctls: &[(String, String)],
) -> Result<Vec<(String, String)>> {
    let mut waiting = Vec::new();
    if endpoints.iter().any(has_ipv6) {
        sysctl::write_if_present("ipv6/conf/default/accept_ra", "0")?;
        // The engine gives each address once; waiting for others to object would cost a second.
        sysctl::write_if_present("ipv6/conf/default/accept_dad", "0")?;
        waiting.extend(endpoints.iter().filter(|endpoint| !has_ipv6(endpoint)).map(without_ipv6));
    } else {
        // New interfaces copy this; loopback, which is there already, keeps ::1.
        sysctl::write_if_present("ipv6/conf/default/disable_ipv6", "1")?;
    }
    for (name, value) in sysctls {
        if !set_parameter(name, value)? {
            waiting.push((name.clone(), value.clone()));
        }
    }
    waiting.extend(endpoints.iter().flat_map(|endpoint| endpoint.sysctls.iter().cloned()));
    Ok(waiting)
}

/// As [`set_parameters`], for an interface that was just added to a namespace, and before it is set up.
///
/// # Errors
/// `System` when the kernel refuses.
pub(super) fn set_parameters_of(endpoint: &EndpointPlan) -> Result<()> {
    let path = |name: &str| format!("ipv6/conf/{}/{name}", endpoint.container_name);
    if !has_ipv6(endpoint) {
        return sysctl::write_if_present(&path("disable_ipv6"), "1");
    }
    for (name, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
        sysctl::write_if_present(&path(name), value)?;
    }
    Ok(())
}

fn has_ipv6(endpoint: &EndpointPlan) -> bool {
    endpoint.ipv6.is_some() || endpoint.link_local.iter().any(|(address, _)| address.is_ipv6())
}

/// The parameter that keeps IPv6 off an interface, where IPv6 is.
fn without_ipv6(endpoint: &EndpointPlan) -> (String, String) {
    (format!("net.ipv6.conf.{}.disable_ipv6", endpoint.container_name.replace('.', "/")), "1".to_owned())
}

/// Sets the parameters that waited for their interface.
///
/// # Errors
/// `InvalidParameter` for one that still does not exist.
pub(super) fn set_late_parameters(waiting: &[(String, String)]) -> Result<()> {
    for (name, value) in waiting {
        if !set_parameter(name, value)? {
            return Err(Error::invalid(format!("the kernel parameter {name} does not exist"))
                .with_hint("'sysctl -a' inside a container lists those that do"));
        }
    }
    Ok(())
}

/// False when there is no such parameter.
fn set_parameter(name: &str, value: &str) -> Result<bool> {
    match sysctl::write(&sysctl::path_of(name)?, value) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(Error::new(Kind::InvalidParameter, format!("cannot set the kernel parameter {name} to '{value}'"))
                .caused_by(error))
        }
    }
}

/// Creates the interfaces in `namespace`; the host's sides of veth pairs become ports of their bridges.
///
/// # Errors
/// `NotFound` when a bridge or parent is missing, `Conflict` when a name is taken, `NotImplemented` for a kind that the
/// kernel does not have.
pub(super) fn create(host: &Rtnl, namespace: BorrowedFd<'_>, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut refusals = host.send(&mut creation(host, namespace, endpoints)?)?;
    if refusals.iter().any(|refusal| refusal.errno == libc::EEXIST) {
        // Of an earlier run that the kernel, or someone inside, has not let go of yet. The names are this container's
        // alone.
        remove(host, endpoints)?;
        refusals = host.send(&mut creation(host, namespace, endpoints)?)?;
    }
    match refusals.into_iter().next() {
        Some(refusal) => Err(refused(endpoints, refusal)),
        None => Ok(()),
    }
}

fn creation(host: &Rtnl, namespace: BorrowedFd<'_>, endpoints: &[EndpointPlan]) -> Result<Request> {
    let has_ipv6 = sysctl::has_ipv6();
    let mut request = Request::new();
    for endpoint in endpoints {
        let below = host.index(&endpoint.bridge)?.ok_or_else(|| no_such_link(endpoint))?;
        let peer = PeerSpec { name: &endpoint.container_name, mac: endpoint.mac, namespace };
        if endpoint.link == Link::Veth {
            write_veth(&mut request, &VethSpec { name: &endpoint.host_name, bridge: below, mtu: endpoint.mtu }, &peer);
            write_port_up(&mut request, &endpoint.host_name, has_ipv6);
        } else {
            write_upper(&mut request, endpoint.link, below, &peer, endpoint.mtu);
        }
    }
    Ok(request)
}

fn no_such_link(endpoint: &EndpointPlan) -> Error {
    match endpoint.link {
        Link::Veth => Error::not_found(format!("the bridge {} does not exist", endpoint.bridge))
            .with_hint("restarting the engine restores the bridges of its networks"),
        _ => Error::not_found(format!("the parent interface {} does not exist", endpoint.bridge))
            .with_hint("'ip link' lists the interfaces of the host"),
    }
}

fn refused(endpoints: &[EndpointPlan], refusal: Refusal) -> Error {
    let upper = endpoints.iter().find(|endpoint| endpoint.link != Link::Veth);
    let (errno, cause) = (refusal.errno, Error::from(refusal));
    let (message, hint) = match (upper, errno) {
        (Some(endpoint), libc::EOPNOTSUPP) => {
            let kind = kind_of(endpoint.link);
            (format!("the kernel has no {kind} interfaces"), "the kernel's module of that name is not there")
        }
        (Some(endpoint), libc::EBUSY | libc::EINVAL) => (
            format!("the parent interface {} cannot carry another {}", endpoint.bridge, kind_of(endpoint.link)),
            "a parent has one kind of interfaces at a time, and with mode passthru a single one",
        ),
        _ => return cause_with_context(cause),
    };
    Error::new(cause.kind(), message).with_hint(hint).caused_by(cause)
}

fn cause_with_context(cause: Error) -> Error {
    Error::new(cause.kind(), "cannot create the container's network interfaces").caused_by(cause)
}

/// Makes the host's sides and their bridges ready to send, first the ports, then the bridges that depend on them.
///
/// # Errors
/// `NotFound` when one of them has vanished.
pub(super) fn settle(host: &Rtnl, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    veths(endpoints).for_each(|endpoint| write_settle(&mut request, &endpoint.host_name));
    veths(endpoints).for_each(|endpoint| write_settle(&mut request, &endpoint.bridge));
    host.apply(&mut request).context("cannot connect the container to its networks")
}

/// Those that have a side on the host.
fn veths(endpoints: &[EndpointPlan]) -> impl Iterator<Item = &EndpointPlan> {
    endpoints.iter().filter(|endpoint| endpoint.link == Link::Veth)
}

/// Waits for the kernel to remove the host's sides of a namespace that has ended, and removes them when it has not.
///
/// # Errors
/// `System` when the kernel refuses.
pub(super) fn await_removal(endpoints: &[EndpointPlan]) -> Result<()> {
    let host = Rtnl::open()?;
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        let mut left = false;
        for endpoint in veths(endpoints) {
            left |= host.index(&endpoint.host_name)?.is_some();
        }
        if !left {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    remove(&host, endpoints)
}

/// Removes the host's sides, and with them the pairs. Those that are gone already are no error.
pub(super) fn remove(host: &Rtnl, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    for endpoint in veths(endpoints) {
        write_delete_link(&mut request, &endpoint.host_name);
    }
    let mut refusals = host.send(&mut request)?;
    refusals.retain(|refusal| refusal.errno != libc::ENODEV);
    accept(refusals).context("cannot remove the container's network interfaces")
}

/// Removes an interface from inside; one that is gone already is no error.
pub(super) fn remove_inside(inside: &Rtnl, name: &str) -> Result<()> {
    let mut request = Request::new();
    write_delete_link(&mut request, name);
    let mut refusals = inside.send(&mut request)?;
    refusals.retain(|refusal| refusal.errno != libc::ENODEV);
    accept(refusals).with_context(|| format!("cannot remove the network interface {name}"))
}

/// Sets the interfaces and loopback up, gives them their addresses and the namespace its default routes.
///
/// # Errors
/// `InvalidParameter` or `System`, as the kernel answers.
pub(super) fn configure(inside: &Rtnl, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    write_link_up(&mut request, LOOPBACK);
    for endpoint in endpoints {
        write_interface(&mut request, inside, endpoint)?;
    }
    for (endpoint, gateway) in default_routes(endpoints).into_iter().flatten() {
        write_default_route(&mut request, index(inside, endpoint)?, gateway);
    }
    inside.apply(&mut request).context("cannot give the container its addresses")
}

/// As [`configure`], for one more interface; the default routes stay as they are.
pub(super) fn configure_one(inside: &Rtnl, endpoint: &EndpointPlan) -> Result<()> {
    let mut request = Request::new();
    write_interface(&mut request, inside, endpoint)?;
    inside.apply(&mut request).context("cannot give the container its addresses")
}

fn write_interface(request: &mut Request, inside: &Rtnl, endpoint: &EndpointPlan) -> Result<()> {
    let index = index(inside, endpoint)?;
    write_link_up(request, index);
    let ipv4 = endpoint.ipv4.map(|(address, prefix)| (IpAddr::V4(address), prefix));
    let ipv6 = endpoint.ipv6.map(|(address, prefix)| (IpAddr::V6(address), prefix));
    for (address, prefix) in ipv4.into_iter().chain(ipv6).chain(endpoint.link_local.iter().copied()) {
        write_address(request, index, address, prefix);
    }
    Ok(())
}

fn index(inside: &Rtnl, endpoint: &EndpointPlan) -> Result<u32> {
    let found = inside.index(&endpoint.container_name)?;
    found.ok_or_else(|| Error::system(format!("the interface {} vanished", endpoint.container_name)))
}

/// Brings the default routes from what they are with the interfaces `before` to what they are to be with those of
/// `after`. What somebody inside has changed is left alone where nothing changes.
pub(super) fn change_default_routes(inside: &Rtnl, before: &[EndpointPlan], after: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    for (old, new) in default_routes(before).into_iter().zip(default_routes(after)) {
        let same = |(a, b): (&EndpointPlan, &EndpointPlan)| a.container_name == b.container_name;
        match (old, new) {
            (Some((a, from)), Some((b, to))) if from == to && same((a, b)) => {}
            (_, Some((endpoint, gateway))) => write_default_route(&mut request, index(inside, endpoint)?, gateway),
            (Some((_, gateway)), None) => write_delete_default_route(&mut request, gateway),
            (None, None) => {}
        }
    }
    let mut refusals = inside.send(&mut request)?;
    refusals.retain(|refusal| refusal.errno != libc::ESRCH);
    accept(refusals).context("cannot change the container's default route")
}

/// The interface that gives the default route, and by way of whom, for IPv4 and for IPv6.
fn default_routes(endpoints: &[EndpointPlan]) -> [Option<(&EndpointPlan, IpAddr)>; 2] {
    let gateway4 = |endpoint: &EndpointPlan| {
        let direct = (endpoint.direct && endpoint.ipv4.is_some()).then_some(Ipv4Addr::UNSPECIFIED);
        endpoint.gateway4.or(direct).map(IpAddr::V4)
    };
    let gateway6 = |endpoint: &EndpointPlan| {
        let direct = (endpoint.direct && endpoint.ipv6.is_some()).then_some(Ipv6Addr::UNSPECIFIED);
        endpoint.gateway6.or(direct).map(IpAddr::V6)
    };
    [
        endpoints.iter().find_map(|endpoint| Some((endpoint, gateway4(endpoint)?))),
        endpoints.iter().find_map(|endpoint| Some((endpoint, gateway6(endpoint)?))),
    ]
}
