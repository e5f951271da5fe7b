//! `RUN`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use wharf_image::BuiltLayer;
use wharf_storage::Lease;
use wharf_types::{Digest, Error, Kind, Result};

use super::mounts::Prepared;
use super::{State, Step, Trouble, blocking, copy, key, stubs};
use crate::dockerfile::{Network, Security};
use crate::host::{Command, Output, StepMount, StepSource};
use crate::plan::{NodeId, RunOp};
use crate::progress::Event;

/// What goes into the key of a command.
#[derive(Serialize)]
struct RunKey<'a> {
    op: &'static str,
    chain: Digest,
    argv: &'a [String],
    env: &'a [String],
    cwd: &'a str,
    user: &'a str,
    script: &'a Option<(String, String)>,
    network: &'static str,
    privileged: bool,
    hosts: &'a [(String, String)],
    mounts: Vec<String>,
    epoch: Option<i64>,
}

impl Step {
    pub(super) async fn run(&self, op: &RunOp, inputs: &BTreeMap<NodeId, State>) -> Result<(State, bool), Trouble> {
        let below = &inputs[&op.input];
        let mounts = self.describe_mounts(op, inputs).await?;
        let run_key = RunKey {
            op: "run",
            chain: below.chain,
            argv: &op.argv,
            env: &op.env,
            cwd: &op.cwd,
            user: &op.user,
            script: &op.script,
            network: match op.network {
                Network::Default => "default",
                Network::None => "none",
                Network::Host => "host",
            },
            privileged: op.security == Security::Insecure,
            hosts: &op.extra_hosts,
            mounts,
            epoch: self.solver.epoch,
        };
        let key = key(&run_key)?;
        self.cached(below, key, self.execute(op, below, inputs)).await
    }

    async fn execute(
        &self,
        op: &RunOp,
        below: &State,
        inputs: &BTreeMap<NodeId, State>,
    ) -> Result<(Option<BuiltLayer>, Lease), Trouble> {
        let host = Arc::clone(&self.solver.host);
        let scratch = host.scratch()?;
        let Prepared { mut mounts, env, held } = self.prepare_mounts(op, inputs).await?;
        if let Some((path, text)) = &op.script {
            let source = StepSource::Secret(text.clone().into_bytes(), 0o755, 0, 0);
            mounts.push(StepMount { destination: path.clone(), source, readonly: true });
        }
        let layers = below.stack(host.images());
        let places: Vec<String> = mounts.iter().map(|mount| mount.destination.clone()).collect();
        let command = Command {
            argv: op.argv.clone(),
            env: op.env.iter().chain(&op.uncounted_env).chain(&env).cloned().collect(),
            cwd: op.cwd.clone(),
            user: op.user.clone(),
            layers: layers.clone(),
            snapshot: scratch.snapshot.clone(),
            mounts,
            network: op.network,
            privileged: op.security == Security::Insecure,
            extra_hosts: op.extra_hosts.clone(),
        };
        let (session, id) = (Arc::clone(&self.solver.session), self.id);
        let output: Output = Arc::new(move |stream, bytes| session.progress(Event::Output(id, stream, bytes.to_vec())));
        let code = host.run(command, output).await?;
        drop(held);
        if code != 0 {
            return Err(failed(op, code));
        }
        let epoch = self.solver.epoch;
        Ok(blocking(move || {
            stubs::remove(&scratch.snapshot.upper, &layers, &places)?;
            let kept = copy::keep(host.images(), &scratch.snapshot, epoch);
            drop(scratch);
            kept
        })
        .await?)
    }
}

fn failed(op: &RunOp, code: i32) -> Trouble {
    let command = op.argv.join(" ");
    let mut sentence = format!("process {command:?} did not complete successfully: exit code: {code}");
    if code == 137 {
        sentence.push_str(": cannot allocate memory, or killed");
    }
    Trouble { error: Error::new(Kind::System, sentence), exit: Some((command, code)) }
}
