//! `volume create`.

use clap::Args;
use wharf_api::volume::CreateRequest;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::grammar::env_file;
use crate::output;

/// What `volume create` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Driver of the volume
    #[arg(short, long, default_value = "local", hide_default_value = true)]
    driver: String,
    /// Give the volume a label (KEY=VALUE)
    #[arg(long, value_parser = env_file::label)]
    label: Vec<String>,
    /// Name of the volume
    #[arg(long, hide = true)]
    name: Option<String>,
    /// Option of the driver (NAME=VALUE)
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Name of the volume
    #[arg(value_name = "VOLUME", num_args = 0..)]
    volume: Vec<String>,
}

/// What only a volume of a swarm has: accepted, and answered as by a host that is no swarm manager.
#[derive(Debug, Args)]
struct ClusterFlags {
    /// Availability of a cluster volume
    #[arg(long, hide = true)]
    availability: Option<String>,
    /// Group of a cluster volume
    #[arg(long, hide = true)]
    group: Option<String>,
    /// Largest size of a cluster volume
    #[arg(long, hide = true)]
    limit_bytes: Option<String>,
    /// Smallest size of a cluster volume
    #[arg(long, hide = true)]
    required_bytes: Option<String>,
    /// Scope of a cluster volume
    #[arg(long, hide = true)]
    scope: Option<String>,
    /// Secrets of a cluster volume
    #[arg(long, hide = true)]
    secret: Vec<String>,
    /// Sharing of a cluster volume
    #[arg(long, hide = true)]
    sharing: Option<String>,
    /// Topology that a cluster volume should be in
    #[arg(long, hide = true)]
    topology_preferred: Vec<String>,
    /// Topology that a cluster volume must be in
    #[arg(long, hide = true)]
    topology_required: Vec<String>,
    /// Access type of a cluster volume
    #[arg(long = "type", hide = true)]
    access: Option<String>,
}

impl ClusterFlags {
    fn is_empty(&self) -> bool {
        let words = [
            &self.availability,
            &self.group,
            &self.limit_bytes,
            &self.required_bytes,
            &self.scope,
            &self.sharing,
            &self.access,
        ];
        let lists = [&self.secret, &self.topology_preferred, &self.topology_required];
        words.iter().all(|word| word.is_none()) && lists.iter().all(|list| list.is_empty())
    }
}

definition! {
    CreateFlags, create,
    names: &["volume create"],
    about: "Create a volume",
    usage: "[OPTIONS] [VOLUME]",
    arity: Arity::AtMost(1),
}

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    if !flags.cluster.is_empty() {
        return Err(Failure::new("This node is not a swarm manager. Cluster volumes exist in swarm mode only."));
    }
    let name = match (flags.name, flags.volume.first()) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            ));
        }
        (Some(name), None) => name,
        (None, name) => name.cloned().unwrap_or_default(),
    };
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    let request = CreateRequest {
        name,
        driver: flags.driver,
        driver_opts: flags.opt.iter().map(pair).collect(),
        labels: flags.label.iter().map(pair).collect(),
    };
    let volume = app.client().await?.volume_create(&request).await?;
    output::out(&format!("{}\n", volume.name))?;
    Ok(0)
}
