//! `/images/...`

use http::{Method, StatusCode};
use tokio::sync::mpsc;
use wharf_api::container::{CommitResponse, Config};
use wharf_api::image::Progress;
use wharf_engine::image::{Show, invalid_reference};
use wharf_image::{CommitOptions, ImportOptions, Progress as Step, RemoveOptions};
use wharf_types::{Error, Platform, Reference, Result};

use crate::request::{Call, Query};
use crate::response::{self, Answer, ok};
use crate::route::page_not_found;
use crate::{Server, downgrade, registries, transfer, upkeep};

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    let images = server.engine.images();
    match (method, parts) {
        (&Method::GET, ["json"]) => list(server, &call).await,
        (&Method::POST, ["create"]) => create(server, call).await,
        (&Method::POST, ["load"]) => load(server, call),
        (&Method::GET, ["get"]) => save(server, &call, call.query.all("names").map(str::to_owned).collect()).await,
        (&Method::POST, ["prune"]) => upkeep::prune_at_once(server, &call).await,
        (&Method::GET, ["search"]) => registries::search(server, &call).await,
        (&Method::GET, [name @ .., "json"]) => inspect(server, &join(name), &call).await,
        (&Method::GET, [name @ .., "history"]) => {
            let platform = if call.version.before(48) { None } else { platform(&call.query)? };
            ok(&images.history(&join(name), platform).await?)
        }
        (&Method::GET, [name @ .., "get"]) => save(server, &call, vec![join(name)]).await,
        (&Method::POST, [name @ .., "tag"]) => {
            images.tag(&join(name), call.query.text("repo"), call.query.text("tag")).await?;
            Ok(response::empty(StatusCode::CREATED))
        }
        (&Method::POST, [name @ .., "push"]) if !name.is_empty() => {
            registries::push(server, &join(name), &call, platform(&call.query)?).await
        }
        (&Method::DELETE, [_, ..]) => remove(server, &join(parts), &call).await,
        _ => Err(page_not_found()),
    }
}

/// Names of images have slashes of their own.
fn join(parts: &[&str]) -> String {
    parts.join("/")
}

async fn list(server: &Server, call: &Call) -> Result<Answer> {
    let mut filters = call.query.filters()?;
    if let Some(pattern) = call.query.option("filter") {
        filters.add("reference", pattern); // how it was asked for until API 1.40
    }
    let show = Show {
        all: call.query.flag("all"),
        shared_sizes: call.query.flag("shared-size"),
        manifests: call.query.flag("manifests") && !call.version.before(47),
    };
    let (images, containers) = (server.engine.images().clone(), server.engine.containers().clone());
    let summaries = match show.manifests {
        // They are on disk, everything else is in memory.
        true => images.clone().run(move |_| images.list(&filters, show, &containers)).await?,
        false => images.list(&filters, show, &containers)?,
    };
    ok(&downgrade::image_list(summaries, call.version))
}

async fn inspect(server: &Server, name: &str, call: &Call) -> Result<Answer> {
    let images = server.engine.images();
    let platform = if call.version.before(49) { None } else { platform(&call.query)? };
    let document = match (call.query.flag("manifests") && !call.version.before(48), &platform) {
        (true, Some(_)) => {
            return Err(Error::invalid("conflicting options: manifests and platform options cannot both be set"));
        }
        (true, None) => images.inspect_with_manifests(name, server.engine.containers()).await?,
        (false, platform) => images.inspect(name, platform.as_ref())?,
    };
    ok(&downgrade::image(document, call.version))
}

async fn remove(server: &Server, name: &str, call: &Call) -> Result<Answer> {
    let options = RemoveOptions { force: call.query.flag("force"), keep_parents: call.query.flag("noprune") };
    let platforms = if call.version.before(50) { Vec::new() } else { platforms(&call.query, "platforms")? };
    ok(&server.engine.images().remove(name, platforms, options, server.engine.containers()).await?)
}

async fn save(server: &Server, call: &Call, names: Vec<String>) -> Result<Answer> {
    let platform = platform(&call.query)?;
    if names.is_empty() {
        return Err(Error::invalid("no image was named"));
    }
    for name in &names {
        server.engine.images().inspect(name, None)?;
    }
    let images = server.engine.images().clone();
    transfer::download("application/x-tar", move |out| async move { images.save(names, platform, out).await }).await
}

async fn create(server: &Server, call: Call) -> Result<Answer> {
    if call.query.has("fromImage") {
        return registries::pull(server, &call, platform(&call.query)?).await;
    }
    match call.query.text("fromSrc") {
        "-" => import(server, call).await,
        "" => Err(Error::invalid("neither fromImage nor fromSrc was given")),
        address => import_from(server, &call, address),
    }
}

async fn import(server: &Server, call: Call) -> Result<Answer> {
    let options = import_options(&call.query)?;
    let id = server.engine.images().import(call.into_reader(), options).await?;
    Ok(response::json_lines(futures_util::stream::iter([Progress::status(id.to_string())])))
}

