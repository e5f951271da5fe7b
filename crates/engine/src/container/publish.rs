//! Publishing further ports of a container, and taking published ones back, whether it runs or not.

use wharf_api::container::UpdateRequest;
use wharf_api::port::{Port, PortBinding, PortMap};
use wharf_network::plan::{PortPlan, SandboxPlan};
use wharf_types::{Error, Result};

use super::record::{Record, port_requests, protocol};
use crate::network::PortRequest;

/// Ports to publish, and ports to take back.
pub struct PortChange {
    add: PortMap,
    remove: PortMap,
    /// `add`, read.
    pub wanted: Vec<PortRequest>,
}

impl PortChange {
    /// What an update says about ports, if anything.
    ///
    /// # Errors
    /// `InvalidParameter` for an address or port that is none.
    pub fn of(request: &UpdateRequest) -> Result<Option<Self>> {
        let (add, remove) = (request.publish_add.clone(), request.publish_rm.clone());
        let wanted = port_requests(&add)?;
        port_requests(&remove)?;
        Ok((!add.is_empty() || !remove.is_empty()).then_some(Self { add, remove, wanted }))
    }

    /// The record with the change made.
    ///
    /// # Errors
    /// `NotFound` when a port that is to be taken back is not published.
    pub fn apply(&self, record: &Record, published: &[PortPlan]) -> Result<Record> {
        let mut record = record.clone();
        let bindings = &mut record.host_config.port_bindings;
        for (port, unwanted) in &self.remove {
            for one in unwanted {
                let known = bindings.get_mut(port);
                let gone = known.is_some_and(|known| {
                    let before = known.len();
                    known.retain(|binding| !means(one, port, binding, published));
                    known.len() < before
                });
                if !gone {
                    return Err(Error::not_found(format!("port {port} is not published as {}", shown(one)))
                        .with_hint("'wharf port CONTAINER' lists the published ports"));
                }
            }
            if bindings.get(port).is_some_and(|left| left.is_empty()) {
                bindings.remove(port);
            }
        }
        for (port, wanted) in &self.add {
            let all = bindings.entry(*port).or_insert_with(wharf_api::List::empty);
            all.extend(wanted.iter().cloned());
        }
        Ok(record)
    }

    /// The published ports that go.
    pub fn gone(&self, plan: &SandboxPlan) -> Vec<PortPlan> {
        let SandboxPlan::Own { ports, .. } = plan else { return Vec::new() };
        let goes = |plan: &&PortPlan| {
            self.remove.iter().any(|(port, unwanted)| unwanted.iter().any(|one| is_of(plan, port) && is_at(plan, one)))
        };
        ports.iter().filter(goes).cloned().collect()
    }
}

/// The plan without those ports and with these.
pub fn with_ports(plan: &SandboxPlan, gone: &[PortPlan], new: &[PortPlan]) -> SandboxPlan {
    let mut plan = plan.clone();
    if let SandboxPlan::Own { ports, .. } = &mut plan {
        ports.retain(|port| !gone.contains(port));
        ports.extend_from_slice(new);
    }
    plan
}

/// Whether a binding that was asked for once is the one that `unwanted` means. A host port that the engine chose is known
/// from what is published.
fn means(unwanted: &PortBinding, port: &Port, binding: &PortBinding, published: &[PortPlan]) -> bool {
    let same_ip = unwanted.host_ip.is_empty() || unwanted.host_ip == binding.host_ip;
    let chosen = || published.iter().any(|plan| is_of(plan, port) && is_at(plan, unwanted));
    let same_port = unwanted.host_port.is_empty() || unwanted.host_port == binding.host_port;
    same_ip && (same_port || binding.host_port.is_empty() && chosen())
}

fn is_of(plan: &PortPlan, port: &Port) -> bool {
    plan.container_port == port.number && plan.protocol == protocol(port.protocol)
}

fn is_at(plan: &PortPlan, binding: &PortBinding) -> bool {
    let same_ip = binding.host_ip.is_empty() || binding.host_ip.parse() == Ok(plan.host_ip);
    same_ip && (binding.host_port.is_empty() || binding.host_port.parse() == Ok(plan.host_port))
}

fn shown(binding: &PortBinding) -> String {
    match (binding.host_ip.as_str(), binding.host_port.as_str()) {
        ("", "") => "anything".to_owned(),
        ("", port) => port.to_owned(),
        (ip, port) => format!("{ip}:{port}"),
    }
}
