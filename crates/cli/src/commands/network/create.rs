//! `network create`.

use clap::Args;
use wharf_api::Map;
use wharf_api::network::{ConfigReference, CreateRequest, Ipam};

use super::ipam::{Wanted, consolidate};
use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::grammar::env_file;
use crate::output;

/// What `network create` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Let containers be connected by hand (swarm)
    #[arg(long)]
    attachable: bool,
    /// Address that no container gets (NAME=ADDRESS)
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// Take the configuration of this network
    #[arg(long, value_name = "string")]
    config_from: Option<String>,
    /// Make no network, only a configuration for others
    #[arg(long)]
    config_only: bool,
    /// Who carries the packets: bridge, macvlan or ipvlan
    #[arg(short, long, value_name = "string", default_value = "bridge", hide_default_value = true)]
    driver: String,
    /// Address of a subnet's gateway
    #[arg(long, value_name = "ipSlice", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Make it the routing mesh (swarm)
    #[arg(long)]
    ingress: bool,
    /// Let nothing leave the network
    #[arg(long)]
    internal: bool,
    /// Part of a subnet from which containers get their addresses
    #[arg(long, value_name = "ipNetSlice", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// Who gives the addresses
    #[arg(long, value_name = "string", default_value = "default", hide_default_value = true)]
    ipam_driver: String,
    /// Option of the one who gives the addresses (NAME=VALUE)
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Give containers IPv4 addresses (default true)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv4: Option<bool>,
    /// Give containers IPv6 addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv6: Option<bool>,
    /// Give the network a label (KEY=VALUE)
    #[arg(long, value_parser = env_file::label)]
    label: Vec<String>,
    /// Option of the driver (NAME=VALUE)
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Where it is known: local
    #[arg(long, value_name = "string")]
    scope: Option<String>,
    /// Subnet in CIDR notation
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    subnet: Vec<String>,
    /// Name of the network
    #[arg(value_name = "NETWORK")]
    network: Vec<String>,
}

definition! {
    CreateFlags, create,
    names: &["network create"],
    about: "Create a network",
    usage: "[OPTIONS] NETWORK",
    arity: Arity::Exactly(1),
}

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    let request = request(&flags)?;
    let created = app.client().await?.network_create(&request).await?;
    if !created.warning.is_empty() {
        output::err(&format!("WARNING: {}\n", created.warning));
    }
    output::out(&format!("{}\n", created.id))?;
    Ok(0)
}

fn request(flags: &CreateFlags) -> Outcome<CreateRequest> {
    let wanted = Wanted {
        subnets: &flags.subnet,
        ranges: &flags.ip_range,
        gateways: &flags.gateway,
        auxiliary: &pairs(&flags.aux_address, "aux-address")?,
    };
    let config = consolidate(&wanted).map_err(Failure::new)?;
    let labels = flags.label.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
    Ok(CreateRequest {
        name: flags.network[0].clone(),
        driver: flags.driver.clone(),
        scope: flags.scope.clone().unwrap_or_default(),
        enable_ipv4: flags.ipv4,
        enable_ipv6: flags.ipv6,
        ipam: Some(Ipam {
            driver: flags.ipam_driver.clone(),
            options: map(&pairs(&flags.ipam_opt, "ipam-opt")?),
            config: config.into(),
        }),
        internal: flags.internal,
        attachable: flags.attachable,
        ingress: flags.ingress,
        config_only: flags.config_only,
        config_from: flags.config_from.clone().map(|network| ConfigReference { network }),
        options: map(&pairs(&flags.opt, "opt")?),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ..CreateRequest::default()
    })
}

fn map(pairs: &[(String, String)]) -> Map<String, String> {
    pairs.iter().cloned().collect()
}

/// `NAME=VALUE`s.
fn pairs(texts: &[String], flag: &str) -> Outcome<Vec<(String, String)>> {
    let pair = |text: &String| {
        let pair = text.split_once('=');
        pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| {
            Failure::new(format!("invalid argument {text:?} for \"--{flag}\" flag: invalid key value pair: {text}"))
                .with_code(125)
        })
    };
    texts.iter().map(pair).collect()
}