/// Imports what is at an address, and tells how far it is.
fn import_from(server: &Server, call: &Call, address: &str) -> Result<Answer> {
    let has_scheme = address.starts_with("http://") || address.starts_with("https://");
    let address = if has_scheme { address.to_owned() } else { format!("http://{address}") };
    let mut options = import_options(&call.query)?;
    if call.query.option("message").is_none() {
        options.message = format!("Imported from {address}");
    }
    let images = server.engine.images().clone();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let steps = sender.clone();
        // A client that went away is told nothing.
        let imported = images.import_from(&address, options, move |line| drop(steps.send(line))).await;
        drop(sender.send(match imported {
            Ok(id) => Progress::status(id.to_string()),
            Err(error) => Progress::failed(&error),
        }));
    });
    let next = |mut receiver: mpsc::UnboundedReceiver<Progress>| async { Some((receiver.recv().await?, receiver)) };
    Ok(response::json_lines(futures_util::stream::unfold(receiver, next)))
}

/// Makes an image of a container. The body, if there is one, replaces the container's own configuration.
pub(crate) async fn commit(server: &Server, call: Call) -> Result<Answer> {
    let query = call.query.clone();
    let options = CommitOptions {
        reference: reference(query.text("repo"), query.text("tag"))?,
        changes: query.all("changes").flat_map(|lines| lines.split('\n')).map(str::to_owned).collect(),
        author: query.text("author").to_owned(),
        message: query.text("comment").to_owned(),
        ..CommitOptions::default()
    };
    let pause = query.flag_or("pause", true);
    // Clients that have nothing to say about the configuration send an empty object.
    let config: Option<Config> = call.optional_json().await?;
    let config = config.filter(|config| *config != Config::default());
    let id = server.engine.containers().commit(query.text("container"), config, options, pause).await?;
    response::created(&CommitResponse { id: id.to_string() })
}

fn import_options(query: &Query) -> Result<ImportOptions> {
    let platform = query.option("platform").map(str::parse::<Platform>).transpose();
    Ok(ImportOptions {
        reference: reference(query.text("repo"), query.text("tag"))?,
        changes: query.all("changes").map(str::to_owned).collect(),
        message: query.option("message").unwrap_or("Imported from -").to_owned(),
        platform: platform.map_err(|error| Error::invalid(error.to_string()))?,
    })
}

/// The name that `repository`, which may have a tag in it, and `tag` make together.
fn reference(repository: &str, tag: &str) -> Result<Option<Reference>> {
    if repository.is_empty() {
        return Ok(None);
    }
    let text = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
    let reference: Reference = text.parse().map_err(|error| invalid_reference(&text, error))?;
    Ok(Some(reference.or_latest()))
}

/// Loads while it answers: how far it is, what it brought in, and as the last line why it failed, if it did.
fn load(server: &Server, call: Call) -> Result<Answer> {
    let platform = platform(&call.query)?;
    let quiet = call.query.flag("quiet");
    let images = server.engine.images().clone();
    let (sender, receiver) = mpsc::unbounded_channel();
    let steps = sender.clone();
    let tell = move |step| {
        // A client that went away is told nothing.
        if let Some(line) = progress(&step).filter(|_| !quiet) {
            drop(steps.send(line));
        }
    };
    let reader = call.into_reader();
    tokio::spawn(async move {
        let lines = match images.load(reader, platform, tell).await {
            Ok(loaded) => loaded.iter().map(|loaded| Progress::stream(format!("{loaded}\n"))).collect(),
            Err(error) => vec![Progress::failed(&error)],
        };
        lines.into_iter().for_each(|line| drop(sender.send(line)));
    });
    let lines =
        futures_util::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    Ok(response::json_lines(lines))
}

/// The one platform that is asked for, as JSON (API 1.48).
fn platform(query: &Query) -> Result<Option<Platform>> {
    let asked: Vec<&str> = query.all("platform").filter(|text| !text.is_empty()).collect();
    let [text] = asked[..] else {
        return match asked.is_empty() {
            true => Ok(None),
            false => Err(Error::not_implemented("several platforms at once are not supported")
                .with_hint("ask for one, or for none to get all of them")),
        };
    };
    read_platform(text).map(Some)
}

/// All platforms that are asked for under a name.
fn platforms(query: &Query, name: &str) -> Result<Vec<Platform>> {
    query.all(name).filter(|text| !text.is_empty()).map(read_platform).collect()
}

fn read_platform(text: &str) -> Result<Platform> {
    if !text.starts_with('{') {
        return text.parse().map_err(|error: wharf_types::PlatformError| Error::invalid(error.to_string()));
    }
    let platform: wharf_api::image::Platform =
        serde_json::from_str(text).map_err(|error| Error::invalid("failed to parse platform").caused_by(error))?;
    if platform.os.is_empty() || platform.architecture.is_empty() {
        return Err(Error::invalid("both OS and Architecture must be provided"));
    }
    let variant = Some(platform.variant).filter(|variant| !variant.is_empty());
    Ok(Platform { os: platform.os, architecture: platform.architecture, variant })
}

fn progress(step: &Step) -> Option<Progress> {
    match step {
        Step::Read(_) => None,
        Step::Unpacking(layer, size) => Some(Progress::status("Loading layer").of(layer.short()).at(0, *size)),
        Step::Unpacked(layer) => Some(Progress::status("Layer loaded").of(layer.short())),
        Step::Present(layer) => Some(Progress::status("Layer already exists").of(layer.short())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_and_tag_make_a_name() {
        let name = |repository, tag| reference(repository, tag).unwrap().map(|name| name.familiar());
        assert_eq!(name("", "x"), None);
        assert_eq!(name("a", "").as_deref(), Some("a:latest"));
        assert_eq!(name("a:1", "").as_deref(), Some("a:1"));
        assert_eq!(name("localhost:5/a", "1").as_deref(), Some("localhost:5/a:1"));
        assert!(reference("A B", "").is_err());
    }
}
