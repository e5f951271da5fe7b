//! The interface of the host that a macvlan or ipvlan network sits on.

use wharf_types::{Error, Kind, Result, ResultExt};

use crate::bridge::LONGEST_NAME;
use crate::host::remove_link;
use crate::netlink::Request;
use crate::plan::Link;
use crate::rtnl::{Rtnl, kind_of, write_pair, write_probe, write_vlan};

/// Whether the kernel can make interfaces of this kind.
///
/// # Errors
/// `NotImplemented`, with a sentence for the person, when it cannot.
pub fn check_link(link: Link) -> Result<()> {
    let mut request = Request::new();
    write_probe(&mut request, link);
    let refusals = Rtnl::open()?.send(&mut request)?;
    if !refusals.iter().any(|refusal| refusal.errno == libc::EOPNOTSUPP) {
        return Ok(());
    }
    let kind = kind_of(link);
    Err(Error::not_implemented(format!("the kernel of this host has no {kind} interfaces"))
        .with_hint(format!("load or install the kernel module {kind}, or use the driver bridge or macvlan")))
}

/// Makes sure that the parent is there. A missing `LINK.ID` is created as the VLAN `ID` of `LINK`, with `note` on it.
/// Returns whether it was created.
///
/// # Errors
/// `InvalidParameter` for a parent that neither exists nor can be a VLAN of one that does.
pub fn ensure_parent(name: &str, note: &str) -> Result<bool> {
    let rtnl = Rtnl::open()?;
    if rtnl.index(name)?.is_some() {
        return Ok(false);
    }
    let (base, vlan) = vlan_of(name).ok_or_else(|| missing(name))?;
    let below = rtnl.index(base)?.ok_or_else(|| missing(name))?;
    let mut request = Request::new();
    write_vlan(&mut request, name, below, vlan, note);
    match rtnl.apply(&mut request) {
        Err(error) if error.kind() == Kind::NotImplemented => {
            Err(Error::not_implemented(format!("the kernel of this host has no VLANs: cannot create {name}"))
                .with_hint("load or install the kernel module 8021q, or name an interface that exists"))
        }
        made => made.map(|()| true).with_context(|| format!("cannot create the VLAN interface {name}")),
    }
}

/// Makes sure that the pair is there which carries a network without a parent: its containers reach each other alone.
///
/// # Errors
/// `System` when the kernel refuses.
pub fn ensure_lone_parent(name: &str, peer: &str, note: &str) -> Result<()> {
    let rtnl = Rtnl::open()?;
    if rtnl.index(name)?.is_some() {
        return Ok(());
    }
    let mut request = Request::new();
    write_pair(&mut request, name, peer, note);
    rtnl.apply(&mut request).with_context(|| format!("cannot create the interface {name}"))
}

/// Removes an interface of the host if it carries this note, so that nobody else's of the same name goes.
///
/// # Errors
/// `System` when the kernel refuses.
pub fn remove_noted(name: &str, note: &str) -> Result<()> {
    let rtnl = Rtnl::open()?;
    let Some(index) = rtnl.index(name)? else { return Ok(()) };
    match rtnl.link(index)? {
        Some(link) if link.alias == note => remove_link(name),
        _ => Ok(()),
    }
}

/// Names of the host's interfaces that carry this note.
///
/// # Errors
/// `System` when the kernel does not answer.
pub fn noted_links(note: &str) -> Result<Vec<String>> {
    let links = Rtnl::open()?.links().context("cannot list the host's interfaces")?;
    Ok(links.into_iter().filter(|link| link.alias == note).map(|link| link.name).collect())
}

/// The parts of `LINK.ID`.
fn vlan_of(name: &str) -> Option<(&str, u16)> {
    let (base, vlan) = name.rsplit_once('.')?;
    let vlan = vlan.parse().ok().filter(|vlan| (1..4095).contains(vlan))?;
    (!base.is_empty() && name.len() <= LONGEST_NAME).then_some((base, vlan))
}

fn missing(name: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("the parent interface {name} does not exist on this host")).with_hint(
        "'ip link' lists the interfaces; a missing LINK.ID is created as a VLAN (1 to 4094) of a LINK that exists",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_read_from_names() {
        assert_eq!(vlan_of("eth0.10"), Some(("eth0", 10)));
        assert_eq!(vlan_of("a.b.4094"), Some(("a.b", 4094)));
        for name in ["eth0", "eth0.", "eth0.0", "eth0.4095", ".10", "eth0.x", "a-long-name-12.10"] {
            assert_eq!(vlan_of(name), None, "{name}");
        }
    }
}
