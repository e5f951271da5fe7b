//! Forgetting tracked datagram flows.
//!
//! NAT is decided by a flow's first packet. A peer that keeps sending from one port would go on reaching the host, or
//! a container that is gone, until it pauses for longer than the flow's timeout.

use std::net::IpAddr;

use wharf_types::{Result, ResultExt};

use crate::netlink::{Request, Socket, accept};
use crate::plan::{PortPlan, Protocol};

/// `IPCTNL_MSG_CT_DELETE` of `NFNL_SUBSYS_CTNETLINK`.
const DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// Which parts of the tuple must be equal (`CTA_FILTER_F_*`).
const MATCH_IP_DST: u32 = 1 << 1;
const MATCH_PROTO_NUM: u32 = 1 << 3;
const MATCH_PROTO_DST_PORT: u32 = 1 << 5;

/// Deletes the tracked UDP flows to these host ports. Nothing is done when there is no UDP port among them.
pub(super) fn forget_datagrams(socket: &Socket, ports: &[PortPlan]) -> Result<()> {
    let mut request = Request::new();
    let mut last = 0;
    for port in ports.iter().filter(|port| port.protocol == Protocol::Udp) {
        last = write_delete(&mut request, port);
    }
    if last == 0 {
        return Ok(());
    }
    let mut refusals = socket.transact(&mut request, last)?;
    refusals.retain(|refusal| refusal.errno != libc::ENOENT);
    accept(refusals).context("cannot forget the tracked flows of published UDP ports")
}

fn write_delete(request: &mut Request, port: &PortPlan) -> u32 {
    let number = request.begin(DELETE, libc::NLM_F_ACK);
    let family = if port.host_ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    request.fixed(&[family as u8, 1, 0, 0]);
    request.nest(CTA_TUPLE_ORIG, |tuple| {
        tuple.nest(CTA_TUPLE_IP, |ip| match port.host_ip {
            IpAddr::V4(address) => ip.bytes(CTA_IP_V4_DST, &address.octets()),
            IpAddr::V6(address) => ip.bytes(CTA_IP_V6_DST, &address.octets()),
        });
        tuple.nest(CTA_TUPLE_PROTO, |protocol| {
            protocol.bytes(CTA_PROTO_NUM, &[17]).bytes(CTA_PROTO_DST_PORT, &port.host_port.to_be_bytes())
        })
    });
    let address = if port.host_ip.is_unspecified() { 0 } else { MATCH_IP_DST };
    let flags = MATCH_PROTO_NUM | MATCH_PROTO_DST_PORT | address;
    request.nest(CTA_FILTER, |filter| filter.host32(CTA_FILTER_ORIG_FLAGS, flags));
    number
}
