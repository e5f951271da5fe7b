//! The interfaces of a container: created from the host's side, configured from inside.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use wharf_types::{Error, Kind, Result, ResultExt};

use crate::netlink::{Request, accept};
use crate::plan::EndpointPlan;
use crate::rtnl::{
    LOOPBACK, PeerSpec, Rtnl, VethSpec, write_address, write_default_route, write_delete_link, write_link_up,
    write_port_up, write_settle, write_veth,
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
    if endpoints.iter().any(|endpoint| endpoint.ipv6.is_some()) {
        sysctl::write_if_present("ipv6/conf/default/accept_ra", "0")?;
        let without = endpoints.iter().filter(|endpoint| endpoint.ipv6.is_none());
        waiting.extend(
            without.map(|e| {
                (format!("net.ipv6.conf.{}.disable_ipv6", e.container_name.replace('.', "/")), "1".to_owned())
            }),
        );
    } else {
        // New interfaces copy this; loopback, which is there already, keeps ::1.
        sysctl::write_if_present("ipv6/conf/default/disable_ipv6", "1")?;
    }
    for (name, value) in sysctls {
        if !set_parameter(name, value)? {
            waiting.push((name.clone(), value.clone()));
        }
    }
    Ok(waiting)
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

/// Creates the veth pairs: the container's sides in `namespace`, the host's as ports of their bridges.
///
/// # Errors
/// `NotFound` when a bridge is missing, `Conflict` when a name is taken.
pub(super) fn create(host: &Rtnl, namespace: BorrowedFd<'_>, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut refusals = host.send(&mut creation(host, namespace, endpoints)?)?;
    if refusals.iter().any(|refusal| refusal.errno == libc::EEXIST) {
        // Of an earlier run that the kernel, or someone inside, has not let go of yet. The names are this container's
        // alone.
        remove(host, endpoints)?;
        refusals = host.send(&mut creation(host, namespace, endpoints)?)?;
    }
    accept(refusals).context("cannot create the container's network interfaces")
}

fn creation(host: &Rtnl, namespace: BorrowedFd<'_>, endpoints: &[EndpointPlan]) -> Result<Request> {
    let has_ipv6 = sysctl::has_ipv6();
    let mut request = Request::new();
    for endpoint in endpoints {
        let bridge = host.index(&endpoint.bridge)?.ok_or_else(|| {
            Error::not_found(format!("the bridge {} does not exist", endpoint.bridge))
                .with_hint("restarting the engine restores the bridges of its networks")
        })?;
        write_veth(
            &mut request,
            &VethSpec { name: &endpoint.host_name, bridge, mtu: endpoint.mtu },
            &PeerSpec { name: &endpoint.container_name, mac: endpoint.mac, namespace },
        );
        write_port_up(&mut request, &endpoint.host_name, has_ipv6);
    }
    Ok(request)
}

/// Makes the host's sides and their bridges ready to send, first the ports, then the bridges that depend on them.
///
/// # Errors
/// `NotFound` when one of them has vanished.
pub(super) fn settle(host: &Rtnl, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    endpoints.iter().for_each(|endpoint| write_settle(&mut request, &endpoint.host_name));
    endpoints.iter().for_each(|endpoint| write_settle(&mut request, &endpoint.bridge));
    host.apply(&mut request).context("cannot connect the container to its networks")
}

/// Waits for the kernel to remove the host's sides of a namespace that has ended, and removes them when it has not.
///
/// # Errors
/// `System` when the kernel refuses.
pub(super) fn await_removal(endpoints: &[EndpointPlan]) -> Result<()> {
    let host = Rtnl::open()?;
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        let mut left = false;
        for endpoint in endpoints {
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
    for endpoint in endpoints {
        write_delete_link(&mut request, &endpoint.host_name);
    }
    let mut refusals = host.send(&mut request)?;
    refusals.retain(|refusal| refusal.errno != libc::ENODEV);
    accept(refusals).context("cannot remove the container's network interfaces")
}

/// Sets the interfaces and loopback up, gives them their addresses and the namespace its default routes.
///
/// # Errors
/// `InvalidParameter` or `System`, as the kernel answers.
pub(super) fn configure(inside: &Rtnl, endpoints: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    write_link_up(&mut request, LOOPBACK);
    let mut default4 = None;
    let mut default6 = None;
    for endpoint in endpoints {
        let index = inside
            .index(&endpoint.container_name)?
            .ok_or_else(|| Error::system(format!("the interface {} vanished", endpoint.container_name)))?;
        write_link_up(&mut request, index);
        if let Some((address, prefix)) = endpoint.ipv4 {
            write_address(&mut request, index, IpAddr::V4(address), prefix);
        }
        if let Some((address, prefix)) = endpoint.ipv6 {
            write_address(&mut request, index, IpAddr::V6(address), prefix);
        }
        default4 = default4.or(endpoint.gateway4.map(|gateway| (index, IpAddr::V4(gateway))));
        default6 = default6.or(endpoint.gateway6.map(|gateway| (index, IpAddr::V6(gateway))));
    }
    for (index, gateway) in default4.into_iter().chain(default6) {
        write_default_route(&mut request, index, gateway);
    }
    inside.apply(&mut request).context("cannot give the container its addresses")
}
