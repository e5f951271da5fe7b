//! Which function answers which request.

use http::Method;
use wharf_types::{Error, Result};

use crate::request::{Call, Path};
use crate::response::{self, Answer};
use crate::serve::Handler;
use crate::{Server, build, containers, events, execs, images, networks, registries, system, upkeep, volumes};

impl Handler for Server {
    async fn handle(&self, path: Path, mut call: Call) -> Result<Answer> {
        match self.guards.admit(&path, &mut call).await? {
            None => self.route(path, call).await,
            Some(document) => self.guards.dismiss(document, self.route(path, call).await?).await,
        }
    }
}

impl Server {
    async fn route(&self, path: Path, call: Call) -> Result<Answer> {
        let method = call.method().clone();
        let parts = path.parts();
        match (&method, &parts[..]) {
            (_, ["containers", rest @ ..]) => containers::route(self, &method, rest, call).await,
            (_, ["exec", id, action]) => execs::route(self, &method, id, action, call).await,
            (&Method::GET, ["images", .., "attestations"]) => Err(not_yet("showing attestations")),
            (&Method::PUT, ["volumes", _]) => Err(no_swarm("volumes of a cluster")),
            (_, ["images", rest @ ..]) => images::route(self, &method, rest, call).await,
            (_, ["networks", rest @ ..]) => networks::route(self, &method, rest, call).await,
            (_, ["volumes", rest @ ..]) => volumes::route(self, &method, rest, call).await,
            (&Method::GET, ["version"]) => response::ok(&self.engine.version()),
            (&Method::GET, ["info"]) => system::info(self, call.version),
            (&Method::GET, ["events"]) => events::follow(self, &call),
            (&Method::GET, ["system", "df"]) => system::disk_usage(self, &call).await,
            (&Method::GET, ["plugins"]) => response::ok(&[(); 0]),
            (&Method::GET, ["plugins", name, "json"]) => Err(Error::not_found(format!("plugin {name:?} not found"))),
            (&Method::POST, ["swarm", "init" | "join"]) => Err(not_yet("swarm mode")),
            (&Method::POST, ["swarm", "leave"]) => Err(Error::unavailable("This node is not part of a swarm")),
            (_, [what @ ("swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs"), ..]) => Err(no_swarm(what)),
            (_, ["wharf", rest @ ..]) => upkeep::route(self, &method, rest, call).await,
            (&Method::POST, ["commit"]) => images::commit(self, call).await,
            (&Method::POST, ["auth"]) => registries::log_in(self, call).await,
            (_, ["build", rest @ ..]) => build::route(self, &method, rest, call).await,
            (&Method::POST, ["session"]) => build::session(self, call),
            (&Method::POST, ["grpc"]) => build::grpc(self, call),
            (_, ["distribution", rest @ ..]) => registries::distribution(self, &method, rest, call).await,
            (_, ["plugins", ..]) => Err(not_yet("managing plugins")),
            _ => Err(page_not_found()),
        }
    }
}

/// The error for a path that is no part of the API.
pub(crate) fn page_not_found() -> Error {
    Error::not_found("page not found")
}

/// The error for what this version of the engine does not do.
pub(crate) fn not_yet(what: &str) -> Error {
    Error::not_implemented(format!("{what} is not supported by this version of wharf"))
}

fn no_swarm(what: &str) -> Error {
    let sentence = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    match what {
        "swarm" => Error::unavailable(sentence).with_hint("wharf has no swarm mode"),
        _ => Error::unavailable(sentence).with_hint(format!("{what} belong to swarm mode, which wharf does not have")),
    }
}
