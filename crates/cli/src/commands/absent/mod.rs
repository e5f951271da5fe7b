//! Commands of Docker's for what wharf's engine does not do. They take Docker's flags and ask the engine they are sent to,
//! whichever it is; wharf's own says what it is not, in Docker's words where Docker has some.

mod others;
mod swarm;

use clap::{Arg, ArgAction, ArgMatches, Command};
use wharf_client::Verb;

use super::{Definition, Pending};
use crate::app::App;
use crate::failure::{Failure, Origin, Outcome};

/// All of them.
pub const DEFINITIONS: &[&Definition] = &[
    &swarm::NODE_DEMOTE,
    &swarm::NODE_INSPECT,
    &swarm::NODE_LS,
    &swarm::NODE_PROMOTE,
    &swarm::NODE_PS,
    &swarm::NODE_RM,
    &swarm::NODE_UPDATE,
    &swarm::SECRET_CREATE,
    &swarm::SECRET_INSPECT,
    &swarm::SECRET_LS,
    &swarm::SECRET_RM,
    &swarm::CONFIG_CREATE,
    &swarm::CONFIG_INSPECT,
    &swarm::CONFIG_LS,
    &swarm::CONFIG_RM,
    &swarm::SERVICE_CREATE,
    &swarm::SERVICE_INSPECT,
    &swarm::SERVICE_LOGS,
    &swarm::SERVICE_LS,
    &swarm::SERVICE_PS,
    &swarm::SERVICE_RM,
    &swarm::SERVICE_ROLLBACK,
    &swarm::SERVICE_SCALE,
    &swarm::SERVICE_UPDATE,
    &swarm::STACK_CONFIG,
    &swarm::STACK_DEPLOY,
    &swarm::STACK_LS,
    &swarm::STACK_PS,
    &swarm::STACK_RM,
    &swarm::STACK_SERVICES,
    &swarm::SWARM_CA,
    &swarm::SWARM_INIT,
    &swarm::SWARM_JOIN_TOKEN,
    &swarm::SWARM_JOIN,
    &swarm::SWARM_LEAVE,
    &swarm::SWARM_UNLOCK_KEY,
    &swarm::SWARM_UNLOCK,
    &swarm::SWARM_UPDATE,
    &swarm::VOLUME_UPDATE,
    &others::PLUGIN_CREATE,
    &others::PLUGIN_DISABLE,
    &others::PLUGIN_ENABLE,
    &others::PLUGIN_INSPECT,
    &others::PLUGIN_INSTALL,
    &others::PLUGIN_LS,
    &others::PLUGIN_PUSH,
    &others::PLUGIN_RM,
    &others::PLUGIN_SET,
    &others::PLUGIN_UPGRADE,
    &others::CHECKPOINT_CREATE,
    &others::CHECKPOINT_LS,
    &others::CHECKPOINT_RM,
];

/// A command as the table knows it: its flags are `name[,letter][:type]`, truth values without a type.
macro_rules! absent {
    ($id:ident, [$($name:literal),+], $about:literal, $usage:literal, $arity:ident $(($($n:literal),+))?, $verb:ident $path:literal, $flags:literal) => {
        #[doc = $about]
        pub const $id: crate::commands::Definition = crate::commands::Definition {
            names: &[$($name),+],
            about: $about,
            usage: $usage,
            arity: crate::commands::Arity::$arity $(($($n),+))?,
            args: {
                fn args(command: clap::Command) -> clap::Command {
                    super::args(command, $flags)
                }
                args
            },
            run: {
                fn run(app: &crate::app::App, matches: clap::ArgMatches) -> crate::commands::Pending<'_> {
                    super::run(app, matches, wharf_client::Verb::$verb, $path)
                }
                run
            },
        };
    };
}
use absent;

fn args(command: Command, flags: &'static str) -> Command {
    let words = Arg::new("words").num_args(0..).trailing_var_arg(true).hide(true);
    flags.split_whitespace().map(flag).fold(command, Command::arg).arg(words)
}

fn flag(text: &'static str) -> Arg {
    let (name, kind) = text.split_once(':').map_or((text, None), |(name, kind)| (name, Some(kind)));
    let (name, letter) = name.split_once(',').map_or((name, None), |(name, letter)| (name, letter.chars().next()));
    let arg = Arg::new(name).long(name).short(letter);
    match kind {
        None => arg.action(ArgAction::SetTrue),
        Some(kind) => arg.action(ArgAction::Append).value_name(kind),
    }
}

/// Asks the engine. One that answers with success is none of wharf's, and then this client is too small for it.
fn run<'a>(app: &'a App, matches: ArgMatches, verb: Verb, path: &'static str) -> Pending<'a> {
    Box::pin(async move {
        let name = matches.get_many::<String>("words").and_then(|mut words| words.next().cloned()).unwrap_or_default();
        let asked = app.client().await?.ask(verb, &path.replace("{}", &name)).await;
        // An engine outside a swarm is unavailable for this, and yet it has answered.
        let document =
            asked.map_err(Failure::from).map_err(|failure| match failure.message.starts_with("This node is") {
                true => Failure { origin: Origin::Engine, ..failure },
                false => failure,
            })?;
        answer(path, document.as_ref())
    })
}

fn answer(path: &str, document: Option<&serde_json::Value>) -> Outcome {
    let none = document.is_none_or(|document| document.as_array().is_some_and(Vec::is_empty));
    if path == "/plugins" && none {
        crate::output::out("ID        NAME      DESCRIPTION   ENABLED\n")?;
        return Ok(0);
    }
    Err(Failure::new("this engine can do it, but this client cannot show it")
        .with_hint("use Docker's own command line"))
}
