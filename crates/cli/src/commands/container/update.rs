//! `update`: change the limits of containers.

use clap::Args;
use wharf_api::container::{Resources, UpdateRequest};
use wharf_api::port::PortMap;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::create::host_config::port_bindings;
use crate::failure::{Failure, Outcome};
use crate::grammar::number::{bytes, bytes_or_unlimited, integer, nano_cpus, unsigned};
use crate::grammar::{host, port};
use crate::output;

/// What `update` takes.
#[derive(Debug, Args)]
pub struct UpdateFlags {
    /// Share of block I/O, 10 to 1000; 0 leaves it out
    #[arg(long, value_name = "uint16", value_parser = unsigned::<u16>)]
    blkio_weight: Option<u16>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "int", value_parser = integer::<i64>)]
    cpu_period: Option<i64>,
    /// CPU time per period, in microseconds
    #[arg(long, value_name = "int", value_parser = integer::<i64>)]
    cpu_quota: Option<i64>,
    /// Period of the realtime budget, in microseconds
    #[arg(long, value_name = "int", value_parser = integer::<i64>)]
    cpu_rt_period: Option<i64>,
    /// Realtime budget per period, in microseconds
    #[arg(long, value_name = "int", value_parser = integer::<i64>)]
    cpu_rt_runtime: Option<i64>,
    /// Relative share of CPU time
    #[arg(short = 'c', long, value_name = "int", value_parser = integer::<i64>)]
    cpu_shares: Option<i64>,
    /// How many processors the container may use
    #[arg(long, value_name = "decimal", value_parser = nano_cpus)]
    cpus: Option<i64>,
    /// Processors to run on (0-3, 0,1)
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use (0-3, 0,1)
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Limit of memory (512m, 2g)
    #[arg(short, long, value_name = "bytes", value_parser = bytes)]
    memory: Option<i64>,
    /// Memory that is kept when the host runs short
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    memory_reservation: Option<i64>,
    /// Limit of memory and swap together; -1 is no limit
    #[arg(long, value_name = "bytes", value_parser = bytes_or_unlimited)]
    memory_swap: Option<i64>,
    /// Limit of processes; -1 is no limit
    #[arg(long, value_name = "int", value_parser = integer::<i64>)]
    pids_limit: Option<i64>,
    /// Publish another port, as with run -p
    #[arg(long, value_name = "list")]
    publish_add: Vec<String>,
    /// Take a published port back
    #[arg(long, value_name = "list")]
    publish_rm: Vec<String>,
    /// When to start again: no, always, unless-stopped, on-failure[:MAX]
    #[arg(long)]
    restart: Option<String>,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    UpdateFlags, update,
    names: &["container update", "update"],
    about: "Change the limits of one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn update(app: &App, flags: UpdateFlags) -> Outcome {
    let request = request(&flags)?;
    let client = app.client().await?;
    let mut code = 0;
    let mut warnings = Vec::new();
    for container in &flags.containers {
        match client.container_update(container, &request).await {
            Ok(response) => {
                output::out(&format!("{container}\n"))?;
                warnings.extend(response.warnings);
            }
            Err(error) => {
                app.report(&Failure::from(error));
                code = 1;
            }
        }
    }
    for warning in warnings {
        output::err(&format!("WARNING: {warning}\n"));
    }
    Ok(code)
}

fn ports(list: &[String]) -> Outcome<PortMap> {
    let read: Result<Vec<_>, String> = list.iter().map(|text| port::publish(text)).collect();
    Ok(port_bindings(&read.map_err(Failure::new)?.concat()))
}

fn request(flags: &UpdateFlags) -> Outcome<UpdateRequest> {
    let resources = Resources {
        blkio_weight: flags.blkio_weight.unwrap_or_default(),
        cpu_period: flags.cpu_period.unwrap_or_default(),
        cpu_quota: flags.cpu_quota.unwrap_or_default(),
        cpu_realtime_period: flags.cpu_rt_period.unwrap_or_default(),
        cpu_realtime_runtime: flags.cpu_rt_runtime.unwrap_or_default(),
        cpu_shares: flags.cpu_shares.unwrap_or_default(),
        nano_cpus: flags.cpus.unwrap_or_default(),
        cpuset_cpus: flags.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: flags.cpuset_mems.clone().unwrap_or_default(),
        memory: flags.memory.unwrap_or_default(),
        memory_reservation: flags.memory_reservation.unwrap_or_default(),
        memory_swap: flags.memory_swap.unwrap_or_default(),
        pids_limit: flags.pids_limit.filter(|limit| *limit != 0),
        ..Resources::default()
    };
    let restart_policy = match &flags.restart {
        Some(text) => host::restart_policy(text).map_err(Failure::new)?,
        None => wharf_api::container::RestartPolicy::default(),
    };
    let (publish_add, publish_rm) = (ports(&flags.publish_add)?, ports(&flags.publish_rm)?);
    let request = UpdateRequest { resources, restart_policy, publish_add, publish_rm };
    if request == UpdateRequest::default() {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    Ok(request)
}
