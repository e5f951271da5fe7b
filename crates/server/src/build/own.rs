//! wharf's own builds: contexts by difference, and progress as documents.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc;
use wharf_api::build::{BuildMessage, BuildSpec, ContextList, ContextMissing};
use wharf_api::system::AuthConfig;
use wharf_engine::build::events::{Ending, Event, Network, Stream};
use wharf_engine::build::{Broken, Builds, LocalSession, NamedContext, Options, RegistryLogin, Request, Source};
use wharf_types::{DEFAULT_DOMAIN, Error, Reference, Result};

use super::Lines;
use crate::Server;
use crate::request::Call;
use crate::response::{self, Answer, json_line, ok};

/// The largest list of a context in bytes.
const MOST: u64 = 1 << 30;

pub(super) async fn compare(server: &Server, key: &str, call: Call) -> Result<Answer> {
    let mut reader = call.into_reader().take(MOST);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        Ok::<ContextList, std::io::Error>(serde_json::from_slice(&bytes)?)
    });
    let list = read.await.map_err(|error| Error::system("the engine failed while it read").caused_by(error))?;
    let list = list.map_err(|error| Error::invalid("the context's list cannot be read").caused_by(error))?;
    let missing = server.engine.builds().contexts().compare(key, list.entries).await?;
    ok(&ContextMissing { id: missing.id, missing: missing.entries })
}

pub(super) async fn fill(server: &Server, id: &str, call: Call) -> Result<Answer> {
    server.engine.builds().contexts().fill(id, call.into_reader()).await?;
    Ok(response::no_content())
}

pub(super) async fn solve(server: &Server, call: Call) -> Result<Answer> {
    let spec: BuildSpec = call.json().await?;
    let builds = server.engine.builds().clone();
    let (sender, receiver) = mpsc::unbounded_channel();
    let tell = move |message: &BuildMessage| {
        // A client that went away is told nothing.
        if let Ok(line) = json_line(message) {
            drop(sender.send(line));
        }
    };
    let tell = Arc::new(tell);
    let events = Arc::clone(&tell);
    let mut session = LocalSession {
        files: BTreeMap::new(),
        secrets: secrets(&spec)?,
        logins: logins(&spec.logins),
        agents: spec.agents.iter().map(|(id, path)| (id.clone(), path.into())).collect(),
        tell: Box::new(move |event| message(event).iter().for_each(|message| events(message))),
        held: Vec::new(),
    };
    for (name, id) in &spec.contexts {
        let lease = builds.contexts().take(id).await?;
        session.files.insert(name.clone(), lease.files.clone());
        session.held.push(Box::new(lease));
    }
    let (remote, ready) = (spec.remote.clone(), request(spec)?);
    let task = tokio::spawn(async move {
        let mut request = ready;
        if let Some(address) = remote {
            (session.tell)(Event::Task { name: format!("load remote build context {address}"), done: false });
            let fetched = take_remote(&builds, &address, &mut request, &mut session).await;
            (session.tell)(Event::Task { name: format!("load remote build context {address}"), done: true });
            if let Err(error) = fetched {
                return tell(&failure(&Broken::Other(error, None), &request.source));
            }
        }
        let source = request.source.clone();
        let session = Arc::new(session);
        let built = match builds.prepare(request, &*session).await {
            Ok(prepared) => builds.run(prepared, session).await,
            Err(broken) => Err(broken),
        };
        match built {
            Ok(id) => tell(&BuildMessage::Image(id.to_string())),
            Err(broken) => tell(&failure(&broken, &source)),
        }
    });
    Ok(response::stream("application/json", Lines { receiver, task }))
}

/// Fetches the main context, and the Dockerfile from it where the client sent none.
async fn take_remote(builds: &Builds, address: &str, request: &mut Request, session: &mut LocalSession) -> Result<()> {
    let lease = builds.fetch_context(address).await?;
    if request.source.text.is_empty() {
        let name = request.source.name.clone();
        let missing = || Error::invalid(format!("failed to read dockerfile: open {name}: no such file or directory"));
        request.source = Source::new(name.clone(), lease.read(&name).await?.ok_or_else(missing)?);
    }
    session.files.insert(String::new(), lease.files.clone());
    session.held.push(Box::new(lease));
    Ok(())
}

