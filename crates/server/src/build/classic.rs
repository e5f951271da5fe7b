//! `POST /build` as the classic builder answers it: for SDKs, and for `docker` without BuildKit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wharf_api::system::AuthConfig;
use wharf_engine::build::events::{Ending, Event};
use wharf_engine::build::{Broken, ContextLease, LocalSession, Options, PlanLine, Request, Source};
use wharf_types::{Error, Result};

use super::{Lines, dockerfile_path, own};
use crate::Server;
use crate::registries::BASE64;
use crate::request::{Call, Query};
use crate::response::{self, Answer, json_line};

pub(super) async fn build(server: &Server, call: Call) -> Result<Answer> {
    let query = call.query.clone();
    if query.text("version") == "2" || query.text("remote") == "client-session" {
        return super::buildkit::build(server, &query);
    }
    let builds = server.engine.builds().clone();
    let logins = own::logins(&registry_config(&call));
    let context = match query.text("remote") {
        "" => builds.contexts().receive(call.into_reader()).await?,
        address => builds.fetch_context(address).await?,
    };
    let request = request(&query, &context).await?;
    let names: Vec<String> = request.names.iter().map(|name| name.familiar()).collect();
    let (sender, receiver) = mpsc::unbounded_channel();
    let tell: Tell = Arc::new(move |document: Value| {
        // A client that went away is told nothing.
        if let Ok(line) = json_line(&document) {
            drop(sender.send(line));
        }
    });
    let script = Arc::new(Mutex::new(Script::default()));
    let (hears, out, quiet) = (Arc::clone(&script), Arc::clone(&tell), query.flag("q"));
    let session = LocalSession {
        files: BTreeMap::from([(String::new(), context.files.clone())]),
        secrets: BTreeMap::new(),
        agents: BTreeMap::new(),
        logins,
        tell: Box::new(move |event| {
            if !quiet {
                hears.lock().unwrap_or_else(PoisonError::into_inner).hear(event, &out);
            }
        }),
        held: vec![Box::new(context)],
    };
    // What is wrong with the Dockerfile is the answer; what goes wrong later is its last line.
    let session = Arc::new(session);
    let prepared = builds.prepare(request, &*session).await.map_err(|broken| broken.to_error())?;
    script.lock().unwrap_or_else(PoisonError::into_inner).lines.clone_from(&prepared.plan().lines);
    let task = tokio::spawn(async move {
        match builds.run(prepared, session).await {
            Ok(id) => {
                tell(json!({ "aux": { "ID": id.to_string() } }));
                if quiet {
                    tell(json!({ "stream": format!("{id}\n") }));
                    return;
                }
                tell(json!({ "stream": format!("Successfully built {}\n", id.short()) }));
                for name in names {
                    tell(json!({ "stream": format!("Successfully tagged {name}\n") }));
                }
            }
            Err(broken) => tell(failure(&broken)),
        }
    });
    Ok(response::stream("application/json", Lines { receiver, task }))
}

/// `X-Registry-Config`: a document of registries and credentials, in base64. What cannot be read is nobody, as with Docker.
fn registry_config(call: &Call) -> BTreeMap<String, AuthConfig> {
    let decoded = call.header("x-registry-config").and_then(|text| BASE64.decode(text.trim()).ok());
    decoded.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

type Tell = Arc<dyn Fn(Value) + Send + Sync>;

async fn request(query: &Query, context: &ContextLease) -> Result<Request> {
    let path = dockerfile_path(query.text("dockerfile"));
    let shown = path.display().to_string();
    let text = context.read(&shown).await?.ok_or_else(|| {
        Error::invalid(format!("Cannot locate specified Dockerfile: {shown}"))
            .with_hint("the name is relative to the context")
    })?;
    let documents = |name: &str| -> Result<BTreeMap<String, Option<String>>> {
        match query.text(name) {
            "" => Ok(BTreeMap::new()),
            text => serde_json::from_str(text)
                .map_err(|error| Error::invalid(format!("error reading {name}: {error}")).caused_by(error)),
        }
    };
    let given = |map: BTreeMap<String, Option<String>>| -> BTreeMap<String, String> {
        map.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    };
    let build_args = given(documents("buildargs")?);
    let labels = documents("labels")?.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let platform = query.option("platform").filter(|text| !text.is_empty()).map(str::parse).transpose();
    let hosts = query.all("extrahosts").flat_map(|text| text.split(',')).filter(|text| !text.is_empty());
    let options = Options {
        epoch: build_args.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()),
        build_args,
        target: query.option("target").filter(|text| !text.is_empty()).map(str::to_owned),
        labels,
        platform: platform.map_err(|error: wharf_types::PlatformError| Error::invalid(error.to_string()))?,
        no_cache: query.flag("nocache"),
        network: own::network(query.text("networkmode"))?,
        extra_hosts: hosts.map(own::extra_host).collect::<Result<_>>()?,
        ..Options::default()
    };
    let names = query.all("t").filter(|text| !text.is_empty()).map(own::name).collect::<Result<Vec<_>>>()?;
    Ok(Request { source: Source::new(shown, text), options, names, pull: query.flag("pull") })
}

fn failure(broken: &Broken) -> Value {
    let error = broken.to_error();
    let (message, code) = match broken {
        Broken::Step(step) if step.exit.is_some() => {
            let (command, code) = step.exit.clone().unwrap_or_default();
            (format!("The command '{command}' returned a non-zero code: {code}"), Some(code))
        }
        _ => (error.chain(), None),
    };
    let mut detail = json!({ "message": message });
    if let Some(code) = code {
        detail["code"] = code.into();
    }
    json!({ "errorDetail": detail, "error": message })
}

/// Tells of steps that run side by side as if they ran one after the other: what comes too early waits.
#[derive(Default)]
struct Script {
    lines: Vec<PlanLine>,
    /// The line that is being told.
    at: usize,
    /// Whether its heading was told.
    announced: bool,
    steps: HashMap<usize, StepTold>,
}

#[derive(Default)]
struct StepTold {
    output: String,
    ended: Option<Ending>,
}

impl Script {
    fn hear(&mut self, event: Event, tell: &Tell) {
        match event {
            Event::Output(step, _, bytes) => {
                self.steps.entry(step).or_default().output.push_str(&String::from_utf8_lossy(&bytes));
            }
            Event::Ended(step, ending) => self.steps.entry(step).or_default().ended = Some(ending),
            _ => return,
        }
        self.go_on(tell);
    }

    fn go_on(&mut self, tell: &Tell) {
        let total = self.lines.len();
        while let Some(line) = self.lines.get(self.at) {
            let step = line.node.map(|node| self.steps.entry(node).or_default());
            let say = |text: String| tell(json!({ "stream": text }));
            if !self.announced {
                say(format!("Step {}/{total} : {}\n", self.at + 1, line.text));
                self.announced = true;
            }
            let Some(step) = step.filter(|_| line.own) else {
                self.next();
                continue;
            };
            if !step.output.is_empty() {
                say(std::mem::take(&mut step.output));
            }
            match &step.ended {
                None | Some(Ending::Failed(_)) => return,
                Some(Ending::Cached) if !line.text.to_ascii_uppercase().starts_with("FROM") => {
                    say(" ---> Using cache\n".into());
                }
                Some(_) => {}
            }
            self.next();
        }
    }

    fn next(&mut self) {
        self.at += 1;
        self.announced = false;
    }
}
