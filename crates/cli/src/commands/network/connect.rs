//! `network connect`.

use std::net::IpAddr;

use clap::Args;
use wharf_api::Map;
use wharf_api::network::{ConnectRequest, EndpointIpamConfig, EndpointSettings};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};

/// What `network connect` takes.
#[derive(Debug, Args)]
pub struct ConnectFlags {
    /// Give the container a further name on the network
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    alias: Vec<String>,
    /// Option of the network's driver (NAME=VALUE)
    #[arg(long, value_name = "strings")]
    driver_opt: Vec<String>,
    /// The network of the highest priority gives the default route
    #[arg(long, value_name = "int", default_value_t = 0, hide_default_value = true, allow_hyphen_values = true)]
    gw_priority: i64,
    /// IPv4 address, such as 172.30.100.104
    #[arg(long, value_name = "ip")]
    ip: Option<IpAddr>,
    /// IPv6 address, such as 2001:db8::33
    #[arg(long, value_name = "ip")]
    ip6: Option<IpAddr>,
    /// Link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Give the container a link-local address
    #[arg(long, value_name = "ipSlice", value_delimiter = ',')]
    link_local_ip: Vec<IpAddr>,
    /// Network and container
    #[arg(value_name = "NETWORK CONTAINER")]
    words: Vec<String>,
}

definition! {
    ConnectFlags, connect,
    names: &["network connect"],
    about: "Connect a container to a network",
    usage: "[OPTIONS] NETWORK CONTAINER",
    arity: Arity::Exactly(2),
}

async fn connect(app: &App, flags: ConnectFlags) -> Outcome {
    let (network, container) = (&flags.words[0], flags.words[1].clone());
    let request = ConnectRequest { container, endpoint_config: Some(settings(&flags)?) };
    app.client().await?.network_connect(network, &request).await?;
    Ok(0)
}

fn settings(flags: &ConnectFlags) -> Outcome<EndpointSettings> {
    let text = |address: Option<IpAddr>| address.map_or_else(String::new, |address| address.to_string());
    let ipam = EndpointIpamConfig {
        ipv4_address: text(flags.ip),
        ipv6_address: text(flags.ip6),
        link_local_ips: flags.link_local_ip.iter().map(ToString::to_string).collect(),
    };
    let mut options = Map::null();
    for option in &flags.driver_opt {
        let (name, value) =
            option.split_once('=').ok_or_else(|| Failure::new("invalid key/value pair format in driver options"))?;
        options.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Ok(EndpointSettings {
        ipam_config: Some(ipam),
        links: crate::create::request::list(&flags.link),
        aliases: crate::create::request::list(&flags.alias),
        driver_opts: options,
        gw_priority: flags.gw_priority,
        ..EndpointSettings::default()
    })
}