/// By the domains that images' names have.
pub(super) fn logins(given: &BTreeMap<String, AuthConfig>) -> BTreeMap<String, RegistryLogin> {
    let login = |(server, auth): (&String, &AuthConfig)| {
        let login = RegistryLogin {
            username: auth.username.clone(),
            password: auth.password.clone(),
            identity_token: auth.identity_token.clone(),
        };
        (domain(server), login)
    };
    given.iter().map(login).collect()
}

/// Docker Hub has an address of old in configurations; others may be written with a scheme.
fn domain(server: &str) -> String {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.split('/').next().unwrap_or_default();
    match bare {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_DOMAIN.to_owned(),
        other => other.to_owned(),
    }
}

fn secrets(spec: &BuildSpec) -> Result<BTreeMap<String, Vec<u8>>> {
    let decode = |(id, text): (&String, &String)| {
        let content = BASE64_STANDARD.decode(text);
        let content = content.map_err(|error| Error::invalid(format!("secret {id} is not base64")).caused_by(error))?;
        Ok((id.clone(), content))
    };
    spec.secrets.iter().map(decode).collect()
}

fn request(spec: BuildSpec) -> Result<Request> {
    let platform = spec.platform.as_deref().filter(|text| !text.is_empty()).map(str::parse).transpose();
    let platform = platform.map_err(|error: wharf_types::PlatformError| Error::invalid(error.to_string()))?;
    let mut contexts: BTreeMap<String, NamedContext> = BTreeMap::new();
    contexts.extend(spec.images.into_iter().map(|(name, image)| (name, NamedContext::Image(image))));
    contexts.extend(spec.contexts.into_keys().filter(|name| !name.is_empty()).map(|name| (name, NamedContext::Files)));
    let options = Options {
        epoch: spec.epoch.or_else(|| spec.build_args.get("SOURCE_DATE_EPOCH")?.parse().ok()),
        build_args: spec.build_args,
        target: spec.target,
        labels: spec.labels,
        platform,
        no_cache: spec.no_cache,
        no_cache_filter: spec.no_cache_filter,
        contexts,
        network: network(&spec.network)?,
        extra_hosts: spec.extra_hosts.iter().map(|text| extra_host(text)).collect::<Result<_>>()?,
    };
    let names = spec.tags.iter().map(|tag| name(tag)).collect::<Result<Vec<_>>>()?;
    Ok(Request { source: Source::new(spec.dockerfile_name, spec.dockerfile), options, names, pull: spec.pull })
}

/// The name of an image to be.
pub(super) fn name(text: &str) -> Result<Reference> {
    let invalid = |error| Error::invalid(format!("invalid tag {text:?}: invalid reference format")).caused_by(error);
    let name: Reference = text.parse().map_err(invalid)?;
    match name.digest() {
        Some(_) => Err(Error::invalid(format!("invalid tag {text:?}: a tag has no digest"))),
        None => Ok(name.or_latest()),
    }
}

pub(super) fn network(text: &str) -> Result<Network> {
    match text {
        "" | "default" | "bridge" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => Err(Error::not_implemented(format!("network mode {other:?} is not supported for builds"))
            .with_hint("use default, none or host")),
    }
}

/// `name:address` or `name=address`.
pub(super) fn extra_host(text: &str) -> Result<(String, String)> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = split.ok_or_else(|| Error::invalid(format!("bad format for add-host: {text:?}")))?;
    Ok((name.to_owned(), address.trim_matches(['[', ']']).to_owned()))
}

fn message(event: Event) -> Option<BuildMessage> {
    Some(match event {
        Event::Planned { steps } => BuildMessage::Planned(steps),
        Event::Started(step) => BuildMessage::Started(step),
        Event::Output(step, stream, bytes) => {
            BuildMessage::Output(step, stream == Stream::Stderr, BASE64_STANDARD.encode(bytes))
        }
        Event::Ended(step, Ending::Done) => BuildMessage::Done(step),
        Event::Ended(step, Ending::Cached) => BuildMessage::Cached(step),
        Event::Ended(step, Ending::Failed(why)) => BuildMessage::Failed(step, why),
        Event::Task { name, done } => BuildMessage::Task(name, done),
        Event::Warning { .. } => return None,
    })
}

fn failure(broken: &Broken, source: &Source) -> BuildMessage {
    let code = match broken {
        Broken::Step(step) => step.exit.as_ref().map(|(_, code)| *code),
        _ => None,
    };
    BuildMessage::Error {
        message: broken.to_error().chain(),
        hint: broken.hint(),
        excerpt: broken.span().map(|span| source.excerpt(span)),
        code,
    }
}
